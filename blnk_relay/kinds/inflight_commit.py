"""The kind ``inflight.commit``: settle a hold, all that remains of it or a part."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, post_load

from blnk_relay.families.hold import COMMIT, decide, judge, lookups, request
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf, name_of
from blnk_relay.intents.rows import MOMENT_LOST
from blnk_relay.kinds.inflight_void import VoidSchema
from blnk_relay.money import PRECISIONS, currency_problem, minor_units
from blnk_relay.schema.amounts import Amount, Currency, Precision, WholeNumber
from blnk_relay.schema.loading import load


class CommitSchema(VoidSchema):
    """Which hold to settle, and how much of it; nothing means all that remains."""

    amount = Amount()
    precise_amount = WholeNumber()
    precision = Precision()
    currency = Currency()

    @post_load
    def _canonical(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        payload = {"hold": data["hold"]}
        if "amount" in data:
            if "precise_amount" in data:
                raise ValidationError("Send amount (in units) or precise_amount (in minor units), not both.", "amount")
            precision = data.get("precision") or PRECISIONS.get(data.get("currency", ""))
            if precision is None:
                raise ValidationError(
                    currency_problem(data["currency"])
                    if "currency" in data
                    else "Is needed with amount, as minor units per unit; or give an ISO 4217 currency.",
                    "precision",
                )
            try:
                payload["precise_amount"] = minor_units(data["amount"], precision)
            except ValueError as error:
                raise ValidationError(str(error), "amount") from None
        elif "precise_amount" in data:
            payload["precise_amount"] = data["precise_amount"]
        return payload


SCHEMA = CommitSchema()


def commit_hold(
    hold: str | ResultOf,
    *,
    amount: Decimal | int | str | None = None,
    precise_amount: int | None = None,
    precision: int | None = None,
    currency: str | None = None,
) -> Intent:
    """Settle a hold: all that remains of it, or a part (contract §2.5, §3.8).

    Args:
        hold: The reference it was sent under, or the ``txn_…`` id of its row, or a link to it (``result_of``).
        amount: A part, in units of the currency, exact (``40`` is forty euros); needs ``precision`` or ``currency``.
        precise_amount: A part, in minor units, instead of ``amount`` (``4000`` is forty euros).
        precision: Minor units in one unit, such as 100.
        currency: An ISO 4217 code, instead of ``precision``.

    Returns:
        The validated intent. A full commit has the natural key ``commit:<hold>``; a part needs a key of yours,
        because the ledger cannot tell one part from another.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> commit_hold("hold-93", amount="40.00", currency="EUR").payload["precise_amount"]
        4000
    """
    given = {name: value for name, value in locals().items() if value is not None}
    return intent(load(COMMIT, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    hold = name_of(payload["hold"])
    natural = None if "precise_amount" in payload else f"commit:{hold}"
    return Intent(COMMIT, payload, natural_key=natural, order_key=f"hold:{hold}")


ABOUT = About(
    builder=commit_hold,
    confirmed="All that remains: the hold's `APPLIED` children add up to its amount; the `200` shows the last of "
    "them, and is enough. A part: that sum, recorded before sending, has grown by the part; it is read after a `200` "
    "as well, because a gateway may have repeated the request (contract §3.8, §4).",
    ends=(
        End(
            DeadClass.UNKNOWN,
            "HOLD_CHANGED",
            "Somebody else wrote to the hold while a part was sent. A part carries no key of ours, so nobody can tell "
            "whose it was (contract §3.8).",
        ),
        End(
            DeadClass.UNKNOWN,
            MOMENT_LOST,
            "Redis lost its last moments, and the hold has commits of this amount that no other intent is known to "
            "have made: this part may have been sent in those moments ([guarantees](../guarantees.md)).",
        ),
    ),
    example=Example({"hold": "order-42-hold", "amount": "12.50", "currency": "EUR"}, key="order-42-shipment-1"),
)

KIND = Kind(
    name=COMMIT,
    method="PUT",
    path="/transactions/inflight/:id",
    summary="Settle a hold: all that remains of it, or a part.",
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
    hopeless={
        "HOLD_CHANGED": "nobody can tell whether this part was committed: compare the hold by hand, then discard it",
        MOMENT_LOST: "nobody can tell whether this part was committed: see at the ledger whether one of the commits "
        "that the letter names is this part. If one is, discard it as done; if none is, it did not happen",
    },
)
