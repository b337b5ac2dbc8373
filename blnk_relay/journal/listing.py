"""Lists of intents by state: the journal's sorted sets page by page, in order, with a bound on what is held.

A page is a list of ids. Time limits are left to Redis where the score of a set is the time at which an intent came into
its state; elsewhere they are for the reader of the statuses.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from itertools import chain, islice, repeat
from typing import Any, TypeVar

from blnk_relay.errors import NotFound
from blnk_relay.intents.states import LETTERS, TIMED, State, StateName
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.flows import ask_flow, batched, run_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.status import Status, letters_flow, milliseconds_from, statuses_flow
from blnk_relay.kinds.registry import KINDS

T = TypeVar("T")

#: Intents read in full in one trip, and letters read for a plan.
_CHUNK, _LETTERS = 50, 100

#: "dead|<kind>|<class>|<code>" in the counters.
_DEATH_PARTS = 4

#: Most names listed where one was not known.
_MOST_NAMED = 30

#: Ids in a page, and in the first one: most lists end there.
PAGE, FIRST_PAGE = 500, 125

#: Intents that fit not, after which a list that no index answers ends; a fraction of a second of somebody's time.
MOST_MISSED = 2_000


@dataclass(frozen=True, slots=True)
class CutShort:
    """Where a list ended early.

    Attributes:
        target: In whose journal.
        looked: How many intents it looked at, the first in its order.
        there: How many it would have had to look at.
    """

    target: str
    looked: int
    there: int


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A place in a list of a state that is in the order of time: exact, however many came into it at one moment.

    Attributes:
        ms: Milliseconds since 1970 of the time by which the intent there is listed.
        id: Its id; those of one moment are in the order of their ids.
    """

    ms: int
    id: str


@dataclass(slots=True)
class ListBound:
    """How far a list looks for intents that fit, and where that was not to the end.

    Letters are kept by their cause, and all that is over by its time: of these what fits is found at once. Of what is
    open nothing leads to a kind, a code or a time, so each intent is looked at, and somebody waits for it meanwhile.

    Attributes:
        most: So many of each journal may turn out not to fit; None to look at all of them, however many there are.
        step: Told how many more were looked at.
        cut: The journals in which it ended early; complete once the list has ended.
        away: Targets of the journals that did not answer, or not to the end: nothing more of them is in the list.
            Known of all once the list has begun, but for those that go away meanwhile.
    """

    most: int | None = MOST_MISSED
    step: Callable[[int], None] = lambda _: None
    cut: list[CutShort] = field(default_factory=list)
    away: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to."""

    state: StateName
    kind: str | None
    code: str | None
    since: datetime | None
    until: datetime | None
    dead_class: str | None = None

    @property
    def narrow(self) -> bool:
        """Whether it is worth to look at few fields of many intents before reading some in full."""
        # Those that were cancelled stand among those that are done.
        given = (self.kind, self.code, self.since, self.until, self.dead_class)
        return self.state == "cancelled" or any(item is not None for item in given)

    def fields(self) -> Mapping[str, str]:
        """Fields that must have a value."""
        wanted = {"state": self.state, "kind": self.kind, "code": self.code, "class": self.dead_class}
        return {name: value for name, value in wanted.items() if value is not None}

    def those_of(self, statuses: Iterable[Status | None]) -> Iterator[Status]:
        """Those that fit; what has changed since its id was read no longer does."""
        return (status for status in statuses if status is not None and self.fits(status))

    def fits(self, status: Status) -> bool:
        """Whether one does."""
        if status.state != self.state:
            return False
        if self.kind not in (None, status.kind) or self.code not in (None, status.code):
            return False
        if self.dead_class not in (None, status.dead_class):
            return False
        changed = status.updated
        return not (changed and ((self.since and changed < self.since) or (self.until and changed >= self.until)))


def of_state(state: StateName) -> Wanted:
    """All that is in a state."""
    return Wanted(state, None, None, None, None)


def expect(what: str, given: str, known: set[str]) -> None:
    """Refuse a name that is none, with the one that was meant or those that there are; a code may be empty."""
    if given in known:
        return
    close = get_close_matches(given.lower(), {name.lower(): name for name in known}, 1)
    meant = next((name for name in known if close and name.lower() == close[0]), "")
    names = sorted(name or NO_CODE for name in known)
    there = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "") or "none"
    known_as = f"did you mean {meant!r}?" if meant else f"there are: {there}"
    raise NotFound(f"no {what} is {given or NO_CODE!r}; {known_as}")


@dataclass(frozen=True, slots=True)
class Known:
    """Kinds that were ever enqueued or died, and codes that letters ever died of."""

    kinds: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()


def check_filters(known: Iterable[Known], states: Sequence[str], *, kind: str | None, code: str | None) -> None:
    """See :meth:`blnk_relay.Operator.check_filters`.

    Args:
        known: Of each journal that is listed.
        states: The states that are listed.
        kind: A kind, or None.
        code: A code, or None.
    """
    there = list(known)
    if kind is not None:
        expect("kind", kind, {*KINDS, *(name for one in there for name in one.kinds)})
    if code is not None and LETTERS.issuperset(states):
        codes = {name for one in there for name in one.codes}
        # The one code that letters get after their death, and uncounted.
        expect("code among the dead letters", code, {*codes, "DEPENDENCY_CLOSED"} if codes else codes)


class Listing:
    """Lists intents of one journal.

    Args:
        journal: Whose.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._prefix = journal.prefix

    def listed(
        self, wanted: Wanted, *, key: str | None, oldest_first: bool, bound: ListBound, after: ListPlace | None = None
    ) -> Iterator[tuple[float, Status]]:
        """See :meth:`blnk_relay.Operator.listed`; each with the score that it is listed by."""
        if key is not None:
            for status in wanted.those_of(self._read((id_of(self._journal.target, key), key))):
                yield 0.0, status
            return
        looked = missed = 0
        for page in self.pages(wanted, oldest_first=oldest_first, after=after):
            if bound.most is not None and missed >= bound.most:
                bound.cut.append(CutShort(self._journal.target, looked, max(looked, self.number(wanted))))
                return
            scores, fit = dict(page), 0
            ids = self._matching(list(scores), wanted) if wanted.narrow else list(scores)
            bound.step(len(scores))
            for chunk in batched(ids, _CHUNK):
                for status in wanted.those_of(self._read(chunk)):
                    fit += 1
                    yield scores[status.id], status
            looked, missed = looked + len(scores), missed + len(scores) - fit

    def letters(self, wanted: Wanted, step: Callable[[int], None]) -> Iterator[tuple[float, Status, str]]:
        """Dead letters for a plan of many, the oldest first: each with its score, and what it is worth.

        Args:
            wanted: Which.
            step: Told how many more were looked at.
        """
        sets = self._sets(wanted)
        # Where each letter is accounted for by its cause, what stands there is what is asked for.
        sifted = wanted.narrow and sets == [wanted.state]
        for page in self.pages(wanted, oldest_first=True, sets=sets):
            scores = dict(page)
            step(len(scores))
            for ids in batched(self._matching(list(scores), wanted) if sifted else scores, _LETTERS):
                flow = letters_flow(self._journal.seal, self._journal.target, ids)
                for status, worth in self._journal.drive(flow):
                    if status is not None and wanted.fits(status):
                        yield scores[status.id], status, worth

    def number(self, wanted: Wanted) -> int:
        """How many intents :meth:`pages` would give."""
        lowest, beyond = self._limits(wanted)
        limits = (lowest, beyond if beyond == "+inf" else f"({beyond}")
        sets = [f"{self._prefix}{name}" for name in self._sets(wanted)]
        return sum(self._ask("ZCOUNT", name, *limits) for name in sets)

    def ids(self, state: StateName) -> Iterator[list[str]]:
        """Ids of the intents that may be in a state, page by page, the oldest first."""
        for page in self.pages(of_state(state), oldest_first=True):
            yield [id_ for id_, _ in page]

    def known(self) -> Known:
        """What filters may ask for here."""
        parts = [name.split("|", _DEATH_PARTS - 1) for name in self._ask("HKEYS", f"{self._prefix}counts")]
        return Known(
            kinds=frozenset(part[1] for part in parts if part[0] in ("accepted", "dead")),
            codes=frozenset(part[3] for part in parts if part[0] == "dead" and len(part) == _DEATH_PARTS),
        )

    def _ask(self, *command: str | int) -> Any:
        return self._journal.drive(ask_flow(*command))

    def _read(self, ids: Sequence[str]) -> list[Status | None]:
        return self._journal.drive(statuses_flow(self._prefix, self._journal.seal, self._journal.target, ids))

    def pages(
        self,
        wanted: Wanted,
        *,
        oldest_first: bool,
        after: ListPlace | None = None,
        sets: Sequence[str] | None = None,
    ) -> Iterator[list[tuple[str, float]]]:
        """Ids and scores of the intents that may be in a state, by the scores of its sets, and those of one by its id.

        Args:
            wanted: What the list is narrowed to.
            oldest_first: The other way round.
            after: Where it goes on.
            sets: The sets, where they are known.

        Yields:
            Pages that are not empty. What leaves the sets meanwhile makes none pass over another.
        """
        limits = self._limits(wanted)
        names = self._sets(wanted) if sets is None else sets
        members = [self._members(name, limits, oldest_first=oldest_first, after=after) for name in names]
        merged = heapq.merge(*members, key=lambda member: (member[1], member[0]), reverse=not oldest_first)
        for size in _sizes():
            page = list(islice(merged, size))
            if not page:
                return
            yield page

    def _matching(self, ids: Sequence[str], wanted: Wanted) -> list[str]:
        """Those of a page whose fields have the wanted values now, and that changed within the wanted times."""
        fields = [text for pair in wanted.fields().items() for text in pair]
        limits = _limits(wanted.since, wanted.until)
        return self._journal.drive(run_flow("matching", *limits, len(wanted.fields()), *fields, *ids))

    @staticmethod
    def _limits(wanted: Wanted) -> tuple[str, str]:
        """Lowest score, and the first that is too high."""
        return _limits(wanted.since, wanted.until) if wanted.state in TIMED else _limits(None, None)

    def _sets(self, wanted: Wanted) -> list[str]:
        """Names of the sets that hold what is wanted, and perhaps more."""
        state: str = wanted.state
        if state == State.DEAD and any(item is not None for item in (wanted.kind, wanted.code, wanted.dead_class)):
            from blnk_relay.journal.causes import counted_flow, fits

            counted = self._journal.drive(counted_flow(self._prefix))
            if counted.uncounted == 0:
                fitting = [name for name in counted.letters if fits(name, wanted.kind, wanted.dead_class, wanted.code)]
                return [f"letters:{name}" for name in sorted(fitting)]
        if state == State.READY:
            return [f"ready:{lane}" for lane in sorted(self._ask("SMEMBERS", f"{self._prefix}lanes"))]
        if state == State.SENDING:
            workers = self._ask("ZRANGE", f"{self._prefix}workers", 0, -1)
            return [f"leased:{worker}" for worker in workers]
        return [State.DONE if state == State.CANCELLED else state]

    def _members(
        self, name: str, limits: tuple[str, str], *, oldest_first: bool, after: ListPlace | None
    ) -> Iterator[tuple[str, float]]:
        """Ids of one set and their scores."""
        score, member = (str(after.ms), after.id) if after else ("", "")
        for size in _sizes():
            ask = run_flow("page", name, "0" if oldest_first else "1", *limits, score, member, size)
            flat = self._journal.drive(ask)
            if not flat:
                return
            for id_, at in zip(flat[::2], flat[1::2], strict=True):
                yield id_, float(at)
            member, score = flat[-2:]


def recount(journal: Journal) -> int:
    """See :meth:`blnk_relay.Operator.recount`."""
    counted: int = journal.scripts.run("recount", "drop")
    for ids in Listing(journal).ids("dead"):
        counted = journal.scripts.run("recount", "join", *ids)
    return counted


def _sizes() -> Iterator[int]:
    """Sizes of pages: the first two are one, so that what is looked at in vain comes to whole pages."""
    return chain((FIRST_PAGE, PAGE - FIRST_PAGE), repeat(PAGE))


def _limits(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    return str(milliseconds_from(since)) if since else "-inf", str(milliseconds_from(until)) if until else "+inf"
