"""The kind ``inflight.commit``: settle a hold, all that remains of it or a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError, post_load

from blnk_relay.families.hold import Hold, HoldAction, moment_lost
from blnk_relay.families.settled import settling
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, refused
from blnk_relay.intents.found import Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf, name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import CLOCKS_APART_MS, MOMENT_LOST, look_again, made_ms
from blnk_relay.kinds.inflight_void import VoidSchema
from blnk_relay.money import PRECISIONS, currency_problem, minor_units
from blnk_relay.schema.amounts import Amount, Currency, Precision, WholeNumber
from blnk_relay.schema.loading import load

NAME = "inflight.commit"


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
        elif without := {"currency", "precision"} & data.keys():
            raise ValidationError(
                "Says nothing without amount: give that as well, or leave this out to commit all that remains.",
                min(without),
            )
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
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    hold = name_of(payload["hold"])
    natural = None if "precise_amount" in payload else f"commit:{hold}"
    return Intent(NAME, payload, natural_key=natural, order_key=f"hold:{hold}")


def _ended(entry: Entry, hold: Hold, progress: Progress, policy: Policy) -> Done | Dead | Look | None:
    if "precise_amount" in entry.payload:
        return _part_ended(hold, entry.payload["precise_amount"], progress, policy)
    return _rest_ended(hold, progress)


def _rest_ended(hold: Hold, progress: Progress) -> Done | Dead | None:
    if hold.committed >= hold.amount:
        if progress.sent and hold.commits:
            return Done("applied", hold.commits[-1].transaction_id, hold.row.transaction_id)
        return refused("TXN_ALREADY_COMMITTED", "The hold was committed in full already, by somebody else.")
    if hold.voids:
        return refused("TXN_ALREADY_VOIDED", "The hold was voided: nothing is left to commit.")
    return None


def _is_new(alike: Sequence[Row], hold: Hold, part: int) -> bool:
    """Whether one of the commits of a part's amount may be what the sum has grown by.

    None is where others that came later make up as much. By the ledger's times alone, for the journal's clock is
    another; and not by the order of its rows, for two nodes of a ledger have two clocks.
    """
    if not alike:
        return False
    newest_ms = made_ms(alike[-1].created_at)
    later = (row.precise_amount or 0 for row in hold.commits if made_ms(row.created_at) > newest_ms + CLOCKS_APART_MS)
    return not newest_ms or sum(later) < part


def _part_ended(hold: Hold, part: int, progress: Progress, policy: Policy) -> Done | Dead | Look | None:
    """Settle a partial commit by sums: those recorded before it was sent against those the ledger shows now."""
    if progress.forgotten:
        if progress.quiet_for_s < policy.quiet_s:
            return look_again(progress, policy)
        if any(row.precise_amount == part for row in hold.commits):
            # Whether one of them is this very part is the journal's to say, and that of the ledger's refusal.
            return None
    elif progress.sent:
        before = int(progress.memo["before"])
        alike = [row for row in hold.commits if row.precise_amount == part]
        if hold.committed == before + part and _is_new(alike, hold, part):
            return Done("applied", alike[-1].transaction_id, hold.row.transaction_id)
        if hold.committed < before:
            # Commits are never taken back, so this read is older than the one that was recorded.
            return look_again(progress, policy)
        if hold.committed != before and progress.lost_ms:
            # Others of ours may have come after it in moments that the journal has lost.
            return moment_lost([row.transaction_id for row in alike or hold.commits])
        if hold.committed != before:
            return Dead(
                DeadClass.UNKNOWN,
                "HOLD_CHANGED",
                f"{before} minor units were committed before, {hold.committed} are now, and {part} were asked for: "
                "somebody else writes to this hold, so nobody can tell whether this commit happened.",
            )
        if progress.accepted or progress.quiet_for_s < policy.quiet_s:
            # What was answered with a 200 is there, seen or not; what was not may still be under way.
            return look_again(progress, policy)
    if hold.voids:
        return refused("TXN_ALREADY_VOIDED", "The hold was voided: nothing is left to commit.")
    if part > hold.amount - hold.committed:
        return refused(
            "TXN_COMMIT_AMOUNT_EXCEEDED",
            f"{hold.amount - hold.committed} minor units remain, {part} were asked for.",
        )
    return None


ACTION = HoldAction(verb="commit", status="APPLIED", outcome="applied", ended=_ended)

ABOUT = About(
    builder=commit_hold,
    confirmed="All that remains: the hold's `APPLIED` children add up to its amount; the `200` shows the last of "
    "them, and is enough. A part: that sum, recorded before sending, has grown by the part, by a "
    "commit of its amount that came since; it is read after a `200` as well, because a gateway may have repeated the "
    "request (contract §3.8, §4).",
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
    name=NAME,
    method="PUT",
    path="/transactions/inflight/:id",
    summary="Settle a hold: all that remains of it, or a part.",
    schema=SCHEMA,
    intent=intent,
    lookups=ACTION.lookups,
    decide=ACTION.decide,
    request=ACTION.request,
    judge=ACTION.judge,
    about=ABOUT,
    records=True,
    names=lambda payload: (str(payload["hold"]),),
    absent="HOLD_NOT_FOUND",
    hopeless={
        "HOLD_CHANGED": "nobody can tell whether this part was committed: compare the hold by hand, then discard it",
        MOMENT_LOST: "nobody can tell whether this part was committed: see at the ledger whether one of the commits "
        "that the letter names is this part. If one is, discard it as done; if none is, it did not happen",
    },
    evidence=settling(ACTION),
)
