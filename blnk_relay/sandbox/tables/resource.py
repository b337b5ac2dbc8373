"""The tables behind the read APIs: their columns, their rows, and the read lag (contract §1.7).

Looks rows up by index wherever a filter names an indexed column, so that reading two hundred
references costs two hundred look-ups however full the books are; renders only the page it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.clock import SECOND_NS, rfc3339
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.tables.filters import Filter, inside, text_of

#: Columns of minor units that may be written as strings.
_MINOR_UNITS = (
    "precise_amount",
    "balance",
    "credit_balance",
    "debit_balance",
    "inflight_balance",
    "inflight_credit_balance",
    "inflight_debit_balance",
)

META = "meta_data"

#: Reads one column of a record.
Getter = Callable[[Any], Any]

#: Finds records by the text of one column.
Index = Callable[[str], Sequence[Any]]


def attributes(*names: str) -> dict[str, Getter]:
    """Columns that are called as the record calls them."""
    return {name: attrgetter(name) for name in names}


def moment(name: str) -> Getter:
    """A column of time, None where the record has none."""
    read = attrgetter(name)

    def get(record: Any) -> str | None:
        moment_ns = read(record)
        return None if moment_ns is None else rfc3339(moment_ns)

    return get


def _no_indexes(_books: LiveBooks) -> Mapping[str, Index]:
    return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One readable table.

    Attributes:
        name: As in ``/data/<name>``.
        id_column: The column that ``/data/<name>/<id>`` matches.
        records: Where its records are, by id.
        columns: What may be filtered besides the metadata, and how it is read.
        body: A record as it is answered.
        indexes: What else finds records, by column.
        stored_ns: When a record was stored, which the read lag goes by.
        order: What records are sorted by, newest first; when they were stored, unless it is said.
        default_page_size: Rows of a page when the client does not say.
        has_meta: Whether records carry metadata.
    """

    name: str
    id_column: str
    records: Callable[[LiveBooks], Mapping[str, Any]]
    columns: Mapping[str, Getter]
    body: Callable[[Any], dict[str, Any]]
    indexes: Callable[[LiveBooks], Mapping[str, Index]] = _no_indexes
    stored_ns: Callable[[Any], int] = attrgetter("created_ns")
    order: Callable[[Any], Any] | None = None
    default_page_size: int = 20
    has_meta: bool = True

    def has_column(self, column: str) -> bool:
        """Whether a filter may name this column."""
        return column in self.columns or (self.has_meta and (column == META or column.startswith(f"{META}.")))

    def getter(self, column: str) -> Getter:
        """How a column is read, dotted paths into the metadata included."""
        if column in self.columns:
            return self.columns[column]
        path = column.split(".")[1:]
        return lambda record: inside(record.meta, path)

    def select(self, core: Core, filters: Sequence[Filter], lag_s: float) -> list[Any]:
        """Visible records that fulfil all filters, newest first.

        Args:
            core: The instance.
            filters: Conditions, all of which must hold.
            lag_s: How old a record must be to be seen.
        """
        visible_ns = core.clock.now_ns() - round(lag_s * SECOND_NS)
        tests = [(wanted, self.getter(wanted.column)) for wanted in filters]
        found = [
            record
            for record in self._seen(core, self._candidates(core.books, filters), visible_ns, late=lag_s > 0)
            if self.stored_ns(record) <= visible_ns and all(wanted.accepts(get(record)) for wanted, get in tests)
        ]
        return self.newest_first(found)

    def newest_first(self, records: Iterable[Any]) -> list[Any]:
        """Records in the order in which a read shows them."""
        return sorted(records, key=self.order or self.stored_ns, reverse=True)

    def _candidates(self, books: LiveBooks, filters: Sequence[Filter]) -> Iterable[Any]:
        """What an index yields for one of the filters; all records when no index helps."""
        records = self.records(books)
        indexes = {self.id_column: lambda value: [records[value]] if value in records else [], **self.indexes(books)}
        for wanted in filters:
            index = indexes.get(wanted.column)
            # The empty text is in no index: most rows have no parent.
            if index is None or wanted.operator not in {"eq", "in"} or "" in wanted.values:
                continue
            texts = dict.fromkeys(text_of(value) for value in wanted.values)
            return list({id(record): record for text in texts for record in index(text)}.values())
        return records.values()

    def _seen(self, core: Core, records: Iterable[Any], visible_ns: int, *, late: bool) -> Iterable[Any]:
        """Records as a reader sees them who is late: what was changed since then, as it was before."""
        changes = core.books.changes
        if not late or not changes:
            return records
        entity_id = self.columns[self.id_column]
        return [changes.as_of(entity_id(record), record, visible_ns) for record in records]

    def write(self, core: Core, record: Any) -> dict[str, Any]:
        """A record as the read APIs answer it: minor units as numbers or strings, as the switch says."""
        body = self.body(record)
        if core.options.precise_amount_as == "string":
            body |= {name: str(body[name]) for name in _MINOR_UNITS if name in body}
        return body
