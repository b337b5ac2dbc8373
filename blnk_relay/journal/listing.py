"""Lists of intents by state: the journal's sorted sets page by page, in order, with a bound on what is held.

A page is a list of ids. Time limits are left to Redis where the score of a set is the time at which an intent came into
its state; elsewhere they are for the reader of the statuses.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from itertools import islice
from typing import Any, TypeVar

from blnk_relay.errors import NotFound
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import LETTERS, TIMED, State, StateName
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.flows import ask_flow, run_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.status import Status, statuses_flow
from blnk_relay.kinds.registry import KINDS

T = TypeVar("T")

#: Intents read in full in one trip.
_CHUNK = 50

#: "dead|<kind>|<class>|<code>" in the counters.
_DEATH_PARTS = 4

#: Most names listed where one was not known.
_MOST_NAMED = 30

#: Ids in a page.
PAGE = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to."""

    state: StateName
    kind: str | None
    code: str | None
    since: datetime | None
    until: datetime | None
    target: str | None

    @property
    def narrow(self) -> bool:
        """Whether it is worth to look at few fields of many intents before reading some in full."""
        return any(item is not None for item in (self.kind, self.code, self.since, self.until, self.target))

    def fields(self) -> Mapping[str, str]:
        """Fields that must have a value."""
        wanted = {"state": self.state, "kind": self.kind, "code": self.code, "target": self.target}
        return {name: value for name, value in wanted.items() if value is not None}

    def those_of(self, statuses: Iterable[Status | None]) -> Iterator[Status]:
        """Those that fit; what has changed since its id was read no longer does."""
        for status in statuses:
            if status is None or status.state != self.state:
                continue
            if self.kind not in (None, status.kind) or self.code not in (None, status.code):
                continue
            if self.target not in (None, status.target):
                continue
            changed = status.updated
            if changed and ((self.since and changed < self.since) or (self.until and changed >= self.until)):
                continue
            yield status


def _expect(what: str, given: str, known: set[str]) -> None:
    """Refuse a name that is none, with the one that was meant or those that there are."""
    if given in known:
        return
    close = get_close_matches(given.lower(), {name.lower(): name for name in known}, 1)
    meant = next((name for name in known if close and name.lower() == close[0]), "")
    names = sorted(known)
    there = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "") or "none"
    raise NotFound(f"no {what} is {given!r}; " + (f"did you mean {meant!r}?" if meant else f"there are: {there}"))


class Listing:
    """Lists intents.

    Args:
        journal: Whose.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._prefix = journal.settings.prefix

    def listed(self, wanted: Wanted, *, key: str | None, oldest_first: bool) -> Iterator[Status]:
        """See :meth:`blnk_relay.Operator.listed`."""
        if key is not None:
            yield from wanted.those_of(self._read((id_of(wanted.target or DEFAULT_TARGET, key), key)))
            return
        for page in self._pages(wanted, oldest_first=oldest_first):
            ids = self._matching(page, wanted) if wanted.narrow else page
            for chunk in batched(ids, _CHUNK):
                yield from wanted.those_of(self._read(chunk))

    def check(self, states: Sequence[str], *, kind: str | None, code: str | None, target: str | None) -> None:
        """See :meth:`blnk_relay.Operator.check_filters`."""
        counts = self._ask("HKEYS", f"{self._prefix}counts") if kind or code else ()
        queues = self._ask("SMEMBERS", f"{self._prefix}queues") if target else ()
        parts = [name.split("|", _DEATH_PARTS - 1) for name in counts]
        if kind is not None:
            kinds = {*KINDS, *(part[1] for part in parts if part[0] in ("accepted", "dead"))}
            _expect("kind", kind, kinds)
        if target is not None:
            known = {*self._journal.settings.ledgers, *(queue.partition("|")[2] for queue in queues)}
            _expect("target", target, known)
        if code is not None and LETTERS.issuperset(states):
            codes = {part[3] for part in parts if part[0] == "dead" and len(part) == _DEATH_PARTS}
            # The one code that letters get after their death, and uncounted.
            _expect("code among the dead letters", code, {*codes, "DEPENDENCY_CLOSED"} if codes else codes)

    def _ask(self, *command: str | int) -> Any:
        return self._journal.drive(ask_flow(*command))

    def _read(self, ids: Sequence[str]) -> list[Status | None]:
        return self._journal.drive(statuses_flow(self._prefix, ids))

    def _pages(self, wanted: Wanted, *, oldest_first: bool) -> Iterator[list[str]]:
        """Ids of the intents that may be in a state, by the scores of its sets.

        Yields:
            Pages that are not empty. What leaves the sets meanwhile makes none pass over another.
        """
        limits = _limits(wanted.since, wanted.until) if wanted.state in TIMED else _limits(None, None)
        sets = self._sets(wanted.state, wanted.target)
        members = [self._members(name, limits, oldest_first=oldest_first) for name in sets]
        merged = heapq.merge(*members, key=lambda member: member[1], reverse=not oldest_first)
        return batched((id_ for id_, _ in merged), PAGE)

    def _matching(self, ids: Sequence[str], wanted: Wanted) -> list[str]:
        """Those of a page whose fields have the wanted values now, and that changed within the wanted times."""
        fields = [text for pair in wanted.fields().items() for text in pair]
        limits = _limits(wanted.since, wanted.until)
        return self._journal.drive(run_flow("matching", *limits, len(wanted.fields()), *fields, *ids))

    def _sets(self, state: str, target: str | None) -> list[str]:
        """Names of the sets that hold the intents of a state."""
        if state == State.READY:
            queues = self._ask("SMEMBERS", f"{self._prefix}queues")
            return [f"ready:{queue}" for queue in sorted(queues) if target in (None, queue.partition("|")[2])]
        if state == State.SENDING:
            workers = self._ask("ZRANGE", f"{self._prefix}workers", 0, -1)
            return [f"leased:{worker}" for worker in workers]
        return [State.DONE if state == State.CANCELLED else state]

    def _members(self, name: str, limits: tuple[str, str], *, oldest_first: bool) -> Iterator[tuple[str, float]]:
        """Ids of one set and their scores."""
        score, member = "", ""
        while True:
            ask = run_flow("page", name, "0" if oldest_first else "1", *limits, score, member, PAGE)
            flat = self._journal.drive(ask)
            if not flat:
                return
            for id_, at in zip(flat[::2], flat[1::2], strict=True):
                yield id_, float(at)
            member, score = flat[-2:]


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items; the last one may be shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _limits(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    return _ms(since) if since else "-inf", _ms(until) if until else "+inf"


def _ms(moment: datetime) -> str:
    """The first whole millisecond that is not before a time."""
    return str(-((_EPOCH - moment) // timedelta(milliseconds=1)))
