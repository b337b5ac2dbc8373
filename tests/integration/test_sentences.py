"""What applications are told where something is in the way: whose the key or the reference is, what keeps an intent."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import redis

from blnk_relay import (
    AsyncRelay,
    DuplicateInBatch,
    Intent,
    JournalUnavailable,
    KeyConflict,
    NotFound,
    Relay,
    Settings,
    StillOpen,
    Write,
    refund,
    transaction,
)
from blnk_relay.journal.entries import new_entry
from tests.support.stages import operator_of


def payment(description: str = "Top-up", **options: Any) -> Intent:
    return transaction(
        source="@bank", destination="@alice", currency="EUR", amount="1.00", description=description, **options
    )


# -- whose it is -----------------------------------------------------------------------------------------------------


def test_a_key_that_is_taken_is_called_a_key(relay):
    first = relay.enqueue(payment(), key="order-1")
    with pytest.raises(KeyConflict) as caught:
        relay.enqueue(payment("Something else"), key="order-1")
    assert caught.value.reference == ""
    assert str(caught.value).startswith(
        f"key 'order-1' already belongs to intent {first.id} (transaction, ready), which is another write"
    )


def test_a_reference_that_is_taken_is_called_a_reference(relay):
    first = relay.enqueue(payment(reference="invoice-7"), key="order-1")
    with pytest.raises(KeyConflict) as caught:
        relay.enqueue(payment(reference="invoice-7"), key="order-2")
    assert (caught.value.key, caught.value.reference, caught.value.first_id) == ("order-2", "invoice-7", first.id)
    assert str(caught.value).startswith(
        f"reference 'invoice-7', which key 'order-2' would need, already belongs to intent {first.id}"
    )


def test_a_key_whose_reference_is_taken_is_told_apart_from_a_key_that_is(relay):
    first = relay.enqueue(payment(reference="invoice-7"), key="order-1")
    with pytest.raises(KeyConflict) as caught:
        relay.enqueue(payment(), key="invoice-7")
    assert caught.value.reference == "invoice-7"
    assert f"that reference already belongs to intent {first.id}" in str(caught.value)


def test_a_reference_that_is_somebodys_key_is_told_too(relay):
    first = relay.enqueue(payment(), key="invoice-7")
    with pytest.raises(KeyConflict) as caught:
        relay.enqueue(payment(reference="invoice-7"), key="order-2")
    assert (caught.value.reference, caught.value.first_id) == ("invoice-7", first.id)


def test_in_a_batch_the_position_and_the_name_are_told(relay):
    with pytest.raises(DuplicateInBatch, match=r"key: 'a' stands at position 0 and at position 1") as caught:
        relay.enqueue_many([Write(intent=payment(), key="a"), Write(intent=payment("Other"), key="a")])
    assert caught.value.reference == ""
    twice = [Write(intent=payment(reference="invoice-7"), key=key) for key in ("a", "b")]
    with pytest.raises(DuplicateInBatch) as caught:
        relay.enqueue_many(twice)
    assert (caught.value.key, caught.value.reference, caught.value.positions) == ("b", "invoice-7", (0, 1))
    assert caught.value.errors == {
        "reference": ["'invoice-7' stands at position 0 (key 'a') and at position 1 (key 'b')."]
    }


def test_what_nobody_can_have_enqueued_is_not_found_and_told_so(relay):
    for ask in (relay.get, relay.cancel, relay.history, relay.parts, lambda key: relay.wait(key, 0.1)):
        with pytest.raises(NotFound, match=r"no key can be like this: .*U\+200B ZERO WIDTH SPACE \(its character 8\)"):
            ask("order-1\u200b")
    with pytest.raises(NotFound, match=r"^no intent is known under 'order-1'$"):
        relay.get("order-1")


@pytest.mark.parametrize("odd", ["order\u200b", "cafe\u0301", "a\tb"])
def test_what_was_recorded_before_there_was_a_rule_is_found_read_and_taken_back(relay, odd):
    entry = new_entry(payment(), odd, "transactions", not_before="+0", deadline="+60000")
    relay.journal().accept([entry])
    assert relay.get(odd).key == odd
    assert relay.get(entry.entry.id).key == odd
    assert relay.history(odd) == ()
    assert relay.parts(odd) == ()
    assert relay.cancel(odd).state == "cancelled"


# -- what keeps it ---------------------------------------------------------------------------------------------------


def still_open(relay, key):
    with pytest.raises(StillOpen) as caught:
        relay.wait(key, 0.01)
    return str(caught.value)


def test_an_intent_that_no_worker_takes(relay):
    first = relay.enqueue(payment(), key="order-1")
    assert still_open(relay, "order-1") == (
        f"intent {first.id} (key 'order-1') is still ready: no worker has taken it yet; "
        "is there one for lane 'transactions'?"
    )


def test_an_intent_that_waits_for_others(relay):
    relay.enqueue(payment(), key="order-1")
    relay.enqueue(refund("x"), key="order-2", after=["order-1"])
    assert still_open(relay, "order-2").endswith("is still waiting: it waits for 'order-1' (ready)")


def test_an_intent_that_is_due_later(relay):
    relay.enqueue(payment(), key="order-1", not_before=timedelta(hours=1))
    assert "it is due in 3600 s" in still_open(relay, "order-1") or "3599 s" in still_open(relay, "order-1")


def test_an_intent_behind_a_pause(relay):
    relay.enqueue(payment(), key="order-1")
    operator = operator_of(relay)
    operator.pause_target("default", who="ops", reason="a look")
    assert "writes to target 'default' are paused (OPERATOR)" in still_open(relay, "order-1")
    operator.pause_lane("transactions", who="ops", reason="a look")
    assert "lane 'transactions' is paused by an operator" in still_open(relay, "order-1")


def test_the_async_relay_says_the_same(settings):
    async def ask():
        async with AsyncRelay(settings) as relay:
            await relay.enqueue(payment(), key="order-1")
            with pytest.raises(StillOpen, match="is there one for lane 'transactions'"):
                await relay.wait("order-1", 0.01)

    asyncio.run(ask())


# -- why there is no journal -----------------------------------------------------------------------------------------


@pytest.fixture
def locked():
    """A server of its own with a password, and the settings of those who do not know it."""
    from worker.demo.valkey import start_valkey

    server = start_valkey()
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", "secret")
    yield server
    server.stop()


def test_a_wrong_password_is_called_so_and_nobody_is_told_to_try_again_as_it_is(locked):
    # With a ledger in its settings a producer's first trip asks whose the journal is; without, it is the call itself.
    for ledger in ({}, {"base_url": "http://127.0.0.1:9", "instance_id": "inst_1"}):
        with Relay(Settings(redis_url=f"redis://:wrong@127.0.0.1:{locked.port}/0", **ledger)) as relay:
            for call in (lambda: relay.get("order-1"), lambda: relay.enqueue(payment(), key="order-1")):
                with pytest.raises(JournalUnavailable) as caught:
                    call()
                assert str(caught.value) == (
                    "the journal cannot be used, because Redis refused the user name or the password, or wants one: "
                    "see BLNK_RELAY_REDIS_URL (AuthenticationError); put that right, then try again"
                )


def test_a_user_who_may_not_is_told_so(locked):
    with redis.Redis(port=locked.port, password="secret") as client:  # noqa: S106 - of this test
        client.acl_setuser("reader", enabled=True, passwords=["+word"], categories=["+@read"], keys=["*"])
    with (
        Relay(Settings(redis_url=f"redis://reader:word@127.0.0.1:{locked.port}/0")) as relay,
        pytest.raises(JournalUnavailable, match="permissions"),
    ):
        relay.enqueue(payment(), key="order-1")
