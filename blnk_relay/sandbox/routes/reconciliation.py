"""Reconciliation runs: started at once, finished later; a start sent again is another run (contract §2.12)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.bodies import run_body
from blnk_relay.sandbox.books.reconciliation import Run
from blnk_relay.sandbox.clock import rfc3339
from blnk_relay.sandbox.core import matching
from blnk_relay.sandbox.errors import LedgerError, MalformedRequestError
from blnk_relay.sandbox.http.answers import Answer, error_answer, json_answer, refusal
from blnk_relay.sandbox.http.request import Fields
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.money import json_number
from blnk_relay.sandbox.routes.external_files import read_record
from blnk_relay.sandbox.routes.uploads import store_records
from blnk_relay.sandbox.tables.ledger import TRANSACTIONS

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects
    from blnk_relay.sandbox.http.request import WireRequest

#: External records of one instant run (contract §2.12).
MAX_INSTANT_RECORDS = 10_000

#: What internal rows can be grouped by.
_GROUPING = frozenset(
    ["transaction_id", "parent_transaction", "source", "reference", "currency", "destination", "status", "created_at"]
)


def start(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /reconciliation/start; whether upload and rules exist is only noticed later."""
    try:
        fields = request.fields()
        upload_id = fields.text("upload_id")
        run, plan = _read_run(core, fields, upload_id, {"UploadID": bool(upload_id)})
    except LedgerError as error:
        return refusal(error, default="RECON_START_FAILED")
    _launch(core, run, plan)
    return json_answer(200, {"reconciliation_id": run.reconciliation_id})


def start_instant(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /reconciliation/start-instant; a record id that exists leaves a failed run behind."""
    upload_id = new_id("instant")
    try:
        fields = request.fields()
        items = fields.items("external_transactions")
        now_ns = core.clock.now_ns()
        records = [read_record(item, upload_id, now_ns) for item in items]
        _check_required(fields, {"ExternalTransactions": fields.has("external_transactions")})
        if not records:
            return error_answer("RECON_EXTERNAL_TXNS_REQUIRED", "external_transactions is required")
        if len(records) > MAX_INSTANT_RECORDS:
            text = f"too many external_transactions; max is {MAX_INSTANT_RECORDS}"
            return error_answer("GEN_VALIDATION_ERROR", text)
        run, plan = _read_run(core, fields, upload_id, {})
    except LedgerError as error:
        return refusal(error, default="RECON_START_FAILED")
    try:
        store_records(core, upload_id, records[0].source, records)
    except LedgerError:
        run.status = "failed"
        return error_answer("RECON_START_FAILED", "Failed to start instant reconciliation")
    _launch(core, run, plan)
    return json_answer(200, {"reconciliation_id": run.reconciliation_id})


def _check_required(fields: Fields, first: Mapping[str, bool]) -> None:
    """Refuse a body without what both starts need; all that is missing in one text.

    Args:
        fields: The body.
        first: What only one of them needs, by Core's name, and whether it is there.

    Raises:
        MalformedRequestError: Something is missing.
    """
    both = {"Strategy": bool(fields.text("strategy")), "MatchingRuleIDs": fields.has("matching_rule_ids")}
    missing = [name for name, there in {**first, **both}.items() if not there]
    if missing:
        texts = [f"Key: '{name}' Error:Field validation for '{name}' failed on the 'required' tag" for name in missing]
        raise MalformedRequestError("\n".join(texts))


def _read_run(core: Core, fields: Fields, upload_id: str, first: Mapping[str, bool]) -> tuple[Run, Fields]:
    """A stored run that has not begun, from a body that was checked."""
    strategy, rule_ids = fields.text("strategy"), fields.items("matching_rule_ids")
    fields.flag("dry_run")
    fields.text("grouping_criteria")
    _check_required(fields, first)
    if not all(isinstance(rule_id, str) for rule_id in rule_ids):
        raise MalformedRequestError("json: cannot unmarshal a value into matching_rule_ids of type string")
    if not rule_ids:
        raise LedgerError("matching_rule_ids is required", "RECON_MATCHING_RULES_REQUIRED")
    run = Run(new_id("recon"), upload_id, "started", fields.flag("dry_run"), core.clock.now_ns())
    books = core.books.reconciliation
    books.add(books.runs, run.reconciliation_id, run)
    core.books.name(run.reconciliation_id, core.books.names.get(upload_id), strategy)
    return run, fields


def _launch(core: Core, run: Run, plan: Fields) -> None:
    """Half of the time until it is seen in progress, half until it is over; a stop leaves it hanging."""
    half_s = core.options.reconciliation_s / 2

    def begin() -> None:
        run.status = "in_progress"
        core.call_in_memory(half_s, finish)

    def finish() -> None:
        try:
            _reconcile(core, run, plan)
            run.status = "completed"
            run.completed_ns = core.clock.now_ns()
        except LedgerError:
            run.status = "failed"

    core.call_in_memory(half_s, begin)


def _reconcile(core: Core, run: Run, plan: Fields) -> None:
    books = core.books.reconciliation
    rules = [books.require_rule(rule_id) for rule_id in plan.items("matching_rule_ids")]
    strategy, grouping = plan.text("strategy"), plan.text("grouping_criteria")
    records = [record for record in books.records.values() if record.upload_id == run.upload_id]
    external = [matching.external_side(record) for record in records]
    rows = list(core.books.rows.values())
    internal = [matching.internal_side(row) for row in rows]
    if strategy not in matching.STRATEGIES:
        return
    if strategy != "one_to_one" and grouping not in _GROUPING:
        raise LedgerError(f"invalid grouping criteria: {grouping}")
    if strategy == "one_to_many":
        get = TRANSACTIONS.columns.get(grouping, TRANSACTIONS.columns["status"])
        internal = matching.grouped((str(get(row)), side) for row, side in zip(rows, internal, strict=True))
    if strategy == "many_to_one":
        keyed = ((str(getattr(record, grouping, "")), side) for record, side in zip(records, external, strict=True))
        pairs, unmatched = matching.pair(internal, matching.grouped(keyed), rules)
        pairs = [(group, single) for single, group in pairs]
    else:
        pairs, unmatched = matching.pair(external, internal, rules)
    run.matched_count, run.unmatched_count = len(pairs), unmatched
    if not run.dry_run:
        _keep(core, run, pairs)


def _keep(core: Core, run: Run, pairs: list[tuple[matching.Side, matching.Side]]) -> None:
    """Remember matches and mark the matched rows, as the real ledger does in their metadata."""
    run.matched = tuple((left, right) for outer, inner in pairs for left in outer.ids for right in inner.ids)
    amounts = {name: side.amount for side, _ in pairs for name in side.ids}
    for external_id, row_id in run.matched:
        marks = {
            "reconciled": True,
            "reconciliation_id": run.reconciliation_id,
            "reconciled_at": rfc3339(core.clock.now_ns()),
            "external_txn_id": external_id,
            "reconciliation_amount": json_number(amounts[external_id]),
        }
        core.books.merge_transaction_meta(row_id, marks)


def read_run(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """GET /reconciliation/:id."""
    run = core.books.reconciliation.runs.get(request.params["id"])
    if run is None:
        return error_answer("RECON_NOT_FOUND", "Reconciliation not found")
    return json_answer(200, run_body(run) | {"is_dry_run": False})
