"""A transaction as it is written: as Core's own routes answer it, and as a row's raw columns (contract §2.0, §1.7)."""

from __future__ import annotations

from typing import Any

from .clock import rfc3339
from .execution import INFLIGHT_MARK
from .money import json_number
from .rows import Row, Txn


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


def row_columns(row: Row) -> dict[str, Any]:
    """A transaction row as its raw columns (contract §1.7), minor units as an integer."""
    return {
        "transaction_id": row.transaction_id,
        "parent_transaction": row.parent_transaction,
        "source": row.source,
        "destination": row.destination,
        "description": row.description,
        "reference": row.reference,
        "amount": json_number(float(row.amount_text)),
        "precise_amount": row.precise_amount,
        "precision": json_number(row.precision),
        "currency": row.currency,
        "status": row.status.value,
        "hash": row.hash,
        "created_at": rfc3339(row.created_ns),
        "scheduled_for": rfc3339(row.scheduled_ns),
        "effective_date": None if row.effective_ns is None else rfc3339(row.effective_ns),
        "meta_data": dict(row.meta),
    }
