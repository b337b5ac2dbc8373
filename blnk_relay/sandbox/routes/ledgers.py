"""The write routes of ledgers (contract §2.1)."""

from __future__ import annotations

from blnk_relay.sandbox.books.bodies import ledger_body
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import WireRequest


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
