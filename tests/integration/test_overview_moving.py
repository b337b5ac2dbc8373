"""A journal at a glance while an intent goes from hand to hand: it is open in each of them, and in one alone."""

from __future__ import annotations

import pytest

from blnk_relay import Operator
from blnk_relay.intents.states import UNFINISHED
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.settlement import Settlement
from tests.support.cli import letters
from tests.support.journal import LANE, WORKER, enqueue
from tests.support.moving import carrying


@pytest.mark.parametrize("trip", range(4))
def test_what_goes_from_hand_to_hand_meanwhile_is_open_all_the_same(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal, held = relay.journal(), []

    def claim() -> None:
        held.extend(journal.claim(LANE, WORKER, 1).items)

    def post() -> None:
        journal.settle(WORKER, [Settlement(held[0], "sending", "posted", 60_000)], [])

    befalls = {trip: claim, trip + 1: post}
    moved = carrying(monkeypatch, befalls)
    seen = Operator(relay.journals, relay.bells).overview()
    assert moved() > trip, "it went on while it was read"
    assert (seen.open, seen.done, seen.dead) == (1, 0, 0)


@pytest.mark.parametrize("trip", range(3))
def test_a_worker_who_begins_meanwhile_hides_nothing(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    moved = carrying(monkeypatch, {trip: lambda: journal.claim(LANE, "new:1:a", 1)})
    seen = Operator(relay.journals, relay.bells).overview()
    assert moved() > trip
    assert seen.open == 1


@pytest.mark.parametrize("trip", range(3))
def test_what_goes_from_hand_to_hand_meanwhile_is_found(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    moved = carrying(monkeypatch, {trip: lambda: journal.claim(LANE, "new:1:a", 1)})
    found = Operator(relay.journals, relay.bells).find(state="open").found
    assert moved() > trip
    assert [one.status.key for one in found] == ["a"]


def test_what_is_in_hands_is_open(relay):
    enqueue(relay, "a")
    assert relay.journal().claim(LANE, WORKER, 1).items
    assert relay.journal().has_open()


@pytest.mark.parametrize("trip", range(4))
@pytest.mark.parametrize("to", ["ready", "posted"])
def test_what_is_moved_meanwhile_is_open_all_the_same(relay, monkeypatch, trip, to):
    enqueue(relay, "a")
    journal, held = relay.journal(), []
    held.extend(journal.claim(LANE, WORKER, 1).items)

    def move() -> None:
        journal.settle(WORKER, [Settlement(held[0], "sending", to, 60_000)], [])

    moved = carrying(monkeypatch, {trip: move})
    assert journal.has_open()
    assert moved() > min(trip, 1)


@pytest.mark.parametrize("trip", range(4))
def test_what_is_claimed_by_one_who_begins_meanwhile_is_open_all_the_same(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    moved = carrying(monkeypatch, {trip: lambda: journal.claim(LANE, "new:1:a", 1)})
    assert journal.has_open()
    assert moved() > min(trip, 1)


def retry(journal: Journal, held: list[Claimed]) -> None:
    """Back to its lane, as after a failure that may pass."""
    journal.settle(WORKER, [Settlement(held[0], "sending", "ready", 60_000)], [])


@pytest.mark.parametrize("trip", range(6))
def test_what_goes_back_meanwhile_is_listed(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    [held] = journal.claim(LANE, WORKER, 1).items
    moved = carrying(monkeypatch, {trip: lambda: retry(journal, [held])})
    listed = Operator(relay.journals).listed_together(UNFINISHED, most=10)
    assert moved() > min(trip, 2)
    assert [status.key for status in listed] == ["a"]


@pytest.mark.parametrize("trip", range(6))
def test_what_goes_on_meanwhile_is_listed_once(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    moved = carrying(monkeypatch, {trip: lambda: journal.claim(LANE, "new:1:a", 1)})
    listed = Operator(relay.journals).listed_together(UNFINISHED, most=10)
    assert moved() > min(trip, 2)
    assert [status.key for status in listed] == ["a"]


@pytest.mark.parametrize("trip", range(5))
@pytest.mark.parametrize("narrow", [{"kind": "transaction"}, {}])
def test_a_letter_that_is_replayed_meanwhile_is_listed(relay, monkeypatch, trip, narrow):
    letters(relay, "a")
    operator = Operator(relay.journals)
    moved = carrying(monkeypatch, {trip: lambda: operator.replay(operator.get("a"), who="ann", reason="paid in")})
    listed = operator.listed_together(UNFINISHED, most=10, **narrow)
    assert moved() > min(trip, 3)
    assert [status.key for status in listed] == ["a"]


@pytest.mark.parametrize("trip", range(5))
def test_one_that_dies_meanwhile_of_what_nobody_had_died_of_is_listed(relay, monkeypatch, trip):
    enqueue(relay, "a")
    journal = relay.journal()
    [held] = journal.claim(LANE, WORKER, 1).items
    dead = Settlement(held, "sending", "dead", 0, {"code": "ODD", "class": "refused", "message": "odd"})
    moved = carrying(monkeypatch, {trip: lambda: journal.settle(WORKER, [dead], [])})
    listed = Operator(relay.journals).listed_together(UNFINISHED, most=10, kind="transaction")
    assert moved() > min(trip, 3)
    assert [status.key for status in listed] == ["a"]
