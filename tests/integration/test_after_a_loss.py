"""What is enqueued again after Redis has lost its last moments may have been sent in them (docs/guarantees.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from blnk_relay import Relay, TooLate, Write
from blnk_relay.intents.decision import Send
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.settlement import Settlement
from tasks.settlements import unsent
from tests.support.journal import LANE, WORKER, enqueue, kill, status, sweep
from tests.support.payments import payment
from tests.support.waiting import wait_until


@pytest.fixture
def after_a_loss(journal: Journal) -> Journal:
    """A journal that another process serves now; it may have lost everything but this."""
    journal.claim(LANE, WORKER, 0)
    journal.client.hset(journal.key("ground"), "server", "the one before")
    journal.claim(LANE, WORKER, 0)
    return journal


def test_what_is_enqueued_soon_after_a_loss_cannot_be_cancelled_before_it_was_looked_for(
    relay: Relay, after_a_loss: Journal
) -> None:
    enqueue(relay, "again")
    with pytest.raises(TooLate, match="may have been sent in the last moments"):
        relay.cancel("again")
    assert status(after_a_loss, "again").state == "ready"


def test_what_was_due_before_a_loss_cannot_be_cancelled_by_whoever_comes_before_any_worker(
    relay: Relay, journal: Journal
) -> None:
    journal.claim(LANE, WORKER, 0)
    enqueue(relay, "sent in the lost moments, perhaps")
    journal.client.hset(journal.key("ground"), "server", "the one before")
    with pytest.raises(TooLate, match="may have been sent in the last moments"):
        relay.cancel("sent in the lost moments, perhaps")


def test_no_letter_denies_what_may_have_been_sent_where_one_is_discarded_by_whoever_comes_before_any_worker(
    relay: Relay, journal: Journal, operator: Operator
) -> None:
    relay.enqueue_many([Write(intent=payment(), key="first"), Write(intent=payment(), key="behind", after=["first"])])
    kill(journal, *journal.claim(LANE, WORKER, 1).items)
    # In the lost moments the letter may have been replayed and done, and the other one sent.
    journal.client.hset(journal.key("ground"), "server", "the one before")
    operator.discard(status(journal, "first"), who="me", reason="closed")
    told = status(journal, "behind")
    assert (told.dead_class, told.code) == ("unknown", "DEPENDENCY_CLOSED")
    assert "may have been sent" in told.message


def test_what_is_enqueued_soon_after_a_loss_is_looked_for_when_its_deadline_passes_while_it_waits(
    relay: Relay, after_a_loss: Journal
) -> None:
    enqueue(relay, "first")
    relay.enqueue(payment(), key="again", after=["first"], deadline=timedelta(seconds=0.05))

    def is_over() -> bool:
        sweep(after_a_loss)
        return status(after_a_loss, "again").state != "waiting"

    wait_until(is_over, 10)
    assert status(after_a_loss, "again").state == "posted"


def lose(journal: Journal, *signs_ms: float) -> None:
    """Let another process serve a journal in which workers gave their last signs of life at some times."""
    journal.client.delete(journal.key("workers"))
    if signs_ms:
        journal.client.zadd(journal.key("workers"), {f"w{number}": at for number, at in enumerate(signs_ms)})
    journal.client.hset(journal.key("ground"), "server", "the one before")


def tail_of_the_next(relay: Relay, journal: Journal, key: str) -> int:
    """Since when the moments may be lost in which something may have been sent that is enqueued now."""
    enqueue(relay, key)
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    assert claimed.progress.lost_ms
    return claimed.progress.tail_ms


def test_moments_may_be_lost_since_the_oldest_sign_of_life_that_is_left(relay: Relay, journal: Journal) -> None:
    journal.claim(LANE, WORKER, 0)
    now_ms = journal.now_ms()
    lose(journal, now_ms - 50_000, now_ms - 9_000_000, now_ms - 40)
    assert tail_of_the_next(relay, journal, "one") == now_ms - 9_000_000
    # Whose receipt was lost with those may enqueue again after the next loss.
    lose(journal, now_ms - 30)
    assert tail_of_the_next(relay, journal, "two") == now_ms - 9_000_000
    journal.client.hincrby(journal.key("ground"), "lost", -301_000)
    lose(journal, now_ms - 20)
    assert tail_of_the_next(relay, journal, "three") == now_ms - 20


@pytest.mark.parametrize("ahead_ms", [None, 60_000])
def test_nobody_knows_since_when_moments_may_be_lost_without_a_sign_or_by_a_clock_that_was_ahead(
    relay: Relay, journal: Journal, ahead_ms: int | None
) -> None:
    journal.claim(LANE, WORKER, 0)
    now_ms = journal.now_ms()
    lose(journal, *([] if ahead_ms is None else [now_ms + ahead_ms]))
    assert tail_of_the_next(relay, journal, "one") == 0


def test_nobody_knows_it_of_a_journal_that_went_back_under_its_process(relay: Relay, journal: Journal) -> None:
    journal.claim(LANE, WORKER, 0)
    ground = journal.key("ground")
    (name,) = (name for name in journal.client.hkeys(ground) if name.startswith("mark:"))
    journal.client.hset(ground, name, 0)
    assert tail_of_the_next(relay, journal, "one") == 0


def test_to_prolong_is_to_notice_before_it_is_a_sign_of_life(relay: Relay, journal: Journal) -> None:
    enqueue(relay, "in hand")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    now_ms = journal.now_ms()
    lose(journal)
    journal.client.zadd(journal.key("workers"), {WORKER: now_ms - 7_000})
    journal.extend(WORKER, [claimed], 10.0)
    assert tail_of_the_next(relay, journal, "one") == now_ms - 7_000


def test_nobody_knows_it_any_more_of_moments_that_were_lost_before_the_last_ones(
    relay: Relay, journal: Journal
) -> None:
    journal.claim(LANE, WORKER, 0)
    now_ms = journal.now_ms()
    lose(journal, now_ms - 50_000)
    enqueue(relay, "again")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    assert claimed.progress.tail_ms == now_ms - 50_000
    journal.client.hincrby(journal.key("ground"), "lost", 1)
    journal.settle(WORKER, [unsent(claimed)], [])
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    assert claimed.progress.lost_ms
    assert claimed.progress.tail_ms == 0


def test_what_was_claimed_before_a_loss_is_not_sent_but_looked_for(relay: Relay, journal: Journal) -> None:
    """Whoever has it may have stood still and been thought dead, and another may have sent it in the lost moments."""
    enqueue(relay, "order")
    (before,) = journal.claim(LANE, WORKER, 1).items
    journal.client.hset(journal.key("ground"), "server", "the one before")
    send = Send(memo={"before": "0"}, exclusive="txn_hold")
    assert journal.record([(before, send)]) == ["lost"], "also where nobody has noticed before"
    assert not journal.client.exists(journal.key("excl:txn_hold"))
    journal.settle(WORKER, [unsent(before)], [])
    (after,) = journal.claim(LANE, WORKER, 1).items
    assert after.progress.lost_ms
    assert journal.record([(after, send)]) == ["ok"]


@pytest.mark.parametrize("origin", ["sending", "posted"])
def test_a_letter_that_was_decided_before_a_loss_is_none_and_looked_at_again(
    relay: Relay, journal: Journal, origin: str
) -> None:
    enqueue(relay, "order")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    if origin == "posted":
        journal.settle(WORKER, [Settlement(claimed, "sending", "posted", 0, {"sent": "1"})], [])
        (claimed,) = journal.take(WORKER, 1, 12.0).items
    line = json.dumps({"at": journal.now_ms(), "what": "sent", "status": 413, "note": "dead: refused HTTP_413"})
    fields = {"class": "refused", "code": "HTTP_413", "message": "too large", "refuse": "1"}
    letter = Settlement(claimed, origin, "dead", 0, fields, line)
    journal.client.hset(journal.key("ground"), "server", "the one before")
    settled = journal.settle(WORKER, [letter], [])
    assert settled.looked_at_again == {claimed.entry.id}
    told = status(journal, "order")
    assert (told.state, told.dead_class) == ("posted", "")
    assert [(one.status, one.note) for one in relay.history("order")] == [
        (413, "decided before the journal lost its last moments: looked at again")
    ]
    (again,) = journal.take(WORKER, 1, 12.0).items
    assert again.progress.lost_ms
    assert not again.progress.refuse
    assert journal.settle(WORKER, [replace(letter, claimed=again, origin="posted")], []).looked_at_again == frozenset()
    assert status(journal, "order").dead_class == "refused"


def test_what_was_put_off_by_whoever_had_it_is_in_doubt_whenever_it_is_due(relay: Relay, journal: Journal) -> None:
    enqueue(relay, "claimed", "never claimed", "long ago")
    (claimed,) = journal.claim(LANE, WORKER, 1).items
    journal.settle(WORKER, [unsent(claimed)], [])
    journal.client.hset(journal.key("ground"), "server", "the one before")
    journal.claim(LANE, WORKER, 0)
    later_ms = journal.now_ms() + 1
    journal.client.zadd(
        journal.key(f"ready:{LANE}"),
        dict.fromkeys(journal.client.zrange(journal.key(f"ready:{LANE}"), 0, -1), later_ms),
    )
    wait_until(lambda: journal.now_ms() > later_ms, 5)
    # Who enqueues again may come before anybody has noticed the loss; nobody does so after five minutes.
    for key in ("claimed", "long ago"):
        journal.client.hset(journal.key(f"intent:{status(journal, key).id}"), "created", later_ms - 600_000)
    lost = {one.entry.key: bool(one.progress.lost_ms) for one in journal.claim(LANE, WORKER, 3).items}
    assert lost == {"claimed": True, "never claimed": True, "long ago": False}


def test_a_letter_that_waits_for_others_waits_on_when_it_is_replayed_after_a_loss(
    relay: Relay, journal: Journal, operator: Operator
) -> None:
    """A look sends what it does not find, and asks nobody whose turn it is."""
    relay.enqueue(payment(), key="first")
    relay.enqueue(payment(), key="behind", after=["first"], deadline=timedelta(seconds=0.05))

    def is_dead() -> bool:
        sweep(journal)
        return status(journal, "behind").state == "dead"

    wait_until(is_dead, 10)
    journal.client.hset(journal.key("ground"), "server", "the one before")
    operator.replay(status(journal, "behind"), who="me", reason="it is still wanted")
    assert status(journal, "behind").state == "waiting"
    assert journal.client.hget(journal.key(f"intent:{status(journal, 'behind').id}"), "lost")


def test_what_is_found_rejected_after_a_loss_may_have_been_replayed(
    relay: Relay, journal: Journal, operator: Operator
) -> None:
    """In the lost moments a human may have replayed it under fresh references, and the ledger applied those."""
    enqueue(relay, "before")
    kill(journal, *journal.claim(LANE, WORKER, 1).items, "rejected")
    assert not status(journal, "before").perhaps_replayed
    enqueue(relay, "lost")
    journal.client.hset(journal.key("ground"), "server", "the one before")
    journal.claim(LANE, WORKER, 0)
    kill(journal, *journal.claim(LANE, WORKER, 1).items, "rejected")
    letter = status(journal, "lost")
    assert (letter.dead_class, letter.perhaps_replayed) == ("rejected", True)
    operator.discard(letter, who="me", reason="looked up at the ledger")
    assert status(journal, "lost").state == "discarded"
