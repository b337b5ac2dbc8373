"""Rows that stand in a place of an intent's and that no intent of the journal asked for: what each is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blnk_relay.audit.ours import first_and_generation, leg_number, owned_as, refunded_by
from blnk_relay.families.standing import EFFECTIVE
from blnk_relay.intents.evidence import ADVICE, Below, Difference, Known, Past, Sort, difference
from blnk_relay.intents.found import Found, Row
from blnk_relay.schema.legs import legs_of

#: What the ledger makes of a hold by itself, by the date that asks it to.
_BY_ITSELF = {"inflight_expiry_date": "VOID", "inflight_commit_date": "APPLIED"}


def by_itself(payload: Mapping[str, Any]) -> frozenset[str]:
    """Statuses of the rows that the ledger may make below a hold without being asked, for the dates that it has."""
    return frozenset(status for date, status in _BY_ITSELF.items() if date in payload)


def of_the_ledger(past: Past, found: Found, known: Known) -> tuple[Below, ...]:
    """What the ledger made by itself, and no intent of ours, of the holds of a bulk: each has dates of its own."""
    items: list[Mapping[str, Any]] = past.entry.payload.get("items", []) if past.parts else []
    return tuple(
        Below(part.transaction_id, row.transaction_id)
        for item, part in zip(items, past.parts, strict=False)
        if part.stands and (made := by_itself(item))
        for row in found.children(part.transaction_id)
        if row.status in made and not known.owner(row.transaction_id)
    )


def below(past: Past, row: Row, over: Row, since_ms: int, until_ms: int) -> Difference | None:
    """A commit, a void or a refund that no intent asked for.

    Args:
        past: The intent whose row it was made below.
        row: What was made.
        over: The row of that intent.
        since_ms: Of what ended since then its evidence has told,
        until_ms: and before then.

    Returns:
        None where it may be, or was told already.
    """
    if not _stands(past, over):
        return None
    shows = _in_words(row)
    if refunded_by(row.reference):
        return difference(Sort.STRANGE, past, row.reference, shows, says=f"no refund of {over.reference}")
    if row.status in by_itself(_movement(past, owned_as(over.reference))):
        return None
    if since_ms <= past.ended_ms < until_ms and over.status == "INFLIGHT" and not by_itself(past.entry.payload):
        return None
    text = f"settled by no intent of the journal: {shows}"
    return difference(Sort.TWICE, past, over.reference, text, says="what was settled of this hold")


def of_split(past: Past, row: Row) -> Difference | None:
    """A row under a reference of a split that is none of its legs.

    Up to one more than there are, in the mode that is sent, are for its evidence.
    """
    legs = len(legs_of(past.entry.payload))
    if row.status not in EFFECTIVE or 1 <= leg_number(row.reference) <= legs + 1:
        return None
    sort = Sort.TWICE if past.done or past.partial else Sort.HAPPENED
    return difference(sort, past, row.reference, f"none of its {legs} legs: {_in_words(row)}")


def never_given(row: Row, intent: str) -> Difference:
    """A row under a reference of a generation that an intent never had."""
    return _strange(row, f"under a reference that intent {intent} was never given")


def of_nobody(row: Row) -> Difference:
    """A row under a reference of ours that is no intent's."""
    return _strange(row, "no intent with this reference")


def _strange(row: Row, says: str) -> Difference:
    return Difference(Sort.STRANGE, row.reference, says, _in_words(row), ADVICE[Sort.STRANGE])


def _stands(past: Past, row: Row) -> bool:
    """Whether a row is what an intent came to.

    What the ledger took back by itself, because all of it was to happen or none, is of no present generation.
    """
    if past.done and first_and_generation(owned_as(row.reference))[1] == past.generation:
        return True
    if not (past.done or (past.partial and past.state == "dead")):
        return False
    ids = {past.transaction_id, *(part.transaction_id for part in past.parts if part.stands)}
    return row.transaction_id in ids


def _movement(past: Past, reference: str) -> Mapping[str, Any]:
    """The payload that made a row: of a bulk that of the item."""
    items: list[Mapping[str, Any]] = past.entry.payload.get("items", [past.entry.payload])
    return next((item for item in items if item.get("reference") == reference), past.entry.payload)


def _in_words(row: Row) -> str:
    return f"{row.transaction_id} ({row.status} {row.precise_amount} {row.currency})"
