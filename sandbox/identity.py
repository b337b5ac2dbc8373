"""What a request is about, in words that are the same in every run.

Row ids are random, references are the client's: a row derived from others is named by the reference at
the root of its family, so that a seeded plan of faults strikes the same requests each time.
"""

from __future__ import annotations

from .books import LiveBooks
from .ids import TRANSACTION_ID_LENGTH

#: Families are a few rows deep; a chain longer than this is not followed.
_MAX_DEPTH = 12


def identity_of(books: LiveBooks, entity_id: str) -> str:
    """A stable name of the row behind an id; the id itself when it names no row."""
    return _named(books, entity_id, _MAX_DEPTH)


def _named(books: LiveBooks, entity_id: str, depth: int) -> str:
    row = books.rows.get(entity_id)
    if row is None or depth == 0:
        return entity_id
    reference = row.reference
    if reference.startswith("txn_") and reference[:TRANSACTION_ID_LENGTH] in books.rows:
        root = _named(books, reference[:TRANSACTION_ID_LENGTH], depth - 1)
        derived, _, _ = reference[TRANSACTION_ID_LENGTH:].partition("_act_")
        return root + derived
    if reference.startswith("ref_") and row.parent_transaction:
        return f"{_named(books, row.parent_transaction, depth - 1)}_{row.status.value.lower()}"
    return reference
