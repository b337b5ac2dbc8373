"""What a process shows of the ground that the journal stands on: how far it has compared the clock."""

from __future__ import annotations

import pytest

from blnk_relay.journal import ground as ground_module
from blnk_relay.journal.ground import Ground

EPOCH = "1-run1"


class Played:
    """A ground whose trips take a tenth of a second of a steady clock that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ground, self.mark, self.steady_s = Ground(), 0, 100.0
        monkeypatch.setattr(ground_module, "steady_s", lambda: self.steady_s)

    def trip(self, now_ms: int, *, steps: int = 0) -> int:
        before_s = self.steady_s
        self.steady_s += 0.1
        self.mark += 1
        return self.ground.step_ms(before_s, now_ms, [f"{EPOCH}.7.{self.mark}", 0, steps])


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(monkeypatch)


def test_a_trip_shows_what_was_seen_last_and_up_to_when_the_clock_was_compared(played: Played) -> None:
    assert played.ground.shown == ""
    assert [played.trip(now_ms) for now_ms in (1_000, 1_100)] == [0, 0]
    assert played.ground.shown == f"{EPOCH}.7.2@1100"


def test_until_a_step_is_told_no_time_counts_as_compared(played: Played) -> None:
    played.trip(1_000)
    assert played.trip(61_100) == pytest.approx(60_000, abs=200)
    # Another thread's answer comes before the step is told.
    assert played.trip(61_200) == 0
    assert played.ground.shown == f"{EPOCH}.7.3@1000"
    played.ground.told(1_250)
    assert played.ground.shown == f"{EPOCH}.7.3@1250"
    assert played.trip(1_300, steps=1) == 0
    assert played.ground.shown == f"{EPOCH}.7.4@1300"


def test_a_step_that_could_not_be_told_is_noticed_again_and_no_time_counts_meanwhile(played: Played) -> None:
    played.trip(1_000)
    assert played.trip(61_100)
    assert played.trip(61_200) == 0
    played.ground.see_step_again()
    assert played.ground.shown == f"{EPOCH}.7.3@1000"
    assert played.trip(61_300)
    assert played.ground.shown == f"{EPOCH}.7.4@1000"


def test_where_others_have_told_the_step_meanwhile_comparing_goes_on(played: Played) -> None:
    played.trip(1_000)
    assert played.trip(61_100)
    played.ground.see_step_again()
    assert played.trip(1_300, steps=1) == 0
    assert played.ground.shown == f"{EPOCH}.7.3@1300"
