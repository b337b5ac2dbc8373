"""All kinds, by name. A new kind is its module and one line here; one of several parts, two.

A kind's module has its name, with ``_`` for ``.``, and is imported when the kind is first asked for: whoever only looks
into a journal pays for none, or for those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from blnk_relay.errors import InvalidIntent
from blnk_relay.intents.intent import Intent

if TYPE_CHECKING:
    from blnk_relay.intents.kind import Kind

_NAMES = (
    "transaction",
    "transaction.split",
    "transaction.bulk",
    "refund",
    "inflight.commit",
    "inflight.void",
    "inflight.bulk_commit",
    "inflight.bulk_void",
    "ledger.create",
    "balance.create",
    "identity.create",
    "identity.update",
    "balance.link_identity",
    "metadata.update",
    "identity.tokenize",
    "reconciliation.upload",
    "reconciliation.start",
    "reconciliation.start_instant",
    "matching_rule.create",
    "matching_rule.update",
    "matching_rule.delete",
)


#: Kinds of several parts, each with an id of the ledger of its own. They say so themselves (:attr:`Kind.parts`); it
#: stands here as well, so that who looks through a journal need not import them.
WITH_PARTS = frozenset({"transaction.split", "transaction.bulk", "inflight.bulk_commit", "inflight.bulk_void"})

#: Kinds whose payloads hold more that an intent is found by than any kind's (:attr:`Kind.claims`, :attr:`Kind.names`);
#: for the same reason.
NAMING = frozenset(
    {"transaction.bulk", "refund", "inflight.commit", "inflight.void", "inflight.bulk_commit", "inflight.bulk_void"}
)


class _Kinds(Mapping[str, "Kind"]):
    """Every kind, imported when it is first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, Kind | None] = dict.fromkeys(_NAMES)

    def __getitem__(self, name: str) -> Kind:
        kind = self._known[name]
        if kind is None:
            kind = self._known[name] = import_module(f"blnk_relay.kinds.{name.replace('.', '_')}").KIND
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


KINDS: Mapping[str, Kind] = _Kinds()


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
    from blnk_relay.schema.loading import load

    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise InvalidIntent(kind, {"kind": [f"Unknown kind {kind!r}; it must be one of {', '.join(KINDS)}."]})
    return known.intent(load(kind, known.schema, given))
