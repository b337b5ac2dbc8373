"""Which kinds a target cannot prove: what has no read there is refused at the door, not found out afterwards.

A bare Core has no Data API. Of matching rules and of the records of an upload it has no read at all: its router knows
``GET /reconciliation/:id`` and nothing else of reconciliation (Core: api/api.go Router).
"""

from __future__ import annotations

#: Kinds that rest on reads which only Cloud's Data API has, and what cannot be read.
CLOUD_ONLY = {
    "matching_rule.create": "matching rules",
    "matching_rule.update": "matching rules",
    "matching_rule.delete": "matching rules",
    "reconciliation.start_instant": "external transactions",
    "reconciliation.upload": "external transactions",
}


def reach_problem(kind: str, api: str) -> str | None:
    """Why the promise could not be kept for a kind at a target, or None.

    Args:
        kind: Name of a kind.
        api: ``cloud`` or ``core``.

    Example:
        >>> reach_problem("transaction", "core") is None
        True
    """
    unread = CLOUD_ONLY.get(kind) if api == "core" else None
    if unread is None:
        return None
    return (
        f"A Core without Cloud has no read of {unread}, so nothing could prove what became of this, nor that a repeat "
        "would not double it. Use a target with the api cloud, or do it by hand."
    )
