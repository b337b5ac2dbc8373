"""What lists are narrowed to, as it stands in the address of a page, so that an address can be handed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar, cast, get_args

from blnk_relay import DeadClassName, JournalUnavailable, ListBound, Operator, StateName, Status
from blnk_relay.intents.states import TIMED, UNFINISHED, State
from blnk_relay.journal.pages import ListPlace
from blnk_relay.journal.question import NO_CODE
from blnk_relay.journal.status import milliseconds
from worker.cli.output import stamp
from worker.cli.spans import check_times, read_since, read_time, since_at
from worker.console.asking import BadRequest

T = TypeVar("T")

#: Rows of a page.
PAGE = 50

#: Longest value of a filter.
_MOST_TEXT = 200

#: Intents of a state that a search looks through in each journal while somebody waits.
_MOST_LOOKED = 2_000

STATES: tuple[StateName, ...] = get_args(StateName)
#: Where a list begins; with the newest where it is left out.
ORDERS = ("newest", "oldest")

CLASSES: tuple[str, ...] = tuple(name for name in get_args(DeadClassName) if name)


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that all have to hold.

    Attributes:
        states: Any of these; what is not over and dead letters when empty.
        dead_class: Only letters of this class.
        since: As it was written: a time, or a span back from now.
        until: As it was written, in the same way.
        after: Where the page before has ended: a time and the id of its last row.
        order: ``oldest`` to begin at the other end; empty for the newest.
    """

    states: tuple[StateName, ...] = ()
    kind: str = ""
    code: str = ""
    dead_class: str = ""
    target: str = ""
    since: str = ""
    until: str = ""
    after: str = ""
    order: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Filters:
        """From what stands behind the question mark.

        Raises:
            BadRequest: A value cannot be.
        """
        names = ("kind", "code", "class", "target", "since", "until", "after", "order")
        given = {name: query.get(name, "").strip() for name in names}
        for name, value in given.items():
            if len(value) > _MOST_TEXT:
                raise BadRequest(f"{name} must not be longer than {_MOST_TEXT} characters")
        states = [name for name in query.get("state", "").split(",") if name]
        if wrong := [name for name in states if name not in STATES]:
            raise BadRequest(f"{wrong[0][:_MOST_TEXT]!r} is not a state; there are: {', '.join(STATES)}")
        dead_class = given.pop("class")
        if dead_class and dead_class not in CLASSES:
            raise BadRequest(f"{dead_class!r} is not a class of dead letters; there are: {', '.join(CLASSES)}")
        if given["order"] not in ("", *ORDERS):
            raise BadRequest(f"{given['order']!r} is not an order of a list; there are: {', '.join(ORDERS)}")
        if given["order"] == ORDERS[0]:
            given["order"] = ""
        made = cls(cast("tuple[StateName, ...]", tuple(dict.fromkeys(states))), dead_class=dead_class, **given)
        made.times(datetime.now().astimezone())
        return made

    def query(self, **other: str) -> dict[str, str]:
        """As it stands behind the question mark, with some parts changed; a new list begins at its first page."""
        own = {name: getattr(self, name) for name in ("kind", "code", "target", "since", "until")}
        return {"state": ",".join(self.states), "class": self.dead_class, **own, **other}

    @property
    def named_code(self) -> str | None:
        """The code that is asked for: empty for letters that have none, None where it is not asked for."""
        return "" if self.code == NO_CODE else self.code or None

    @property
    def oldest(self) -> bool:
        """Whether it begins with the oldest; that narrows nothing."""
        return self.order == "oldest"

    @property
    def narrow(self) -> bool:
        """Whether anything is asked for at all."""
        return any(self.query().values())

    @property
    def scope(self) -> bool:
        """Whether it says which letters to act on; a time until when does not by itself, as on the command line."""
        return any((self.kind, self.code, self.dead_class, self.target, self.since))

    def times(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """From when on and until when, seen from now.

        Raises:
            BadRequest: One is neither a time nor a span, or there is nothing between them.
        """
        since, until = (
            since_at(_read(read_since, text, name), now) if text else None
            for name, text in (("since", self.since), ("until", self.until))
        )
        try:
            check_times(since, until, now)
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return since, until

    def place(self) -> ListPlace | None:
        """Behind which row a list goes on.

        Raises:
            BadRequest: It is none.
        """
        if not self.after:
            return None
        at, _, id_ = self.after.partition(" ")
        return ListPlace(milliseconds(_read(read_time, at, "after")), id_)


def _read(reader: Callable[[str], T], text: str, name: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise BadRequest(f"{name}: {error}") from None


def now_or_here(operator: Operator, target: str) -> datetime:
    """The time of the journals; that of this machine where none answers, for history may.

    Args:
        operator: Asks them.
        target: Whose is meant; empty for any.
    """
    try:
        return operator.now(target or None)
    except JournalUnavailable:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a list.

    Attributes:
        rows: What is shown.
        after: Where the next page begins; empty where there is none, or no way to go on but to narrow the list.
        more: Whether there is more than is shown.
        looked: How many of each state were looked through, where that may not be all; else 0.
        away: Targets whose journals could not be reached: nothing of them is in it.
    """

    rows: Sequence[Status]
    after: str = ""
    more: bool = False
    looked: int = 0
    away: Sequence[str] = ()


def listed(operator: Operator, filters: Filters, states: Sequence[StateName] = ()) -> Listed:
    """One page, newest first, or in the order that was asked for.

    Args:
        operator: Lists.
        filters: What is asked for.
        states: Instead of those of the filters.

    Raises:
        NotFound: A filter cannot match anything.
        BadRequest: The place to go on at is not one.
    """
    wanted: Sequence[StateName] = states or filters.states or cast("Sequence[StateName]", UNFINISHED)
    kind, code, target = filters.kind or None, filters.named_code, filters.target or None
    operator.check_filters(wanted, kind=kind, code=code, target=target)
    since, until = filters.times(operator.now(target))
    timed = len(wanted) == 1 and State(wanted[0]) in TIMED
    place = filters.place() if timed else None
    bound = ListBound(most=_MOST_LOOKED)
    found = operator.listed_together(
        wanted,
        most=PAGE + 1,
        kind=kind,
        code=code,
        dead_class=filters.dead_class or None,
        target=target,
        since=since,
        until=until,
        oldest_first=filters.oldest,
        bound=bound,
        after=place,
    )
    rows, more = found[:PAGE], len(found) > PAGE
    last = rows[-1] if rows else None
    after = f"{stamp(last.updated)} {last.id}" if timed and more and last and last.updated else ""
    # Letters are found by their cause; all else is looked through.
    narrow = filters.kind or filters.code or filters.dead_class or (not timed and (since or until))
    partly = narrow and not more and any(state != "dead" for state in wanted)
    return Listed(rows, after, more, _MOST_LOOKED if partly else 0, tuple(bound.away))
