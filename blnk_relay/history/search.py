"""What history answers: each question is one look along one index, newest first, however much is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.values import MARKS, Ended, Name, Terms, ended_at, indexed
from blnk_relay.intents.references import is_digest

#: Rows that are read for each intent that is wanted: several legs of one may fit.
_PER_INTENT = 3

#: How often it is read on where one intent has very many of them; each time at least one intent more was met.
_MOST_LOOKS = 200

#: Rows of an index that are counted before one of several is taken.
_COUNTED = 20_000


@dataclass(frozen=True, slots=True)
class Along:
    """One index that a question can be answered along: all rows of a table with some texts, by their time.

    Attributes:
        table: Which.
        texts: Of each column the texts that it may have.
    """

    table: sa.Table
    texts: Mapping[str, tuple[str, ...]]

    def rows(self, terms: Terms) -> list[Any]:
        """Conditions that lead along the index."""
        found = [_among(self.table.c[name], some) for name, some in self.texts.items()]
        if "dead_class" in self.texts:
            found.append(schema.OF_LETTERS)
        if terms.since:
            found.append(self.table.c.ended_ms >= ended_at(terms.since))
        if terms.until:
            found.append(self.table.c.ended_ms < ended_at(terms.until))
        return found

    def beside(self) -> list[Any]:
        """The same texts of a row that is found otherwise: to be looked at, and never to be looked up by."""
        return [_among(self.table.c[name].concat(""), some) for name, some in self.texts.items()]


#: Of a movement what is rarest first, as far as that can be said of all.
_MOVED = ("precise_amount", "amount", "destination", "source", "currency")
_PLAIN = ("dead_class", "code", "outcome", "kind", "state")

#: States of what has a class.
_LETTERS = ("dead", "discarded")


def ways(terms: Terms) -> list[Along]:
    """All indexes that a question can be answered along."""
    if terms.keys:
        return [Along(schema.intents, {"key": terms.keys})]
    if terms.ids:
        return [Along(schema.intents, {"id": terms.ids})]
    found = [Along(schema.names, {"name": terms.names})] if terms.names else []
    found += [
        Along(schema.meta, {"name": (indexed(name),), "value": (indexed(value),)}) for name, value in terms.meta.items()
    ]
    found += [Along(schema.movements, {name: (terms.movement[name],)}) for name in _MOVED if name in terms.movement]
    found += [Along(schema.intents, {name: (getattr(terms, name),)}) for name in _PLAIN if getattr(terms, name)]
    return found


def narrowest(connection: sa.Connection, terms: Terms, *, by_class: bool = True) -> Along | None:
    """The index with fewest rows for a question; a database that knows averages alone would take the wrong one.

    Of each some rows are counted, and no more than that: what has more is as good as any other.

    Args:
        connection: To the database.
        terms: What is searched for.
        by_class: Whether it has an index of classes.
    """
    there = ways(terms)
    if terms.dead_class and not by_class:
        there = [way for way in there if "dead_class" not in way.texts]
        there += [] if terms.keys or terms.ids or terms.state else [Along(schema.intents, {"state": _LETTERS})]
    if len(there) <= 1:
        return there[0] if there else None

    def number(way: Along) -> int:
        some = sa.select(sa.literal(1)).select_from(way.table).where(*way.rows(terms)).limit(_COUNTED).subquery()
        return connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0

    return min(there, key=number)


def query(
    terms: Terms, journals: Collection[int], most: int, along: Along | None, behind: Behind | None = None
) -> sa.Select[Any]:
    """The statement: along one index, the rest is looked at beside.

    Args:
        terms: What is searched for.
        journals: Numbers of the journals that are meant.
        most: Rows at most.
        along: One of :func:`ways`; None where there is none.
        behind: Only what comes behind this place.
    """
    intents = schema.intents
    along = along or Along(intents, {})
    driver, conditions = along.table, along.rows(terms)
    wanted = sa.select(*intents.columns, driver.c.ended_ms.label("along_ms"))
    if driver is not intents:
        wanted = wanted.join_from(
            driver, intents, sa.and_(driver.c.journal == intents.c.journal, driver.c.intent == intents.c.id)
        )
    # Not to be looked up by: most databases hold one journal or few, and their rows would be all.
    conditions.append((driver.c.journal + 0).in_(list(journals)))
    conditions += _rest(terms, along)
    if behind is not None:
        conditions += [driver.c.ended_ms <= behind.ended_ms, driver.c.intent.not_in(behind.ids)]
    wanted = wanted.where(*conditions).limit(most)
    # Of one key there are few, and to sort them must not look cheaper than to find them.
    return wanted if terms.keys or terms.ids else wanted.order_by(driver.c.ended_ms.desc())


@dataclass(frozen=True, slots=True)
class Behind:
    """A place in the answer to a question: behind the intents that ended at one moment and were met already."""

    ended_ms: int
    ids: tuple[str, ...]


def _rest(terms: Terms, along: Along) -> list[Any]:
    """What has to hold besides."""
    found: list[Any] = []
    others = [way for way in ways(replace(terms, keys=(), ids=())) if way != along]
    # All of a movement has to be of one: of the row at hand, or of one of the intent's.
    moved = [condition for way in others if way.table is schema.movements for condition in way.beside()]
    if moved:
        found += moved if along.table is schema.movements else [_there(schema.movements, moved)]
    for way in others:
        if way.table is schema.intents:
            found += way.beside()
        elif way.table is not schema.movements:
            found.append(_there(way.table, way.beside()))
    return found


def _among(column: Any, texts: tuple[str, ...]) -> Any:
    return column == texts[0] if len(texts) == 1 else column.in_(texts)


def _there(table: sa.Table, conditions: list[Any]) -> Any:
    intents = schema.intents
    of_it = (table.c.journal == intents.c.journal, table.c.intent == intents.c.id)
    return sa.exists(sa.select(sa.literal(1)).select_from(table).where(*of_it, *conditions).correlate(intents))


def search(
    connection: sa.Connection, terms: Terms, journals: Mapping[int, str], most: int, *, by_class: bool = True
) -> tuple[list[tuple[str, Ended]], bool]:
    """Intents that fit, the newest first, each with the target of its journal; and whether there may be more.

    Args:
        connection: To the database.
        terms: What is searched for.
        journals: Targets by the numbers of their journals.
        most: Intents at most.
        by_class: Whether the database has an index of classes.
    """
    if not journals:
        return [], False
    found, more = _met(connection, terms, journals, most, narrowest(connection, terms, by_class=by_class))
    if ids := tuple(key for key in terms.keys if is_digest(key)):
        of_id = replace(terms, keys=(), ids=ids)
        others, further = _met(connection, of_id, journals, most, Along(schema.intents, {"id": ids}))
        found, more = found | others, more or further
    some = list(found.items())[:most]
    return [(journals[number], one) for (number, _), one in some], len(found) > most or more


def _met(
    connection: sa.Connection, terms: Terms, journals: Mapping[int, str], most: int, along: Along | None
) -> tuple[dict[tuple[int, str], Ended], bool]:
    """Intents that are met along an index, and whether it did not come to the end.

    One intent may have many rows there, one for each of ten thousand items: it reads on behind those of it, until more
    intents than are wanted were met.
    """
    several = along is not None and along.table is not schema.intents
    limit = (most + 1) * (_PER_INTENT if several else 1)
    found: dict[tuple[int, str], Ended] = {}
    behind: Behind | None = None
    for _ in range(_MOST_LOOKS if several else 1):
        rows = connection.execute(query(terms, journals, limit, along, behind)).all()
        for row in rows:
            found.setdefault((row.journal, row.id), ended_of(row))
        if len(rows) < limit:
            return found, False
        if len(found) > most:
            break
        last_ms = rows[-1].along_ms
        met = {row.id for row in rows if row.along_ms == last_ms}
        behind = Behind(last_ms, (*met, *(behind.ids if behind is not None and behind.ended_ms == last_ms else ())))
    return found, True


def marked(connection: sa.Connection, journals: Collection[int], mark: str) -> bool:
    """Whether some intents of these journals have a mark: they may not be found by each of their names, or by none.

    Args:
        connection: To the database.
        journals: Their numbers.
        mark: One of :data:`MARKS`.
    """
    table = schema.names
    some = sa.select(sa.literal(1)).where(
        table.c.name == MARKS[mark], table.c.sort == mark, (table.c.journal + 0).in_(list(journals))
    )
    return connection.execute(some.limit(1)).first() is not None


def ended_of(row: Any) -> Ended:
    """An intent out of its row, with what the row alone has of it."""
    values = {column.name: getattr(row, column.name) for column in schema.intents.columns if column.name != "journal"}
    return Ended(**values, names=(Name("reference", row.reference),) if row.reference else ())
