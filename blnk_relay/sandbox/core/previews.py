"""``dry_run``: what a write would do to its balances, told without doing it. Cores have it since 0.15.3.

Nothing is stored, and the reference is not used up: the same arithmetic as that of a real post runs on copies of the
balances. The shapes are those of a running Core. An older one does not know the field, and executes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from blnk_relay.sandbox.books.rows import Balance, Status, Txn
from blnk_relay.sandbox.core import holds, refunds, splits
from blnk_relay.sandbox.core.execution import check_funds, move
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import code_by_text
from blnk_relay.sandbox.money import amount_text, json_number
from blnk_relay.sandbox.options import GENERAL_LEDGER_ID

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.batches import Batch
    from blnk_relay.sandbox.core.state import Core

_QUEUED_SPLIT = (
    "skip_queue is false: legs are queued for independent async processing with no ordering guarantee, so each is "
    "projected on its own rather than cumulatively"
)
_QUEUED_BATCH = (
    "items are dispatched concurrently unless skip_queue is set, so each item is projected independently against "
    "current balances and real execution order is not guaranteed"
)
_POOLED = (
    "items are dispatched across a worker pool, so each is projected independently against current balances and real "
    "execution order is not guaranteed"
)


class _Side:
    """A balance as it is, and a copy that is moved; one that does not exist yet is empty and *virtual*."""

    def __init__(self, core: Core, name: str, currency: str, role: str) -> None:
        found = core.books.with_indicator(name, currency) if name.startswith("@") else core.books.require_balance(name)
        self.role = role
        self.virtual = found is None
        self.before = found or Balance(name, GENERAL_LEDGER_ID, currency, indicator=name)
        self.after = replace(self.before)

    def body(self, *, applied: bool = True) -> dict[str, Any]:
        """Before and after; without effect they are the same."""
        shown: dict[str, Any] = {"balance_id": self.before.balance_id, "role": self.role}
        shown["currency"] = self.before.currency
        if self.virtual:
            shown["virtual"] = True
        for when, balance in (("current", self.before), ("resulting", self.after if applied else self.before)):
            figures = {
                "balance": balance.balance,
                "available": balance.balance - balance.inflight_debit,
                "credit_balance": balance.credit,
                "debit_balance": balance.debit,
                "inflight_debit_balance": balance.inflight_debit,
                "inflight_credit_balance": balance.inflight_credit,
            }
            shown |= {f"{when}_{name}": str(figure) for name, figure in figures.items()}
        return shown


class _Projection:
    """The balances that one preview touches, each of them once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sides: dict[str, _Side] = {}

    def apply(self, txn: Txn) -> None:
        """Move a transaction's amount between the copies.

        Raises:
            LedgerError: Why it would be refused; ``GEN_NOT_FOUND`` for a balance that there is not, which ends a
                preview as it ends the write.
        """
        source = self._side(txn.source, txn.currency, "source")
        destination = self._side(txn.destination, txn.currency, "destination")
        if source.before.balance_id == destination.before.balance_id:
            raise LedgerError(
                f"Optimistic locking failure: balance with ID '{source.before.balance_id}' "
                "may have been updated or deleted by another transaction"
            )
        try:
            effect = check_funds(txn, source.after, destination.after, strict=True)
        except LedgerError as error:
            raise error.within("failed to apply transaction to balances") from error
        move(txn.precise_amount or 0, effect, source.after, destination.after)

    def _side(self, name: str, currency: str, role: str) -> _Side:
        if name not in self._sides:
            self._sides[name] = _Side(self._core, name, currency, role)
        return self._sides[name]

    def bodies(self, *, applied: bool = True) -> list[dict[str, Any]]:
        """All balances that were touched, in that order."""
        return [side.body(applied=applied) for side in self._sides.values()]


def _rejection(message: str) -> dict[str, str]:
    reasons = {"insufficient funds": "insufficient_funds", "overdraft limit": "overdraft_limit"}
    reason = next((reason for text, reason in reasons.items() if text in message.lower()), "other")
    return {"code": code_by_text(message) or "TXN_VALIDATION_ERROR", "reason": reason, "message": message}


def _body(
    txn: Txn | None, problems: Sequence[str], balances: list[dict[str, Any]] | None, **more: Any
) -> dict[str, Any]:
    """The preview of one write.

    Args:
        txn: What it would have made; None where nothing could be read of it.
        problems: Why it would be refused.
        balances: What it would do to them.
        **more: Fields besides; empty ones are left out, as Core does.
    """
    shown: dict[str, Any] = {"dry_run": True, "would_apply": not problems}
    if problems:
        shown["rejection"] = _rejection(problems[0])
    if more.get("operation"):
        shown["operation"] = more.pop("operation")
    if not problems and txn is not None and txn.status is not None:
        shown["status"] = txn.status.value
    if txn is not None and txn.reference:
        shown["reference"] = txn.reference
    shown |= {
        "currency": "" if txn is None else txn.currency,
        "amount": 0 if txn is None else json_number(txn.amount),
        "precise_amount": "0" if txn is None else str(txn.precise_amount or 0),
        "precision": 0 if txn is None else json_number(txn.precision),
        "balances": balances,
    }
    return shown | {name: value for name, value in more.items() if value}


def _refuse_used(core: Core, reference: str, used: set[str]) -> list[str]:
    if core.books.with_reference(reference) is None and reference not in used:
        used.add(reference)
        return []
    return [f"transaction validation failed: reference {reference} has already been used"]


def _prepared(txn: Txn) -> Txn:
    txn.apply_precision()
    if txn.status not in {Status.COMMIT, Status.VOID}:
        txn.status = Status.INFLIGHT if txn.inflight else Status.APPLIED
    return txn


def of_transaction(core: Core, txn: Txn) -> dict[str, Any]:
    """The preview of POST /transactions.

    Raises:
        LedgerError: A balance id is unknown, or the split cannot be made.
    """
    _prepared(txn)
    if txn.sources or txn.destinations:
        return _of_split(core, txn, None)
    projection = _Projection(core)
    problems = _refuse_used(core, txn.reference, set())
    problems = _tried(projection, txn) or problems
    notes = ["scheduled_for is ignored in a dry run; the projection shows the effect as if applied now"]
    return _body(txn, problems, projection.bodies(applied=not problems), notes=notes if txn.scheduled_ns else [])


def _tried(projection: _Projection, txn: Txn) -> list[str]:
    try:
        projection.apply(txn)
    except LedgerError as error:
        if error.code == "GEN_NOT_FOUND":
            raise
        return [error.message]
    return []


def _of_split(core: Core, txn: Txn, shared: _Projection | None) -> dict[str, Any]:
    """A split: leg after leg until one fails in skip mode, and each on its own in queue mode."""
    together = shared or (_Projection(core) if txn.skip_queue else None)
    problems: list[str] = []
    told: list[dict[str, Any]] = []
    balances: list[dict[str, Any]] = []
    for leg in splits.legs_of(core, txn):
        projection = together or _Projection(core)
        failed = _tried(projection, _prepared(leg))
        problems += failed
        if not failed:
            role = "source" if txn.sources else "destination"
            identifier = leg.source if txn.sources else leg.destination
            precise, amount = str(leg.precise_amount or 0), json_number(leg.amount)
            told.append({"identifier": identifier, "role": role, "precise_amount": precise, "amount": amount})
        if together is None:
            balances += projection.bodies()
        elif failed:
            break
    if together is not None and shared is None:
        balances = together.bodies()
    notes = [] if together is not None else [_QUEUED_SPLIT]
    return _body(txn, problems, None if shared is not None else balances, legs=told, notes=notes)


def of_batch(core: Core, batch: Batch) -> dict[str, Any]:
    """The preview of POST /transactions/bulk: one item after another in skip mode, else each on its own.

    Raises:
        LedgerError: As :func:`of_transaction`.
    """
    shared = _Projection(core) if batch.skip_queue else None
    used: set[str] = set()
    results: list[dict[str, Any]] = []
    for txn in batch.items:
        txn.inflight, txn.skip_queue = batch.inflight, batch.skip_queue
        if problems := _refuse_used(core, txn.reference, used):
            results.append(_body(_prepared(txn), problems, None))
        elif shared is None:
            results.append(of_transaction(core, txn))
        elif txn.sources or txn.destinations:
            results.append(_of_split(core, _prepared(txn), shared))
        else:
            results.append(_body(_prepared(txn), _tried(shared, txn), None))
    notes = [] if batch.skip_queue else [_QUEUED_BATCH]
    return _several(results, notes, cumulative=batch.skip_queue, atomic=batch.atomic, projection=shared)


def _several(
    results: list[dict[str, Any]],
    notes: list[str],
    *,
    cumulative: bool = False,
    atomic: bool = False,
    projection: _Projection | None = None,
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "dry_run": True,
        "would_apply": all(result["would_apply"] for result in results),
        "cumulative": cumulative,
        "atomic": atomic,
        "results": results,
    }
    if projection is not None and (balances := projection.bodies()):
        shown["balances"] = balances
    return shown | ({"notes": notes} if notes else {})


def of_action(core: Core, action: holds.Action) -> dict[str, Any]:
    """The preview of a commit or a void.

    Raises:
        LedgerError: The id is unknown.
    """
    voided = action.verb == holds.VOID
    try:
        holds.require_hold(core, action.target_id)
        legs = [core.books.rows[action.target_id]]
    except LedgerError as error:
        legs = holds.inflight_legs(core, action.target_id)
        if not legs:
            if error.code == "GEN_NOT_FOUND":
                raise
            return _body(None, [error.message], [], operation=action.verb)
    settlements: list[Txn] = []

    def settlement(leg: Any) -> Txn:
        settlements.append(holds.settlement_of(core, leg, action.verb, action.precise_amount))
        return settlements[-1]

    projection, problems, total = _reverse(core, [lambda leg=leg: settlement(leg) for leg in legs])
    shown = None
    if total:
        status = Status.VOID if voided else Status.APPLIED
        shown = _summed(replace(settlements[0], reference="", status=status), total)
    notes = []
    if voided and action.precise_amount > 0:
        notes = ["amount is ignored when voiding; a void always releases the full remaining hold"]
    return _body(shown, problems, projection.bodies(), operation=action.verb, notes=notes)


def of_actions(core: Core, actions: Sequence[holds.Action]) -> dict[str, Any]:
    """The preview of many commits or voids; an unknown id is that item's refusal."""
    results = []
    for action in actions:
        try:
            results.append(of_action(core, action))
        except LedgerError as error:
            unknown = _body(None, [error.quoted], None, operation=action.verb)
            unknown["rejection"]["reason"] = ""
            results.append(unknown | {"precise_amount": ""})
    return _several(results, [_POOLED])


def of_refund(core: Core, target_id: str) -> dict[str, Any]:
    """The preview of a refund.

    Raises:
        LedgerError: There is nothing to refund.
    """
    rows = refunds.refundable_rows(core, target_id)
    if not rows:
        raise LedgerError(f"transaction {target_id} not found for refund", "TXN_NOT_FOUND")
    reversals: list[Txn] = []

    def reversal(row: Any) -> Txn:
        refunds.check_not_refunded(core, row)
        reversals.append(refunds.reversal_of(row, skip_queue=True, description="", meta={}))
        return _prepared(reversals[-1])

    projection, problems, total = _reverse(core, [lambda row=row: reversal(row) for row in rows])
    shown = _summed(reversals[-1], total) if total else None
    if len(rows) == 1:
        note = f"projected refund of transaction {rows[0].transaction_id}"
    else:
        note = f"projected refund of {len(rows)} refundable transactions under {target_id}"
    return _body(shown, problems, projection.bodies(), notes=[note])


def _reverse(core: Core, makers: Sequence[Any]) -> tuple[_Projection, list[str], int]:
    """Apply one transaction after another; what they would move, and why some of them would not."""
    projection, problems, total = _Projection(core), [], 0
    for make in makers:
        try:
            txn = make()
            projection.apply(txn)
        except LedgerError as error:
            problems.append(error.quoted)
        else:
            total += txn.precise_amount or 0
    if problems and not (len(problems) == 1 and core.options.since("0.15.4")):
        problems = [f"error occurred during processing: [{' '.join(problems)}]"]
    return projection, problems, total


def _summed(txn: Txn, total: int) -> Txn:
    """A transaction that stands for several: with the amount of all of them."""
    txn.precise_amount = total
    txn.amount = float(amount_text(total, txn.precision or 1))
    return txn
