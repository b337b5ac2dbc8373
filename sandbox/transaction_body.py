"""The transaction object as Core's own routes answer it (contract §2.0)."""

from __future__ import annotations

from typing import Any

from .clock import rfc3339
from .execution import INFLIGHT_MARK
from .money import json_number
from .rows import Txn


def transaction_body(txn: Txn) -> dict[str, Any]:
    """The JSON object of a transaction; the mark of a hold moves from the metadata to its own field."""
    body: dict[str, Any] = {}
    if txn.precise_amount is not None:
        body["precise_amount"] = txn.precise_amount
    body["amount"] = json_number(txn.amount)
    if txn.amount_string:
        body["amount_string"] = txn.amount_string
    body["precision"] = json_number(txn.precision)
    body["overdraft_limit"] = json_number(txn.overdraft_limit)
    body["transaction_id"] = txn.transaction_id
    body["parent_transaction"] = txn.parent_transaction
    if txn.source:
        body["source"] = txn.source
    if txn.destination:
        body["destination"] = txn.destination
    body["reference"] = txn.reference
    body["currency"] = txn.currency
    if txn.description:
        body["description"] = txn.description
    meta = txn.meta
    held = meta.get(INFLIGHT_MARK) is True
    if held:
        meta = {name: value for name, value in meta.items() if name != INFLIGHT_MARK}
    body["status"] = "" if txn.status is None else txn.status.value
    body["hash"] = txn.hash
    body["allow_overdraft"] = txn.allow_overdraft
    body["inflight"] = txn.inflight or held
    body["skip_queue"] = txn.skip_queue
    body["atomic"] = txn.atomic
    if txn.sources:
        body["sources"] = [_distribution(part) for part in txn.sources]
    if txn.destinations:
        body["destinations"] = [_distribution(part) for part in txn.destinations]
    body["created_at"] = rfc3339(txn.created_ns)
    if txn.effective_ns is not None:
        body["effective_date"] = rfc3339(txn.effective_ns)
    body["scheduled_for"] = rfc3339(txn.scheduled_ns)
    body["inflight_expiry_date"] = rfc3339(txn.expiry_ns)
    body["inflight_commit_date"] = rfc3339(txn.commit_ns)
    if meta:
        body["meta_data"] = meta
    return body


def _distribution(part: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in part.items() if text or name != "precise_distribution"}
