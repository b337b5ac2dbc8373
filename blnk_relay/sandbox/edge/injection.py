"""What an edge does to a body on its way: defaults, and perhaps damage (contract §1.5, §6.3)."""

from __future__ import annotations

from typing import Any

from blnk_relay.sandbox.errors import MalformedRequestError
from blnk_relay.sandbox.http.request import WireRequest, through_floats
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.options import Options

#: What Cloud fills in when a transaction names no precision.
_PRECISION = 100

_CREATE, _BULK = "/proxy/transactions", "/proxy/transactions/bulk"


def inject(options: Options, request: WireRequest) -> None:
    """Change a request as Cloud does, with the switches of an instance."""
    if request.method == "POST" and options.inject_defaults:
        document = object_of(request)
        if request.path == _CREATE and document:
            request.replace_document(_completed(document))
        items = document.get("transactions")
        if request.path == _BULK and options.inject_into_bulk and isinstance(items, list):
            done = [_completed(item) if isinstance(item, dict) else item for item in items]
            request.replace_document({**document, "transactions": done})
    if options.round_big_ints and request.body:
        damage(request)


def damage(request: WireRequest) -> None:
    """Decode and re-encode a body through floats; one that is no JSON is left alone."""
    try:
        request.replace_document(through_floats(request.document()))
    except MalformedRequestError:
        return


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    missing: dict[str, Any] = {}
    if document.get("precision") is None:
        missing["precision"] = _PRECISION
    if document.get("reference") is None:
        # New for every attempt: the trap of contract §0.1 fact 8.
        missing["reference"] = new_id("ref")
    return {**document, **missing} if missing else document


def object_of(request: WireRequest) -> dict[str, Any]:
    """The body when it is a JSON object, else an empty one; never raises."""
    if request.body.lstrip()[:1] != b"{":
        return {}
    try:
        document = request.document()
    except MalformedRequestError:
        return {}
    return document if isinstance(document, dict) else {}
