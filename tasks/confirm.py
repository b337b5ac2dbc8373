"""``tasks.confirm``: reads back what was handed over, until the ledger shows the outcome (contract §3.5, §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.intents.decision import Look
from blnk_relay.intents.states import State
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.entries import Claimed
from tasks.leases import LOOK_SILENCES, Hand
from tasks.lookups import Decided, Opened, opened, portions, rounds, share_of
from tasks.reports import now_ms, report_claims, settle, settlement_of
from tasks.runtime import Runtime

#: Intents taken in one go at most; fewer where reads are slow.
BATCH = 200

#: A look that comes due within this time is waited for; later ones are left to the bell and the sweeper.
WAIT_FOR_S = 0.4


def confirm(runtime: Runtime) -> int:
    """Look at everything that is due, until nothing is or the slice is over.

    Args:
        runtime: This process.

    Returns:
        Number of intents looked at; 0 also when another task of this process is at it: it will look once more, or ring,
        before it leaves.
    """
    if not runtime.looking.acquire(blocking=False):
        return 0
    try:
        return _confirm(runtime)
    finally:
        runtime.looking.release()


def _confirm(runtime: Runtime) -> int:
    journal, looked = runtime.journal, 0
    lease_s = LOOK_SILENCES * runtime.settings.dead_worker_s
    end_s = steady_s() + runtime.settings.slice_s
    while steady_s() < end_s and not runtime.stopping.is_set():
        claims = journal.take(runtime.worker, runtime.looks, lease_s)
        if unreadable := report_claims(runtime, claims):
            runtime.bells.ring(settle(runtime, unreadable, []))
        if claims.items:
            looked += len(claims.items)
            with runtime.keeper.hand(lease_s) as hand:
                hand.hold(claims.items)
                _look(runtime, claims.items, hand)
        elif claims.next_ms < 0 or claims.next_ms > WAIT_FOR_S * 1000:
            break
        else:
            runtime.stopping.wait(max(claims.next_ms, 5) / 1000)
    runtime.bells.ring(journal.take(runtime.worker, 0, lease_s, leave=True).bells)
    return looked


def _look(runtime: Runtime, taken: Sequence[Claimed], hand: Hand) -> None:
    by_target: dict[str, list[Opened]] = {}
    for claimed in taken:
        by_target.setdefault(claimed.entry.target, []).append(opened(runtime, claimed))
    runtime.looks = _most(runtime, by_target, len(taken))
    for target, batch in by_target.items():
        for portion in portions(runtime, batch, runtime.settings.slice_s):
            decided, healthy = _decided(runtime, portion)
            settlements = [settlement_of(runtime, each, State.POSTED, now_ms(each.claimed)) for each in decided]
            runtime.bells.ring(settle(runtime, settlements, [f"{target}:read"] if healthy else []))
            for item in portion:
                hand.drop(item.claimed)


def _decided(runtime: Runtime, portion: Sequence[Opened]) -> tuple[list[Decided], bool]:
    """Read for a portion; when the process is to stop, what was not begun is given back to be looked at by others."""
    if runtime.stopping.is_set():
        return [Decided(item.claimed, Look(0.0, item.claimed.progress.refuse)) for item in portion], False
    decided: list[Decided] = []
    healthy = False
    for each in rounds(runtime, portion):
        decided += each.decided
        healthy = each.healthy
    return decided, healthy


def _most(runtime: Runtime, by_target: dict[str, list[Opened]], taken: int) -> int:
    """How many intents to take next: as many as are read within a slice, by what these cost.

    What is taken is read by nobody else, so a slow ledger is read by many workers, a few intents each.
    """
    slice_s = runtime.settings.slice_s
    parts = [
        share_of(runtime, batch) / runtime.pace.requests_in(target, slice_s) for target, batch in by_target.items()
    ]
    if sum(parts) <= 1:
        return min(BATCH, max(runtime.looks, 2 * taken))
    return max(1, int(taken / sum(parts)))
