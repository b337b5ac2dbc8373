"""Posting one transaction to its two balances: the step every mode ends in (contract §3.1 step 7, §6.4).

Either everything happens (both balances and the row) or nothing, whatever is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.constraints import check_balance
from blnk_relay.sandbox.books.rows import INFLIGHT_MARK, Balance, Effect, Status, Txn
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.money import overdraft_floor

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core


def execute(core: Core, txn: Txn) -> Txn:
    """Post a transaction.

    Args:
        core: The instance.
        txn: What to post; its indicators are resolved in place, its status says what it is.

    Returns:
        The transaction as stored, or as it is when its amount is zero and nothing is stored.

    Raises:
        LedgerError: Why not; nothing has changed then, except that indicators may exist now.
    """
    books = core.books
    now_ns = core.clock.now_ns()
    txn.source = books.resolve(txn.source, txn.currency, now_ns)
    txn.destination = books.resolve(txn.destination, txn.currency, now_ns)
    if books.with_reference(txn.reference) is not None:
        raise LedgerError(f"transaction validation failed: reference {txn.reference} has already been used")
    try:
        source = books.require_balance(txn.source)
        destination = books.require_balance(txn.destination)
    except LedgerError as error:
        code = "BAL_NOT_FOUND" if core.options.since("0.15.4") else error.code
        missing = LedgerError(error.message, code, error.details)
        raise missing.quoted_within("failed to get source and destination balances") from error
    posted = txn.clone()
    try:
        effect = check_funds(posted, source, destination, strict=core.options.since("0.15.3"))
    except LedgerError as error:
        raise error.within("failed to apply transaction to balances") from error
    posted.status = _final_status(posted)
    if source is destination:
        raise LedgerError(
            f"Optimistic locking failure: balance with ID '{source.balance_id}' "
            "may have been updated or deleted by another transaction",
            "GEN_CONFLICT",
        ).quoted_within("failed to persist transaction with balances")
    if posted.status is not Status.INFLIGHT:
        posted.inflight = False
        if core.options.since("0.15.3"):
            posted.meta.pop(INFLIGHT_MARK, None)
    for balance in (source, destination):
        check_balance(balance, "Failed to update balance", posted.precise_amount or 0)
    books.insert(posted, posted.status, effect, now_ns)
    move(posted.precise_amount or 0, effect, source, destination)
    return posted


def reject(core: Core, txn: Txn, reason: str) -> None:
    """Store a transaction as REJECTED, which uses up its reference (contract §3.1).

    One that is marked atomic takes along what is applied by now under the same queued parent (contract §3.6).

    Raises:
        LedgerError: Not even that row can be stored; nothing is recorded then.
    """
    txn.status = Status.REJECTED
    txn.meta["blnk_rejection_reason"] = reason
    row = core.books.insert(txn, Status.REJECTED, Effect.NONE, core.clock.now_ns())
    if txn.atomic and row.queued_parent is not None:
        core.roll_back(core, row.queued_parent, inflight=txn.inflight)


def is_duplicate_reference(error: LedgerError) -> bool:
    """Whether a failure only says that the reference exists; background tasks end silently then."""
    details = error.details
    unique_violation = isinstance(details, dict) and details.get("Code") == "23505"
    return unique_violation or ("reference" in error.message and "already been used" in error.message)


def check_funds(txn: Txn, source: Balance, destination: Balance, *, strict: bool) -> Effect:
    """What a transaction does to its balances (contract §6.4).

    Args:
        txn: The transaction; its exact amount is derived in place.
        source: Where it comes from.
        destination: Where it goes.
        strict: A negative amount is refused whatever its product with the precision is.

    Raises:
        LedgerError: Why it cannot be posted.
    """
    amount = txn.apply_precision()
    if txn.status in {Status.COMMIT, Status.VOID}:
        verb = "commit" if txn.status is Status.COMMIT else "void"
        for side, held in (("debit", source.inflight_debit), ("credit", destination.inflight_credit)):
            if held < amount:
                raise LedgerError(
                    f"{verb} inflight {side} failed: insufficient inflight {side} balance: have {held}, need {amount}"
                )
        return Effect.COMMIT if txn.status is Status.COMMIT else Effect.VOID
    # Older Cores looked at the product only: -25 at a precision of -100 passed (contract §2.3).
    if strict and txn.amount < 0:
        raise LedgerError("transaction amount must be positive")
    if amount <= 0:
        raise LedgerError("transaction precise amount must be positive")
    _check_available(txn, amount, source)
    return Effect.HOLD if txn.inflight else Effect.APPLY


def _check_available(txn: Txn, amount: int, source: Balance) -> None:
    if txn.allow_overdraft and txn.overdraft_limit == 0:
        return
    available = source.balance - source.inflight_debit
    if available >= amount:
        return
    if txn.overdraft_limit > 0:
        if available - amount >= overdraft_floor(txn.overdraft_limit, txn.precision):
            return
        raise LedgerError("transaction exceeds overdraft limit")
    raise LedgerError("insufficient funds in source balance")


def _final_status(txn: Txn) -> Status:
    if txn.inflight:
        return Status.INFLIGHT
    return Status.VOID if txn.status is Status.VOID else Status.APPLIED


def move(amount: int, effect: Effect, source: Balance, destination: Balance) -> None:
    """Do to two balances what an effect means (contract §6.4)."""
    if effect in {Effect.COMMIT, Effect.VOID}:
        source.inflight_debit -= amount
        destination.inflight_credit -= amount
    if effect is Effect.HOLD:
        source.inflight_debit += amount
        destination.inflight_credit += amount
    if effect in {Effect.APPLY, Effect.COMMIT}:
        source.debit += amount
        destination.credit += amount
    source.version += 1
    destination.version += 1
