"""The kind ``refund``: give one applied transaction back, in full.

Always in queue mode, and never without looking for ``<row>_refund`` first: a repeat after a skip-mode refund would
silently reverse that refund (contract §3.9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from marshmallow import Schema

from blnk_relay.families.movement import CONFLICT, STUCK_QUEUED, VANISHED, altered, rejection_code
from blnk_relay.families.settled import REFUND
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.links import ResultOf, name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.rows import (
    KEY_FORGOTTEN,
    MOMENT_LOST,
    capped,
    family,
    final_row,
    find_named,
    look_again,
    missing,
    row_age_s,
    unless_made_since,
)
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import RowName

NAME = "refund"

#: Answers that contradict a read which shows no refund: of older ledgers, and of newer ones (contract §14.2).
_SAYS_REFUNDED = frozenset({"GEN_CONFLICT", "TXN_ALREADY_REFUNDED"})

#: What newer ledgers say of a refund that is to be refunded as well, which they never do (contract §14.2).
_SAYS_OF_A_REFUND = "TXN_ALREADY_REFUNDED"

#: Where it is noted that the row to give back is a refund.
_OF_A_REFUND = "of_refund"


class RefundSchema(Schema):
    """What to refund; the ledger knows full refunds only."""

    transaction = RowName(required=True)


SCHEMA = RefundSchema()


def refund(transaction: str | ResultOf) -> Intent:
    """Give one applied transaction back, in full (contract §2.6, §3.9).

    The payee may go below zero: a refund always allows an overdraft. A committed hold is refunded through the one
    transaction that its commit made.

    Args:
        transaction: The reference it was sent under, or the ``txn_…`` id of its row, or a link to it (``result_of``).

    Returns:
        The validated intent. Its natural key is ``refund:<transaction>``.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> refund("order_42").natural_key
        'refund:order_42'
    """
    return intent(load(NAME, SCHEMA, {"transaction": transaction}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    natural = f"refund:{name_of(payload['transaction'])}"
    return Intent(NAME, payload, natural_key=natural, order_key=natural)


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """The row to refund, then whatever stands under ``<row>_refund``; read again before every send.

    What was sent stays about the row that it was sent for, whatever the name leads to later.
    """
    if progress.sent and not progress.forgotten:
        return missing(found, *family(progress.memo["row"] + "_refund"))
    named, asked = find_named(found, entry.payload["transaction"])
    if asked:
        return asked
    if named is not None and named.status == "INFLIGHT":
        children = missing(found, Lookup("transactions", "parent_transaction", named.transaction_id))
        if children:
            return children
    applied = _applied_rows(named, found)
    return missing(found, *family(applied[0].transaction_id + "_refund")) if len(applied) == 1 else ()


def _applied_rows(named: Row | None, found: Found) -> list[Row]:
    """The rows whose money would come back: the row itself, or what a hold's commits made of it."""
    if named is None:
        return []
    if named.status == "APPLIED":
        return [named]
    return [row for row in found.children(named.transaction_id) if row.status == "APPLIED"]


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Refund when the row is applied and nothing stands under its refund reference yet."""
    if progress.sent and not progress.forgotten:
        return _after_sending(progress.memo["row"], progress.memo.get("amount"), progress, found, policy)
    named, _ = find_named(found, entry.payload["transaction"])
    applied = _applied_rows(named, found)
    if named is None or not applied:
        return _nothing_to_refund(named, progress, policy)
    there = [found.reference(lookup.value) for lookup in family(applied[0].transaction_id + "_refund")]
    if len(applied) == 1:
        progress = unless_made_since(progress, [row for row in there if row is not None])
    if progress.forgotten and len(applied) == 1:
        # What stands under its refund reference is the only refund that there can be, and is what was asked for.
        return _after_sending(applied[0].transaction_id, applied[0].precise_amount, progress, found, policy)
    if progress.forgotten:
        why = (
            "The journal has forgotten keys, and this refund may have been made under its key long ago"
            if progress.again
            else "The journal lost its last moments, and this refund may have been sent in them"
        )
        return Dead(
            DeadClass.UNKNOWN,
            KEY_FORGOTTEN if progress.again else MOMENT_LOST,
            f"{why}; since then the hold was committed in several parts.",
        )
    if len(applied) > 1:
        ids = ", ".join(row.transaction_id for row in applied)
        return refused("SEVERAL_COMMITS", f"The hold was committed in parts; refund each by its id: {ids}.")
    row = applied[0]
    if _may_grow(named, row, found):
        if progress.age_s < policy.read_lag_s:
            return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
        return refused(
            "PARTLY_COMMITTED",
            f"The hold was committed in part and is still open; refund that part by its id: {row.transaction_id}.",
        )
    for other in there:
        if other is not None and _is_another(other, row.precise_amount):
            return refused("REFERENCE_CONFLICT", _contrast(row.transaction_id, row.precise_amount, other))
    if any(there):
        return refused("ALREADY_REFUNDED", "Somebody else has refunded it, or is refunding it, already.")
    if progress.refuse:
        return refused(progress.code, progress.message)
    return _send(row.transaction_id, row.precise_amount, of_a_refund=_is_refund(row))


def _is_refund(row: Row) -> bool:
    """Whether a row is a refund itself; callers' references neither begin nor end so."""
    return row.reference.startswith("txn_") and row.reference.removesuffix("_q").endswith("_refund")


def _after_sending(row_id: str, amount: str | int | None, progress: Progress, found: Found, policy: Policy) -> Decision:
    """What became of the refund of a row that had this amount, as a text or a number; None where it is not known."""
    reference = row_id + "_refund"
    final = final_row(found, reference)
    if final is not None:
        if _is_another(final, amount):
            return Dead(DeadClass.UNKNOWN, "REFERENCE_CONFLICT", _contrast(row_id, amount, final))
        if final.status == "REJECTED":
            return Dead(DeadClass.REJECTED, rejection_code(final.rejection), capped(final.rejection or "Rejected."))
        if final.status != "APPLIED":
            held = f"The ledger made the refund {final.transaction_id} {final.status}, not APPLIED"
            rest = ": committing that hold gives the money back." if final.status == "INFLIGHT" else "."
            return Dead(DeadClass.PARTIAL, "REFUND_HELD", held + rest)
        return Done("refunded", final.transaction_id, row_id)
    again = look_again(progress, policy)
    if found.reference(reference) is not None:
        if horizons.watch(progress, policy).seconds < policy.stuck_horizon_s:
            return again
        return Dead(DeadClass.UNKNOWN, "STUCK_QUEUED", "The ledger has the refund as QUEUED and may still apply it.")
    of_a_refund = bool(progress.memo.get(_OF_A_REFUND))
    if progress.refuse and progress.code in _SAYS_REFUNDED and not (of_a_refund and progress.code == _SAYS_OF_A_REFUND):
        # "Refunded already" is what the ledger said; a read that does not show it is older than that.
        return again
    # A refund that the ledger could not record as QUEUED (shape S3) shows only once it was applied, as late as the
    # ledger's queue and retries are (contract §3.5), and a repeat would reverse it (contract §3.9).
    if progress.quiet_for_s < policy.quiet_s or horizons.watch(progress, policy).seconds < policy.horizon_s:
        return again
    if progress.refuse:
        return refused(progress.code, progress.message)
    vanished = horizons.has_vanished(progress, policy)
    if vanished is None:
        return again
    if vanished:
        return Dead(DeadClass.UNKNOWN, "VANISHED", f"Sent {progress.sends} times, and the ledger shows no refund.")
    return _send(row_id, amount, of_a_refund=of_a_refund)


def _is_another(row: Row, amount: str | int | None) -> bool:
    """Whether what stands under a refund's reference is none: the ledger refunds in full or not at all."""
    return amount is not None and altered(row.precise_amount, int(amount))


def _contrast(row_id: str, amount: str | int | None, row: Row) -> str:
    return capped(
        f"The ledger has {row.transaction_id} ({row.status}) under the reference that a refund of {row_id} needs, and "
        f"it is none: precise_amount: asked {amount}, has {row.precise_amount}."
    )


def _send(row_id: str, amount: str | int | None, *, of_a_refund: bool) -> Send:
    known: dict[str, Any] = {} if amount is None else {"amount": str(amount)}
    if of_a_refund:
        known[_OF_A_REFUND] = True
    return Send(memo={"row": row_id, **known}, exclusive=row_id)


def _may_grow(named: Row, commit: Row, found: Found) -> bool:
    """Whether more of a hold may be committed, or has been, unseen: then refunding one commit is not a full refund."""
    if named.status != "INFLIGHT" or commit.precise_amount in (None, named.precise_amount):
        return False
    return all(row.status != "VOID" for row in found.children(named.transaction_id))


def _nothing_to_refund(named: Row | None, progress: Progress, policy: Policy) -> Decision:
    if progress.forgotten and progress.quiet_for_s < policy.read_lag_s:
        # What was sent in lost moments had the transaction before its eyes: a read that lags shows less.
        return look_again(progress, policy)
    if named is not None and named.status in ("REJECTED", "VOID"):
        return refused("NOT_REFUNDABLE", f"The transaction is {named.status}: there is nothing to give back.")
    waited_s = progress.age_s if named is None else row_age_s(named, progress)
    if waited_s < (policy.horizon_s if named is None else policy.stuck_horizon_s):
        return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
    if named is None:
        return refused("TRANSACTION_NOT_FOUND", "The ledger shows no such transaction.")
    return refused("NOT_REFUNDABLE", f"The transaction is still {named.status}.")


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /refund-transaction/<applied row>``, queue mode only."""
    row = quote(str(progress.memo["row"]), safe="")
    return Request("POST", f"/refund-transaction/{row}", NAME, {"skip_queue": False})


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; a 201 only says that the refund was handed over."""
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning is not Meaning.POSTED:
        return verdict
    row, body = str(progress.memo["row"]), response.body or {}
    reference, ours = body.get("reference"), row + "_refund"
    if reference not in (None, ours):
        # The answer to another request: it proves nothing of this one.
        return replace(verdict, accepted=False)
    if not policy.confirm and reference == ours:
        return Verdict(Done("accepted"), acted=True, accepted=True)
    return verdict


ABOUT = About(
    builder=refund,
    confirmed="The row to give back is found first, then the one under `<row>_refund_q`, or `<row>_refund`, is "
    "`APPLIED`. The `201` proves nothing: a second refund gets one too (contract §3.9).",
    ends=(
        End(
            DeadClass.REJECTED,
            "*",
            "The ledger recorded a refusal under `<row>_refund`, which is used up (contract §3.9).",
        ),
        End(
            DeadClass.PARTIAL,
            "REFUND_HELD",
            "The ledger made a hold in the other direction instead of a refund, as releases before 0.15.3 may for what "
            "a commit made (contract §14.11); committing that hold gives the money back.",
        ),
        STUCK_QUEUED,
        End(
            DeadClass.UNKNOWN,
            "REFERENCE_CONFLICT",
            "Under `<row>_refund` stands a transaction of another amount than that of the row; the ledger does "
            "not refund in part (contract §3.9).",
        ),
        VANISHED,
        End(
            DeadClass.UNKNOWN,
            MOMENT_LOST,
            "Redis lost its last moments, in which this may have been sent, and since then the hold was committed in "
            "several parts ([guarantees](../guarantees.md)).",
        ),
        End(
            DeadClass.UNKNOWN,
            KEY_FORGOTTEN,
            "The journal has forgotten keys (`BLNK_RELAY_KEY_RETENTION_S`), so this may have been done under its key "
            "long ago, and the hold was committed in several parts ([guarantees](../guarantees.md)).",
        ),
    ),
    example=Example({"transaction": "top-up-1001"}),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/refund-transaction/:id",
    summary="Give one applied transaction back, in full.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    findable=True,
    hopeless=CONFLICT,
    names=lambda payload: (str(payload["transaction"]),),
    absent="TRANSACTION_NOT_FOUND",
    evidence=REFUND,
)
