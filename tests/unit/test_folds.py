"""Equal reports are folded into one a minute, and none of them is lost in that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.folds import Folding, Report


def report(name="a", intent="1"):
    return Report((name,), f"{name} died", extra={"intent": intent})


def test_the_first_goes_out_at_once_and_those_that_follow_when_the_minute_is_over():
    folding = Folding(60)
    assert folding.add(report(), 0).count == 1
    assert folding.add(report(intent="2"), 10) is None
    assert folding.add(report(intent="3"), 59) is None
    assert folding.due(59.9) == []
    (folded,) = folding.due(60)
    assert (folded.count, folded.report.extra["intent"]) == (2, "3")


def test_what_goes_on_is_told_once_a_minute():
    folding = Folding(60)
    told = [folding.add(report(), 0)]
    for second in range(1, 300):
        told += [*folding.due(second), folding.add(report(), second)]
    assert [one.count for one in told if one] == [1, 59, 60, 60, 60]


def test_after_a_silent_minute_the_next_one_is_the_first_again():
    folding = Folding(60)
    folding.add(report(), 0)
    assert folding.due(60) == []
    assert folding.next_s() is None
    assert folding.add(report(), 61).count == 1


def test_what_differs_is_told_apart():
    folding = Folding(60)
    assert folding.add(report("a"), 0)
    assert folding.add(report("b"), 0)


def test_too_many_different_ones_are_counted_together():
    folding = Folding(60, most=3)
    first = [folding.add(report(str(number)), 0) for number in range(10)]
    assert [one.count for one in first if one] == [1, 1, 1, 1]
    assert [(one.report.message, one.count) for one in folding.rest()] == [("too many different reports", 6)]


@given(st.lists(st.tuples(st.sampled_from("abcdefg"), st.floats(0, 90)), max_size=80))
def test_every_report_is_counted_once(arrivals):
    folding, now, told = Folding(60, most=4), 0.0, 0
    for name, pause in arrivals:
        now += pause
        told += sum(folded.count for folded in folding.due(now))
        first = folding.add(report(name), now)
        told += first.count if first else 0
    assert told + sum(folded.count for folded in folding.rest()) == len(arrivals)
