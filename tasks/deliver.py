"""``tasks.deliver``: empties a lane of a target. Claims a batch, posts it over kept-alive connections, settles it.

The loop keeps every connection busy: it claims more before the last answers are in, and settles whatever has come
back in one trip. What it holds is under leases, so it may die at any point (decision 7).
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, Queue
from typing import Any

from blnk_relay.errors import DoesNotVerify, EncryptionKeyMissing, JournalUnavailable, OtherLedger, OtherShape
from blnk_relay.intents.decision import Dead, DeadClass, Look, Send
from blnk_relay.intents.exchange import Failure, GateChange, Request, Response, Verdict
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.states import State
from blnk_relay.intents.verdicts import code_of
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS
from blnk_relay.log import ATTEMPT, GATE_UNCHANGED, GIVEN_BACK, JOB_FAILED, JOURNAL_AWAY, NOT_LEFT, UNJUDGED, tell
from blnk_relay.settings import LEASE_MARGIN_S
from tasks.leases import Hand
from tasks.lookups import Decided, Opened, apply_gate, opened, portions, rounds
from tasks.reports import about, broken, faulted, guarded, now_ms, report_claims, settle, settlement_of
from tasks.runtime import Runtime, tally
from tasks.settlements import Fault, Sent, after_attempt, given_back, unsent

#: Work kept ahead of the connections, in seconds of their pace: enough to hide the trips to the journal.
LOOKAHEAD_S = 0.25

#: Most intents in hand for each connection, whatever their pace.
MOST_IN_HAND = 6

#: How long a connection is taken to be busy with one intent before any was measured.
FIRST_LATENCY_S = 0.01

#: Why what was to be sent could not be recorded, and so was not sent.
_REFUSED = {
    "busy": "Another intent is writing to the same row",
    "lagging": "The ledger did not show yet what was made before",
    "doubtful": "A row may be its own work from before the journal lost its tail",
    "undurable": "What was recorded of it is not as durable as the settings ask",
    "stale": "Its lease was lost",
    "lost": "It was claimed before the journal lost its last moments",
}

_log = logging.getLogger(__name__)

#: Verdicts settled in one trip.
MOST_SETTLED = 256

#: How long verdicts are gathered while there is enough for the connections to do: each trip to the journal, and each
#: time that this thread is woken, costs as much as several verdicts.
GATHER_S = 0.005

#: How long an idle loop stays on its lane before it leaves it to the bell, and how often it looks meanwhile.
LINGER_S = 0.04
_IDLE_WAIT_S = 0.004

#: The same while it waits for the ledger, at last: a hundred ledgers may hang, each with a loop; and what arrives
#: meanwhile waits no longer than the ledger has taken so far.
_SLOW_WAIT_S = 0.1

#: Longest pause between two signs of life to the journal.
_BEAT_S = 1.0

#: Shortest time until what was given back, because its target's gate was shut, comes due again.
_BACK_S = 0.25

#: How often a settlement that the journal did not take is offered again, and the pause between.
_SETTLE_TRIES = 20
_SETTLE_PAUSE_S = 0.25

#: The same once the worker is to stop: what cannot be written down is looked for at the ledger when its lease is over.
_LAST_SETTLE_TRIES = 3


@dataclass(frozen=True, slots=True)
class Lost:
    """A job failed by a fault of ours: its leases lapse, and the ledger is looked at."""

    claimed: tuple[Claimed, ...]


#: What comes back from a poster: a verdict, what it means for a gate, a side that is well, or a failed job.
Result = Settlement | tuple[str, GateChange] | str | Lost


class Delivery:
    """One run over one lane."""

    def __init__(self, runtime: Runtime, lane: str, hand: Hand) -> None:
        self._runtime = runtime
        self._lane = lane
        self._urgent = lane in runtime.settings.priority_lanes
        self._hand = hand
        self._results: Queue[Result] = Queue()
        self._in_hand = 0
        self._latency_s = runtime.latency_s.get(lane, FIRST_LATENCY_S)
        self._rings: set[str] = set()
        #: The gate was shut since something was last claimed: what is in hand goes back unsent.
        self._shut = False
        self.settled = 0

    def work(self) -> None:
        """Claim, post and settle until the lane is empty and nothing is in hand."""
        runtime = self._runtime
        beat_s = idle_since_s = steady_s()
        if runtime.stopping.is_set():
            return
        self._claim(self._room())
        wait_s = _IDLE_WAIT_S
        while True:
            before = self._in_hand
            self._settle(_BEAT_S / 4 if before and not self._room() else wait_s)
            wait_s = min(wait_s * 2, _SLOW_WAIT_S) if self._in_hand == before > 0 else _IDLE_WAIT_S
            now_s = steady_s()
            if runtime.stopping.is_set():
                return
            room = self._room()
            if room > 0 or now_s - beat_s >= _BEAT_S:
                beat_s = now_s
                if self._claim(room):
                    wait_s = _IDLE_WAIT_S
                    continue
            if self._in_hand:
                idle_since_s = now_s
            elif now_s - idle_since_s >= LINGER_S:
                return

    def finish(self) -> None:
        """Leave the lane to others at once, and see through what is in hand: the ledger may take its time.

        When the worker is to stop, only what has been begun is seen through; the rest goes back (:meth:`_attempt`).
        """
        self._leave()
        beat_s = steady_s()
        # Every job answers, for each of its requests has its time; and its leases are prolonged meanwhile.
        while self._in_hand:
            self._settle(_BEAT_S / 4)
            if steady_s() - beat_s >= _BEAT_S:
                self._leave()
                beat_s = steady_s()

    def _room(self) -> int:
        """How many more intents to claim: few when the ledger is slow, so that none waits long under its lease."""
        connections = self._runtime.settings.connections
        ahead = min(connections * (MOST_IN_HAND - 1), int(connections / self._latency_s * LOOKAHEAD_S))
        room = connections + ahead - self._in_hand
        # Claim in batches: a trip for one or two is dearer than the wait for more.
        return room if room * 2 >= connections + ahead or self._in_hand < connections else 0

    def _claim(self, room: int) -> int:
        runtime = self._runtime
        claims = runtime.journal.claim(self._lane, runtime.worker, room)
        self._rings.update(claims.bells)
        self._hand.hold(claims.items)
        self._in_hand += len(claims.items) + len(claims.unreadable)
        if claims.items:
            self._shut = False
        elif room:
            tally.idle()
        for settlement in report_claims(runtime, claims):
            self._results.put(settlement)
        to_look: list[Opened] = []
        for claimed in claims.items:
            item = opened(runtime, claimed)
            if isinstance(item.step, Send) and item.step.memo is None and KINDS[claimed.entry.kind].keyed:
                self._put(partial(self._attempt, claimed), (claimed,))
            elif isinstance(item.step, Fault):
                self._results.put(faulted(runtime, claimed, item.step, claimed.progress.now_ms))
            else:
                to_look.append(item)
        # Small portions: they are read side by side, and what is ready is sent before the rest is read.
        for portion in portions(runtime, to_look, LOOKAHEAD_S, runtime.settings.connections):
            self._put(partial(self._look, portion), tuple(item.claimed for item in portion))
        self._ring()
        return len(claims.items)

    def _put(self, job: Callable[[], None], claimed: tuple[Claimed, ...], *, first: bool = False) -> None:
        def guarded() -> None:
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the loop must learn that nothing will come
                why = "a delivery job failed; its leases lapse and the ledger is looked at"
                tell(_log, JOB_FAILED, target=self._runtime.target, lane=self._lane, why=why, failed=error)
                self._results.put(Lost(claimed))

        self._runtime.posters.put(guarded, urgent=self._urgent, first=first)

    def _ring(self) -> None:
        if self._rings:
            self._runtime.ring(self._rings)
            self._rings.clear()

    def _settle(self, wait_s: float) -> None:
        """Settle what has come back; waits for the first, so that the loop never spins."""
        results: list[Result] = []
        try:
            results.append(self._results.get(timeout=wait_s))
            if self._in_hand > self._runtime.settings.connections:
                time.sleep(GATHER_S)
            while len(results) < MOST_SETTLED:
                results.append(self._results.get_nowait())
        except Empty:
            pass
        settlements = [result for result in results if isinstance(result, Settlement)]
        lost = [claimed for result in results if isinstance(result, Lost) for claimed in result.claimed]
        self._in_hand -= len(settlements) + len(lost)
        for (side, change), times in Counter(result for result in results if isinstance(result, tuple)).items():
            try:
                if apply_gate(self._runtime, side, change, times) and side == "write":
                    self._shut = True
            except JournalUnavailable as error:
                # The next answer of its sort will say the same; the verdicts that came with it must not be lost.
                tell(_log, GATE_UNCHANGED, target=self._runtime.target, why=error)
        if settlements:
            self._write(settlements, sorted({result for result in results if isinstance(result, str)}))
        for claimed in (*(settlement.claimed for settlement in settlements), *lost):
            self._hand.drop(claimed)
        self.settled += len(settlements)

    def _write(self, settlements: list[Settlement], healthy: list[str]) -> None:
        """Settle in the journal; when it is away for a moment, an answer that was got is worth waiting for."""
        runtime = self._runtime
        for tried in range(1, _SETTLE_TRIES + 1):
            try:
                self._rings.update(settle(runtime, settlements, healthy))
                break
            except JournalUnavailable:
                if tried >= (_LAST_SETTLE_TRIES if runtime.stopping.is_set() else _SETTLE_TRIES):
                    raise
                time.sleep(_SETTLE_PAUSE_S)
        self._ring()

    def _leave(self) -> None:
        try:
            claims = self._runtime.journal.claim(self._lane, self._runtime.worker, 0, leave=True)
        except (OtherLedger, OtherShape):
            pass  # there is nothing to leave; whoever began the loop is told
        except JournalUnavailable as error:
            tell(_log, NOT_LEFT, lane=self._lane, target=self._runtime.target, why=error)
        else:
            self._runtime.ring(claims.bells)

    # -- in the posters' threads -------------------------------------------------------------------------------------

    def _look(self, portion: list[Opened]) -> None:
        """Read what must be known before sending, record it, and send what is ready before more is read."""
        start_s = steady_s()
        #: Each is answered exactly once, whatever happens here.
        unanswered = {item.claimed.entry.id: item.claimed for item in portion}
        why = "The worker is stopping"
        try:
            for each in () if self._runtime.stopping.is_set() else rounds(self._runtime, portion):
                if each.healthy:
                    self._results.put("read")
                self._answer(each.decided, unanswered, (steady_s() - start_s) / len(portion))
                if self._runtime.stopping.is_set():
                    break
        except JournalUnavailable:
            why = "The journal did not answer"
        except Exception as error:  # noqa: BLE001 - whatever it is, they are given back
            why = "a look before sending failed; nothing was sent for what it was about"
            tell(_log, JOB_FAILED, target=self._runtime.target, lane=self._lane, why=why, failed=error)
            why = "The look before sending failed"
        for claimed in unanswered.values():
            self._give_back(claimed, why)

    def _answer(self, decided: Sequence[Decided], unanswered: dict[str, Claimed], read_s: float) -> None:
        """Settle what is not to be sent; record what is, and send it. Takes each out of what is unanswered."""
        runtime = self._runtime
        sends: list[tuple[Claimed, Send]] = []
        for each in decided:
            if isinstance(each.decision, Send):
                fault = _unrecordable(each.decision)
                if fault is None:
                    sends.append((each.claimed, each.decision))
                    continue
                each = Decided(each.claimed, fault)  # noqa: PLW2901 - it goes the way of the others
            del unanswered[each.claimed.entry.id]
            self._note_latency(read_s)
            self._results.put(settlement_of(runtime, each, State.SENDING, now_ms(each.claimed)))
        recorded = [(claimed, send) for claimed, send in sends if KINDS[claimed.entry.kind].recorded]
        answers = runtime.journal.record(recorded) if recorded else []
        refused = {
            claimed.entry.id: answer for (claimed, _), answer in zip(recorded, answers, strict=True) if answer != "ok"
        }
        for claimed, send in reversed(sends):
            del unanswered[claimed.entry.id]
            answer = refused.get(claimed.entry.id)
            if answer == "doubtful" and send.otherwise is not None:
                doubted = Decided(claimed, send.otherwise)
                self._results.put(settlement_of(runtime, doubted, State.SENDING, now_ms(claimed)))
                continue
            if answer is not None:
                # Stale: the settlement will change nothing.
                self._give_back(claimed, _REFUSED.get(answer, answer), quietly=True)
                continue
            memo = claimed.progress.memo if send.memo is None else send.memo
            sendable = replace(claimed, progress=replace(claimed.progress, memo=memo))
            self._put(partial(self._attempt, sendable, read_s), (sendable,), first=True)

    def _give_back(self, claimed: Claimed, why: str, *, quietly: bool = False) -> None:
        """It was not sent, and is left to whoever claims it next, in a while."""
        runtime = self._runtime
        if not quietly and runtime.once_in_a_while(f"given back {self._lane} {why}"):
            tell(_log, GIVEN_BACK, lane=self._lane, target=runtime.target, why=why)
        self._results.put(given_back(claimed, why, runtime.policy, now_ms(claimed), runtime.worker))

    def _attempt(self, claimed: Claimed, read_s: float = 0.0) -> None:
        """Send one request, unless too little is left of the lease to see it through (decision 47)."""
        runtime, entry, progress = self._runtime, claimed.entry, claimed.progress
        if runtime.stopping.is_set() or now_ms(claimed) >= progress.deadline_ms:
            # It was in time as it was claimed. Where it took until now to read for it, or for others before it, whoever
            # claims it next decides what becomes of it.
            self._results.put(unsent(claimed))
            return
        if self._shut:
            self._results.put(unsent(claimed, growing_s(progress.age_s, _BACK_S, runtime.settings.probe_s)))
            return
        kind = KINDS[entry.kind]
        ledger = runtime.ledger
        try:
            request = kind.request(entry, progress, runtime.policy)
            if request.file is not None:
                content = runtime.journal.file(entry.id, entry.payload["size"])
                if content is None:
                    dead_class = DeadClass.UNKNOWN if progress.maybe_sent else DeadClass.REFUSED
                    gone = Dead(dead_class, "FILE_MISSING", "The file is no longer kept beside the intent.")
                    self._results.put(settlement_of(runtime, Decided(claimed, gone), State.SENDING, now_ms(claimed)))
                    return
                request = replace(request, file=(request.file[0], content))
            # What it takes may be more than a lease, and part of the lease is gone by now.
            longest_s = ledger.longest_s(request) + LEASE_MARGIN_S
            held = runtime.keeper.need(self._hand, claimed, longest_s)
        except DoesNotVerify:
            self._results.put(broken(runtime, claimed))
            return
        except EncryptionKeyMissing as error:
            # It had the key when it was claimed, so it was given up meanwhile: the next claim leaves it alone.
            self._give_back(claimed, f"The file is encrypted with a key that is not here: {error.key}")
            return
        except JournalUnavailable:
            self._give_back(claimed, "The journal did not answer")
            return
        except Exception as error:  # noqa: BLE001 - whatever a kind's code raises is a matter of this one intent
            self._results.put(faulted(runtime, claimed, Fault.of(error), now_ms(claimed)))
            return
        if held is None:
            self._give_back(claimed, "Too little was left of its lease")
            return
        claimed = held
        request_id, at_ms = secrets.token_hex(8), now_ms(claimed)
        # This process may be stopped at any point, and credentials and connections take their time: the last moment
        # before the first byte decides.
        start_by_s = claimed.lease_end_s - longest_s + ledger.ready_s
        response, verdict = self._sent(claimed, request, request_id, start_by_s)
        until_ms = now_ms(claimed)
        self._note_latency(read_s + response.latency_ms / 1000)
        if verdict.gate is not None:
            side = f"lane:{entry.lane}" if verdict.gate.lane else "write"
            self._results.put((side, verdict.gate))
            if response.status == 401:  # noqa: PLR2004 - the token is bad for reads as well
                self._results.put(("read", verdict.gate))
            if response.failure is None:
                self._results.put("write?")
        elif verdict.accepted or (response.failure is not Failure.NOT_SENT and 200 <= response.status < 300):  # noqa: PLR2004
            self._results.put("write")
        elif response.failure is None:
            self._results.put("write?")
        sent = Sent(at_ms, until_ms, response, verdict, request_id, runtime.worker)
        _tell_attempt(claimed, sent)
        self._results.put(guarded(runtime, claimed, at_ms, lambda: after_attempt(claimed, sent)))

    def _note_latency(self, seconds: float) -> None:
        """How long a connection was busy with one intent, its share of what was read included."""
        self._latency_s += (max(seconds, 0.0005) - self._latency_s) * 0.05
        self._runtime.latency_s[self._lane] = self._latency_s

    def _sent(self, claimed: Claimed, request: Request, request_id: str, start_by_s: float) -> tuple[Response, Verdict]:
        """Send a request. Whatever fails once it may have left, it may have acted: the ledger is looked at."""
        runtime, entry = self._runtime, claimed.entry
        kind = KINDS[entry.kind]
        start_s = steady_s()
        response = Response()
        try:
            response = runtime.ledger.send(request, request_id, start_by_s=start_by_s)
            if kind.private:
                response = replace(response, message="")
            verdict: Any = kind.judge(entry, claimed.progress, request, response, runtime.policy)
            if isinstance(verdict, Verdict):
                return response, verdict
            fault = Fault("NoVerdict", kind.name)
        except Exception as error:  # noqa: BLE001 - as above
            fault = Fault.of(error)
        tell(_log, UNJUDGED, about(entry), error=fault.error, place=fault.where, request=request_id)
        latency_ms = int((steady_s() - start_s) * 1000)
        unclear = Response(response.status, fault.error[:64], failure=Failure.BROKEN, latency_ms=latency_ms)
        return unclear, Verdict(Look(runtime.policy.confirm_first_s), acted=True)


def _tell_attempt(claimed: Claimed, sent: Sent) -> None:
    if _log.isEnabledFor(ATTEMPT.level):
        response = sent.response
        tell(
            _log,
            ATTEMPT,
            about(claimed.entry),
            attempt=claimed.progress.attempts + 1,
            status=response.status,
            code="" if sent.verdict.accepted else code_of(response),
            ms=response.latency_ms,
            request=sent.request_id,
            worker=sent.worker,
        )


def _unrecordable(send: Send) -> Fault | None:
    """Why what has to be recorded before sending cannot be."""
    try:
        json.dumps(send.memo)
    except Exception as error:  # noqa: BLE001 - a kind made it, and others are recorded in the same trip
        return Fault.of(error)
    return None


def deliver(runtime: Runtime, lane: str) -> int:
    """Empty a lane.

    Args:
        runtime: Of the target.
        lane: The lane that was rung.

    Returns:
        Number of intents settled; 0 also when another loop of this process is on the lane: it will claim once more, or
        ring, before it leaves.
    """
    turn = runtime.turns[lane]
    if not turn.acquire(blocking=False):
        return 0
    with runtime.keeper.hand(runtime.settings.lease_s) as hand:
        delivery = Delivery(runtime, lane, hand)
        other: OtherLedger | OtherShape | None = None
        try:
            delivery.work()
        except (OtherLedger, OtherShape) as error:
            # What is in hand may have been answered meanwhile: it was sent to the ledger that it was claimed for.
            other = error
        except JournalUnavailable as error:
            # So may it here, which is worth waiting for.
            tell(_log, JOURNAL_AWAY, target=runtime.target, lane=lane, why=error)
        finally:
            turn.release()
        delivery.finish()
    if other is not None:
        raise other
    return delivery.settled
