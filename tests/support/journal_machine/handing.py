"""Claims and looks, as the machine plays them: who is handed what."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from blnk_relay.journal.claimed import Claimed
from tests.support.journal_machine.model import ALONE_FROM, LATER_MS, MAX_LAPSES, WORKERS, Given, mostly, number_of
from tests.support.journal_machine.passing import Passing


class Handing(Passing):
    """What workers are given, in order, through gates."""

    @precondition(lambda self: self._any("ready"))
    @rule(data=st.data(), worker=st.sampled_from(WORKERS), most=mostly(3, 0, 1, 2), leave=mostly(False, True))
    def claim(self, data: Any, worker: str, most: int, leave: bool) -> None:
        lanes = sorted({item.lane for item in self.items.values() if item.state == "ready"})
        self._claim(data.draw(st.sampled_from(lanes)), worker, most, leave=leave)

    def _claim(self, lane: str, worker: str, most: int, *, leave: bool = False) -> None:
        due = self._line_up("ready", lane)
        self.silent.discard(worker)
        self._be_loud(worker)
        for_it = self._for_one_worker(due, worker, most, "claims")
        allowed = 0 if lane in self.paused else self._let_through("write", len(for_it))
        claims = self.journal.claim(lane, worker, most, leave=leave)
        got = [claimed.entry.id for claimed in claims.items]
        buried = [entry.id for entry in claims.buried]
        assert sorted([*got, *buried]) == sorted(for_it[:allowed]), "each once, and the oldest come first"
        for id_ in buried:
            assert self.items[id_].claims >= MAX_LAPSES
            self._die(id_, "unknown", "LAPSED_TOO_OFTEN")
        for claimed in claims.items:
            self._hand_over(claimed, worker, "sending")

    def _be_loud(self, worker: str) -> None:
        """Nobody waits for empty hands: that is a matter of seconds, and has tests of its own."""
        self.client.delete(self.journal.key(f"alone:{worker}"))

    def _for_one_worker(self, due: list[str], worker: str, most: int, lapses: str) -> list[str]:
        """What it may have of these: what has lapsed too often for company comes alone, into empty hands."""
        for_it: list[str] = []
        for id_ in due[:most]:
            if getattr(self.items[id_], lapses) >= ALONE_FROM:
                empty = worker not in self.looking and all(item.holder != worker for item in self.items.values())
                return for_it if for_it or not empty else [id_]
            for_it.append(id_)
        return for_it

    @precondition(lambda self: self._any("posted"))
    @rule(worker=st.sampled_from(WORKERS), most=st.integers(1, 4))
    def take(self, worker: str, most: int) -> None:
        due = self._line_up("posted")
        self._be_loud(worker)
        self.looking.discard(worker)
        # A look that did not end is charged when whoever had it was silent.
        before = {id_: self.items[id_].looks for id_ in due}
        for id_ in due:
            item = self.items[id_]
            item.looks += bool(item.looker and item.looker != worker and item.looker in self.silent)
        self.silent.discard(worker)
        for_it = self._for_one_worker(due, worker, most, "looks")
        allowed = self._let_through("read", len(for_it))
        claims = self.journal.take(worker, most, LATER_MS / 1000)
        got = [claimed.entry.id for claimed in claims.items]
        buried = [entry.id for entry in claims.buried]
        assert sorted([*got, *buried]) == sorted(for_it[:allowed]), "each once, and the oldest come first"
        for id_ in set(due) - {*got, *buried}:
            self.items[id_].looks = before[id_]
        if got:
            self.looking.add(worker)
        for id_ in buried:
            assert self.items[id_].looks >= MAX_LAPSES
            self._die(id_, "unknown", "LAPSED_TOO_OFTEN")
            self.items[id_].looks = before[id_]
        for claimed in claims.items:
            assert claimed.progress.looking
            item = self.items[claimed.entry.id]
            if item.looks > before[claimed.entry.id]:
                item.blamed += (item.looker,)
            self._hand_over(claimed, worker, "posted")
        # What the gate held back is offered again after a second, which is no time in this test.
        self._come_due("posted", [id_ for id_ in due if self.items[id_].state == "posted" and id_ not in got])

    def _line_up(self, state: str, lane: str = "") -> list[str]:
        """Ids of what is due, oldest first; their times are set apart, so that a run does not hang on milliseconds."""
        due = [id_ for id_, item in self.items.items() if item.state == state and item.due and lane in ("", item.lane)]
        due.sort(key=lambda id_: self.items[id_].seq)
        self._come_due(state, due)
        return due

    def _hand_over(self, claimed: Claimed, worker: str, origin: str) -> None:
        item = self.items[claimed.entry.id]
        item.token += 1
        item.looker = worker if origin == "posted" else ""
        assert max(item.claims, item.looks) <= MAX_LAPSES
        item.state = origin
        item.holder = worker if origin == "sending" else ""
        item.due = False
        assert number_of(claimed.token) == item.token
        assert claimed.entry.key == item.key
        if item.after:
            assert claimed.entry.payload["link"] == self.items[item.after[0]].txn, "filled in with what it waited for"
        assert claimed.progress.generation == item.generation
        # A lapsed lease counts as sent, unless the kind records before it sends and nothing was recorded.
        assert claimed.progress.sent == (item.sent or (item.lapsed and (item.kind == "transaction" or bool(item.memo))))
        self.given.append(Given(claimed, worker, origin))

    def _let_through(self, side: str, wanted: int) -> int:
        gate = self.gates[side]
        if not gate.paused or not wanted:
            return wanted
        if gate.manual or not gate.probe_due:
            return 0
        gate.probe_due = False
        return 1
