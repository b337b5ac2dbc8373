"""The kind ``transaction.split``: one amount from several sources, or to several destinations.

Always in skip mode and atomic. The ledger numbers legs ``R_1…`` in queue mode and ``R-1…`` in skip mode, so a repeat
in the other mode would apply the split twice (contract §3.6); the mode is recorded before the first attempt and never
left. In queue mode a split can also stay half done for hours, without anybody who could finish it. Which leg gets
which number is chance, so legs are told apart by their balance and amount.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from blnk_relay.families.atomic import PART_S, ROLLBACK, TAKEN_BACK
from blnk_relay.families.legs import decide, lookups
from blnk_relay.families.movement import CONFLICT, VANISHED, altered
from blnk_relay.families.standing import LEGS
from blnk_relay.intents.decision import DeadClass, Done
from blnk_relay.intents.exchange import GateAction, GateChange, Request, Response, Verdict
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import of_generation, split_reference
from blnk_relay.intents.rows import text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.money import PRECISIONS, currency_problem, minor_units
from blnk_relay.schema.amounts import Amount, Currency, Precision, WholeNumber, overdraft_problem
from blnk_relay.schema.base import MAX_ROW_BYTES, Flag, Moment, Text
from blnk_relay.schema.legs import MOST_LEGS, Leg, LegSchema, alike, divide, legs_of, sides
from blnk_relay.schema.loading import load
from blnk_relay.schema.meta_data import MetaData, stored_bytes
from blnk_relay.schema.names import Balance, Reference

NAME = "transaction.split"

_LEGS = (fields.Nested(LegSchema), validate.Length(2, MOST_LEGS))


class SplitSchema(Schema):
    """Fields of contract §2.3 for several sources or several destinations.

    Left out on purpose: ``skip_queue`` and ``atomic`` (always true), ``scheduled_for`` (ignored in skip mode), and the
    dates of holds (their failure is answered with 400 after the legs were applied).
    """

    source = Balance()
    destination = Balance()
    sources = fields.List(_LEGS[0], validate=_LEGS[1])
    destinations = fields.List(_LEGS[0], validate=_LEGS[1])
    currency = Currency(required=True)
    amount = Amount()
    precise_amount = WholeNumber()
    precision = Precision()
    description = Text(required=True)
    reference = Reference()
    inflight = Flag()
    allow_overdraft = Flag()
    overdraft_limit = Amount()
    effective_date = Moment()
    meta_data = MetaData()

    @post_load
    def _canonical(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        several = sides(data)[0]
        precision = data.get("precision") or PRECISIONS.get(data["currency"])
        if precision is None:
            raise ValidationError(currency_problem(data["currency"]), "precision")
        if ("amount" in data) == ("precise_amount" in data):
            raise ValidationError(
                "Send exactly one of amount (in units) and precise_amount (in minor units), for the whole.", "amount"
            )
        whole = _minor("amount", data["amount"], precision) if "amount" in data else data["precise_amount"]
        legs = [dict(leg) for leg in data[several]]
        for leg in legs:
            if "amount" in leg:
                leg["precise_amount"] = _minor(several, leg.pop("amount"), precision)
        try:
            amounts = divide(whole, legs)
        except ValueError as error:
            raise ValidationError(str(error), several) from None
        payload = {name: value for name, value in data.items() if value is not False and name != "amount"}
        payload |= {"precision": precision, "precise_amount": whole}
        payload[several] = [
            {"identifier": leg["identifier"], "precise_amount": amount}
            for leg, amount in zip(legs, amounts, strict=True)
        ]
        if problem := alike(payload):
            raise ValidationError(problem, several)
        if "overdraft_limit" in data:
            payload["overdraft_limit"] = str(data["overdraft_limit"])
            if problem := overdraft_problem(data["overdraft_limit"], precision):
                raise ValidationError(problem, "overdraft_limit")
        reference = split_reference(data.get("reference", ""))
        if stored_bytes(data["description"], reference, meta_data=data.get("meta_data")) > MAX_ROW_BYTES:
            raise ValidationError(
                f"description, reference and meta_data together must not take more than {MAX_ROW_BYTES:,} "
                "bytes: the ledger "
                "never records a larger row.",
                "meta_data",
            )
        return payload


def _minor(field: str, amount: Decimal, precision: int) -> int:
    try:
        return minor_units(amount, precision)
    except ValueError as error:
        raise ValidationError(str(error), field) from None


SCHEMA = SplitSchema()


def split_transaction(
    *,
    currency: str,
    description: str,
    source: str | ResultOf | None = None,
    destination: str | ResultOf | None = None,
    sources: Sequence[Leg] | None = None,
    destinations: Sequence[Leg] | None = None,
    amount: Decimal | int | str | None = None,
    precise_amount: int | None = None,
    precision: int | None = None,
    reference: str | None = None,
    inflight: bool = False,
    allow_overdraft: bool = False,
    overdraft_limit: Decimal | int | str | None = None,
    effective_date: datetime | str | None = None,
    meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """Move one amount from several sources to one destination, or from one source to several (contract §2.3, §3.6).

    The legs happen together: when one fails, the ledger takes the others back. That is no database transaction, so a
    crash in the middle can leave a part; it ends as a dead letter of class ``partial`` that names the legs. Where that
    must not be, send several single transactions.

    Args:
        currency: Such as ``EUR``.
        description: Required by the ledger.
        source: ``bln_…``, ``@name`` or a link to a balance; with ``destinations``.
        destination: The same; with ``sources``.
        sources: Two to a hundred legs with distinct identifiers: :class:`Leg`.
        destinations: The same.
        amount: The whole, in units of the currency, exact: ``Decimal("10.50")``, ``"10.50"`` or ``10``; never a float.
            A whole number counts units too: ``1050`` is one thousand and fifty euros, not 10.50.
        precise_amount: The whole in minor units, instead of ``amount``: ``1050`` is 10.50 euros.
        precision: Minor units in one unit, such as 100; may be left out for ISO 4217 currencies.
        reference: What the ledger's references of the legs begin with; left out, it is made from the key.
        inflight: Make a hold of each leg.
        allow_overdraft: Let sources go below zero, without limit.
        overdraft_limit: Let sources go down to minus this, in units of the currency.
        effective_date: Value date.
        meta_data: A JSON object, without the keys that the ledger reserves; each leg carries it.

    Returns:
        The validated intent, its legs in minor units. Its natural key is ``reference``, if given.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> split_transaction(source="@sales", destinations=[Leg("@shop", percent=90), Leg("@fees", left=True)],
        ...                   currency="EUR", amount="10.01", description="Sale").payload["destinations"][1]
        {'identifier': '@fees', 'precise_amount': 100}
    """
    given = {name: value for name, value in locals().items() if value is not None and value is not False}
    for side in ("sources", "destinations"):
        if side in given:
            given[side] = [leg.given() if isinstance(leg, Leg) else leg for leg in given[side]]
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent; the reference lives beside the payload, not in it."""
    fields_ = {name: value for name, value in payload.items() if name != "reference"}
    reference = payload.get("reference")
    return Intent(NAME, fields_, natural_key=reference, reference=reference)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /transactions`` in skip mode, atomic, every leg as a fixed number of minor units (contract §6.5)."""
    body = dict(entry.payload)
    if "overdraft_limit" in body:
        body["overdraft_limit"] = json.loads(body["overdraft_limit"])
    body[sides(body)[0]] = list(_distributions(body))
    body |= {"reference": of_generation(entry.reference, progress.generation), "skip_queue": True, "atomic": True}
    work_s = PART_S * len(legs_of(entry.payload))
    return Request("POST", "/transactions", "split", body, sync=True, work_s=work_s)


def _distributions(payload: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for leg in legs_of(payload):
        yield {"identifier": leg["identifier"], "precise_distribution": str(leg["precise_amount"])}


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; a 201 names no rows, so the legs are read in any case."""
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning is not Meaning.DONE:
        return verdict
    body = response.body or {}
    if body.get("reference", request.body["reference"]) != request.body["reference"]:
        # The answer to another request: it proves nothing of this one.
        return replace(verdict, accepted=False)
    if altered(body.get("precise_amount"), request.body["precise_amount"]):
        gate = GateChange(GateAction.PAUSE, "ECHO_MISMATCH", 0.0)
        return Verdict(verdict.decision, acted=True, accepted=True, gate=gate)
    if not policy.confirm and "reference" in body:
        return Verdict(Done("accepted", "", text_of(body, "transaction_id")), acted=True, accepted=True)
    return verdict


ABOUT = About(
    builder=split_transaction,
    confirmed="Every leg has a row of its own, told from the others by balance and amount, because which leg gets "
    "which reference is chance (contract §3.6). The `201` names no rows, so they are read in any case.",
    ends=(
        End(
            DeadClass.PARTIAL,
            "ROLLBACK_INCOMPLETE",
            "One leg failed, and the ledger did not take all others back: that is not a database transaction (contract "
            "§3.6). The letter names what stands and what does not.",
        ),
        End(
            DeadClass.REJECTED,
            "ROLLED_BACK",
            "One leg failed and the others were taken back, so nothing happened; the references are used up (contract "
            "§3.6). What may pass, such as a lock, was tried again under new references before.",
        ),
        End(
            DeadClass.UNKNOWN,
            TAKEN_BACK,
            "All legs happened and all were taken back, and no answer said that it was accepted: the ledger does that "
            "when it fails after the last leg was recorded, and somebody else may have (contract §3.6).",
        ),
        VANISHED,
        End(
            DeadClass.UNKNOWN,
            "REFERENCE_CONFLICT",
            "The ledger has a leg under its references that is not one of these (contract §3.2).",
        ),
        End(
            DeadClass.UNKNOWN,
            "OTHER_MODE",
            "It was first sent in another mode, in which the legs have other references: sent in this one it could "
            "apply twice (contract §0.1 fact 6).",
        ),
    ),
    example=Example(
        {
            "source": "@sales",
            "destinations": [{"identifier": "@shop", "percent": "97.5"}, {"identifier": "@fees", "left": True}],
            "currency": "EUR",
            "amount": "40.00",
            "description": "Sale",
        },
        key="sale-77",
        call={"destinations": [Leg("@shop", percent="97.5"), Leg("@fees", left=True)]},
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/transactions",
    summary="Move one amount from several sources, or to several destinations.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    keyed=True,
    findable=True,
    records=True,
    hopeless={**CONFLICT, **ROLLBACK},
    shape=split_reference,
    parts=lambda payload: tuple(str(leg["identifier"]) for leg in legs_of(payload)),
    evidence=LEGS,
)
