"""What is left of trimmed intents: the same as before to whoever asks, and in few bytes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from blnk_relay import Intent, KeyConflict, Settings, Write, bulk_transactions, refund
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.outcomes import OUTCOMES
from blnk_relay.journal.entries import NewEntry, id_of, new_entry
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import WORKER, status, trim
from tests.support.payments import payment
from tests.support.system_redis import system_redis


@pytest.fixture(params=["valkey", "redis"])
def any_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of an empty server: the embedded Valkey, and the system's Redis where there is one."""
    if request.param == "valkey":
        valkey = request.getfixturevalue("valkey")
        with redis.Redis(port=valkey.port) as client:
            client.flushall()
        yield valkey.port
        return
    with system_redis(tmp_path) as port:
        yield port


def crowded(new: NewEntry) -> NewEntry:
    """The same under an id that stands in a thousandth of all hashes: as if there were a thousand times as many."""
    return replace(
        new,
        entry=replace(new.entry, id="aa" + new.entry.id[2:]),
        namesakes=tuple(one and "aa" + one[2:] for one in new.namesakes),
    )


def made(journal: Journal, intents: list[tuple[Intent, str]]) -> None:
    """Accept intents, finish them all, and let their retention pass."""
    entries = [crowded(new_entry(one, key, "all", not_before="+0", deadline="+60000")) for one, key in intents]
    for at in range(0, len(entries), 200):
        journal.accept(entries[at : at + 200])
        for claimed in journal.claim("all", WORKER, 200).items:
            fields = {"outcome": "applied", "txn": f"txn_{uuid.uuid4()}"}
            journal.settle(WORKER, [Settlement(claimed, "sending", "done", 0, fields)], [])
    while journal.client.zcard(journal.key("done")):
        trim(journal)


def batch(number: int) -> Intent:
    return bulk_transactions(
        [
            {
                "source": "@world",
                "destination": "@shop",
                "currency": "EUR",
                "amount": 1,
                "description": "x",
                "reference": f"item-{number}-{item}",
                "allow_overdraft": True,
            }
            for item in range(100)
        ]
    )


KINDS: dict[str, tuple[int, int, Any]] = {
    # How many, bytes of each at most, and the intents.
    "a payment with a key": (2_000, 48, lambda number: (payment(), f"order-{number}")),
    "a payment with a reference of its own": (
        1_000,
        96,
        lambda number: (payment(f"reference-{number}"), f"order-{number}"),
    ),
    "a refund": (2_000, 48, lambda number: (refund(f"order-{number}"), f"refund:order-{number}")),
    "a bulk of 100": (20, 101 * 48, lambda number: (batch(number), f"bulk-{number}")),
}


@pytest.mark.parametrize("what", KINDS)
def test_a_trimmed_intent_costs_few_bytes(any_server: int, what: str) -> None:
    number, most, make = KINDS[what]
    journal = Journal(Settings(redis_url=f"redis://127.0.0.1:{any_server}/0"))
    made(journal, [make(one) for one in range(number)])
    hashes = list(journal.client.scan_iter(match=journal.key("past:*"), count=1000))
    kept = sum(journal.client.hlen(key) for key in hashes)
    used = sum(journal.client.memory_usage(key, samples=0) for key in hashes)
    print(f"{what}: {used / number:.1f} bytes, {kept / len(hashes):.0f} fields a hash")
    assert used <= most * number
    assert {journal.client.object("encoding", key) for key in hashes} == {"listpack"}
    families = {key.removeprefix(journal.prefix).partition(":")[0] for key in journal.client.scan_iter(count=1000)}
    assert not families & {"intent", "body", "file", "log", "parts", "order", "deps"}
    journal.close()


#: Main ids as the ledger gives them, and as it might.
IDS = (
    "txn_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4",
    "ldg_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4",
    "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4",
    "txn_0EC8FBFF-deb3-4d81-8f89-3fb437ab98f4",
    "txn_0ec8fbf-fdeb3-4d81-8f89-3fb437ab98f4",
    "txn_00000000-0000-0000-0000-000000000000",
    "general_ledger_id",
    "a b",
    "",
)


@pytest.mark.parametrize("outcome", [*OUTCOMES, "", "dreamt"])
def test_whoever_asks_is_told_the_same_after_trimming_and_the_key_stays_taken(
    relay: Any, journal: Journal, outcome: str
) -> None:
    writes = [Write(intent=payment(), key=f"order-{number}") for number in range(len(IDS))]
    relay.enqueue_many(writes)
    claims = {claimed.entry.key: claimed for claimed in journal.claim("transactions", WORKER, 100).items}
    for write, id_ in zip(writes, IDS, strict=True):
        fields = {"outcome": outcome, "txn": id_}
        journal.settle(WORKER, [Settlement(claims[write.key], "sending", "done", 0, fields)], [])
    before = {write.key: status(journal, write.key) for write in writes}
    trim(journal)
    for write in writes:
        after = status(journal, write.key)
        assert (after.outcome, after.transaction_id) == (before[write.key].outcome, before[write.key].transaction_id)
        assert after.state == ("cancelled" if outcome == "cancelled" else "done")
        assert not relay.enqueue(write.intent, key=write.key).created
        with pytest.raises(KeyConflict):
            relay.enqueue(payment(amount=2, precise_amount=None, precision=None), key=write.key)


def test_who_waits_for_a_trimmed_intent_gets_its_result(relay: Any, journal: Journal) -> None:
    relay.enqueue(payment(), key="first")
    (claimed,) = journal.claim("transactions", WORKER, 1).items
    fields = {"outcome": "applied", "txn": IDS[0]}
    journal.settle(WORKER, [Settlement(claimed, "sending", "done", 0, fields)], [])
    trim(journal)
    relay.enqueue(payment(), key="second", after=["first"])
    noted = journal.client.hget(journal.key(f"intent:{id_of(DEFAULT_TARGET, 'second')}"), "results")
    assert noted == f"{id_of(DEFAULT_TARGET, 'first')} {IDS[0]}\n"


def test_a_reference_keeps_its_owner_while_it_is_open_and_after_it_was_trimmed(relay: Any, journal: Journal) -> None:
    relay.enqueue(payment("reference"), key="owner")
    relay.enqueue(batch(1), key="bulk")
    for trimmed in (False, True):
        if trimmed:
            for lane in journal.settings.lanes:
                for claimed in journal.claim(lane, WORKER, 10).items:
                    fields = {"outcome": "applied", "txn": IDS[0]}
                    journal.settle(WORKER, [Settlement(claimed, "sending", "done", 0, fields)], [])
            trim(journal)
        for reference, owner in (("reference", id_of(DEFAULT_TARGET, "owner")), ("item-1-7", None)):
            with pytest.raises(KeyConflict) as by_key:
                relay.enqueue(payment(), key=reference)
            with pytest.raises(KeyConflict) as by_reference:
                relay.enqueue(payment(reference), key="another")
            for conflict in (by_key.value, by_reference.value):
                assert conflict.reference == reference
                assert owner in (None, conflict.first_id)
                assert journal.status(conflict.first_id) is not None
        # A key that is another's reference, for an intent with a reference of its own, is its own.
    assert relay.enqueue(payment("its-own"), key="reference").created


def test_hashes_stay_small_whatever_their_number(journal: Journal) -> None:
    number = 3_000
    entries = [new_entry(payment(), f"order-{at}", "all", not_before="+0", deadline="+60000") for at in range(number)]
    # All begin with the same letters, as one in thirty thousand does.
    same = [replace(new, entry=replace(new.entry, id="aaa" + new.entry.id[3:])) for new in entries]
    for at in range(0, number, 200):
        journal.accept(same[at : at + 200])
        for claimed in journal.claim("all", WORKER, 200).items:
            fields = {"outcome": "applied", "txn": IDS[0]}
            journal.settle(WORKER, [Settlement(claimed, "sending", "done", 0, fields)], [])
    while journal.client.zcard(journal.key("done")):
        trim(journal)
    hashes = list(journal.client.scan_iter(match=journal.key("past:*"), count=1000))
    sizes = [journal.client.hlen(key) for key in hashes]
    full = sum(journal.client.hexists(key, "+") for key in hashes)
    assert max(sizes) <= 101
    assert full
    assert sum(sizes) == number + full
    assert all(answer.state == "done" for answer in map(journal.status, [new.entry.id for new in same]) if answer)
    assert [one.created for one in journal.accept(same[:100])[0]] == [False] * 100
