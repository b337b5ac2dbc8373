"""OAuth at Cloud's edge: codes, access tokens that expire, refresh tokens that rotate (contract §1.3).

The answer to a refresh can be lost like any other; then the client holds a refresh token that is dead,
which is why a real client must be able to live with that.
"""

from __future__ import annotations

import base64
import binascii
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from .answers import Answer, json_answer
from .clock import SECOND_NS
from .ids import new_id

if TYPE_CHECKING:
    from .core import Core, Effects
    from .wire import WireRequest

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


def authorize(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /oauth/authorize: a login that always succeeds, and goes back with a code."""
    query = request.query
    redirect_uri = query.get("redirect_uri", "")
    if query.get("response_type") != "code" or query.get("client_id") != core.options.oauth_client_id:
        return json_answer(400, {"error": "invalid_request"})
    code = core.oauth.new_code(core.options.oauth_scopes, redirect_uri)
    answered = {"code": code} | ({"state": query["state"]} if "state" in query else {})
    separator = "&" if "?" in redirect_uri else "?"
    return Answer(302, b"", {"Location": f"{redirect_uri}{separator}{urlencode(answered)}"})


def token(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /oauth/token: a code or a refresh token for new tokens."""
    options = core.options
    if _basic(request) != (options.oauth_client_id, options.oauth_client_secret):
        return json_answer(401, {"error": "invalid_client"})
    form = _form(request)
    grant_type = form.get("grant_type", "")
    expires_ns = core.clock.now_ns() + round(options.oauth_expires_s * SECOND_NS)
    if grant_type == "authorization_code":
        issued = core.oauth.exchange(form.get("code", ""), form.get("redirect_uri", ""), expires_ns)
    elif grant_type == "refresh_token":
        issued = core.oauth.refresh(form.get("refresh_token", ""), expires_ns, old_dies=options.oauth_rotation)
    else:
        return json_answer(400, {"error": "unsupported_grant_type"})
    if issued is None:
        return json_answer(400, {"error": "invalid_grant"})
    return json_answer(200, issued | {"expires_in": int(options.oauth_expires_s)})


def _basic(request: WireRequest) -> tuple[str, str]:
    scheme, _, sealed = request.headers.get("authorization", "").partition(" ")
    try:
        name, _, secret = base64.b64decode(sealed, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (name, secret) if scheme.lower() == "basic" else ("", "")


def _form(request: WireRequest) -> Mapping[str, str]:
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    return dict(parse_qsl(request.body.decode(errors="replace"), max_num_fields=20))
