"""OAuth at Cloud's edge: codes, access tokens that expire, refresh tokens that rotate (contract §1.3).

The answer to a refresh can be lost like any other; then the client holds a refresh token that is dead,
which is why a real client must be able to live with that.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.http.answers import Answer, json_answer

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects
    from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.options import DEFAULT_SCOPES


def authorize(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /oauth/authorize: a login that always succeeds, and goes back with a code."""
    query = request.query
    redirect_uri = query.get("redirect_uri", "")
    if query.get("response_type") != "code" or query.get("client_id") != core.options.oauth_client_id:
        return json_answer(400, {"error": "invalid_request"})
    code = core.oauth.new_code(DEFAULT_SCOPES, redirect_uri)
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
