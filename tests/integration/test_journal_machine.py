"""The journal's scripts against a model of them, step by step, on a real Valkey.

The clock of Redis cannot be turned, so time passes by moving what is due: scores of the sets that wait for a time.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from blnk_relay import Settings
from blnk_relay.journal.settlement import Settlement
from tests.support.journal_machine.accepting import Accepting
from tests.support.journal_machine.by_hand import ByHand
from tests.support.journal_machine.holding import Holding
from tests.support.journal_machine.model import LANES, MAX_LAPSES, WORKERS
from tests.support.journal_machine.settling import Settling


class JournalMachine(Accepting, Settling, ByHand, Holding):
    """Rules are the transitions; after each of them the whole journal is compared with the model."""

    def teardown(self) -> None:
        try:
            self._everything_can_still_be_finished()
        finally:
            self.relay.close()
            self.journal.close()

    def _everything_can_still_be_finished(self) -> None:
        """With gates open and workers well, every intent ends; only dead letters hold others back."""
        self.resume()
        for worker in WORKERS:
            self._lapse(worker, silent=self.client.zscore(self.journal.key("workers"), worker) is None)
        rounds = 0
        while self._any("ready", "sending", "posted"):
            self.hours_pass()
            for lane in (*LANES, ""):
                self._be_loud("last")
                origin = "sending" if lane else "posted"
                claims = self.journal.claim(lane, "last", 100) if lane else self.journal.take("last", 100, 10)
                for entry in claims.buried:
                    self._die(entry.id, "unknown", "LAPSED_TOO_OFTEN")
                for claimed in claims.items:
                    self._hand_over(claimed, "last", origin)
                    self.rows += 1
                    fields = {"outcome": "applied", "txn": f"txn_{self.rows}"}
                    self.journal.settle("last", [Settlement(claimed, origin, "done", 0, fields)], [])
                    item = self.items[claimed.entry.id]
                    item.state, item.txn = "done", fields["txn"]
                    self._release(claimed.entry.id)
            # Its look is over; and what has to be alone comes one at a time.
            self.journal.take("last", 0, 10, leave=True)
            rounds += 1
            assert rounds <= 2 * len(self.items), "an intent is not given to anybody"
        for id_, item in self.items.items():
            assert item.state in ("done", "cancelled", "dead", "discarded") or self._blocked(id_)

    def _blocked(self, id_: str) -> bool:
        """It waits, and at the end of what it waits for is a dead letter."""
        item = self.items[id_]
        ahead = {other for order in item.orders for other in self._in_order(order) if self.items[other].seq < item.seq}
        return item.state == "waiting" and any(
            self.items[other].state == "dead" or self._blocked(other) for other in {*item.after, *ahead}
        )


@pytest.mark.parametrize("plays", [40, pytest.param(120, marks=pytest.mark.long)])
def test_the_scripts_do_what_the_model_does(valkey, plays):
    where = Settings(redis_url=f"redis://127.0.0.1:{valkey.port}/0", max_lapses=MAX_LAPSES)
    machine = type("Machine", (JournalMachine,), {"where": where})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=plays,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            report_multiple_bugs=False,
        ),
    )
