"""The tables behind the read APIs: their columns, their rows, and the read lag (contract §1.7).

Looks rows up by index wherever a filter names an indexed column, so that reading two hundred
references costs two hundred look-ups however full the books are; renders only the page it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, identity_body, ledger_body, row_columns
from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.books.rows import IDENTITY_TEXTS, QUEUED_PARENT, Balance, IdentityRecord, LedgerRecord, Row
from blnk_relay.sandbox.clock import SECOND_NS, rfc3339
from blnk_relay.sandbox.core.core import Core
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

_META = "meta_data"
_QUEUED_PARENT_COLUMN = f"{_META}.{QUEUED_PARENT}"

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


def _indexed_rows(core: Core, filters: Sequence[Filter]) -> Iterable[Row]:
    """Rows that an index yields for one of the filters; all rows when no index helps."""
    lookups = _lookups(core.books)
    for wanted in filters:
        lookup = lookups.get(wanted.column)
        # The empty parent is not indexed: most rows have it.
        if lookup is None or wanted.operator not in {"eq", "in"} or "" in wanted.values:
            continue
        found = {row.transaction_id: row for value in wanted.values for row in lookup(text_of(value))}
        return list(found.values())
    return core.books.rows.values()


def _lookups(books: LiveBooks) -> Mapping[str, Callable[[str], list[Row]]]:
    return {
        "transaction_id": lambda value: _maybe(books.rows.get(value)),
        "reference": lambda value: _maybe(books.with_reference(value)),
        "parent_transaction": books.children,
        _QUEUED_PARENT_COLUMN: books.with_queued_parent,
    }


def _indexed_identities(core: Core, filters: Sequence[Filter]) -> Iterable[IdentityRecord]:
    identities = core.books.identities
    for wanted in filters:
        if wanted.column == "identity_id" and wanted.operator in {"eq", "in"}:
            names = dict.fromkeys(text_of(value) for value in wanted.values)
            return [identities[name] for name in names if name in identities]
    return identities.values()


def _maybe(row: Row | None) -> list[Row]:
    return [] if row is None else [row]


def _balance_record(balance: Balance) -> dict[str, Any]:
    # The raw columns are null where Core's own answer has an empty text or leaves the field out.
    return balance_body(balance) | {
        "indicator": balance.indicator or None,
        "identity_id": balance.identity_id or None,
    }


def _attribute(name: str) -> Getter:
    return lambda record: getattr(record, name)


def _text(name: str) -> Getter:
    return lambda identity: identity.texts[name]


_ROW_COLUMNS: dict[str, Getter] = {
    name: _attribute(name)
    for name in ("transaction_id", "parent_transaction", "currency", "source", "destination", "reference")
} | {
    "amount": lambda row: float(row.amount_text),
    "balance_id": lambda row: (row.source, row.destination),
    "status": lambda row: row.status.value,
    "precision": _attribute("precision"),
    "created_at": lambda row: rfc3339(row.created_ns),
    "effective_date": lambda row: None if row.effective_ns is None else rfc3339(row.effective_ns),
}

_BALANCE_COLUMNS: dict[str, Getter] = {
    "balance_id": _attribute("balance_id"),
    "ledger_id": _attribute("ledger_id"),
    "identity_id": lambda balance: balance.identity_id or None,
    "indicator": lambda balance: balance.indicator or None,
    "currency": _attribute("currency"),
    "balance": _attribute("balance"),
    "credit_balance": _attribute("credit"),
    "debit_balance": _attribute("debit"),
    "inflight_balance": _attribute("inflight_balance"),
    "inflight_credit_balance": _attribute("inflight_credit"),
    "inflight_debit_balance": _attribute("inflight_debit"),
    "created_at": lambda balance: rfc3339(balance.created_ns),
}

_LEDGER_COLUMNS: dict[str, Getter] = {
    "ledger_id": _attribute("ledger_id"),
    "name": _attribute("name"),
    "created_at": lambda ledger: rfc3339(ledger.created_ns),
}

_IDENTITY_COLUMNS: dict[str, Getter] = {
    "identity_id": _attribute("identity_id"),
    "dob": _attribute("dob"),
    "created_at": lambda identity: rfc3339(identity.created_ns),
} | {name: _text(name) for name in IDENTITY_TEXTS}


def _created(record: Balance | LedgerRecord | IdentityRecord) -> int:
    return record.created_ns


TRANSACTIONS = Resource(
    name="transactions",
    id_column="transaction_id",
    columns=_ROW_COLUMNS,
    default_page_size=20,
    candidates=_indexed_rows,
    stored_ns=lambda row: row.stored_ns,
    order=lambda row: (row.created_ns, row.stored_ns),
    body=row_columns,
)
BALANCES = Resource(
    name="balances",
    id_column="balance_id",
    columns=_BALANCE_COLUMNS,
    default_page_size=20,
    candidates=lambda core, _: core.books.balances.values(),
    stored_ns=_created,
    order=_created,
    body=_balance_record,
)
LEDGERS = Resource(
    name="ledgers",
    id_column="ledger_id",
    columns=_LEDGER_COLUMNS,
    default_page_size=30,
    candidates=lambda core, _: core.books.ledgers.values(),
    stored_ns=_created,
    order=_created,
    body=ledger_body,
)
IDENTITIES = Resource(
    name="identities",
    id_column="identity_id",
    columns=_IDENTITY_COLUMNS,
    default_page_size=20,
    candidates=_indexed_identities,
    stored_ns=_created,
    order=_created,
    body=identity_body,
)
