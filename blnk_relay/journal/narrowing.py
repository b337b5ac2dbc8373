"""What a list of intents is narrowed to, and what no list can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from blnk_relay.errors import NotFound
from blnk_relay.intents.states import LETTERS, StateName
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.status import Status
from blnk_relay.kinds.registry import KINDS

#: Most names listed where one was not known.
_MOST_NAMED = 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed to.

    Attributes:
        state: The one that is listed.
        kind: None for any, as in what follows.
        code: Of the last answer.
        since: Not before this time.
        until: Before this time.
        dead_class: Of letters.
        beside: States that are listed beside this one: what has gone on to one of them since its id was read is none
            the less asked for.
    """

    state: StateName
    kind: str | None
    code: str | None
    since: datetime | None
    until: datetime | None
    dead_class: str | None = None
    beside: frozenset[str] = frozenset()

    @property
    def narrow(self) -> bool:
        """Whether it is worth to look at few fields of many intents before reading some in full."""
        # Those that were cancelled stand among those that are done.
        given = (self.kind, self.code, self.since, self.until, self.dead_class)
        return self.state == "cancelled" or any(item is not None for item in given)

    def fields(self) -> Mapping[str, str]:
        """Fields that must have a value."""
        # Those that were cancelled are few among those that are done, and stay what they are.
        state = self.state if not self.beside or self.state == "cancelled" else None
        wanted = {"state": state, "kind": self.kind, "code": self.code, "class": self.dead_class}
        return {name: value for name, value in wanted.items() if value is not None}

    def those_of(self, statuses: Iterable[Status | None]) -> Iterator[Status]:
        """Those that fit; what has changed since its id was read no longer does."""
        return (status for status in statuses if status is not None and self.fits(status))

    def fits(self, status: Status) -> bool:
        """Whether one does."""
        if status.state != self.state and status.state not in self.beside:
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
