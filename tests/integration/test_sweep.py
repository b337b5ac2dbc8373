"""Sweeping: what passes its deadline while it waits, and what is left of what is over."""

from __future__ import annotations

from datetime import timedelta

from blnk_relay import Intent, bulk_transactions, commit_hold
from blnk_relay.intents.exchange import GateAction
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.settlement import Settlement
from tests.support.journal import (
    LANE,
    WORKER,
    enqueue,
    finish,
    kill,
    status,
    sweep,
    trim,
)
from tests.support.payments import payment
from tests.support.redis_keys import listed, unlisted
from tests.support.waiting import wait_until


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
    journal.change_gate("write", GateAction.SLOW, "HTTP_429", 1)
    journal.settle(WORKER, [Settlement(claims[2], "sending", "posted")], [])
    journal.take(WORKER, 1, 10)
    journal.scripts.run("oauth", "login", "digest", "token")
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
        key.removeprefix(journal.prefix).partition(":")[0]
        for key in journal.client.scan_iter(match=journal.prefix + "*", count=1000)
    }
    counted = {"counts", "samples", "events", "pace"}
    assert left <= {"past", "lanes", "workers", "seq", "bell", "sweep", "ground", "room", *counted}
    assert sum(journal.client.hlen(key) for key in journal.client.scan_iter(match=journal.key("past:*"))) == 21


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
    operator.replay(late, who="me", reason="a test")
    assert status(journal, "strict").state == "waiting", "it has to wait for its turn all the same"
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    assert status(journal, "strict").state == "ready"


def test_whoever_died_while_it_waited_learns_all_the_same_that_what_it_waited_for_is_done(relay, journal, operator):
    enqueue(relay, "first")
    relay.enqueue(payment(), key="strict", after=["first"], deadline=timedelta(hours=1))
    journal.client.zadd(journal.key("expiring"), {id_of(DEFAULT_TARGET, "strict"): 1}, xx=True)
    sweep(journal)
    finish(journal, *journal.claim(LANE, WORKER, 1).items)
    operator.replay(status(journal, "strict"), who="me", reason="a test")
    assert status(journal, "strict").state == "ready", "there is nothing left to wait for"


def test_what_waited_until_its_deadline_is_not_called_refused_where_it_may_have_been_sent(relay, journal):
    sweep(journal)
    enqueue(relay, "first")
    relay.enqueue(payment(), key="strict", after=["first"], deadline=timedelta(hours=1))
    id_, before_ms = id_of(DEFAULT_TARGET, "strict"), journal.now_ms() - 1_000
    journal.client.hset(journal.key(f"intent:{id_}"), mapping={"created": before_ms, "due": before_ms})
    # Another process serves the journal: it may have lost that the first was done, and this one sent.
    journal.client.hset(journal.key("ground"), "server", "before")
    journal.client.zadd(journal.key("expiring"), {id_: 1}, xx=True)
    sweep(journal)
    assert status(journal, "strict").state == "posted", "the ledger has the last word"


def test_what_a_letter_of_the_same_sweep_lets_go_is_no_letter(relay, journal):
    """Two whose deadlines have passed wait by turns; the first one also for another that takes its time."""

    def batch(key: str) -> Intent:
        return bulk_transactions([payment(f"{key}-1"), payment(f"{key}-2")], atomic=True, skip_queue=True)

    relay.enqueue(payment(), key="slow")
    relay.enqueue(batch("first"), key="first", after=["slow"], deadline=timedelta(seconds=0.05))
    relay.enqueue(batch("second"), key="second", deadline=timedelta(seconds=0.06))
    assert [status(journal, key).state for key in ("first", "second")] == ["waiting", "waiting"]
    late_ms = journal.now_ms() + 70
    wait_until(lambda: journal.now_ms() > late_ms, 5)
    sweep(journal)
    assert [status(journal, key).state for key in ("first", "second")] == ["dead", "ready"]
    assert journal.client.zrange(journal.key("dead"), 0, -1) == [status(journal, "first").id]
