"""Targets: the ledgers that intents may be sent to, each with its own address and its own credential."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import Field, dataclass, fields
from typing import Any

from blnk_relay.address import check_base_url, normalised
from blnk_relay.environment import PREFIX, setting
from blnk_relay.errors import InvalidSettings
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.text import identity_problem

__all__ = ["APIS", "CLOUD_URL", "CONFIRM_ROUTES", "Target", "normalised", "target_fields"]

#: Where Blnk Cloud is (contract §1.1).
CLOUD_URL = "https://api.cloud.blnkfinance.com"

#: The ways to talk to a ledger: through Blnk Cloud, or to a Core of one's own.
APIS = ("cloud", "core")

CONFIRM_ROUTES = ("filters", "data", "core")

#: Single underscores only: two of them end the name within a variable's name, so no two names can be confused.
_NAME = re.compile(r"^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$")
_LONGEST_NAME = 32

#: Ways to prove who we are, by the fields that they need; a target has at most one.
_CREDENTIALS = (("token",), ("token_file",), ("oauth_client_id", "oauth_client_secret", "oauth_refresh_token"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One ledger. Immutable; its secrets are not in its ``repr``.

    Args:
        name: What intents call it: lower-case letters and digits, joined by single underscores.
        api: ``cloud`` (the Proxy API of Blnk Cloud) or ``core`` (a Core of your own, without Cloud).
        base_url: Its address.
        instance_id: With ``cloud``: the instance that every request names.
        token: API key: a bearer token with ``cloud``, ``X-Blnk-Key`` with ``core``.
        token_file: File that holds the API key, read again when it changes.
        oauth_client_id: With ``cloud``: the client that refreshes access tokens.
        oauth_client_secret: Its secret.
        oauth_refresh_token: The refresh token of a new login; afterwards the stored one is used.
        ca_bundle: File of certificate authorities.
        confirm_route: How outcomes are read back.
        redis_url: The Redis that keeps its journal; empty for the one that all share.
        encryption_keys: Keys under which its journal is encrypted; empty for those that all share.
        encryption_keys_file: File that holds them instead, read again when it changes.

    Raises:
        InvalidSettings: Its settings contradict each other; the sentence says what to change.

    Example:
        >>> Target(name="eu", instance_id="inst_1", token="blnk_secret").variable("token")
        'BLNK_RELAY_EU__TOKEN'
    """

    name: str
    api: str = setting(
        "cloud",
        "`cloud`: the Proxy API of Blnk Cloud; `core`: a Blnk Core of your own, without Cloud.",
    )
    base_url: str = setting(CLOUD_URL, "Address of the Blnk Cloud API (contract §1.1), or of your Core.")
    instance_id: str = setting("", "The Blnk instance that every request names (contract §1.1); only with `cloud`.")
    token: str = setting(
        "",
        "API key. Of Blnk Cloud it needs the scopes proxy:write and data:read; of a Core it should be the master key.",
        secret=True,
    )
    token_file: str = setting("", "File that holds the API key; it is read again when it changes.")
    oauth_client_id: str = setting("", "OAuth client of Blnk Cloud, instead of an API key (contract §1.3).")
    oauth_client_secret: str = setting("", "Secret of that client.", secret=True)
    oauth_refresh_token: str = setting(
        "",
        "Refresh token of a new login. It rotates, so afterwards the one kept in Redis is used; "
        "a value that was never used before takes its place.",
        secret=True,
    )
    ca_bundle: str = setting("", "File of certificate authorities to trust instead of the built-in ones.")
    confirm_route: str = setting(
        "filters",
        "How outcomes are read back: `filters` (the ledger's filter routes), `data` (Data API, only with `cloud`) or "
        "`core` (GET routes of Core).",
    )
    redis_url: str = setting(
        "", "The Redis or Valkey that keeps its journal; empty: BLNK_RELAY_REDIS_URL, as for the others.", secret=True
    )
    encryption_keys: str = setting(
        "",
        "Keys under which its journal is encrypted; empty: those of BLNK_RELAY_ENCRYPTION_KEYS, as for the others.",
        secret=True,
    )
    encryption_keys_file: str = setting("", "File that holds them instead; it is read again when it changes.")

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST_NAME:
            raise InvalidSettings(
                f"{PREFIX}TARGETS: {self.name!r} cannot be the name of a target; use at most "
                f"{_LONGEST_NAME} lower-case "
                "letters and digits, beginning with a letter, joined by single underscores."
            )
        for name, allowed in (("api", APIS), ("confirm_route", CONFIRM_ROUTES)):
            if getattr(self, name) not in allowed:
                raise InvalidSettings(
                    f"{self.variable(name)} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}."
                )
        check_base_url(self.variable("base_url"), self.base_url)
        given = [next(name for name in way if getattr(self, name)) for way in _CREDENTIALS if self._any(way)]
        if len(given) > 1:
            both = " and ".join(self.variable(name) for name in given)
            raise InvalidSettings(f"{both} are both set; a target has one credential: keep one of them.")
        if self.encryption_keys and self.encryption_keys_file:
            raise InvalidSettings(
                f"{self.variable('encryption_keys')} and {self.variable('encryption_keys_file')} are both set; keep "
                "one of them."
            )
        if self.oauth and not (self.oauth_client_id and self.oauth_client_secret):
            raise InvalidSettings(
                f"{self.variable('oauth_client_id')} and {self.variable('oauth_client_secret')} are needed together: "
                "a refresh names the client."
            )
        if self.instance_id and (problem := identity_problem(self.instance_id)):
            raise InvalidSettings(f"{self.variable('instance_id')}: {problem}")
        if self.api == "core":
            self._check_core()

    def _check_core(self) -> None:
        if self.oauth:
            raise InvalidSettings(
                f"{self.variable('oauth_client_id')}: a Core does not know OAuth; give it an API key."
            )
        if self.instance_id:
            raise InvalidSettings(
                f"{self.variable('instance_id')}: a Core is one instance and has no id; leave it out, "
                f"or set {self.variable('api')} to cloud."
            )
        if self.confirm_route == "data":
            raise InvalidSettings(f"{self.variable('confirm_route')}: a Core has no Data API; use filters or core.")

    def _any(self, names: tuple[str, ...]) -> bool:
        return any(getattr(self, name) for name in names)

    @property
    def oauth(self) -> bool:
        """Whether its credential is an OAuth client."""
        return self._any(_CREDENTIALS[-1])

    @property
    def configured(self) -> bool:
        """Whether anything was said about where it is or who we are."""
        return self.base_url != CLOUD_URL or bool(self.instance_id) or any(map(self._any, _CREDENTIALS))

    @property
    def ledger(self) -> str:
        """Which ledger it is: the way to it, its address and its instance; empty where nothing is said about it.

        Example:
            >>> Target(name="own", api="core", base_url="http://Core:5001/", token="secret").ledger
            'core http://core:5001 -'
        """
        if not self.configured:
            return ""
        return f"{self.api} {normalised(self.base_url)} {self.instance_id or '-'}"

    def variable(self, field_name: str) -> str:
        """The environment variable of one of its fields."""
        scope = "" if self.name == DEFAULT_TARGET else f"{self.name.upper()}__"
        return f"{PREFIX}{scope}{field_name.upper()}"

    def require(self) -> None:
        """See that nothing is missing that a worker needs; a producer needs none of it.

        Raises:
            InvalidSettings: Something is.
        """
        if self.api == "cloud" and not self.instance_id:
            raise InvalidSettings(
                f"{self.variable('instance_id')} is needed to post to the ledger: the id of the instance, as "
                "Blnk Cloud shows it."
            )
        if self.api == "core" and self.base_url == CLOUD_URL:
            raise InvalidSettings(f"{self.variable('base_url')} is needed: the address of your Core.")
        if not any(map(self._any, _CREDENTIALS)):
            raise InvalidSettings(
                f"{self.variable('token')} is needed to post to the ledger: its API key. Instead of it there may be "
                f"{self.variable('token_file')}{'' if self.api == 'core' else ', or an OAuth client'}."
            )


def target_fields() -> tuple[Field[Any], ...]:
    """What there is to set of a target, besides its name."""
    return fields(Target)[1:]


def told_twice(targets: Iterable[Target]) -> list[str]:
    """Sentences about targets that are one ledger under several names.

    Args:
        targets: All that the settings name.
    """
    names: dict[str, list[str]] = {}
    for target in targets:
        names.setdefault(target.ledger, []).append(target.name)
    return [
        f"targets {', '.join(several)} are one ledger ({ledger}): each has a journal of its own, so a key that is "
        "enqueued for two of them is written twice, and none waits for what another writes to the same row"
        for ledger, several in names.items()
        if ledger and len(several) > 1
    ]
