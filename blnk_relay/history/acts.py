"""What operators did, as history has it: entry by entry, in the order in which the journal wrote them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.values import Acted

#: Entries of one millisecond that are read at most.
_MOST_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Span:
    """Which acts of a journal are read.

    An entry is known by when it was written: its id begins with that millisecond, which never goes back, and is never
    before the time of the act.

    Attributes:
        journal: Its number.
        since_ms: Only acts at or after this time.
        until_ms: Only acts before this time; None for any.
        who: Only by this person; None for anybody.
        what: Only of these sorts; None for any.
    """

    journal: int
    since_ms: int = 0
    until_ms: int | None = None
    who: str | None = None
    what: Collection[str] | None = None

    def conditions(self) -> list[Any]:
        """The same as conditions of a statement."""
        columns = schema.actions.c
        found: list[Any] = [columns.journal == self.journal]
        if self.since_ms:
            found += [columns.at_ms >= self.since_ms, columns.entry >= f"{self.since_ms}-"]
        if self.until_ms is not None:
            found.append(columns.at_ms < self.until_ms)
        if self.who is not None:
            found.append(columns.who == self.who)
        if self.what is not None:
            found.append(columns.what.in_(list(self.what)))
        return found


def written_ms(act: Acted) -> int:
    """When an entry was written."""
    return int(act.entry.partition("-")[0])


def acts(connection: sa.Connection, span: Span, before_ms: int | None, most: int) -> tuple[list[Acted], bool]:
    """Acts of a journal, the newest, and all of the last millisecond that is read; and whether there may be more.

    Args:
        connection: To the database.
        span: Which.
        before_ms: Only those that were written before this millisecond; None for the newest.
        most: At most so many, but for those of the last millisecond.
    """
    columns = schema.actions.c
    conditions = span.conditions()
    if before_ms is not None:
        # Of two milliseconds the texts are in the order of time whatever a database thinks of the hyphen.
        conditions.append(columns.entry < f"{before_ms}-")
    rows = _read(connection, conditions, most)
    if len(rows) < most:
        return rows, False
    last_ms = written_ms(rows[-1])
    of_it = [columns.entry >= f"{last_ms}-", columns.entry < f"{last_ms + 1}-"]
    whole = _read(connection, [*span.conditions(), *of_it], _MOST_AT_ONCE)
    return [row for row in rows if written_ms(row) > last_ms] + whole, True


def marked_acts(connection: sa.Connection, span: Span, from_ms: int, until_ms: int, most: int) -> list[Acted]:
    """Entries of actions that have several, the oldest first.

    Args:
        connection: To the database.
        span: Which.
        from_ms: Those that were written at this millisecond or later.
        until_ms: And before this one.
        most: At most so many.
    """
    columns = schema.actions.c
    soon = [columns.entry >= f"{from_ms}-", columns.entry < f"{until_ms}-"]
    marked = columns.document.not_like('%"mark": ""%')
    return _read(connection, [*span.conditions(), *soon, marked], most, columns.entry)


def _read(connection: sa.Connection, conditions: list[Any], most: int, order: Any = None) -> list[Acted]:
    columns = schema.actions.c
    order = columns.entry.desc() if order is None else order
    wanted = sa.select(columns.entry, columns.at_ms, columns.who, columns.what, columns.document)
    rows = connection.execute(wanted.where(*conditions).order_by(order).limit(most))
    return [Acted(**row._mapping) for row in rows]  # noqa: SLF001 - public, but for its name
