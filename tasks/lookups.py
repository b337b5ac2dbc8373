"""Reading the ledger for a batch of intents, until each of them can be decided.

What one of them needs and cannot have, or does to the code that handles it, is no trouble of the others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from blnk_relay.errors import JournalUnavailable
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Look
from blnk_relay.intents.exchange import Failure, GateAction, GateChange, Response
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.rows import capped
from blnk_relay.intents.steps import next_step
from blnk_relay.intents.verdicts import asked_s, code_of, unsent_gate
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.clock import steady_s
from blnk_relay.kinds.registry import KINDS
from blnk_relay.log import SHUT, tell
from tasks.runtime import Looked, Runtime
from tasks.settlements import Fault, Unread

#: A look needs at most this many rounds: the named row, its family, its children, and what stands under them.
MAX_ROUNDS = 5

#: Answers to a read after which no other read of the same resource will fare better.
_PAUSING = frozenset({401, 403, 404, 405})
_SLOWING = frozenset({429})
_STRAINING = frozenset({0, 502, 503, 504})

#: What payments are proven by: where these cannot be read, the read-back of the whole target has to wait.
MONEY = frozenset({"transactions", "balances"})

_NOTHING = Found()

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An intent in hand, and what it needs first: questions for the ledger, or nothing more."""

    claimed: Claimed
    step: tuple[Lookup, ...] | Decision | Fault


@dataclass(frozen=True, slots=True)
class Decided:
    """What follows for one intent.

    Attributes:
        claimed: The intent.
        decision: What to do; a fault where its own code failed.
        unread: What it would have needed, where nothing could be decided.
    """

    claimed: Claimed
    decision: Decision | Fault
    unread: Unread | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of reading led to: those that are decided by it, and whether the ledger answered any read well."""

    decided: tuple[Decided, ...]
    healthy: bool


def opened(runtime: Runtime, claimed: Claimed) -> Opened:
    """What an intent needs first."""
    return Opened(claimed, _step(runtime, claimed, _NOTHING))


def portions(runtime: Runtime, batch: Sequence[Opened], seconds: float, connections: int = 1) -> Iterator[list[Opened]]:
    """Cut a batch into portions whose first questions are read within so many seconds each.

    A portion has at least one intent, whatever that asks. Where they are read side by side, each connection gets its
    part: the pace may be another by now.
    """
    if not batch:
        return
    most = runtime.pace.requests_in(seconds)
    if connections > 1:
        most = min(most, max(1, ceil(share_of(runtime, batch) / connections)))
    portion: list[Opened] = []
    requests = 0.0
    for item in batch:
        cost = share_of(runtime, [item])
        if portion and requests + cost > most:
            yield portion
            portion, requests = [], 0.0
        portion.append(item)
        requests += cost
    if portion:
        yield portion


def share_of(runtime: Runtime, batch: Iterable[Opened]) -> float:
    """How many requests the first questions of a batch cost, when they are asked together."""
    return sum(runtime.ledger.share(lookup) for item in batch if isinstance(item.step, tuple) for lookup in item.step)


def rounds(runtime: Runtime, batch: Sequence[Opened]) -> Iterator[Round]:
    """Read what a batch needs, round by round, and decide for each as soon as enough is known.

    Args:
        runtime: Of the target.
        batch: Intents.

    Yields:
        After each round of reading, those that it decided; each intent once in all.

    Raises:
        JournalUnavailable: Redis did not answer; what was not yielded is undecided.
    """
    found, failed = _NOTHING, dict[Lookup, Response]()
    healthy, since_s = False, steady_s()
    open_ = list(batch)
    for _ in range(MAX_ROUNDS):
        wanted: dict[Lookup, None] = {}
        decided: list[Decided] = []
        still_open: list[Opened] = []
        for item in open_:
            step = item.step
            if not isinstance(step, tuple):
                decided.append(_as_read(runtime, _patient(runtime, Decided(item.claimed, step)), since_s))
            elif lost := next((lookup for lookup in step if lookup in failed), None):
                decided.append(_later(runtime, item.claimed, Unread(lost.resource, failed[lost])))
            else:
                wanted.update(dict.fromkeys(step))
                still_open.append(item)
        if decided or not still_open:
            yield Round(tuple(decided), healthy)
        if not still_open:
            return
        faults: dict[str, Fault] = {}
        looked = _look(runtime, list(wanted), still_open, faults)
        failed |= looked.failed
        read = [lookup for lookup in wanted if lookup not in looked.failed]
        healthy = healthy or bool(read)
        found = found.plus(looked.rows, looked.records, read)
        open_ = [_next(runtime, item, found, failed, faults) for item in still_open]
    yield Round(tuple(_at_the_end(runtime, item, failed, since_s) for item in open_), healthy)


def _next(
    runtime: Runtime, item: Opened, found: Found, failed: Mapping[Lookup, Response], faults: Mapping[str, Fault]
) -> Opened:
    """What an intent needs after a round of reading; one whose questions failed needs them still."""
    if fault := faults.get(item.claimed.entry.id):
        return Opened(item.claimed, fault)
    if isinstance(item.step, tuple) and any(lookup in failed for lookup in item.step):
        return item
    return Opened(item.claimed, _step(runtime, item.claimed, found))


def decisions(runtime: Runtime, batch: Sequence[Claimed]) -> tuple[list[Decided], bool]:
    """Read what a batch needs and decide for each.

    Args:
        runtime: Of the target.
        batch: Intents.

    Returns:
        A decision for each, and whether the ledger answered any read well.
    """
    decided: list[Decided] = []
    healthy = False
    for each in rounds(runtime, [opened(runtime, claimed) for claimed in batch]):
        decided += each.decided
        healthy = each.healthy
    return decided, healthy


def _step(runtime: Runtime, claimed: Claimed, found: Found) -> tuple[Lookup, ...] | Decision | Fault:
    try:
        return next_step(KINDS[claimed.entry.kind], claimed.entry, claimed.progress, found, runtime.policy)
    except Exception as error:  # noqa: BLE001 - whatever a kind's code raises is a matter of this one intent
        return Fault.of(error)


def _at_the_end(runtime: Runtime, item: Opened, failed: Mapping[Lookup, Response], since_s: float) -> Decided:
    """Of what the last round led to; to be still open after so many is a read that never comes to an end."""
    if not isinstance(item.step, tuple):
        return _as_read(runtime, _patient(runtime, Decided(item.claimed, item.step)), since_s)
    lost = next((lookup for lookup in item.step if lookup in failed), None)
    if lost is None:
        return _later(runtime, item.claimed, None)
    return _later(runtime, item.claimed, Unread(lost.resource, failed[lost]))


def _look(runtime: Runtime, wanted: Sequence[Lookup], asking: Sequence[Opened], faults: dict[str, Fault]) -> Looked:
    """Read, but nothing of a resource that is known not to be readable for the moment; and tell the gates."""
    now_s = steady_s()
    failed: dict[Lookup, Response] = {}
    for lookup in wanted:
        until_s, answer = runtime.shut.get(lookup.resource, (0.0, Response()))
        if until_s > now_s:
            failed[lookup] = answer
    asked = [lookup for lookup in wanted if lookup not in failed]
    if not asked:
        return Looked(failed=failed)
    looked = _read(runtime, asked, asking, faults)
    told: set[tuple[str, int, str]] = set()
    for lookup, answer in looked.failed.items():
        news = (lookup.resource, answer.status, answer.code)
        if news not in told:
            told.add(news)
            _gate(runtime, lookup.resource, answer)
    return Looked(looked.rows, looked.records, {**failed, **looked.failed})


def _read(runtime: Runtime, asked: Sequence[Lookup], asking: Sequence[Opened], faults: dict[str, Fault]) -> Looked:
    ledger = runtime.ledger
    start_s = steady_s()
    try:
        looked = ledger.look(asked)
    except JournalUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the question of one intent may be such that it cannot be asked
        if len(asking) == 1:
            faults[asking[0].claimed.entry.id] = Fault.of(error)
            return Looked()
        return _one_by_one(runtime, asked, asking, faults)
    runtime.pace.note(sum(ledger.share(lookup) for lookup in asked), steady_s() - start_s)
    return looked


def _one_by_one(
    runtime: Runtime, asked: Sequence[Lookup], asking: Sequence[Opened], faults: dict[str, Fault]
) -> Looked:
    """Ask for each intent alone, so that it is known whose question cannot be asked."""
    rows: list[Row] = []
    records: list[Record] = []
    failed: dict[Lookup, Response] = {}
    for item in asking:
        own = [lookup for lookup in asked if isinstance(item.step, tuple) and lookup in item.step]
        if own:
            looked = _read(runtime, own, [item], faults)
            rows += looked.rows
            records += looked.records
            failed |= looked.failed
    return Looked(tuple(rows), tuple(records), failed)


def _patient(runtime: Runtime, decided: Decided) -> Decided:
    """What acts on a transaction of our own waits for it, however long that takes (contract §5).

    While it is still in our queue, and then for as long as a read may not show what is proven already (contract §1.7).
    One that dies says under which reference what it named was sent again, where it was.
    """
    decision, claimed = decided.decision, decided.claimed
    kind, entry = KINDS[claimed.entry.kind], claimed.entry
    if not isinstance(decision, Dead) or decision.dead_class is not DeadClass.REFUSED or not kind.names:
        return decided
    try:
        names = kind.names(entry.payload)
        if decision.code == kind.absent and any(_may_appear(runtime, name) for name in names):
            return Decided(claimed, Again(runtime.policy.confirm_max_s, counted=False))
        renewed = runtime.journal.renewed_references(names)
    except JournalUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - as with all code of a kind, and all names that it comes up with
        return Decided(claimed, Fault.of(error))
    if not renewed:
        return decided
    now_sent = ", ".join(f"{name!r} is sent as {now!r} by now" for name, now in renewed.items())
    return Decided(claimed, replace(decision, message=capped(f"{decision.message} But {now_sent}: name it by that.")))


def _as_read(runtime: Runtime, decided: Decided, since_s: float) -> Decided:
    """What was done while the ledger was read is not in what was read, however long ago it is as that is decided by.

    Args:
        runtime: Of the target.
        decided: What follows, where nothing that is named is open any more.
        since_s: When the reading began, by the steady clock.
    """
    decision, claimed = decided.decision, decided.claimed
    kind = KINDS[claimed.entry.kind]
    if not isinstance(decision, Dead) or not kind.names or decision.code != kind.absent:
        return decided
    # From the beginning of the reading on it was open, or is done since; to ask for many takes a while as well.
    lag_s = runtime.policy.read_lag_s
    if any(runtime.journal.is_fresh(name, lag_s + steady_s() - since_s) for name in kind.names(claimed.entry.payload)):
        return Decided(claimed, Again(runtime.policy.confirm_max_s, counted=False))
    return decided


def _may_appear(runtime: Runtime, reference: str) -> bool:
    journal = runtime.journal
    return journal.is_open(reference) or journal.is_fresh(reference, runtime.policy.read_lag_s)


def _later(runtime: Runtime, claimed: Claimed, unread: Unread | None) -> Decided:
    """What it needs could not be read: nothing is decided, and it is asked again, less and less often."""
    policy, progress = runtime.policy, claimed.progress
    waited_s = progress.quiet_for_s if progress.sent else progress.age_s
    in_s = growing_s(waited_s, policy.confirm_first_s, policy.confirm_max_s)
    decision = Look(in_s, progress.refuse) if progress.looking else Again(in_s, counted=False)
    return Decided(claimed, decision, unread)


def _gate(runtime: Runtime, resource: str, failure: Response) -> None:
    """What a failed read means for others (contract §5).

    Only where it is the credential that fails, the pace, or what payments are proven by, all reads of the target wait;
    else only those of the same resource.
    """
    money = resource in MONEY
    if failure.status in _PAUSING and (money or failure.status == 401):  # noqa: PLR2004
        action = GateAction.PAUSE
    elif failure.status in _SLOWING or (money and failure.retry_after_s is not None):
        action = GateAction.SLOW
    elif failure.failure is Failure.NOT_SENT:
        if (unsent := unsent_gate(failure)) is not None:
            apply_gate(runtime, "read", unsent)
        return
    elif failure.status in _STRAINING and (money or not failure.status):
        action = GateAction.STRAIN
    else:
        if not money and (failure.status in _PAUSING or failure.retry_after_s is not None):
            _shut(runtime, resource, failure)
        return
    change = GateChange(action, code_of(failure), asked_s(failure))
    apply_gate(runtime, "read", change)
    if failure.status == 401:  # noqa: PLR2004 - the token is bad for writes as well
        apply_gate(runtime, "write", change)


def _shut(runtime: Runtime, resource: str, failure: Response) -> None:
    """Ask no more for a resource until it is tried again."""
    for_s = max(runtime.settings.probe_s, asked_s(failure))
    runtime.shut[resource] = (steady_s() + for_s, failure)
    if runtime.once_in_a_while(f"shut {resource}"):
        tell(_log, SHUT, resource=resource, target=runtime.target, code=code_of(failure))


def apply_gate(runtime: Runtime, side: str, change: GateChange, times: int = 1) -> bool:
    """Pause or slow one side of the target, and tell a human when that is news.

    Args:
        runtime: Of the target.
        side: ``write``, ``read`` or ``lane:<lane>``.
        change: What it is.
        times: How many requests say so.

    Returns:
        Whether nothing is to be sent through it now.
    """
    stops = change.action in (GateAction.PAUSE, GateAction.LOST)
    wait_s = runtime.settings.probe_s if stops else change.wait_s
    news, shut = runtime.journal.complain(side, replace(change, wait_s=wait_s), times)
    if news and stops:
        runtime.reports.paused(runtime.target, side, change)
    return shut
