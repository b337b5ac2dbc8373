"""The kind ``balance.create``: a balance in a ledger (contract §2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, post_load, validate

from blnk_relay.families.creation import MADE_TWICE, OTHERWISE, OTHERWISE_ADVICE, Creation, tagged, unequal
from blnk_relay.families.kept import made
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.amounts import Currency
from blnk_relay.schema.base import MAX_ROW_BYTES, Flag, Text
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import MetaData, stored_bytes
from blnk_relay.schema.names import IdentityId, Indicator, LedgerId

NAME = "balance.create"


class BalanceSchema(Schema):
    """Fields of contract §2.2; ``precision`` is ignored by the ledger and left out."""

    ledger_id = LedgerId(required=True)
    currency = Currency(required=True)
    identity_id = IdentityId()
    track_fund_lineage = Flag()
    allocation_strategy = Text(validate=validate.OneOf(("FIFO", "LIFO", "PROPORTIONAL")))
    indicator = Indicator()
    meta_data = MetaData()

    @post_load
    def _consistent(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if data.get("track_fund_lineage") and "identity_id" not in data:
            raise ValidationError("Is needed with track_fund_lineage: whose funds they are.", "identity_id")
        if "indicator" in data and data["ledger_id"] != LedgerId.literal:
            # The built-in ledger, in which indicators live (contract §2.2, §3.7).
            raise ValidationError(f"Can only be given with ledger_id {LedgerId.literal}.", "indicator")
        if stored_bytes(meta_data=data.get("meta_data")) > MAX_ROW_BYTES:
            raise ValidationError(
                f"Must not take more than {MAX_ROW_BYTES:,} bytes; a larger one breaks every later transaction.",
                "meta_data",
            )
        return {name: value for name, value in data.items() if value is not False}


SCHEMA = BalanceSchema()


def create_balance(
    ledger_id: str | ResultOf,
    currency: str,
    *,
    identity_id: str | ResultOf | None = None,
    track_fund_lineage: bool = False,
    allocation_strategy: str | None = None,
    indicator: str | None = None,
    meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """Make a balance (contract §2.2). ``@indicator`` balances come into being on first use and need no call.

    Args:
        ledger_id: ``ldg_…``, ``general_ledger_id``, or a link to a ledger (``result_of``).
        currency: Such as ``EUR``.
        identity_id: ``idt_…`` of the owner, or a link to an identity.
        track_fund_lineage: Keep track of which money came from where; needs ``identity_id``.
        allocation_strategy: ``FIFO``, ``LIFO`` or ``PROPORTIONAL``.
        indicator: ``@name``, in the general ledger only. Releases of the ledger before 0.15.3 ignore it: the balance is
            then made without, which is a dead letter of class *partial* that names it.
        meta_data: A JSON object, without the keys that the ledger reserves; ours is added.

    Returns:
        The validated intent. It needs a key of yours.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> create_balance("general_ledger_id", "EUR").payload
        {'ledger_id': 'general_ledger_id', 'currency': 'EUR'}
    """
    given = {name: value for name, value in locals().items() if value is not None and value is not False}
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /balances``, with our tag."""
    return Request("POST", "/balances", "balance", {**entry.payload, "meta_data": tagged(entry)}, sync=True)


#: What follows from an indicator that was not taken; nothing else is known to be ignored.
_NO_INDICATOR = (
    "Without its indicator (older ledgers ignore it, contract §14.7) it is not what payments to the indicator reach: "
    "the first of them makes another balance."
)


def _differs_for_ever(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """What nobody can change after a balance was made."""
    different = unequal(payload, shown, ("ledger_id", "currency"))
    if "indicator" in payload and shown.get("indicator") != payload["indicator"]:
        # An empty one is left out of answers, so that it is not there says that there is none (contract §2.2).
        different.append("indicator")
    return different


def _differs(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    names = ("identity_id", "track_fund_lineage", "allocation_strategy")
    return [*_differs_for_ever(payload, shown), *unequal(payload, shown, names)]


CREATION = Creation(
    resource="balances",
    id_field="balance_id",
    prefix="bln_",
    differs=_differs,
    differs_for_ever=_differs_for_ever,
    otherwise=_NO_INDICATOR,
)

ABOUT = About(
    builder=create_balance,
    confirmed="The `201` names the new `balance_id` and our id, and contradicts nothing that was asked for. After an "
    "ambiguous answer exactly one balance carries our id in its `meta_data` (contract §4).",
    ends=(MADE_TWICE, OTHERWISE),
    example=Example(
        {
            "ledger_id": "ldg_073f7ffe-9dfd-42ce-aa50-d1dca1788adc",
            "currency": "EUR",
            "identity_id": "idt_98fcd9f5-5708-4197-a44e-faae002e049f",
        },
        key="wallet-bob",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/balances",
    summary="Make a balance in a ledger.",
    schema=SCHEMA,
    intent=intent,
    lookups=CREATION.lookups,
    decide=CREATION.decide,
    request=request,
    judge=CREATION.judge,
    about=ABOUT,
    findable=True,
    tagged=True,
    hopeless=OTHERWISE_ADVICE,
    evidence=made(CREATION),
)
