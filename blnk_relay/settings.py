"""Settings: one documented environment variable each, contradictions refused at start.

Every variable is ``BLNK_RELAY_`` and the field's name in capitals; ``docs/settings.md`` is made from this file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from blnk_relay.address import CLUSTER, TLS_FILES, BrokerAddress, RedisAddress, is_host, parsed_broker
from blnk_relay.encryption import Keyring
from blnk_relay.environment import PREFIX, Environment, check_number
from blnk_relay.environment import setting as _setting
from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.progress import Policy
from blnk_relay.intents.retry import Backoff
from blnk_relay.kinds.registry import KINDS
from blnk_relay.money import MAX_SAFE_INTEGER
from blnk_relay.targets import Target, target_fields


def policy_of(settings: Settings) -> Policy:
    """The numbers that decisions depend on, out of the settings."""
    return Policy(
        retry=Backoff(settings.retry_base_s, settings.retry_cap_s),
        confirm=settings.confirm == "ledger",
        confirm_first_s=settings.confirm_first_s,
        confirm_max_s=settings.confirm_max_s,
        read_lag_s=settings.read_lag_s,
        horizon_s=settings.horizon_s,
        stuck_horizon_s=settings.stuck_horizon_s,
        # What arrives as late as that shows only after the read lag.
        quiet_s=settings.quiet_s + settings.read_lag_s,
        max_attempts=settings.max_attempts,
        dob_format=settings.dob_format,
        own_identity_ids=settings.own_identity_ids,
    )


__all__ = ["CONFIRM_LANE", "INGEST_LANE", "LEASE_MARGIN_S", "PREFIX", "TOKEN_WAIT_S", "Settings"]

#: The queue whose workers read outcomes back; not a lane of intents.
CONFIRM_LANE = "confirm"

#: The queue of intents that come by name.
INGEST_LANE = "ingest"

#: Time kept free on a lease beyond the longest request, for settling.
LEASE_MARGIN_S = 2.0

#: Longest time that a request waits for an access token that is being refreshed (contract §1.3).
TOKEN_WAIT_S = 1.0

#: How much alike (1: the same) a name and a kind are where the name is the kind's, misspelt; no two kinds are.
MISSPELT = 0.9

#: One level, letters and digits only: the ledger's own filter reads no more (finding D14).
_META_KEY = re.compile(r"^[a-zA-Z][a-zA-Z0-9_]{0,62}$")
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
_DURABILITY = re.compile(r"^(memory|fsync|replicated:[1-9])$")

#: Times: from a millisecond (less would be 0 to Redis, and there a wait of 0 has no end) to ten years.
_LEAST_S, _MOST_S = 0.001, 315_360_000.0

#: Whole numbers, and those of a second.
_LEAST, _MOST = 1, 2**31 - 1

#: The largest of what has another bound: waits for one answer, what has threads or sockets of its own, what is held at
#: once in memory or in one value on Redis, and what is written in 39 digits at most.
_MOST_OF: Mapping[str, float] = {
    "redis_timeout_s": 3_600,
    "durability_timeout_s": 3_600,
    "connect_timeout_s": 3_600,
    "read_timeout_s": 3_600,
    "sync_read_timeout_s": 3_600,
    "connections": 1_000,
    "redis_connections": 10_000,
    "max_attempts": 1_000_000,
    "max_lapses": 1_000_000,
    "history_batch": 5_000,
    "upload_max_bytes": 256 * 1024 * 1024,
    "max_precise_amount": 10**38,
    "metrics_port": 65_535,
}

#: Numbers of which 0 says that there is none.
_MAY_BE_OFF = frozenset({"key_retention_s", "audit_window_s", "metrics_port", "history_retention_s"})

#: The same for people.
_FORMS = {
    _META_KEY: "1 to 63 of the letters a to z and A to Z, digits and underscores, beginning with a letter",
    _NAME: "1 to 32 of the letters a to z, digits, - and _, beginning with a letter",
    _DURABILITY: "memory, fsync, or replicated:N with N from 1 to 9",
}

#: What can be set of a target, by field; the default target's own are settings of the same names.
OF_TARGET = {item.name: item for item in target_fields()}


def bounds_of(name: str) -> tuple[float, float]:
    """The smallest and the largest number that a setting may be.

    Args:
        name: The field of a number.

    Example:
        >>> bounds_of("lease_s")
        (0.001, 315360000.0)
    """
    if name.endswith("_s"):
        return _LEAST_S, _MOST_OF.get(name, _MOST_S)
    return _LEAST_S if name == "audit_rate" else _LEAST, _MOST_OF.get(name, _MOST)


def _of_target(name: str) -> Any:
    item = OF_TARGET[name]
    return _setting(item.default, item.metadata["doc"], secret=item.metadata["secret"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of producers and workers. Immutable; build one with :meth:`from_env` or by keywords.

    Raises:
        InvalidSettings: A value is out of range or contradicts another; the sentence says what to change.

    Example:
        >>> Settings(redis_url="redis://127.0.0.1:6379/0").route("refund")
        'refunds'
    """

    redis_url: str = _setting(
        "redis://127.0.0.1:6379/0",
        "The Redis or Valkey that keeps the journals: `redis://`, `rediss://` (TLS) or `unix://`; "
        "`redis+sentinel://host:port,host:port/service/database` and `redis+cluster://host:port,host:port`, or "
        "the same with `rediss+`, where Sentinel or a cluster is asked for it.",
        secret=True,
    )
    broker_url: str = _setting(
        "",
        "The Celery broker, which carries the bells: a Redis or Valkey as above, but no cluster; RabbitMQ, "
        "`amqp://user:password@host:port/virtual-host` or `amqps://` (TLS); or Amazon SQS, `sqs://?region=…`. Empty: "
        "BLNK_RELAY_REDIS_URL.",
        secret=True,
    )
    redis_ca_bundle: str = _setting(
        "", "File of certificate authorities to trust for `rediss` addresses instead of the system's."
    )
    redis_client_cert: str = _setting("", "File of the certificate to show to servers of `rediss` addresses.")
    redis_client_key: str = _setting("", "File of its key; empty: it stands in the same file.")
    namespace: str = _setting("relay", "First part of every key on Redis, so that systems can share a server.")
    redis_timeout_s: float = _setting(
        2.0, "Longest wait for one answer of Redis or the broker, and for a free connection to it."
    )
    redis_connections: int = _setting(
        100, "Most connections of one process to one Redis; a burst of more calls at a time waits for them."
    )
    durability: str = _setting(
        "",
        "What a receipt waits for, and the record of a write that the ledger could not tell from a repeat: `memory`, "
        "`fsync` (WAITAOF) or `replicated:N` (WAIT for N replicas). Left out it is `memory`, and workers say at start "
        "what that means (guarantees.md).",
    )
    durability_timeout_s: float = _setting(1.0, "Longest wait for that; a receipt names what was reached.")
    durability_strict: bool = _setting(
        default=False,
        doc="Raise `NotDurable` where less was reached, rather than warn once; what was enqueued is recorded all the "
        "same.",
    )

    encryption_keys: str = _setting(
        "",
        "Keys under which payloads, files, messages of the ledger and OAuth tokens are encrypted in the journals "
        "(production.md): `id:key`, 32 bytes in base64 each, with commas between them. The first is used to write, all "
        "of them to read. Needs `blnk-relay[encryption]`. Empty: nothing is encrypted.",
        secret=True,
    )
    encryption_keys_file: str = _setting(
        "", "File that holds them instead; it is read again when it changes, so that keys are rotated while all runs."
    )

    api: str = _of_target("api")
    base_url: str = _of_target("base_url")
    instance_id: str = _of_target("instance_id")
    token: str = _of_target("token")
    token_file: str = _of_target("token_file")
    oauth_client_id: str = _of_target("oauth_client_id")
    oauth_client_secret: str = _of_target("oauth_client_secret")
    oauth_refresh_token: str = _of_target("oauth_refresh_token")
    ca_bundle: str = _of_target("ca_bundle")
    targets: tuple[Target, ...] = _setting(
        (), "Names of more ledgers, such as `eu,us`; see below. Without it there is one, called `default`."
    )
    connections: int = _setting(
        16, "Kept-alive connections, and so concurrent requests, of one worker process to each ledger."
    )
    connect_timeout_s: float = _setting(5.0, "Longest wait for a connection to the ledger.")
    read_timeout_s: float = _setting(10.0, "Longest wait for the whole answer to a queue-mode write or a read.")
    sync_read_timeout_s: float = _setting(
        15.0, "The same for a skip-mode write, which waits for locks (contract §4.1)."
    )

    lanes: tuple[str, ...] = _setting(
        ("transactions", "refunds", "inflight"),
        "Lanes of intents, each with a Celery queue for its bells; a worker may serve some of them only.",
    )
    priority_lanes: tuple[str, ...] = _setting(
        (),
        "Lanes that go first: in a worker process that serves several, their intents overtake those of other lanes on "
        "their way to its connections to a ledger.",
    )
    routes: tuple[str, ...] = _setting(
        (
            "transaction=transactions",
            "refund=refunds",
            "inflight.commit=inflight",
            "inflight.void=inflight",
            "inflight.bulk_commit=inflight",
            "inflight.bulk_void=inflight",
        ),
        "Lane of each kind, as `kind=lane`; a kind that is not named takes the first lane.",
    )
    lease_s: float = _setting(30.0, "How long a worker may hold an intent it has claimed.")
    dead_worker_s: float = _setting(6.0, "A worker silent for this long is dead, and what it held is looked up.")
    stalled_s: float = _setting(
        120.0,
        "A worker that takes no bell for this long although some wait for it connects to the broker anew; after as "
        "long again it ends with an error, for its supervisor to start another. The same where it has work and "
        "finishes nothing.",
    )
    late_s: float = _setting(
        900.0,
        "Age since it was accepted from which an open intent is late: `blnk-relay status` says so, and with `--check` "
        "ends with 1.",
    )
    slice_s: float = _setting(
        2.0, "How much is read back in one go: as many looks as take about so long, so that workers share them."
    )
    sweep_s: float = _setting(
        1.0,
        "Shortest time between two looks at a journal for lapsed leases and forgotten work; where nothing is known to "
        "be due, they are the rarer the more targets a worker has, up to 30 s apart.",
    )
    max_lapses: int = _setting(5, "Claims without an end after which an intent is a dead letter (it kills workers).")

    confirm: str = _setting("ledger", "`ledger`: an intent is done when read back; `accepted`: at the 2xx.")
    confirm_route: str = _of_target("confirm_route")
    confirm_first_s: float = _setting(0.3, "First look at the ledger after a request was accepted.")
    confirm_max_s: float = _setting(60.0, "Longest pause between two looks.")
    read_lag_s: float = _setting(30.0, "How long a stored row may stay invisible to reads (contract §1.7).")
    horizon_s: float = _setting(900.0, "How long the ledger may go on retrying by itself (contract §3.5).")
    stuck_horizon_s: float = _setting(18_000.0, "How long a QUEUED row may still be applied (contract §3.5).")
    quiet_s: float = _setting(
        60.0,
        "How long a request may still be under way to the ledger after it was given up. What could repeat one that the "
        "ledger does not show waits for that, and for BLNK_RELAY_READ_LAG_S on top.",
    )

    probe_s: float = _setting(
        5.0, "How often one request tries whether a paused target, or one that cannot be reached, is well again."
    )

    meta_key: str = _setting(
        "blnk_relay", "Top-level key of `meta_data` under which ledgers, balances and identities carry our id."
    )
    own_identity_ids: bool = _setting(
        default=True, doc="Choose the `identity_id` ourselves, so that a repeat is recognised (contract §2.7)."
    )
    dob_format: str = _setting("rfc3339", "How a date of birth is sent: `rfc3339` or `date` (contract §2.7).")

    bulk_inflight: bool = _setting(
        default=False,
        doc="Accept bulk commits and voids of holds; Blnk Cloud does not list their routes (contract §1.6, §2.13).",
    )

    max_attempts: int = _setting(25, "Counted attempts before an intent is a dead letter.")
    deadline_s: float = _setting(
        86_400.0,
        "Age at which an undecided intent is a dead letter, unless it has its own; what may have been sent is looked "
        "for `horizon_s` longer.",
    )
    retry_base_s: float = _setting(0.5, "Upper bound of the first pause between attempts; it doubles each time.")
    retry_cap_s: float = _setting(300.0, "Longest pause between attempts.")

    retention_s: float = _setting(604_800.0, "How long finished intents stay readable; dead letters stay for ever.")
    key_retention_s: float = _setting(
        0.0,
        "How long the key and the references of a finished intent are kept after that, so that they cannot be used "
        "twice; forgotten at the latest after twice as long. 0: for ever. Kinds whose outcome the ledger does not show "
        "for good keep theirs in any case (guarantees.md).",
    )
    audit_window_s: float = _setting(
        0.0,
        "How far back workers look when they compare the journal with the ledger by themselves, again and again, such "
        "as 86400 for the last day; differences are told like dead letters. 0: they do not (production.md).",
    )
    audit_rate: float = _setting(2.0, "Most reads of a ledger a second that such an audit makes.")
    audit_ours: tuple[str, ...] = _setting(
        (),
        "How references begin that nobody makes but through this journal, such as `order-,refund-`; `*` for all. A row "
        "of the ledger under such a reference that the journal does not know is a difference.",
    )
    history_url: str = _setting(
        "",
        "Database into which workers copy what is over, dead letters, attempts and operators' actions before they are "
        "trimmed: `sqlite:////path/of/a/file` (workers of one host) or `postgresql://user:password@host/database` "
        "(production.md). Needs `blnk-relay-worker[history]`. Empty: there is no history.",
        secret=True,
    )
    history_payload: bool = _setting(
        default=False,
        doc="Store payloads there as well: personal data, for as long as the history is kept. What a journal encrypts "
        "is encrypted there too.",
    )
    history_meta: tuple[str, ...] = _setting(
        ("*",),
        "Names of `meta_data` whose values can be searched for in history, such as `order,customer`; `*` for all; "
        "they are stored there.",
    )
    history_retention_s: float = _setting(
        0.0, "How long history keeps what is over; open dead letters stay. 0: for ever."
    )
    history_batch: int = _setting(
        200, "Most intents that are copied in one transaction; of large ones there are fewer, some megabytes together."
    )
    outcome_task: str = _setting("", "Name of a Celery task of yours that is called once for each final outcome.")
    outcome_queue: str = _setting("celery", "Queue that this task is sent to; none of our own.")
    events_max: int = _setting(100_000, "Length of each target's stream of outcomes.")
    upload_max_bytes: int = _setting(
        4 * 1024 * 1024, "Largest file of an upload in bytes; it is kept in Redis until its intent is trimmed."
    )
    max_precise_amount: int = _setting(
        MAX_SAFE_INTEGER,
        "Largest amount in minor units; beyond 2^53-1 the way to the ledger is not proven exact.",
    )
    log_format: str = _setting(
        "human", "How workers write their log on stderr: `human`, or `json` with one object a line (logs.md)."
    )
    log_level: str = _setting(
        "info", "From which level on: `debug` tells each attempt; `info`, `warning` and `error` are quiet (logs.md)."
    )
    log_keys: bool = _setting(
        default=True,
        doc="Whether keys and references stand in the log; without them an intent is told by its id alone.",
    )
    sentry_dsn: str = _setting(
        "", "Sentry project for failures that need a human; also read from SENTRY_DSN.", secret=True
    )
    metrics_port: int = _setting(
        0,
        "Port on which a worker answers `/metrics` (Prometheus), `/healthz` and `/readyz` over HTTP (metrics.md); each "
        "worker of a machine needs one of its own. 0: none.",
    )
    metrics_address: str = _setting(
        "127.0.0.1",
        "Address on which it does: `0.0.0.0` where others are to reach it, as in a container. There is no password, "
        "and no name or amount in it.",
    )
    #: Every target by its name, the default one first where there is one.
    ledgers: Mapping[str, Target] = field(init=False, repr=False, compare=False, metadata={"doc": "", "secret": False})

    #: Whether somebody has chosen the durability.
    durability_chosen: bool = field(init=False, repr=False, compare=False, metadata={"doc": "", "secret": False})

    def __post_init__(self) -> None:
        object.__setattr__(self, "durability_chosen", bool(self.durability))
        object.__setattr__(self, "durability", self.durability or "memory")
        for name, pattern, value in (
            ("namespace", _NAME, self.namespace),
            ("meta_key", _META_KEY, self.meta_key),
            ("durability", _DURABILITY, self.durability),
            *(("lanes", _NAME, lane) for lane in self.lanes),
        ):
            if not pattern.fullmatch(value):
                raise InvalidSettings(
                    f"{PREFIX}{name.upper()}: {value!r} is not possible; it must be {_FORMS[pattern]}."
                )
        for item in fields(self):
            if type(item.default) in (int, float):
                least, most = bounds_of(item.name)
                given, zero = getattr(self, item.name), "none" if item.name in _MAY_BE_OFF else ""
                check_number(PREFIX + item.name.upper(), given, least, most, zero=zero)
        for name, allowed in (
            ("confirm", ("ledger", "accepted")),
            ("dob_format", ("rfc3339", "date")),
            ("log_format", ("human", "json")),
            ("log_level", ("debug", "info", "warning", "error")),
        ):
            if getattr(self, name) not in allowed:
                raise InvalidSettings(
                    f"{PREFIX}{name.upper()} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}."
                )
        if not is_host(self.metrics_address):
            raise InvalidSettings(
                f"{PREFIX}METRICS_ADDRESS: {self.metrics_address!r} cannot be listened on; write 127.0.0.1, or "
                "0.0.0.0 for all of the machine's."
            )
        object.__setattr__(self, "ledgers", self._all_targets())
        # Made for the sake of what they refuse.
        for name in self.ledgers:
            self.keyring(name)
        addresses = (*(self.journal_address(name) for name in self.ledgers), self.broker_address)
        self._check_tls(addresses)
        self._check_together()

    def _all_targets(self) -> dict[str, Target]:
        """The default target, unless others are named and nothing is said about it; and the others."""
        default = Target(name=DEFAULT_TARGET, **{name: getattr(self, name) for name in OF_TARGET})
        found = {DEFAULT_TARGET: default} if default.configured or not self.targets else {}
        for target in self.targets:
            if target.name == DEFAULT_TARGET or target.name in found:
                raise InvalidSettings(
                    f"{PREFIX}TARGETS: {target.name!r} stands twice, or is the name of the default target, whose "
                    f"settings are those without a name, such as {default.variable('token')}."
                )
            found[target.name] = target
        return found

    def _check_tls(self, addresses: Collection[RedisAddress | BrokerAddress]) -> None:
        """See that what is said of TLS can be used, and is used anywhere."""
        of_redis = [address for address in addresses if isinstance(address, RedisAddress)]
        for name, path in (
            ("REDIS_CA_BUNDLE", self.redis_ca_bundle),
            ("REDIS_CLIENT_CERT", self.redis_client_cert),
            ("REDIS_CLIENT_KEY", self.redis_client_key),
        ):
            if not path:
                continue
            if not any(address.secure for address in of_redis):
                raise InvalidSettings(
                    f"{PREFIX}{name} is set, but no address of a Redis is a rediss:// one, so that nothing would be "
                    "encrypted: write rediss://, or take the setting out."
                )
            if problem := _unreadable(path):
                raise InvalidSettings(f"{PREFIX}{name}: {path!r} cannot be read ({problem}).")
        if self.redis_client_key and not self.redis_client_cert:
            raise InvalidSettings(
                f"{PREFIX}REDIS_CLIENT_KEY is of no use without {PREFIX}REDIS_CLIENT_CERT; set both, or neither."
            )
        for address in addresses:
            variable = address.variable if isinstance(address, RedisAddress) else f"{PREFIX}BROKER_URL"
            for name in TLS_FILES & address.tls.keys():
                if problem := _unreadable(address.tls[name]):
                    raise InvalidSettings(f"{variable}: what ?{name}= names cannot be read ({problem}).")

    def _check_together(self) -> None:
        if not self.lanes or len(set(self.lanes)) != len(self.lanes) or {CONFIRM_LANE, INGEST_LANE} & set(self.lanes):
            raise InvalidSettings(
                f"{PREFIX}LANES needs at least one lane, each once, and none called {CONFIRM_LANE!r} or "
                f"{INGEST_LANE!r}, which are queues of our own."
            )
        self._check_routes()
        if unlisted := sorted(set(self.priority_lanes) - set(self.lanes)):
            raise InvalidSettings(
                f"{PREFIX}PRIORITY_LANES names {', '.join(unlisted)}, which {PREFIX}LANES does not list: add the lane "
                "or take it out."
            )
        if self._as_kept(self.outcome_queue) in map(self._as_kept, self._own_queues()):
            raise InvalidSettings(
                f"{PREFIX}OUTCOME_QUEUE is {self.outcome_queue!r}, a queue of our own, so each outcome would be a dead "
                "letter, whose outcome would be another, for ever: name a queue of your application's workers."
            )
        longest = self.connect_timeout_s + max(self.read_timeout_s, self.sync_read_timeout_s) + LEASE_MARGIN_S
        if any(target.oauth for target in self.ledgers.values()):
            longest += TOKEN_WAIT_S
        if self.lease_s <= longest:
            raise InvalidSettings(
                f"{PREFIX}LEASE_S is {self.lease_s:g}, but one request may take {longest:g} s with its margin: "
                "raise the lease or lower the timeouts."
            )
        if self.durability_timeout_s >= self.redis_timeout_s:
            raise InvalidSettings(
                f"{PREFIX}DURABILITY_TIMEOUT_S must be below {PREFIX}REDIS_TIMEOUT_S, or a receipt would be lost while "
                "it waits for its durability."
            )
        if self.dead_worker_s < 3 * self.sweep_s:
            raise InvalidSettings(
                f"{PREFIX}DEAD_WORKER_S must be at least three times {PREFIX}SWEEP_S ({3 * self.sweep_s:g}), "
                "or live workers would be taken for dead."
            )
        if self.stalled_s <= self.lease_s + self.slice_s:
            raise InvalidSettings(
                f"{PREFIX}STALLED_S must be above {PREFIX}LEASE_S and {PREFIX}SLICE_S together "
                f"({self.lease_s + self.slice_s:g}), or a worker that finishes what it holds would count as stalled."
            )
        if 0 < self.key_retention_s <= self.retention_s:
            raise InvalidSettings(
                f"{PREFIX}KEY_RETENTION_S must be above {PREFIX}RETENTION_S ({self.retention_s:g}), or 0 to keep keys "
                "for ever: a repeat may come as late as somebody still reads the first one."
            )
        if self.audit_window_s and not self.read_lag_s < self.audit_window_s <= self.retention_s:
            raise InvalidSettings(
                f"{PREFIX}AUDIT_WINDOW_S must be above {PREFIX}READ_LAG_S ({self.read_lag_s:g}) and not above "
                f"{PREFIX}RETENTION_S ({self.retention_s:g}), or 0 for no audits: what is trimmed cannot be compared."
            )
        if self.history_url and not self.history_url.startswith(("sqlite:", "postgresql:", "postgres:")):
            raise InvalidSettings(
                f"{PREFIX}HISTORY_URL must be of SQLite (sqlite:////path/of/a/file) or PostgreSQL (postgresql://…)."
            )
        if self.retry_cap_s < self.retry_base_s:
            raise InvalidSettings(f"{PREFIX}RETRY_CAP_S must not be below {PREFIX}RETRY_BASE_S.")

    def _check_routes(self) -> None:
        if malformed := [route for route in self.routes if route.count("=") != 1 or route.startswith("=")]:
            raise InvalidSettings(
                f"{PREFIX}ROUTES: {malformed[0]!r} must have the form kind=lane, such as refund=refunds."
            )
        unlisted = sorted({route.partition("=")[2] for route in self.routes} - set(self.lanes))
        if unlisted:
            raise InvalidSettings(
                f"{PREFIX}ROUTES sends work to {', '.join(unlisted)}, which {PREFIX}LANES does not list, "
                "so no worker would take it: add the lane or change the route."
            )
        kinds = [route.partition("=")[0] for route in self.routes]
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise InvalidSettings(f"{PREFIX}ROUTES: {twice[0]!r} stands there twice; keep one lane for it.")
        for kind in kinds:
            # Any other may be one of a newer version, which has the same settings while it takes this one's place.
            if kind not in KINDS and (meant := get_close_matches(kind, KINDS, 1, MISSPELT)):
                raise InvalidSettings(f"{PREFIX}ROUTES: there is no kind {kind!r}; did you mean {meant[0]}?")

    def _own_queues(self) -> tuple[str, ...]:
        return tuple(f"{self.namespace}.{lane}" for lane in (*self.lanes, CONFIRM_LANE, INGEST_LANE))

    def _as_kept(self, queue: str) -> str:
        """The name of a queue as the broker has it: on Amazon SQS with dashes for dots."""
        return queue.replace(".", "-") if self.broker_address.scheme == "sqs" else queue

    def journal_address(self, target: str) -> RedisAddress:
        """Where the journal of a target is; that of one which the settings do not name is where most are."""
        ledger = self.ledgers.get(target)
        if ledger is not None and ledger.redis_url:
            return self.redis_address(ledger.variable("redis_url").removeprefix(PREFIX), ledger.redis_url)
        return self.redis_address("REDIS_URL", self.redis_url)

    def keyring(self, target: str) -> Keyring:
        """The keys under which the journal of a target is encrypted; none where it is not.

        Raises:
            InvalidSettings: They cannot be used.
        """
        own = self.ledgers.get(target)
        if own is not None and target != DEFAULT_TARGET and (own.encryption_keys or own.encryption_keys_file):
            variable = own.variable("encryption_keys_file" if own.encryption_keys_file else "encryption_keys")
            return Keyring(own.encryption_keys, own.encryption_keys_file, variable)
        variable = f"{PREFIX}ENCRYPTION_KEYS{'_FILE' if self.encryption_keys_file else ''}"
        if self.encryption_keys and self.encryption_keys_file:
            raise InvalidSettings(f"{PREFIX}ENCRYPTION_KEYS and {variable} are both set; keep one of them.")
        return Keyring(self.encryption_keys, self.encryption_keys_file, variable)

    @property
    def broker_address(self) -> RedisAddress | BrokerAddress:
        """Where the Celery broker is."""
        name, url = ("BROKER_URL", self.broker_url) if self.broker_url else ("REDIS_URL", self.redis_url)
        address = parsed_broker(PREFIX + name, url) if self.broker_url else self.redis_address(name, url)
        if isinstance(address, BrokerAddress):
            return address
        if address.asks == CLUSTER:
            what = "leads to" if self.broker_url else f"is empty, and {PREFIX}REDIS_URL leads to"
            raise InvalidSettings(
                f"{PREFIX}BROKER_URL {what} a Redis Cluster, which Celery cannot use as a broker: give it the address "
                "of another Redis or Valkey without cluster mode, of RabbitMQ (amqp://) or of Amazon SQS (sqs://)."
            )
        return self._with_tls(address)

    def redis_address(self, name: str, url: str) -> RedisAddress:
        """An address of a Redis, with what the settings say of TLS.

        Args:
            name: The setting that it came from, without our prefix, for the message.
            url: The address.

        Raises:
            InvalidSettings: It would not work.
        """
        return self._with_tls(RedisAddress.parsed(PREFIX + name, url))

    def _with_tls(self, address: RedisAddress) -> RedisAddress:
        files = {
            "ssl_ca_certs": self.redis_ca_bundle,
            "ssl_certfile": self.redis_client_cert,
            "ssl_keyfile": self.redis_client_key,
        }
        return address.with_tls({key: path for key, path in files.items() if path})

    @property
    def broker(self) -> str:
        """The Celery broker's URL, in the words of Celery."""
        return self.broker_address.broker_url()

    def prefix(self, target: str) -> str:
        """First part of every key of a target's journal: a hash tag, and in it the version of the keys' names.

        Example:
            >>> Settings(namespace="pay").prefix("eu")
            '{pay:v1:eu}:'
        """
        return f"{{{self.namespace}:v1:{target}}}:"

    def route(self, kind: str) -> str:
        """The lane of a kind."""
        for route in self.routes:
            name, _, lane = route.partition("=")
            if name == kind:
                return lane
        return self.lanes[0]

    @classmethod
    def from_env(cls, **overrides: Any) -> Settings:
        """Read the settings from environment variables; each may also be a file named by ``<variable>_FILE``.

        Args:
            **overrides: Fields that win over the environment.

        Returns:
            The settings.

        Raises:
            InvalidSettings: A variable is malformed, contradicts another, or is unknown under our prefix.
        """
        given = Environment(os.environ)
        names = given.names("targets")
        given.check(read_from_env(), OF_TARGET.values(), names)
        values: dict[str, Any] = {"sentry_dsn": os.environ.get("SENTRY_DSN", "")}
        values |= given.values(item for item in read_from_env() if item.name != "targets")
        of_targets = {name: given.values(OF_TARGET.values(), name) for name in names}
        try:
            if names:
                values["targets"] = tuple(Target(name=name, **fields) for name, fields in of_targets.items())
            return cls(**{**values, **overrides})
        except InvalidSettings as refusal:
            raise given.told(refusal) from None


def _unreadable(path: str) -> str:
    """Why a file cannot be read; empty where it can."""
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return ""


def read_from_env() -> tuple[Field[Any], ...]:
    return tuple(item for item in fields(Settings) if item.init)
