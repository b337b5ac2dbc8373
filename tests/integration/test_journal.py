"""Single promises of the journal that its machine does not reach: gates, listing, forgotten scripts, durability."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
import redis

from blnk_relay import JournalUnavailable, KeyConflict, NotFound, Refused, Relay, Settings, Target, Write, commit
from blnk_relay.intents.model import DEFAULT_TARGET, GateAction
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.reading import Status, by_id
from blnk_relay.journal.records import Claimed, Settlement, id_of
from tests.support.payments import payment
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
    return Operator(relay.journal, relay._bells)


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
    with pytest.raises(Refused, match=r"'order\.r2' belongs to another intent"):
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
            others.scripts.run("sweep", 1, 6000, 1000, 1, 1000, "")

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
    from blnk_relay.journal.connection import script_source

    enqueue(relay, *(f"order-{number}" for number in range(6)))
    relay.enqueue(commit("order-1"))
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
    trim(journal)
    head = script_source("sweep")
    for key in journal.client.scan_iter(match=journal.settings.prefix + "*", count=1000):
        name = key.removeprefix(journal.settings.prefix).partition(":")[0]
        assert f"--   {name}" in head, f"{name} is documented nowhere"


def test_finished_intents_leave_nothing_but_their_fingerprint(relay, journal):
    enqueue(relay, *(f"order-{number}" for number in range(20)))
    relay.enqueue(commit("order-1"))
    relay.cancel("order-7")
    for lane in (LANE, "inflight"):
        finish(journal, *journal.claim(lane, WORKER, 100).items)
    trim(journal)
    left = {
        key.removeprefix(journal.settings.prefix).partition(":")[0]
        for key in journal.client.scan_iter(match=journal.settings.prefix + "*", count=1000)
    }
    assert left <= {"past", "queues", "workers", "seq", "bell", "counts", "events", "sweep", "pace", "ground"}
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
