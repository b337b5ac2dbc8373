"""Single promises of the journal that its machine does not reach: gates, listing, forgotten scripts, durability."""

from __future__ import annotations

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from blnk_relay import JournalUnavailable, KeyConflict, NotFound, Refused, Relay, Settings, Target, Write, commit_hold
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import Claimed, Settlement, id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import GateView, Operator
from blnk_relay.journal.status import Status, by_id, history_of, moment
from tests.support.payments import payment
from tests.support.redis_keys import listed, unlisted
from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey

LANE = "transactions"
WORKER = "somewhere:1:abc"
ANOTHER = "elsewhere:2:def"
WRITE, READ = f"{DEFAULT_TARGET}:write", f"{DEFAULT_TARGET}:read"


def enqueue(relay: Relay, *keys: str) -> None:
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])


def kill(journal: Journal, claimed: Claimed, dead_class: str = "refused") -> None:
    fields = {"class": dead_class, "code": "NO", "message": "no"}
    journal.settle(WORKER, [Settlement(claimed, "sending", "dead", 0, fields)], [])


def finish(journal: Journal, *claims: Claimed, worker: str = WORKER) -> None:
    journal.settle(
        worker, [Settlement(claimed, "sending", "done", 0, {"outcome": "applied"}) for claimed in claims], []
    )


def sweep(journal: Journal) -> tuple[str, ...]:
    journal.client.delete(journal.key("sweep"))
    swept, rung, _ = journal.sweep()
    assert swept
    return rung


def silence(journal: Journal, worker: str) -> None:
    """A worker dies."""
    journal.client.zadd(journal.key("workers"), {worker: 1})
    journal.client.delete(*(journal.key(f"{name}:{worker}") for name in ("looking", "alone", "skipped")))


def trim(journal: Journal) -> None:
    for id_ in journal.client.zrange(journal.key("done"), 0, -1):
        journal.client.zadd(journal.key("done"), {id_: 1})
    sweep(journal)


def status(journal: Journal, key: str) -> Status:
    found = by_id(journal, id_of(DEFAULT_TARGET, key))
    assert found is not None
    return found


@pytest.fixture
def operator(relay):
    return Operator(relay.journal, relay.bells)


@pytest.fixture
def journal(relay):
    return relay.journal


# -- what is still ours ---------------------------------------------------------------------------------------------


def test_an_intent_is_open_until_it_is_finished_and_fresh_for_a_while_after_it_was_done(relay, journal):
    relay.enqueue_many([payment("paid"), payment("killed")])
    assert journal.is_open(DEFAULT_TARGET, "paid")
    assert not journal.is_fresh(DEFAULT_TARGET, "paid", 60)
    paid, killed = journal.claim(LANE, WORKER, 2).items
    finish(journal, paid)
    kill(journal, killed)
    for reference, fresh in (("paid", True), ("killed", False), ("unknown", False)):
        assert not journal.is_open(DEFAULT_TARGET, reference)
        assert journal.is_fresh(DEFAULT_TARGET, reference, 60) is fresh
    journal.client.hincrby(journal.key(f"intent:{paid.entry.id}"), "updated", -61_000)
    assert not journal.is_fresh(DEFAULT_TARGET, "paid", 60)


# -- references ------------------------------------------------------------------------------------------------------


def test_a_replay_takes_no_reference_of_an_intent_that_was_trimmed(relay, journal, operator):
    enqueue(relay, "order.r2")
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    trim(journal)
    assert status(journal, "order.r2").key == ""
    enqueue(relay, "order")
    kill(journal, journal.claim(LANE, WORKER, 1).items[0], "rejected")
    with pytest.raises(Refused, match=r"'order\.r2' is taken"):
        operator.replay(status(journal, "order"), who="me")
    assert status(journal, "order").state == "dead"


def test_a_key_cannot_take_the_reference_that_a_replay_has_used(relay, journal, operator):
    enqueue(relay, "order")
    kill(journal, journal.claim(LANE, WORKER, 1).items[0], "rejected")
    operator.replay(status(journal, "order"), who="me")
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


# -- listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letters", [1, 199, 200, 201, 450])
def test_listing_misses_nothing_while_what_it_lists_goes_away(relay, journal, operator, letters):
    enqueue(relay, *(f"order-{number}" for number in range(letters)))
    for claimed in journal.claim(LANE, WORKER, letters).items:
        kill(journal, claimed)
    seen = []
    for letter in operator.listed("dead"):
        seen.append(letter.id)
        operator.discard(letter, who="me", reason="a drill")
    assert len(seen) == len(set(seen)) == letters
    assert journal.client.zcard(journal.key("dead")) == 0


def test_listing_shows_everything_when_all_of_it_happened_at_once(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(450)))
    for claimed in journal.claim(LANE, WORKER, 450).items:
        kill(journal, claimed)
        journal.client.zadd(journal.key("dead"), {claimed.entry.id: 1_000})
    assert len({letter.id for letter in operator.listed("dead")}) == 450


def test_reading_an_intent_while_it_is_trimmed_shows_it_before_or_after(relay, journal):
    keys = [f"order-{number}" for number in range(400)]
    enqueue(relay, *keys)
    finish(journal, *journal.claim(LANE, WORKER, 400).items)
    ids = [id_of(DEFAULT_TARGET, key) for key in keys]
    for id_ in ids:
        journal.client.zadd(journal.key("done"), {id_: 1})
    others = Journal(replace(journal.settings, retention_s=1.0))
    going = threading.Event()

    def trim_slowly() -> None:
        going.wait(10)
        for _ in ids:
            others.client.delete(others.key("sweep"))
            others.scripts.run("sweep", 1, 6000, 1000, 1, 1000, "", "")

    with ThreadPoolExecutor(1) as pool:
        trimming = pool.submit(trim_slowly)
        going.set()
        while not trimming.done():
            for id_ in ids:
                found = by_id(journal, id_)
                assert found is not None
                assert (found.state, found.outcome) == ("done", "applied")
        trimming.result()
    others.close()


# -- claims that never end ------------------------------------------------------------------------------------------


def test_an_intent_that_kills_its_workers_becomes_a_dead_letter(relay, journal):
    enqueue(relay, "poison")
    id_ = id_of(DEFAULT_TARGET, "poison")
    for _ in range(journal.settings.max_lapses):
        assert len(journal.claim(LANE, WORKER, 1).items) == 1
        journal.client.zadd(journal.key("workers"), {WORKER: 1})
        sweep(journal)
        looked = journal.take(ANOTHER, 1, 10).items
        journal.settle(ANOTHER, [Settlement(looked[0], "posted", "ready")], [])
    claims = journal.claim(LANE, WORKER, 1)
    assert (claims.items, [entry.id for entry in claims.buried]) == ((), [id_])
    found = status(journal, "poison")
    assert (found.state, found.dead_class, found.code) == ("dead", "unknown", "LAPSED_TOO_OFTEN")


def test_lookers_that_die_now_and_then_in_a_long_wait_bury_nothing(relay, journal):
    """A ledger may leave a row QUEUED for hours, through many deployments; what counts is whether looks end at all."""
    enqueue(relay, "slow")
    journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    for _ in range(2 * journal.settings.max_lapses):
        assert len(journal.take("somebody who dies", 1, 10).items) == 1
        silence(journal, "somebody who dies")
        journal.client.zadd(journal.key("posted"), {id_of(DEFAULT_TARGET, "slow"): 1})
        looked = journal.take(WORKER, 1, 10)
        assert looked.buried == ()
        journal.settle(WORKER, [Settlement(looked.items[0], "posted", "posted")], [])
    assert status(journal, "slow").state == "posted"


def test_an_intent_whose_looks_all_kill_their_workers_becomes_a_dead_letter(relay, journal):
    enqueue(relay, "poison")
    journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    for life in range(journal.settings.max_lapses):
        assert len(journal.take(f"worker-{life}", 1, 10).items) == 1
        silence(journal, f"worker-{life}")
        journal.client.zadd(journal.key("posted"), {id_of(DEFAULT_TARGET, "poison"): 1})
    assert len(journal.take(ANOTHER, 1, 10).buried) == 1
    assert status(journal, "poison").code == "LAPSED_TOO_OFTEN"


def test_no_lapse_is_charged_while_the_worker_is_alive(relay, journal):
    """A lease that ends under a worker that is only slow says nothing about the intent, sent or looked at."""
    enqueue(relay, "slow")
    id_ = id_of(DEFAULT_TARGET, "slow")
    for _ in range(2 * journal.settings.max_lapses):
        assert len(journal.claim(LANE, WORKER, 1).items) == 1
        journal.client.zadd(journal.key(f"leased:{WORKER}"), {id_: 1})
        sweep(journal)
        for _ in range(2 * journal.settings.max_lapses):
            (looked,) = journal.take(ANOTHER, 1, 10).items
            journal.client.zadd(journal.key("posted"), {id_: 1})
        journal.settle(ANOTHER, [Settlement(looked, "posted", "ready")], [])
        journal.take(ANOTHER, 0, 10, leave=True)
    assert status(journal, "slow").state == "ready"


@pytest.mark.parametrize("speaks", ["settles", "prolongs"])
def test_no_lapse_is_charged_to_an_intent_whose_worker_was_only_unheard(relay, journal, speaks):
    """Whoever cannot reach the journal for a while is taken for dead; nothing died of the intent when it comes back."""
    enqueue(relay, "unheard")
    for _ in range(2 * journal.settings.max_lapses):
        (held,) = journal.claim(LANE, WORKER, 1).items
        journal.client.zadd(journal.key("workers"), {WORKER: 1})
        sweep(journal)
        (looked,) = journal.take(ANOTHER, 1, 10).items
        journal.settle(ANOTHER, [Settlement(looked, "posted", "ready")], [])
        journal.take(ANOTHER, 0, 10, leave=True)
        for _ in range(2):
            if speaks == "settles":
                journal.settle(WORKER, [Settlement(held, "sending", "ready")], [])
            else:
                assert journal.extend(WORKER, [held], 10) == []
    assert journal.client.hget(journal.key(f"intent:{looked.entry.id}"), "claims") == "0"
    assert status(journal, "unheard").state == "ready"


@pytest.mark.parametrize("speaks", ["settles", "prolongs"])
def test_no_look_is_charged_whose_worker_was_only_unheard(relay, journal, speaks):
    enqueue(relay, "unheard")
    id_ = id_of(DEFAULT_TARGET, "unheard")
    journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    (held,) = journal.take(WORKER, 1, 10).items
    for number in range(2 * journal.settings.max_lapses):
        before, after = (ANOTHER, WORKER) if number % 2 else (WORKER, ANOTHER)
        journal.client.zadd(journal.key("workers"), {before: 1})
        journal.client.zadd(journal.key("posted"), {id_: 1})
        (taken,) = journal.take(after, 1, 10).items
        for _ in range(2):
            if speaks == "settles":
                journal.settle(before, [Settlement(held, "posted", "ready")], [])
            else:
                assert journal.extend(before, [held], 10) == []
        held = taken
        assert journal.client.hget(journal.key(f"intent:{id_}"), "looks") == "0"
    assert status(journal, "unheard").state == "posted"


def test_what_lapsed_twice_has_a_worker_to_itself(relay, journal):
    """One that ends its process takes those beside it along, twice; then it is found out, and they are not blamed."""
    names = ["innocent-1", "poison", "innocent-2", "innocent-3"]
    enqueue(relay, *names)
    relay.enqueue(payment(), key="elsewhere", lane="refunds")
    poison = id_of(DEFAULT_TARGET, "poison")
    deaths = 0
    for life in range(40):
        worker = f"worker-{life}"
        while claimed := journal.claim(LANE, worker, 10).items:
            ids = [item.entry.id for item in claimed]
            if poison in ids:
                if deaths >= 2:
                    assert ids == [poison]
                    assert journal.claim("refunds", worker, 10).items == (), "nor in another lane"
                    assert journal.take(worker, 10, 10).items == (), "nor for a look"
                deaths += 1
                break
            finish(journal, *claimed, worker=worker)
        else:
            break
        silence(journal, worker)
        sweep(journal)
        looked = journal.take(ANOTHER, 10, 10).items
        journal.settle(ANOTHER, [Settlement(item, "posted", "ready") for item in looked], [])
        journal.take(ANOTHER, 0, 10, leave=True)
    assert deaths == journal.settings.max_lapses
    assert {name: status(journal, name).state for name in names} == {
        "innocent-1": "done",
        "poison": "dead",
        "innocent-2": "done",
        "innocent-3": "done",
    }
    assert [item.entry.key for item in journal.claim("refunds", "the last", 10).items] == ["elsewhere"]


def test_who_has_to_be_alone_waits_for_empty_hands_and_gets_them(relay, journal):
    """However much else there is to do, in its lane and in others."""
    enqueue(relay, "suspect")
    journal.client.hset(journal.key(f"intent:{id_of(DEFAULT_TARGET, 'suspect')}"), "claims", 2)
    journal.client.zadd(journal.key(f"ready:{LANE}|{DEFAULT_TARGET}"), {id_of(DEFAULT_TARGET, "suspect"): 5})
    for number in range(20):
        relay.enqueue(payment(), key=f"other-{number}", lane="refunds")
    in_hand = list(journal.claim("refunds", WORKER, 4).items)
    assert journal.claim(LANE, WORKER, 4).items == ()
    assert journal.claim("refunds", WORKER, 4).items == (), "its hands are to become empty"
    assert len(journal.claim("refunds", ANOTHER, 4).items) == 4, "those of others are their own affair"
    finish(journal, *in_hand)
    assert journal.claim("refunds", WORKER, 4).items == ()
    (suspect,) = journal.claim(LANE, WORKER, 4).items
    assert suspect.entry.key == "suspect"
    enqueue(relay, "behind")
    assert journal.claim(LANE, WORKER, 4).items == ()
    finish(journal, suspect)
    assert [item.entry.key for item in journal.claim(LANE, WORKER, 4).items] == ["behind"]
    assert len(journal.claim("refunds", WORKER, 4).items) == 4


# -- leases that are prolonged ---------------------------------------------------------------------------------------


def test_leases_are_prolonged_for_what_is_still_in_hand_and_for_nothing_else(relay, journal):
    enqueue(relay, "mine", "settled", "lost", "looked", "seen")
    by_key = {item.entry.key: item for item in journal.claim(LANE, WORKER, 5).items}
    posted = [Settlement(by_key[key], "sending", "posted") for key in ("looked", "seen")]
    journal.settle(WORKER, posted, [])
    looks = {item.entry.key: item for item in journal.take(WORKER, 5, 10).items}
    journal.settle(WORKER, [Settlement(looks["seen"], "posted", "posted", 5_000)], [])
    finish(journal, by_key["settled"])
    journal.client.zadd(journal.key(f"leased:{WORKER}"), {by_key["lost"].entry.id: 1})
    sweep(journal)
    now_ms, posted_key = journal.now_ms(), journal.key("posted")
    due = journal.client.zscore(posted_key, looks["seen"].entry.id)
    held = [by_key["mine"], by_key["settled"], by_key["lost"], looks["looked"], looks["seen"]]
    extended = journal.extend(WORKER, held, 500.0)
    assert [item.entry.key for item in extended] == ["mine", "looked"]
    for item in extended:
        before = by_key["mine"] if item.entry.key == "mine" else looks["looked"]
        assert replace(item, lease_end_s=before.lease_end_s) == before
        assert item.lease_end_s > before.lease_end_s
    leased = journal.client.zscore(journal.key(f"leased:{WORKER}"), by_key["mine"].entry.id)
    assert leased >= now_ms + 500_000
    assert journal.client.zscore(posted_key, looks["looked"].entry.id) >= now_ms + 500_000
    assert journal.client.zscore(posted_key, looks["seen"].entry.id) == due
    (again,) = journal.extend(WORKER, extended[:1], 1.0)
    assert again.lease_end_s == extended[0].lease_end_s, "nothing is shortened"
    assert journal.client.zscore(journal.key(f"leased:{WORKER}"), by_key["mine"].entry.id) == leased


def test_to_prolong_is_a_sign_of_life(relay, journal):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    silence(journal, WORKER)
    assert journal.extend(WORKER, [], 10.0) == []
    sweep(journal)
    assert journal.extend(WORKER, [claimed], 10.0) != []


# -- what a worker does not know -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strangers", [1, 30, 1500])
def test_intents_of_unknown_kinds_are_left_to_those_who_know_them(relay, journal, strangers):
    """A newer producer beside an older worker: nothing is charged, nothing is held up, and nobody is woken in vain."""
    enqueue(relay, *(f"strange-{number}" for number in range(strangers)))
    enqueue(relay, *(f"order-{number}" for number in range(30)))
    older = Journal(journal.settings)
    older._kinds = "refund,transaction"
    for number in range(strangers):
        key = journal.key(f"intent:{id_of(DEFAULT_TARGET, f'strange-{number}')}")
        journal.client.hset(key, "kind", "transaction.reversed")
    claims, claimed = [], 0
    for _ in range(6):
        claims.append(older.claim(LANE, WORKER, 10))
        claimed += len(claims[-1].items)
        finish(journal, *claims[-1].items)
    assert claimed == 30
    assert claims[0].strange == ("transaction.reversed",)
    left = older.claim(LANE, WORKER, 0, leave=True)
    assert (left.items, left.bells) == ((), ())
    enqueue(relay, "late")
    assert [item.entry.key for item in older.claim(LANE, WORKER, 10).items] == ["late"]
    newer = Journal(journal.settings)
    newer._kinds = "transaction.reversed,transaction"
    assert len(newer.claim(LANE, ANOTHER, 5).items) == min(strangers, 5)
    for client in (older, newer):
        client.close()


def test_looks_at_unknown_kinds_are_left_to_those_who_know_them(relay, journal):
    enqueue(relay, *(f"strange-{number}" for number in range(30)), *(f"order-{number}" for number in range(30)))
    claimed = journal.claim(LANE, WORKER, 60).items
    journal.settle(WORKER, [Settlement(item, "sending", "posted") for item in claimed], [])
    for item in claimed:
        if item.entry.key.startswith("strange"):
            journal.client.hset(journal.key(f"intent:{item.entry.id}"), "kind", "transaction.reversed")
            journal.client.zadd(journal.key("posted"), {item.entry.id: 1})
    looked = []
    while batch := journal.take(WORKER, 7, 10.0):
        if not batch.items:
            break
        assert batch.strange in ((), ("transaction.reversed",))
        looked += batch.items
    assert len(looked) == 30
    assert all(item.entry.key.startswith("order") for item in looked)
    assert batch.next_ms > 0, "what nobody here can look at must not keep the loop busy"
    assert journal.take(WORKER, 0, 10.0, leave=True).bells == ()


@pytest.mark.parametrize("state", ["sending", "posted"])
def test_what_cannot_be_read_is_no_trouble_of_its_neighbours(relay, journal, state):
    enqueue(relay, "before", "broken", "after")
    claims = journal.claim(LANE, WORKER, 3)
    journal.settle(WORKER, [Settlement(item, "sending", "ready") for item in claims.items], [])
    if state == "posted":
        again = journal.claim(LANE, WORKER, 3).items
        journal.settle(WORKER, [Settlement(item, "sending", "posted") for item in again], [])
    id_ = id_of(DEFAULT_TARGET, "broken")
    journal.client.set(journal.key(f"body:{id_}"), '{"key":"broken","kind":')
    claims = journal.claim(LANE, WORKER, 3) if state == "sending" else journal.take(WORKER, 3, 10.0)
    assert {item.entry.key for item in claims.items} == {"before", "after"}
    ((broken, why),) = claims.unreadable
    assert why == "JSONDecodeError"
    assert (broken.entry.id, broken.entry.kind, broken.entry.lane) == (id_, "transaction", LANE)
    fields = {"class": "refused", "code": "NO", "message": "no"}
    journal.settle(WORKER, [Settlement(broken, state, "dead", 0, fields)], [])
    assert journal.client.hget(journal.key(f"intent:{id_}"), "state") == "dead"


# -- gates -----------------------------------------------------------------------------------------------------------


def test_a_slowed_target_waits_then_begins_again_slowly(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(100)))
    assert journal.change_gate(DEFAULT_TARGET, "write", GateAction.SLOW, "HTTP_429", 3600)
    assert journal.claim(LANE, WORKER, 100).items == ()
    gate = journal.key(f"gate:{WRITE}")
    now_ms = journal.now_ms()
    journal.client.hset(gate, mapping={"hold_until": now_ms - 1, "raised": now_ms - 1, "stamp": now_ms - 1})
    assert len(journal.claim(LANE, WORKER, 100).items) == 1
    # A second later it has earned its rate.
    journal.client.hset(gate, mapping={"tokens": 0, "stamp": journal.now_ms() - 1000})
    assert 1 <= len(journal.claim(LANE, WORKER, 100).items) <= int(journal.client.hget(gate, "rate"))


def test_a_slowed_target_that_is_well_is_free_again(relay, journal):
    enqueue(relay, "order")
    journal.change_gate(DEFAULT_TARGET, "write", GateAction.SLOW, "HTTP_429", 0.001)
    gate = journal.key(f"gate:{WRITE}")
    for _ in range(20):
        if not journal.client.exists(gate):
            break
        past_ms = journal.now_ms() - 1001
        journal.client.hset(gate, mapping={"hold_until": past_ms, "raised": past_ms, "stamp": past_ms})
        journal.claim("refunds", WORKER, 1)
        enqueue(relay, f"order-{_}")
        journal.claim(LANE, WORKER, 1)
    assert not journal.client.exists(gate)


def test_one_failure_in_a_hundred_slows_nobody_and_many_at_once_do(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(200)))
    journal.claim(LANE, WORKER, 100)
    for _ in range(4):
        assert not journal.change_gate(DEFAULT_TARGET, "write", GateAction.STRAIN, "HTTP_502", 0)
    journal.client.delete(journal.key(f"pace:{WRITE}"))
    journal.claim(LANE, WORKER, 12)
    second = journal.client.hget(journal.key(f"pace:{WRITE}"), "second")
    news = [journal.change_gate(DEFAULT_TARGET, "write", GateAction.STRAIN, "HTTP_502", 0) for _ in range(6)]
    if journal.now_ms() // 1000 == int(second):  # else the clock has turned to the next second in between
        assert news.count(True) == 1


def test_reads_are_counted_as_they_are_made(relay, journal):
    """A look at three intents is three, whatever a batch could hold: strain is a share of what went through."""
    enqueue(relay, *(f"order-{number}" for number in range(3)))
    claims = journal.claim(LANE, WORKER, 3).items
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted") for claimed in claims], [])
    assert len(journal.take(WORKER, 200, 10).items) == 3
    assert journal.client.hget(journal.key(f"pace:{READ}"), "n") == "3"


def test_an_operators_pause_is_not_undone_by_a_good_answer(relay, journal, operator):
    enqueue(relay, "before", "after")
    first = journal.claim(LANE, WORKER, 1).items[0]
    operator.pause_target(DEFAULT_TARGET, who="me", reason="maintenance")
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "applied"})], [WRITE, READ])
    assert journal.claim(LANE, WORKER, 1).items == ()
    assert operator.resume_target(DEFAULT_TARGET)
    assert len(journal.claim(LANE, WORKER, 1).items) == 1


def test_a_pause_by_a_bad_token_lets_one_probe_through_at_a_time(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(10)))
    assert journal.change_gate(DEFAULT_TARGET, "write", GateAction.PAUSE, "HTTP_401", 3600)
    assert journal.claim(LANE, WORKER, 10).items == ()
    journal.client.hset(journal.key(f"gate:{WRITE}"), "probe_at", 1)
    (probe,) = journal.claim(LANE, WORKER, 10).items
    assert journal.claim(LANE, "another", 10).items == ()
    journal.settle(WORKER, [Settlement(probe, "sending", "posted", 10_000)], [WRITE])
    assert len(journal.claim(LANE, WORKER, 10).items) == 9


LOST = GateChange(GateAction.LOST, "UNREACHABLE", 2.0, "ConnectionError")


def gate_of(operator: Operator, side: str = "write") -> GateView | None:
    return next((gate for gate in operator.overview().gates if gate.side == side), None)


def make_due(journal: Journal, gate: str, name: str = "probe_at") -> None:
    journal.client.hset(journal.key(f"gate:{gate}"), name, 1)


def test_a_target_that_nothing_reaches_is_left_alone_and_probed_less_and_less_often(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(100)))
    journal.claim(LANE, WORKER, 10)
    assert journal.complain(DEFAULT_TARGET, "write", LOST, times=4) == (False, False), "four may be chance"
    assert journal.complain(DEFAULT_TARGET, "write", LOST) == (True, True)
    assert journal.complain(DEFAULT_TARGET, "write", LOST) == (False, True), "that is known"
    assert (gate := gate_of(operator)) is not None
    assert (gate.state, gate.code, gate.note) == ("unreachable", "UNREACHABLE", "ConnectionError")
    pauses = []
    for _ in range(6):
        assert journal.claim(LANE, WORKER, 100).items == ()
        make_due(journal, WRITE)
        before_ms = journal.now_ms()
        assert len(journal.claim(LANE, WORKER, 100).items) == 1
        pauses.append(int(journal.client.hget(journal.key(f"gate:{WRITE}"), "probe_at")) - before_ms)
    assert [round(pause / 250) for pause in pauses] == [1, 2, 4, 8, 8, 8], "and never less often than was said"
    later = gate_of(operator)
    assert later is not None
    assert later.since == gate.since


def test_a_batch_that_fails_together_is_as_many_complaints(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    journal.claim(LANE, WORKER, 20)
    assert journal.complain(DEFAULT_TARGET, "write", LOST, times=20) == (True, True)


def test_many_failures_in_one_batch_slow_a_target(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    journal.claim(LANE, WORKER, 20)
    strain = GateChange(GateAction.STRAIN, "HTTP_502", 0.0)
    assert journal.complain(DEFAULT_TARGET, "write", strain, times=4) == (False, False)
    assert journal.complain(DEFAULT_TARGET, "write", strain, times=16) == (True, True)


def test_reads_and_writes_go_to_one_address(relay, journal, operator):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    assert journal.complain(DEFAULT_TARGET, "read", LOST, times=4) == (False, False)
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted", 10_000)], [WRITE])
    assert journal.complain(DEFAULT_TARGET, "read", LOST, times=4) == (False, False), "a write has just arrived"
    assert journal.complain(DEFAULT_TARGET, "write", LOST) == (True, True)
    assert {gate.side: gate.state for gate in operator.overview().gates} == {
        "write": "unreachable",
        "read": "unreachable",
    }


def test_a_bad_request_among_good_ones_shuts_nothing(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(300)))
    for _ in range(10):
        claims = journal.claim(LANE, WORKER, 30).items
        assert len(claims) == 30
        assert journal.complain(DEFAULT_TARGET, "write", LOST) == (False, False)
        journal.settle(WORKER, [Settlement(claimed, "sending", "posted", 10_000) for claimed in claims], [WRITE])
    assert gate_of(operator) is None
    # Many at once, and still few of all.
    enqueue(relay, *(f"more-{number}" for number in range(100)))
    journal.claim(LANE, WORKER, 100)
    second = journal.client.hget(journal.key(f"pace:{WRITE}"), "second")
    told = journal.complain(DEFAULT_TARGET, "write", LOST, times=6)
    if journal.now_ms() // 1000 - int(second) <= 1:
        assert told == (False, False)


def test_a_target_that_is_found_again_begins_slowly_and_its_gate_remembers_when_it_was_lost(relay, journal, operator):
    enqueue(relay, *(f"order-{number}" for number in range(3000)))
    journal.complain(DEFAULT_TARGET, "write", LOST, times=5)
    lost = gate_of(operator)
    assert lost is not None
    make_due(journal, WRITE)
    (probe,) = journal.claim(LANE, WORKER, 100).items
    # An answer of any kind is an answer.
    settled = journal.settle(WORKER, [Settlement(probe, "sending", "posted", 10_000)], [f"{WRITE}?"])
    assert [target for target, _ in settled.found] == [DEFAULT_TARGET]
    assert (reads := gate_of(operator, "read")) is not None
    assert reads.state == "slowed", "it has one address"
    slowed = gate_of(operator)
    assert slowed is not None
    assert (slowed.state, slowed.since) == ("slowed", lost.since)
    assert len(journal.claim(LANE, WORKER, 3000).items) <= 2, "not all at once"
    for quiet_ms, most in ((1001, 32), (3001, 256)):
        past_ms = journal.now_ms() - quiet_ms
        journal.client.hset(journal.key(f"gate:{WRITE}"), mapping={"raised": past_ms, "stamp": past_ms})
        assert 16 <= len(journal.claim(LANE, WORKER, 3000).items) <= most
    journal.client.hset(journal.key(f"gate:{WRITE}"), "raised", journal.now_ms() - 20_000)
    assert len(journal.claim(LANE, WORKER, 100).items) == 100
    assert gate_of(operator) is None


def test_an_answer_that_is_no_good_one_opens_no_gate_that_a_bad_token_shut(relay, journal, operator):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.complain(DEFAULT_TARGET, "write", LOST, times=5)
    assert journal.change_gate(DEFAULT_TARGET, "write", GateAction.PAUSE, "HTTP_401", 5), "its answer is news"
    journal.settle(WORKER, [Settlement(claimed, "sending", "ready", 10)], [f"{WRITE}?"])
    gate = gate_of(operator)
    assert gate is not None
    assert (gate.state, gate.code) == ("paused", "HTTP_401")


def test_a_slowed_gate_that_complains_again_keeps_the_time_at_which_its_trouble_began(journal, operator):
    assert journal.change_gate(DEFAULT_TARGET, "write", GateAction.SLOW, "HTTP_429", 0.001)
    first = gate_of(operator)
    journal.client.hset(journal.key(f"gate:{WRITE}"), "hold_until", 1)
    wait_until(lambda: journal.change_gate(DEFAULT_TARGET, "write", GateAction.SLOW, "HTTP_429", 0.001), 5)
    assert first is not None
    assert (again := gate_of(operator)) is not None
    assert again.since == first.since
    assert 0 < journal.client.pttl(journal.key(f"gate:{WRITE}")) <= 61_000, "and is forgotten when nobody asks it"


def posted(relay: Relay, journal: Journal, number: int) -> None:
    enqueue(relay, *(f"order-{index}" for index in range(number)))
    claims = journal.claim(LANE, WORKER, number).items
    journal.settle(WORKER, [Settlement(claimed, "sending", "posted") for claimed in claims], [])


def test_a_backlog_that_cannot_be_read_is_not_moved_and_nobody_is_called_for_it(relay, journal):
    posted(relay, journal, 30)
    journal.complain(DEFAULT_TARGET, "read", LOST, times=5)
    before = journal.client.zrange(journal.key("posted"), 0, -1, withscores=True)
    claims = journal.take(WORKER, 200, 10)
    assert claims.items == ()
    assert 0 < claims.next_ms <= 250, "the next probe is waited for"
    assert journal.client.zrange(journal.key("posted"), 0, -1, withscores=True) == before
    assert journal.take(WORKER, 0, 10, leave=True).bells == ()
    operator_pause = GateChange(GateAction.PAUSE, "HTTP_403", 3600)
    journal.complain(DEFAULT_TARGET, "read", operator_pause)
    assert "confirm" not in sweep(journal)
    make_due(journal, READ)
    assert "confirm" in sweep(journal)
    assert len(journal.take(WORKER, 200, 10).items) == 1, "a probe"
    moved = set(journal.client.zrange(journal.key("posted"), 0, -1, withscores=True)) - set(before)
    assert len(moved) == 1


def test_reads_that_ask_for_many_intents_each_are_lost_by_their_requests(relay, journal):
    posted(relay, journal, 200)
    for _ in range(4):
        journal.take(WORKER, 200, 0.001)
        assert journal.complain(DEFAULT_TARGET, "read", LOST) == (False, False)
    assert journal.complain(DEFAULT_TARGET, "read", LOST) == (True, True), "five requests, whatever they asked for"


def test_a_ledger_whose_queue_is_full_is_spared_by_the_lane_that_met_it_alone(relay, journal, operator):
    relay.enqueue_many([payment("order"), commit_hold("hold-1")])
    full = GateChange(GateAction.SLOW, "QUEUE_BACKPRESSURE", 30.0, lane=True)
    assert journal.complain(DEFAULT_TARGET, f"lane:{LANE}", full) == (True, True)
    assert journal.claim(LANE, WORKER, 10).items == ()
    assert LANE not in sweep(journal)
    assert len(journal.claim("inflight", WORKER, 10).items) == 1, "it goes round the ledger's queue"
    gate = gate_of(operator, f"lane:{LANE}")
    assert gate is not None
    assert (gate.state, gate.code) == ("slowed", "QUEUE_BACKPRESSURE")
    assert operator.resume_target(DEFAULT_TARGET)
    assert len(journal.claim(LANE, WORKER, 10).items) == 1


# -- what happened ---------------------------------------------------------------------------------------------------


def attempted(claimed: Claimed, at_ms: int, note: str, *, status: int = 0, what: str = "not_sent") -> Settlement:
    line = {"at": at_ms, "what": what, "status": status, "code": "ConnectionError", "ms": 3, "by": "w", "note": note}
    return Settlement(claimed, "sending", "ready", 0, {}, json.dumps({**line, "request": f"r{at_ms}"}))


def test_attempts_that_end_alike_are_one_line_with_their_number(relay, journal):
    enqueue(relay, "order")
    start_ms = journal.now_ms()
    for number in range(50):
        (claimed,) = journal.claim(LANE, WORKER, 1).items
        journal.settle(WORKER, [attempted(claimed, start_ms + number, f"again in {number / 10:.1f} s")], [])
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.settle(WORKER, [attempted(claimed, start_ms + 60, "look in 0.3 s", status=502, what="sent")], [])
    many, other = history_of(journal, id_of(DEFAULT_TARGET, "order"))
    assert (many.what, many.count, many.note, many.request_id) == (
        "not_sent",
        50,
        "again in 4.9 s",
        f"r{start_ms + 49}",
    )
    assert (many.at, many.last) == (moment(start_ms), moment(start_ms + 49))
    assert (other.status, other.count, other.last) == (502, 1, None)


def test_what_operators_did_is_never_folded(relay, journal, operator):
    enqueue(relay, "order")
    for _ in range(2):
        (claimed,) = journal.claim(LANE, WORKER, 1).items
        kill(journal, claimed)
        operator.replay(status(journal, "order"), who="me", reason="again")
    assert [line.what for line in history_of(journal, id_of(DEFAULT_TARGET, "order"))] == ["replayed", "replayed"]


def test_what_was_tried_in_vain_is_known_by_when_it_was_accepted(relay, journal, operator):
    """Each try moves an intent in every other set, so that its age is to be seen in none of them."""
    enqueue(relay, "again", "unseen", "well", "gone")
    created = {name: status(journal, name).created for name in ("again", "unseen")}
    again, gone, unseen, well = sorted(journal.claim(LANE, WORKER, 4).items, key=lambda item: item.entry.key)
    tried = journal.key(f"tried:{LANE}|{DEFAULT_TARGET}")
    posted = [Settlement(claimed, "sending", "posted") for claimed in (unseen, well)]
    journal.settle(WORKER, [Settlement(again, "sending", "ready", 5_000), *posted], [])
    assert journal.client.zrange(tried, 0, -1) == [again.entry.id], "a first look that is still to come is no trouble"
    looked = journal.take(WORKER, 10, 10).items
    journal.settle(WORKER, [Settlement(item, "posted", "posted", 5_000) for item in looked], [])
    ages = {
        by_id(journal, id_).key: moment(int(at)) for id_, at in journal.client.zrange(tried, 0, -1, withscores=True)
    }
    assert {name: ages[name] for name in created} == created
    journal.client.zadd(tried, {again.entry.id: journal.now_ms() - 60_000})
    lane = next(lane for lane in operator.overview().lanes if lane.lane == LANE)
    assert 60 <= lane.oldest_open_s < 90, "though it came due a moment ago, or will"
    finish(journal, gone)
    relay.cancel("again")
    for claimed in (unseen, well):
        journal.client.zadd(journal.key("posted"), {claimed.entry.id: 1})
    unseen, well = sorted(journal.take(WORKER, 10, 10).items, key=lambda item: item.entry.key)
    dead = {"class": "unknown", "code": "X", "message": "x"}
    journal.settle(WORKER, [Settlement(unseen, "posted", "dead", 0, dead)], [])
    journal.settle(WORKER, [Settlement(well, "posted", "done", 0, {"outcome": "applied"})], [])
    assert not journal.client.exists(tried)


# -- the server ------------------------------------------------------------------------------------------------------


def test_a_server_that_forgot_the_scripts_is_taught_again_by_many_threads_at_once(journal):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(100):
            journal.client.script_flush()
            for claims in pool.map(lambda _: journal.claim(LANE, WORKER, 0), range(8)):
                assert claims.items == ()


def test_a_receipt_says_which_durability_it_got(settings):
    expected = {"memory": "memory", "fsync": "fsync", "replicated:1": "memory"}
    for asked, reached in expected.items():
        with Relay(replace(settings, durability=asked, durability_timeout_s=0.1)) as relay:
            assert relay.enqueue(payment(), key=f"order-{asked}").durability == reached


def test_fsync_is_not_claimed_of_a_server_without_an_append_only_file():
    server = start_valkey({"appendonly": "no"})
    try:
        with Relay(Settings(redis_url=f"redis://127.0.0.1:{server.port}/0", durability="fsync")) as relay:
            assert relay.enqueue(payment(), key="order").durability == "memory"
            assert relay.get("order").state == "ready"
            assert any("append-only file is off" in warning for warning in relay.journal.check_server())
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


def test_every_target_gets_its_share_of_a_claim_and_none_that_the_worker_does_not_know(settings):
    known = replace(settings, instance_id="i", targets=(Target(name="eu"), Target(name="us")))
    wider = replace(known, targets=(*known.targets, Target(name="far")))
    with Relay(wider) as producer:
        for target, number in (("default", 100), ("eu", 100), ("us", 2), ("far", 100)):
            keys = [f"order-{at}" for at in range(number)]
            producer.enqueue_many([Write(intent=payment(), key=key, target=target) for key in keys])
    worker = Journal(known)
    first = Counter(claimed.entry.target for claimed in worker.claim(LANE, WORKER, 30).items)
    assert first == {"us": 2, "default": 14, "eu": 14}
    worker.change_gate("eu", "write", GateAction.PAUSE, "HTTP_401", 3600)
    assert Counter(claimed.entry.target for claimed in worker.claim(LANE, WORKER, 50).items) == {"default": 50}
    assert len(worker.claim(LANE, WORKER, 300).items) == 36
    left = worker.claim(LANE, WORKER, 0, leave=True)
    # What nobody here can send must not keep the bell ringing.
    assert (left.items, left.bells) == ((), ())
    assert worker.strays() == ["far"]
    worker.close()


def test_looks_are_taken_for_known_targets_only(settings):
    wider = replace(settings, instance_id="i", targets=(Target(name="far"),))
    with Relay(wider) as producer:
        for target in ("default", "far"):
            producer.enqueue(payment(), key="order", target=target)
        claims = producer.journal.claim(LANE, WORKER, 10).items
        assert len(claims) == 2
        producer.journal.settle(WORKER, [Settlement(item, "sending", "posted") for item in claims], [])
        few = Journal(settings)
        assert [item.entry.target for item in few.take(WORKER, 10, 10.0).items] == ["default"]
        assert few.take(WORKER, 10, 10.0).items == ()
        assert few.take(WORKER, 10, 10.0).next_ms > 0
        few.close()


def test_every_key_of_the_journal_is_documented_in_the_head_of_the_scripts(relay, journal, operator):
    """The head names them all; what is not there is a leak."""
    enqueue(relay, *(f"order-{number}" for number in range(6)))
    relay.enqueue(commit_hold("order-1"))
    relay.enqueue(payment(), key="other", lane="refunds")
    relay.enqueue(payment("named"), key="by another key")
    claims = journal.claim(LANE, WORKER, 4).items
    finish(journal, claims[0])
    kill(journal, claims[1])
    operator.pause_lane("refunds", who="me")
    journal.change_gate(DEFAULT_TARGET, "write", GateAction.SLOW, "HTTP_429", 1)
    journal.settle(WORKER, [Settlement(claims[2], "sending", "posted")], [])
    journal.take(WORKER, 1, 10)
    journal.scripts.run("oauth", DEFAULT_TARGET, "login", "digest", "token")
    assert list(relay.events("a group", timeout_s=0))
    trim(journal)
    found = {key: journal.client.type(key) for key in journal.client.scan_iter(count=1000)}
    assert unlisted(found, listed(), journal.settings) == []


def test_finished_intents_leave_nothing_but_their_fingerprint(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    relay.enqueue(commit_hold("order-1"))
    relay.cancel("order-7")
    for lane in (LANE, "inflight"):
        finish(journal, *journal.claim(lane, WORKER, 100).items)
    trim(journal)
    left = {
        key.removeprefix(journal.settings.prefix).partition(":")[0]
        for key in journal.client.scan_iter(match=journal.settings.prefix + "*", count=1000)
    }
    assert left <= {"past", "queues", "workers", "seq", "bell", "counts", "events", "sweep", "pace", "ground", "room"}
    assert sum(journal.client.hlen(key) for key in journal.client.scan_iter(match=journal.key("past:*"))) == 21


# -- deadlines of what waits -----------------------------------------------------------------------------------------


def test_who_waits_for_others_has_the_settings_patience_from_when_it_could_first_be_sent(relay, journal):
    enqueue(relay, "first")
    relay.enqueue(payment(), key="second", after=["first"])
    relay.enqueue(payment(), key="strict", after=["first"], deadline=timedelta(hours=1))
    # Days pass: what was to be its deadline is long over.
    long_ago = 1_000
    for key in ("second", "strict"):
        journal.client.hset(journal.key(f"intent:{id_of(DEFAULT_TARGET, key)}"), "deadline", long_ago)
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    second, strict = sorted(journal.claim(LANE, WORKER, 2).items, key=lambda claimed: claimed.entry.key)
    patience_ms = int(journal.settings.deadline_s * 1000)
    assert 0 <= second.progress.deadline_ms - second.progress.now_ms - patience_ms + 5_000 <= 5_000
    assert strict.progress.deadline_ms == long_ago, "one of its own is kept"


def test_a_deadline_of_its_own_passes_also_for_one_that_waits(relay, journal, operator):
    enqueue(relay, "first")
    relay.enqueue(payment(), key="strict", after=["first"], deadline=timedelta(hours=1))
    journal.client.zadd(journal.key("expiring"), {id_of(DEFAULT_TARGET, "strict"): 1}, xx=True)
    sweep(journal)
    late = status(journal, "strict")
    assert (late.state, late.dead_class, late.code) == ("dead", "refused", "EXPIRED")
    operator.replay(late, who="me")
    assert status(journal, "strict").state == "waiting", "it has to wait for its turn all the same"
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    assert status(journal, "strict").state == "ready"


def test_calls_of_many_threads_share_the_few_connections_that_there_may_be(settings):
    with Relay(replace(settings, redis_connections=2)) as relay:
        before = len(relay.journal.client.client_list())
        with ThreadPoolExecutor(8) as threads:
            keys = [f"shared-{number}" for number in range(40)]
            receipts = list(threads.map(lambda key: relay.enqueue(payment(), key=key), keys))
        assert [receipt.key for receipt in receipts] == keys
        # The client that asks has one of its own; a bell may have taken another.
        names = [client["name"] for client in relay.journal.client.client_list()]
        assert len(names) - before <= 2 + names.count("blnk-relay-bell")
