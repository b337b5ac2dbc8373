"""What is enqueued again after Redis has lost its last moments may have been sent in them (docs/guarantees.md)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from blnk_relay import Relay, TooLate, Write
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.operator import Operator
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
