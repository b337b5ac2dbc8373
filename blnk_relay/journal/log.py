"""The log of actions as it is asked for: what the journals keep of it, and behind that what history has.

A journal keeps some ten thousand entries. What is older is in history alone, where there is one; of a journal that is
away history tells what was copied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blnk_relay.errors import HistoryUnavailable, InvalidSettings, JournalUnavailable
from blnk_relay.history.opening import database_of
from blnk_relay.journal.actions import PAGE, Action, Asked, Entry, Kept, Place, as_actions, newest_first, wanted_flow
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import reached
from blnk_relay.journal.status import milliseconds, milliseconds_from, moment

if TYPE_CHECKING:
    from blnk_relay.history.acts import Span
    from blnk_relay.history.values import Acted

#: Pages of history that are read at most for one answer, and for how long: somebody waits for it, and what the journals
#: have is there already.
_MOST_PAGES, _LONGEST_S = 100, 5.0

#: How long after a place the steps of an action that was told before it may lie, and how many of them are looked at.
_STEPS_MS, _STEPS = 30 * 86_400_000, 10_000


@dataclass(frozen=True, slots=True)
class Log:
    """What operators did, newest first.

    Attributes:
        actions: One action however many letters and journals it was about.
        away: Targets whose journals could not be reached: of these it has no more than history does.
        unread: Why history could not be asked for what is older than the journals keep; empty where it was, where
            nothing older is asked for, and where there is none.
    """

    actions: tuple[Action, ...]
    away: tuple[str, ...] = ()
    unread: str = ""


def log_of(journals: Sequence[Journal], asked: Asked, most: int, after: Place | None) -> Log:
    """See :meth:`blnk_relay.Operator.log`.

    Args:
        journals: Whose.
        asked: Which actions.
        most: How many at most.
        after: Behind which place to begin.

    Raises:
        JournalUnavailable: No Redis answered, and neither did a history.
    """
    failure: JournalUnavailable | None = None
    try:
        kept = dict(
            reached(
                journals, lambda journal: journal.drive(wanted_flow(journal.prefix, journal.target, asked, most, after))
            )
        )
    except JournalUnavailable as error:
        kept, failure = {}, error
    away = tuple(journal.target for journal in journals if journal not in kept)
    entries: list[Sequence[Entry]] = [found.entries for found in kept.values()]
    told = as_actions(newest_first(entries), most, after)
    parts = [(journal, kept.get(journal, Kept((), None))) for journal in journals]
    older = [(journal, found) for journal, found in parts if not _reaches(found, told, most)]
    unread = ""
    if older and journals[0].settings.history_url:
        try:
            past, unread = _Past(asked, most, after).read(older)
            entries += past
        except (HistoryUnavailable, InvalidSettings) as error:
            unread = str(error)
            if failure is not None:
                raise failure from None
    elif failure is not None:
        raise failure
    return Log(as_actions(newest_first(entries), most, after), away, unread)


def _reaches(kept: Kept, told: Sequence[Action], most: int) -> bool:
    """Whether a journal has all that could be told."""
    if kept.enough:
        return True
    if kept.oldest is None or len(told) < most or kept.oldest > told[-1].place:
        # Of what is older than the last that has room nothing is told.
        return False
    # But for the steps of an action that goes on there.
    last = kept.entries[-1] if kept.entries else None
    return last is None or not last.mark or last.place != kept.oldest


@dataclass(frozen=True, slots=True)
class _Past:
    """What is asked for of history.

    Attributes:
        asked: Which actions.
        most: How many at most.
        after: Behind which place to begin.
    """

    asked: Asked
    most: int
    after: Place | None

    def read(self, older: Sequence[tuple[Journal, Kept]]) -> tuple[list[list[Entry]], str]:
        """Entries that journals no longer have, and why not all of them were read; empty where they were."""
        settings, end_s = older[0][0].settings, steady_s() + _LONGEST_S
        database = database_of(settings, longest_s=_LONGEST_S)
        try:
            database.id()
            known = database.journals()
            found: list[list[Entry]] = []
            unread = ""
            with database.reading() as connection:
                for journal, kept in older:
                    copied = known.get(f"{settings.namespace}:{journal.target}")
                    if copied is not None:
                        reading = _Reading(self, connection, self._span(copied.number), journal.target, kept.oldest)
                        found.append(reading.entries(end_s))
                        unread = unread or reading.unread
            return found, unread
        finally:
            database.close()

    def _span(self, number: int) -> Span:
        from blnk_relay.history.acts import Span
        from blnk_relay.history.values import indexed

        return Span(
            number,
            since_ms=milliseconds(self.asked.since) if self.asked.since else 0,
            # The next whole one, for what is left out below by the time itself.
            until_ms=milliseconds_from(self.asked.until) if self.asked.until else None,
            who=None if self.asked.who is None else indexed(self.asked.who),
            what=self.asked.what,
        )


@dataclass(slots=True)
class _Reading:
    """What history has of one journal, read page by page.

    Attributes:
        past: What is asked for.
        connection: To the database.
        span: The same as it is asked of the database.
        target: Whose journal it is.
        oldest: Where that ends: all from there on was read of it.
        unread: Why it was not read to the end; empty where it was.
    """

    past: _Past
    connection: Any
    span: Span
    target: str
    oldest: Place | None
    unread: str = ""

    def entries(self, end_s: float) -> list[Entry]:
        """As many as are needed, and of those before the place what says which actions were told."""
        from blnk_relay.history.acts import acts, marked_acts, written_ms

        after, before_ms = self.past.after, None if self.oldest is None else self.oldest.ms + 1
        found: list[Entry] = []
        if after is not None and (before_ms is None or after.ms < before_ms):
            before_ms = after.ms + 1
            found += self._new(marked_acts(self.connection, self.span, before_ms, after.ms + _STEPS_MS, _STEPS))
        names = set[str]()
        for page in range(_MOST_PAGES):
            if page and steady_s() > end_s:
                break
            rows, more = acts(self.connection, self.span, before_ms, PAGE)
            some = self._new(rows)
            found += some
            names.update(entry.name for entry in some if after is None or entry.place < after)
            if not more or len(names) > self.past.most:
                return found
            before_ms = written_ms(rows[-1])
        self.unread = f"more than was read stands in history of target {self.target}; narrow it by time, person or act"
        return found

    def _new(self, rows: Sequence[Acted]) -> list[Entry]:
        """What is asked for, and the journal does not have itself."""
        entries = [_entry(self.target, row) for row in rows]
        return [
            entry
            for entry in entries
            if self.past.asked.fits(entry) and (self.oldest is None or entry.place < self.oldest)
        ]


def _entry(target: str, row: Acted) -> Entry:
    """An entry as it stood in the journal; whatever stands there, the others are read as well."""
    try:
        document = json.loads(row.document)
    except ValueError:
        document = {}
    document = document if isinstance(document, dict) else {}
    texts = {name: str(document.get(name, "")) for name in ("of", "via", "reason", "result", "mark")}
    count = document.get("count", 0)
    return Entry(
        id=row.entry,
        target=target,
        at=moment(row.at_ms),
        what=row.what,
        who=row.who,
        count=count if isinstance(count, int) else 0,
        **texts,
    )
