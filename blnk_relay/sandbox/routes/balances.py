"""The write route of balances (contract §2.2)."""

from __future__ import annotations

import re

from blnk_relay.sandbox.books.bodies import balance_body
from blnk_relay.sandbox.books.rows import Balance
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.options import GENERAL_LEDGER_ID

_INDICATOR = re.compile(r"@\S+")
_STRATEGIES = ("FIFO", "LIFO", "PROPORTIONAL")


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
        problems["indicator"] = "indicator must start with '@' and contain no whitespace (e.g. '@cash')"
    return problems
