"""Holds: committing, voiding and expiring them, at once or through Core's queue (contract §3.8, §2.5).

Which rows an id stands for follows Core's own query; the traps (the queued parent that answers for
ever, the expiry that voids the wrong row) follow from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from blnk_relay.sandbox.books.rows import INFLIGHT_MARK, Row, Status, Txn
from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.core.execution import execute, is_duplicate_reference
from blnk_relay.sandbox.core.state import MAX_RETRIES, Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.money import json_number

if TYPE_CHECKING:
    from blnk_relay.sandbox.faults.effects import Effects

#: What may be asked of a hold.
COMMIT, VOID = "commit", "void"

#: Retries of a failing expiry (contract §3.8: the library's default, not the instance's setting).
_EXPIRY_RETRIES = 25

#: Failures after which a queued action is over for a leg, because it can never succeed.
_FINAL_TEXTS = (
    "has already been voided",
    "Transaction already committed",
    "not in inflight status",
    "cannot commit more than",
)


@dataclass(frozen=True, slots=True)
class Action:
    """One commit or void of everything an id stands for; amount 0 means all that remains."""

    target_id: str
    verb: str
    precise_amount: int


def inflight_legs(core: Core, target_id: str) -> list[Row]:
    """The holds an id stands for: itself, its children, or rows queued under it (contract §3.8).

    Only when there is none does the QUEUED row of a hold stand for itself.
    """
    books = core.books
    own = books.rows.get(target_id)
    family = {row.transaction_id: row for row in books.children(target_id)}
    if own is not None:
        family[target_id] = own
    queued = [row for row in family.values() if _is_waiting_hold(core, row)]
    family.update({row.transaction_id: row for row in books.with_queued_parent(target_id)})
    return [row for row in family.values() if row.status is Status.INFLIGHT] or queued


def _is_waiting_hold(core: Core, row: Row) -> bool:
    if row.status is not Status.QUEUED or row.meta.get(INFLIGHT_MARK) is not True:
        return False
    child = core.books.with_reference(f"{row.reference}_q")
    if child is not None and child.status is Status.REJECTED:
        return False
    return not any(child.status is Status.INFLIGHT for child in core.books.children(row.transaction_id))


def without_parent(core: Core) -> list[Row]:
    """Holds that no row stands above: those that an empty id finds."""
    rows = core.books.rows.values()
    return [row for row in rows if row.status is Status.INFLIGHT and not row.parent_transaction]


def remaining(core: Core, hold: Row) -> int:
    """What is left of a hold: its amount less its APPLIED children (contract §3.8)."""
    children = core.books.children(hold.transaction_id)
    return hold.precise_amount - sum(row.precise_amount for row in children if row.status is Status.APPLIED)


def require_hold(core: Core, hold_id: str) -> Row:
    """A row that can be committed or voided.

    Raises:
        LedgerError: It is unknown, no hold, or voided.
    """
    row = core.books.rows.get(hold_id)
    if row is None:
        raise LedgerError(f"Transaction with ID '{hold_id}' not found", "GEN_NOT_FOUND", {})
    waiting = row.status is Status.QUEUED and row.meta.get(INFLIGHT_MARK) is True
    if row.status is not Status.INFLIGHT and not waiting:
        raise LedgerError("transaction is not in inflight status")
    if any(child.status is Status.VOID for child in core.books.children(hold_id)):
        raise LedgerError("transaction has already been voided")
    return row


def settle(core: Core, hold_id: str, verb: str, precise_amount: int, reference: str = "") -> Txn:
    """Commit or void one hold now.

    Args:
        core: The instance.
        hold_id: The hold's own row.
        verb: ``commit`` or ``void``.
        precise_amount: How much to commit, 0 for all that remains; a void ignores it.
        reference: Of the new row; a random ``ref_…`` when empty, as in skip mode.

    Raises:
        LedgerError: Why not.
    """
    txn = settlement_of(core, require_hold(core, hold_id), verb, precise_amount)
    if reference:
        txn.reference = reference
    txn.hash = txn.compute_hash()
    try:
        return execute(core, txn)
    except LedgerError as error:
        raise error.within("saving transaction to db error") from error


def settlement_of(core: Core, hold: Row, verb: str, precise_amount: int) -> Txn:
    """What would settle a hold, nothing of it stored.

    Raises:
        LedgerError: Nothing is left of the hold, or less than is asked for.
    """
    left = remaining(core, hold)
    if left == 0:
        refuse_settled(verb)
    if verb == COMMIT:
        _check_amount(hold, precise_amount, left)
    txn = Txn.from_row(hold)
    txn.status = Status.COMMIT if verb == COMMIT else Status.VOID
    txn.precise_amount = precise_amount if verb == COMMIT and precise_amount else left
    txn.created_ns = core.clock.now_ns()
    txn.effective_ns = txn.created_ns
    txn.parent_transaction = hold.transaction_id
    txn.transaction_id = new_id("txn")
    txn.reference = new_id("ref")
    return txn


def refuse_settled(verb: str) -> NoReturn:
    """Refuse an action of which nothing is left.

    Raises:
        LedgerError: Always.
    """
    raise LedgerError(f"cannot {verb}. Transaction already committed")


def _check_amount(hold: Row, asked: int, left: int) -> None:
    if asked < 0:
        raise LedgerError("commit amount cannot be negative")
    if asked > hold.precise_amount:
        raise LedgerError(
            "cannot commit more than the original transaction amount. "
            f"Original: {_money(hold, hold.precise_amount)}, Requested: {_money(hold, asked)}"
        )
    if asked > left:
        raise LedgerError(
            "cannot commit more than the remaining amount. "
            f"Available: {_money(hold, left)}, Requested: {_money(hold, asked)}"
        )


def _money(hold: Row, precise_amount: int) -> str:
    return f"{hold.currency}{precise_amount / hold.precision:.2f}"


def settle_now(core: Core, action: Action) -> list[Txn]:
    """Skip mode: settle every leg inside the request (contract §2.5).

    Raises:
        LedgerError: At least one leg failed; others may have been settled.
    """
    settled: list[Txn] = []
    failures: list[LedgerError] = []
    for leg in inflight_legs(core, action.target_id):
        try:
            settled.append(settle(core, leg.transaction_id, action.verb, action.precise_amount))
        except LedgerError as error:
            failures.append(error)
    if failures:
        raise all_of(core, failures)
    return settled


def all_of(core: Core, failures: Sequence[LedgerError]) -> LedgerError:
    """What is said of the rows that failed: since 0.15.4 a single failure is told as it is."""
    if len(failures) == 1 and core.options.since("0.15.4"):
        return failures[0]
    return LedgerError(f"error occurred during processing: [{' '.join(failure.quoted for failure in failures)}]")


def check_queueable(core: Core, action: Action) -> Txn:
    """Queue mode's checks before it answers (contract §2.5); nothing is changed.

    Returns:
        What the answer shows: the target, or its first leg under the id that was asked for.

    Raises:
        LedgerError: The request is refused.
    """
    try:
        hold = require_hold(core, action.target_id)
    except LedgerError as error:
        if error.code != "GEN_NOT_FOUND" and "not in inflight status" not in error.message:
            raise
        legs = inflight_legs(core, action.target_id)
        if not legs:
            raise
        if all(remaining(core, leg) == 0 for leg in legs):
            raise LedgerError(f"cannot {action.verb}. Transaction already committed") from error
        shown = Txn.from_row(legs[0])
        shown.transaction_id = action.target_id
        return shown
    left = remaining(core, hold)
    if left == 0:
        raise LedgerError("cannot commit. Transaction already committed")
    if action.verb == COMMIT:
        _check_amount(hold, action.precise_amount, left)
    return Txn.from_row(hold)


def enqueue(core: Core, action: Action, effects: Effects) -> None:
    """Queue an action, unless one for the same id is waiting, running, retrying or archived (contract §3.8).

    Raises:
        LedgerError: ``GEN_CONFLICT``.
    """
    if action.target_id in core.actions:
        raise LedgerError("a commit or void is already queued for this transaction", "GEN_CONFLICT")
    core.actions[action.target_id] = "archived" if effects.archive else "pending"
    if effects.archive:
        return
    action_id = new_id("act")

    def attempt(retried: int) -> None:
        if _settle_legs(core, action, action_id):
            core.actions.pop(action.target_id, None)
        elif retried >= MAX_RETRIES:
            core.actions[action.target_id] = "archived"
        else:
            core.actions[action.target_id] = "retry"
            core.call_in_queue(core.retry_delay_s(retried), lambda: attempt(retried + 1))

    core.call_in_queue(core.options.inflight_delay_s + effects.slow_apply_s, lambda: attempt(0))


def _settle_legs(core: Core, action: Action, action_id: str) -> bool:
    """Settle every leg; whether nothing is left to retry. No legs at all is a silent success."""
    finished = True
    for leg in inflight_legs(core, action.target_id):
        # The same action id on a retry gives the same reference, so Core's own retries apply once.
        reference = f"{leg.transaction_id}_{action.verb}_{action_id}"
        try:
            settle(core, leg.transaction_id, action.verb, action.precise_amount, reference)
        except LedgerError as error:
            final = is_duplicate_reference(error) or any(text in error.message for text in _FINAL_TEXTS)
            finished = finished and final
    return finished


def schedule_dates(core: Core, txn: Txn) -> None:
    """Register the expiry and the automatic commit of a new hold (contract §3.7, §3.8).

    The expiry voids the id of the create's answer: for a queue-mode hold the QUEUED parent, which
    leaves the INFLIGHT row looking open (scenario S13).
    """
    if txn.expiry_ns is not None:
        core.call_in_queue(_seconds_until(core, txn.expiry_ns), lambda: _expire(core, txn.transaction_id, 0))
    if txn.commit_ns is not None:
        action = Action(txn.transaction_id, COMMIT, 0)
        action_id = new_id("act")
        _call_with_retries(core, txn.commit_ns, lambda: _settle_legs(core, action, action_id))


def _expire(core: Core, hold_id: str, retried: int) -> None:
    try:
        settle(core, hold_id, VOID, 0)
    except LedgerError:
        if retried < _EXPIRY_RETRIES:
            core.call_in_queue(core.retry_delay_s(retried), lambda: _expire(core, hold_id, retried + 1))


def _call_with_retries(core: Core, due_ns: int, attempt: Callable[[], bool], retried: int = 0) -> None:
    def run() -> None:
        if not attempt() and retried < _EXPIRY_RETRIES:
            next_ns = core.clock.now_ns() + round(core.retry_delay_s(retried) * SECOND_NS)
            _call_with_retries(core, next_ns, attempt, retried + 1)

    core.call_in_queue(_seconds_until(core, due_ns), run)


def _seconds_until(core: Core, due_ns: int) -> float:
    return (due_ns - core.clock.now_ns()) / SECOND_NS


def precision_of(core: Core, target_id: str) -> float:
    """The stored precision that converts a commit's ``amount``; 1 when nothing is found (contract §2.5)."""
    row = core.books.rows.get(target_id) or next(iter(core.books.children(target_id)), None)
    return json_number(row.precision) if row is not None and row.precision > 0 else 1
