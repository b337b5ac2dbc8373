"""Batches: many transactions in one request, one after another (contract §3.10).

In queue mode every item is only handed over, so a batch "succeeds" whatever becomes of them, and its
``atomic`` means nothing. In skip mode the first failure ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.rows import Txn
from blnk_relay.sandbox.core.submission import submit
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import lock_held
from blnk_relay.sandbox.ids import new_id

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects

#: Items of one batch (contract §2.4).
MAX_ITEMS = 10_000

#: Batches that run behind a 202 at the same time in one process (contract §2.4).
MAX_ASYNC_BATCHES = 100

#: What Core's work and its rollback end of when the client goes away, or the database does.
_CUT = "context canceled"

_NOT_ROLLED_BACK = "Previous transactions were not rolled back."


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        items: What is asked for; the batch's own flags override theirs.
        inflight: Holds.
        skip_queue: Inside the request.
        atomic: Roll back what was applied when an item fails; not passed on to the items.
        batch_id: ``parent_transaction`` of every item; no row has this id.
    """

    items: list[Txn]
    inflight: bool
    skip_queue: bool
    atomic: bool
    batch_id: str

    @classmethod
    def of(cls, items: list[Txn], *, inflight: bool, skip_queue: bool, atomic: bool) -> Batch:
        """A batch with a new id."""
        return cls(items, inflight, skip_queue, atomic, new_id("bulk"))


def run(core: Core, batch: Batch, effects: Effects) -> None:
    """Submit the items in order until one fails.

    Args:
        core: The instance.
        batch: What to do.
        effects: How the background work of every item goes wrong.

    Raises:
        LedgerError: An item failed; the text names it and says what became of the earlier ones.
    """
    core.books.name(batch.batch_id, [txn.reference for txn in batch.items])
    for number, txn in enumerate(batch.items, start=1):
        txn.inflight = batch.inflight
        txn.skip_queue = batch.skip_queue
        txn.parent_transaction = batch.batch_id
        txn.meta["sequence"] = number
        try:
            _submit(core, batch, number, effects)
        except LedgerError as error:
            undone = _NOT_ROLLED_BACK
            if error.message == _CUT:
                undone = f"Failed to roll back all transactions: {_CUT}"
            elif batch.atomic:
                undone = core.roll_back(core, batch.batch_id, inflight=batch.inflight)
            named = (
                f"Reference: {txn.reference}, Source: {txn.source}, Destination: {txn.destination}, "
                f"Amount: {txn.amount:.2f}"
            )
            # Whatever the failure was, only its text survives, and the code is read out of that.
            which = f"transactions[{number - 1}]" if core.options.since("0.15.4") else f"transaction {number}"
            text = f"failed to queue {which} ({named}): {error.quoted}. {undone}"
            raise LedgerError(text) from error


def _submit(core: Core, batch: Batch, number: int, effects: Effects) -> None:
    if effects.cut_batch and batch.atomic and batch.skip_queue and number > len(batch.items) // 2:
        raise LedgerError(_CUT)
    if effects.lock_batch and batch.atomic and batch.skip_queue and number == len(batch.items):
        raise lock_held()
    submit(core, batch.items[number - 1], effects)


def run_later(core: Core, batch: Batch, effects: Effects) -> None:
    """Run a batch behind its 202: in memory, lost when the process stops, its outcome told to nobody.

    Raises:
        LedgerError: ``GEN_RATE_LIMITED``, too many are running.
    """
    if core.async_batches >= MAX_ASYNC_BATCHES:
        raise LedgerError("too many async bulk operations in progress, try again later", "GEN_RATE_LIMITED")
    core.async_batches += 1

    def go() -> None:
        core.async_batches -= 1
        try:
            run(core, batch, effects)
        except LedgerError:
            return

    core.call_in_memory(core.options.persist_s, go, transactions=len(batch.items))
