"""Rows and records as they are written: as Core's own routes answer them, and as raw columns (contract §2.0, §1.7)."""

from __future__ import annotations

from typing import Any

from blnk_relay.sandbox.books.reconciliation import ExternalRecord, MatchingRule, Run
from blnk_relay.sandbox.books.rows import INFLIGHT_MARK, Balance, IdentityRecord, LedgerRecord, Row, Txn
from blnk_relay.sandbox.clock import ZERO_TIME, rfc3339
from blnk_relay.sandbox.money import json_number


def identity_body(identity: IdentityRecord) -> dict[str, Any]:
    """An identity as Core answers it, every field present."""
    return {
        "identity_id": identity.identity_id,
        **identity.texts,
        "dob": identity.dob,
        "created_at": rfc3339(identity.created_ns),
        "meta_data": identity.meta,
    }


def rule_body(rule: MatchingRule) -> dict[str, Any]:
    """A rule as it is answered."""
    criteria = [
        {
            "field": one.field,
            "operator": one.operator,
            "value": one.value,
            "pattern": one.pattern,
            "allowable_drift": json_number(one.allowable_drift),
        }
        for one in rule.criteria
    ]
    return {
        "rule_id": rule.rule_id,
        "created_at": rfc3339(rule.created_ns),
        "updated_at": rfc3339(rule.updated_ns),
        "name": rule.name,
        "description": rule.description,
        "criteria": criteria,
    }


def run_body(run: Run) -> dict[str, Any]:
    """A run's columns."""
    return {
        "reconciliation_id": run.reconciliation_id,
        "upload_id": run.upload_id,
        "status": run.status,
        "matched_transactions": run.matched_count,
        "unmatched_transactions": run.unmatched_count,
        "started_at": rfc3339(run.started_ns),
        "completed_at": None if run.completed_ns is None else rfc3339(run.completed_ns),
    }


def record_body(record: ExternalRecord) -> dict[str, Any]:
    """An external record's columns."""
    return {
        "id": record.id,
        "amount": json_number(record.amount),
        "reference": record.reference,
        "currency": record.currency,
        "description": record.description,
        "date": rfc3339(record.date_ns),
        "source": record.source,
        "upload_id": record.upload_id,
    }


def ledger_body(ledger: LedgerRecord) -> dict[str, Any]:
    """A ledger as Core answers it."""
    return {
        "ledger_id": ledger.ledger_id,
        "name": ledger.name,
        "created_at": rfc3339(ledger.created_ns),
        "meta_data": ledger.meta,
    }


def balance_body(balance: Balance) -> dict[str, Any]:
    """A balance as Core answers it, minor units as integers."""
    body: dict[str, Any] = {
        "balance": balance.balance,
        "version": balance.version,
        "inflight_balance": balance.inflight_balance,
        "credit_balance": balance.credit,
        "inflight_credit_balance": balance.inflight_credit,
        "debit_balance": balance.debit,
        "inflight_debit_balance": balance.inflight_debit,
        "ledger_id": balance.ledger_id,
        "identity_id": balance.identity_id,
        "balance_id": balance.balance_id,
    }
    if balance.indicator:
        body["indicator"] = balance.indicator
    return body | {
        "currency": balance.currency,
        "created_at": rfc3339(balance.created_ns),
        "inflight_expires_at": ZERO_TIME,
        "meta_data": balance.meta,
        "track_fund_lineage": balance.track_fund_lineage,
        "allocation_strategy": balance.allocation_strategy,
    }


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
