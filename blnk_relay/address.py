"""Addresses of a Redis and of a ledger: what one may hold, and what to write instead where it would not work.

An address that is taken and never works is found out by payments that stand still. So everything that a client would
read otherwise than a person, or that would beat a setting in silence, is refused here. No message quotes an address,
because it may hold a password; all name the variable.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from blnk_relay.errors import InvalidSettings

REDIS_PORT = 6379
SENTINEL_PORT = 26379

#: Who is asked for the server, by what stands behind the plus of a scheme.
SENTINEL = "sentinel"
CLUSTER = "cluster"

#: Most hosts that one address may name.
_MOST_HOSTS = 64

#: What an address may say of TLS, and the values where there are only a few; all else has a setting or no meaning here.
_TLS: Mapping[str, tuple[str, ...]] = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
    "ssl_ca_certs": (),
    "ssl_ca_path": (),
    "ssl_certfile": (),
    "ssl_keyfile": (),
}
_OPTIONS: Mapping[str, frozenset[str]] = {
    "redis": frozenset({"db"}),
    "rediss": frozenset({"db", *_TLS}),
    "unix": frozenset({"db", "username", "password"}),
    "redis+cluster": frozenset({"db"}),
    "rediss+cluster": frozenset({"db", *_TLS}),
    "redis+sentinel": frozenset({"db", "sentinel_username", "sentinel_password"}),
    "rediss+sentinel": frozenset({"db", "sentinel_username", "sentinel_password", *_TLS}),
}

#: How an address of each sort is written, for refusals.
_FORM = {
    "": "<host>:<port>/<database>",
    CLUSTER: "<host>:<port>,<host>:<port>",
    SENTINEL: "<host>:<port>,<host>:<port>/<service>/<database>",
}

#: Schemes that people write for what we call otherwise, or that cannot work, with what to do.
_INSTEAD = {
    "valkey": "write redis://<host>:<port>/<database>",
    "valkeys": "write rediss://<host>:<port>/<database>",
    "redis+socket": "write unix:///<path>?db=<database>",
    "socket": "write unix:///<path>?db=<database>",
    "sentinel": f"write redis+sentinel://{_FORM[SENTINEL]}",
    "redis-sentinel": f"write redis+sentinel://{_FORM[SENTINEL]}",
    "cluster": f"write redis+cluster://{_FORM[CLUSTER]}",
    "redis-cluster": f"write redis+cluster://{_FORM[CLUSTER]}",
    **dict.fromkeys(
        ("amqp", "amqps", "sqs"),
        "a journal is kept on a Redis or Valkey, and the broker of the bells is another setting, BLNK_RELAY_BROKER_URL",
    ),
}

#: What is said of TLS, in the words of Python and of py-amqp.
_CERTIFICATES = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_TLS_FILES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}

#: Options of an address that name a file.
TLS_FILES = frozenset(_TLS_FILES)

#: Brokers beside Redis, with the port that is theirs.
_BROKER_PORTS = {"amqp": 5672, "amqps": 5671, "sqs": 0}
_OF_BROKERS: Mapping[str, frozenset[str]] = {
    "amqp": frozenset(),
    "amqps": frozenset(_TLS),
    "sqs": frozenset({"region"}),
}
_AMQP_FORM = "<user>:<password>@<host>:<port>/<virtual host>"
_SQS_FORM = "sqs://?region=<region>, or sqs://<key>:<password>@?region=<region>"

#: The same as above, for a broker.
_BROKER_INSTEAD = {
    **dict.fromkeys(("pyamqp", "librabbitmq", "rabbitmq", "rabbit"), f"write amqp://{_AMQP_FORM}"),
    "sentinel": _INSTEAD["sentinel"],
    "aws": f"write {_SQS_FORM}",
}
_BROKERS_KNOWN = (
    "use redis://, rediss:// (TLS), unix:// or redis+sentinel:// for a Redis or Valkey, amqp:// or amqps:// (TLS) for "
    "RabbitMQ, or sqs:// for Amazon SQS"
)

#: Control characters and white space: a client drops some of them in silence and fails on others.
_BLANK = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029]")
_OPTION = re.compile(r"[a-z][a-z_]{1,40}")
_DATABASE = re.compile(r"[0-9]{1,6}")

#: What Sentinel takes for the name of a service.
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}")
_REGION = re.compile(r"[a-z]{2,8}(-[a-z0-9]{1,20}){1,4}")

#: A label of a host name; letters beyond ASCII are left to the resolver.
_LABEL = re.compile(r"[\w-]{1,63}")
_LONGEST_HOST = 253

#: An address of version 4, as the system reads them.
_NUMERIC = re.compile(r"[0-9.]+")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """Where a Redis is and who we are there; made by :meth:`parsed`.

    Attributes:
        scheme: ``redis``, ``rediss`` (TLS) or ``unix`` (a socket file).
        asks: Who is asked for the server before each connection: ``sentinel``, ``cluster``, or empty for nobody.
        hosts: Host name or address, without brackets, and port: of the server, or of all that may be asked for it; none
            with ``unix``.
        service: What Sentinel knows the primary by; empty without it.
        path: Path of the socket file; empty without ``unix``.
        database: Number of the database.
        username: Empty for none.
        password: Empty for none.
        sentinel_username: Who we are to the sentinels themselves; empty for none.
        sentinel_password: The same.
        tls: What was said of TLS, by redis-py's names.
        variable: The environment variable that it came from, for messages.
    """

    scheme: str
    asks: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    service: str = ""
    path: str = ""
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: Mapping[str, str] = field(default_factory=dict)
    variable: str = field(default="", compare=False)

    @classmethod
    def parsed(cls, variable: str, url: str) -> RedisAddress:
        """Read an address.

        Args:
            variable: The environment variable that it came from, for the message.
            url: The address.

        Raises:
            InvalidSettings: It would not work, or not as it reads; the sentence says what to write instead.

        Example:
            >>> RedisAddress.parsed("BLNK_RELAY_REDIS_URL", "unix:///run/redis.sock?db=1").database
            1
        """
        first, others = _first_host(url)
        parts = _split(variable, first, "redis://127.0.0.1:6379/0")
        if parts.scheme not in _OPTIONS:
            instead = _INSTEAD.get(parts.scheme, "use redis://, rediss:// (TLS) or unix:// (a socket file)")
            raise InvalidSettings(f"{variable}: the scheme {parts.scheme!r} is not known here; {instead}.")
        scheme, _, asks = parts.scheme.partition("+")
        hosts = _hosts(variable, parts, others)
        options = _options(variable, parts)
        common: dict[str, Any] = {
            "scheme": scheme,
            "variable": variable,
            "asks": asks,
            "hosts": hosts,
            "username": unquote(parts.username or "") or options.pop("username", ""),
            "password": unquote(parts.password or "") or options.pop("password", ""),
            **{name: options.pop(name) for name in ("sentinel_username", "sentinel_password") if name in options},
        }
        in_query = options.pop("db", "")
        if scheme == "unix":
            if hosts or len(parts.path) < 2:  # noqa: PLR2004 - a slash and a name
                raise InvalidSettings(
                    f"{variable}: a socket file is written with three slashes, as in unix:///run/redis/redis.sock?db=0."
                )
            return cls(path=unquote(parts.path), database=_database(variable, in_query), **common)
        in_path = parts.path.removeprefix("/")
        if asks == SENTINEL:
            service, _, in_path = in_path.partition("/")
            only_a_database = service.isdigit() and not in_path and not in_query
            if only_a_database or not _SERVICE.fullmatch(service):
                raise InvalidSettings(
                    f"{variable} does not name the service that the sentinels watch; write "
                    f"{parts.scheme}://{_FORM[SENTINEL]}."
                )
            common["service"] = service
        if in_path and in_query and in_path != in_query:
            raise InvalidSettings(f"{variable} names two databases, in its path and as ?db=; keep one of them.")
        database = _database(variable, in_path or in_query)
        if asks == CLUSTER and database:
            raise InvalidSettings(f"{variable}: a Redis Cluster has no database but 0; take the number out.")
        return cls(database=database, tls=options, **common)

    @property
    def host(self) -> str:
        """The first host; empty with ``unix``."""
        return self.hosts[0][0] if self.hosts else ""

    @property
    def port(self) -> int:
        """The first port; 0 with ``unix``."""
        return self.hosts[0][1] if self.hosts else 0

    @property
    def secure(self) -> bool:
        """Whether connections are made with TLS."""
        return self.scheme == "rediss"

    def with_tls(self, options: Mapping[str, str]) -> RedisAddress:
        """The same place, with what settings say of TLS wherever the address itself says nothing; as it is without TLS.

        Args:
            options: By redis-py's names.
        """
        return replace(self, tls={**options, **self.tls}) if self.secure else self

    @property
    def is_cluster(self) -> bool:
        """Whether each hash slot there may be on another server."""
        return self.asks == CLUSTER

    def client_options(self) -> dict[str, Any]:
        """What redis-py's connections are made with."""
        found: dict[str, Any] = {"db": self.database}
        found |= {"path": self.path} if self.scheme == "unix" else {"host": self.host, "port": self.port}
        found |= {name: value for name in ("username", "password") if (value := getattr(self, name))}
        found |= {name: value == "true" if name == "ssl_check_hostname" else value for name, value in self.tls.items()}
        return found

    def broker_url(self, scheme: str = "") -> str:
        """The same place in the words of kombu, Celery's transport.

        Args:
            scheme: Of a transport that finds the server by itself, from the first host on; left out, that of kombu,
                which names all sentinels, and has the service as its transport option ``master_name``.
        """
        user = ""
        if self.username or self.password:
            user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        if self.scheme == "unix":
            return f"{scheme or 'redis'}+socket://{user}{quote(self.path)}?virtual_host={self.database}"
        # kombu checks no certificate unless it is told to; redis-py does.
        query = f"?{urlencode({'ssl_cert_reqs': 'required', **self.tls})}" if self.secure else ""
        hosts = [f"{_bracketed(host)}:{port}" for host, port in self.hosts]
        if self.asks and not scheme:
            return ";".join(f"sentinel://{user}{host}/{self.database}{query}" for host in hosts)
        return f"{scheme or self.scheme}://{user}{hosts[0]}/{self.database}{query}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAddress:
    """Where a broker is that is no Redis, and who we are there; made by :meth:`parsed`.

    Attributes:
        scheme: ``amqp`` or ``amqps`` (TLS) for RabbitMQ, ``sqs`` for Amazon SQS.
        host: Host name or address, without brackets; empty with ``sqs``.
        port: 0 with ``sqs``.
        virtual_host: Of RabbitMQ; empty with ``sqs``.
        username: The id of the access key with ``sqs``; empty for what the broker's client does without one.
        password: The secret key with ``sqs``.
        region: Of ``sqs``.
        tls: What was said of TLS, by redis-py's names.
    """

    scheme: str
    host: str = ""
    port: int = 0
    virtual_host: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    region: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parsed(cls, variable: str, url: str) -> BrokerAddress:
        """Read an address.

        Args:
            variable: The environment variable that it came from, for the message.
            url: The address, of one of the schemes above.

        Raises:
            InvalidSettings: It would not work, or not as it reads; the sentence says what to write instead.

        Example:
            >>> BrokerAddress.parsed("BLNK_RELAY_BROKER_URL", "amqp://rabbit/shop").virtual_host
            'shop'
        """
        parts = _split(variable, url, f"amqp://{_AMQP_FORM}")
        port = _port(variable, parts) or _BROKER_PORTS[parts.scheme]
        options = _options(variable, parts, _OF_BROKERS[parts.scheme])
        host, path = unquote(parts.hostname or ""), unquote(parts.path.removeprefix("/"))
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(username) != bool(password):
            raise InvalidSettings(f"{variable} names a user without a password, or a password without a user.")
        if parts.scheme == "sqs":
            if host or parts.port or path:
                raise InvalidSettings(f"{variable}: Amazon SQS is found by its region; write {_SQS_FORM}.")
            if not _REGION.fullmatch(region := options.get("region", "")):
                raise InvalidSettings(f"{variable} does not name the region of Amazon SQS; write {_SQS_FORM}.")
            return cls(scheme="sqs", username=username, password=password, region=region)
        if not host or not is_host(host):
            raise InvalidSettings(
                f"{variable} does not name a host that could exist; write {parts.scheme}://{_AMQP_FORM}."
            )
        return cls(
            scheme=parts.scheme,
            host=host,
            port=port,
            virtual_host=path or "/",
            username=username,
            password=password,
            tls=options,
        )

    @property
    def secure(self) -> bool:
        """Whether the connection to RabbitMQ is made with TLS; that to SQS is another matter, and always is."""
        return self.scheme == "amqps"

    @property
    def counts(self) -> bool:
        """Whether it can be asked how many messages wait in a queue, as often as one likes."""
        return self.scheme != "sqs"

    def tls_options(self) -> Mapping[str, Any] | bool:
        """What py-amqp is told of TLS: it checks no certificate unless it has to."""
        if not self.secure:
            return False
        required = self.tls.get("ssl_cert_reqs", "required")
        checks_host = required != "none" and self.tls.get("ssl_check_hostname", "true") == "true"
        return {
            "cert_reqs": _CERTIFICATES[required],
            **({"server_hostname": self.host} if checks_host else {}),
            **{name: self.tls[ours] for ours, name in _TLS_FILES.items() if ours in self.tls},
        }

    def broker_url(self, scheme: str = "") -> str:
        """The same place in the words of kombu, Celery's transport, which has region and TLS as options beside it.

        Args:
            scheme: Of a transport of our own; left out, that of kombu.
        """
        user = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@" if self.username else ""
        if self.scheme == "sqs":
            return f"{scheme or self.scheme}://{user}"
        host = f"{_bracketed(self.host)}:{self.port}"
        return f"{scheme or self.scheme}://{user}{host}/{quote(self.virtual_host, safe='')}"


def parsed_broker(variable: str, url: str) -> RedisAddress | BrokerAddress:
    """Read the address of a broker.

    Args:
        variable: The environment variable that it came from, for the message.
        url: The address.

    Raises:
        InvalidSettings: It would not work, or not as it reads; the sentence says what to write instead.

    Example:
        >>> parsed_broker("BLNK_RELAY_BROKER_URL", "amqps://rabbit").port
        5671
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _BROKER_PORTS:
        return BrokerAddress.parsed(variable, url)
    if "://" in url and scheme not in _OPTIONS:
        scheme = _split(variable, url, "redis://127.0.0.1:6379/0").scheme
        instead = _BROKER_INSTEAD.get(scheme) or _INSTEAD.get(scheme, _BROKERS_KNOWN)
        raise InvalidSettings(f"{variable}: the scheme {scheme!r} is not known here; {instead}.")
    return RedisAddress.parsed(variable, url)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


def _first_host(url: str) -> tuple[str, tuple[str, ...]]:
    """An address of several hosts with the first of them alone, and the others; any other as it is."""
    scheme, between, rest = url.partition("://")
    if scheme.lower().partition("+")[2] not in (SENTINEL, CLUSTER):
        return url, ()
    end = re.search(r"[/?#]|$", rest)
    netloc = rest[: end.start()] if end else rest
    user, at, hosts = netloc.rpartition("@")
    first, *others = hosts.split(",")
    return f"{scheme}{between}{user}{at}{first}{rest[len(netloc) :]}", tuple(others)


def _hosts(variable: str, parts: SplitResult, others: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The hosts of an address, each with its port."""
    asks = parts.scheme.partition("+")[2]
    usual = SENTINEL_PORT if asks == SENTINEL else REDIS_PORT
    found = {}
    form = f"{parts.scheme}://{_FORM[asks]}" if parts.scheme != "unix" else ""
    for one in (parts, *(_split(variable, f"{parts.scheme}://{other}", form) for other in others)):
        port = _port(variable, one)
        host = unquote(one.hostname or "")
        if not form:
            return ((host, port or 0),) if host or port else ()
        if not is_host(host) or (one is not parts and one.netloc.rpartition("@")[1]):
            raise InvalidSettings(f"{variable} does not name a host that could exist; write {form}.")
        found[host, port or usual] = True
    if len(found) > _MOST_HOSTS:
        raise InvalidSettings(f"{variable} names more than {_MOST_HOSTS} hosts; a few that are up are enough.")
    return tuple(found)


def _split(variable: str, url: str, example: str) -> SplitResult:
    if _BLANK.search(url):
        raise InvalidSettings(f"{variable} has a space or a control character in it; take it out, or write %20.")
    if url[:1] in ('"', "'"):
        raise InvalidSettings(f"{variable} begins with a quote; take the quotes off.")
    if "://" not in url:
        raise InvalidSettings(f"{variable} has no scheme; write it as in {example}.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidSettings(f"{variable}: its host cannot be read; write it as in {example}.") from None
    if "#" in url:
        raise InvalidSettings(f"{variable} has a '#' in it, which ends an address; in a password write %23.")
    return parts


def _port(variable: str, parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise InvalidSettings(
            f"{variable}: its port is not a number from 1 to 65535; in a password write %2F for '/', %3A for ':', "
            "%3F for '?' and %40 for '@'."
        )
    return port


def _database(variable: str, text: str) -> int:
    if text and not _DATABASE.fullmatch(text):
        raise InvalidSettings(f"{variable}: the database is a number, as in redis://<host>:<port>/0 or ?db=0.")
    return int(text or 0)


def _options(variable: str, parts: SplitResult, allowed: frozenset[str] | None = None) -> dict[str, str]:
    """What stands behind the question mark; a client would let some of it beat our timeouts, and drop the rest."""
    found: dict[str, str] = {}
    allowed = _OPTIONS[parts.scheme] if allowed is None else allowed
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if not _OPTION.fullmatch(name):
            # Perhaps it is half a password.
            raise InvalidSettings(f"{variable}: what stands behind its '?' is not an option; in a password write %3F.")
        if name not in allowed:
            what = f"only {', '.join(sorted(allowed))} may stand there" if allowed else "nothing may stand there"
            if name in _TLS:
                what = "it belongs to amqps://" if parts.scheme in _BROKER_PORTS else "it belongs to rediss://"
            elif "timeout" in name:
                what = "BLNK_RELAY_REDIS_TIMEOUT_S is the setting for it"
            raise InvalidSettings(f"{variable}: ?{name}= is not taken in an address of {parts.scheme}://; {what}.")
        if name in found:
            raise InvalidSettings(f"{variable}: ?{name}= stands twice; keep one of them.")
        if not value or (_TLS.get(name) and value not in _TLS[name]):
            raise InvalidSettings(f"{variable}: ?{name}= needs {' or '.join(_TLS.get(name) or ('a value',))}.")
        found[name] = value
    return found


def check_base_url(variable: str, url: str) -> None:
    """See that every request to a ledger goes where the address says.

    Args:
        variable: The environment variable that it came from, for the message.
        url: Scheme, host, perhaps a port and a path.

    Raises:
        InvalidSettings: It would not work, or not as it reads; the sentence says what to write instead.
    """
    parts = _split(variable, url, "https://ledger.example:5001")
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidSettings(f"{variable}: the scheme {parts.scheme!r} is not spoken; use http:// or https://.")
    if "@" in parts.netloc:
        raise InvalidSettings(
            f"{variable} has a name or a password in it, which is never sent; the key of a ledger is a setting of its "
            "own."
        )
    if "?" in url:
        raise InvalidSettings(
            f"{variable} has a '?' in it, so that the path of every request would be lost behind it; take it out."
        )
    if not is_host(parts.hostname or ""):
        raise InvalidSettings(
            f"{variable} does not name a host that could exist; write it as in https://ledger.example:5001."
        )
    _port(variable, parts)


def is_host(host: str) -> bool:
    """Whether a host of this name, or with this address, could exist; an address of version 6 is without brackets.

    Example:
        >>> is_host("ledger.example"), is_host("999.1.1.1")
        (True, False)
    """
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            return False
        return True
    name = host.removesuffix(".")
    if _NUMERIC.fullmatch(name):
        try:
            socket.inet_aton(name)
        except OSError:
            return False
        return True
    return len(name) <= _LONGEST_HOST and all(_LABEL.fullmatch(label) for label in name.split("."))


def normalised(base_url: str) -> str:
    """One spelling for the address of a ledger, by which two of them are compared.

    Scheme and host in lower case, no port where it is the scheme's own, no slash at the end; the path and everything
    else as it stands.

    Example:
        >>> normalised("HTTPS://Ledger.Example:443/blnk/")
        'https://ledger.example/blnk'
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""  # in lower case already
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port not in (None, _DEFAULT_PORTS.get(parts.scheme)) else ""
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
