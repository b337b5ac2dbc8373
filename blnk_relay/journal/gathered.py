"""What is read of several journals: of those that answered, and which did not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, TypeVar

T = TypeVar("T")


class Gathered(tuple[T, ...]):  # noqa: SLOT001 - one of a tuple has room for no attribute
    """What is read of all journals that answered, as a tuple; an empty one with ``away`` says that nobody knows.

    Attributes:
        away: Targets of the journals that could not be reached: nothing of them is in it.

    Example:
        >>> jobs = Gathered(["5f0c2a91"], away=["eu"])
        >>> jobs, jobs.away
        (('5f0c2a91',), ('eu',))
    """

    away: tuple[str, ...]

    def __new__(cls, found: Iterable[T] = (), away: Iterable[str] = ()) -> Self:
        """Take what was found."""
        made = super().__new__(cls, found)
        made.away = tuple(away)
        return made
