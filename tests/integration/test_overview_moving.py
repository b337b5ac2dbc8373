"""A journal at a glance while an intent goes from hand to hand: it is open in each of them, and in one alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blnk_relay import Operator
from blnk_relay.intents.states import UNFINISHED
from blnk_relay.journal.entries import Claimed, Settlement
from blnk_relay.journal.journal import Journal
from tests.support.cli import letters
from tests.support.journal import LANE, WORKER, enqueue


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


def carrying(monkeypatch: pytest.MonkeyPatch, befalls: dict[int, Callable[[], Any]]) -> Callable[[], int]:
    """Something befalls before a trip of one flow; what is returned says how many trips there were."""
    carry, trips, busy = Journal._carry, [0], [False]

    def carried(self: Journal, trip: Any) -> Any:
        if not busy[0]:
            busy[0] = True
            try:
                befalls.get(trips[0], lambda: None)()
            finally:
                busy[0] = False
            trips[0] += 1
        return carry(self, trip)

    monkeypatch.setattr(Journal, "_carry", carried)
    return lambda: trips[0]
