"""One running instance without its sockets: Core, edge and clock put together, and what tests do to it.

Everything here must be called on one thread: that of the event loop, or a test's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blnk_relay.sandbox.books.frozen import Books, take_snapshot
from blnk_relay.sandbox.books.rows import Balance, Status, Txn
from blnk_relay.sandbox.core import recovery
from blnk_relay.sandbox.core.execution import execute
from blnk_relay.sandbox.core.preparation import prepare
from blnk_relay.sandbox.core.rollback import roll_back
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.edge.exchange import Edge
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.faults.plans import Faults
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.options import GENERAL_LEDGER_ID, Options
from blnk_relay.sandbox.routes.registry import build_routes

#: Where funds come from.
FUNDING_INDICATOR = "@SandboxFunding"


class Instance:
    """An imitated instance.

    Args:
        options: What it is like.
        faults: What goes wrong.
    """

    def __init__(self, options: Options, faults: Faults | None = None) -> None:
        #: Whether the work is done by another process; then these books are empty and not to be filled.
        self.elsewhere = False
        self.core = Core(options, roll_back)
        recovery.start(self.core)
        self.edge = Edge(self.core, build_routes(), faults or Faults.none())

    def reset(self) -> None:
        """Empty books, an empty log and nothing waiting; options and faults stay."""
        on_earlier = self.core.clock.on_earlier
        self.core = Core(self.core.options, roll_back)
        self.core.clock.on_earlier = on_earlier
        recovery.start(self.core)
        self.edge = Edge(self.core, self.edge.routes, self.edge.faults)
        self.edge.effects_elsewhere = self.elsewhere

    def work_elsewhere(self) -> None:
        """Leave the work to another Core: the books stay empty, and nothing is broken inside it."""
        self.elsewhere = True
        self.edge.effects_elsewhere = True

    def books(self) -> Books:
        """The books as they are now."""
        return take_snapshot(self.core.books)

    def switch(self, changes: Mapping[str, Any]) -> Options:
        """Change options while it runs.

        Raises:
            ValueError: An unknown name, a fixed one, or a wrong type.
        """
        self.core.options = self.core.options.changed(changes)
        self.core.books.max_rows = self.core.options.max_rows
        self.core.books.reconciliation.max_records = self.core.options.max_rows
        return self.core.options

    def create_balance(self, currency: str, indicator: str = "") -> str:
        """A new balance in the General Ledger; an indicator that exists gives the existing one."""
        self._require_books()
        existing = self.core.books.with_indicator(indicator, currency) if indicator else None
        if existing is not None:
            return existing.balance_id
        balance = Balance(
            balance_id=new_id("bln"),
            ledger_id=GENERAL_LEDGER_ID,
            currency=currency,
            indicator=indicator,
            created_ns=self.core.clock.now_ns(),
        )
        return self.core.books.add_balance(balance).balance_id

    def fund(self, name: str, currency: str, precise_amount: int) -> str:
        """Put money on a balance, from a funding balance that may go negative.

        Args:
            name: A balance id or an ``@indicator``.
            currency: Of both balances.
            precise_amount: Minor units.

        Returns:
            The id of the APPLIED row.

        Raises:
            ValueError: There is no such balance, or the amount is not positive.
        """
        self._require_books()
        txn = Txn(
            reference=new_id("sandbox_fund"),
            currency=currency,
            description="Sandbox funding",
            source=FUNDING_INDICATOR,
            destination=name,
            precise_amount=precise_amount,
            precision=100,
            allow_overdraft=True,
            skip_queue=True,
            status=Status.QUEUED,
        )
        prepare(txn, self.core.clock.now_ns())
        try:
            return execute(self.core, txn).transaction_id
        except LedgerError as error:
            raise ValueError(error.message) from error

    def _require_books(self) -> None:
        if self.elsewhere:
            raise ValueError("the books are those of the Core behind the edge; write to it, not to the sandbox")

    def release_archived(self) -> int:
        """Delete archived commits and voids, as an operator of Core would; returns how many."""
        archived = [key for key, state in self.core.actions.items() if state == "archived"]
        for key in archived:
            del self.core.actions[key]
        return len(archived)
