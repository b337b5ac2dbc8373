"""Pauses: never negative, and never above the cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.intents.retry import Backoff, growing_s

seconds = st.floats(0, 10**9, allow_nan=False)
draws = st.floats(0, 1, exclude_max=True)
backoffs = st.tuples(st.floats(0.001, 100), st.floats(1, 10_000)).map(
    lambda pair: Backoff(base_s=pair[0], cap_s=max(pair))
)


@given(backoffs, st.integers(-5, 10**9), draws)
def test_a_pause_is_never_below_zero_and_never_above_the_cap(backoff, attempt, draw):
    assert 0 <= backoff.wait_s(attempt, draw) <= backoff.cap_s


@given(backoffs, st.integers(0, 60), draws)
def test_the_bound_doubles_until_the_cap(backoff, attempt, draw):
    bound = min(backoff.cap_s, backoff.base_s * 2**attempt)
    assert backoff.wait_s(attempt, draw) == draw * bound
    assert backoff.wait_s(attempt + 1, draw) >= backoff.wait_s(attempt, draw)


@given(backoffs, st.integers(-5, 0), draws)
def test_before_any_attempt_the_pause_is_the_shortest(backoff, attempt, draw):
    assert backoff.wait_s(attempt, draw) == draw * min(backoff.cap_s, backoff.base_s)


def test_the_jitter_is_full():
    backoff = Backoff(base_s=1, cap_s=60)
    assert backoff.wait_s(4, 0.0) == 0
    assert backoff.wait_s(4, 0.999) > 15.9


@given(st.floats(-(10**9), 10**9), seconds, seconds)
def test_a_growing_pause_stays_between_its_bounds(waited_s, first_s, most_s):
    pause_s = growing_s(waited_s, first_s, most_s)
    assert min(first_s, most_s) <= pause_s <= most_s


@given(st.floats(0.01, 10), st.floats(10, 10_000))
def test_growing_pauses_reach_the_longest_in_few_steps(first_s, most_s):
    waited_s, pauses = 0.0, []
    while not pauses or pauses[-1] < most_s:
        pauses.append(growing_s(waited_s, first_s, most_s))
        waited_s += pauses[-1]
    assert pauses == sorted(pauses)
    assert len(pauses) < 40
