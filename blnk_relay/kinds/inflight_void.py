"""The kind ``inflight.void``: release what remains of a hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from blnk_relay.families.hold import Hold, HoldAction
from blnk_relay.families.settled import settling
from blnk_relay.intents.decision import Dead, Done, refused
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf, name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import unless_made_since
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import RowName

NAME = "inflight.void"


class VoidSchema(Schema):
    """Which hold to release."""

    hold = RowName(required=True)


SCHEMA = VoidSchema()


def void_hold(hold: str | ResultOf) -> Intent:
    """Release what remains of a hold; committed parts stay (contract §3.8).

    Args:
        hold: The reference it was sent under, or the ``txn_…`` id of its row, or a link to it (``result_of``).

    Returns:
        The validated intent. Its natural key is ``void:<hold>``.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> void_hold("hold-93").natural_key
        'void:hold-93'
    """
    return intent(load(NAME, SCHEMA, {"hold": hold}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    hold = name_of(payload["hold"])
    return Intent(NAME, payload, natural_key=f"void:{hold}", order_key=f"hold:{hold}")


def _ended(entry: Entry, hold: Hold, progress: Progress, policy: Policy) -> Done | Dead | None:
    progress = unless_made_since(progress, hold.voids)
    if hold.voids:
        if progress.sent:
            return Done("voided", hold.voids[-1].transaction_id, hold.row.transaction_id)
        return refused("TXN_ALREADY_VOIDED", "The hold was voided already, by its expiry or by somebody else.")
    if hold.committed >= hold.amount:
        return refused("TXN_ALREADY_COMMITTED", "The hold was committed in full: nothing is left to void.")
    return None


ACTION = HoldAction(verb="void", status="VOID", outcome="voided", ended=_ended)

ABOUT = About(
    builder=void_hold,
    confirmed="The hold has a `VOID` child; the `200` shows it. One that was there before we sent anything is somebody "
    "else's, and the intent is *refused* (contract §3.8).",
    ends=(),
    example=Example({"hold": "order-42-hold"}),
)

KIND = Kind(
    name=NAME,
    method="PUT",
    path="/transactions/inflight/:id",
    summary="Release what remains of a hold.",
    schema=SCHEMA,
    intent=intent,
    lookups=ACTION.lookups,
    decide=ACTION.decide,
    request=ACTION.request,
    judge=ACTION.judge,
    about=ABOUT,
    records=True,
    findable=True,
    names=lambda payload: (str(payload["hold"]),),
    absent="HOLD_NOT_FOUND",
    evidence=settling(ACTION),
)
