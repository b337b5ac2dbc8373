"""One hold among those that a request settles together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from blnk_relay.intents.decision import Again, Dead, Look
from blnk_relay.intents.exchange import Request, Response
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import capped, text_of
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: The code of a failed item, and what the single route answers in its place: so that one table judges both.
_AS_SINGLE = {
    "NOT_FOUND": (404, "TXN_NOT_FOUND"),
    "ALREADY_COMMITTED": (409, "TXN_ALREADY_COMMITTED"),
    "ALREADY_VOIDED": (409, "TXN_ALREADY_VOIDED"),
    "NOT_INFLIGHT": (400, "TXN_NOT_INFLIGHT"),
    "INVALID_AMOUNT": (400, "TXN_COMMIT_AMOUNT_EXCEEDED"),
    "LOCKED": (423, "GEN_RESOURCE_LOCKED"),
}
_UNCLASSIFIED = (400, "GEN_BAD_REQUEST")

_SINGLE = Request("PUT", "", "inflight", {}, sync=True)


@dataclass(frozen=True, slots=True)
class Item:
    """One hold, as far as was remembered.

    Attributes:
        row: The INFLIGHT row that its name led to when it was first sent.
        before: Minor units committed below it, recorded before it was sent (contract §4).
        sent: An earlier request may have settled it.
        asked: It was in the last request.
        accepted: The last answer about it said that it succeeded.
        refuse: The last answer about it said no, for good.
        code: Of that answer.
        child: The row that settled it; it is decided, then.
    """

    row: str = ""
    before: str = "0"
    sent: bool = False
    asked: bool = False
    accepted: bool = False
    refuse: bool = False
    code: str = ""
    child: str = ""

    def packed(self) -> list[str]:
        """As it stands in the memo."""
        flags = {"s": self.sent, "q": self.asked, "a": self.accepted, "r": self.refuse}
        return [self.row, self.before, "".join(flag for flag, on in flags.items() if on), self.code, self.child]

    @classmethod
    def unpacked(cls, values: Sequence[str]) -> Item:
        """Out of the memo."""
        row, before, flags, code, child = values
        return cls(row, before, "s" in flags, "q" in flags, "a" in flags, "r" in flags, code, child)


def items_of(progress: Progress, count: int) -> list[Item]:
    """What was remembered of each item."""
    packed = progress.memo.get("items")
    if not packed:
        return [Item(sent=progress.forgotten)] * count
    items = [Item.unpacked(values) for values in packed]
    # What is remembered may be older than the moments that are lost: each that was recorded may have been sent in them.
    return [replace(item, sent=True) if item.row else item for item in items] if progress.lost_ms else items


def memo_of(items: Sequence[Item]) -> dict[str, Any]:
    """What is recorded of all items before they are sent."""
    return {"items": [item.packed() for item in items]}


def judge_item(item: Item, result: Mapping[str, Any], progress: Progress, policy: Policy) -> tuple[Item, float]:
    """An item after its own answer, and the seconds until it should be looked at."""
    if result.get("status") == "succeeded":
        return replace(item, sent=True, asked=False, accepted=True, refuse=False, code=""), policy.confirm_first_s
    status, code = _AS_SINGLE.get(text_of(result, "code"), _UNCLASSIFIED)
    answer = Response(status=status, code=code, message=capped(text_of(result, "message")))
    verdict = verdict_for(rule_for(_SINGLE, answer), progress, answer, policy)
    decision = verdict.decision
    refuse = isinstance(decision, Dead) or (isinstance(decision, Look) and decision.refuse)
    wait_s = decision.in_s if isinstance(decision, Look | Again) else policy.confirm_first_s
    return replace(item, sent=item.sent or verdict.acted, asked=False, refuse=refuse, code=code), wait_s
