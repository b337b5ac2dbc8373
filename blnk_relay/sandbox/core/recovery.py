"""Core's recovery of QUEUED rows that never got a child (contract §3.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.rows import Row
from blnk_relay.sandbox.clock import SECOND_NS, rfc3339
from blnk_relay.sandbox.core.execution import execute, is_duplicate_reference, reject
from blnk_relay.sandbox.core.work_queue import queue_copy, restored
from blnk_relay.sandbox.errors import LedgerError

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core

#: Rows that one pass looks at.
_BATCH = 100

#: Tries before it writes REJECTED.
_MAX_ATTEMPTS = 3


def start(core: Core) -> None:
    """Look for stuck rows every ``recovery_interval_s`` of the core's clock, from now on."""

    def look() -> None:
        recover(core, core.options.recovery_threshold_s)
        core.clock.call_in(core.options.recovery_interval_s, look)

    core.clock.call_in(core.options.recovery_interval_s, look)


def recover(core: Core, threshold_s: float) -> int:
    """Try every QUEUED row without a child that is older than a threshold.

    Args:
        core: The instance.
        threshold_s: Age in seconds.

    Returns:
        How many rows were looked at.
    """
    oldest_ns = core.clock.now_ns() - round(threshold_s * SECOND_NS)
    stuck = [
        row for row in (core.books.rows[row_id] for row_id in core.books.childless_queued) if row.created_ns < oldest_ns
    ][:_BATCH]
    for row in stuck:
        _recover_row(core, row)
    return len(stuck)


def _recover_row(core: Core, row: Row) -> None:
    attempts = row.meta.get("recovery_attempts", 0) + 1
    copy = queue_copy(restored(row))
    if attempts > _MAX_ATTEMPTS:
        try:
            reject(core, copy, "exceeded max queued recovery attempts")
        except LedgerError:
            return
        return
    try:
        execute(core, copy)
        outcome = "recovered"
    except LedgerError as error:
        outcome = "already_processed" if is_duplicate_reference(error) else "failed"
    marks = {
        "recovery_attempts": attempts,
        "recovery_status": outcome,
        "recovery_last_attempt": rfc3339(core.clock.now_ns()),
    }
    core.books.merge_transaction_meta(row.transaction_id, marks)
