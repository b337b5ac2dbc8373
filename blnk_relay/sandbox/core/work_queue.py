"""Core's queue of stored transactions: tries, retries, rejections, and tasks applied together.

This is contract §3.1 step 7, and what the real ledger showed of it: tasks that wait on common balances are
applied in one batch, in which all but the first are read back from their QUEUED rows. What has no
column is lost there (``overdraft_limit``, ``effective_date``), and flags come from the metadata,
whoever put them there (contract §2.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.rows import Row, Status, Txn
from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.core.execution import execute, is_duplicate_reference, reject
from blnk_relay.sandbox.core.state import MAX_RETRIES, Core
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.ids import new_id

if TYPE_CHECKING:
    from blnk_relay.sandbox.faults.effects import Effects


def queue_copy(parent: Txn) -> Txn:
    """What is queued for a stored parent: new id, reference ``R_q`` (contract §3.4 S1)."""
    copy = parent.clone()
    copy.transaction_id = new_id("txn")
    copy.parent_transaction = parent.transaction_id
    copy.reference = f"{parent.reference}_q"
    return copy


def restored(row: Row) -> Txn:
    """A QUEUED row read back: flags from its metadata, neither limit nor effective date (contract §2.3)."""
    txn = Txn.from_row(row)
    txn.apply_precision()
    txn.inflight = row.meta.get("inflight") is True
    txn.atomic = row.meta.get("atomic") is True
    txn.allow_overdraft = row.meta.get("allow_overdraft") is True
    return txn


class Task:
    """One task: tried, retried, and in the end applied, rejected or dropped.

    Args:
        core: The instance.
        txn: What to apply; nobody else holds it.
        effects: How it goes wrong.
        queued_row_id: The QUEUED row it is a copy of; None for one that could not be stored.
    """

    def __init__(self, core: Core, txn: Txn, effects: Effects, queued_row_id: str | None) -> None:
        self.core = core
        self.txn = txn
        self.failures_left = effects.apply_failures
        self.slow_apply_s = effects.slow_apply_s
        self.done = False
        currency = txn.currency
        self.scopes: tuple[tuple[str, ...], ...] = (
            ("pair", txn.source, txn.destination, currency),
            ("source", txn.source, currency),
            ("destination", txn.destination, currency),
        )
        untouched = not self.failures_left and not self.slow_apply_s
        plain = queued_row_id is not None and txn.status is Status.QUEUED and not txn.atomic
        self.coalescible = plain and untouched

    def start(self) -> None:
        """Put the task into the queue."""
        delay_s = self.core.options.apply_s + self.slow_apply_s
        if self.txn.scheduled_ns is not None:
            delay_s = max(delay_s, (self.txn.scheduled_ns - self.core.clock.now_ns()) / SECOND_NS)
        if self.coalescible:
            self.core.waiting.add(self)
        self.core.call_in_queue(delay_s, lambda: self.attempt(0))

    def attempt(self, retried: int) -> None:
        """Try once; what fails for a reason that may pass is tried again later."""
        if self.done:
            return
        error = self._failure()
        if error is None or is_duplicate_reference(error) or self._rejected(error, retried):
            self.finish()
            if error is None and self.coalescible and self.core.options.coalescing:
                self._take_along()
        else:
            delay_s = self.core.retry_delay_s(retried)
            self.core.call_in_queue(delay_s, lambda: self.attempt(retried + 1))

    def finish(self) -> None:
        """Never try again."""
        self.done = True
        self.core.waiting.remove(self)

    def _failure(self) -> LedgerError | None:
        if self.failures_left > 0:
            self.failures_left -= 1
            return LedgerError("failed to acquire lock: balances are locked")
        try:
            execute(self.core, self.txn)
        except LedgerError as error:
            return error
        return None

    def _take_along(self) -> None:
        """Apply the tasks that wait on the same balances; one that fails waits for its own turn."""
        for other in self.core.waiting.with_same_balances(self):
            row = self.core.books.rows[other.txn.parent_transaction]
            try:
                execute(self.core, queue_copy(restored(row)))
            except LedgerError as error:
                if not is_duplicate_reference(error):
                    continue
            other.finish()

    def _rejected(self, error: LedgerError, retried: int) -> bool:
        """Whether the task ends here, as REJECTED or as nothing at all (contract §3.1)."""
        out_of_retries = retried >= MAX_RETRIES
        without_funds = "insufficient funds" in error.message
        final = (
            out_of_retries
            or (without_funds and not self.core.options.insufficient_fund_retries)
            or "transaction exceeds overdraft limit" in error.message
        )
        if not final:
            return False
        try:
            reject(self.core, self.txn, error.message)
        except LedgerError:
            # Not even REJECTED can be stored (unknown balance, no amount, row too large): nothing is
            # ever recorded. A task with retries left comes back, and fails the same way in the end.
            return out_of_retries
        return True
