"""Letters by cause while letters come and go: what is said of them is true of one moment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from blnk_relay import Operator
from blnk_relay.journal.causes import counted_flow
from tests.support.journal import LANE, WORKER, bury, enqueue, kill
from tests.support.moving import carrying
from tests.support.payments import AMOUNT

#: What one of them is worth.
WORTH = Decimal(AMOUNT) / 100


@pytest.mark.parametrize("trip", range(4))
def test_what_letters_of_some_time_are_worth_is_not_told_of_others_as_well(relay, monkeypatch, trip):
    bury(relay, "before")
    operator = Operator(relay.journals)
    relay.journal().client.zincrby(
        relay.journal().key("letters:transaction|refused|NO"), -3_600_000, relay.get("before").id
    )
    since = operator.now()
    enqueue(relay, "a")
    [held] = relay.journal().claim(LANE, WORKER, 1).items
    moved = carrying(monkeypatch, {trip: lambda: kill(relay.journal(), held)})
    causes = operator.causes(since=since).causes
    assert moved() > min(trip, 2)
    for cause in causes:
        assert cause.count == 1
        assert not cause.summed or cause.sums == {"EUR": WORTH}


@pytest.mark.parametrize("trip", range(4))
def test_a_letter_of_what_nobody_had_died_of_is_accounted_for(relay, monkeypatch, trip):
    bury(relay, "before")
    enqueue(relay, "a")
    [held] = relay.journal().claim(LANE, WORKER, 1).items
    carrying(monkeypatch, {trip: lambda: kill(relay.journal(), held, "unknown")})
    assert Operator(relay.journals).causes().uncounted == 0


@pytest.mark.parametrize("trip", range(4))
def test_letters_are_counted_in_one_moment(relay, monkeypatch, trip):
    bury(relay, "before")
    enqueue(relay, "a")
    [held] = relay.journal().claim(LANE, WORKER, 1).items
    moved = carrying(monkeypatch, {trip: lambda: kill(relay.journal(), held, "unknown")})
    counted = relay.journal().drive(counted_flow(relay.journal().prefix))
    assert moved() > min(trip, 1)
    assert counted.uncounted == 0


def _listed(operator: Operator) -> int:
    return len(list(operator.listed("dead", kind="transaction")))


def _listed_backwards(operator: Operator) -> int:
    return len(list(operator.listed("dead", kind="transaction", oldest_first=True)))


def _listed_together(operator: Operator) -> int:
    return len(operator.listed_together(("ready", "dead"), most=10, kind="transaction"))


def _planned(operator: Operator) -> int:
    return len(operator.plan_many("replay", kind="transaction").letters)


@pytest.mark.parametrize("trip", range(8))
@pytest.mark.parametrize("pages", [(125, 500), (1, 1)], ids=["a page", "pages"])
@pytest.mark.parametrize("asked", [_listed, _listed_backwards, _listed_together, _planned])
def test_letters_are_met_while_what_is_kept_by_cause_is_made_anew(relay, monkeypatch, trip, pages, asked):
    bury(relay, "a", "b", "c")
    operator, journal = Operator(relay.journals), relay.journal()
    monkeypatch.setattr("blnk_relay.journal.pages.FIRST_PAGE", pages[0])
    monkeypatch.setattr("blnk_relay.journal.pages.PAGE", pages[1] + pages[0])
    carrying(monkeypatch, {trip: lambda: journal.scripts.run("recount", "drop")})
    assert asked(operator) == 3


@pytest.mark.parametrize("trip", range(6))
def test_letters_that_are_not_found_meanwhile_are_not_said_to_be_looked_at(relay, monkeypatch, trip):
    bury(relay, "a")
    journal = relay.journal()
    moved = carrying(monkeypatch, {trip: lambda: journal.scripts.run("recount", "drop")})
    asked = Operator(relay.journals).find(dead_class="refused", state="dead")
    assert moved() > min(trip, 3)
    assert [one.status.key for one in asked.found] == ["a"] or not asked.looked[-1].whole
