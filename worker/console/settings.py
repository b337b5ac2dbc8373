"""Settings of the console: environment variables that begin with ``BLNK_RELAY_CONSOLE_`` (docs/console.md)."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from blnk_relay import InvalidSettings
from blnk_relay.environment import PREFIX, Environment, check_number, setting

#: First part of every variable of ours.
VARIABLES = f"{PREFIX}CONSOLE_"

#: The ways to sign in.
TOKEN, PROXY, OIDC = WAYS = ("token", "proxy", "oidc")

#: Rights by name; ``worker.console.signin.rights`` has what they mean.
RIGHTS = ("viewer", "operator", "approver", "payload")

#: Shortest secret that a proxy may share with us.
_LEAST_SECRET = 24

#: The smallest and the largest of each number; times are in seconds, and a session ends within a year.
_BOUNDS: Mapping[str, tuple[float, float]] = {
    "port": (1, 65_535),
    "most_at_once": (1, 1_000_000),
    "session_s": (0.001, 31_536_000),
    "idle_s": (0.001, 31_536_000),
}

#: A key of the API: a name, SHA-256 of the key, and rights.
_API_KEY = re.compile(r"^([a-z][a-z0-9_.-]{0,31}):([0-9a-f]{64}):([a-z]+(?:\+[a-z]+)*)$")

_HEADER = re.compile(r"^[A-Za-z][A-Za-z0-9-]{0,63}$")

#: Hosts that are this machine whatever its names are.
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a script or a scraper.

    Attributes:
        name: Whose.
        digest: SHA-256 of the key, in hex: the key itself stands nowhere.
        rights: By name.
    """

    name: str
    digest: str
    rights: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSettings:
    """All settings of the console. Immutable.

    Raises:
        InvalidSettings: A value cannot be, or contradicts another; the sentence says what to change.
    """

    host: str = setting("127.0.0.1", "Address to listen at; another than loopback only with `proxy` or `oidc`.")
    port: int = setting(8571, "Port to listen at; 0: any free one.")
    url: str = setting(
        "",
        "Address at which browsers find the console, such as `https://relay.example.com`; needed with `proxy` and "
        "`oidc`. Requests for other hosts are refused.",
    )
    sign_in: str = setting(
        TOKEN,
        "`token`: on loopback, with a token that is printed once; `proxy`: a reverse proxy says who it is; `oidc`: an "
        "identity provider does.",
    )
    token_rights: tuple[str, ...] = setting(RIGHTS, "With `token`: the rights of whoever has it.")
    viewers: tuple[str, ...] = setting((), "Groups whose members may look; `*` for everybody who was let in.")
    operators: tuple[str, ...] = setting((), "Groups whose members may also replay, pause, resume, cancel.")
    approvers: tuple[str, ...] = setting(
        (), "Groups whose members may also discard, act on many at once, and replay letters of class *unknown*."
    )
    payloads: tuple[str, ...] = setting(
        (), "Groups whose members may look at payloads, which hold personal data; each look is noted in the action log."
    )
    most_at_once: int = setting(100, "Letters that an operator may replay at once; more need an approver.")
    session_s: float = setting(28_800.0, "How long a session lasts at most.")
    idle_s: float = setting(3_600.0, "How long a session lasts without a request.")
    proxy_from: tuple[str, ...] = setting(
        (), "With `proxy`: addresses or networks of the proxy, such as `10.0.0.5,10.1.0.0/24`; nobody else is believed."
    )
    proxy_secret: str = setting(
        "",
        "With `proxy`: what the proxy sends in the header X-Relay-Console-Secret, 24 characters or more.",
        secret=True,
    )
    proxy_user_header: str = setting("X-Forwarded-User", "With `proxy`: the header that names the user.")
    proxy_groups_header: str = setting(
        "X-Forwarded-Groups", "With `proxy`: the header that names the user's groups, with commas between them."
    )
    oidc_issuer: str = setting("", "With `oidc`: the issuer, whose `/.well-known/openid-configuration` is read.")
    oidc_client_id: str = setting("", "With `oidc`: the client that the console is there.")
    oidc_client_secret: str = setting("", "With `oidc`: its secret.", secret=True)
    oidc_scopes: tuple[str, ...] = setting(
        ("openid", "email", "profile"), "With `oidc`: the scopes that are asked for."
    )
    oidc_user_claim: str = setting("email", "With `oidc`: the claim of the ID token that names the user.")
    oidc_groups_claim: str = setting("groups", "With `oidc`: the claim of the ID token that lists the user's groups.")
    api_keys: tuple[str, ...] = setting(
        (),
        "Keys of scripts and scrapers, as `name:SHA-256 of the key in hex:rights`, such as "
        "`grafana:…:viewer` or `bot:…:operator+payload`; sent as `Authorization: Bearer …`.",
    )
    metrics_open: bool = setting(default=False, doc="Whether /metrics is shown to whoever can reach the port.")

    def __post_init__(self) -> None:
        for item in fields(self):
            if type(item.default) in (int, float):
                least, most = _BOUNDS[item.name]
                zero = "any that is free" if item.name == "port" else ""
                check_number(VARIABLES + item.name.upper(), getattr(self, item.name), least, most, zero=zero)
        if self.sign_in not in WAYS:
            raise InvalidSettings(f"{VARIABLES}SIGN_IN must be one of {', '.join(WAYS)}, not {self.sign_in!r}.")
        named = [("TOKEN_RIGHTS", self.token_rights)]
        named += [(f"API_KEYS of {key.name}", key.rights) for key in self.keys_of_scripts()]
        for name, rights in named:
            if unknown := sorted(set(rights) - set(RIGHTS)):
                raise InvalidSettings(f"{VARIABLES}{name}: {unknown[0]!r} must be one of {', '.join(RIGHTS)}.")
        self._check_url()
        self._check_where()
        if self.sign_in == PROXY:
            self._check_proxy()
        if self.sign_in == OIDC:
            self._check_oidc()

    @classmethod
    def from_env(cls, **overrides: Any) -> ConsoleSettings:
        """Read them from environment variables; each may also be a file named by ``<variable>_FILE``.

        Args:
            **overrides: Fields that win over the environment; those that are None are left out.

        Raises:
            InvalidSettings: A variable is malformed, unknown, or contradicts another.
        """
        given = Environment(os.environ).part(VARIABLES.removeprefix(PREFIX), fields(cls))
        return cls(**given | {name: value for name, value in overrides.items() if value is not None})

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the console."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def secure(self) -> bool:
        """Whether browsers come by TLS, so that cookies are for TLS alone."""
        return self.url.startswith("https://")

    def keys_of_scripts(self) -> list[ApiKey]:
        """The keys of the API.

        Raises:
            InvalidSettings: One is malformed. None is quoted.
        """
        found = [_API_KEY.fullmatch(key) for key in self.api_keys]
        if not all(found):
            raise InvalidSettings(
                f"{VARIABLES}API_KEYS: each must have the form name:digest:rights, with SHA-256 of the key in 64 "
                "digits of hex, and rights with + between them."
            )
        return [ApiKey(one[1], one[2], tuple(one[3].split("+"))) for one in found if one]

    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Where the proxy is.

        Raises:
            InvalidSettings: One is not an address.
        """
        try:
            return [ipaddress.ip_network(part) for part in self.proxy_from]
        except ValueError as error:
            raise InvalidSettings(f"{VARIABLES}PROXY_FROM must list addresses or networks: {error}.") from None

    def _check_url(self) -> None:
        if not self.url:
            return
        parts = urlsplit(self.url)
        whole = parts.scheme in ("http", "https") and parts.hostname
        if not whole or parts.query or parts.fragment or parts.username:
            raise InvalidSettings(f"{VARIABLES}URL must be an address such as https://relay.example.com.")

    def _check_where(self) -> None:
        if self.sign_in == TOKEN and not self.on_loopback:
            raise InvalidSettings(
                f"{VARIABLES}HOST is {self.host}, where others can reach it, and the printed token is for this machine "
                f"alone: listen on 127.0.0.1, or set {VARIABLES}SIGN_IN to proxy or oidc (docs/console.md)."
            )
        if self.sign_in != TOKEN and not self.url:
            raise InvalidSettings(
                f"{VARIABLES}URL must say at which address browsers find the console; requests for others are refused."
            )
        if self.sign_in != TOKEN and not self.secure and not self.on_loopback:
            raise InvalidSettings(
                f"{VARIABLES}URL must begin with https:// where others can reach the console, or its cookies could be "
                "read on their way."
            )

    def _check_proxy(self) -> None:
        if not self.networks():
            raise InvalidSettings(
                f"{VARIABLES}PROXY_FROM must list the addresses of the proxy: whoever else sends its headers is not "
                "believed."
            )
        if any(network.prefixlen == 0 for network in self.networks()):
            raise InvalidSettings(f"{VARIABLES}PROXY_FROM lists every address there is; name those of the proxy.")
        if len(self.proxy_secret) < _LEAST_SECRET:
            raise InvalidSettings(
                f"{VARIABLES}PROXY_SECRET must have {_LEAST_SECRET} characters or more: an address alone is easily "
                "shared with others."
            )
        for name in ("proxy_user_header", "proxy_groups_header"):
            if not _HEADER.fullmatch(getattr(self, name)):
                raise InvalidSettings(f"{VARIABLES}{name.upper()} must be the name of a header.")
        self._check_somebody()

    def _check_oidc(self) -> None:
        for name in ("oidc_issuer", "oidc_client_id", "oidc_client_secret"):
            if not getattr(self, name):
                raise InvalidSettings(f"{VARIABLES}{name.upper()} must be set for {VARIABLES}SIGN_IN=oidc.")
        parts = urlsplit(self.oidc_issuer)
        if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise InvalidSettings(f"{VARIABLES}OIDC_ISSUER must begin with https://.")
        if "openid" not in self.oidc_scopes:
            raise InvalidSettings(f"{VARIABLES}OIDC_SCOPES must have openid among them.")
        self._check_somebody()

    def _check_somebody(self) -> None:
        if not (self.viewers or self.operators or self.approvers):
            raise InvalidSettings(
                f"nobody could do anything: name groups in {VARIABLES}VIEWERS, {VARIABLES}OPERATORS or "
                f"{VARIABLES}APPROVERS."
            )
