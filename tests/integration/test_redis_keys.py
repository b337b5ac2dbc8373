"""Nothing stands on Redis that the list at the head of ``common.lua`` does not name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from celery import Celery

from blnk_relay import Intent, Relay, Settings, Write, transaction
from blnk_relay.bell import queue_of
from blnk_relay.sandbox import Faults
from blnk_relay.settings import INGEST_LANE
from tests.support.messages import FIELDS, TASK
from tests.support.redis_keys import listed, pattern_of, unlisted
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.play import play
from worker.demo.stage import Stage
from worker.demo.story import tell

OUTCOME_QUEUE = "shop.outcomes"


class Inventory:
    """All keys that were seen, each with its type; looked at again and again, because some are there for a moment."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = redis.Redis.from_url(settings.redis_url, decode_responses=True)
        self.seen: dict[str, str] = {}

    def look(self, *_: object) -> None:
        """Note what is there."""
        names = [name for name in self._client.scan_iter(count=5_000) if name not in self.seen]
        pipeline = self._client.pipeline(transaction=False)
        for name in names:
            pipeline.type(name)
        # What was gone in between was there all the same, and has its turn when it comes back.
        self.seen.update(
            {name: type_ for name, type_ in zip(names, pipeline.execute(), strict=True) if type_ != "none"}
        )

    def families(self) -> set[str]:
        """The entries of the list of which some key was seen."""
        patterns = {key.name: pattern_of(key, self._settings) for key in listed()}
        return {name for name, pattern in patterns.items() if any(map(pattern.fullmatch, self.seen))}

    def unlisted(self) -> list[str]:
        """What no entry names."""
        return unlisted(self.seen, listed(), self._settings)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()


@pytest.fixture
def watched(make_stage) -> Iterator[tuple[Stage, Inventory]]:
    """A stage whose ledger misbehaves, and what is seen on its Redis."""
    stage = make_stage(
        faults=Faults.seeded(7, 0.1), settings={"outcome_task": "shop.outcome", "outcome_queue": OUTCOME_QUEUE}
    )
    inventory = Inventory(stage.settings)
    yield stage, inventory
    inventory.close()


def test_the_demo_makes_no_key_that_is_not_listed(watched):
    stage, inventory = watched
    assert play(stage, tell(200, 7), inventory.look).sound
    inventory.look()
    assert inventory.unlisted() == []
    # It was looked at while it worked, not only at the end.
    assert {"intent:<id>", "leased:<worker>", "ready:<lane>", "excl:<row>", "deps:<id>"} <= inventory.families()


def test_neither_do_operators_readers_of_events_messages_by_name_or_a_crowd_that_waits_for_one_intent(watched):
    stage, inventory = watched
    with Relay(stage.settings) as relay:
        operator = operator_of(relay)
        operator.pause_lane("transactions", who="ops", reason="a look")
        operator.pause_target("default", who="ops", reason="a look")
        relay.enqueue(payment("first"), key="first")
        relay.enqueue_many(
            [Write(intent=payment(f"crowd {number}"), key=f"crowd-{number}", after=["first"]) for number in range(500)]
        )
        for priority in (0, 6):
            by_name(stage.settings, {**FIELDS, "key": f"named-{priority}"}, priority)
        by_name(stage.settings, {"key": "nonsense"}, 0)
        inventory.look()
        stage.start_worker()

        def until(condition: Callable[[], bool], what: str) -> None:
            wait_until(lambda: inventory.look() or condition(), 60, what)

        until(lambda: operator.overview().dead == 1, "a message that cannot be an intent")
        until(lambda: sum(lane.due for lane in operator.overview().lanes) == 3, "messages that came by name")
        operator.resume_lane("transactions", who="ops")
        operator.resume_target("default", who="ops")
        until(lambda: relay.get("first").state == "done", "the one that all wait for")
        assert next(relay.events(group="books", timeout_s=5))
        until(lambda: operator.overview().open == 0, "the crowd")
        for letter in list(operator.listed("dead")):
            operator.discard(letter, who="ops", reason="a test")
        inventory.look()
    assert inventory.unlisted() == []
    assert {
        "actions",
        "causes",
        "letters:<cause>",
        "pause:<lane>",
        "gate:<side>",
        "readers:<group>",
        "discarded",
        "alive",
    } <= inventory.families()
    assert {OUTCOME_QUEUE, f"{queue_of(stage.settings, INGEST_LANE)}\x06\x166"} <= inventory.seen.keys()


def payment(description: str) -> Intent:
    return transaction(**{**FIELDS, "description": description})


def by_name(settings: Settings, arguments: dict[str, Any], priority: int) -> None:
    """Send one as a program does that has Celery and not this library."""
    app = Celery("shop", broker=settings.broker, set_as_current=False)
    app.send_task(TASK, kwargs=arguments, queue=queue_of(settings, INGEST_LANE), priority=priority, ignore_result=True)
    app.close()
