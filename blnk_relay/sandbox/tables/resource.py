"""The tables behind the read APIs: their columns, their rows, and the read lag (contract §1.7).

Looks rows up by index wherever a filter names an indexed column, so that reading two hundred
references costs two hundred look-ups however full the books are; renders only the page it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.books.rows import Balance, IdentityRecord, LedgerRecord
from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.tables.filters import Filter, inside

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

_META = "meta_data"

#: Reads one column of a record.
Getter = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """One readable table.

    Attributes:
        name: As in ``/data/<name>``.
        id_column: The column that ``/data/<name>/<id>`` matches.
        columns: What may be filtered besides the metadata, and how it is read.
        default_page_size: Rows of a page when the client does not say.
        candidates: All records that may fulfil the filters.
        stored_ns: When a record was stored, which the read lag goes by.
        order: What records are sorted by, newest first.
        body: A record as it is answered.
        has_meta: Whether records carry metadata.
    """

    name: str
    id_column: str
    columns: Mapping[str, Getter]
    default_page_size: int
    candidates: Callable[[Core, Sequence[Filter]], Iterable[Any]]
    stored_ns: Callable[[Any], int]
    order: Callable[[Any], Any]
    body: Callable[[Any], dict[str, Any]]
    has_meta: bool = True

    def has_column(self, column: str) -> bool:
        """Whether a filter may name this column."""
        return column in self.columns or (self.has_meta and (column == _META or column.startswith(f"{_META}.")))

    def getter(self, column: str) -> Getter:
        """How a column is read, dotted paths into the metadata included."""
        if column in self.columns:
            return self.columns[column]
        path = column.split(".")[1:]
        return lambda record: inside(_meta_of(record), path)

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
            for record in self._seen(core, self.candidates(core, filters), visible_ns, late=lag_s > 0)
            if self.stored_ns(record) <= visible_ns and all(wanted.accepts(get(record)) for wanted, get in tests)
        ]
        found.sort(key=self.order, reverse=True)
        return found

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


def _meta_of(record: Any) -> Any:
    return record.meta


def _attribute(name: str) -> Getter:
    return lambda record: getattr(record, name)


def _created(record: Balance | LedgerRecord | IdentityRecord) -> int:
    return record.created_ns
