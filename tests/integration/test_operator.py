"""What the commands do, a program can do as well: the operator's hands are part of what an application imports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from blnk_relay import Change, LaneDepth, Operator, Overview, Pause, Refused, ReplayWay
from tests.support.cli import FUNDS, letters

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def operator():
    with Operator.from_env() as made:
        yield made


def test_an_operator_looks_over_the_journal_of_the_environment(operator, relay):
    letters(relay, "a", "b")
    overview = operator.overview()
    assert isinstance(overview, Overview)
    assert (overview.open, overview.dead, overview.workers) == (0, 2, 0)
    assert all(isinstance(lane, LaneDepth) for lane in overview.lanes)
    assert abs(operator.now() - datetime.now(UTC)) < timedelta(minutes=1)


def test_letters_are_listed_planned_and_replayed(operator, relay):
    letters(relay, "a", "b")
    [first, *others] = operator.listed("dead", code=FUNDS, oldest_first=True)
    assert len(others) == 1
    assert operator.plan(first).way is ReplayWay.FRESH
    operator.replay(first, who="ann", reason="the wallet was filled")
    assert operator.get(first.key).state == "ready"
    with pytest.raises(Refused, match="ready, not dead"):
        operator.replay(operator.get(first.key), who="ann", reason="a test")


@pytest.mark.parametrize("reason", ["", "  "])
def test_no_letter_is_closed_without_a_word_of_why(operator, relay, reason):
    letters(relay, "a")
    with pytest.raises(Refused, match="with a reason"):
        operator.discard(operator.get("a"), who="ann", reason=reason)
    assert operator.get("a").state == "dead"


def test_a_pause_is_told_with_who_and_why(operator):
    made = operator.pause_lane("refunds", who="ann", reason="audit")
    assert isinstance(made, Change)
    assert isinstance(made.pause, Pause)
    assert (made.changed, made.pause.who, made.pause.reason) == (True, "ann", "audit")
    assert operator.resume_lane("refunds", who="ben").pause == made.pause
    assert [(act.what, act.of, act.who) for act in operator.actions()] == [
        ("resume", "lane refunds", "ben"),
        ("pause", "lane refunds", "ann"),
    ]


def test_an_operator_closes_what_is_its_own_and_nothing_else(relay):
    with Operator(relay.journals) as operator:
        assert operator.overview().open == 0
    letters(relay, "a")
    assert relay.get("a").state == "dead"
