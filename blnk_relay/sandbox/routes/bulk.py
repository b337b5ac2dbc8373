"""The routes of batches: POST /transactions/bulk, and bulk commits and voids (contract §2.4, §2.13)."""

from __future__ import annotations

from typing import Any

from blnk_relay.sandbox.books.rows import Txn
from blnk_relay.sandbox.core import batches, holds, previews
from blnk_relay.sandbox.core.holds import COMMIT, VOID, Action
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.faults.effects import Effects
from blnk_relay.sandbox.http.answers import STATUS_OF, Answer, code_by_text, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields, WireRequest
from blnk_relay.sandbox.money import precise_from_amount
from blnk_relay.sandbox.options import Options
from blnk_relay.sandbox.routes.transaction_fields import read_transaction
from blnk_relay.sandbox.routes.transactions import BATCH_INTRO, is_preview, malformed

#: Items of one bulk commit or void (contract §2.13).
MAX_INFLIGHT_ITEMS = 100

#: How a failed commit or void is classified by its text; first match wins.
_ITEM_CODES = (
    ("not found", "NOT_FOUND"),
    ("has already been voided", "ALREADY_VOIDED"),
    ("Transaction already committed", "ALREADY_COMMITTED"),
    ("not in inflight status", "NOT_INFLIGHT"),
    ("cannot commit more than", "INVALID_AMOUNT"),
    ("failed to acquire lock", "LOCKED"),
)


def create_transactions(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """POST /transactions/bulk; every item is checked before the first is done."""
    try:
        fields = request.fields()
        run_async = fields.flag("run_async")
        items = fields.items("transactions")
        if not items:
            return error_answer("TXN_BULK_EMPTY", "transactions cannot be empty")
        if len(items) > batches.MAX_ITEMS:
            return error_answer("TXN_BULK_LIMIT_EXCEEDED", f"too many transactions; max is {batches.MAX_ITEMS}")
        batch = batches.Batch.of(
            _read_items(items, core.options),
            inflight=fields.flag("inflight"),
            skip_queue=fields.flag("skip_queue"),
            atomic=fields.flag("atomic"),
        )
        if is_preview(core, fields):
            return json_answer(200, previews.of_batch(core, batch))
        if run_async:
            batches.run_later(core, batch, effects)
            message = "Bulk transaction processing started"
            return json_answer(202, {"message": message, "batch_id": batch.batch_id, "status": "processing"})
    except MalformedRequestError as error:
        return malformed(core, f"{BATCH_INTRO}{error.message}")
    except LedgerError as error:
        return refusal(error, default="GEN_BAD_REQUEST")
    try:
        batches.run(core, batch, effects)
    except LedgerError as error:
        return _failed(batch.batch_id, error)
    status = "inflight" if batch.inflight else "applied"
    return json_answer(201, {"batch_id": batch.batch_id, "status": status, "transaction_count": len(batch.items)})


def _read_items(items: list[Any], options: Options) -> list[Txn]:
    # The decoder sees the whole body before any rule is applied to an item.
    read: list[Txn | LedgerError] = []
    for index, item in enumerate(items):
        if item is not None and not isinstance(item, dict):
            raise MalformedRequestError("json: cannot unmarshal a value into a transaction")
        try:
            if item is None:
                read.append(_bad_item(index, " is required"))
            else:
                read.append(read_transaction(Fields(item), options))
        except MalformedRequestError:
            raise
        except LedgerError as error:
            read.append(_bad_item(index, f": {error.message}"))
    problem = next((item for item in read if isinstance(item, LedgerError)), None)
    if problem is not None:
        raise problem
    return [item for item in read if isinstance(item, Txn)]


def _bad_item(index: int, problem: str) -> LedgerError:
    text = f"transactions[{index}]{problem}"
    return LedgerError(text, "TXN_VALIDATION_ERROR", {"index": index}, legacy_key="errors")


def _failed(batch_id: str, error: LedgerError) -> Answer:
    code = code_by_text(error.message) or "GEN_BAD_REQUEST"
    detail = {"code": code, "message": error.message, "details": {"batch_id": batch_id}}
    return json_answer(STATUS_OF[code], {"batch_id": batch_id, "error": error.message, "error_detail": detail})


def commit_holds(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """POST /transactions/inflight/bulk/commit."""
    try:
        fields = request.fields()
        actions = [_commit(core, item) for item in fields.items("transactions")]
        skip_queue = fields.flag("skip_queue")
        preview = is_preview(core, fields)
    except MalformedRequestError as error:
        return malformed(core, error.message)
    return _settle_all(core, "transactions", actions, effects, skip_queue=skip_queue, preview=preview)


def void_holds(core: Core, request: WireRequest, effects: Effects) -> Answer:
    """POST /transactions/inflight/bulk/void."""
    try:
        fields = request.fields()
        names = fields.items("transaction_ids")
        if not all(isinstance(name, str) for name in names):
            return malformed(core, "json: cannot unmarshal a value into transaction_ids of type string")
        skip_queue = fields.flag("skip_queue")
        preview = is_preview(core, fields)
    except MalformedRequestError as error:
        return malformed(core, error.message)
    actions = [Action(name, VOID, 0) for name in names]
    return _settle_all(core, "transaction_ids", actions, effects, skip_queue=skip_queue, preview=preview)


def _commit(core: Core, item: Any) -> Action:
    if not isinstance(item, dict):
        raise MalformedRequestError("json: cannot unmarshal a value into a commit")
    fields = Fields(item)
    target_id = fields.text("transaction_id")
    precise_amount = fields.minor_units("precise_amount")
    if precise_amount is None:
        precise_amount = precise_from_amount(fields.number("amount"), holds.precision_of(core, target_id))
    return Action(target_id, COMMIT, precise_amount)


def _settle_all(
    core: Core, field: str, actions: list[Action], effects: Effects, *, skip_queue: bool, preview: bool
) -> Answer:
    """200, whatever becomes of the items."""
    if not actions:
        return error_answer("TXN_BULK_EMPTY", f"{field} cannot be empty")
    if len(actions) > MAX_INFLIGHT_ITEMS:
        return error_answer("TXN_BULK_LIMIT_EXCEEDED", f"too many {field}; max is {MAX_INFLIGHT_ITEMS}")
    if preview:
        return json_answer(200, previews.of_actions(core, actions))
    settle = _settle_now if skip_queue else _queue
    results = [settle(core, action, effects) for action in actions]
    failed = sum(result["status"] == "failed" for result in results)
    return json_answer(200, {"succeeded": len(results) - failed, "failed": failed, "results": results})


def _settle_now(core: Core, action: Action, _effects: Effects) -> dict[str, str]:
    # The id is taken as the hold's own row: that of a queued parent takes other holds' money (contract §2.13).
    try:
        holds.settle(core, action.target_id, action.verb, action.precise_amount)
    except LedgerError as error:
        return _failed_item(action, error)
    return {"transaction_id": action.target_id, "status": "succeeded"}


def _queue(core: Core, action: Action, effects: Effects) -> dict[str, str]:
    queued = {"transaction_id": action.target_id, "status": "queued", "code": "QUEUED"}
    found = [] if action.target_id else holds.without_parent(core)
    if any(holds.remaining(core, hold) for hold in found):
        # Core finds the holds that have no parent, and hands over an action of which nothing comes (measured).
        return queued
    try:
        if found:
            holds.refuse_settled(action.verb)
        holds.check_queueable(core, action)
        holds.enqueue(core, action, effects)
    except LedgerError as error:
        if error.code == "GEN_CONFLICT":
            return queued | {"code": "ALREADY_QUEUED", "message": error.message}
        return _failed_item(action, error)
    return queued


def _failed_item(action: Action, error: LedgerError) -> dict[str, str]:
    text = error.quoted
    code = next((code for needle, code in _ITEM_CODES if needle in text), "INTERNAL_ERROR")
    return {"transaction_id": action.target_id, "status": "failed", "code": code, "message": text}
