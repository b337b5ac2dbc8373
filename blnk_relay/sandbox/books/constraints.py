"""What the database refuses to store: sizes, characters, ranges, repeated references (contract §2.0, §3.2).

The numbers were measured on a real ledger. Pure: whether something exists is asked by the books.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from blnk_relay.sandbox.books.rows import Balance, Txn
from blnk_relay.sandbox.errors import LedgerError

#: A row is sent whole as a notification, which must stay under this many bytes (contract §2.0).
MAX_ROW_BYTES = 8000

#: What a transaction row costs besides its texts and metadata: column names, numbers, ids, dates, chain
#: columns. 7,350 bytes of metadata beside 21 of texts are the most that fits.
_ROW_OVERHEAD_BYTES = 627

#: The same for a ledger and a balance row.
_LEDGER_OVERHEAD_BYTES = 163
_BALANCE_OVERHEAD_BYTES = 432

#: A reference longer than this does not fit into its index (a real one may, if it compresses well).
_INDEX_LIMIT_BYTES = 2700

#: The precision column is a 64-bit integer.
_PRECISION_LIMIT = 1e19

#: Columns that are no longer than this: names of rules, references and sources of external records (contract §14.9).
_SHORT_TEXT = 255

#: The unique index over all references, as its violations name it.
_REFERENCE_INDEX = "idx_transactions_reference_unique"

_RECORDING_FAILED = "Failed to record transaction"


def check_row(txn: Txn) -> None:
    """Refuse a transaction whose values do not fit into a row.

    Raises:
        LedgerError: ``GEN_INTERNAL``, with the driver's error as details.
    """
    meta_text = json.dumps(txn.meta, ensure_ascii=False)
    if "\0" in txn.reference or "\0" in txn.description:
        raise _bad_byte(_RECORDING_FAILED)
    check_meta(_RECORDING_FAILED, txn.meta)
    if txn.precision >= _PRECISION_LIMIT:
        raise driver_error(_RECORDING_FAILED, "22003", "value is out of range for type bigint")
    if not txn.amount_string:
        raise driver_error(_RECORDING_FAILED, "22P02", "invalid input syntax for type numeric")
    reference_bytes = len(txn.reference.encode())
    if reference_bytes > _INDEX_LIMIT_BYTES:
        raise driver_error(_RECORDING_FAILED, "54000", f"index row size {reference_bytes} exceeds btree maximum")
    texts = reference_bytes + len(txn.description.encode()) + len(txn.parent_transaction)
    if _ROW_OVERHEAD_BYTES + texts + len(meta_text.encode()) >= MAX_ROW_BYTES:
        raise _too_long(_RECORDING_FAILED)


def check_ledger(name: str, meta: Mapping[str, Any] | None) -> None:
    """Refuse a ledger whose values do not fit into a row.

    Raises:
        LedgerError: ``GEN_INTERNAL``.
    """
    failed = "Database error occurred"
    check_texts(failed, name)
    check_meta(failed, meta)
    if _LEDGER_OVERHEAD_BYTES + len(name.encode()) + _size(meta) >= MAX_ROW_BYTES:
        raise _too_long(failed)


def check_balance(balance: Balance, failed: str, coming: int = 0) -> None:
    """Refuse a balance row that is too large, or would be; checked when it is updated too.

    Args:
        balance: The row.
        failed: What could not be done.
        coming: An amount that is about to be added, for the digits it takes.

    Raises:
        LedgerError: ``GEN_INTERNAL``.
    """
    check_texts(failed, balance.currency, balance.indicator)
    check_meta(failed, balance.meta)
    if not balance.meta:
        return
    figures = (balance.credit, balance.debit, balance.inflight_credit, balance.inflight_debit, coming)
    digits = sum(len(str(figure)) - 1 for figure in figures)
    if _BALANCE_OVERHEAD_BYTES + len(balance.indicator.encode()) + digits + _size(balance.meta) >= MAX_ROW_BYTES:
        raise _too_long(failed)


def check_texts(failed: str, *texts: str, short: bool = False) -> None:
    """Refuse texts that no column holds: with a NUL, or longer than a short column is.

    Args:
        failed: What could not be done.
        *texts: The texts.
        short: Their columns are short ones.

    Raises:
        LedgerError: ``GEN_INTERNAL``.
    """
    for text in texts:
        if "\0" in text:
            raise _bad_byte(failed)
        if short and len(text) > _SHORT_TEXT:
            raise driver_error(failed, "22001", f"value too long for type character varying({_SHORT_TEXT})")


def check_meta(failed: str, meta: Mapping[str, Any] | None) -> None:
    """Refuse metadata with a NUL anywhere.

    Raises:
        LedgerError: ``GEN_INTERNAL``.
    """
    if meta and "\\u0000" in json.dumps(meta):
        raise driver_error(failed, "22P05", "unsupported Unicode escape sequence")


def reference_exists(reference: str) -> LedgerError:
    """What the unique index says of a reference that exists."""
    text = f'duplicate key value violates unique constraint "{_REFERENCE_INDEX}"'
    error = driver_error(_RECORDING_FAILED, "23505", text, _REFERENCE_INDEX)
    error.details["Detail"] = f"Key (reference)=({reference}) already exists."
    return error


def driver_error(message: str, code: str, text: str, constraint: str = "") -> LedgerError:
    """A failure that carries the database driver's own error as details."""
    details = {"Severity": "ERROR", "Code": code, "Message": text, "Constraint": constraint}
    return LedgerError(message, "GEN_INTERNAL", details)


def _size(meta: Mapping[str, Any] | None) -> int:
    # The database writes a space after each colon and comma, as this encoder does by default.
    return len(json.dumps(meta, ensure_ascii=False).encode()) if meta else 0


def _too_long(failed: str) -> LedgerError:
    return driver_error(failed, "22023", "payload string too long")


def _bad_byte(failed: str) -> LedgerError:
    return driver_error(failed, "22021", 'invalid byte sequence for encoding "UTF8": 0x00')
