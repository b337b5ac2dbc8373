"""Accepting: whose keys and references are, what a receipt says of its durability, what a full server refuses."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import redis

from blnk_relay import (
    AsyncRelay,
    Intent,
    InvalidIntent,
    JournalUnavailable,
    KeyConflict,
    NotFound,
    OtherLoop,
    Refused,
    Relay,
    Settings,
    Write,
)
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.accept import ACCEPT_CHUNK
from blnk_relay.journal.entries import id_of
from tests.support.journal import (
    LANE,
    WORKER,
    enqueue,
    finish,
    kill,
    status,
    trim,
)
from tests.support.payments import hold, payment
from worker.demo.valkey import start_valkey


def test_a_replay_takes_no_reference_of_an_intent_that_was_trimmed(relay, journal, operator):
    enqueue(relay, "order.r2")
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    trim(journal)
    assert status(journal, "order.r2").key == ""
    enqueue(relay, "order")
    kill(journal, journal.claim(LANE, WORKER, 1).items[0], "rejected")
    with pytest.raises(Refused, match=r"'order\.r2' is taken"):
        operator.replay(status(journal, "order"), who="me", reason="a test")
    assert status(journal, "order").state == "dead"


def test_a_key_cannot_take_the_reference_that_a_replay_has_used(relay, journal, operator):
    enqueue(relay, "order")
    kill(journal, journal.claim(LANE, WORKER, 1).items[0], "rejected")
    operator.replay(status(journal, "order"), who="me", reason="a test")
    with pytest.raises(KeyConflict) as conflict:
        enqueue(relay, "order.r2")
    assert conflict.value.first_id == id_of(DEFAULT_TARGET, "order")


def test_a_trimmed_key_is_still_taken(relay, journal):
    first = relay.enqueue(payment(), key="order")
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    trim(journal)
    assert not journal.client.exists(journal.key(f"intent:{first.id}"), journal.key(f"body:{first.id}"))
    again = relay.enqueue(payment(), key="order")
    assert (again.id, again.created) == (first.id, False)
    with pytest.raises(KeyConflict):
        relay.enqueue(payment(precise_amount=7), key="order")
    assert journal.claim(LANE, WORKER, 1).items == ()


def test_another_write_under_a_key_is_refused_whatever_has_become_of_the_first(relay, journal):
    relay.enqueue(payment(), key="order")
    for become in (lambda: None, lambda: finish(journal, *journal.claim(LANE, WORKER, 1).items), lambda: trim(journal)):
        become()
        for other in (payment(precise_amount=7), payment("another"), hold()):
            with pytest.raises(KeyConflict):
                relay.enqueue(other, key="order")
        assert not relay.enqueue(payment(), key="order").created


def test_nobody_can_wait_for_what_was_taken_back(relay):
    relay.enqueue(payment(), key="first")
    relay.cancel("first")
    with pytest.raises(InvalidIntent, match="was cancelled"):
        relay.enqueue(payment(), key="second", after=["first"])


@pytest.mark.parametrize("number", [3, ACCEPT_CHUNK + 100], ids=["in one call", "in two"])
def test_a_batch_is_recorded_as_a_whole_or_not_at_all(relay, journal, number):
    relay.enqueue(payment("First"), key=f"order-{number - 1}")
    with pytest.raises(KeyConflict):
        enqueue(relay, *(f"order-{position}" for position in range(number)))
    assert [item.entry.key for item in journal.claim(LANE, WORKER, number).items] == [f"order-{number - 1}"]


def test_a_receipt_says_which_durability_it_got(settings):
    # There is no replica to wait for; a disk that is busy may take its time.
    expected = {"memory": ("memory", 0.1), "fsync": ("fsync", 10.0), "replicated:1": ("memory", 0.1)}
    for asked, (reached, timeout_s) in expected.items():
        with Relay(replace(settings, redis_timeout_s=20.0, durability=asked, durability_timeout_s=timeout_s)) as relay:
            assert relay.enqueue(payment(), key=f"order-{asked}").durability == reached


def test_fsync_is_not_claimed_of_a_server_without_an_append_only_file():
    server = start_valkey({"appendonly": "no"})
    try:
        with Relay(Settings(redis_url=f"redis://127.0.0.1:{server.port}/0", durability="fsync")) as relay:
            assert relay.enqueue(payment(), key="order").durability == "memory"
            assert relay.get("order").state == "ready"
            assert any("append-only file is off" in warning for warning in relay.journal().check_server())
    finally:
        server.stop()


def test_a_full_server_refuses_in_our_words_and_accepts_nothing(settings, valkey):
    with redis.Redis(port=valkey.port) as client, Relay(settings) as relay:
        relay.enqueue(payment(), key="before")
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(JournalUnavailable):
                relay.enqueue(payment(), key="order")
        finally:
            client.config_set("maxmemory", 0)
        with pytest.raises(NotFound):
            relay.get("order")
        assert relay.enqueue(payment(), key="order").created


def test_an_error_of_a_builder_tells_its_position_where_a_batch_is_built_on_the_way(relay, journal):
    rows = [payment("r-1"), payment("r-2"), {"amount": "1,50", "precise_amount": None}]
    with pytest.raises(InvalidIntent) as caught:
        relay.enqueue_many(row if isinstance(row, Intent) else payment(**row) for row in rows)
    assert caught.value.index == 2
    assert journal.claim(LANE, WORKER, 3).items == ()


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_key_that_is_the_id_of_another_intent_is_refused(relay, journal, trimmed):
    first = relay.enqueue(payment(), key="hold-9")
    if trimmed:
        finish(journal, *journal.claim(LANE, WORKER, 1).items)
        trim(journal)
    with pytest.raises(InvalidIntent, match="It is the id of another intent: use a key of your own"):
        relay.enqueue(payment("b"), key=first.id)
    with pytest.raises(InvalidIntent) as caught:
        relay.enqueue_many([Write(intent=payment("c"), key="c"), Write(intent=payment("b"), key=first.id)])
    assert caught.value.index == 1
    assert relay.get(first.id).id == first.id
    # One that only looks like an id is a key like any other.
    assert relay.enqueue(payment("d"), key="a" * 26).created
    assert not relay.enqueue(payment("d"), key="a" * 26).created


@pytest.mark.parametrize("between", [0, ACCEPT_CHUNK], ids=["in one call", "in two"])
def test_a_key_that_is_the_id_of_another_intent_of_its_batch_is_refused(relay, journal, between):
    a, b = Write(intent=payment(), key="a"), Write(intent=payment("b"), key=id_of(DEFAULT_TARGET, "a"))
    others = [Write(intent=payment(), key=f"order-{number}") for number in range(between)]
    for batch in ([a, *others, b], [b, *others, a]):
        with pytest.raises(InvalidIntent, match="id of another intent"):
            relay.enqueue_many(batch)
    assert journal.claim(LANE, WORKER, 2).items == ()


def test_what_holds_a_status_never_takes_its_id_for_a_key(relay, operator):
    # Enqueued before there was an intent with this id.
    other = relay.enqueue(payment("b"), key=id_of(DEFAULT_TARGET, "hold-9"))
    first = relay.enqueue(payment(), key="hold-9")
    operator.parts(operator.get("hold-9"))
    assert operator.cancel(operator.get("hold-9"), who="me").key == "hold-9"
    assert (relay.get("hold-9").state, operator.current(operator.get(first.id)).id) == ("cancelled", other.id)
    assert relay.get(other.id).state == "ready"


@pytest.mark.parametrize("key", ["\udc80", "a\ud800b", "k" * 10_000, ""])
def test_what_can_be_no_key_is_not_found_and_said_to_be_none(relay, key):
    for ask in (relay.get, relay.cancel):
        with pytest.raises(NotFound, match="no key can be like this"):
            ask(key)


def test_what_is_no_text_is_no_key(relay, settings):
    for ask in (relay.get, relay.cancel, relay.history, relay.parts, lambda key: relay.wait(key, 0)):
        with pytest.raises(NotFound, match="none can be: it must be a string, not int"):
            ask(5)

    async def ask_async() -> None:
        async with AsyncRelay(settings) as other:
            for ask in (other.get, other.cancel, other.history, other.parts, lambda key: other.wait(key, 0)):
                with pytest.raises(NotFound, match="none can be: it must be a string, not int"):
                    await ask(5)

    asyncio.run(ask_async())


def test_a_database_that_the_server_does_not_have_is_said_to_be_none(valkey):
    with (
        Relay(Settings(redis_url=f"redis://127.0.0.1:{valkey.port}/99")) as relay,
        pytest.raises(
            JournalUnavailable, match=r"no database of the number that BLNK_RELAY_REDIS_URL names .+ put that"
        ),
    ):
        relay.get("order")


def test_an_async_relay_is_of_one_event_loop_until_it_is_closed(settings):
    relay = AsyncRelay(settings)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(relay.enqueue(payment(), key="order"))
        with pytest.raises(OtherLoop, match="make one AsyncRelay for each loop"):
            second.run(relay.get("order"))
        first.run(relay.close())
        assert second.run(relay.get("order")).state == "ready"
        second.run(relay.close())
