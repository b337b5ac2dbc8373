"""What an audit knows of all intents: who set a value last, what is older than all of it, what one of them came to."""

from __future__ import annotations

import pytest
from casebook import payment
from test_evidence import CHILD, HOLD, OTHER, past

from blnk_relay.intents.evidence import Below, Known, Past, Writes
from blnk_relay.intents.progress import Progress

RECORD = "idt_1"
NAMES = Writes(RECORD, ("city", "street"))


def at(ended_ms: int, of: str) -> Past:
    return past(payment(), of=of, ended_ms=ended_ms)


def test_of_two_that_set_a_value_the_later_one_set_it_whichever_was_read_first():
    first, second, third = at(5, "a"), at(6, "b"), at(7, "c")
    for order in ((first, second), (second, first)):
        known = Known()
        for one in order:
            known.add(one, NAMES, ())
        assert known.still_set(first, NAMES) == frozenset()
        assert known.still_set(second, NAMES) == {"city", "street"}
        assert known.still_set(third, NAMES) == {"city", "street"}
        assert known.still_set(first, Writes("idt_2", ("city",))) == {"city"}
        assert known.still_set(first, Writes(RECORD, ("country",))) == {"country"}


def test_what_two_set_in_the_same_millisecond_either_may_have_set_last():
    first, second = at(5, "a"), at(5, "b")
    known = Known()
    known.add(first, NAMES, ())
    assert known.still_set(first, NAMES) == {"city", "street"}
    assert known.still_set(second, NAMES) == frozenset()


def test_what_nobody_has_set_is_overwritten_by_nobody_whenever_it_was_set():
    assert Known().still_set(at(0, "a"), NAMES) == {"city", "street"}


@pytest.mark.parametrize(("accepted_ms", "since_ms", "older"), [(4, 5, True), (5, 5, True), (6, 5, False)])
def test_what_was_accepted_at_the_start_of_all_that_is_known_may_be_older(accepted_ms, since_ms, older):
    known = Known()
    known.since_ms = since_ms
    assert known.may_be_older(past(payment(), accepted_ms=accepted_ms)) is older


def test_where_nothing_was_trimmed_nothing_that_was_accepted_is_older_than_what_is_known():
    assert not Known().may_be_older(past(payment(), accepted_ms=1))


def test_all_that_is_held_for_a_comparison_counts_towards_its_size():
    known, done = Known(), at(5, "a")
    assert len(known) == 0
    known.add(done, NAMES, ())
    assert len(known) == 2
    known.add(done, None, (Below(HOLD, CHILD),))
    assert len(known) == 3
    known.add(done, None, (Below(OTHER),))
    assert len(known) == 4


def test_what_is_over_reads_the_ledger_as_one_that_was_sent_long_ago():
    it = past(payment(), ended_ms=9_000, accepted_ms=1_000, generation=2, memo={"mode": "queue"})
    assert it.progress() == Progress(
        9_000, 1_000, 9_000, sent=True, looking=True, memo={"mode": "queue"}, generation=2, created_ms=1_000
    )
