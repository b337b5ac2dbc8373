"""The kind ``transaction``: one movement of money from one balance to one other, or a hold.

Sending the same single transaction again under the same reference never applies it twice, in either mode
(contract §3.2). A queue-mode 201 proves nothing, so the ledger is read by reference until it shows the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from blnk_relay.families.movement import CONFLICT, STUCK_QUEUED, VANISHED, altered, differences, rejection_code
from blnk_relay.families.standing import ONE
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send
from blnk_relay.intents.exchange import GateAction, GateChange, Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.rows import capped, family, final_row, is_row_id, missing, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.money import PRECISIONS, currency_problem, minor_units
from blnk_relay.schema.amounts import Amount, Currency, Precision, WholeNumber, overdraft_problem
from blnk_relay.schema.base import MAX_ROW_BYTES, Flag, Moment, Text
from blnk_relay.schema.loading import DirectSchema, load
from blnk_relay.schema.meta_data import MetaData, stored_bytes
from blnk_relay.schema.names import Balance, Reference

NAME = "transaction"

#: Accepted sends that left no row at all, after which one is made in skip mode: it answers with the error that queue
#: mode hides, and under the same reference it cannot apply twice (contract §3.2).
PROBE_AFTER_SENDS = 3


class TransactionSchema(DirectSchema):
    """Fields of contract §2.3 that are safe for one source and one destination.

    Left out on purpose: ``amount`` as a JSON number (float64 on the other side), ``dry_run`` (an older ledger would
    execute it), ``atomic`` (means nothing for one leg), ``balance_id`` (ignored), ``sources`` and ``destinations``.
    """

    source = Balance(required=True)
    destination = Balance(required=True)
    currency = Currency(required=True)
    amount = Amount()
    precise_amount = WholeNumber()
    precision = Precision()
    description = Text(required=True)
    reference = Reference()
    inflight = Flag()
    allow_overdraft = Flag()
    overdraft_limit = Amount()
    skip_queue = Flag()
    scheduled_for = Moment()
    effective_date = Moment()
    inflight_expiry_date = Moment()
    inflight_commit_date = Moment()
    meta_data = MetaData()

    def canonical(self, data: dict[str, Any]) -> dict[str, Any]:
        """The payload: exact money, no empty flags, and nothing that would be lost on the way."""
        errors: dict[str, list[str]] = {}
        _check_flags(data, errors)
        payload = {name: value for name, value in data.items() if value is not False and name != "amount"}
        payload["precision"] = data.get("precision") or PRECISIONS.get(data["currency"])
        if payload["precision"] is None:
            errors["precision"] = [currency_problem(data["currency"])]
        elif ("amount" in data) == ("precise_amount" in data):
            errors["amount"] = ["Send exactly one of amount (in units) and precise_amount (in minor units)."]
        elif "amount" in data:
            try:
                payload["precise_amount"] = minor_units(data["amount"], payload["precision"])
            except ValueError as error:
                errors["amount"] = [str(error)]
        if "overdraft_limit" in data:
            payload["overdraft_limit"] = str(data["overdraft_limit"])
            if problem := overdraft_problem(data["overdraft_limit"], payload["precision"]):
                errors["overdraft_limit"] = [problem]
        size = stored_bytes(data["description"], data.get("reference", ""), meta_data=data.get("meta_data"))
        if size > MAX_ROW_BYTES:
            errors["meta_data"] = [
                f"description, reference and meta_data together take {size:,} bytes of at most {MAX_ROW_BYTES:,}: the "
                "ledger answers a larger row with 201 and never records it."
            ]
        if errors:
            raise ValidationError(errors)
        return payload


def _check_flags(data: Mapping[str, Any], errors: dict[str, list[str]]) -> None:
    if data["source"] == data["destination"]:
        errors["destination"] = ["Must differ from source."]
    synchronous = bool(data.get("skip_queue"))
    if synchronous and "scheduled_for" in data:
        errors["scheduled_for"] = ["Cannot go with skip_queue, which ignores it and applies at once."]
    if "effective_date" in data and not synchronous:
        errors["effective_date"] = [
            "Needs skip_queue: in queue mode the ledger loses it whenever it applies several transactions together."
        ]
    for name in _DATES:
        if name in data and not data.get("inflight"):
            errors[name] = ["Only a hold can have it: set inflight, or leave it out."]
        elif name in data and not synchronous:
            errors[name] = [
                "Needs skip_queue: on a queued hold the ledger acts on the wrong row and can release the funds of "
                "other holds."
            ]
    if "overdraft_limit" in data and not synchronous:
        errors["overdraft_limit"] = [
            "Needs skip_queue: in queue mode the ledger drops the limit whenever it applies several transactions "
            "together, and then allows any overdraft or none."
        ]


#: What the ledger is to do with a hold by itself, and when.
_DATES = ("inflight_expiry_date", "inflight_commit_date")

#: The code of an answer that they could not be noted, though the hold was made (contract §2.3).
_SAYS_NOT_NOTED = "TXN_VALIDATION_ERROR"

SCHEMA = TransactionSchema()


def transaction(
    *,
    source: str | ResultOf,
    destination: str | ResultOf,
    currency: str,
    description: str,
    amount: Decimal | int | str | None = None,
    precise_amount: int | None = None,
    precision: int | None = None,
    reference: str | None = None,
    inflight: bool = False,
    allow_overdraft: bool = False,
    overdraft_limit: Decimal | int | str | None = None,
    skip_queue: bool = False,
    scheduled_for: datetime | str | None = None,
    effective_date: datetime | str | None = None,
    inflight_expiry_date: datetime | str | None = None,
    inflight_commit_date: datetime | str | None = None,
    meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """Move money from one balance to another, or reserve it (contract §2.3).

    Args:
        source: ``bln_…``, or ``@name`` for a balance of the general ledger, made on first use, or a link to a
            balance (``result_of``).
        destination: The same; must differ from ``source``.
        currency: Such as ``EUR``. The ledger does not compare it with the balances' own currencies.
        description: Required by the ledger.
        amount: In units of the currency, exact: ``Decimal("10.50")``, ``"10.50"`` or ``10``; never a float. A whole
            number counts units too: ``1050`` is one thousand and fifty euros, not 10.50.
        precise_amount: In minor units, instead of ``amount``: ``1050`` is 10.50 euros.
        precision: Minor units in one unit, such as 100; may be left out for ISO 4217 currencies.
        reference: The ledger's idempotency key; left out, it is made from the key given to ``enqueue``.
        inflight: Make a hold, to be committed or voided later.
        allow_overdraft: Let the source go below zero, without limit.
        overdraft_limit: Let the source go down to minus this, in units of the currency; needs ``skip_queue``.
        skip_queue: Let the ledger work inside the request; slower, but refusals come at once.
        scheduled_for: When the ledger is to apply it; ``not_before`` of ``enqueue`` is the safer way (contract §3.5).
        effective_date: Value date; needs ``skip_queue``.
        inflight_expiry_date: When the ledger voids the hold; needs ``skip_queue``.
        inflight_commit_date: When the ledger commits the hold; needs ``skip_queue``.
        meta_data: A JSON object, without the keys that the ledger reserves (contract §2.0).

    Returns:
        The validated intent. Its natural key is ``reference``, if given.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> transaction(source="@bank", destination="@alice", currency="EUR", amount="10.50",
        ...             description="Top-up", reference="order_42").payload["precise_amount"]
        1050
    """
    given = {name: value for name, value in locals().items() if value is not None and value is not False}
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent; the reference lives beside the payload, not in it."""
    fields_ = {name: value for name, value in payload.items() if name != "reference"}
    reference = payload.get("reference")
    return Intent(NAME, fields_, natural_key=reference, reference=reference)


def reference_of(entry: Entry, progress: Progress) -> str:
    """The reference that this generation is sent under."""
    return of_generation(entry.reference, progress.generation)


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """``R`` and ``R_q``; and, once a row decides, the balances that ``@indicators`` stand for."""
    if not progress.sent and not progress.looking:
        return ()
    reference = reference_of(entry, progress)
    if asked := missing(found, *family(reference)):
        return asked
    final = final_row(found, reference)
    if final is None:
        return ()
    sides = (entry.payload["source"], entry.payload["destination"])
    asked = missing(found, *(Lookup("balances", "indicator", side) for side in sides if side.startswith("@")))
    return (*asked, *missing(found, *_settled_lookups(entry, progress, final)))


def _settled_lookups(entry: Entry, progress: Progress, final: Row) -> tuple[Lookup, ...]:
    """What shows whether a hold was settled, where it may be that its dates were never noted.

    The ledger notes them after it made the hold, and answers with this code where it cannot (contract §2.3). Where no
    answer came the hold counts as done by its row: that it ended just in between is far less likely than that the
    answer was lost, and a letter for each of those would say what hardly ever is so.
    """
    dated = final.status == "INFLIGHT" and any(name in entry.payload for name in _DATES)
    if not dated or progress.accepted or progress.code != _SAYS_NOT_NOTED:
        return ()
    return (Lookup("transactions", "parent_transaction", final.transaction_id),)


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """The loop of contract §4.1, one step at a time."""
    if not progress.sent and not progress.looking:
        return Send()
    reference = reference_of(entry, progress)
    final = final_row(found, reference)
    if final is not None:
        return _outcome(entry, progress, found, final)
    queued = found.reference(reference)
    if queued is not None:
        from_ms = _scheduled_ms(entry)
        if horizons.watch(progress, policy, from_ms).seconds < _horizon_s(entry, policy):
            return horizons.look_on(progress, policy, from_ms)
        return Dead(
            DeadClass.UNKNOWN,
            "STUCK_" + queued.status,
            f"The ledger has it as {queued.status} and may still apply it; never send it under another reference.",
        )
    again = horizons.look_on(progress, policy)
    if (progress.refuse or progress.accepted) and horizons.is_unseen(
        progress, policy, queued=not entry.payload.get("skip_queue")
    ):
        return again
    if progress.refuse:
        exists = progress.sent and progress.code == "TXN_DUPLICATE_REFERENCE"
        return Dead(DeadClass.UNKNOWN if exists else DeadClass.REFUSED, progress.code, progress.message)
    vanished = horizons.has_vanished(progress, policy)
    if vanished is None:
        return again
    if vanished:
        return Dead(DeadClass.UNKNOWN, "VANISHED", f"Sent {progress.sends} times, and the ledger shows no row for it.")
    if progress.sends >= PROBE_AFTER_SENDS and "scheduled_for" not in entry.payload:
        return Send(memo={"probe": True})
    return Send()


def _scheduled_ms(entry: Entry) -> int:
    """When the ledger is to begin, where that was asked for."""
    at = entry.payload.get("scheduled_for")
    return int(datetime.fromisoformat(at).timestamp() * 1000) if at else 0


def _horizon_s(entry: Entry, policy: Policy) -> float:
    """A lost scheduled task is never recovered, a lost queued one within hours (contract §3.5)."""
    return policy.horizon_s if "scheduled_for" in entry.payload else policy.stuck_horizon_s


def _outcome(entry: Entry, progress: Progress, found: Found, final: Row) -> Done | Dead:
    different = differences(entry.payload, final, found)
    if different:
        return Dead(
            DeadClass.UNKNOWN if progress.sent else DeadClass.REFUSED,
            "REFERENCE_CONFLICT",
            capped(f"The ledger has another transaction under this reference: {'; '.join(different)}."),
        )
    if final.status == "REJECTED":
        return Dead(DeadClass.REJECTED, rejection_code(final.rejection), capped(final.rejection or "Rejected."))
    if _settled_lookups(entry, progress, final) and not found.children(final.transaction_id):
        return Dead(
            DeadClass.PARTIAL,
            "DATES_NOT_KNOWN",
            capped(
                f"The hold {final.transaction_id} was made, but the ledger may not know when to settle it."
                + (f" {progress.code}: {progress.message}" if progress.code else "")
            ),
        )
    return Done("held" if final.status == "INFLIGHT" else "applied", final.transaction_id, final.parent)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /transactions``; always with reference, precision and precise_amount (contract §1.5, §6.2)."""
    body = dict(entry.payload)
    if "overdraft_limit" in body:
        body["overdraft_limit"] = json.loads(body["overdraft_limit"])
    body["reference"] = reference_of(entry, progress)
    sync = bool(body.get("skip_queue") or progress.memo.get("probe"))
    body["skip_queue"] = sync
    return Request("POST", "/transactions", NAME, body, sync=sync)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5, and what the body of a 201 proves: nothing, unless it names our reference."""
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning not in (Meaning.DONE, Meaning.POSTED):
        return verdict
    body = response.body or {}
    if body.get("reference", request.body["reference"]) != request.body["reference"]:
        # The answer to another request: it proves nothing of this one.
        return replace(verdict, accepted=False)
    if altered(body.get("precise_amount"), request.body["precise_amount"]):
        # The way to the ledger changes integers: everything has to stop (contract §6.3).
        gate = GateChange(GateAction.PAUSE, "ECHO_MISMATCH", 0.0)
        return Verdict(verdict.decision, acted=True, accepted=True, gate=gate)
    if "reference" not in body or not _as_asked(request.body, body):
        return verdict
    if rule.meaning is Meaning.DONE:
        wanted = "INFLIGHT" if entry.payload.get("inflight") else "APPLIED"
        row_id = text_of(body, "transaction_id")
        if body.get("status") == wanted and is_row_id(row_id):
            done = Done("held" if wanted == "INFLIGHT" else "applied", row_id)
            return Verdict(done, acted=True, accepted=True)
    elif not policy.confirm:
        return Verdict(Done("accepted"), acted=True, accepted=True)
    return verdict


def _as_asked(sent: Mapping[str, Any], echo: Mapping[str, Any]) -> bool:
    """Whether an answer contradicts nothing that was asked; what it leaves out, the rows will show."""
    if any(altered(echo.get(name), sent[name]) for name in ("precise_amount", "precision")):
        return False
    if echo.get("currency", sent["currency"]) != sent["currency"]:
        return False
    for side in ("source", "destination"):
        shown = echo.get(side) or sent[side]
        # An @indicator is answered as itself, or as the balance that it stands for (contract §3.7).
        if shown != sent[side] and not (sent[side].startswith("@") and str(shown).startswith("bln_")):
            return False
    return True


ABOUT = About(
    builder=transaction,
    confirmed="The row under the reference, or in queue mode the one under `<reference>_q`, is `APPLIED` or, of a "
    "hold, `INFLIGHT`, and has the amount, currency, source and destination that were sent. In skip mode the `201` "
    "shows that row, and is enough.",
    ends=(
        End(
            DeadClass.REJECTED,
            "*",
            "The ledger recorded a refusal, as a rule for lack of funds; the reference is used up (contract §3.2).",
        ),
        STUCK_QUEUED,
        VANISHED,
        End(
            DeadClass.UNKNOWN,
            "REFERENCE_CONFLICT",
            "The ledger has another transaction under the reference (contract §3.2).",
        ),
        End(
            DeadClass.PARTIAL,
            "DATES_NOT_KNOWN",
            "A hold with a date was made, and the answer was that its date could not be noted: the ledger does that "
            "after it made the hold, and shows it nowhere (contract §2.3).",
        ),
    ),
    example=Example(
        {
            "source": "@world",
            "destination": "@wallet-alice",
            "currency": "EUR",
            "amount": "25.00",
            "description": "Top-up",
            "allow_overdraft": True,
            "meta_data": {"order": "1001"},
        },
        key="top-up-1001",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/transactions",
    summary="Move money from one balance to another, or reserve it.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    keyed=True,
    findable=True,
    hopeless={
        **CONFLICT,
        "DATES_NOT_KNOWN": "the hold is there, and the ledger may never settle it: commit or void it when it is time, "
        "then discard this letter",
    },
    evidence=ONE,
)
