"""What goes to Redis and back, told apart from how: flows are generators of trips, driven by a client or an async one.

A flow decides nothing about sockets: it yields a trip, is sent the answer, and returns its result. So the library and
its async counterpart share every line that means something.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """Run one of our scripts.

    Attributes:
        name: Which.
        args: Its arguments.
        wait: A WAIT or WAITAOF command to send behind it on the same connection; its answer, or the exception that
            it met, comes back beside the script's. Empty for none.
    """

    name: str
    args: tuple[str | int, ...]
    wait: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Send plain commands together; their answers come back as a list.

    Attributes:
        commands: They are one transaction, so that an intent which is being trimmed is seen whole or not at all.
        whole: Unless this is false, because nothing has to fit together.
    """

    commands: tuple[tuple[str | int, ...], ...]
    whole: bool = True


Trip = Run | Ask

#: A generator of trips that returns a T.
Flow = Generator[Trip, Any, T]


def run_flow(name: str, *args: str | int) -> Flow[Any]:
    """One script, and its answer as it is."""
    return (yield Run(name, args))


def ask_flow(*command: str | int) -> Flow[Any]:
    """One plain command, and its answer as it is."""
    [answer] = yield Ask((command,))
    return answer


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items, for a trip each; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
