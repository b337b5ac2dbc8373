"""The write routes of ledgers, balances and metadata (contract §2.1, §2.2, §2.10)."""

from __future__ import annotations

import re
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, ledger_body
from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.books.rows import Balance
from blnk_relay.sandbox.core.core import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.options import GENERAL_LEDGER_ID

_INDICATOR = re.compile(r"@\S+")
_STRATEGIES = ("FIFO", "LIFO", "PROPORTIONAL")


def create_ledger(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /ledgers."""
    try:
        fields = request.fields()
        name, meta = fields.text("name"), fields.mapping("meta_data")
    except MalformedRequestError as error:
        return error_answer("GEN_MALFORMED_REQUEST", error.message, legacy_key="errors")
    if not name:
        return error_answer("GEN_VALIDATION_ERROR", "name: cannot be blank.", legacy_key="errors")
    try:
        ledger = core.books.add_ledger(name, meta, core.clock.now_ns())
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    return json_answer(201, ledger_body(ledger))


def update_ledger(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /ledgers/:id: its name; the 200 shows the whole ledger (measured)."""
    try:
        name = request.fields().text("name")
    except MalformedRequestError as error:
        return error_answer("GEN_MALFORMED_REQUEST", error.message, legacy_key="errors")
    if not name:
        return error_answer("GEN_VALIDATION_ERROR", "name: cannot be blank.", legacy_key="errors")
    ledger = core.books.ledgers.get(request.params["id"])
    if ledger is None:
        return error_answer("LGR_NOT_FOUND", "Ledger not found", {})
    try:
        core.books.rename_ledger(ledger, name)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    return json_answer(200, ledger_body(ledger))


def create_balance(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /balances."""
    try:
        fields = request.fields()
        balance = Balance(
            balance_id=new_id("bln"),
            ledger_id=fields.text("ledger_id"),
            currency=fields.text("currency"),
            identity_id=fields.text("identity_id"),
            indicator=fields.text("indicator").strip() if core.options.since("0.15.3") else "",
            meta=fields.mapping("meta_data"),
            track_fund_lineage=fields.flag("track_fund_lineage"),
            allocation_strategy=fields.text("allocation_strategy").upper().strip() or "FIFO",
            created_ns=core.clock.now_ns(),
        )
        fields.number("precision")
        problems = _balance_problems(balance)
        if problems:
            text = "; ".join(f"{name}: {problem}" for name, problem in sorted(problems.items())) + "."
            return error_answer("GEN_VALIDATION_ERROR", text, legacy_key="errors")
        core.books.add_balance(balance)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    return json_answer(201, {**balance_body(balance), "version": 0})


def _balance_problems(balance: Balance) -> dict[str, str]:
    problems: dict[str, str] = {}
    if not balance.ledger_id:
        problems["ledger_id"] = "cannot be blank"
    if not balance.currency:
        problems["currency"] = "cannot be blank"
    if balance.track_fund_lineage and not balance.identity_id:
        problems["identity_id"] = "identity_id is required when track_fund_lineage is enabled"
    if balance.allocation_strategy not in _STRATEGIES:
        problems["allocation_strategy"] = "allocation_strategy must be one of: FIFO, LIFO, PROPORTIONAL"
    if balance.indicator and balance.ledger_id != GENERAL_LEDGER_ID:
        problems["indicator"] = "indicator is only allowed for General Ledger balances (ledger_id = general_ledger_id)"
    elif balance.indicator and not _INDICATOR.fullmatch(balance.indicator):
        problems["indicator"] = "indicator must start with '@' and contain no whitespace"
    return problems


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
