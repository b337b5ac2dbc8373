"""What holds after every step of the machine."""

from __future__ import annotations

from collections import Counter

from hypothesis.stateful import invariant

from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.states import OPEN
from blnk_relay.journal.entries import id_of
from tests.support.journal_machine.machine import Machine
from tests.support.journal_machine.model import ROWS, number_of


class Holding(Machine):
    """Invariants: the whole journal is compared with the model."""

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
