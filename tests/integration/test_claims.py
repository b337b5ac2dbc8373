"""Claims and looks: who gets what under which lease, what is charged to whom, and what a worker leaves to others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blnk_relay import TooLate
from blnk_relay.intents.decision import Send
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import (
    ANOTHER,
    LANE,
    WORKER,
    enqueue,
    finish,
    kill,
    silence,
    status,
    sweep,
)
from tests.support.payments import payment


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
    journal.client.zadd(journal.key(f"ready:{LANE}"), {id_of(DEFAULT_TARGET, "suspect"): 5})
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


def test_what_a_dead_worker_had_in_hand_is_quiet_from_the_end_of_its_lease_on(relay, journal):
    """It is found dead by its silence, long before its lease ends; whoever wakes up may send until then."""
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.extend(WORKER, [claimed], 900.0)
    lease_end_ms = journal.client.zscore(journal.key(f"leased:{WORKER}"), claimed.entry.id)
    silence(journal, WORKER)
    sweep(journal)
    (looked,) = journal.take(ANOTHER, 1, 10).items
    assert looked.progress.last_sent_ms == lease_end_ms > looked.progress.now_ms


def test_a_lapsed_intent_is_looked_for_and_whoever_had_it_settles_nothing(relay, journal):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    silence(journal, WORKER)
    sweep(journal)
    assert status(journal, "order").state == "posted", "it may have been sent"
    assert journal.claim(LANE, ANOTHER, 1).items == ()
    assert journal.extend(WORKER, [claimed], 10.0) == []
    finish(journal, claimed)
    assert status(journal, "order").state == "posted"
    (looked,) = journal.take(ANOTHER, 1, 10).items
    journal.settle(WORKER, [Settlement(claimed, "posted", "done", 0, {"outcome": "applied"})], [])
    journal.settle(ANOTHER, [Settlement(looked, "posted", "ready")], [])
    assert [item.entry.key for item in journal.claim(LANE, ANOTHER, 1).items] == ["order"]
    finish(journal, claimed)
    assert status(journal, "order").state == "sending", "it is in the hands of another by now"


def test_what_may_have_been_sent_under_a_lapsed_lease_is_not_taken_back_by_a_human(relay, journal):
    enqueue(relay, "order")
    assert len(journal.claim(LANE, WORKER, 1).items) == 1
    silence(journal, WORKER)
    sweep(journal)
    (looked,) = journal.take(ANOTHER, 1, 10).items
    journal.settle(ANOTHER, [Settlement(looked, "posted", "ready")], [])
    with pytest.raises(TooLate):
        relay.cancel("order")
    assert status(journal, "order").state == "ready"


def test_a_verdict_that_comes_twice_is_written_down_once(relay, journal, operator):
    """A worker offers a verdict again when the journal did not answer; meanwhile anything may have happened."""
    enqueue(relay, "order")
    journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    (looked,) = journal.take(WORKER, 1, 10).items
    fields = {"class": "unknown", "code": "UNDECIDED", "message": "no"}
    verdict = Settlement(looked, "posted", "dead", 0, {**fields, "sent": "1"})
    journal.settle(WORKER, [verdict], [])
    letters = journal.client.xlen(journal.key("events"))
    journal.settle(WORKER, [verdict], [])
    assert journal.client.xlen(journal.key("events")) == letters, "it died once"
    operator.replay(status(journal, "order"), who="me", reason="a test")
    journal.settle(WORKER, [verdict], [])
    assert status(journal, "order").state == "posted", "what was decided in its last life changes nothing in this one"


def test_what_may_have_been_sent_under_a_lapsed_lease_is_looked_for_before_a_replay_sends_it(relay, journal, operator):
    enqueue(relay, "order")
    assert len(journal.claim(LANE, WORKER, 1).items) == 1
    silence(journal, WORKER)
    sweep(journal)
    (looked,) = journal.take(ANOTHER, 1, 10).items
    fields = {"class": "unknown", "code": "UNDECIDED", "message": "no"}
    journal.settle(ANOTHER, [Settlement(looked, "posted", "dead", 0, fields)], [])
    operator.replay(status(journal, "order"), who="me", reason="a test")
    assert status(journal, "order").state == "posted"


def test_who_no_longer_waits_for_others_still_waits_for_its_turn(relay, journal):
    enqueue(relay, "other")
    relay.enqueue(payment(), key="first", order_key="till")
    relay.enqueue(payment(), key="second", order_key="till", after=["other"])
    by_key = {item.entry.key: item for item in journal.claim(LANE, WORKER, 3).items}
    assert sorted(by_key) == ["first", "other"]
    finish(journal, by_key["other"])
    assert status(journal, "second").state == "waiting", "the first one may be under way"
    finish(journal, by_key["first"])
    assert status(journal, "second").state == "ready"


def test_a_letter_that_a_human_has_closed_no_longer_stands_before_those_of_its_order(relay, journal, operator):
    relay.enqueue(payment(), key="first", order_key="till")
    relay.enqueue(payment(), key="second", order_key="till")
    kill(journal, journal.claim(LANE, WORKER, 1).items[0])
    assert status(journal, "second").state == "waiting"
    operator.discard(status(journal, "first"), who="me", reason="paid by hand")
    assert status(journal, "second").state == "ready"


def test_nobody_claims_from_a_lane_that_an_operator_has_paused(relay, journal, operator):
    enqueue(relay, "order")
    operator.pause_lane(LANE, who="me")
    assert journal.claim(LANE, WORKER, 1).items == ()
    operator.resume_lane(LANE, who="me")
    assert len(journal.claim(LANE, WORKER, 1).items) == 1


def test_a_row_has_one_writer_at_a_time_and_none_that_has_not_seen_what_was_made_below_it(relay, journal):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    send = Send(memo={"before": "0"}, exclusive="txn_hold")
    assert journal.record([(first, send)]) == ["ok"]
    assert journal.record([(second, send)]) == ["busy"]
    assert journal.record([(first, send)]) == ["ok"], "it is its own"
    made = {"outcome": "applied", "txn": "txn_commit"}
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, made)], [])
    assert journal.record([(second, send)]) == ["lagging"], "its sum is older than what the first one did"
    assert journal.record([(second, replace(send, seen=("txn_commit",)))]) == ["ok"]


def test_what_may_have_been_sent_in_lost_moments_goes_on_to_count_as_sent_once_it_is_recorded(relay, journal):
    enqueue(relay, "doubtful", "other")
    doubtful, other = journal.claim(LANE, WORKER, 2).items
    name = journal.key(f"intent:{doubtful.entry.id}")
    journal.client.hset(name, "lost", 1_700_000_000_000)
    send = Send(memo={"before": "0"})
    doubtful = replace(doubtful, progress=replace(doubtful.progress, last_sent_ms=1_700_000_030_000))
    assert journal.record([(doubtful, send), (other, send)]) == ["ok", "ok"]
    fields = ["lost", "sent", "lapsed", "sent_last"]
    assert journal.client.hmget(name, fields) == [None, "1", "1", "1700000030000"]
    assert journal.client.hmget(journal.key(f"intent:{other.entry.id}"), fields) == [None, None, None, None]


def test_who_decides_by_values_waits_until_reads_show_the_last_write(relay, journal):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    by_values = Send(memo={"id": "txn_hold"}, exclusive="txn_hold", seen=("txn_hold",), settled_s=0.4)
    assert journal.record([(first, by_values)]) == ["ok"]
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "updated", "txn": "txn_hold"})], [])
    assert journal.record([(second, by_values)]) == ["lagging"]
    assert journal.record([(second, replace(by_values, settled_s=0.0))]) == ["ok"], "what does not read need not wait"
    journal.client.set(journal.key("wrote:txn_hold"), journal.now_ms() - 60_000)
    # What was read was read after the claim: what it shows is as old as that may be.
    long_claimed = replace(second, progress=replace(second.progress, now_ms=second.progress.now_ms - 61_000))
    assert journal.record([(long_claimed, by_values)]) == ["lagging"]
    assert journal.record([(second, by_values)]) == ["ok"]


def test_who_decides_by_values_asks_no_clock_that_has_stepped(relay, journal):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    by_values = Send(memo={"id": "txn_hold"}, exclusive="txn_hold", seen=("txn_hold",), settled_s=5.0)
    assert journal.record([(first, by_values)]) == ["ok"]
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "updated", "txn": "txn_hold"})], [])
    wrote, solid, now_ms = journal.key("wrote:txn_hold"), journal.key("ground"), journal.now_ms()
    # A step back: what was written looks old, and the ground is solid only since that was noticed.
    journal.client.set(wrote, now_ms - 60_000)
    journal.client.hset(solid, "solid", now_ms)
    assert journal.record([(second, by_values)]) == ["lagging"]
    # A step ahead that was taken off: what was written lies ahead, and counts as of then.
    journal.client.set(wrote, now_ms + 3_600_000)
    journal.client.hset(solid, "solid", now_ms - 6_000)
    assert journal.record([(second, by_values)]) == ["ok"]


def test_what_was_made_may_be_gone_by_now_where_the_decision_says_so(relay, journal):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    by_name = Send(memo={"name": "exact"}, exclusive="rule-name:exact", seen=None)
    assert journal.record([(first, by_name)]) == ["ok"]
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "created", "txn": "rule_1"})], [])
    assert journal.record([(second, replace(by_name, settled_s=30.0))]) == ["lagging"]
    assert journal.record([(second, by_name)]) == ["ok"]


def test_whoever_wrote_to_several_rows_wrote_to_each(relay, journal):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    both = Send(memo={"first": "0042"}, exclusive=("turn:external:a", "turn:external:b"), seen=None)
    assert journal.record([(first, both)]) == ["ok"]
    journal.settle(WORKER, [Settlement(first, "sending", "done", 0, {"outcome": "uploaded", "txn": "upload_1"})], [])
    for row in both.exclusive:
        assert journal.record([(second, replace(both, exclusive=row, settled_s=30.0))]) == ["lagging"]


@pytest.mark.parametrize(("row", "answer"), [("turn:external:s-1", "ok"), ("txn_hold", "busy")])
def test_a_dead_letter_gives_up_its_turn_at_a_row(relay, journal, row, answer):
    enqueue(relay, "first", "second")
    first, second = journal.claim(LANE, WORKER, 2).items
    send = Send(memo={"first": "s-1"}, exclusive=row)
    assert journal.record([(first, send)]) == ["ok"]
    assert journal.record([(second, send)]) == ["busy"]
    kill(journal, first)
    assert journal.record([(second, send)]) == [answer]


def test_to_prolong_is_a_sign_of_life(relay, journal):
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    silence(journal, WORKER)
    assert journal.extend(WORKER, [], 10.0) == []
    sweep(journal)
    assert journal.extend(WORKER, [claimed], 10.0) != []


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


@pytest.mark.parametrize("speaks", ["settles", "prolongs"])
@pytest.mark.parametrize("hand", ["sends", "looks"])
def test_no_lapse_is_left_of_outages_in_quick_succession(relay, journal, hand, speaks):
    """Several workers are unheard one after the other, and only then come back, whichever comes first."""
    enqueue(relay, "unheard")
    id_ = id_of(DEFAULT_TARGET, "unheard")
    key, field = journal.key(f"intent:{id_}"), {"sends": "claims", "looks": "looks"}[hand]
    if hand == "looks":
        journal.settle(WORKER, [Settlement(journal.claim(LANE, WORKER, 1).items[0], "sending", "posted")], [])
    held = {}
    for worker in ("first", "second"):
        if hand == "sends":
            (held[worker],) = journal.claim(LANE, worker, 1).items
            silence(journal, worker)
            sweep(journal)
            (looked,) = journal.take(ANOTHER, 1, 10).items
            journal.settle(ANOTHER, [Settlement(looked, "posted", "ready")], [])
            journal.take(ANOTHER, 0, 10, leave=True)
        else:
            (held[worker],) = journal.take(worker, 1, 10).items
            silence(journal, worker)
            journal.client.zadd(journal.key("posted"), {id_: 1})
    if hand == "looks":
        assert len(journal.take(ANOTHER, 1, 10).items) == 1
    assert journal.client.hget(key, field) == "2"
    for worker, left in (("first", "1"), ("second", "0")):
        for _ in range(2):
            if speaks == "settles":
                journal.settle(worker, [Settlement(held[worker], "sending", "ready")], [])
            else:
                assert journal.extend(worker, [held[worker]], 10) == []
            assert journal.client.hget(key, field) == left
