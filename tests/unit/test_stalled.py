"""When a worker counts as stalled: bells wait, and it takes none; or it takes them, and nothing comes of it."""

from __future__ import annotations

import pytest

from blnk_relay import Settings
from tasks.runtime import Tally
from worker import presence as presences
from worker.presence import Presence
from worker.watch import Calls, Watch


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def played(looks: list[tuple[float, int, int]]) -> list[tuple[float, str]]:
    """What a watch with a limit of ten seconds does: (seconds from the start, bells taken, bells waiting) a look."""
    clock, done = Hand(), list[tuple[float, str]]()
    watch = Watch(
        10.0,
        lambda: done.append((clock.now_s - 100, "rebuild")),
        lambda: done.append((clock.now_s - 100, "end")),
        clock,
    )
    for at_s, taken, waiting in looks:
        clock.now_s = 100 + at_s
        watch.look(taken, waiting)
    return done


def test_a_worker_without_anything_to_do_is_left_alone():
    assert played([(at, 3, 0) for at in range(100)]) == []


def test_a_worker_that_takes_a_bell_now_and_then_is_left_alone_however_many_wait():
    assert played([(at, at // 9, 50) for at in range(100)]) == []


def test_a_worker_that_takes_none_connects_anew_and_ends_when_that_does_not_help_and_no_more_than_that():
    assert played([(at, 3, 1) for at in range(60)]) == [(11, "rebuild"), (22, "end")]


def test_what_helped_is_tried_again_the_next_time():
    deaf = [(at, 3, 1) for at in range(15)]
    well = [(15, 4, 0)]
    again = [(at, 4, 2) for at in range(16, 30)]
    assert played([*deaf, *well, *again]) == [(11, "rebuild"), (26, "rebuild")]


def test_a_bell_that_came_a_moment_ago_is_no_reproach():
    assert played([(0, 3, 0), (50, 3, 0), (51, 3, 1), (60, 3, 1)]) == []


def called(looks: list[tuple[float, int, int, int]]) -> list[float]:
    """When a worker was called in vain, with bells that have to be five seconds apart.

    Args:
        looks: Of each: seconds from the start, what the worker has settled, bells it has heard, and how much is due.
    """
    calls = Calls(5.0)
    return [at for at, settled, bells, due in looks if calls.in_vain((settled,), bells, due, at)]


def test_a_worker_that_nobody_calls_is_not_called_in_vain_however_much_is_due():
    assert called([(at, 3, 7, 9) for at in range(100)]) == []


def test_a_worker_that_hears_bells_for_a_while_and_comes_to_nothing_is_called_in_vain():
    assert called([(at, 3, at, 9) for at in range(10)])[0] == 6


def test_a_worker_that_comes_or_finds_that_nothing_is_due_was_not_called_in_vain():
    assert called([(at, at // 4, at, 9) for at in range(100)]) == []
    assert called([(at, 3, at, 9 if at % 4 else 0) for at in range(100)]) == []
    assert called([*((at, 3, at, 9) for at in range(10)), (10, 4, 10, 9)]) == [6, 7, 8, 9]


def test_one_bell_that_came_to_nothing_is_no_reproach():
    assert called([(at, 3, at > 2, 9) for at in range(100)]) == []


@pytest.mark.parametrize(("rings", "takes", "well"), [(True, False, False), (False, False, True), (True, True, True)])
def test_a_worker_beside_one_that_takes_all_is_unwell_only_if_it_is_called_and_does_not_come(
    monkeypatch, rings, takes, well
):
    """A colleague takes what is first, second by second."""
    hand = Hand()
    monkeypatch.setattr(presences.time, "monotonic", hand)
    # That of the process has what tests before this one did.
    tally = Tally()
    monkeypatch.setattr(presences, "tally", tally)
    settings = Settings(stalled_s=60.0)
    shown = Presence(
        settings,
        pool="threads",
        lanes=["transactions"],
        processes=list,
        leave=lambda: None,
        stop_listening=lambda: None,
    )
    for second in range(110):
        hand.now_s = 100.0 + second
        if rings and second % 2:
            shown.rung()
        if takes and second % 20 == 5:
            tally.idle()
        shown.heard("default", "", {"transactions": f"id-{second}"})
    assert shown.health().live is well
    assert ("work is due that it does not take" in " ".join(shown.health().why)) is not well
