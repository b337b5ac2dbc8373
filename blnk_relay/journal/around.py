"""What stands around an intent: what it waits for, what waits for it, and what keeps it, in words."""

from __future__ import annotations

from dataclasses import dataclass

from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.holdup import holdup_flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Status, statuses_flow

#: Intents named of those that wait for one, of each order and of all others.
MOST_BEHIND = 20


@dataclass(frozen=True, slots=True)
class Around:
    """The neighbours of an intent.

    Attributes:
        keeps: What keeps it, as the second half of a sentence; empty for one that is over.
        ahead: The first of those that it waits for.
        behind: Some of those that wait for it.
        more: How many more do.
    """

    keeps: str = ""
    ahead: tuple[Status, ...] = ()
    behind: tuple[Status, ...] = ()
    more: int = 0


def around_flow(prefix: str, seal: Seal, status: Status) -> Flow[Around]:
    """Read what stands around an intent, in few trips, however much that is."""
    keeps = "" if status.finished else (yield from holdup_flow(prefix, status))
    behind: list[str] = []
    if status.blocks:
        orders, waiting = yield Ask(
            (
                ("HGET", f"{prefix}intent:{status.id}", "orders"),
                ("SRANDMEMBER", f"{prefix}deps:{status.id}", MOST_BEHIND),
            )
        )
        behind += sorted(waiting)
        names = [order for order in (orders or "").split("\n") if order]
        if names:
            ranks = yield Ask(tuple(("ZRANK", f"{prefix}order:{order}", status.id) for order in names))
            stand = [(order, rank) for order, rank in zip(names, ranks, strict=True) if rank is not None]
            if stand:
                found = yield Ask(
                    tuple(("ZRANGE", f"{prefix}order:{order}", rank + 1, rank + MOST_BEHIND) for order, rank in stand)
                )
                behind += [id_ for ids in found for id_ in ids]
    some = list(dict.fromkeys(behind))[:MOST_BEHIND]
    statuses = yield from statuses_flow(prefix, seal, status.target, [*status.waits_for, *some])
    ahead = tuple(one for one in statuses[: len(status.waits_for)] if one is not None)
    after = tuple(one for one in statuses[len(status.waits_for) :] if one is not None)
    return Around(keeps, ahead, after, max(0, status.blocks - len(after)))
