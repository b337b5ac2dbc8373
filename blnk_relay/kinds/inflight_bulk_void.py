"""The kind ``inflight.bulk_void``: release up to a hundred holds in one request (contract §2.13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields, validate, validates_schema

from blnk_relay.families.hold_batch import MOST_ITEMS, SWITCH, HoldBatch, check_distinct
from blnk_relay.families.settled import settling
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.kinds.inflight_void import ACTION
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import RowName

NAME = "inflight.bulk_void"


class BulkVoidSchema(Schema):
    """Fields of contract §2.13."""

    holds = fields.List(RowName(), required=True, validate=validate.Length(1, MOST_ITEMS))

    @validates_schema(skip_on_field_errors=True)
    def _distinct(self, data: dict[str, Any], **_: Any) -> None:
        check_distinct("holds", data["holds"])


SCHEMA = BulkVoidSchema()


def void_holds(holds: Sequence[str | ResultOf]) -> Intent:
    """Release what remains of many holds in one request (contract §2.13). Needs the setting ``bulk_inflight``.

    Blnk Cloud does not list this route among those that it forwards, and single voids are as safe and as fast. What
    becomes of each hold is told by :meth:`blnk_relay.Relay.parts`: each is released, or not, for itself. Nothing is
    sent before the ledger shows every one of them.

    Args:
        holds: 1 to 100 distinct holds, each as the reference it was sent under, the ``txn_…`` id of its row, or a link
            to it (``result_of``).

    Returns:
        The validated intent. It needs a key of yours. It is sent in turn with all other writes to any of its holds.

    Raises:
        InvalidIntent: With the messages by field, ``holds.<position>``.

    Example:
        >>> void_holds(["hold-1", "hold-2"]).orders
        ('hold:hold-1', 'hold:hold-2')
    """
    return intent(load(NAME, SCHEMA, {"holds": list(holds)}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, orders=BATCH.orders(payload))


BATCH = HoldBatch(
    single=ACTION,
    wanted=lambda payload: [{"hold": hold} for hold in payload["holds"]],
    path="/transactions/inflight/bulk/void",
    body=lambda items: {"transaction_ids": [row for row, _ in items]},
)

ABOUT = About(
    builder=void_holds,
    confirmed="Each hold as a single void of it: it has a `VOID` child, which was not there before we sent anything. "
    "It is read after any answer, because an answer of this route shows no child (contract §2.13, §4).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "ITEMS_REFUSED",
            "Some holds were released; others were not, because they were voided or settled before, or the ledger "
            "refuses them. *refused* if it was all. The letter names them.",
        ),
        End(
            DeadClass.PARTIAL,
            "ITEMS_UNKNOWN",
            "Of some holds the ledger never showed what became of them. *unknown* if none was released. The letter "
            "names them.",
        ),
    ),
    example=Example({"holds": ["order-43-hold", "order-44-hold"]}, key="cancelled-2026-11-20"),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path=BATCH.path,
    summary="Release what remains of many holds in one request.",
    schema=SCHEMA,
    intent=intent,
    lookups=BATCH.lookups,
    decide=BATCH.decide,
    request=BATCH.request,
    judge=BATCH.judge,
    about=ABOUT,
    records=True,
    findable=True,
    names=BATCH.names,
    parts=BATCH.names,
    absent="HOLD_NOT_FOUND",
    resumable=frozenset({"ITEMS_REFUSED"}),
    switch=SWITCH,
    evidence=settling(ACTION, BATCH.wanted),
)
