"""A failing plan made small: events, intents and peculiarities of the world are taken out while it still fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.simulation.plan import Plan, without

#: Plans that are tried at most for one failure.
MOST_TRIES = 400


def shrunk(plan: Plan, fails: Callable[[Plan], bool], most: int = MOST_TRIES) -> Plan:
    """A smaller plan that fails as well.

    Large pieces are tried first, then smaller ones down to single ones; then whether what is left is needed as it is.

    Args:
        plan: One that fails.
        fails: Whether another one fails in the same way.
        most: Plans that are tried at most.
    """
    tries = 0

    def still(candidate: Plan) -> bool:
        nonlocal tries
        tries += 1
        return tries <= most and fails(candidate)

    smaller = True
    while smaller and tries < most:
        before = plan
        plan = _fewer(plan, still, "events")
        plan = _fewer(plan, still, "intents")
        for name in tuple(plan.world):
            if still(candidate := without(plan, world={name})):
                plan = candidate
        smaller = plan.size < before.size
    for number, event in enumerate(plan.events):
        for simpler in (replace(event, seconds=0.0), replace(event, nth=1), replace(event, of=0)):
            events = (*plan.events[:number], simpler, *plan.events[number + 1 :])
            if simpler != plan.events[number] and still(candidate := replace(plan, events=events)):
                plan = candidate
    return plan


def _fewer(plan: Plan, still: Callable[[Plan], bool], what: str) -> Plan:
    """The same with as few of its events or intents as it takes."""
    size = max(1, len(getattr(plan, what)) // 2)
    while True:
        at = 0
        while at < len(getattr(plan, what)):
            some = set(range(at, min(at + size, len(getattr(plan, what)))))
            candidate = without(plan, **{what: some})
            if candidate.intents and still(candidate):
                plan = candidate
            else:
                at += size
        if size == 1:
            return plan
        size //= 2
