"""``tasks.confirm``: reads back what was handed over, until the ledger shows the outcome (contract §3.5, §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.intents.decision import Look
from blnk_relay.intents.states import State
from blnk_relay.journal.claimed import Claimed
from blnk_relay.settings import CONFIRM_LANE
from tasks.leases import LOOK_SILENCES, Hand
from tasks.lookups import Decided, Opened, opened, portions, rounds, share_of
from tasks.reports import now_ms, report_claims, settle, settlement_of
from tasks.runtime import Runtime, tally

#: Intents taken in one go at most; fewer where reads are slow.
BATCH = 200

#: A look that comes due within this time is waited for; later ones are left to the bell and the sweeper.
WAIT_FOR_S = 0.4

#: The shortest pause between two takes; twice as long each time that nothing was handed out, up to the one above.
_FIRST_PAUSE_S = 0.005


def confirm(runtime: Runtime) -> int:
    """Look at everything that is due, until nothing is.

    Args:
        runtime: Of the target.

    Returns:
        Number of intents looked at; 0 also when another loop of this process is at it: it will look once more, or ring,
        before it leaves.
    """
    looked = 0
    while runtime.looking.acquire(blocking=False):
        try:
            runtime.rung.discard(CONFIRM_LANE)
            looked += _confirm(runtime)
        finally:
            runtime.looking.release()
        # A bell that came between the last take and here found the turn taken, and nobody will ring for it again.
        if CONFIRM_LANE not in runtime.rung or runtime.stopping.is_set():
            break
    return looked


def _confirm(runtime: Runtime) -> int:
    journal, looked = runtime.journal, 0
    lease_s = LOOK_SILENCES * runtime.settings.dead_worker_s
    pause_s = _FIRST_PAUSE_S
    while not runtime.stopping.is_set():
        claims = journal.take(runtime.worker, runtime.looks, lease_s)
        if not claims.items:
            tally.idle()
        if unreadable := report_claims(runtime, claims):
            runtime.ring(settle(runtime, unreadable, []))
        if claims.items:
            pause_s = _FIRST_PAUSE_S
            looked += len(claims.items)
            with runtime.keeper.hand(lease_s) as hand:
                hand.hold(claims.items)
                _look(runtime, claims.items, hand)
        elif claims.next_ms < 0 or claims.next_ms > WAIT_FOR_S * 1000:
            break
        else:
            # What is due and not handed out, because another one has to be alone in these hands, takes its time.
            runtime.stopping.wait(max(claims.next_ms / 1000, pause_s))
            pause_s = min(pause_s * 2, WAIT_FOR_S)
    runtime.ring(journal.take(runtime.worker, 0, lease_s, leave=True).bells)
    return looked


def _look(runtime: Runtime, taken: Sequence[Claimed], hand: Hand) -> None:
    batch = [opened(runtime, claimed) for claimed in taken]
    runtime.looks = _most(runtime, batch)
    for portion in portions(runtime, batch, runtime.settings.slice_s):
        decided, healthy = _decided(runtime, portion)
        settlements = [settlement_of(runtime, each, State.POSTED, now_ms(each.claimed)) for each in decided]
        runtime.ring(settle(runtime, settlements, ["read"] if healthy else []))
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


def _most(runtime: Runtime, batch: Sequence[Opened]) -> int:
    """How many intents to take next: as many as are read within a slice, by what these cost.

    What is taken is read by nobody else, so a slow ledger is read by many workers, a few intents each.
    """
    slices = share_of(runtime, batch) / runtime.pace.requests_in(runtime.settings.slice_s)
    if slices <= 1:
        return min(BATCH, max(runtime.looks, 2 * len(batch)))
    return max(1, int(len(batch) / slices))
