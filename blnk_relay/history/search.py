"""What history answers: each question is one look along one index, newest first, however much is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from blnk_relay.history import schema
from blnk_relay.history.values import Ended, Name, indexed
from blnk_relay.intents.references import is_digest

#: Rows that are read for each intent that is wanted: several legs of one may fit.
_PER_INTENT = 3

_LETTERS = ("dead", "discarded")


@dataclass(frozen=True, slots=True)
class Terms:
    """What is searched for; empty for anything. Texts are as they are stored, so hidden ones are fingerprints.

    Attributes:
        keys: Keys of intents; those that may be ids are looked for as ids as well.
        ids: Ids of intents.
        names: References, ids of the ledger.
        movement: Columns of a movement that all have to be those of one leg or item.
        meta: Metadata, all of which has to be there.
        since: Only what ended at or after this time.
        until: Only what ended before this time.
    """

    keys: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    movement: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    state: str = ""
    outcome: str = ""
    code: str = ""

    def fit(self, one: Ended) -> bool:
        """Whether an intent is one that is searched for; as the database would say."""
        wanted = {"kind": self.kind, "state": self.state, "outcome": self.outcome, "code": self.code}
        texts = {name.text for name in one.names}
        return (
            all(not text or getattr(one, name) == text for name, text in wanted.items())
            and (not self.keys or one.key in self.keys or one.id in self.keys)
            and (not self.names or not texts.isdisjoint(self.names))
            and (not self.since or one.ended_ms >= _ms(self.since))
            and (not self.until or one.ended_ms < _ms(self.until))
            and self._fit_movements(one)
            and self._fit_meta(one)
        )

    def _fit_movements(self, one: Ended) -> bool:
        return not self.movement or any(
            all(getattr(movement, name) == text for name, text in self.movement.items()) for movement in one.movements
        )

    def _fit_meta(self, one: Ended) -> bool:
        there = {(name, value) for _, name, value in one.meta}
        return all((indexed(name), indexed(value)) in there for name, value in self.meta.items())


def query(terms: Terms, journals: Collection[int], most: int) -> sa.Select[Any]:
    """The statement: along the narrowest index that what is asked for has, the rest is looked up beside.

    Args:
        terms: What is searched for.
        journals: Numbers of the journals that are meant.
        most: Rows at most.
    """
    intents = schema.intents
    driver, conditions = _driver(terms)
    wanted = sa.select(*intents.columns)
    if driver is not intents:
        wanted = wanted.join_from(
            driver, intents, sa.and_(driver.c.journal == intents.c.journal, driver.c.intent == intents.c.id)
        )
    # Not to be looked up by: most databases hold one journal or few, and their rows would be all.
    conditions.append((driver.c.journal + 0).in_(list(journals)))
    conditions += [intents.c[name] == getattr(terms, name) for name in _PLAIN if getattr(terms, name)]
    # Beside the intent too: what was copied without a key may be older there.
    if terms.since:
        conditions.append(driver.c.ended_ms >= _ms(terms.since))
    if terms.until:
        conditions.append(driver.c.ended_ms < _ms(terms.until))
    conditions += [_beside(table, some) for table, some in _others(terms, driver)]
    wanted = wanted.where(*conditions).limit(most)
    # Of one key there are few, and to sort them must not look cheaper than to find them.
    return wanted if terms.keys or terms.ids else wanted.order_by(driver.c.ended_ms.desc())


_PLAIN = ("kind", "state", "outcome", "code")


def _driver(terms: Terms) -> tuple[sa.Table, list[Any]]:
    if terms.keys:
        return schema.intents, [schema.intents.c.key.in_(terms.keys)]
    if terms.ids:
        return schema.intents, [schema.intents.c.id.in_(terms.ids)]
    if terms.names:
        names = schema.names
        return names, [names.c.name == terms.names[0] if len(terms.names) == 1 else names.c.name.in_(terms.names)]
    if terms.meta:
        name, value = next(iter(terms.meta.items()))
        return schema.meta, _meta(name, value)
    if terms.movement:
        return schema.movements, _moved(terms)
    return schema.intents, []


def _meta(name: str, value: str) -> list[Any]:
    return [schema.meta.c.name == indexed(name), schema.meta.c.value == indexed(value)]


def _moved(terms: Terms) -> list[Any]:
    return [schema.movements.c[name] == text for name, text in terms.movement.items()]


def _others(terms: Terms, driver: sa.Table) -> list[tuple[sa.Table, list[Any]]]:
    found: list[tuple[sa.Table, list[Any]]] = []
    if terms.names and driver is not schema.names:
        found.append((schema.names, [schema.names.c.name.in_(terms.names)]))
    if terms.movement and driver is not schema.movements:
        found.append((schema.movements, _moved(terms)))
    metas = list(terms.meta.items())[1 if driver is schema.meta else 0 :]
    return found + [(schema.meta, _meta(name, value)) for name, value in metas]


def _beside(table: sa.Table, conditions: list[Any]) -> Any:
    intents = schema.intents
    of_it = (table.c.journal == intents.c.journal, table.c.intent == intents.c.id)
    return sa.exists(sa.select(sa.literal(1)).select_from(table).where(*of_it, *conditions).correlate(intents))


def search(
    connection: sa.Connection, terms: Terms, journals: Mapping[int, str], most: int
) -> tuple[list[tuple[str, Ended]], bool]:
    """Intents that fit, the newest first, each with the target of its journal; and whether there may be more.

    Args:
        connection: To the database.
        terms: What is searched for.
        journals: Targets by the numbers of their journals.
        most: Intents at most.
    """
    if not journals:
        return [], False
    limit = (most + 1) * (_PER_INTENT if terms.movement or terms.meta or terms.names else 1)
    rows = list(connection.execute(query(terms, journals, limit)))
    if ids := tuple(key for key in terms.keys if is_digest(key)):
        rows += connection.execute(query(replace(terms, keys=(), ids=ids), journals, limit))
    found: dict[tuple[int, str], Ended] = {}
    for row in rows:
        found.setdefault((row.journal, row.id), _ended(row))
    some = list(found.items())[:most]
    return [(journals[number], one) for (number, _), one in some], len(found) > most or len(rows) == limit


def _ended(row: Any) -> Ended:
    values = {column.name: getattr(row, column.name) for column in schema.intents.columns if column.name != "journal"}
    return Ended(**values, names=(Name("reference", row.reference),) if row.reference else ())


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
