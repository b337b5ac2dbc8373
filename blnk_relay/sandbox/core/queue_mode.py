"""Queue mode: what happens between a 201 QUEUED and Core's queue (contract §3.1 steps 3 to 6).

Answer, then *store the parent* after ``persist_s``, then *apply the child* after ``apply_s``. Every way
to get a 201 and then nothing (contract §3.3) follows from these steps, none is a special case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.rows import Effect, Status, Txn
from blnk_relay.sandbox.core.preparation import prepare
from blnk_relay.sandbox.core.work_queue import Task, queue_copy
from blnk_relay.sandbox.errors import LedgerError

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects


def accept(core: Core, txn: Txn, legs: list[Txn], effects: Effects) -> None:
    """Set the background work of one accepted transaction going.

    Args:
        core: The instance.
        txn: A copy that nobody else holds.
        legs: What is stored in its place when it is a split.
        effects: How it goes wrong.
    """
    key = id(txn)

    def store() -> None:
        core.unstored.pop(key, None)
        _store_parents(core, txn, legs or [txn], effects)

    core.unstored[key] = core.clock.call_in(core.options.persist_s, store)


def _store_parents(core: Core, txn: Txn, parents: list[Txn], effects: Effects) -> None:
    for parent in parents:
        if not _stored(core, parent, effects):
            # Step 6: whatever failed, the original is queued under its own id and reference (shape S3).
            # Legs stored before the one that failed get no task: only recovery finds them (contract §3.6).
            Task(core, txn, effects, None).start()
            return
    if not effects.crash_before_enqueue:
        for parent in parents:
            Task(core, queue_copy(parent), effects, parent.transaction_id).start()


def _stored(core: Core, txn: Txn, effects: Effects) -> bool:
    books = core.books
    now_ns = core.clock.now_ns()
    prepare(txn, now_ns)
    try:
        txn.source = books.resolve(txn.source, txn.currency, now_ns)
        txn.destination = books.resolve(txn.destination, txn.currency, now_ns)
        books.require_balance(txn.source)
        books.require_balance(txn.destination)
        txn.meta["queue_pair_key"] = f"{txn.source}|{txn.destination}|{txn.currency.upper()}"
        txn.meta["queue_lane"] = "normal"
        if not effects.persist_fails:
            books.insert(txn, txn.status or Status.QUEUED, Effect.NONE, now_ns)
    except LedgerError:
        return False
    return not effects.persist_fails
