"""What every transaction is given before anything is decided about it (contract §3.1 step 2)."""

from __future__ import annotations

from blnk_relay.sandbox.books.rows import INFLIGHT_MARK, Status, Txn
from blnk_relay.sandbox.ids import new_id


def prepare(txn: Txn, now_ns: int) -> None:
    """Give a transaction its id, times, hash, exact amount, status and metadata marks (contract §3.1 step 2).

    Queue mode does this twice, which is why ``created_at`` of the answer is not the row's.
    """
    txn.created_ns = now_ns
    if txn.effective_ns is None:
        txn.effective_ns = now_ns
    txn.hash = txn.compute_hash()
    txn.apply_precision()
    if not txn.transaction_id:
        txn.transaction_id = new_id("txn")
    if txn.inflight:
        txn.meta[INFLIGHT_MARK] = True
    if txn.atomic:
        txn.meta["atomic"] = True
    if txn.allow_overdraft:
        txn.meta["allow_overdraft"] = True
    if txn.scheduled_ns is not None:
        txn.status = Status.SCHEDULED
    elif txn.status is None:
        txn.status = Status.QUEUED
