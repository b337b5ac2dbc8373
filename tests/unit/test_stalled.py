"""When a worker counts as stalled: bells wait, and it takes none."""

from __future__ import annotations

from worker.watch import Watch


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
