"""Time, as the machine plays it: what is due, lapses, expires and is trimmed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.support.journal_machine.machine import Machine
from tests.support.journal_machine.model import LANES, SOON


class Passing(Machine):
    """Hours pass, leases and deadlines end."""

    @precondition(lambda self: self._any("ready", "posted", "waiting", due=False))
    @rule()
    def hours_pass(self) -> None:
        """What was to happen later is due now; leases last, because their holders are quick."""
        for state in ("ready", "posted"):
            self._come_due(state, [id_ for id_, item in self.items.items() if item.state == state])
        for id_, item in self.items.items():
            if item.state == "waiting":
                item.due = True
                self.client.hset(self.journal.key(f"intent:{id_}"), "due", SOON)
        for side, gate in self.gates.items():
            if gate.paused and not gate.manual:
                gate.probe_due = True
                self.client.hset(self.journal.key(f"gate:{side}"), "probe_at", 1)

    @precondition(lambda self: self._any("sending"))
    @rule(data=st.data(), silent=st.booleans())
    def leases_end(self, data: Any, silent: bool) -> None:
        holders = sorted({item.holder for item in self.items.values() if item.holder})
        self._lapse(data.draw(st.sampled_from(holders)), silent=silent)

    def _lapse(self, worker: str, *, silent: bool) -> None:
        """A worker's leases end, or it is silent for so long that nobody waits for their end."""
        held = [id_ for id_, item in self.items.items() if item.holder == worker]
        if silent:
            self.client.zadd(self.journal.key("workers"), {worker: SOON}, xx=True)
        else:
            for id_ in held:
                self.client.zadd(self.journal.key(f"leased:{worker}"), {id_: SOON}, xx=True)
        self._sweep(held)
        if silent:
            self.silent.add(worker)
            for id_ in held:
                self.items[id_].claims += 1
                self.items[id_].charged += (worker,)
        assert (self.client.zscore(self.journal.key("workers"), worker) is None) == silent

    @precondition(lambda self: self._waits_with_a_deadline())
    @rule()
    def deadlines_pass(self) -> None:
        """Of those that wait for others, and have a deadline of their own."""
        late = self._waits_with_a_deadline()
        for id_ in late:
            self.client.zadd(self.journal.key("expiring"), {id_: SOON}, xx=True)
        self._sweep([], late)

    def _sweep(self, lapsing: list[str], expiring: Sequence[str] = ()) -> None:
        self.client.delete(self.journal.key("sweep"))
        found = self.journal.sweep()
        swept, rung, late = found.swept, found.bells, found.expired
        assert swept
        again = self.journal.sweep()
        assert (again.swept, again.bells, again.expired) == (False, (), ()), "only one sweeps"
        assert {entry.id for entry in late} == set(expiring)
        for id_ in expiring:
            self._die(id_, "refused", "EXPIRED")
        for id_ in lapsing:
            item = self.items[id_]
            item.state, item.holder, item.lapsed, item.due = "posted", "", True, True
            item.token += 1
            self.counts["lapsed"] += 1
        for lane in LANES:
            waits = any(item.state == "ready" and item.lane == lane and item.due for item in self.items.values())
            gate = self.gates["write"]
            shut = lane in self.paused or (gate.paused and (gate.manual or not gate.probe_due))
            if waits and not shut:
                assert lane in rung or self.client.exists(self.journal.key(f"bell:{lane}"))
        read = self.gates["read"]
        unreadable = read.paused and (read.manual or not read.probe_due)
        if any(item.state == "posted" and item.due for item in self.items.values()) and not unreadable:
            assert "confirm" in rung or self.client.exists(self.journal.key("bell:confirm"))

    @precondition(lambda self: self._any("done", "cancelled"))
    @rule()
    def retention_ends(self) -> None:
        """Finished intents go; their fingerprints and the references they used stay taken."""
        finished = [id_ for id_, item in self.items.items() if item.state in ("done", "cancelled") and not item.trimmed]
        for id_ in finished:
            self.client.zadd(self.journal.key("done"), {id_: SOON}, xx=True)
        self._sweep([])
        for id_ in finished:
            item = self.items[id_]
            item.trimmed = True
            status = self.journal.find(item.key)
            assert (status.state, status.outcome) == (item.state, "applied" if item.state == "done" else "cancelled")
