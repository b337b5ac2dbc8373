"""Undoing what an atomic batch or split has done so far: by refunds, or by voids (contract §3.6, §3.10).

No database transaction is behind it. What is applied later is not undone, and every reference stays used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.errors import LedgerError

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core


def roll_back(core: Core, parent_id: str, *, inflight: bool) -> str:
    """Refund, through the queue, or void everything under an id; returns how a client is told.

    Args:
        core: The instance.
        parent_id: A batch, a split, or whatever the rows name as their queued parent.
        inflight: Whether they are holds.
    """
    from blnk_relay.sandbox.core import holds, refunds

    try:
        if inflight:
            holds.settle_now(core, holds.Action(parent_id, holds.VOID, 0))
            return "All transactions in this batch have been voided."
        refunds.refund_all(core, parent_id)
    except LedgerError as error:
        return f"Failed to roll back all transactions: {error.quoted}"
    return "All transactions in this batch have been refunded."
