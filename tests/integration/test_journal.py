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
WRITE, READ = f"{DEFAULT_TARGET}:write", f"{DEFAULT_TARGET}:read"


def enqueue(relay: Relay, *keys: str) -> None:
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])


def kill(journal: Journal, claimed: Claimed, dead_class: str = "refused") -> None:
    fields = {"class": dead_class, "code": "NO", "message": "no"}
    journal.settle(WORKER, [Settlement(claimed, "sending", "dead", 0, fields)], [])


def finish(journal: Journal, *claims: Claimed) -> None:
    journal.settle(
        WORKER, [Settlement(claimed, "sending", "done", 0, {"outcome": "applied"}) for claimed in claims], []
    )


def sweep(journal: Journal) -> tuple[str, ...]:
    journal.client.delete(journal.key("sweep"))
    swept, rung, _ = journal.sweep()
    assert swept
    return rung


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
        looked = journal.take(WORKER, 1, 10).items
        journal.settle(WORKER, [Settlement(looked[0], "posted", "ready")], [])
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
        journal.client.zadd(journal.key("posted"), {id_of(DEFAULT_TARGET, "slow"): 1})
        looked = journal.take(WORKER, 1, 10)
        assert looked.buried == ()
        journal.settle(WORKER, [Settlement(looked.items[0], "posted", "posted")], [])
    assert status(journal, "slow").state == "posted"


def test_an_intent_whose_looks_all_kill_their_workers_becomes_a_dead_letter(relay, journal):
    enqueue(relay, "poison")
    journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    for _ in range(journal.settings.max_lapses):
        assert len(journal.take(WORKER, 1, 10).items) == 1
        journal.client.zadd(journal.key("posted"), {id_of(DEFAULT_TARGET, "poison"): 1})
    assert len(journal.take(WORKER, 1, 10).buried) == 1
    assert status(journal, "poison").code == "LAPSED_TOO_OFTEN"


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
