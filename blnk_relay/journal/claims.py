"""What a claim brought."""

from __future__ import annotations

from dataclasses import dataclass

from blnk_relay.intents.intent import Entry
from blnk_relay.journal.claimed import Claimed


@dataclass(frozen=True, slots=True)
class Claims:
    """What a worker got.

    Attributes:
        items: Intents.
        bells: Lanes that somebody has to ring.
        next_ms: With looks: milliseconds until the next one is due, -1 for none.
        buried: Intents that became dead letters instead, because every worker that claimed them died.
        unreadable: What was handed out like the items, but cannot be read; and why: the name of the error.
        strange: Kinds that were left to workers who know them.
        locked: Names of encryption keys whose intents were left to workers who have them.
    """

    items: tuple[Claimed, ...]
    bells: tuple[str, ...]
    next_ms: int = -1
    buried: tuple[Entry, ...] = ()
    unreadable: tuple[tuple[Claimed, str], ...] = ()
    strange: tuple[str, ...] = ()
    locked: tuple[str, ...] = ()
