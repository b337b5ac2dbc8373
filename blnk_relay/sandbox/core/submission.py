"""Taking a transaction in, for either mode: what POST /transactions and a refund have in common.

These are contract §3.1 steps 1 to 3; items of a batch come through here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.rows import INFLIGHT_MARK, QUEUED_PARENT, Status, Txn
from blnk_relay.sandbox.core.preparation import prepare

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects


def submit(core: Core, txn: Txn, effects: Effects) -> Txn:
    """Take a transaction in and do, or set going, what its mode says.

    Args:
        core: The instance.
        txn: What the client asked for.
        effects: How the background work of this request goes wrong.

    Returns:
        The transaction as the answer shows it.

    Raises:
        LedgerError: The splitting failed, or skip mode refused.
    """
    from blnk_relay.sandbox.core import holds, queue_mode, splits

    prepare(txn, core.clock.now_ns())
    legs = splits.legs_of(core, txn)
    if txn.skip_queue:
        splits.post_now(core, txn, legs, effects)
        txn.status = Status.INFLIGHT if txn.inflight else Status.APPLIED
        if not txn.inflight and core.options.since("0.15.3"):
            txn.meta.pop(INFLIGHT_MARK, None)
    else:
        # Items of a batch lead back to the batch.
        in_batch = txn.parent_transaction.startswith("bulk_")
        txn.meta[QUEUED_PARENT] = txn.parent_transaction if in_batch else txn.transaction_id
        splits.number_for_queue(txn, legs)
        if not effects.vanish:
            queue_mode.accept(core, txn.clone(), legs, effects)
    holds.schedule_dates(core, txn)
    return txn
