"""All kinds, by name. A new kind is its module and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from blnk_relay.errors import InvalidIntent
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import Kind
from blnk_relay.kinds import (
    balance_create,
    balance_link_identity,
    identity_create,
    identity_tokenize,
    identity_update,
    inflight_bulk_commit,
    inflight_bulk_void,
    inflight_commit,
    inflight_void,
    ledger_create,
    matching_rule_create,
    matching_rule_delete,
    matching_rule_update,
    metadata_update,
    reconciliation_start,
    reconciliation_start_instant,
    reconciliation_upload,
    refund,
    transaction,
    transaction_bulk,
    transaction_split,
)
from blnk_relay.schema.loading import load

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            transaction.KIND,
            transaction_split.KIND,
            transaction_bulk.KIND,
            refund.KIND,
            inflight_commit.KIND,
            inflight_void.KIND,
            inflight_bulk_commit.KIND,
            inflight_bulk_void.KIND,
            ledger_create.KIND,
            balance_create.KIND,
            identity_create.KIND,
            identity_update.KIND,
            balance_link_identity.KIND,
            metadata_update.KIND,
            identity_tokenize.KIND,
            reconciliation_upload.KIND,
            reconciliation_start.KIND,
            reconciliation_start_instant.KIND,
            matching_rule_create.KIND,
            matching_rule_update.KIND,
            matching_rule_delete.KIND,
        )
    }
)


def intent_of(kind: str, given: Mapping[str, Any]) -> Intent:
    """Validate fields that came as data, for example from a file, rather than through a builder.

    Args:
        kind: Name of a kind, such as ``refund``.
        given: The fields of its builder.

    Returns:
        The validated intent.

    Raises:
        InvalidIntent: The kind is unknown, or fields are not valid.

    Example:
        >>> intent_of("refund", {"transaction": "order_42"}).natural_key
        'refund:order_42'
    """
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise InvalidIntent(kind, {"kind": [f"Unknown kind {kind!r}; it must be one of {', '.join(KINDS)}."]})
    return known.intent(load(kind, known.schema, given))
