"""Refunds: which rows an id stands for, and what refunding them twice does (contract §3.9).

The skip-mode trap is no special case: a refund that is itself an APPLIED child of the refunded row is
found by the same query. From 0.15.4 on the query leaves refunds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blnk_relay.sandbox.books.rows import Row, Status, Txn
from blnk_relay.sandbox.core.holds import all_of
from blnk_relay.sandbox.core.submission import submit
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.effects import NO_EFFECTS
from blnk_relay.sandbox.ids import new_id

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects


#: What the refusal of a row says that a refund stands under already; since 0.15.4 of a refund as well.
_REFUNDED = "has already been refunded"


def refundable_rows(core: Core, target_id: str) -> list[Row]:
    """The rows that a refund of this id refunds, newest first."""
    books = core.books
    found: dict[str, Row] = {}
    own = books.rows.get(target_id)
    if own is not None and own.status is Status.APPLIED:
        found[target_id] = own
    for row in books.children(target_id):
        if row.status in {Status.APPLIED, Status.VOID}:
            found[row.transaction_id] = row
    for row in books.with_queued_parent(target_id):
        if row.status is Status.APPLIED:
            found[row.transaction_id] = row
    rows = list(found.values())
    trapped = not core.options.since("0.15.4")
    if not trapped and not (own is not None and _is_refund(own)):
        rows = [row for row in rows if not _is_refund(row)]
    return sorted(rows, key=lambda row: row.created_ns, reverse=True)


def _is_refund(row: Row) -> bool:
    return row.reference.removesuffix("_q").endswith("_refund")


def refund(
    core: Core,
    target_id: str,
    *,
    skip_queue: bool,
    description: str,
    meta: dict[str, Any],
    effects: Effects,
) -> Txn:
    """Refund everything an id stands for, one row after another.

    Args:
        core: The instance.
        target_id: Any id of contract §3.9's list.
        skip_queue: Inside the request, which arms the trap.
        description: Replaces the original's text when not empty.
        meta: Merged over the original's.
        effects: How the background work of this request goes wrong.

    Returns:
        The refund of the first row.

    Raises:
        LedgerError: Nothing to refund, or one of the rows failed; others may have been refunded.
    """
    refunded = _refund_rows(core, target_id, effects, skip_queue=skip_queue, description=description, meta=meta)
    if not refunded:
        raise LedgerError(nothing_to_refund(core, target_id), "TXN_NOT_FOUND")
    return refunded[0]


def nothing_to_refund(core: Core, target_id: str) -> str:
    """What is said of an id under which nothing can be refunded."""
    if not core.options.since("0.15.4"):
        return "no transaction to refund"
    reason = "it does not exist, or it is not in a refundable status (only APPLIED or VOID can be refunded)"
    return f"no refundable transaction found for '{target_id}': {reason}"


def refund_all(core: Core, target_id: str) -> None:
    """Refund everything an id stands for through the queue; nothing to refund is no failure.

    Raises:
        LedgerError: One of the rows failed; others may have been refunded.
    """
    _refund_rows(core, target_id, NO_EFFECTS, skip_queue=False, description="", meta={})


def _refund_rows(
    core: Core,
    target_id: str,
    effects: Effects,
    *,
    skip_queue: bool,
    description: str,
    meta: dict[str, Any],
) -> list[Txn]:
    refunded: list[Txn] = []
    failures: list[LedgerError] = []
    for row in refundable_rows(core, target_id):
        try:
            check_not_refunded(core, row)
            reversal = reversal_of(row, skip_queue=skip_queue, description=description, meta=meta)
            refunded.append(submit(core, reversal, effects))
        except LedgerError as error:
            failures.append(error)
    if failures:
        code = _failed_code(core, [failure.quoted for failure in failures], some=bool(refunded))
        told = all_of(core, failures)
        raise told if code is None else LedgerError(told.message, code, told.details)
    return refunded


def _failed_code(core: Core, failures: list[str], *, some: bool) -> str | None:
    """The code of a refund that failed; None where it is read out of the text, as before 0.15.4 (contract §14.2)."""
    if not core.options.since("0.15.4") or not any(_REFUNDED in text for text in failures):
        return None
    return "GEN_CONFLICT" if some or not all(_REFUNDED in text for text in failures) else "TXN_ALREADY_REFUNDED"


def check_not_refunded(core: Core, row: Row) -> None:
    """Refuse a row that a refund stands under already.

    Raises:
        LedgerError: It does.
    """
    refunded = core.options.since("0.15.4") and _is_refund(row)
    for child in core.books.children(row.transaction_id):
        refunded = refunded or (child.source == row.destination and child.destination == row.source)
    if refunded:
        raise LedgerError(f"transaction {row.transaction_id} {_REFUNDED}")


def reversal_of(row: Row, *, skip_queue: bool, description: str, meta: dict[str, Any]) -> Txn:
    """The opposite movement; of a VOID row a hold in the opposite direction (contract §3.9)."""
    txn = Txn.from_row(row)
    txn.transaction_id = new_id("txn")
    txn.reference = f"{row.transaction_id}_refund"
    txn.parent_transaction = row.transaction_id
    txn.source, txn.destination = row.destination, row.source
    txn.allow_overdraft = True
    txn.skip_queue = skip_queue
    txn.description = description or row.description
    txn.meta.update(meta)
    txn.inflight = row.status is Status.VOID
    txn.status = None
    return txn
