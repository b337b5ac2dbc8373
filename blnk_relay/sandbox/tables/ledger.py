"""The tables of the ledger itself: transactions, balances, ledgers, identities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, identity_body, ledger_body, row_columns
from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.books.rows import IDENTITY_TEXTS, QUEUED_PARENT, Balance, IdentityRecord, Row
from blnk_relay.sandbox.clock import rfc3339
from blnk_relay.sandbox.core.state import Core
from blnk_relay.sandbox.tables.filters import Filter, text_of
from blnk_relay.sandbox.tables.resource import _META, Getter, Resource, _attribute, _created

_QUEUED_PARENT_COLUMN = f"{_META}.{QUEUED_PARENT}"


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
