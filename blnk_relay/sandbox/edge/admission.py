"""Who is let in: Cloud's tokens and scopes, or a bare Core's keys (contract §1.2, §2.0)."""

from __future__ import annotations

import hashlib
from typing import Any

from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.edge.injection import damage, object_of
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, text_answer, unknown_path
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.options import Options
from blnk_relay.sandbox.routes.routing import Route, Scope

#: The header of a bare Core.
KEY_HEADER = "x-blnk-key"

#: First path segments and what a scoped key calls them; any other is an unknown resource.
_RESOURCES = {
    "ledgers": "ledgers",
    "balances": "balances",
    "identities": "identities",
    "transactions": "transactions",
    "refund-transaction": "transactions",
    "reconciliation": "reconciliation",
}
_ACTIONS = {"GET": "read", "DELETE": "delete"}


def cloud_refusal(core: Core, request: WireRequest, route: Route | None) -> Answer | None:
    """Cloud's own refusals; their status and body are a guess (contract §1.2)."""
    options = core.options
    if route is not None and route.scope is Scope.NONE:
        return None
    token = _cloud_token(request)
    if not token:
        return _says(options, 401, "AUTH_MISSING_API_KEY", "missing token")
    scopes = ("*",) if token == options.token else options.tokens.get(token)
    if scopes is None:
        scopes = core.oauth.scopes_of(token, core.clock.now_ns())
    if scopes is None:
        return _says(options, 401, "AUTH_INVALID_API_KEY", "invalid or expired token")
    instance_id = request.query.get("instance_id", "")
    if not instance_id:
        return _says(options, 400, "GEN_MISSING_PARAMETER", "instance_id is required")
    if instance_id != options.instance_id:
        return _says(options, 404, "GEN_NOT_FOUND", "instance not found")
    if route is None:
        return unknown_path()
    if "*" not in scopes and route.scope.value not in scopes:
        message = f"the token lacks the scope {route.scope.value}"
        return _says(options, 403, "AUTH_INSUFFICIENT_PERMISSIONS", message)
    return None


def _cloud_token(request: WireRequest) -> str:
    """The bearer token; or the key in the header of a bare Core, as the official clients send it (contract §14.3)."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else request.headers.get(KEY_HEADER, "")


def _says(options: Options, status: int, code: str, message: str) -> Answer:
    if options.edge_errors == "text":
        return text_answer(status, message)
    body: dict[str, Any] = {"error": message}
    if options.edge_errors == "error_detail":
        body["error_detail"] = {"code": code, "message": message}
    return json_answer(status, body)


def core_refusal(core: Core, request: WireRequest, route: Route | None) -> Answer | None:
    """A bare Core's refusals, as measured; the key is asked for before the path is looked at."""
    options = core.options
    if route is not None and route.scope is Scope.NONE:
        return None
    key = request.headers.get(KEY_HEADER, "")
    if not key:
        return error_answer("AUTH_MISSING_API_KEY", "Authentication required. Use X-Blnk-Key header")
    if key != options.core_key:
        scopes = options.core_keys.get(key)
        if scopes is None:
            return error_answer("AUTH_INVALID_API_KEY", "Invalid API key")
        refused = _scoped_refusal(request, scopes)
        if refused is not None:
            return refused
        _mark(request, key)
    return unknown_path() if route is None else None


def _scoped_refusal(request: WireRequest, scopes: tuple[str, ...]) -> Answer | None:
    resource = _RESOURCES.get(request.path.strip("/").partition("/")[0])
    if resource is None:
        # The metadata route begins with an id, so no scoped key may use it (contract §2.0).
        return error_answer("AUTH_UNKNOWN_RESOURCE", "Unknown resource type")
    action = _ACTIONS.get(request.method, "write")
    if {f"{resource}:{action}", f"{resource}:*", "*:*"}.isdisjoint(scopes):
        return error_answer("AUTH_INSUFFICIENT_PERMISSIONS", f"Insufficient permissions for {resource}:{action}")
    return None


def _mark(request: WireRequest, key: str) -> None:
    """With a scoped key the body is decoded and written again, and its metadata names the key (contract §1.5)."""
    document = object_of(request)
    if request.method != "POST" or not document:
        return
    damage(request)
    document = object_of(request)
    meta = document.get("meta_data")
    name = "api_key_" + hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    marked = {**(meta if isinstance(meta, dict) else {}), "BLNK_GENERATED_BY": name}
    request.replace_document({**document, "meta_data": marked})
