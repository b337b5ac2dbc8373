"""``meta_data``: what the ledger can store, and how much of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from blnk_relay.money import MAX_SAFE_INTEGER
from blnk_relay.schema.base import Plain
from blnk_relay.text import text_problem

_MAX_DEPTH = 20

#: JSON as PostgreSQL writes it.
_stored = json.JSONEncoder(ensure_ascii=False).encode

#: A text as JSON.
_quoted = json.encoder.encode_basestring

#: Top-level keys that Core reads or writes; a caller who sets them can, for example, grant himself an overdraft
#: (contract §2.0).
RESERVED_META_KEYS = frozenset(
    {
        "inflight",
        "atomic",
        "allow_overdraft",
        "QUEUED_PARENT_TRANSACTION",
        "sequence",
        "queue_lane",
        "queue_pair_key",
        "blnk_rejection_reason",
        "recovery_attempts",
        "recovery_status",
        "recovery_last_attempt",
        "BLNK_GENERATED_BY",
        "BLNK_LINEAGE_PROVIDER",
        "BLNK_RUN_RECONCILIATION",
        "BLNK_RECONCILIATION_RESULT",
        "reconciled",
        "reconciliation_id",
        "reconciled_at",
        "external_txn_id",
        "reconciliation_amount",
    }
)


class MetaData(Plain[dict[str, Any]]):
    """A JSON object without the keys that the ledger reserves (contract §2.0)."""

    takes = "JSON object"

    reserved: frozenset[str] = RESERVED_META_KEYS

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValidationError("Must be a JSON object.")
        for key in value:
            if key in self.reserved or (isinstance(key, str) and key[:1] == "_"):
                raise ValidationError(f"The key {key!r} is reserved by the ledger.")
        copy: dict[str, Any] = _json_copy(value, 0)
        return copy


class IdentityMetaData(MetaData):
    """The same for identities, whose tokenized fields the ledger keeps note of in their metadata (contract §2.0)."""

    reserved = RESERVED_META_KEYS | {"tokenized_fields"}


def _json_copy(value: Any, depth: int) -> Any:
    """A JSON value of dicts and lists of our own, so that nobody can change an intent after it was validated."""
    if isinstance(value, str):
        if problem := text_problem(value):
            raise ValidationError(problem)
        return value
    if depth > _MAX_DEPTH:
        raise ValidationError(f"Must not be nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, Mapping):
        copy = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValidationError("All keys must be strings.")
            copy[_json_copy(key, 0)] = _json_copy(item, depth + 1)
        return copy
    if isinstance(value, (list, tuple)):
        return [_json_copy(item, depth + 1) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValidationError("All numbers must be finite.")
    elif isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER:
        raise ValidationError("Whole numbers beyond 2^53 must be strings; the ledger rounds them when it stores them.")
    elif value is not None and not isinstance(value, (int, bool)):
        raise ValidationError(
            f"Must hold only what JSON has, not a value of type {type(value).__name__}; write it as a string."
        )
    return value


def stored_bytes(*texts: str, meta_data: Mapping[str, Any] | None = None) -> int:
    """Bytes that texts and metadata take in a row.

    PostgreSQL tells of each new row as JSON: a quote or a newline takes two bytes, and each colon and comma has a
    space behind it (contract §2.0; measured, findings part 9).
    """
    # Less the quotes around each text.
    size = sum(len(_quoted(text).encode()) - 2 for text in texts)
    return size + len(_stored(meta_data).encode()) if meta_data else size
