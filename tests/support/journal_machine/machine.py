"""What all rules of the machine share: the journal, the model, and what one state brings about in others."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine

from blnk_relay import Settings
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import OPEN
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.status import Status
from blnk_relay.relay import Relay
from tests.support.journal_machine.model import LANES, WORKERS, Gate, Given, Item, SilentBells


class Machine(RuleBasedStateMachine):
    """A journal and the model of it."""

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

    def _come_due(self, state: str, ids: list[str]) -> None:
        for id_ in ids:
            item = self.items[id_]
            item.due = True
            name = "posted" if state == "posted" else f"ready:{item.lane}"
            self.client.zadd(self.journal.key(name), {id_: item.seq}, xx=True)

    def _waits_with_a_deadline(self) -> list[str]:
        return [id_ for id_, item in self.items.items() if item.state == "waiting" and item.expires]

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
