"""All kinds, by name. A new kind is its module and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from blnk_relay.errors import InvalidIntent
from blnk_relay.intents import (
    balance,
    balance_identity,
    bulk,
    identity,
    identity_update,
    inflight,
    inflight_bulk_commit,
    inflight_bulk_void,
    ledger,
    matching_rule,
    matching_rule_change,
    metadata,
    reconciliation,
    reconciliation_instant,
    refund,
    split,
    tokenization,
    transaction,
    upload,
)
from blnk_relay.intents.fields import load
from blnk_relay.intents.model import Intent, Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            transaction.KIND,
            split.KIND,
            bulk.KIND,
            refund.KIND,
            inflight.COMMIT_KIND,
            inflight.VOID_KIND,
            inflight_bulk_commit.KIND,
            inflight_bulk_void.KIND,
            ledger.KIND,
            balance.KIND,
            identity.KIND,
            identity_update.KIND,
            balance_identity.KIND,
            metadata.KIND,
            tokenization.KIND,
            upload.KIND,
            reconciliation.KIND,
            reconciliation_instant.KIND,
            matching_rule.KIND,
            matching_rule_change.UPDATE_KIND,
            matching_rule_change.DELETE_KIND,
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
