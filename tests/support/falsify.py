"""Falsifying the books of a running sandbox: one change behind everybody's back, taken back afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import Any

from blnk_relay.sandbox import Sandbox
from blnk_relay.sandbox.books.live import LiveBooks

#: What the books hold, by id, and the indexes over it.
_TABLES = ("rows", "balances", "ledgers", "identities")
_INDEXES = ("_by_reference", "_by_parent", "_by_queued_parent", "_by_indicator")

#: The same of reconciliation.
_RECONCILIATION = ("rules", "uploads", "records", "runs")

Falsification = Callable[[LiveBooks], None]


@contextmanager
def falsified(sandbox: Sandbox, change: Falsification) -> Iterator[None]:
    """Books with one change, for as long as the block runs.

    Args:
        sandbox: Whose.
        change: Makes it; called where nobody else is at the books.
    """

    def falsify() -> dict[tuple[str, str], Any]:
        books = sandbox._instance.core.books
        kept: dict[tuple[str, str], Any] = {}
        for name in _TABLES:
            table = getattr(books, name)
            kept["", name] = {id_: copy(record) for id_, record in table.items()}
        for name in _INDEXES:
            index = getattr(books, name)
            kept["", name] = {key: copy(value) for key, value in index.items()}
        for name in _RECONCILIATION:
            kept["reconciliation", name] = dict(getattr(books.reconciliation, name))
        change(books)
        return kept

    def restore(kept: dict[tuple[str, str], Any]) -> None:
        books = sandbox._instance.core.books
        for (owner, name), value in kept.items():
            setattr(getattr(books, owner) if owner else books, name, value)

    kept = sandbox._call(falsify)
    try:
        yield
    finally:
        sandbox._call(lambda: restore(kept))


def gone(id_: str) -> Falsification:
    """A row or a record is not there any more."""

    def change(books: LiveBooks) -> None:
        table = _table_of(books, id_)
        record = table.pop(id_)
        if id_.startswith("txn_"):
            del books._by_reference[record.reference]
            if record.parent_transaction:
                books._by_parent[record.parent_transaction].remove(id_)

    return change


def changed(id_: str, **values: Any) -> Falsification:
    """A row or a record has other values."""

    def change(books: LiveBooks) -> None:
        table = _table_of(books, id_)
        table[id_] = replace(table[id_], **values)

    return change


def renamed(id_: str, new: str) -> Falsification:
    """A row has another id than the one that was confirmed."""

    def change(books: LiveBooks) -> None:
        row = books.rows[id_]
        gone(id_)(books)
        _put(books, replace(row, transaction_id=new))

    return change


def copied(id_: str, **values: Any) -> Falsification:
    """A row is there once more, in part with other values."""

    def change(books: LiveBooks) -> None:
        _put(books, replace(books.rows[id_], **values))

    return change


def _put(books: LiveBooks, row: Any) -> None:
    books.rows[row.transaction_id] = row
    books._by_reference[row.reference] = row.transaction_id
    if row.parent_transaction:
        books._by_parent.setdefault(row.parent_transaction, []).append(row.transaction_id)


def _table_of(books: LiveBooks, id_: str) -> dict[str, Any]:
    ours = [getattr(books, name) for name in _TABLES]
    theirs = [getattr(books.reconciliation, name) for name in _RECONCILIATION]
    return next(table for table in (*ours, *theirs) if id_ in table)
