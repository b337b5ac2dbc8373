"""No script holds Redis for long: what is more than a little goes on in the next call, and comes to the same end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib.resources import files
from typing import Any

import pytest

from blnk_relay import InvalidIntent, KeyConflict, Relay, Write, bulk_transactions
from blnk_relay.intents.decision import Send
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.accept import MOST_AFTER
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import SWEEP_MOST, Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.settlement import Settlement
from tests.support.payments import payment

LANE = "transactions"
WORKER = "somewhere:1:abc"
MANY = 1_000

SCRIPTS = files("blnk_relay.journal") / "scripts"
#: What one script deals with of what waits.
AT_ONCE = int(re.search(r"dependents_left = (\d+)", (SCRIPTS / "turns.lua").read_text())[1])


@pytest.fixture
def journal(relay: Relay) -> Journal:
    return relay.journal()


@contextmanager
def changes(journal: Journal) -> Iterator[list[int]]:
    """Counts what one call changes: commands that write hashes."""

    def calls() -> int:
        return journal.client.info("commandstats").get("cmdstat_hset", {"calls": 0})["calls"]

    before, found = calls(), []
    yield found
    found.append(calls() - before)


def sweep(journal: Journal) -> tuple[str, ...]:
    journal.client.delete(journal.key("sweep"))
    found = journal.sweep()
    swept, rung = found.swept, found.bells
    assert swept
    return rung


def family(relay: Relay, number: int, first: str = "first") -> list[str]:
    """An intent and many that wait for it; returns their keys."""
    keys = [f"{first}-{at}" for at in range(number)]
    relay.enqueue_many(
        [
            Write(intent=payment(), key=first),
            *(Write(intent=payment(), key=key, after=[first]) for key in keys),
        ]
    )
    return keys


def settle(journal: Journal, claims: Sequence[Claimed], to: str = "done") -> None:
    fields = (
        {"outcome": "applied", "txn": "txn_1"} if to == "done" else {"class": "refused", "code": "N", "message": "n"}
    )
    journal.settle(WORKER, [Settlement(claimed, "sending", to, 0, fields) for claimed in claims], [])


def states(relay: Relay, keys: Sequence[str]) -> Counter[tuple[str, str]]:
    found = [relay.get(key) for key in keys]
    return Counter((status.state, status.code) for status in found)


def end_done(_: Relay, journal: Journal) -> None:
    settle(journal, journal.claim(LANE, WORKER, 1).items)


def end_cancelled(relay: Relay, _: Journal) -> None:
    relay.cancel("first")


def end_discarded(relay: Relay, journal: Journal) -> None:
    settle(journal, journal.claim(LANE, WORKER, 1).items, "dead")
    Operator(relay.journals, relay.bells).discard(relay.get("first"), who="me", reason="closed")


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (end_done, ("ready", "")),
        (end_cancelled, ("dead", "DEPENDENCY_CLOSED")),
        (end_discarded, ("dead", "DEPENDENCY_CLOSED")),
    ],
)
def test_those_who_wait_for_one_intent_are_dealt_with_little_by_little(
    relay: Relay, journal: Journal, end: Callable[[Relay, Journal], None], expected: tuple[str, str]
):
    keys = family(relay, MANY)
    with changes(journal) as hashes:
        end(relay, journal)
    assert hashes[0] < AT_ONCE * 5, "a few changes for each that was dealt with"
    assert states(relay, keys) == {expected: AT_ONCE, ("waiting", ""): MANY - AT_ONCE}
    for done in range(2, MANY // AT_ONCE + 1):
        with changes(journal) as hashes:
            owing, _bells = journal.scripts.run("owed", 1000)
        assert hashes[0] < AT_ONCE * 5
        assert states(relay, keys)[expected] == AT_ONCE * done
        assert owing == (done < MANY // AT_ONCE)
    assert journal.scripts.run("owed", 1000) == [0, []]
    assert not journal.client.exists(journal.key(f"deps:{id_of(DEFAULT_TARGET, 'first')}"), journal.key("owed"))


def test_one_sweep_goes_on_until_nothing_is_owed(relay, journal):
    keys = family(relay, MANY)
    end_done(relay, journal)
    journal.client.delete(journal.key(f"bell:{LANE}"))
    assert LANE in sweep(journal)
    assert states(relay, keys) == {("ready", ""): MANY}
    results = {journal.client.hget(journal.key(f"intent:{id_of(DEFAULT_TARGET, key)}"), "results") for key in keys}
    assert results == {f"{id_of(DEFAULT_TARGET, 'first')} txn_1\n"}


def test_many_intents_that_end_in_one_call_owe_together(relay, journal):
    families = [family(relay, 60, f"head-{number}") for number in range(10)]
    with changes(journal) as hashes:
        settle(journal, journal.claim(LANE, WORKER, 10).items)
    assert hashes[0] < AT_ONCE * 6
    keys = [key for one in families for key in one]
    assert states(relay, keys)[("ready", "")] == AT_ONCE
    sweep(journal)
    assert states(relay, keys) == {("ready", ""): 600}


def test_whoever_changes_between_two_calls_comes_to_the_same_end(relay, journal):
    """Some are cancelled, some die of their deadline, some wait for another as well, some come late."""
    keys = family(relay, MANY)
    relay.enqueue(payment(), key="second", not_before=timedelta(hours=1))
    both = [f"both-{at}" for at in range(300)]
    strict = [f"strict-{at}" for at in range(300)]
    relay.enqueue_many(
        [
            *(Write(intent=payment(), key=key, after=["first", "second"]) for key in both),
            *(Write(intent=payment(), key=key, after=["first"], deadline=timedelta(hours=1)) for key in strict),
        ]
    )
    cancelled = keys[:300]
    for key in cancelled[:150]:
        relay.cancel(key)
    end_done(relay, journal)
    still = [key for key in cancelled[150:] if relay.get(key).state == "waiting"]
    for key in still:
        relay.cancel(key)
    # Their deadline passes before their turn in line has come.
    late = [key for key in strict if relay.get(key).state == "waiting"]
    assert late
    journal.client.zadd(journal.key("expiring"), {id_of(DEFAULT_TARGET, key): 1 for key in late})
    relay.enqueue(payment(), key="newcomer", after=["first"])
    sweep(journal)
    assert states(relay, [*cancelled[:150], *still]) == {("cancelled", ""): 150 + len(still)}
    assert states(relay, keys[300:]) == {("ready", ""): MANY - 300}
    assert states(relay, both) == {("waiting", ""): 300}
    assert states(relay, late) == {("dead", "EXPIRED"): len(late)}
    assert relay.get("newcomer").state == "ready"
    # Who died meanwhile has the result all the same, and goes when it is replayed.
    operator = Operator(relay.journals, relay.bells)
    operator.replay(relay.get(late[0]), who="me", reason="a test")
    assert relay.get(late[0]).state == "ready"
    results = journal.client.hget(journal.key(f"intent:{id_of(DEFAULT_TARGET, late[0])}"), "results")
    assert results == f"{id_of(DEFAULT_TARGET, 'first')} txn_1\n"


def test_a_sweep_takes_back_a_few_leases_at_a_time_of_all_workers_together(relay, journal):
    relay.enqueue_many([Write(intent=payment(), key=f"order-{at}") for at in range(900)])
    for worker in ("a:1:x", "b:1:x", "c:1:x"):
        assert len(journal.claim(LANE, worker, 300).items) == 300
        journal.client.zadd(journal.key("workers"), {worker: 1})
    sweep(journal)
    assert journal.client.zcard(journal.key("posted")) == SWEEP_MOST
    sweep(journal)
    assert journal.client.zcard(journal.key("posted")) == 900


def test_what_expires_is_handed_over_in_bearable_parts(relay, journal):
    relay.enqueue(payment(), key="first")
    keys = [f"large-{at}" for at in range(8)]
    relay.enqueue_many([Write(intent=payment(), key=key, after=["first"], deadline=timedelta(hours=1)) for key in keys])
    for key in keys:
        id_ = id_of(DEFAULT_TARGET, key)
        body = journal.client.get(journal.key(f"body:{id_}"))
        journal.client.set(journal.key(f"body:{id_}"), body + " " * 900_000)
        journal.client.zadd(journal.key("expiring"), {id_: 1})
    sweep(journal)
    assert states(relay, keys)[("dead", "EXPIRED")] == 3
    sweep(journal)
    sweep(journal)
    assert states(relay, keys) == {("dead", "EXPIRED"): 8}


def test_a_stream_whose_cap_was_lowered_comes_down_little_by_little(relay, journal):
    pipeline = journal.client.pipeline(transaction=False)
    for number in range(5_000):
        pipeline.xadd(journal.key("events"), {"id": number})
    pipeline.execute()
    short = Journal(replace(journal.settings, events_max=100))
    relay.enqueue_many([Write(intent=payment(), key=f"order-{at}") for at in range(10)])
    lengths = []
    for claimed in short.claim(LANE, WORKER, 10).items:
        settle(short, [claimed])
        lengths.append(short.client.xlen(short.key("events")))
    assert lengths[0] >= 4_000
    assert lengths[-1] <= 200
    short.close()


def test_an_intent_waits_for_a_bearable_number_of_others(relay):
    relay.enqueue_many([Write(intent=payment(), key=f"order-{at}") for at in range(MOST_AFTER + 1)])
    keys = [f"order-{at}" for at in range(MOST_AFTER + 1)]
    assert relay.enqueue(payment(), key="fine", after=keys[:-1]).created
    with pytest.raises(InvalidIntent, match=f"after: Holds more than {MOST_AFTER} keys"):
        relay.enqueue(payment(), key="too many", after=keys)
    with pytest.raises(InvalidIntent) as caught:
        relay.enqueue_many([payment("other."), Write(intent=payment(), key="too many", after=keys)])
    assert caught.value.index == 1
    assert relay.journal().status(id_of(DEFAULT_TARGET, "other.")) is None


def items(first: int, number: int) -> list[Any]:
    return [payment(f"item-{at}.") for at in range(first, first + number)]


def test_the_references_of_a_large_intent_are_taken_with_few_commands_and_none_twice(relay, journal):
    relay.enqueue(payment("item-2400."))
    relay.enqueue(payment("trimmed."))
    settle(journal, [one for one in journal.claim(LANE, WORKER, 2).items if one.entry.key == "trimmed."])
    journal.client.zadd(journal.key("done"), {id_of(DEFAULT_TARGET, "trimmed."): 1})
    sweep(journal)
    assert relay.get("trimmed.").state == "done"
    with pytest.raises(KeyConflict) as conflict:
        relay.enqueue(bulk_transactions(items(0, 2_500)), key="bulk-1")
    assert conflict.value.first_id == id_of(DEFAULT_TARGET, "item-2400.")
    with pytest.raises(KeyConflict) as conflict:
        relay.enqueue(bulk_transactions([*items(0, 1_200), payment("trimmed.")]), key="bulk-1")
    assert conflict.value.first_id == id_of(DEFAULT_TARGET, "trimmed.")

    journal.client.config_resetstat()
    assert relay.enqueue(bulk_transactions(items(0, 2_400)), key="bulk-1").created
    calls = journal.client.info("commandstats")
    # Each is looked for with one command, in the hash in which it would stand, and taken with two.
    for command, most in {
        "get": 20,
        "mget": 20,
        "set": 20,
        "exists": 20,
        "hmget": 2_420,
        "hlen": 2_420,
        "hset": 2_420,
    }.items():
        assert calls.get(f"cmdstat_{command}", {"calls": 0})["calls"] < most, command

    with pytest.raises(KeyConflict) as conflict:
        relay.enqueue(bulk_transactions(items(2_399, 1)), key="bulk-2")
    assert conflict.value.first_id == id_of(DEFAULT_TARGET, "bulk-1")
    with pytest.raises(KeyConflict) as conflict:
        relay.enqueue(payment("item-2399."))
    assert conflict.value.first_id == id_of(DEFAULT_TARGET, "bulk-1")
    assert relay.enqueue(payment("item-2401.")).created


def test_what_is_noted_of_thousands_of_parts_is_written_with_few_commands(relay, journal):
    relay.enqueue(bulk_transactions(items(0, 1_100)), key="bulk")
    claims = journal.claim(LANE, WORKER, 1).items
    noted = {number: f"applied txn_{number}" for number in range(1_100)}
    fields = {"outcome": "applied", "txn": "txn_1"}
    with changes(journal) as hashes:
        journal.settle(WORKER, [Settlement(claims[0], "sending", "done", 0, fields, parts=noted)], [])
    assert hashes[0] < 10
    assert [part.transaction_id for part in relay.parts("bulk")] == [f"txn_{number}" for number in range(1_100)]


# -- rows that our intents made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "seen", "answer"),
    [
        ((), (), "ok"),
        ((), ("txn_1",), "ok"),
        (("txn_1",), (), "lagging"),
        (("txn_1",), ("txn_1",), "ok"),
        (("txn_1",), ("txn_10",), "lagging"),
        (("txn_1", "txn_2"), ("txn_1",), "lagging"),
        (("txn_1", "txn_2"), ("txn_2", "txn_3", "txn_1"), "ok"),
        (tuple(f"txn_{at}" for at in range(5_000)), ("txn_1",), "lagging"),
        (tuple(f"txn_{at}" for at in range(5_000)), tuple(f"txn_{at}" for at in range(5_001)), "ok"),
    ],
)
def test_a_read_that_misses_a_row_of_ours_is_older_than_our_writes(
    relay: Relay, journal: Journal, made: Any, seen: Any, answer: str
):
    relay.enqueue(payment(), key="order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    if made:
        journal.client.sadd(journal.key("made:hold"), *made)
    before = journal.client.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"]
    assert journal.record([(claimed, Send(exclusive="hold", seen=seen))]) == [answer]
    if len(made) > len(seen):
        after = journal.client.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"]
        assert after == before, "what cannot have been seen is not read"
