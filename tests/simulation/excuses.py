"""What may be so after the journal has lost its last moments, or has forgotten keys: docs/guarantees.md, as code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: For so long after a loss even what is new is looked for first.
AGAIN_S = 300.0

#: A refund may count as that of a forgotten key if it was made no later than so long after all of these were over.
APART_MS = 300_000

#: Kinds that the ledger can find done although no request left for them: somebody else of ours did what they ask for.
_FOUND = frozenset(
    {
        "refund",
        "inflight.commit",
        "inflight.void",
        "inflight.bulk_commit",
        "inflight.bulk_void",
        "metadata.update",
        "identity.update",
        "identity.tokenize",
        "balance.link_identity",
        "matching_rule.create",
        "matching_rule.update",
        "matching_rule.delete",
        "reconciliation.upload",
        "reconciliation.start_instant",
    }
)

#: Letters of what nobody can tell after a loss, and of which kinds they may be; empty: of any.
_LETTERS: Mapping[str, frozenset[str]] = {
    "MOMENT_LOST": frozenset({"refund", "inflight.commit", "inflight.bulk_commit", "reconciliation.start"}),
    "ITEMS_UNKNOWN": frozenset({"inflight.bulk_commit", "inflight.bulk_void"}),
    "HOLD_CHANGED": frozenset({"inflight.commit", "inflight.void", "inflight.bulk_commit", "inflight.bulk_void"}),
    "TAKEN_BACK": frozenset({"transaction.bulk", "transaction.split"}),
    "NAME_TAKEN": frozenset({"matching_rule.create"}),
    "NOTHING_CAN_TELL": frozenset({"reconciliation.start", "reconciliation.upload", "reconciliation.start_instant"}),
    "SEVERAL_RUNS": frozenset({"reconciliation.start"}),
    "DEPENDENCY_CLOSED": frozenset(),
    "LINK_EMPTY": frozenset(),
    "OTHER_MODE": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """Once that another process, or an older state, served the journal.

    Attributes:
        at_s: When.
        what: By which event.
        over: Keys of what was over in what was left, and stays so.
    """

    at_s: float
    what: str
    over: frozenset[str]


def may_be_lost(key: str, first_s: float, losses: Sequence[Loss]) -> bool:
    """Whether what was known of an intent may have been lost.

    Args:
        key: Its key.
        first_s: When it was first asked for.
        losses: Of the run.
    """
    return any(first_s <= loss.at_s + AGAIN_S and key not in loss.over for loss in losses)


def may_be_found(kind: str) -> bool:
    """Whether an intent of a kind may be done after a loss, and no request ever left for it."""
    return kind in _FOUND


def may_be_told(kind: str, code: str) -> bool:
    """Whether a letter *unknown* with a code may be of a kind after a loss."""
    kinds = _LETTERS.get(code)
    return kinds is not None and (not kinds or kind in kinds)


def may_be_a_repeat(kind: str, made_ms: int, over_ms: int) -> bool:
    """Whether what somebody else has made may count as that of a key which may be forgotten.

    Args:
        kind: Of the intent.
        made_ms: When it was made, by the ledger's clock.
        over_ms: Before when all was over that it may repeat, by the journal's clock; 0 where it repeats nothing.
    """
    return kind == "refund" and over_ms > 0 and made_ms <= over_ms + APART_MS
