"""What workers make of what they have in hand, as the machine plays it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from blnk_relay.intents.decision import Send
from blnk_relay.journal.settlement import Settlement
from tests.support.journal_machine.handing import Handing
from tests.support.journal_machine.model import LANES, LATER_MS, ROWS, WORKERS, Gate, Given, Item, number_of


class Settling(Handing):
    """What is settled, in time or late, and recorded before it is sent."""

    @precondition(lambda self: self.given)
    @rule(
        data=st.data(),
        to=st.sampled_from(("done", "dead", "posted", "ready")),
        dead_class=st.sampled_from(("refused", "rejected", "unknown")),
        later=st.booleans(),
        sent=st.booleans(),
        healthy=st.booleans(),
        twice=st.booleans(),
    )
    def settle(
        self, *, data: Any, to: str, dead_class: str, later: bool, sent: bool, healthy: bool, twice: bool
    ) -> None:
        given = data.draw(st.sampled_from(self._current() or self.given))
        for _ in range(1 + twice):
            self._settle(given, to, dead_class, later=later, sent=sent, healthy=healthy)

    @precondition(lambda self: self.given)
    @rule(data=st.data(), to=st.sampled_from(("done", "dead", "posted", "ready")))
    def settle_late(self, data: Any, to: str) -> None:
        """Whatever was claimed at any time, its lease long lost or not."""
        self._settle(data.draw(st.sampled_from(self.given)), to, "refused")

    def _current(self) -> list[Given]:
        """Claims whose token is still the latest."""
        return [
            given
            for given in self.given
            if (item := self.items[given.claimed.entry.id]).state == given.origin
            and number_of(given.claimed.token) == item.token
        ]

    def _settle(
        self,
        given: Given,
        to: str,
        dead_class: str,
        *,
        later: bool = False,
        sent: bool = False,
        healthy: bool = False,
    ) -> None:
        item = self.items[given.claimed.entry.id]
        self.rows += 1
        fields = {
            "done": {"outcome": "applied", "txn": f"txn_{self.rows}"},
            "dead": {"class": dead_class, "code": f"CODE_{dead_class}", "message": "no"},
            "posted": {"refuse": "0"},
            "ready": {},
        }[to]
        if sent:
            fields |= {"sent": "1"}
        line = json.dumps({"at": 1, "what": "sent"})
        settlement = Settlement(given.claimed, given.origin, to, LATER_MS * later, fields, line, ("looked_up",))
        side = "write" if given.origin == "sending" else "read"
        current = not item.trimmed and number_of(given.claimed.token) == item.token and given.origin == item.state
        before = None if current else self._dump(item)
        if not current and not item.trimmed:
            # Whoever speaks has not died of it.
            item.claims -= item.charged.count(given.worker)
            item.looks -= item.blamed.count(given.worker)
            item.charged, item.blamed = (
                tuple(name for name in names if name != given.worker) for names in (item.charged, item.blamed)
            )
        self.journal.settle(given.worker, [settlement], [side] if healthy else [])
        if healthy and self.gates[side].paused and not self.gates[side].manual:
            self.gates[side] = Gate()
            self.counts["gate_opened"] += 1
        if before is not None:
            assert self._dump(item) == before, "a stale token changes nothing else"
            self.counts["stale"] += 1
        else:
            self._settled(item, given, to, fields, later=later, sent=sent)

    @precondition(lambda self: self._any("ready", "posted", due=True))
    @rule(
        most=st.integers(1, 3),
        to=st.sampled_from(("done", "done", "dead", "posted", "ready")),
        dead_class=st.sampled_from(("refused", "rejected", "rejected", "unknown")),
    )
    def work(self, most: int, to: str, dead_class: str) -> None:
        """What mostly happens: claimed, sent, settled."""
        before = len(self.given)
        for lane in LANES:
            self._claim(lane, WORKERS[0], most)
        self.take(worker=WORKERS[0], most=most)
        for given in self.given[before:]:
            self._settle(given, to, dead_class, sent=True)

    @precondition(lambda self: self._any("ready", due=True))
    @rule(row=st.sampled_from(ROWS), record=st.booleans(), sent_again=st.booleans())
    def crash(self, row: str, record: bool, sent_again: bool) -> None:
        """What is claimed by a worker that dies; perhaps it was not sent, and goes back to its lane after a look."""
        before = len(self.given)
        for lane in LANES:
            self._claim(lane, WORKERS[1], 2)
        claimed = self.given[before:]
        if record and claimed:
            self._record(claimed[0], row)
        if not claimed:
            return
        self._lapse(WORKERS[1], silent=True)
        before = len(self.given)
        self.take(worker=WORKERS[2], most=2)
        for given in self.given[before:]:
            if sent_again:
                self._settle(given, "ready", "")

    def _settled(self, item: Item, given: Given, to: str, fields: dict[str, str], *, later: bool, sent: bool) -> None:
        item.looks, item.looker, item.blamed = 0, "", ()
        if given.origin == "sending":
            item.claims, item.charged = 0, ()
        item.sent |= sent
        item.holder = ""
        self.counts["looked_up"] += 1
        id_ = given.claimed.entry.id
        if to == "dead":
            self._die(id_, fields["class"], fields["code"])
        elif to == "done":
            item.state, item.txn = "done", fields["txn"]
            self.counts[f"done|{item.kind}|applied"] += 1
            if item.excl:
                self.made.setdefault(item.excl, set()).add(fields["txn"])
            self._release(id_)
        else:
            item.state = to
            item.due = not later

    @precondition(lambda self: self.given)
    @rule(data=st.data(), row=st.sampled_from(ROWS), blind=st.booleans())
    def record(self, data: Any, row: str, blind: bool) -> None:
        sending = [given for given in self._current() if given.origin == "sending"]
        self._record(data.draw(st.sampled_from([*sending * 3, *self.given])), row, blind=blind)

    def _record(self, given: Given, row: str, *, blind: bool = False) -> None:
        id_ = given.claimed.entry.id
        item, full = self.items[id_], row
        seen = () if blind else tuple(sorted(self.made.get(full, ())))
        expected = "ok"
        if item.trimmed or number_of(given.claimed.token) != item.token or item.state != "sending":
            expected = "stale"
        elif row and self.owners.get(full, id_) != id_:
            expected = "busy"
        elif row and set(self.made.get(full, ())) - set(seen):
            expected = "lagging"
        before = self._dump(item)
        memo = {"row": row, "n": self.rows}
        assert self.journal.record([(given.claimed, Send(memo=memo, exclusive=row, seen=seen))]) == [expected]
        if expected != "ok":
            assert self._dump(item) == before
            return
        item.memo = json.dumps(memo)
        if row:
            if self.owners.get(item.excl) == id_:
                del self.owners[item.excl]
            self.owners[full] = id_
            item.excl = full
