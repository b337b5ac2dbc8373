"""What operators did, as history has it: along the time, or along who did it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.values import Acted


@dataclass(frozen=True, slots=True)
class Span:
    """Which acts of a journal are read.

    Attributes:
        journal: Its number.
        before_ms: Only those of this time or earlier; None for the newest.
        since_ms: Only those at or after this time.
        until_ms: Only those before this time; None for any.
        who: Only by this person; None for anybody.
        what: Only of these sorts; None for any.
    """

    journal: int
    before_ms: int | None = None
    since_ms: int = 0
    until_ms: int | None = None
    who: str | None = None
    what: Collection[str] | None = None


def acts(connection: sa.Connection, span: Span, *, most: int, met: Collection[str] = ()) -> list[Acted]:
    """Acts of a journal, newest first.

    Args:
        connection: To the database.
        span: Which.
        most: At most so many.
        met: Of those of the last moment that were read before: left out.
    """
    table = schema.actions
    conditions = _conditions(span)
    if span.before_ms is not None:
        conditions += [table.c.at_ms <= span.before_ms, table.c.entry.not_in(list(met))]
    # Of one moment by the number behind it: of two that are equally long the text says which is the greater.
    order = (table.c.at_ms.desc(), sa.func.length(table.c.entry).desc(), table.c.entry.desc())
    return _read(connection, conditions, order, most)


def acts_after(connection: sa.Connection, span: Span, ms: int, *, within_ms: int, most: int) -> list[Acted]:
    """Those of a moment and soon after it, the oldest first.

    Args:
        connection: To the database.
        span: Which.
        ms: The moment, in milliseconds since 1970.
        within_ms: How long after it.
        most: At most so many.
    """
    table = schema.actions
    soon = [table.c.at_ms >= ms, table.c.at_ms <= ms + within_ms]
    return _read(connection, [*_conditions(span), *soon], (table.c.at_ms,), most)


def _conditions(span: Span) -> list[Any]:
    columns = schema.actions.c
    # Not to be looked up by: most databases hold one journal or few, and their acts would be all.
    found: list[Any] = [columns.journal + 0 == span.journal, columns.at_ms >= span.since_ms]
    if span.until_ms is not None:
        found.append(columns.at_ms < span.until_ms)
    if span.who is not None:
        found.append(columns.who == span.who)
    if span.what is not None:
        found.append(columns.what.in_(list(span.what)))
    return found


def _read(connection: sa.Connection, conditions: list[Any], order: tuple[Any, ...], most: int) -> list[Acted]:
    columns = schema.actions.c
    wanted = sa.select(columns.entry, columns.at_ms, columns.who, columns.what, columns.document)
    rows = connection.execute(wanted.where(*conditions).order_by(*order).limit(most))
    return [Acted(**row._mapping) for row in rows]  # noqa: SLF001 - public, but for its name
