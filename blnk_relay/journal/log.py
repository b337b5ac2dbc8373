"""The log of actions as it is asked for: what the journals keep of it, and behind that what history has.

A journal keeps some ten thousand entries. What is older is in history alone, where there is one; of a journal that is
away history tells what was copied.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from blnk_relay.errors import HistoryUnavailable, InvalidSettings, JournalUnavailable
from blnk_relay.history.opening import database_of
from blnk_relay.journal.actions import PAGE, Action, Asked, Entry, Kept, Place, as_actions, newest_first, wanted_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import reached
from blnk_relay.journal.status import milliseconds, milliseconds_from, moment

if TYPE_CHECKING:
    from blnk_relay.history.acts import Span
    from blnk_relay.history.values import Acted

#: Pages of history that are read at most for one answer.
_MOST_PAGES = 100

#: How long after a place the steps of an action that was told before it may lie, and how many of them are looked at.
_STEPS_MS, _STEPS = 3_600_000, 2_000


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
    # Of what is older than the last that has room nothing is told.
    last = told[-1].place if len(told) == most else None
    parts = [(journal, kept.get(journal, Kept((), None))) for journal in journals]
    older = [(journal, found) for journal, found in parts if not _reaches(found, last)]
    unread = ""
    if older and journals[0].settings.history_url:
        try:
            entries += _Past(asked, most, after).read(older)
        except (HistoryUnavailable, InvalidSettings) as error:
            unread = str(error)
    elif failure is not None:
        raise failure
    if failure is not None and unread:
        raise failure
    return Log(as_actions(newest_first(entries), most, after), away, unread)


def _reaches(kept: Kept, last: Place | None) -> bool:
    """Whether a journal has all that could be told."""
    return kept.enough or (last is not None and kept.oldest is not None and kept.oldest <= last)


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

    def read(self, older: Sequence[tuple[Journal, Kept]]) -> list[list[Entry]]:
        """Entries that journals no longer have, of each journal newest first."""
        settings = older[0][0].settings
        database = database_of(settings)
        try:
            database.id()
            known = database.journals()
            found: list[list[Entry]] = []
            with database.reading() as connection:
                for journal, kept in older:
                    copied = known.get(f"{settings.namespace}:{journal.target}")
                    if copied is not None:
                        span = self._span(copied.number)
                        found.append(self._of_journal(connection, journal.target, span, kept.oldest))
            return found
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

    def _of_journal(self, connection: Any, target: str, span: Span, oldest: Place | None) -> list[Entry]:
        from blnk_relay.history.acts import acts, acts_after

        def new(rows: Sequence[Acted]) -> list[Entry]:
            entries = [_entry(target, row) for row in rows]
            return [entry for entry in entries if self.asked.fits(entry) and (oldest is None or entry.place < oldest)]

        after, begin_ms = self.after, None if oldest is None else oldest.ms
        found: dict[str, Entry] = {}
        if after is not None and (begin_ms is None or after.ms < begin_ms):
            begin_ms = after.ms
            # What was told by the pages before this one is known by what stands just before it.
            soon = acts_after(connection, span, after.ms, within_ms=_STEPS_MS, most=_STEPS)
            found |= {entry.id: entry for entry in new(soon)}
        names, met = set[str](), list[str]()
        page = min(PAGE, self.most + 1)
        for _ in range(_MOST_PAGES):
            rows = acts(connection, replace(span, before_ms=begin_ms), most=page, met=met)
            some = new(rows)
            found |= {entry.id: entry for entry in some}
            names.update(entry.name for entry in some if after is None or entry.place < after)
            if len(rows) < page or len(names) > self.most:
                break
            last_ms = rows[-1].at_ms
            met = [row.entry for row in rows if row.at_ms == last_ms] + (met if last_ms == begin_ms else [])
            begin_ms = last_ms
        return list(found.values())


def _entry(target: str, row: Acted) -> Entry:
    """An entry as it stood in the journal; what a version after this one adds to it is passed over."""
    document = json.loads(row.document)
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
