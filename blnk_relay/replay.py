"""Whether a dead letter may be given a new life, and under which reference. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from blnk_relay._version import __version__
from blnk_relay.intents.dead_class import DeadClass
from blnk_relay.kinds.registry import KINDS


class ReplayWay(StrEnum):
    """How a dead letter is replayed."""

    SAME = "same"  #: Under the same reference; what may have been sent is looked up first.
    FRESH = "fresh"  #: Under a new generation of its references: the ledger has used up the old ones, to no effect.
    NO = "no"  #: It would double, or could never end otherwise.


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay of one dead letter would do.

    Attributes:
        way: How.
        why: In words, for the person who confirms it.
    """

    way: ReplayWay
    why: str


#: Codes that any kind may end with and that no replay can help; a kind's own stand in its module.
_HOPELESS = {
    "DEPENDENCY_CLOSED": "what it waited for was closed: discard it, or enqueue it again without it",
    "LINK_EMPTY": "the other intent has no such id: discard it, and enqueue it with the right link",
}

#: Whoever enqueues that again might have it twice.
_PERHAPS_SENT = (
    "what it waited for brought nothing or was closed, and it may have been sent: see at the ledger whether it is "
    "there, then discard it"
)


#: Of a letter that says of its life before a loss what may not be so any more.
PERHAPS_REPLAYED = (
    "it may have been replayed, and sent, in moments that Redis has lost: before you close it or enqueue it again, "
    "replay it, which looks for it at the ledger first, or look there yourself"
)


def closed_how(perhaps_replayed: bool) -> str:
    """What becomes of a dead letter that is closed, in words."""
    return "closed for good" + (f"; but {PERHAPS_REPLAYED}" if perhaps_replayed else "")


def after_a_loss(plan: ReplayPlan) -> ReplayPlan:
    """The plan for a letter that may have been replayed in moments that the journal has lost."""
    return plan if plan.way is ReplayWay.NO else replace(plan, why=f"{plan.why}; {PERHAPS_REPLAYED}")


def plan_replay(kind: str, dead_class: str, code: str) -> ReplayPlan:
    """What a replay of a dead letter would do.

    Args:
        kind: Its kind.
        dead_class: Its class.
        code: Its code.

    Example:
        >>> plan_replay("transaction", "rejected", "TXN_INSUFFICIENT_FUNDS").way
        <ReplayWay.FRESH: 'fresh'>
    """
    if dead_class == DeadClass.INVALID:
        # Its kind may be none that is known here.
        return ReplayPlan(ReplayWay.NO, "it does not validate: enqueue what was meant, then discard it")
    known = KINDS.get(kind)
    if known is None:
        return ReplayPlan(
            ReplayWay.NO,
            f"blnk-relay {__version__} does not know kind {kind!r}: replay it with the version that enqueued it",
        )
    if code in _HOPELESS and dead_class == DeadClass.UNKNOWN:
        return ReplayPlan(ReplayWay.NO, _PERHAPS_SENT)
    if code in _HOPELESS or code in known.hopeless:
        return ReplayPlan(ReplayWay.NO, _HOPELESS.get(code) or known.hopeless[code])
    match dead_class:
        case DeadClass.REJECTED if not known.renewable:
            return ReplayPlan(
                ReplayWay.NO, "the ledger rejected it under a reference of its own, which cannot be used again"
            )
        case DeadClass.REJECTED if known.renewed is not None:
            return ReplayPlan(
                ReplayWay.FRESH, "all is sent again, each item under a new reference: the old are used up"
            )
        case DeadClass.REJECTED:
            return ReplayPlan(ReplayWay.FRESH, "sent again under a new reference, because the old one is used up")
        case DeadClass.PARTIAL if code in known.resumable:
            return ReplayPlan(ReplayWay.SAME, "looked up at the ledger; only items that are not there are sent")
        case DeadClass.PARTIAL:
            return ReplayPlan(ReplayWay.NO, "part of it happened: settle the rest by hand, then discard it")
        case DeadClass.UNKNOWN:
            return ReplayPlan(ReplayWay.SAME, "looked up at the ledger; sent again only if it is not there")
    return ReplayPlan(ReplayWay.SAME, "sent again under the same reference, looked up first if it may have been sent")
