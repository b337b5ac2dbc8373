"""The kind ``metadata.update``: merge keys into the metadata of anything (contract §2.10, §3.11).

The merge is shallow: a key is replaced as a whole, and none can be deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from marshmallow import Schema, ValidationError, validates

from blnk_relay.families.update import WHAT, judge_update, order_of, send_to, settled, target_id, untouched
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import LINKABLE, ResultOf, link_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import missing
from blnk_relay.schema.base import MAX_ROW_BYTES
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import IdentityMetaData, stored_bytes
from blnk_relay.schema.names import EntityId
from blnk_relay.schema.values import json_bytes, shows

NAME = "metadata.update"

#: Where the metadata of an id is read, and by which field; a batch is only known by its rows (contract §7).
_READ_AT = {
    "ldg_": ("ledgers", "ledger_id"),
    "bln_": ("balances", "balance_id"),
    "idt_": ("identities", "identity_id"),
    "txn_": ("transactions", "transaction_id"),
    "bulk_": ("transactions", "parent_transaction"),
}


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
    entity = payload["entity_id"]
    link = link_of(entity)
    prefix = LINKABLE[link["field"]] if link is not None else _prefix(entity)
    return Intent(NAME, payload, order_key=order_of(WHAT[prefix], entity))


def _prefix(entity_id: str) -> str:
    return entity_id.partition("_")[0] + "_"


def _lookup(entry: Entry) -> Lookup:
    entity_id = target_id(entry, "entity_id")
    return Lookup(*_READ_AT[_prefix(entity_id)], entity_id)


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """What carries the metadata: to compare it, and before that to see whether there is room for more."""
    if untouched(progress) and not _is_bounded(entry):
        return ()
    return missing(found, _lookup(entry))


def _is_bounded(entry: Entry) -> bool:
    """Whether the ledger's rows of this resource may break when they grow (contract §2.0)."""
    return _prefix(target_id(entry, "entity_id")) in ("bln_", "txn_", "bulk_")


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it if there is room for it; afterwards compare the keys that were sent."""
    sent, stored = entry.payload["meta_data"], _stored(entry, found)
    again: Decision = send_to(target_id(entry, "entity_id"))
    if _is_bounded(entry) and any(_size(meta, sent, texts) > MAX_ROW_BYTES for meta, texts in stored):
        again = Dead(
            DeadClass.REFUSED,
            "METADATA_TOO_LARGE",
            f"With what is there already it would take more than {MAX_ROW_BYTES:,} bytes, and such a row can no longer "
            "be committed, voided, refunded or paid to.",
        )
    if untouched(progress):
        return again
    shown = bool(stored) and all(shows(sent, meta) for meta, _ in stored)
    return settled(shown=shown, done=_done(entry), again=again, progress=progress, policy=policy)


def _stored(entry: Entry, found: Found) -> list[tuple[Mapping[str, Any], tuple[str, ...]]]:
    """The metadata that the ledger shows, of every row where there are several, each with the texts beside it."""
    lookup = _lookup(entry)
    if lookup.resource != "transactions":
        return [(_object(record.value("meta_data")), ()) for record in found.matching(lookup)]
    rows: tuple[Row, ...]
    if lookup.field == "parent_transaction":
        rows = found.children(lookup.value)
    else:
        row = found.row(lookup.value)
        rows = () if row is None else (row,)
    return [(row.meta, (row.description, row.reference)) for row in rows]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _size(stored: Mapping[str, Any], sent: Mapping[str, Any], texts: tuple[str, ...]) -> int:
    return stored_bytes(*texts) + json_bytes({**stored, **sent})


def _done(entry: Entry) -> Done:
    return Done("updated", target_id(entry, "entity_id"))


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /<id>/metadata``."""
    path = f"/{quote(target_id(entry, 'entity_id'), safe='')}/metadata"
    return Request("POST", path, "metadata", {"meta_data": entry.payload["meta_data"]}, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; the answer shows the metadata."""
    named = shows(request.body["meta_data"], (response.body or {}).get("meta_data"))
    return judge_update(_done(entry), named=named, progress=progress, request=request, response=response, policy=policy)


ABOUT = About(
    builder=update_metadata,
    confirmed="The `200` shows each key with the value that was sent. After an ambiguous answer the record, or every "
    "row of a batch, does (contract §4).",
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
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
)
