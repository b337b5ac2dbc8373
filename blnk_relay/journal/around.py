"""What stands around an intent: what it waits for, what waits for it, and what keeps it, in words."""

from __future__ import annotations

from dataclasses import dataclass

from blnk_relay.intents.states import FINISHED
from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.journal.holdup import holdup_flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import MOST_AHEAD, Status, milliseconds, statuses_flow

#: Intents named of those that wait for one, of each order and of all others.
MOST_BEHIND = 20


@dataclass(frozen=True, slots=True)
class Around:
    """The neighbours of an intent.

    Attributes:
        id: Whose.
        keeps: What keeps it, as the second half of a sentence; empty for one that is over.
        ahead: The first of those that it waits for.
        behind: Some of those that wait for it.
        more: How many more do.
        more_ahead: For how many more it waits, at least.
    """

    id: str = ""
    keeps: str = ""
    ahead: tuple[Status, ...] = ()
    behind: tuple[Status, ...] = ()
    more: int = 0
    more_ahead: int = 0

    def why(self, one: Status) -> str:
        """Why one of those that it waits for is not over yet, or one of those that wait for it waits, in words.

        One that is not among the neighbours is named by its id, which it can be asked for by.
        """
        if one.state == "dead":
            return f"died: {one.dead_class} {one.code}; replay or discard it"
        if one.state == "waiting":
            return self._waits(one)
        tried = f"; {one.attempts} attempt{'' if one.attempts == 1 else 's'} so far" if one.attempts else ""
        last = f", the last one: {one.code}" if one.code and tried else ""
        if one.state == "ready":
            return f"is to be sent{tried}{last}"
        if one.state == "sending":
            return f"a worker is at it{tried}{last}"
        if one.state == "posted":
            return "was sent; the ledger is asked what became of it"
        return f"is over: {one.state} {one.outcome}".rstrip() if one.state in FINISHED else ""

    def _waits(self, one: Status) -> str:
        if not one.waits_for:
            return "what it waited for has just ended"
        first = self.id if self.id in one.waits_for else one.waits_for[0]
        names = {near.id: repr(near.key) for near in (*self.ahead, *self.behind) if near.key} | {self.id: "this one"}
        others = len(one.waits_for) - 1
        at_least = "at least " if len(one.waits_for) >= MOST_AHEAD else ""
        return f"waits for {names.get(first, first)}" + (f" and {at_least}{others} more" if others else "")


def around_flow(prefix: str, seal: Seal, status: Status) -> Flow[Around]:
    """Read what stands around an intent, in few trips, however much that is."""
    keeps = "" if status.finished else (yield from holdup_flow(prefix, status))
    behind: list[str] = []
    more_ahead = 0
    if status.blocks or len(status.waits_for) >= MOST_AHEAD:
        (orders, pending), waiting = yield Ask(
            (
                ("HMGET", f"{prefix}intent:{status.id}", "orders", "pending"),
                ("SRANDMEMBER", f"{prefix}deps:{status.id}", MOST_BEHIND),
            )
        )
        behind += sorted(waiting)
        names = [order for order in (orders or "").split("\n") if order]
        ranks = (yield Ask(tuple(("ZRANK", f"{prefix}order:{order}", status.id) for order in names))) if names else []
        stand = [(order, rank) for order, rank in zip(names, ranks, strict=True) if rank is not None]
        if len(status.waits_for) >= MOST_AHEAD:
            more_ahead = max(int(pending or 0), *(rank for _, rank in stand), MOST_AHEAD) - MOST_AHEAD
        if status.blocks and stand:
            found = yield Ask(
                tuple(("ZRANGE", f"{prefix}order:{order}", rank + 1, rank + MOST_BEHIND) for order, rank in stand)
            )
            behind += [id_ for ids in found for id_ in ids]
    some = list(dict.fromkeys(behind))[:MOST_BEHIND]
    statuses = yield from statuses_flow(prefix, seal, status.target, [*status.waits_for, *some])
    ahead = tuple(one for one in statuses[: len(status.waits_for)] if one is not None)
    after = tuple(one for one in statuses[len(status.waits_for) :] if one is not None)
    after = tuple(sorted(after, key=lambda one: milliseconds(one.created) if one.created else 0))
    return Around(status.id, keeps, ahead, after, max(0, status.blocks - len(after)), more_ahead)
