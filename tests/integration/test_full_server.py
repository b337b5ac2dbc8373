"""A Redis without room: accepting refuses while there is some left, and all that brings work to its end goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import redis

from blnk_relay import AsyncRelay, Intent, JournalFull, JournalUnavailable, NotFound, Relay
from blnk_relay.bell import Bells
from blnk_relay.journal.events import Events
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from tests.support.payments import payment, poor
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.demo.valkey import start_valkey

WAIT_S = 60
ROOM = 12_000_000


def small_stage(**arguments: Any) -> Stage:
    """A stage, not yet entered, on a server with little memory."""
    stage = Stage(**arguments)
    stage._start_valkey = partial(start_valkey, {"maxmemory": str(ROOM)})
    return stage


@contextmanager
def no_room(client: redis.Redis) -> Iterator[None]:
    """A server that has used more than it may."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


def fill(relay: Relay) -> list[str]:
    """Enqueue until the journal refuses; returns the keys that it took."""
    keys: list[str] = []
    while len(keys) < 50_000:
        numbers = range(len(keys), len(keys) + 20)
        try:
            receipts = relay.enqueue_many([large(number) for number in numbers])
        except JournalFull:
            return keys
        keys += [receipt.key for receipt in receipts]
    raise AssertionError("it was never full")


def large(number: int) -> Intent:
    return payment(f"order-{number}.", destination=f"@shop-{number}", description="x" * 5_000)


def test_a_full_journal_refuses_while_workers_still_have_room_and_accepts_again_when_they_have_drained_it():
    with small_stage(settings={"retention_s": 1.0}) as stage, Relay(stage.settings) as relay:
        keys = fill(relay)
        client = relay.journal().client
        info = client.info("memory")
        assert 0.8 * ROOM < info["used_memory"] < ROOM, "the last of the room is for workers and the broker"
        with pytest.raises(NotFound):
            relay.get(f"order-{len(keys)}.")
        assert not relay.enqueue(large(0)).created, "who asks again gets the receipt"
        stage.start_worker()
        open_then = len(keys)

        def drained() -> bool:
            return not Operator(relay.journals, Bells(stage.settings)).overview().open

        wait_until(drained, WAIT_S, f"{open_then} intents to be drained:\n{stage.log.read_text()}")

        def accepted() -> bool:
            try:
                return relay.enqueue(payment("after.")).created
            except JournalFull:
                return False

        wait_until(accepted, WAIT_S, "room again")
        assert relay.wait("after.", WAIT_S).outcome == "applied"
        assert stage.workers[0].poll() is None


@pytest.mark.parametrize("started", ["before", "after"])
def test_workers_drain_a_server_that_is_beyond_its_limit(started):
    """Somebody else may have filled it: then not even the broker's own commands are taken."""
    with Stage() as stage, Relay(stage.settings) as relay:
        relay.enqueue_many([payment(f"order-{number}.") for number in range(300)])
        with closing(redis.Redis(port=stage.valkey.port)) as client:
            if started == "before":
                stage.start_worker()
                wait_until(lambda: client.zcard("{relay:v1:default}:workers"), WAIT_S, "the worker")
            with no_room(client):
                if started == "after":
                    client.delete("_kombu.binding.relay.transactions")
                    stage.start_worker()
                for number in range(300):
                    assert relay.wait(f"order-{number}.", WAIT_S).outcome == "applied", stage.log.read_text()
                with pytest.raises(JournalFull):
                    relay.enqueue(payment("order-300."))
            assert relay.enqueue(payment("order-300.")).created
            assert relay.wait("order-300.", WAIT_S).outcome == "applied"


def test_a_full_server_refuses_new_intents_only(settings, valkey):
    with redis.Redis(port=valkey.port) as client, Relay(settings) as relay:
        relay.enqueue(payment("before."))
        with no_room(client):
            for _ in range(2):
                with pytest.raises(JournalFull, match=r"maxmemory.* BLNK_RELAY_RETENTION_S"):
                    relay.enqueue(payment("order."))
                with pytest.raises(JournalUnavailable):
                    relay.enqueue_many([payment("before."), payment("order.")])
            assert not relay.enqueue(payment("before.")).created

            async def enqueue() -> None:
                async with AsyncRelay(settings) as other:
                    assert not (await other.enqueue(payment("before."))).created
                    await other.enqueue(payment("order."))

            with pytest.raises(JournalFull):
                asyncio.run(enqueue())
            assert relay.cancel("before.").state == "cancelled"
        with pytest.raises(NotFound):
            relay.get("order.")
        assert relay.enqueue(payment("order.")).created


def test_operators_and_readers_of_events_work_on_a_full_server(make_stage):
    stage = make_stage()
    with Relay(stage.settings) as relay, closing(redis.Redis(port=stage.valkey.port)) as client:
        stage.start_worker()
        relay.enqueue_many([poor("poor-1."), poor("poor-2.")])
        for key in ("poor-1.", "poor-2."):
            assert relay.wait(key, WAIT_S).state == "dead"
        operator = Operator(relay.journals, Bells(stage.settings))
        with no_room(client):
            operator.pause_target("default", who="me")
            assert operator.resume_target("default")
            operator.pause_lane("refunds", who="me")
            assert operator.resume_lane("refunds")
            operator.discard(relay.get("poor-1."), who="me", reason="paid by hand")
            operator.replay(relay.get("poor-2."), who="me", reason="a test")
            assert relay.wait("poor-2.", WAIT_S).state == "dead"
            events = Events(relay.journal(), "mailer", "main").follow(1.0)
            assert sorted(event.event for event in events) == ["dead", "dead", "dead", "discarded"]


def test_how_much_room_there_is_is_asked_now_and_then_and_not_for_every_intent(settings):
    journal = Journal(settings)
    with Relay(replace(settings)) as relay:
        relay.enqueue(payment("first."))
        assert 0 < journal.client.pttl(journal.key("room")) <= 1_000
        asked = journal.client.info("commandstats")["cmdstat_info"]["calls"]
        relay.enqueue_many([payment(f"order-{number}.") for number in range(500)])
        assert journal.client.info("commandstats")["cmdstat_info"]["calls"] - asked < 50
    journal.close()
