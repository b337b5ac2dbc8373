"""The route of metadata, one for every entity (contract §2.10)."""

from __future__ import annotations

from typing import Any

from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest


def merge_metadata(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /:id/metadata; a transaction's answer shows only what was sent (contract §2.10)."""
    entity_id = request.params["id"]
    try:
        meta = request.fields().mapping("meta_data")
        if meta is None:
            raise MalformedRequestError(
                "Key: 'MetadataRequest.Metadata' Error:Field validation for 'Metadata' failed on the 'required' tag"
            )
        merged = _merge(core.books, entity_id, meta)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    return json_answer(200, {"meta_data": merged})


def _merge(books: LiveBooks, entity_id: str, meta: dict[str, Any]) -> dict[str, Any]:
    if entity_id.startswith(("txn_", "bulk_")):
        if books.merge_transaction_meta(entity_id, meta):
            return meta
    elif entity_id.startswith(("bln_", "ldg_", "idt_")):
        record = books.balances.get(entity_id) or books.ledgers.get(entity_id) or books.identities.get(entity_id)
        if record is not None:
            return books.merge_record_meta(record, meta)
    else:
        raise LedgerError(f"invalid entity ID format: {entity_id}", "META_INVALID_ENTITY_ID")
    raise LedgerError("entity not found", "META_ENTITY_NOT_FOUND")
