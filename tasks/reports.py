"""What is the same for all that has come to a verdict: it is written into the journal, and a human hears of deaths."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from blnk_relay.errors import DoesNotVerify, JournalUnavailable, key_in_words
from blnk_relay.intents.decision import Dead, DeadClass, Look, Renew
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.states import State
from blnk_relay.intents.steps import does_not_verify
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.claims import Claims
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.settlement import Settlement
from blnk_relay.log import BROKEN, FAULTED, KEY_MISSING, SETTLED, STRANGE_KIND, UNSETTLED, UNTOLD, tell
from tasks import meter
from tasks.lookups import Decided
from tasks.runtime import Reports, Runtime, tally
from tasks.settlements import Fault, after_fault, after_look, after_rollback

_log = logging.getLogger(__name__)


def about(entry: Entry) -> dict[str, str]:
    """Fields of a line about an intent."""
    named = {"intent": entry.id, "kind": entry.kind, "target": entry.target, "lane": entry.lane}
    return named | {"key": entry.key, "reference": entry.reference}


def now_ms(claimed: Claimed) -> int:
    """The time by the clock of Redis, as far as this process can tell from when it claimed something."""
    return claimed.progress.now_ms + int((steady_s() - claimed.claimed_s) * 1000)


def settle(runtime: Runtime, settlements: Sequence[Settlement], healthy: Sequence[str]) -> tuple[str, ...]:
    """Record verdicts; one that cannot be written down is no trouble of the others.

    Returns:
        Lanes to ring.

    Raises:
        JournalUnavailable: Redis did not answer; perhaps it was recorded.
    """
    unfit: list[tuple[Settlement, Exception]] = []
    settled = runtime.journal.settle(runtime.worker, settlements, healthy, unfit)
    tally.settle()
    bells, stale = settled.bells, settled.stale
    if settled.found_after_s is not None:
        runtime.reports.found(runtime.target, settled.found_after_s)
    for side, code, shut_s in settled.opened:
        runtime.reports.opened(runtime.target, side, code, shut_s)
    if unfit:
        instead = [_in_place_of(runtime, settlement, Fault.of(error)) for settlement, error in unfit]
        hopeless: list[tuple[Settlement, Exception]] = []
        other = runtime.journal.settle(runtime.worker, instead, [], hopeless)
        bells, stale = bells + other.bells, stale | other.stale
        for settlement, error in hopeless:
            fault = Fault.of(error)
            tell(_log, UNSETTLED, about(settlement.claimed.entry), error=fault.error, place=fault.where)
        report(runtime, instead)
    gone = {id(settlement) for settlement, _ in unfit}
    recorded = [settlement for settlement in settlements if id(settlement) not in gone]
    # What is stale is told of all the same: the answer to a first try to record it may have been lost.
    report(runtime, [one for one in recorded if one.claimed.entry.id not in settled.looked_at_again])
    if runtime.meter is not None:
        meter.tell(runtime.meter, runtime.target, recorded, stale | settled.looked_at_again)
    return bells


def _in_place_of(runtime: Runtime, settlement: Settlement, error: Fault) -> Settlement:
    """What is written instead of a verdict that cannot be: that its code failed, and that it may have been sent."""
    claimed = settlement.claimed
    sent = claimed.progress.sent or settlement.fields.get("sent") == "1"
    claimed = replace(claimed, progress=replace(claimed.progress, sent=sent))
    failed = faulted(runtime, claimed, error, claimed.progress.now_ms)
    kept = {name: value for name in ("sent", "sent_first", "sent_last") if (value := settlement.fields.get(name))}
    # What may have been sent is looked at before anything else.
    to = State.POSTED if failed.to == State.READY and sent else failed.to
    return replace(failed, to=to, fields={**kept, **failed.fields})


def faulted(runtime: Runtime, claimed: Claimed, fault: Fault, at_ms: int) -> Settlement:
    """The settlement of an intent whose own code failed."""
    entry = claimed.entry
    tell(_log, FAULTED, about(entry), error=fault.error, place=fault.where)
    return after_fault(claimed, fault, runtime.policy, at_ms, runtime.worker, most=runtime.settings.max_lapses)


def settlement_of(runtime: Runtime, decided: Decided, origin: State, at_ms: int) -> Settlement:
    """The settlement of what a look led to."""
    claimed, decision = decided.claimed, decided.decision
    if isinstance(decision, Fault):
        return faulted(runtime, claimed, decision, at_ms)
    if isinstance(decision, Renew):
        return guarded(runtime, claimed, at_ms, lambda: _renewed(runtime, claimed, origin, at_ms))
    return guarded(
        runtime,
        claimed,
        at_ms,
        lambda: after_look(claimed, origin, decision, at_ms, runtime.worker, unread=decided.unread),
    )


def _renewed(runtime: Runtime, claimed: Claimed, origin: State, at_ms: int) -> Settlement:
    """The settlement of what is sent again under fresh references."""
    try:
        renewal = runtime.journal.renewal(claimed.entry.id, claimed.progress.generation)
    except DoesNotVerify:
        return broken(runtime, claimed)
    except JournalUnavailable:
        # Another look will come to the same.
        return after_look(claimed, origin, Look(runtime.policy.confirm_first_s), at_ms, runtime.worker)
    return after_rollback(claimed, origin, renewal, at_ms, runtime.worker)


def guarded(runtime: Runtime, claimed: Claimed, at_ms: int, make: Callable[[], Settlement]) -> Settlement:
    """A settlement, or, where it cannot be made, that of a fault."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - whatever one intent raises is a matter of this one intent
        return faulted(runtime, claimed, Fault.of(error), at_ms)


def report(runtime: Runtime, settlements: Iterable[Settlement]) -> None:
    """Tell a human of new dead letters."""
    for settlement in settlements:
        fields = settlement.fields
        if _log.isEnabledFor(SETTLED.level):
            code = fields.get("code", "")
            tell(_log, SETTLED, about(settlement.claimed.entry), state=settlement.to, code=code, worker=runtime.worker)
        if settlement.to == State.DEAD:
            tell_dead(
                runtime.reports,
                settlement.claimed.entry,
                Dead(fields["class"], fields["code"], fields["message"]),  # type: ignore[arg-type]
            )


def report_claims(runtime: Runtime, claims: Claims) -> list[Settlement]:
    """Tell of what was not handed out, and why.

    Returns:
        The settlements of what was handed out and cannot be read.
    """
    lapsed = Dead(DeadClass.UNKNOWN, "LAPSED_TOO_OFTEN", "Every worker that claimed it died.")
    for entry in claims.buried:
        tell_dead(runtime.reports, entry, lapsed)
    for kind in claims.strange:
        if runtime.once_in_a_while(f"strange {kind}", float("inf")):
            tell(_log, STRANGE_KIND, kind=kind)
    for key in claims.locked:
        if runtime.once_in_a_while(f"locked {key}"):
            tell(_log, KEY_MISSING, target=runtime.target, encryption_key=f"key {key_in_words(key)}")
    return [
        broken(runtime, claimed)
        if error == DoesNotVerify.__name__
        else faulted(runtime, claimed, Fault(error, "its record"), claimed.progress.now_ms)
        for claimed, error in claims.unreadable
    ]


def broken(runtime: Runtime, claimed: Claimed) -> Settlement:
    """The settlement of an intent whose record is encrypted and does not verify: no other try would read it."""
    tell(_log, BROKEN, about(claimed.entry))
    origin = State.POSTED if claimed.progress.looking else State.SENDING
    return after_look(claimed, origin, does_not_verify(claimed.progress), now_ms(claimed), runtime.worker)


def tell_dead(reports: Reports, entry: Entry, death: Dead) -> None:
    """Tell a human of a new dead letter; that this fails is no trouble of the others."""
    try:
        reports.dead(entry, death)
    except Exception as error:  # noqa: BLE001 - to tell a human is worth much, and not the fate of the others
        tell(_log, UNTOLD, intent=entry.id, failed=error)
