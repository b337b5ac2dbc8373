"""Reading the ledger for a batch of intents, until each of them can be decided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from blnk_relay.intents.model import (
    Again,
    Dead,
    Decision,
    Failure,
    Found,
    GateAction,
    GateChange,
    Look,
    Lookup,
    Response,
    Send,
)
from blnk_relay.intents.registry import KINDS
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.steps import next_step
from blnk_relay.intents.verdicts import asked_s, code_of, unsent_gate
from blnk_relay.journal.records import Claimed
from tasks.runtime import Runtime

#: A look needs at most this many rounds: the named row, its family, its children, and what stands under them.
MAX_ROUNDS = 5

#: Answers to a read after which no other read will fare better.
_PAUSING = frozenset({401, 403, 404, 405})
_SLOWING = frozenset({429})
_STRAINING = frozenset({0, 502, 503, 504})


def decisions(runtime: Runtime, batch: Sequence[Claimed]) -> tuple[list[tuple[Claimed, Decision]], bool]:
    """Read what a batch needs and decide for each.

    Args:
        runtime: This process.
        batch: Intents, all of one target.

    Returns:
        A decision for each, and whether the ledger answered any read well.
    """
    found = Found()
    decided: list[tuple[Claimed, Decision]] = []
    open_ = list(batch)
    healthy = False
    for _ in range(MAX_ROUNDS):
        wanted: dict[Lookup, None] = {}
        still_open = []
        for claimed in open_:
            step = next_step(KINDS[claimed.entry.kind], claimed.entry, claimed.progress, found, runtime.policy)
            if isinstance(step, tuple):
                wanted.update(dict.fromkeys(step))
                still_open.append(claimed)
            else:
                decided.append((claimed, step))
        open_ = still_open
        if not open_:
            break
        looked = runtime.ledger_of(batch[0].entry.target).look(list(wanted))
        if looked.failure is not None:
            _gate(runtime, batch[0].entry.target, looked.failure)
            break
        healthy = True
        found = found.plus(looked.rows, looked.records, wanted)
    return [*_patient(decided, runtime), *_later(open_, runtime)], healthy


def _patient(decided: Iterable[tuple[Claimed, Decision]], runtime: Runtime) -> Iterator[tuple[Claimed, Decision]]:
    """What acts on a transaction of our own waits for it, however long that takes (contract §5).

    While it is still in our queue, and then for as long as a read may not show what is proven already (contract §1.7).
    """
    for claimed, decision in decided:
        kind, entry = KINDS[claimed.entry.kind], claimed.entry
        absent = isinstance(decision, Dead) and decision.code == kind.absent
        names = kind.names(entry.payload) if absent and kind.names else ()
        if any(_may_appear(runtime, entry.target, name) for name in names):
            yield claimed, Again(runtime.policy.confirm_max_s, counted=False)
        else:
            yield claimed, decision


def _may_appear(runtime: Runtime, target: str, reference: str) -> bool:
    journal = runtime.journal
    return journal.is_open(target, reference) or journal.is_fresh(target, reference, runtime.policy.read_lag_s)


def _later(undecided: Iterable[Claimed], runtime: Runtime) -> list[tuple[Claimed, Decision]]:
    """The ledger could not be read: nothing is decided, and it is asked again, less and less often."""
    policy = runtime.policy
    later: list[tuple[Claimed, Decision]] = []
    for claimed in undecided:
        progress = claimed.progress
        waited_s = progress.quiet_for_s if progress.sent else progress.age_s
        in_s = growing_s(waited_s, policy.confirm_first_s, policy.confirm_max_s)
        decision = Look(in_s, progress.refuse) if progress.looking else Again(in_s, counted=False)
        later.append((claimed, decision))
    return later


def _gate(runtime: Runtime, target: str, failure: Response) -> None:
    """What a failed read means for the target (contract §5)."""
    if failure.status in _PAUSING:
        action = GateAction.PAUSE
    elif failure.status in _SLOWING or failure.retry_after_s is not None:
        action = GateAction.SLOW
    elif failure.failure is Failure.NOT_SENT:
        if (change := unsent_gate(failure)) is not None:
            apply_gate(runtime, target, "read", change)
        return
    elif failure.status in _STRAINING:
        action = GateAction.STRAIN
    else:
        return
    change = GateChange(action, code_of(failure), asked_s(failure))
    apply_gate(runtime, target, "read", change)
    if failure.status == 401:  # noqa: PLR2004 - the token is bad for writes as well
        apply_gate(runtime, target, "write", change)


def apply_gate(runtime: Runtime, target: str, side: str, change: GateChange, times: int = 1) -> bool:
    """Pause or slow one side of a target, and tell a human when that is news.

    Args:
        runtime: This process.
        target: Which.
        side: ``write``, ``read`` or ``lane:<lane>``.
        change: What it is.
        times: How many requests say so.

    Returns:
        Whether nothing is to be sent through it now.
    """
    stops = change.action in (GateAction.PAUSE, GateAction.LOST)
    wait_s = runtime.settings.probe_s if stops else change.wait_s
    news, shut = runtime.journal.complain(target, side, replace(change, wait_s=wait_s), times)
    if news and stops:
        runtime.reports.paused(target, side, change)
    return shut


def tell_found(runtime: Runtime, found: Iterable[tuple[str, float]]) -> None:
    """Tell a human of targets that can be reached again."""
    for target, lost_s in found:
        runtime.reports.found(target, lost_s)


def sends_of(decided: Iterable[tuple[Claimed, Decision]]) -> list[tuple[Claimed, Send]]:
    """Those that are to be sent."""
    return [(claimed, decision) for claimed, decision in decided if isinstance(decision, Send)]
