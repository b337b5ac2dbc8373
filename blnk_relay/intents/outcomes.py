"""What a done intent, and each part of one, can have come to: one list for all kinds."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: What a done intent came to; empty for one that is not done.
OutcomeName = Literal[
    "",
    "applied",
    "held",
    "voided",
    "refunded",
    "created",
    "updated",
    "tokenized",
    "uploaded",
    "started",
    "deleted",
    "accepted",
    "cancelled",
]

#: All of them, in the order in which statements count them.
OUTCOMES: Final[tuple[OutcomeName, ...]] = tuple(name for name in get_args(OutcomeName) if name)

#: What a leg of a split, or an item or hold of a bulk, came to.
PartName = Literal[
    "open",
    "queued",
    "applied",
    "held",
    "voided",
    "refused",
    "rejected",
    "unknown",
    "partial",
    "missing",
    "conflict",
    "undone",
    "undoing",
]
