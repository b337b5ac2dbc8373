"""A step of the journal's clock is told from a slow trip, whatever the trips are like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.journal.clock import MARGIN_MS, Watch

#: Seconds between trips, of the way there and of the way back.
TRIPS = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30)


def watched(trips: list[tuple[float, float, float]], step_at: int = -1, step_ms: int = 0) -> list[int]:
    """What a watch says of trips to a clock that steps once."""
    watch, steady_s, offset_ms, said = Watch(), 100.0, 1_700_000_000_000.0, []
    for number, (pause_s, there_s, back_s) in enumerate(trips):
        steady_s += pause_s
        before_s = steady_s
        if number == step_at:
            offset_ms += step_ms
        now_ms = round(offset_ms + (before_s + there_s) * 1000)
        steady_s += there_s + back_s
        said.append(watch.observe(before_s, now_ms, steady_s, steps=0))
    return said


@given(TRIPS)
def test_no_trip_however_slow_looks_like_a_step(trips):
    assert watched(trips) == [0] * len(trips)


@given(st.lists(st.floats(0, 0.05), min_size=2, max_size=20), st.integers(2_000, 10**9), st.booleans(), st.data())
def test_every_step_is_noticed_at_the_next_trip(pauses, size, back, data):
    at = data.draw(st.integers(1, len(pauses) - 1))
    step_ms = -size if back else size
    said = watched([(pause, 0.01, 0.01) for pause in pauses], at, step_ms)
    assert said[:at] == [0] * at
    assert abs(said[at] - step_ms) < MARGIN_MS
    assert said[at + 1 :] == [0] * (len(pauses) - at - 1)


def test_what_others_have_set_right_is_no_step():
    watch = Watch()
    assert watch.observe(1.0, 1_000_000, 1.1, steps=0) == 0
    assert watch.observe(2.0, 1_601_000, 2.1, steps=1) == 0
    assert watch.observe(3.0, 1_602_000, 3.1, steps=1) == 0


def test_a_slow_drift_is_no_step():
    watch, now_ms = Watch(), 1_000_000.0
    for second in range(1, 600):
        now_ms += 1020
        assert watch.observe(float(second), round(now_ms), second + 0.01, steps=0) == 0


def test_a_step_that_could_not_be_told_is_noticed_again():
    watch = Watch()
    assert watch.observe(1.0, 1_000_000, 1.1, steps=0) == 0
    assert watch.observe(2.0, 1_601_000, 2.1, steps=0) == 600_000
    watch.see_again()
    assert watch.observe(3.0, 1_602_000, 3.1, steps=0) == 600_000
    watch.see_again()
    # It was told after all, and only the answer was lost.
    assert watch.observe(4.0, 1_003_000, 4.1, steps=1) == 0
    assert watch.observe(5.0, 1_004_000, 5.1, steps=1) == 0
