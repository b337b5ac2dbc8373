"""Codes, access tokens and refresh tokens that Cloud's edge gave out (contract §1.3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.ids import new_id

#: Codes and tokens that are remembered, each; the oldest are forgotten, the bound on memory.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a code or token stands for.

    Attributes:
        scopes: What it allows.
        redirect_uri: Where its code was sent; any when empty.
        expires_ns: When it ends; None for never.
    """

    scopes: tuple[str, ...]
    redirect_uri: str = ""
    expires_ns: int | None = None


class OAuthGrants:
    """Codes, access tokens and refresh tokens that were given out."""

    def __init__(self) -> None:
        self._codes: OrderedDict[str, _Grant] = OrderedDict()
        self._access: OrderedDict[str, _Grant] = OrderedDict()
        self._refresh: OrderedDict[str, _Grant] = OrderedDict()

    def new_code(self, scopes: Sequence[str], redirect_uri: str = "") -> str:
        """A code as a browser login yields it, good for one exchange."""
        return _remember(self._codes, new_id("code"), _Grant(tuple(scopes), redirect_uri))

    def exchange(self, code: str, redirect_uri: str, expires_ns: int) -> dict[str, Any] | None:
        """Tokens for a code; None when it is unknown, used, or was sent somewhere else."""
        grant = self._codes.pop(code, None)
        if grant is None or grant.redirect_uri not in {"", redirect_uri}:
            return None
        return self._issue(grant.scopes, expires_ns)

    def refresh(self, token: str, expires_ns: int, *, old_dies: bool) -> dict[str, Any] | None:
        """New tokens for a refresh token; None when it is unknown or dead."""
        grant = self._refresh.get(token)
        if grant is None:
            return None
        if old_dies:
            del self._refresh[token]
        return self._issue(grant.scopes, expires_ns)

    def scopes_of(self, token: str, now_ns: int) -> tuple[str, ...] | None:
        """What an access token allows now; None when it is unknown or has expired."""
        grant = self._access.get(token)
        if grant is None or (grant.expires_ns is not None and grant.expires_ns <= now_ns):
            return None
        return grant.scopes

    def revoke_all(self) -> None:
        """Let no access and no refresh token work any more."""
        self._access.clear()
        self._refresh.clear()

    def _issue(self, scopes: tuple[str, ...], expires_ns: int) -> dict[str, Any]:
        return {
            "access_token": _remember(self._access, new_id("blnk_at"), _Grant(scopes, expires_ns=expires_ns)),
            "token_type": "Bearer",
            "refresh_token": _remember(self._refresh, new_id("blnk_rt"), _Grant(scopes)),
            "scope": " ".join(scopes),
        }


def _remember(grants: OrderedDict[str, _Grant], name: str, grant: _Grant) -> str:
    grants[name] = grant
    if len(grants) > _MAX_REMEMBERED:
        grants.popitem(last=False)
    return name
