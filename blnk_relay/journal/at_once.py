"""Reading the sets of a journal in one moment, though their names have to be read first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from blnk_relay.journal.flows import Ask, Flow

#: How often all is read at most, where a lane or a worker is new.
_TRIES = 3

Command = tuple[str | int, ...]


def at_once_flow(
    prefix: str, commands: Callable[[Sequence[str], Sequence[str]], Iterable[Command]], ours: Iterable[str] = ()
) -> Flow[tuple[Sequence[str], Sequence[str], Iterator[Any]]]:
    """Read of all lanes and workers together: what goes from hand to hand between two trips would be met in neither.

    A lane or a worker that is new since their names were read hides nothing: then it is read once more, a few times.

    Args:
        prefix: Of the journal's keys.
        commands: From the lanes and the workers to what is asked.
        ours: Lanes that are asked for in any case.

    Returns:
        The lanes, the workers, and the answers in the order of the commands.
    """
    named = (("SMEMBERS", f"{prefix}lanes"), ("ZRANGE", f"{prefix}workers", 0, -1))
    used, workers = yield Ask(named, whole=False)
    for left in reversed(range(_TRIES)):
        lanes = sorted({*used, *ours})
        answers = iter((yield Ask((*named, *commands(lanes, workers)))))
        used, there = next(answers), next(answers)
        if not left or ({*used} <= {*lanes} and {*there} <= {*workers}):
            break
        workers = there
    return lanes, workers, answers


def has_open_flow(prefix: str) -> Flow[bool]:
    """Whether anything is not over yet, whether it waits, is in somebody's hands, or is looked for."""

    def asked(lanes: Sequence[str], workers: Sequence[str]) -> Iterator[Command]:
        names = ("waiting", "posted", *(f"ready:{lane}" for lane in lanes), *(f"leased:{worker}" for worker in workers))
        yield from (("ZCARD", f"{prefix}{name}") for name in names)

    _, _, numbers = yield from at_once_flow(prefix, asked)
    return any(numbers)
