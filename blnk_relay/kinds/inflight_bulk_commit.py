"""The kind ``inflight.bulk_commit``: settle up to a hundred holds in one request (contract §2.13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields, validate, validates_schema

from blnk_relay.families.hold_batch import MOST_ITEMS, SWITCH, HoldBatch, check_distinct
from blnk_relay.families.settled import settling
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf, link_of
from blnk_relay.intents.rows import MOMENT_LOST
from blnk_relay.kinds.inflight_commit import ACTION, CommitSchema
from blnk_relay.kinds.inflight_commit import NAME as SINGLE
from blnk_relay.schema.loading import load, refuse

NAME = "inflight.bulk_commit"


class BulkCommitSchema(Schema):
    """Fields of contract §2.13; each item is a commit."""

    items = fields.List(fields.Nested(CommitSchema), required=True, validate=validate.Length(1, MOST_ITEMS))

    @validates_schema(skip_on_field_errors=True)
    def _distinct(self, data: dict[str, Any], **_: Any) -> None:
        check_distinct("items", [item["hold"] for item in data["items"]])


SCHEMA = BulkCommitSchema()


def commit_holds(commits: Sequence[Intent | Mapping[str, Any] | str]) -> Intent:
    """Settle many holds in one request (contract §2.13). Needs the setting ``bulk_inflight``.

    Blnk Cloud does not list this route among those that it forwards, and single commits are as safe and as fast. What
    becomes of each hold is told by :meth:`blnk_relay.Relay.parts`: each is settled, or not, for itself. Nothing is sent
    before the ledger shows every one of them.

    Args:
        commits: 1 to 100 distinct holds: what :func:`blnk_relay.commit_hold` returns, or its fields, or the hold alone,
            as its reference, its ``txn_…`` id or a link to it (``result_of``), for all that remains of it.

    Returns:
        The validated intent. It needs a key of yours. It is sent in turn with all other writes to any of its holds.

    Raises:
        InvalidIntent: With the messages by field, ``items.<position>.<field>``.

    Example:
        >>> from blnk_relay.kinds.inflight_commit import commit_hold
        >>> commit_holds(["hold-1", commit_hold("hold-2", amount="12.50", currency="EUR")]).payload["items"][1]
        {'hold': 'hold-2', 'precise_amount': 1250}
    """
    return intent(load(NAME, SCHEMA, {"items": [_given(index, item) for index, item in enumerate(commits)]}))


def _given(index: int, item: Intent | Mapping[str, Any] | str | ResultOf) -> Mapping[str, Any]:
    if isinstance(item, str) or link_of(item) is not None:
        return {"hold": item}
    given = item.payload if isinstance(item, Intent) and item.kind == SINGLE else item
    if not isinstance(given, Mapping):
        refuse(NAME, {"items": {index: ["Must be a commit, its fields, or a hold."]}})
    return given


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, orders=BATCH.orders(payload))


def _body(items: Sequence[tuple[str, Mapping[str, Any]]]) -> Mapping[str, Any]:
    return {
        "transactions": [
            {
                "transaction_id": row,
                **({"precise_amount": item["precise_amount"]} if "precise_amount" in item else {}),
            }
            for row, item in items
        ]
    }


BATCH = HoldBatch(
    single=ACTION,
    wanted=lambda payload: payload["items"],
    path="/transactions/inflight/bulk/commit",
    body=_body,
)

ABOUT = About(
    builder=commit_holds,
    confirmed="Each hold as a single commit of it: by the sum of its `APPLIED` children, which is recorded before "
    "sending, and has grown by a commit of the amount; it is read after any answer, because an answer of this route "
    "shows no child (contract §2.13, §4).",
    ends=(
        End(
            DeadClass.PARTIAL,
            "ITEMS_REFUSED",
            "Some holds were settled; others were not, because they were voided or settled before, or the ledger "
            "refuses them. *refused* if it was all. The letter names them.",
        ),
        End(
            DeadClass.PARTIAL,
            "ITEMS_UNKNOWN",
            "Of some holds nobody can tell: somebody else wrote to them while a part was sent (contract §3.8), or the "
            "ledger never showed what became of them. *unknown* if none was settled. The letter names them.",
        ),
        End(
            DeadClass.UNKNOWN,
            MOMENT_LOST,
            "Redis lost its last moments, in which it may have been sent, and holds have commits of the amounts asked "
            "for that no other intent is known to have made ([guarantees](../guarantees.md)).",
        ),
    ),
    example=Example(
        {
            "items": [
                {"hold": "order-41-hold"},
                {"hold": "order-42-hold", "amount": "12.50", "currency": "EUR"},
            ]
        },
        key="shipments-2026-11-20",
    ),
    renamed={"items": "commits"},
)

KIND = Kind(
    name=NAME,
    method="POST",
    path=BATCH.path,
    summary="Settle many holds in one request.",
    schema=SCHEMA,
    intent=intent,
    lookups=BATCH.lookups,
    decide=BATCH.decide,
    request=BATCH.request,
    judge=BATCH.judge,
    about=ABOUT,
    records=True,
    names=BATCH.names,
    parts=BATCH.names,
    absent="HOLD_NOT_FOUND",
    resumable=frozenset({"ITEMS_REFUSED"}),
    switch=SWITCH,
    evidence=settling(ACTION, BATCH.wanted),
)
