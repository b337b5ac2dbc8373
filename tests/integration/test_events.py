"""Outcomes are told at least once and in order for each intent: over crashes, replays and several readers."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import AsyncRelay, Refused, Relay
from blnk_relay.bell import Bells
from blnk_relay.journal.events import _GONE_MS, Event, Events
from blnk_relay.journal.settlement import Settlement
from tests.support.cli import letters
from tests.support.stages import operator_of
from worker.outcome_task import GROUP, Callbacks

LANE = "transactions"


def finish_all(relay, outcome="applied"):
    """Settle whatever is due as done."""
    claims = relay.journal().claim(LANE, "tester", 1000)
    done = [Settlement(item, "sending", "done", fields={"outcome": outcome}) for item in claims.items]
    relay.journal().settle("tester", done, ())


def told(events):
    return [(event.key, event.event) for event in events]


def tell(relay, *intents: str) -> None:
    """Events of made-up intents."""
    for intent in intents:
        fields = {"id": intent, "kind": "transaction", "event": "done", "detail": ""}
        relay.journal().client.xadd(relay.journal().key("events"), fields)


def reader(relay, name="a", group="g"):
    return Events(relay.journal(), group, name)


def let_pass(relay, name, group="g"):
    """As if a reader had been silent for longer than readers may."""
    seconds, _ = relay.journal().client.time()
    relay.journal().client.zadd(relay.journal().key(f"readers:{group}"), {name: seconds * 1000 - _GONE_MS - 1})


def test_a_silence_is_no_failure_however_short_redis_may_take(relay):
    hasty = replace(relay.settings, redis_timeout_s=1.0, durability_timeout_s=0.5)
    with Relay(hasty) as queue:
        assert list(queue.events("hasty", timeout_s=1.2)) == []

    async def listen() -> list[Event]:
        async with AsyncRelay(hasty) as queue:
            return [event async for event in queue.events("hasty too", timeout_s=1.2)]

    assert asyncio.run(listen()) == []


def test_who_crashed_on_a_death_hears_of_it_before_what_a_replay_came_to(relay):
    letters(relay, "order-1", dead_class="refused", code="NO")
    following = relay.events("mailer", timeout_s=0.1)
    assert next(following).event == "dead"
    following.close()  # as a crash leaves it: handed out, not finished
    operator_of(relay).replay(relay.get("order-1"), who="ann", reason="a test")
    finish_all(relay)
    assert told(relay.events("mailer", timeout_s=0.1)) == [("order-1", "dead"), ("order-1", "done")]


def test_the_async_twin_hears_in_order_as_well(relay):
    async def play():
        async with AsyncRelay(relay.settings) as queue:
            first = queue.events("mailer", timeout_s=0.1)
            heard = [await anext(first)]
            await first.aclose()
            operator_of(relay).replay(relay.get("order-1"), who="ann", reason="a test")
            finish_all(relay)
            return told(heard), told([event async for event in queue.events("mailer", timeout_s=0.1)])

    letters(relay, "order-1", dead_class="refused", code="NO")
    assert asyncio.run(play()) == ([("order-1", "dead")], [("order-1", "dead"), ("order-1", "done")])


def test_what_is_new_waits_for_all_that_was_left_pending(relay):
    tell(relay, *(f"i{number}" for number in range(250)))
    assert len(reader(relay).read(0)) == 100
    seen = []
    while batch := reader(relay).read(0):
        seen += batch
        reader(relay).finish(batch)
    assert [event.intent_id for event in seen] == [f"i{number}" for number in range(250)]


def test_no_reader_gets_what_follows_while_another_has_what_came_before(relay):
    a, b = reader(relay, "a"), reader(relay, "b")
    tell(relay, "x")
    before = a.read(0)
    tell(relay, "x", "y")
    assert [event.intent_id for event in b.read(0)] == ["y"]
    assert a.finish(before)
    after = a.read(0)
    assert [event.intent_id for event in after] == ["x"]
    assert after[0].event_id > before[0].event_id


def test_a_reader_with_nothing_of_its_own_waits_until_its_time_is_over(relay):
    a, b = reader(relay, "a"), reader(relay, "b")
    tell(relay, "x")
    a.read(0)
    tell(relay, "x")
    assert b.read(0.2) == []


def test_a_new_event_wakes_a_reader_that_waits(relay):
    waiting = threading.Timer(0.2, tell, (relay, "x"))
    waiting.start()
    assert [event.intent_id for event in reader(relay).read(20)] == ["x"]
    waiting.join()


def test_what_a_silent_reader_held_goes_to_another_and_it_is_told_so_when_it_wakes_up(relay):
    a, b = reader(relay, "a"), reader(relay, "b")
    tell(relay, "x", "y")
    held = a.read(0)
    assert b.read(0) == []
    let_pass(relay, "a")
    taken = b.read(0)
    assert [event.event_id for event in taken] == [event.event_id for event in held]
    assert not a.finish(held[:1])
    assert b.finish(taken)
    assert not a.finish(held[1:])


def test_a_reader_that_works_through_a_long_batch_keeps_it(relay):
    a, b = reader(relay, "a"), reader(relay, "b")
    tell(relay, "x", "y", "z")
    held = a.read(0)
    let_pass(relay, "a")
    assert a.finish(held[:1])  # a sign of life
    assert b.read(0) == []
    assert a.finish(held[1:])


def test_events_that_the_cap_has_cut_off_hold_up_nobody(relay):
    stream = relay.journal().key("events")
    tell(relay, "x", "y")
    reader(relay, "a").read(0)
    relay.journal().client.xtrim(stream, maxlen=0, approximate=False)
    tell(relay, "z")
    assert [event.intent_id for event in reader(relay, "a").read(0)] == ["z"]
    assert relay.journal().client.xpending(stream, "g")["pending"] == 1


def test_names_of_readers_do_not_pile_up(relay):
    stream = relay.journal().key("events")
    for number in range(15):
        tell(relay, f"i{number}")
        one = reader(relay, f"pod-{number}")
        one.finish(one.read(0))
        let_pass(relay, f"pod-{number}")
    reader(relay, "last").read(0)
    reader(relay, "last").read(0)
    assert [one["name"] for one in relay.journal().client.xinfo_consumers(stream, "g")] == ["last"]
    assert relay.journal().client.zrange(relay.journal().key("readers:g"), 0, -1) == ["last"]


def test_readers_finish_before_they_hold_more_than_a_thousand_together(relay):
    tell(relay, *(f"i{number}" for number in range(1_150)))
    held = {name: reader(relay, name).read(0) for name in "abcdefghij"}
    assert sum(len(batch) for batch in held.values()) == 1_000
    assert reader(relay, "k").read(0.1) == []
    reader(relay, "a").finish(held["a"])
    assert len(reader(relay, "k").read(0)) == 100


@pytest.mark.parametrize("seed", range(12))
def test_however_readers_come_crash_and_vanish_the_order_of_each_intent_holds(relay, seed):
    """At any time: what is handed out has nothing before it that is unfinished, but in the same hands and ahead."""
    draw = random.Random(seed)
    names, holds = "abc", dict[str, list[Event]]()
    finished, history = set[str](), defaultdict[str, list[str]](list)
    for step in range(400):
        name = draw.choice(names)
        match draw.choice(["tell", "tell", "read", "read", "finish", "finish", "crash", "vanish"]):
            case "tell":
                tell(relay, draw.choice("uvwxyz"))
                (entry,) = relay.journal().client.xrevrange(relay.journal().key("events"), count=1)
                history[entry[1]["id"]].append(entry[0])
            case "read" if not holds.get(name):
                ahead = set[str]()
                for event in (batch := reader(relay, name).read(0)):
                    before = history[event.intent_id][: history[event.intent_id].index(event.event_id)]
                    assert set(before) <= finished | ahead, (step, name, event)
                    ahead.add(event.event_id)
                holds[name] = batch
            case "finish" if holds.get(name):
                event = holds[name].pop(0)
                if reader(relay, name).finish([event]):
                    finished.add(event.event_id)
                else:
                    holds[name] = []
            case "crash":
                holds[name] = []
            case "vanish":
                let_pass(relay, name)
    for name in names:
        let_pass(relay, name)
    last = reader(relay, "z")
    while batch := last.read(0):
        last.finish(batch)
        finished |= {event.event_id for event in batch}
    assert finished == {id_ for ids in history.values() for id_ in ids}


# -- the task of the application -------------------------------------------------------------------------------------


class Broker(Bells):
    """Keeps what is sent: task ids and events; a call goes on when ``go_on`` is set, and may fail."""

    def __init__(self, settings: Any, sent: list[tuple[str, str]]) -> None:
        super().__init__(settings)
        self.sent = sent
        self.fails = False
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def call(self, task: str, queue: str, arguments: Mapping[str, Any], *, task_id: str) -> bool:
        self.reached.set()
        assert self.go_on.wait(20)
        assert (task, queue) == ("app.outcome", "celery")
        if not self.fails:
            self.sent.append((task_id, arguments["event"]))
        return not self.fails


def callbacks(relay, sent):
    settings = replace(relay.settings, outcome_task="app.outcome")
    broker = Broker(settings, sent)
    return Callbacks(settings, relay.journal(), broker), broker


def test_two_sweeps_at_once_send_nothing_twice_and_nothing_out_of_order(relay):
    sent: list[tuple[str, str]] = []
    (slow, broker), (quick, _) = callbacks(relay, sent), callbacks(relay, sent)
    letters(relay, "order-1", "order-2", dead_class="refused", code="NO")
    broker.go_on.clear()
    running = threading.Thread(target=slow.run)
    running.start()
    assert broker.reached.wait(20)
    for key in ("order-1", "order-2"):
        operator_of(relay).replay(relay.get(key), who="ann", reason="a test")
    finish_all(relay)
    assert quick.run() == 0
    broker.go_on.set()
    running.join(20)
    quick.run()
    assert [event for _, event in sent] == ["dead", "dead", "done", "done"]
    assert len({task for task, _ in sent}) == 4


def test_what_could_not_be_sent_is_sent_by_the_next_sweep_of_anybody_in_its_order(relay):
    sent: list[tuple[str, str]] = []
    (first, broker), (second, _) = callbacks(relay, sent), callbacks(relay, sent)
    broker.fails = True
    letters(relay, "order-1", dead_class="refused", code="NO")
    assert first.run() == 0
    operator_of(relay).replay(relay.get("order-1"), who="ann", reason="a test")
    finish_all(relay)
    assert second.run() == 2
    assert [event for _, event in sent] == ["dead", "done"]
    assert relay.journal().client.xinfo_consumers(relay.journal().key("events"), GROUP) == []


def test_a_group_whose_name_redis_cannot_be_sent_is_refused_in_words(relay):
    for named in ({"group": "a\ud800"}, {"group": "a", "consumer": "\udc80"}):
        with pytest.raises(Refused, match=r"no events are read: .+ lone surrogates"):
            relay.events(**named)
