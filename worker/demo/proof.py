"""The proof: what the journal says against what the ledger's books hold, intent by intent. Pure.

Lost: an accepted intent that ended nowhere, or whose outcome is not in the books. Doubled: an effect in the books that
no intent accounts for, or a second effect of one that does (design §6).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from blnk_relay import Status
from blnk_relay.intents.rows import is_row_id


class BookRow(Protocol):
    """A row of the sandbox's books, as far as the proof needs it."""

    @property
    def transaction_id(self) -> str: ...  # noqa: D102
    @property
    def parent_transaction(self) -> str: ...  # noqa: D102
    @property
    def reference(self) -> str: ...  # noqa: D102
    @property
    def precise_amount(self) -> int: ...  # noqa: D102
    @property
    def effect(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Recorded:
    """An accepted intent and what the journal says of it."""

    status: Status
    payload: Mapping[str, Any]


@dataclass(slots=True)
class Proof:
    """What the comparison found; sound when both lists are empty.

    Attributes:
        lost: Sentences, one for each lost intent.
        doubled: Sentences, one for each effect too many.
        blocked: Sentences, one for each intent that waits for a human to close the dead letter before it.
        effects: Effects in the books.
        explained: Effects that finished intents account for.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    effects: int = 0
    explained: int = 0


#: Effects that each kind's outcomes have in the books.
_EFFECTS = {
    ("transaction", "applied"): "apply",
    ("transaction", "held"): "hold",
    ("inflight.commit", "applied"): "commit",
    ("inflight.void", "voided"): "void",
    ("refund", "refunded"): "apply",
}


def prove(recorded: Iterable[Recorded], rows: Iterable[BookRow]) -> Proof:
    """Compare the journal with the books.

    Every effect in the books is taken by the one intent that it belongs to: a transaction by its reference, a refund
    by the reference that the ledger derives from the refunded row, commits and voids by their hold, amount and row.

    Args:
        recorded: All accepted intents.
        rows: All rows of the ledger.
    """
    proof = Proof()
    books = list(rows)
    free = {row.transaction_id: row for row in books if row.effect != "none"}
    proof.effects = len(free)
    by_reference = {row.reference: row for row in books}
    intents = list(recorded)
    # Those that name the row they made come first; what is left is matched by what it did.
    for item in sorted(intents, key=lambda item: item.status.transaction_id == ""):
        _take(item, free, by_reference, proof)
    unknown = [item for item in intents if item.status.dead_class == "unknown"]
    for row in free.values():
        # An intent that ended as "unknown outcome" may have had its effect: that is what the class says.
        owner = next((item for item in unknown if _may_own(item, row, by_reference)), None)
        if owner is None:
            proof.doubled.append(f"{row.effect} {row.reference} of {row.precise_amount} belongs to no finished intent")
        else:
            unknown.remove(owner)
            proof.explained += 1
    return proof


def _take(item: Recorded, free: dict[str, BookRow], by_reference: Mapping[str, BookRow], proof: Proof) -> None:
    status = item.status
    if status.state == "waiting" and status.waits_for:
        proof.blocked.append(f"{status.kind} {status.key} waits behind {status.waits_for[0]}")
        return
    if not status.finished:
        proof.lost.append(f"{status.kind} {status.key} is still {status.state}")
        return
    if status.state != "done":
        return
    effect = _EFFECTS.get((status.kind, status.outcome))
    row = free.get(status.transaction_id)
    if effect is None or row is None or row.effect != effect or not _may_own(item, row, by_reference):
        proof.lost.append(f"{status.kind} {status.key} is {status.outcome}, but the books show no such {effect}")
        return
    del free[row.transaction_id]
    proof.explained += 1


def _may_own(item: Recorded, row: BookRow, by_reference: Mapping[str, BookRow]) -> bool:
    """Whether a row can be what an intent asked for."""
    status, payload = item.status, item.payload
    amount = payload.get("precise_amount")
    match status.kind:
        case "transaction":
            return row.reference in (status.reference, status.reference + "_q") and row.precise_amount == amount
        case "refund":
            named = _ids(payload["transaction"], by_reference)
            # What is refunded is the row itself, or the one that the commit of a hold made below it.
            refunded = row.reference.removesuffix("_q").removesuffix("_refund")
            return refunded != row.reference and (
                refunded in named
                or any(
                    made.transaction_id == refunded and made.parent_transaction in named
                    for made in by_reference.values()
                )
            )
        case "inflight.commit":
            held = row.parent_transaction in _ids(payload["hold"], by_reference)
            return held and row.effect == "commit" and amount in (None, row.precise_amount)
        case _:
            return row.parent_transaction in _ids(payload["hold"], by_reference) and row.effect == "void"


def _ids(name: str, by_reference: Mapping[str, BookRow]) -> set[str]:
    if is_row_id(name):
        return {name}
    return {row.transaction_id for row in (by_reference.get(name), by_reference.get(name + "_q")) if row is not None}


def tally(recorded: Iterable[Recorded]) -> dict[str, Any]:
    """How the accepted intents ended, by outcome and by class of dead letter."""
    outcomes: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    total = 0
    for item in recorded:
        total += 1
        status = item.status
        if status.state == "dead":
            classes[status.dead_class] += 1
        else:
            outcomes[status.outcome if status.state == "done" else status.state] += 1
    return {
        "accepted": total,
        "applied": outcomes["applied"],
        "held": outcomes["held"],
        "voided": outcomes["voided"],
        "refunded": outcomes["refunded"],
        "rejected": classes["rejected"],
        "dead": sum(classes.values()),
        "dead_by_class": {name: classes[name] for name in ("refused", "rejected", "unknown", "partial")},
    }
