"""What the proof is given, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from blnk_relay import DeadClassName, OutcomeName, PartStatus, Status
from blnk_relay.intents.outcomes import OUTCOMES as ALL_OUTCOMES

#: Outcomes that the statement counts, in its order: those of a write that the ledger has confirmed.
OUTCOMES: tuple[OutcomeName, ...] = tuple(name for name in ALL_OUTCOMES if name not in ("accepted", "cancelled"))

CLASSES: tuple[DeadClassName, ...] = ("refused", "rejected", "unknown", "partial")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An accepted intent and what the journal says of it.

    Attributes:
        status: What it came to.
        payload: What was asked for.
        parts: What its legs or items came to, where it has any.
    """

    status: Status
    payload: Mapping[str, Any]
    parts: tuple[PartStatus, ...] = ()

    @property
    def name(self) -> str:
        """What sentences call it."""
        return f"{self.status.kind} {self.status.key}"

    @property
    def unknown(self) -> bool:
        """It may have had its effect: that is what this class of dead letters says."""
        return self.status.dead_class == "unknown"


@dataclass(slots=True)
class Proof:
    """What the comparison found; sound when both lists are empty.

    Attributes:
        lost: Sentences, one for each lost intent.
        doubled: Sentences, one for each effect too many.
        blocked: Sentences, one for each intent that waits for a human to close the dead letter before it.
        effects: Effects in the books.
        explained: Effects that intents account for.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    effects: int = 0
    explained: int = 0


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
