"""``tasks.confirm``: reads back what was handed over, until the ledger shows the outcome (contract §3.5, §4.1)."""

from __future__ import annotations

from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.records import Claimed
from tasks.deliver import report, report_buried
from tasks.looking import decisions
from tasks.runtime import Runtime
from tasks.settling import after_look

#: Intents read back in one go: two references each, in chunks of a hundred values (contract §4).
BATCH = 200

#: How long others leave a batch alone; should this worker die, it is looked at again after that.
LOOK_LEASE_S = 10.0

#: A look that comes due within this time is waited for; later ones are left to the bell and the sweeper.
WAIT_FOR_S = 0.4


def confirm(runtime: Runtime) -> int:
    """Look at everything that is due, until nothing is or the slice is over.

    Args:
        runtime: This process.

    Returns:
        Number of intents looked at.
    """
    journal, looked = runtime.journal, 0
    end_s = steady_s() + runtime.settings.slice_s
    while steady_s() < end_s and not runtime.stopping.is_set():
        claims = journal.take(runtime.worker, BATCH, LOOK_LEASE_S)
        report_buried(runtime, claims.buried)
        if claims.items:
            looked += len(claims.items)
            _look(runtime, list(claims.items))
        elif claims.next_ms < 0 or claims.next_ms > WAIT_FOR_S * 1000:
            break
        else:
            runtime.stopping.wait(max(claims.next_ms, 5) / 1000)
    runtime.bells.ring(journal.take(runtime.worker, 0, LOOK_LEASE_S, leave=True).bells)
    return looked


def _look(runtime: Runtime, claimed: list[Claimed]) -> None:
    by_target: dict[str, list[Claimed]] = {}
    for item in claimed:
        by_target.setdefault(item.entry.target, []).append(item)
    for target, batch in by_target.items():
        at_s = steady_s()
        decided, healthy = decisions(runtime, batch)
        at_ms = batch[0].progress.now_ms + int((steady_s() - at_s) * 1000)
        settlements = [after_look(item, "posted", decision, at_ms, runtime.worker) for item, decision in decided]
        bells = runtime.journal.settle(runtime.worker, settlements, [f"{target}:read"] if healthy else [])
        report(runtime, settlements)
        runtime.bells.ring(bells)
