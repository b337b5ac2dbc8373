"""The tables of the ledger itself: transactions, balances, ledgers, identities."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from blnk_relay.sandbox.books.bodies import balance_body, identity_body, ledger_body, row_columns
from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.books.rows import IDENTITY_TEXTS, QUEUED_PARENT, Balance, Row
from blnk_relay.sandbox.tables.resource import META, Getter, Index, Resource, attributes, moment


def _row_indexes(books: LiveBooks) -> Mapping[str, Index]:
    def by_reference(value: str) -> list[Row]:
        row = books.with_reference(value)
        return [] if row is None else [row]

    return {
        "reference": by_reference,
        "parent_transaction": books.children,
        f"{META}.{QUEUED_PARENT}": books.with_queued_parent,
    }


def _balance_record(balance: Balance) -> dict[str, Any]:
    # The raw columns are null where Core's own answer has an empty text or leaves the field out.
    return balance_body(balance) | {
        "indicator": balance.indicator or None,
        "identity_id": balance.identity_id or None,
    }


def _text(name: str) -> Getter:
    return lambda identity: identity.texts[name]


TRANSACTIONS = Resource(
    name="transactions",
    id_column="transaction_id",
    records=attrgetter("rows"),
    columns={
        **attributes("transaction_id", "parent_transaction", "currency", "source", "destination", "reference"),
        "amount": lambda row: float(row.amount_text),
        "balance_id": attrgetter("source", "destination"),
        "status": attrgetter("status.value"),
        "precision": attrgetter("precision"),
        "created_at": moment("created_ns"),
        "effective_date": moment("effective_ns"),
    },
    body=row_columns,
    indexes=_row_indexes,
    stored_ns=attrgetter("stored_ns"),
    order=attrgetter("created_ns", "stored_ns"),
)
BALANCES = Resource(
    name="balances",
    id_column="balance_id",
    records=attrgetter("balances"),
    columns={
        **attributes("balance_id", "ledger_id", "currency", "balance", "inflight_balance"),
        "identity_id": lambda balance: balance.identity_id or None,
        "indicator": lambda balance: balance.indicator or None,
        "credit_balance": attrgetter("credit"),
        "debit_balance": attrgetter("debit"),
        "inflight_credit_balance": attrgetter("inflight_credit"),
        "inflight_debit_balance": attrgetter("inflight_debit"),
        "created_at": moment("created_ns"),
    },
    body=_balance_record,
)
LEDGERS = Resource(
    name="ledgers",
    id_column="ledger_id",
    records=attrgetter("ledgers"),
    columns={**attributes("ledger_id", "name"), "created_at": moment("created_ns")},
    body=ledger_body,
    default_page_size=30,
)
IDENTITIES = Resource(
    name="identities",
    id_column="identity_id",
    records=attrgetter("identities"),
    columns={
        **attributes("identity_id", "dob"),
        **{name: _text(name) for name in IDENTITY_TEXTS},
        "created_at": moment("created_ns"),
    },
    body=identity_body,
)
