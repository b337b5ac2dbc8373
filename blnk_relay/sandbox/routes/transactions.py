"""The write routes of transactions, holds and refunds (contract §2.3, §2.5, §2.6)."""

from __future__ import annotations

from dataclasses import replace

from blnk_relay.sandbox.books.bodies import transaction_body
from blnk_relay.sandbox.core import holds, previews, refunds
from blnk_relay.sandbox.core.holds import COMMIT, VOID, Action
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.core.submission import submit
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.money import precise_from_amount
from blnk_relay.sandbox.routes.transaction_fields import read_transaction

#: How a batch begins to say what is wrong with its body.
BATCH_INTRO = "Invalid request body: "

_AN_INTEGER = (
    "invalid numeric value: precise amount fields must be sent as a JSON number in the smallest unit "
    '(for example 5000, not "5000")'
)

_NOT_FOUND = {"GEN_NOT_FOUND": "TXN_NOT_FOUND"}


def is_preview(core: Core, fields: Fields) -> bool:
    """Whether a request only asks what it would do; a Core before 0.15.3 does not know the field, and does it.

    Raises:
        MalformedRequestError: The field is no boolean, and the Core knows it.
    """
    return core.options.since("0.15.3") and fields.flag("dry_run")


def _no_balance(core: Core) -> dict[str, str]:
    """What a balance that there is not is called (contract §14.2)."""
    return {"GEN_NOT_FOUND": "BAL_NOT_FOUND"} if core.options.since("0.15.4") else _NOT_FOUND


def create_transaction(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """POST /transactions, one transaction."""
    try:
        fields = request.fields()
        txn = read_transaction(fields, core.options)
        if is_preview(core, fields):
            return json_answer(200, previews.of_transaction(core, txn))
        answered = submit(core, txn, effects)
    except MalformedRequestError:
        # This one route does not say what it could not read.
        return error_answer("GEN_MALFORMED_REQUEST", "Invalid input")
    except LedgerError as error:
        return refusal(error, default="TXN_VALIDATION_ERROR", upgrade=_no_balance(core))
    return json_answer(201, transaction_body(answered))


def malformed(core: Core, text: str) -> Answer:
    """What the routes of holds and of batches say of a body that they cannot read.

    It is labelled as plain text (contract §1.4). Since 0.15.4 they do not name the type of an amount.
    """
    if core.options.since("0.15.4") and "big.Int" in text:
        intro = text[: len(BATCH_INTRO)] if text.startswith(BATCH_INTRO) else ""
        text = intro + _AN_INTEGER
    return replace(error_answer("GEN_MALFORMED_REQUEST", text), headers={"Content-Type": "text/plain; charset=utf-8"})


def update_inflight(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """PUT /transactions/inflight/:id, a commit or a void."""
    target_id = request.params["id"]
    try:
        fields = request.fields()
        verb = fields.text("status")
        amount = fields.number("amount")
        precise_amount = fields.minor_units("precise_amount")
        skip_queue = fields.flag("skip_queue")
        if verb not in {COMMIT, VOID}:
            return error_answer("TXN_INVALID_STATUS_ACTION", "status not supported. use either commit or void")
        if precise_amount is None:
            precise_amount = precise_from_amount(amount, holds.precision_of(core, target_id))
        elif precise_amount <= 0:
            return error_answer("TXN_INVALID_AMOUNT", "precise_amount must be positive")
        action = Action(target_id, verb, precise_amount)
        if is_preview(core, fields):
            return json_answer(200, previews.of_action(core, action))
        if skip_queue:
            return _settle_now(core, action)
        shown = holds.check_queueable(core, action)
        holds.enqueue(core, action, effects)
    except MalformedRequestError as error:
        return malformed(core, error.message)
    except LedgerError as error:
        return refusal(error, default="GEN_BAD_REQUEST", upgrade=_NOT_FOUND)
    return json_answer(200, {**transaction_body(shown), "queued": True})


def _settle_now(core: Core, action: Action) -> Answer:
    settled = holds.settle_now(core, action)
    if not settled:
        return error_answer("TXN_NOT_INFLIGHT", f"no transaction to {action.verb}")
    return json_answer(200, transaction_body(settled[0]))


def refund_transaction(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """POST /refund-transaction/:id; an empty body is allowed."""
    try:
        fields = request.fields() if request.body.strip() else Fields({})
        newer = core.options.since("0.15.3")
        description = fields.text("description") if newer else ""
        meta = fields.mapping("meta_data") if newer else None
        skip_queue = fields.flag("skip_queue")
        if is_preview(core, fields):
            return json_answer(200, previews.of_refund(core, request.params["id"]))
        refunded = refunds.refund(
            core,
            request.params["id"],
            skip_queue=skip_queue,
            description=description,
            meta=meta or {},
            effects=effects,
        )
    except LedgerError as error:
        return refusal(error, default="GEN_BAD_REQUEST", upgrade=_NOT_FOUND)
    return json_answer(201, transaction_body(refunded))
