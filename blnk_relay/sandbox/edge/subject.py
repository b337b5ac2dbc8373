"""What a request is about, in words that are the same for every repeat and in every run.

Ids are random, references and contents are the client's: whatever has a random id is named by what the
client called it, so that a seeded plan of faults strikes the same requests each time.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.http.form import boundary_of
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.ids import TRANSACTION_ID_LENGTH
from blnk_relay.sandbox.routes.routing import Route

#: Families are a few rows deep; a chain longer than this is not followed.
_MAX_DEPTH = 12

#: References of a batch that are spelled out, so that a script can name one.
_SHOWN_REFERENCES = 10

_ID = re.compile(rb"(?:txn|bln|ldg|idt|bulk|rule|upload|recon)_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def identity_of(books: LiveBooks, entity_id: str) -> str:
    """A stable name of what an id stands for; the id itself when it stands for nothing."""
    return _named(books, entity_id, _MAX_DEPTH)


def _named(books: LiveBooks, entity_id: str, depth: int) -> str:
    row = books.rows.get(entity_id)
    if row is None or depth == 0:
        return books.names.get(entity_id, entity_id)
    reference = row.reference
    if reference.startswith("txn_") and reference[:TRANSACTION_ID_LENGTH] in books.rows:
        root = _named(books, reference[:TRANSACTION_ID_LENGTH], depth - 1)
        derived, _, _ = reference[TRANSACTION_ID_LENGTH:].partition("_act_")
        return root + derived
    if reference.startswith("ref_") and row.parent_transaction:
        return f"{_named(books, row.parent_transaction, depth - 1)}_{row.status.value.lower()}"
    return reference


def request_identity(books: LiveBooks, request: WireRequest, route: Route | None, document: dict[str, Any]) -> str:
    """What a whole request is about.

    Args:
        books: For the names behind ids.
        request: The request.
        route: Who answers it; None for an unknown path.
        document: Its JSON body, empty when it has none.

    Returns:
        The reference of a transaction; of a bulk the path and the first references; elsewhere the path and, by their
        names, the ids in it, with a digest of the body.
    """
    pattern = request.path if route is None else route.pattern
    if request.method == "POST" and pattern.endswith("/transactions"):
        return str(document.get("reference", ""))
    for name, value in request.params.items():
        pattern = pattern.replace(f":{name}", identity_of(books, value), 1)
    items = document.get("transactions", document.get("transaction_ids"))
    if isinstance(items, list) and "/bulk" in pattern:
        references = [_item_name(books, item) for item in items]
        shown = ",".join(references[:_SHOWN_REFERENCES])
        return f"{pattern}:{shown}#{_digest(','.join(references).encode())}"
    if not request.body:
        return pattern
    return f"{pattern}#{_digest(_stable_body(books, request))}"


def _item_name(books: LiveBooks, item: object) -> str:
    """The reference of a new transaction, or of the hold that is to be settled."""
    if isinstance(item, dict):
        return str(item.get("reference") or identity_of(books, str(item.get("transaction_id", ""))))
    return identity_of(books, str(item))


def _stable_body(books: LiveBooks, request: WireRequest) -> bytes:
    """The body without what a client or the ledger invents anew for each attempt or run."""
    content_type = request.headers.get("content-type", "")
    if content_type.startswith("application/x-www-form-urlencoded"):
        # Codes and refresh tokens are new each time; what is asked for is not.
        return re.sub(rb"(code|refresh_token)=[^&]*", rb"\1", request.body)
    body = request.body
    boundary = boundary_of(content_type) if content_type.startswith("multipart/") else None
    if boundary is not None:
        body = body.replace(boundary.encode(), b"")
    return _ID.sub(lambda found: identity_of(books, found[0].decode()).encode(), body)


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=6).hexdigest()
