"""The kind ``metadata.update``: merge keys into the metadata of anything (contract §2.10, §3.11).

The merge is shallow: a key is replaced as a whole, and none can be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validates

from blnk_relay.families.kept import Values, keeps_metadata, only_meta
from blnk_relay.families.update import Update, prefix_of
from blnk_relay.intents.decision import Decision, Send, refused
from blnk_relay.intents.exchange import Request, Response
from blnk_relay.intents.found import Found, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.base import MAX_ROW_BYTES
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import IdentityMetaData, stored_bytes
from blnk_relay.schema.names import EntityId
from blnk_relay.schema.values import json_bytes, shows

NAME = "metadata.update"


class MetadataSchema(Schema):
    """Fields of contract §2.10."""

    entity_id = EntityId(required=True)
    meta_data = IdentityMetaData(required=True)

    @validates("meta_data")
    def _bounded(self, value: Mapping[str, Any], **_: Any) -> None:
        if not value:
            raise ValidationError("Must have at least one key.")
        if json_bytes(value) > MAX_ROW_BYTES:
            raise ValidationError(f"Must not take more than {MAX_ROW_BYTES:,} bytes.")


SCHEMA = MetadataSchema()


def update_metadata(entity_id: str | ResultOf, meta_data: Mapping[str, Any]) -> Intent:
    """Merge keys into metadata (contract §2.10): of a ledger, balance, identity, transaction or batch.

    The merge is shallow: a key that is there already is replaced as a whole, ``None`` stores null, and no key can be
    deleted. Of a transaction, the row and those directly below it are changed.

    Args:
        entity_id: ``ldg_…``, ``bln_…``, ``idt_…``, ``txn_…`` or ``bulk_…``, or a link to any of them (``result_of``).
        meta_data: A JSON object of at least one key, without those that the ledger reserves; at most 6,000 bytes.

    Returns:
        The validated intent. It needs a key of yours. Writes to one record are sent in accept order.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> update_metadata("txn_f5dab04c-4934-426f-8377-7dc7fddaef10", {"file": "2026-11-20-A"}).order_key
        'transaction:txn_f5dab04c-4934-426f-8377-7dc7fddaef10'
    """
    return intent(load(NAME, SCHEMA, {"entity_id": entity_id, "meta_data": meta_data}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _is_bounded(entry: Entry) -> bool:
    """Whether the ledger's rows of this resource may break when they grow (contract §2.0)."""
    return prefix_of(UPDATE.record_id(entry)) in ("bln_", "txn_", "bulk_")


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it if there is room for it; afterwards compare the keys that were sent."""
    decision = UPDATE.decide(entry, progress, found, policy)
    if isinstance(decision, Send) and _is_bounded(entry) and _is_too_large(entry, found):
        return refused(
            "METADATA_TOO_LARGE",
            f"With what is there already it would take more than {MAX_ROW_BYTES:,} bytes, and such a row can no longer "
            "be committed, voided, refunded or paid to.",
        )
    return decision


def _is_too_large(entry: Entry, found: Found) -> bool:
    sent = entry.payload["meta_data"]
    rows = (*_own(entry, found), *found.children(UPDATE.record_id(entry)))
    sizes = [stored_bytes(row.description, row.reference) + json_bytes({**row.meta, **sent}) for row in rows]
    sizes += [stored_bytes() + json_bytes({**meta, **sent}) for meta in _records(entry, found)]
    return any(size > MAX_ROW_BYTES for size in sizes)


def _own(entry: Entry, found: Found) -> tuple[Row, ...]:
    """The row itself; none of a batch or a split, which is known by the rows below it alone."""
    row = found.row(UPDATE.record_id(entry))
    return () if row is None else (row,)


def _records(entry: Entry, found: Found) -> list[Mapping[str, Any]]:
    """The metadata of what is no transaction."""
    return [_object(record.value("meta_data")) for record in found.matching(UPDATE.lookup(entry))]


def _stored(entry: Entry, found: Found) -> list[Mapping[str, Any]]:
    """The metadata that the ledger shows, of every row of a batch or a split.

    What is below a row with metadata of its own may be younger than what was written, and shows nothing of it then.
    """
    rows = _own(entry, found) or found.children(UPDATE.record_id(entry))
    return [*_records(entry, found), *(row.meta for row in rows)]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _shows(entry: Entry, found: Found) -> bool:
    stored = _stored(entry, found)
    return bool(stored) and all(shows(entry.payload["meta_data"], meta) for meta in stored)


def _answers(entry: Entry, response: Response) -> bool:
    """Whether an answer shows the metadata."""
    return shows(entry.payload["meta_data"], (response.body or {}).get("meta_data"))


#: What carries the metadata is read before sending as well, to see whether there is room for more.
UPDATE = Update("entity_id", _shows, answers=_answers, reads_first=_is_bounded)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /<id>/metadata``."""
    body = {"meta_data": entry.payload["meta_data"]}
    return Request("POST", f"/{UPDATE.quoted_id(entry)}/metadata", "metadata", body, sync=True, alone=True)


def _only(payload: Mapping[str, Any], names: frozenset[str]) -> Mapping[str, Any]:
    return {**payload, "meta_data": only_meta(payload["meta_data"], names)}


#: What an audit looks for.
VALUES = Values(UPDATE, keeps_metadata, _only)

ABOUT = About(
    builder=update_metadata,
    confirmed="The `200` shows each key with the value that was sent. After an ambiguous answer the record, or every "
    "row of a batch or a split, does (contract §4).",
    ends=(),
    example=Example(
        {
            "entity_id": "txn_f5dab04c-4934-426f-8377-7dc7fddaef10",
            "meta_data": {"settlement_file": "2026-11-20-A"},
        },
        key="settlement-2026-11-20-A",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/:id/metadata",
    summary="Merge keys into the metadata of a ledger, balance, identity, transaction or batch.",
    schema=SCHEMA,
    intent=intent,
    lookups=UPDATE.lookups,
    decide=decide,
    request=request,
    judge=UPDATE.judge,
    about=ABOUT,
    records=True,
    evidence=VALUES.evidence(),
)
