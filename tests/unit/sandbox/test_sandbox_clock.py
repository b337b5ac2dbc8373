from __future__ import annotations

import pytest

from blnk_relay.sandbox.clock import MANUAL_START_NS, SECOND_NS, Clock, parse_rfc3339, rfc3339


def test_callbacks_run_in_the_order_they_fall_due_each_at_its_own_time():
    clock = Clock(manual=True)
    seen: list[tuple[str, int]] = []

    def note(name: str) -> None:
        seen.append((name, clock.now_ns() - MANUAL_START_NS))

    clock.call_in(2, lambda: note("second"))
    clock.call_in(1, lambda: note("first"))
    clock.call_in(1, lambda: note("also first"))
    assert clock.step(3) == 3
    assert seen == [("first", SECOND_NS), ("also first", SECOND_NS), ("second", 2 * SECOND_NS)]
    assert clock.now_ns() == MANUAL_START_NS + 3 * SECOND_NS


def test_what_a_callback_schedules_on_the_way_runs_in_the_same_step():
    clock = Clock(manual=True)
    seen: list[int] = []
    clock.call_in(1, lambda: clock.call_in(1, lambda: seen.append(clock.now_ns())))
    clock.step(1.5)
    assert seen == []
    clock.step(0.5)
    assert seen == [MANUAL_START_NS + 2 * SECOND_NS]


def test_a_cancelled_callback_does_not_run():
    clock = Clock(manual=True)
    waiting = clock.call_in(1, lambda: pytest.fail("it ran"))
    waiting.cancel()
    assert clock.step(2) == 0


def test_time_stands_still_until_it_is_stepped():
    clock = Clock(manual=True)
    clock.call_in(0, lambda: None)
    assert clock.now_ns() == clock.now_ns() == MANUAL_START_NS
    assert clock.seconds_to_next() is None
    with pytest.raises(ValueError, match="backwards"):
        clock.step(-1)


def test_a_real_clock_can_be_jumped_ahead():
    clock = Clock(manual=False)
    ran: list[int] = []
    clock.call_in(3600, lambda: ran.append(clock.now_ns()))
    before = clock.now_ns()
    assert 3590 < (clock.seconds_to_next() or 0) <= 3600
    assert clock.step(3601) == 1
    assert clock.now_ns() - before >= 3601 * SECOND_NS
    assert before + 3590 * SECOND_NS < ran[0] < clock.now_ns()


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("2026-11-20T09:15:31.700412903Z", "2026-11-20T09:15:31.700412903Z"),
        ("2026-11-20T10:15:31.7+01:00", "2026-11-20T09:15:31.7Z"),
        ("2026-11-20T09:15:31Z", "2026-11-20T09:15:31Z"),
    ],
)
def test_times_keep_their_nanoseconds(text, back):
    assert rfc3339(parse_rfc3339(text)) == back


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20T09:15:31", "", "tomorrow", "2026-13-20T09:15:31Z"])
def test_a_time_needs_a_date_and_an_offset(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the library words the last one
        parse_rfc3339(text)


def test_no_time_is_the_zero_time():
    assert rfc3339(None) == "0001-01-01T00:00:00Z"
