"""Reads of the past: a balance at a time, and fund lineage, of which there never is any (contract §1.6)."""

from __future__ import annotations

from blnk_relay.sandbox.books.rows import Effect
from blnk_relay.sandbox.clock import parse_rfc3339, rfc3339
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest

_MOVED = (Effect.APPLY, Effect.COMMIT)


def balance_at(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/:id/at; a row counts from its effective date on, or from its creation without one."""
    text = request.query.get("timestamp", "")
    if not text and request.path.startswith("/proxy/"):
        # Cloud requires it, Core does not; what Cloud answers nobody has seen.
        return json_answer(400, {"error": "timestamp is required"})
    try:
        at_ns = parse_rfc3339(text) if text else core.clock.now_ns()
        balance = core.books.require_balance(request.params["id"])
    except ValueError:
        return error_answer("BAL_INVALID_TIMESTAMP", "invalid timestamp format: it must be RFC 3339")
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade={"GEN_NOT_FOUND": "BAL_NOT_FOUND"})
    credit = debit = 0
    for row in core.books.rows.values():
        if row.effect not in _MOVED or (row.effective_ns or row.created_ns) > at_ns:
            continue
        credit += row.precise_amount if row.destination == balance.balance_id else 0
        debit += row.precise_amount if row.source == balance.balance_id else 0
    shown = {
        "balance": credit - debit,
        "credit_balance": credit,
        "debit_balance": debit,
        "currency": balance.currency,
        "balance_id": balance.balance_id,
    }
    return json_answer(200, {"balance": shown, "timestamp": rfc3339(at_ns), "from_source": False})


def balance_lineage(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /balances/:id/lineage; the sandbox keeps no lineage, so it is always empty."""
    try:
        balance = core.books.require_balance(request.params["id"])
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade={"GEN_NOT_FOUND": "BAL_NOT_FOUND"})
    if not balance.track_fund_lineage:
        text = f"balance {balance.balance_id} does not have fund lineage tracking enabled"
        return error_answer("GEN_BAD_REQUEST", text)
    return json_answer(200, {"balance_id": balance.balance_id, "total_with_lineage": 0, "providers": []})


def transaction_lineage(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /transactions/:id/lineage."""
    row_id = request.params["id"]
    if row_id not in core.books.rows:
        return error_answer("TXN_NOT_FOUND", f"Transaction with ID '{row_id}' not found", {})
    return json_answer(200, {"transaction_id": row_id, "shadow_transactions": []})
