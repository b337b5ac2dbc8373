"""The kind ``inflight.void``: release what remains of a hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from blnk_relay.families.hold import VOID, decide, judge, lookups, request
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf, name_of
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import RowName


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
    return intent(load(VOID, SCHEMA, {"hold": hold}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    hold = name_of(payload["hold"])
    return Intent(VOID, payload, natural_key=f"void:{hold}", order_key=f"hold:{hold}")


ABOUT = About(
    builder=void_hold,
    confirmed="The hold has a `VOID` child; the `200` shows it. One that was there before we sent anything is somebody "
    "else's, and the intent is *refused* (contract §3.8).",
    ends=(),
    example=Example({"hold": "order-42-hold"}),
)

KIND = Kind(
    name=VOID,
    method="PUT",
    path="/transactions/inflight/:id",
    summary="Release what remains of a hold.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    names=lambda payload: (str(payload["hold"]),),
    absent="HOLD_NOT_FOUND",
)
