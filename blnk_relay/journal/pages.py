"""The sorted sets of a journal in which the ids of a state stand, page by page, in order.

Time limits are left to Redis where the score of a set is the time at which an intent came into its state; elsewhere
they are for the reader of the statuses.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice, repeat
from typing import Any

from blnk_relay.intents.states import TIMED, StateName
from blnk_relay.journal.at_once import Command, at_once_flow
from blnk_relay.journal.flows import ask_flow, run_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.narrowing import Wanted
from blnk_relay.journal.status import milliseconds_from

#: Ids with the scores that they are listed by.
Page = Sequence[tuple[str, float]]

#: Sets of ids by their names; each with its first page, where that was read.
Begun = Mapping[str, Page | None]

#: Ids in a page, and in the first one: most lists end there.
PAGE, FIRST_PAGE = 500, 125

#: How the names of the sets begin that hold letters by their cause.
_BY_CAUSE = "letters:"

#: How often the first pages of several states are read at most, where letters have a cause that is new.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A place in a list of a state that is in the order of time: exact, however many came into it at one moment.

    Attributes:
        ms: Milliseconds since 1970 of the time by which the intent there is listed.
        id: Its id; those of one moment are in the order of their ids.
    """

    ms: int
    id: str


class Pages:
    """The ids of one journal by state.

    Args:
        journal: Whose.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._prefix = journal.prefix

    def of(
        self,
        wanted: Wanted,
        *,
        oldest_first: bool,
        after: ListPlace | None = None,
        sets: Begun | None = None,
    ) -> Iterator[Page]:
        """Ids and scores of the intents that may be in a state, by the scores of its sets, and those of one by its id.

        Args:
            wanted: What the list is narrowed to.
            oldest_first: The other way round.
            after: Where it goes on.
            sets: The sets where they are known, and the first page of those of which it was read.

        Yields:
            Pages that are not empty. What leaves the sets meanwhile makes none pass over another.
        """
        known = self.sets(wanted) if sets is None else sets
        last = after
        for page in self._of(wanted, known, oldest_first=oldest_first, after=after):
            last = ListPlace(int(page[-1][1]), page[-1][0])
            yield page
        if any(name.startswith(_BY_CAUSE) for name in known):
            # While what is kept by cause is made anew, a letter stands in no list of its cause.
            causes = self._causes(wanted)
            rest = ["dead"] if causes is None else causes
            yield from self._of(wanted, dict.fromkeys(rest), oldest_first=oldest_first, after=last)

    def _of(self, wanted: Wanted, sets: Begun, *, oldest_first: bool, after: ListPlace | None) -> Iterator[Page]:
        within = _limits_of(wanted)
        members = [
            self._members(name, within, oldest_first=oldest_first, after=after, first=first)
            for name, first in sets.items()
        ]
        merged = heapq.merge(*members, key=lambda member: (member[1], member[0]), reverse=not oldest_first)
        for size in _sizes():
            page = list(islice(merged, size))
            if not page:
                return
            yield page

    def number(self, wanted: Wanted) -> int:
        """How many intents :meth:`of` would give."""
        lowest, beyond = _limits_of(wanted)
        within = (lowest, beyond if beyond == "+inf" else f"({beyond}")
        return sum(self._ask("ZCOUNT", f"{self._prefix}{name}", *within) for name in self._sets(wanted))

    def sets(self, wanted: Wanted) -> Begun:
        """The sets that hold what is wanted, and perhaps more; no page of them."""
        return dict.fromkeys(self._sets(wanted))

    def begun(self, each: Sequence[Wanted], *, oldest_first: bool) -> list[Begun]:
        """The sets of several states and their first pages, read in one moment.

        What goes from one state to another between two trips would be met in neither; what goes on behind the first
        pages is none the less read page by page.

        Args:
            each: Of each state what is wanted.
            oldest_first: The other way round.

        Returns:
            Of each the sets, with their first pages.
        """
        for _ in range(_TRIES):
            known = [self._causes(wanted) for wanted in each]
            found, causes = self._begun(each, known, oldest_first=oldest_first)
            # One that died meanwhile of what nobody had died of.
            if all(
                those is None or {*those} >= {*_fitting(causes, one)} for one, those in zip(each, known, strict=True)
            ):
                break
        return found

    def _begun(
        self, each: Sequence[Wanted], known: Sequence[list[str] | None], *, oldest_first: bool
    ) -> tuple[list[Begun], Sequence[str]]:
        """The sets with their first pages, and the causes that there are."""

        def sets(lanes: Sequence[str], workers: Sequence[str]) -> Iterator[tuple[Wanted, list[str]]]:
            for wanted, causes in zip(each, known, strict=True):
                yield wanted, _sets_of(wanted.state, lanes, workers) if causes is None else causes

        def commands(lanes: Sequence[str], workers: Sequence[str]) -> Iterator[Command]:
            yield ("SMEMBERS", f"{self._prefix}causes")
            for wanted, names in sets(lanes, workers):
                yield from (self._first(name, _limits_of(wanted), oldest_first=oldest_first) for name in names)

        lanes, workers, answers = self._journal.drive(at_once_flow(self._prefix, commands))
        causes = next(answers)
        return [{name: next(answers) for name in names} for _, names in sets(lanes, workers)], causes

    def _first(self, name: str, within: tuple[str, str], *, oldest_first: bool) -> Command:
        """What the script ``page`` would read at the beginning, as a plain command."""
        lowest, beyond = within[0], within[1] if within[1] == "+inf" else f"({within[1]}"
        ends = (lowest, beyond, "BYSCORE") if oldest_first else (beyond, lowest, "BYSCORE", "REV")
        return ("ZRANGE", f"{self._prefix}{name}", *ends, "LIMIT", 0, FIRST_PAGE, "WITHSCORES")

    def _causes(self, wanted: Wanted) -> list[str] | None:
        """The sets of letters that are accounted for by a cause that is wanted; None where they do not tell."""
        if wanted.state != "dead" or all(item is None for item in (wanted.kind, wanted.code, wanted.dead_class)):
            return None
        from blnk_relay.journal.causes import counted_flow

        counted = self._journal.drive(counted_flow(self._prefix))
        return _fitting(counted.letters, wanted) if counted.uncounted == 0 else None

    def _ask(self, *command: str | int) -> Any:
        return self._journal.drive(ask_flow(*command))

    def _sets(self, wanted: Wanted) -> list[str]:
        if (causes := self._causes(wanted)) is not None:
            return causes
        lanes = self._ask("SMEMBERS", f"{self._prefix}lanes") if wanted.state == "ready" else ()
        workers = self._ask("ZRANGE", f"{self._prefix}workers", 0, -1) if wanted.state == "sending" else ()
        return _sets_of(wanted.state, sorted(lanes), workers)

    def _members(
        self,
        name: str,
        within: tuple[str, str],
        *,
        oldest_first: bool,
        after: ListPlace | None,
        first: Page | None,
    ) -> Iterator[tuple[str, float]]:
        """Ids of one set and their scores."""
        score, member = (str(after.ms), after.id) if after else ("", "")
        for size in _sizes():
            if first is not None:
                page, first = first, None
            else:
                ask = run_flow("page", name, "0" if oldest_first else "1", *within, score, member, size)
                flat = self._journal.drive(ask)
                page = [(id_, float(at)) for id_, at in zip(flat[::2], flat[1::2], strict=True)]
            yield from page
            if not page:
                return
            member, score = page[-1][0], str(page[-1][1])


def _sets_of(state: StateName, lanes: Iterable[str], workers: Iterable[str]) -> list[str]:
    """Names of the sets that hold what is in a state."""
    if state == "ready":
        return [f"ready:{lane}" for lane in lanes]
    if state == "sending":
        return [f"leased:{worker}" for worker in workers]
    return ["done" if state == "cancelled" else state]


def _fitting(causes: Iterable[str], wanted: Wanted) -> list[str]:
    """Sets of letters of the causes that are wanted."""
    from blnk_relay.journal.causes import fits

    named = (name for name in causes if fits(name, wanted.kind, wanted.dead_class, wanted.code))
    return [f"{_BY_CAUSE}{name}" for name in sorted(named)]


def _sizes() -> Iterator[int]:
    """Sizes of pages: the first two are one, so that what is looked at in vain comes to whole pages."""
    return chain((FIRST_PAGE, PAGE - FIRST_PAGE), repeat(PAGE))


def _limits_of(wanted: Wanted) -> tuple[str, str]:
    """Lowest score, and the first that is too high."""
    return limits(wanted.since, wanted.until) if wanted.state in TIMED else limits(None, None)


def limits(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    """Lowest score, and the first that is too high."""
    return str(milliseconds_from(since)) if since else "-inf", str(milliseconds_from(until)) if until else "+inf"
