"""How long is waited for what the ledger does not show, and when a human is asked: one rule for all kinds. Pure.

The ledger works on by itself after an answer: it retries what it was handed for a quarter of an hour, and picks up what
it lost for some hours (contract §3.5). So a verdict that rests on an absence needs the ledger to have been *seen*
without the outcome for that long. Time in which nobody could look says nothing: after it the ledger, too, may only just
have come back. What is counted is the time between looks that came to an answer, from the last send on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from blnk_relay.intents.decision import Look, Note
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.retry import growing_s

#: Accepted sends that left nothing at all, after which a human has to look.
MAX_UNSEEN_SENDS = 8

#: Where it is kept in a memo: time of the last look, and milliseconds seen.
_KEY = "watched"

#: Looks that lie further apart than this many of the longest pauses count as if they did not: reading was interrupted.
_MOST_PAUSES = 2


@dataclass(frozen=True, slots=True)
class Watch:
    """What the looks since the last send have seen, this one included.

    Attributes:
        seconds: For how long the ledger was seen without the outcome.
        memo: What has to stand in the memo for the next look; empty where nothing was sent.
    """

    seconds: float
    memo: Mapping[str, Any]


def watch(progress: Progress, policy: Policy, from_ms: int = 0) -> Watch:
    """Count this look.

    Args:
        progress: The intent so far.
        policy: The numbers.
        from_ms: When the ledger could begin, where that is later than the last send: a scheduled time.

    Example:
        >>> from blnk_relay.intents.retry import Backoff
        >>> numbers = Policy(Backoff(1, 9), True, 0.3, 60.0, 30.0, 900.0, 18_000.0, 60.0, 25)
        >>> first = Progress(now_ms=100_000, since_ms=0, deadline_ms=0, sent=True, last_sent_ms=90_000)
        >>> watch(first, numbers)
        Watch(seconds=0.0, memo={'watched': [100000, 0]})
        >>> watch(replace(first, now_ms=130_000, memo=watch(first, numbers).memo), numbers).seconds
        30.0
        >>> watch(replace(first, now_ms=9_000_000, memo=watch(first, numbers).memo), numbers).seconds
        120.0
    """
    if progress.forgotten:
        # What kinds record before they send must not seem to be there, so nothing is remembered of it.
        return Watch(progress.quiet_for_s, {})
    start_ms = max(progress.now_ms - round(progress.quiet_for_s * 1000), progress.since_ms, from_ms)
    at_ms, seen_ms = progress.memo.get(_KEY, (0, 0))
    if at_ms < start_ms:
        seen_ms = 0
    else:
        seen_ms += min(max(0, progress.now_ms - at_ms), int(_MOST_PAUSES * policy.confirm_max_s * 1000))
    return Watch(seen_ms / 1000, {_KEY: [progress.now_ms, seen_ms]} if progress.sent else {})


def back_at(progress: Progress, at_ms: int, seen_ms: int) -> Progress:
    """An intent as it was at an earlier look, for what is judged by what that look has read.

    Args:
        progress: The intent so far.
        at_ms: When that look was.
        seen_ms: For how many milliseconds the ledger had been seen without the outcome then.

    Example:
        >>> from blnk_relay.intents.retry import Backoff
        >>> numbers = Policy(Backoff(1, 9), True, 0.3, 60.0, 30.0, 900.0, 18_000.0, 60.0, 25)
        >>> now = Progress(now_ms=500_000, since_ms=0, deadline_ms=0, sent=True, last_sent_ms=90_000)
        >>> then = back_at(now, 130_000, 30_000)
        >>> then.quiet_for_s, watch(then, numbers).seconds
        (40.0, 30.0)
        >>> watch(back_at(now, 80_000, 30_000), numbers).seconds
        0.0
    """
    if at_ms < max(progress.last_sent_ms, progress.solid_ms, progress.since_ms):
        # The silence has begun anew since.
        seen_ms = 0
    return replace(progress, now_ms=min(at_ms, progress.now_ms), memo={**progress.memo, _KEY: [at_ms, seen_ms]})


def look_on(progress: Progress, policy: Policy, from_ms: int = 0) -> Look:
    """Look again, less and less often, and remember that this look saw no outcome.

    A silence that can only begin later, when a lease that was lost would be over, is awaited in steps that lessen.
    """
    begins_in_s = max(0.0, (progress.last_sent_ms - progress.now_ms) / 1000)
    in_s = growing_s(max(progress.quiet_for_s, begins_in_s / 2), policy.confirm_first_s, policy.confirm_max_s)
    watched = watch(progress, policy, from_ms).memo
    return Look(in_s, progress.refuse, Note({**progress.memo, **watched}) if watched else None)


def unwatched(memo: Mapping[str, Any]) -> dict[str, Any]:
    """A memo without what looks have seen: for a new send, after which they begin again."""
    return {name: value for name, value in memo.items() if name != _KEY}


def is_unseen(progress: Progress, policy: Policy, *, queued: bool) -> bool:
    """Whether what was sent may be there, or may yet come, although no look has shown it.

    A stored row may stay invisible for the read lag (contract §1.7). That is enough to send again under the same
    reference. To call it refused, no try before the one that was refused may be under way any more; and the ledger's
    own retries of what it was handed have to be over as well: they go on unseen for up to a quarter of an hour, and may
    then apply it (contract §3.3, §3.5; measured).

    Args:
        progress: The intent so far.
        policy: The numbers.
        queued: Whether it goes through the ledger's own queue.
    """
    if not progress.refuse:
        return progress.quiet_for_s < policy.read_lag_s
    if progress.quiet_for_s < policy.quiet_s:
        return True
    return queued and progress.maybe_sent and watch(progress, policy).seconds < policy.horizon_s


def has_vanished(progress: Progress, policy: Policy) -> bool | None:
    """Whether so many accepted sends left nothing that a human has to look; None while that is still to be seen."""
    if progress.sends < MAX_UNSEEN_SENDS:
        return False
    return True if watch(progress, policy).seconds >= policy.horizon_s else None
