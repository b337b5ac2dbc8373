"""All that history has of one intent: what it came to, what was tried for it, and its lives as a letter."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.search import ended_of
from blnk_relay.history.values import Ended, Life, Line


@dataclass(frozen=True, slots=True)
class Recalled:
    """One intent as it stands in history.

    Attributes:
        lines: What was tried for it, and what operators did with it, oldest first.
        lives: Each of its lives as a letter, oldest first.
    """

    ended: Ended
    lines: tuple[Line, ...]
    lives: tuple[Life, ...]


def recall(connection: sa.Connection, journal: int, id_: str) -> Recalled | None:
    """What stands there of an intent; None for nothing.

    Args:
        connection: To the database.
        journal: Number of its journal.
        id_: Its id.
    """
    table = schema.intents
    row = connection.execute(sa.select(table).where(table.c.journal == journal, table.c.id == id_)).one_or_none()
    if row is None:
        return None

    def rows(of_it: sa.Table, by: str) -> list[Any]:
        those = sa.select(of_it).where(of_it.c.journal == journal, of_it.c.intent == id_).order_by(of_it.c[by])
        return list(connection.execute(those))

    return Recalled(
        ended_of(row),
        tuple(Line(**_values(line, Line)) for line in rows(schema.attempts, "at_ms")),
        tuple(Life(**_values(life, Life)) for life in rows(schema.letters, "died_ms")),
    )


def _values(row: Any, of: Any) -> dict[str, Any]:
    return {one.name: getattr(row, one.name) for one in fields(of)}
