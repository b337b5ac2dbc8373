"""The journal's scripts against a model of them, step by step, on a real Valkey.

The clock of Redis cannot be turned, so time passes by moving what is due: scores of the sets that wait for a time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from blnk_relay import Intent, InvalidIntent, KeyConflict, NotFound, Refused, Settings, TooLate, result_of
from blnk_relay.intents.decision import Send
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.states import OPEN
from blnk_relay.journal.entries import Claimed, NewEntry, Settlement, id_of, new_entry
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.status import Status, moment
from blnk_relay.relay import Relay

LANES = ("transactions", "inflight")
WORKERS = ("worker-1", "worker-2", "worker-3")
#: What stands under each key: whether its kind records before it sends, its lane, its order.
SHAPES = {
    "a": (False, "transactions", ""),
    "b": (False, "transactions", ""),
    "a.r2": (False, "transactions", ""),
    "b.r2": (False, "inflight", ""),
    "commit-1": (True, "inflight", "one"),
    "commit-2": (True, "inflight", "one"),
    "commit-3": (True, "transactions", "one"),
    "void-1": (True, "inflight", "two"),
    "void-2": (True, "inflight", "two"),
}
KEYS = tuple(SHAPES)
#: References that an intent may ask for by name.
REFERENCES = ("a", "b", "x", "a.r2", "x.r2", "commit-1")
ROWS = ("", "row-1", "row-2")
MAX_LAPSES = 3
#: Lapses in a row after which nothing else may be in the same hands; the journal has the same number.
ALONE_FROM = 2
#: Long enough that nothing comes due by itself while an example runs.
LATER_MS = 3_600_000
SOON = 1.0


def number_of(token: str) -> int:
    """Which claim of its intent a token is; the epoch before it is the same throughout a run."""
    return int(token.rpartition(".")[2])


@dataclass
class Item:
    """What the model knows of one intent."""

    key: str
    fingerprint: str
    kind: str
    lane: str
    orders: tuple[str, ...]
    after: tuple[str, ...]
    expires: bool
    reference: str
    seq: int
    state: str
    due: bool
    token: int = 0
    claims: int = 0
    charged: tuple[str, ...] = ()
    blamed: tuple[str, ...] = ()
    looks: int = 0
    sent: bool = False
    lapsed: bool = False
    generation: int = 0
    memo: str = ""
    excl: str = ""
    holder: str = ""
    looker: str = ""
    dead: tuple[str, str] = ("", "")
    trimmed: bool = False
    lives: int = 1
    txn: str = ""


@dataclass
class Gate:
    """One side of the target."""

    paused: bool = False
    manual: bool = False
    probe_due: bool = False


@dataclass
class Given:
    """A claim that was handed out, however long ago."""

    claimed: Claimed
    worker: str
    origin: str


class SilentBells:
    """Keeps what was to be rung."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, _target: str, lanes: Any) -> None:
        self.rung += lanes

    def close(self) -> None:
        pass


@dataclass
class Offer:
    """One intent on its way in; another variant is another payload under the same key."""

    key: str
    variant: int
    reference: str
    later: bool
    own_order: str
    after: tuple[str, ...]
    expires: bool

    def entry(self) -> NewEntry:
        records, lane, order = SHAPES[self.key]
        payload: dict[str, Any] = {"variant": self.variant}
        if self.after:
            payload["link"] = result_of(self.after[0], "transaction_id")
        intent = Intent(
            "inflight.commit" if records else "transaction",
            payload,
            reference=None if records else self.reference or None,
            order_key=order or None,
        )
        not_before = f"+{LATER_MS}" if self.later else "+0"
        return new_entry(
            intent,
            self.key,
            lane,
            not_before=not_before,
            deadline=f"+{LATER_MS}" if self.expires else f"~{LATER_MS}",
            after=self.after,
            order_key=self.own_order or None,
        )


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """The usual value, and now and then another."""
    return st.sampled_from((usual,) * 5 + others)


OFFERS = st.builds(
    Offer,
    key=st.sampled_from(KEYS),
    variant=mostly(0, 1),
    reference=mostly("", *REFERENCES),
    later=mostly(False, True),
    own_order=mostly("", "mine"),
    expires=mostly(False, True),
    after=mostly((), *((key,) for key in KEYS), ("a", "commit-1"), ("b", "void-1", "a.r2")),
)


class JournalMachine(RuleBasedStateMachine):
    """Rules are the transitions; after each of them the whole journal is compared with the model."""

    #: Set by the test: where the Valkey is.
    where: Settings

    def __init__(self) -> None:
        super().__init__()
        self.journal = Journal(self.where)
        self.client = self.journal.client
        self.client.flushall()
        self.relay = Relay(self.where)
        self.bells = SilentBells()
        self.relay.bells = self.bells  # type: ignore[assignment]
        self.operator = Operator(self.relay.journals, self.bells)  # type: ignore[arg-type]
        self.items: dict[str, Item] = {}
        self.named: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.made: dict[str, set[str]] = {}
        self.given: list[Given] = []
        self.looking: set[str] = set()
        self.silent: set[str] = set()
        self.remembered: list[Status] = []
        self.seq = 0
        self.rows = 0
        self.paused: set[str] = set()
        self.gates = {"write": Gate(), "read": Gate()}
        self.counts: Counter[str] = Counter()

    def teardown(self) -> None:
        try:
            self._everything_can_still_be_finished()
        finally:
            self.relay.close()
            self.journal.close()

    # -- accepting -----------------------------------------------------------------------------------------------

    @rule(offers=st.lists(OFFERS, min_size=1, max_size=3))
    def accept(self, offers: list[Offer]) -> None:
        entries, seen = [], set[str]()
        for offer in offers:
            if offer.key in offer.after:
                continue  # enqueue refuses what waits for itself
            entry = offer.entry()
            names = {entry.entry.id, *entry.references}
            if not names & seen:  # enqueue_many refuses what stands twice in one batch
                seen |= names
                entries.append((offer, entry))
        conflicts = [position for position, (_, entry) in enumerate(entries) if self._conflicts(entry)]
        forlorn = [
            position
            for position, (_, entry) in enumerate(entries)
            if position not in conflicts
            and self._waits_in_vain(entry, {known.entry.id for _, known in entries[:position]})
        ]
        news = [entry for _, entry in entries]
        assert [conflict.index for conflict in self.journal.conflicts(news)] == conflicts
        if conflicts or forlorn:
            first = min(conflicts + forlorn)
            with pytest.raises(KeyConflict if first in conflicts else InvalidIntent) as refused:
                self.journal.accept(news)
            assert refused.value.index == first
            return
        accepted, rung, durability = self.journal.accept(news)
        assert durability == "memory"
        for (offer, entry), answer in zip(entries, accepted, strict=True):
            assert answer.id == entry.entry.id
            assert answer.created == (answer.id not in self.items)
            if answer.created:
                self._take_in(offer, entry)
            else:
                self.counts["duplicate"] += 1
        fresh = {answer.id for answer in accepted if answer.created}
        for lane in {entry.entry.lane for _, entry in entries if entry.entry.id in fresh and self._due(entry.entry.id)}:
            assert lane in rung or self.client.exists(self.journal.key(f"bell:{lane}"))

    def _conflicts(self, entry: NewEntry) -> bool:
        known = self.items.get(entry.entry.id)
        if known is not None:
            return known.fingerprint != entry.fingerprint
        return any(reference in self.named for reference in entry.references) or any(
            namesake in self.items for namesake in entry.namesakes if namesake
        )

    def _waits_in_vain(self, entry: NewEntry, before: set[str]) -> bool:
        """It would wait for what was never accepted, was cancelled, or was discarded; a repeat is not asked."""
        if entry.entry.id in self.items:
            return False
        return any(
            self.items[id_].state in ("cancelled", "discarded") if id_ in self.items else id_ not in before
            for id_ in entry.after_ids
        )

    def _take_in(self, offer: Offer, entry: NewEntry) -> None:
        id_ = entry.entry.id
        self.seq += 1
        self.items[id_] = Item(
            key=offer.key,
            fingerprint=entry.fingerprint,
            kind=entry.entry.kind,
            lane=entry.entry.lane,
            orders=entry.entry.orders,
            after=entry.after_ids,
            expires=offer.expires,
            reference=entry.entry.reference,
            seq=self.seq,
            state="waiting",
            due=not offer.later,
        )
        self._let_go()
        for reference, namesake in zip(entry.references, entry.namesakes, strict=True):
            if namesake:
                self.named[reference] = id_
        self.counts[f"accepted|{entry.entry.kind}"] += 1

    # -- working -------------------------------------------------------------------------------------------------

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

    def _die(self, id_: str, dead_class: str, code: str) -> None:
        item = self.items[id_]
        item.state, item.holder, item.due, item.dead = "dead", "", False, (dead_class, code)
        self.counts[f"dead|{item.kind}|{dead_class}|{code}"] += 1
        status = self.journal.status(id_)
        assert status is not None
        self.remembered.append(status)

    def _release(self, id_: str) -> None:
        item = self.items[id_]
        if self.owners.get(item.excl) == id_:
            del self.owners[item.excl]
        self._let_go()

    def _close(self, id_: str) -> None:
        """It will never be done: what waits for it dies, and keeps what waits for that waiting."""
        for other, item in self.items.items():
            if item.state == "waiting" and id_ in item.after:
                self._die(other, "refused", "DEPENDENCY_CLOSED")
            elif item.state == "dead" and id_ in item.after:
                item.dead = (item.dead[0], "DEPENDENCY_CLOSED")

    def _let_go(self) -> None:
        for id_, item in self.items.items():
            if item.state == "waiting" and not self._held(id_):
                item.state = "ready"

    def _held(self, id_: str) -> bool:
        """It waits for another intent, or is not the first of each of its orders."""
        item = self.items[id_]
        return self._undone(item) > 0 or any(self._in_order(order)[0] != id_ for order in item.orders)

    def _undone(self, item: Item) -> int:
        return sum(self.items[dep].state != "done" for dep in item.after)

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

    # -- by hand -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._any(*OPEN))
    @rule(key=st.sampled_from(KEYS))
    def cancel(self, key: str) -> None:
        id_ = id_of(DEFAULT_TARGET, key)
        item = self.items.get(id_)
        if item is None:
            with pytest.raises(NotFound):
                self.relay.cancel(key)
            return
        if item.trimmed:
            with pytest.raises(NotFound):
                self.relay.cancel(key)
            return
        if item.state in ("waiting", "ready") and not item.sent and not item.lapsed:
            assert self.relay.cancel(key).state == "cancelled"
            item.state = "cancelled"
            self.counts["cancelled"] += 1
            self._close(id_)
            self._release(id_)
        elif item.state == "cancelled":
            assert self.relay.cancel(key).state == "cancelled"
        else:
            with pytest.raises(TooLate):
                self.relay.cancel(key)

    def _died_again(self, status: Status) -> bool:
        """Whether a letter has had another life since it was looked at, though it died of the same."""
        died = self.client.zscore(self.journal.key("dead"), status.id)
        return died is not None and status.updated != moment(int(died))

    @precondition(lambda self: self.remembered)
    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        status = data.draw(st.sampled_from(self.remembered))
        item = self.items[status.id]
        fresh = status.dead_class == "rejected"
        reference = of_generation(item.reference, status.generation + 1)
        refused = (
            (fresh and item.kind != "transaction")
            or item.state != "dead"
            or status.code == "DEPENDENCY_CLOSED"
            or (status.generation, status.dead_class, status.code) != (item.generation, *item.dead)
            or self._died_again(status)
            or (fresh and self._taken(reference, status.id))
        )
        before = self._dump(item)
        if refused:
            with pytest.raises((Refused, NotFound)):
                self.operator.replay(status, who="me", reason="a test")
            assert self._dump(item) == before
            return
        self.operator.replay(status, who="me", reason="because")
        self.counts[f"replayed|{item.kind}"] += 1
        item.lives += 1
        if fresh:
            item.generation += 1
            item.sent = item.lapsed = False
            item.memo = ""
            self.named[reference] = status.id
        # It has the settings' patience from now on, whatever it had before.
        item.expires = False
        held = self._held(status.id)
        item.state = "posted" if item.sent or item.lapsed else "waiting" if held else "ready"
        item.claims, item.looks, item.looker, item.due, item.dead = 0, 0, "", True, ("", "")
        item.charged = item.blamed = ()
        item.token += 1
        rung = "confirm" if item.state == "posted" else item.lane
        assert (
            item.state == "waiting" or rung in self.bells.rung or self.client.exists(self.journal.key(f"bell:{rung}"))
        )

    def _taken(self, reference: str, by: str) -> bool:
        """Whether a reference belongs to another intent: by name, or because it is the reference of its key."""
        return self.named.get(reference, by) != by or id_of(DEFAULT_TARGET, reference) in self.items

    @precondition(lambda self: self.remembered)
    @rule(data=st.data())
    def discard(self, data: Any) -> None:
        status = data.draw(st.sampled_from(self.remembered))
        item = self.items[status.id]
        if item.state == "discarded":
            before = self._dump(item)
            with pytest.raises(Refused):
                self.operator.discard(status, who="me", reason="once more")
            assert self._dump(item) == before, "the first word stands"
            return
        looked_at = (status.generation, status.dead_class, status.code)
        if item.state != "dead" or looked_at != (item.generation, *item.dead) or self._died_again(status):
            before = self._dump(item)
            with pytest.raises(NotFound if item.trimmed else Refused):
                self.operator.discard(status, who="me", reason="because")
            assert self._dump(item) == before
            return
        self.operator.discard(status, who="me", reason="because")
        item.state = "discarded"
        self.counts[f"discarded|{item.kind}"] += 1
        self._close(status.id)
        self._release(status.id)

    @precondition(lambda self: self._any("ready", "posted") and not self._anything_paused(twice=True))
    @rule(what=st.sampled_from((*LANES, "write", "read")), manual=st.booleans())
    def pause(self, what: str, manual: bool) -> None:
        if what in LANES:
            self.operator.pause_lane(what, who="me")
            self.paused.add(what)
            return
        gate = self.gates[what]
        news = not gate.paused or (manual and not gate.manual)
        name, code = what, "OPERATOR" if manual else "HTTP_401"
        answer = self.journal.scripts.run("gate", name, "pause", code, LATER_MS, str(int(manual)), "")
        assert bool(answer[0]) == news
        if news:
            self.gates[what] = Gate(paused=True, manual=manual)
            self.counts[f"gate_paused|{code}"] += 1

    @precondition(lambda self: self._anything_paused())
    @rule()
    def resume(self) -> None:
        for lane in LANES:
            assert bool(self.operator.resume_lane(lane)) == (lane in self.paused)
        assert bool(self.operator.resume_target(DEFAULT_TARGET)) == any(gate.paused for gate in self.gates.values())
        self.paused.clear()
        self.gates = {"write": Gate(), "read": Gate()}

    # -- time ----------------------------------------------------------------------------------------------------

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

    def _come_due(self, state: str, ids: list[str]) -> None:
        for id_ in ids:
            item = self.items[id_]
            item.due = True
            name = "posted" if state == "posted" else f"ready:{item.lane}"
            self.client.zadd(self.journal.key(name), {id_: item.seq}, xx=True)

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

    def _waits_with_a_deadline(self) -> list[str]:
        return [id_ for id_, item in self.items.items() if item.state == "waiting" and item.expires]

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

    # -- what holds after every step -----------------------------------------------------------------------------

    @invariant()
    def every_intent_is_in_exactly_one_place(self) -> None:
        found = self._places()
        expected: dict[str, str] = {}
        for id_, item in self.items.items():
            if item.trimmed:
                continue
            expected[id_] = {
                "ready": f"ready:{item.lane}",
                "sending": f"leased:{item.holder}",
                "cancelled": "done",
            }.get(item.state, item.state)
        assert found == expected

    def _places(self) -> dict[str, str]:
        names = [
            "waiting",
            "posted",
            "done",
            "dead",
            "discarded",
            *(f"leased:{worker}" for worker in WORKERS),
            *(f"ready:{lane}" for lane in LANES),
        ]
        pipeline = self.client.pipeline(transaction=False)
        for name in names:
            pipeline.zrange(self.journal.key(name), 0, -1)
        places: dict[str, str] = {}
        for name, ids in zip(names, pipeline.execute(), strict=True):
            for id_ in ids:
                assert id_ not in places, f"{id_} is in {places[id_]} and in {name}"
                places[id_] = name
        return places

    @invariant()
    def every_record_is_as_the_model_has_it(self) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for id_ in self.items:
            pipeline.hgetall(self.journal.key(f"intent:{id_}"))
            pipeline.exists(self.journal.key(f"body:{id_}"))
        answers = pipeline.execute()
        for item, fields, body in zip(self.items.values(), answers[::2], answers[1::2], strict=True):
            if item.trimmed:
                assert not fields
                assert not body
                continue
            assert body
            assert fields["state"] == item.state
            assert number_of(fields.get("token", "0")) == item.token
            assert int(fields.get("claims", 0)) == item.claims
            charged = tuple(tuple(fields.get(name, "").split()) for name in ("charged", "looker"))
            assert charged == (item.charged, item.blamed)
            assert int(fields.get("looks", 0)) == item.looks
            assert int(fields.get("gen", 0)) == item.generation
            assert (fields.get("class", ""), fields.get("code", "")) == item.dead or item.state == "discarded"
            assert (fields.get("sent") == "1") == item.sent
            assert (fields.get("lapsed") == "1") == item.lapsed

    @invariant()
    def one_of_an_order_is_under_way(self) -> None:
        for order in {order for item in self.items.values() for order in item.orders}:
            line = self._in_order(order)
            assert self.client.zrange(self.journal.key(f"order:{order}"), 0, -1) == line
            assert all(self.items[id_].state in ("waiting", "dead") for id_ in line[1:])

    @invariant()
    def who_waits_waits_for_something(self) -> None:
        assert set(self.client.zrange(self.journal.key("expiring"), 0, -1)) == set(self._waits_with_a_deadline())
        for id_, item in self.items.items():
            if item.state in OPEN:
                assert (item.state == "waiting") == self._held(id_)
            if item.state == "waiting":
                pending = self.client.hget(self.journal.key(f"intent:{id_}"), "pending")
                assert int(pending or 0) == self._undone(item)
                for dep in item.after:
                    if self.items[dep].state != "done":
                        assert self.client.sismember(self.journal.key(f"deps:{dep}"), id_)

    @invariant()
    def a_row_has_one_writer(self) -> None:
        for row in ROWS[1:]:
            full = row
            assert self.client.get(self.journal.key(f"excl:{full}")) == self.owners.get(full)
            assert self.client.smembers(self.journal.key(f"made:{full}")) == self.made.get(full, set())

    @invariant()
    def the_counters_add_up(self) -> None:
        counts = {name: int(value) for name, value in self.client.hgetall(self.journal.key("counts")).items()}
        assert counts == dict(+self.counts)
        states = Counter(item.state for item in self.items.values())

        def total(prefix: str) -> int:
            return sum(value for name, value in counts.items() if name.startswith(prefix))

        assert total("accepted|") == len(self.items)
        assert total("done|") == states["done"]
        assert total("dead|") - total("replayed|") - total("discarded|") == states["dead"]
        assert total("discarded|") == states["discarded"]

    @invariant()
    def a_reference_has_one_owner(self) -> None:
        asked = [id_of(DEFAULT_TARGET, reference) for reference in self.named]
        found = self.journal.scripts.run("owners", *asked) if asked else []
        owners = {reference: owner for reference, (owner, *_) in zip(self.named, found, strict=True)}
        assert owners == self.named
        used = Counter(
            of_generation(item.reference, generation)
            for item in self.items.values()
            if item.reference
            for generation in range(item.generation + 1)
        )
        assert all(number == 1 for number in used.values()), "two intents would be sent under one reference"

    # ------------------------------------------------------------------------------------------------------------

    def _in_order(self, order: str) -> list[str]:
        """Ids of an order that are not over, in accept order."""
        line = [
            (item.seq, id_)
            for id_, item in self.items.items()
            if order in item.orders and item.state in (*OPEN, "dead")
        ]
        return [id_ for _, id_ in sorted(line)]

    def _anything_paused(self, *, twice: bool = False) -> bool:
        return len(self.paused) + sum(gate.paused for gate in self.gates.values()) > twice

    def _any(self, *states: str, due: bool | None = None) -> bool:
        return any(
            item.state in states and due in (None, item.due) and not item.trimmed for item in self.items.values()
        )

    def _due(self, id_: str) -> bool:
        item = self.items[id_]
        return item.state == "ready" and item.due

    def _dump(self, item: Item) -> Any:
        """All of an intent but what it is charged with, which the invariants see to."""
        id_ = id_of(DEFAULT_TARGET, item.key)
        fields: Any = self.client.hgetall(self.journal.key(f"intent:{id_}"))
        return (
            self._places().get(id_),
            {name: value for name, value in fields.items() if name not in {"claims", "charged", "looks", "looker"}},
            self.client.lrange(self.journal.key(f"log:{id_}"), 0, -1),
        )

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
