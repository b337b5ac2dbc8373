"""``tasks.deliver``: empties a lane for a while. Claims a batch, posts it over kept-alive connections, settles it.

The loop keeps every connection busy: it claims more before the last answers are in, and settles whatever has come
back in one trip. What it holds is under leases, so it may die at any point (design §4).
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue

from blnk_relay.errors import JournalUnavailable
from blnk_relay.intents.model import Again, Dead, DeadClass, Entry, Failure, Found, GateChange, Send
from blnk_relay.intents.registry import KINDS
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.records import Claimed, Settlement
from blnk_relay.settings import LEASE_MARGIN_S
from tasks.looking import apply_gate, decisions, sends_of
from tasks.posters import Posters, posters
from tasks.runtime import Runtime
from tasks.settling import Sent, after_attempt, after_look, unsent

#: Work kept ahead of the connections, in seconds of their pace: enough to hide the trips to the journal.
LOOKAHEAD_S = 0.25

#: Most intents in hand for each connection, whatever their pace.
MOST_IN_HAND = 6

_log = logging.getLogger(__name__)

#: Verdicts settled in one trip.
MOST_SETTLED = 256

#: How long verdicts are gathered while there is enough for the connections to do: each trip to the journal, and each
#: time that this thread is woken, costs as much as several verdicts.
GATHER_S = 0.005

#: How long an idle loop stays on its lane before it leaves it to the bell, and how often it looks meanwhile.
LINGER_S = 0.04
_IDLE_WAIT_S = 0.004

#: Longest pause between two signs of life to the journal.
_BEAT_S = 1.0

#: How often a settlement that the journal did not take is offered again, and the pause between.
_SETTLE_TRIES = 20
_SETTLE_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Lost:
    """A job failed by a fault of ours: its leases lapse, and the ledger is looked at."""

    intents: int


#: What comes back from a poster: a verdict, what it means for a gate, a gate that is well, or a failed job.
Result = Settlement | tuple[str, str, GateChange] | str | Lost


class Delivery:
    """One run over one lane."""

    def __init__(self, runtime: Runtime, lane: str, pool: Posters) -> None:
        self._runtime = runtime
        self._lane = lane
        self._urgent = lane in runtime.settings.priority_lanes
        self._pool = pool
        self._results: SimpleQueue[Result] = SimpleQueue()
        self._in_hand = 0
        self._latency_s = 0.01
        self._rings: set[str] = set()
        self.settled = 0

    def work(self) -> None:
        """Claim, post and settle until the lane is empty or the slice is over."""
        runtime = self._runtime
        beat_s = idle_since_s = steady_s()
        slice_end_s = beat_s + runtime.settings.slice_s
        self._claim(self._room())
        while True:
            self._settle(_BEAT_S / 4 if self._in_hand and not self._room() else _IDLE_WAIT_S)
            now_s = steady_s()
            if now_s >= slice_end_s or runtime.stopping.is_set():
                return
            room = self._room()
            if room > 0 or now_s - beat_s >= _BEAT_S:
                beat_s = now_s
                if self._claim(room):
                    continue
            if self._in_hand:
                idle_since_s = now_s
            elif now_s - idle_since_s >= LINGER_S:
                return

    def finish(self) -> None:
        """Leave the lane to others at once, and see through what is in hand: the ledger may take its time."""
        self._leave()
        beat_s = steady_s()
        end_s = beat_s + self._runtime.settings.lease_s
        while self._in_hand and beat_s < end_s:
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
        claims = self._runtime.journal.claim(self._lane, self._runtime.worker, room)
        self._rings.update(claims.bells)
        report_buried(self._runtime, claims.buried)
        to_look: dict[str, list[Claimed]] = {}
        for claimed in claims.items:
            self._in_hand += 1
            entry = claimed.entry
            step = next_step(KINDS[entry.kind], entry, claimed.progress, Found(), self._runtime.policy)
            if isinstance(step, Send) and step.memo is None and KINDS[entry.kind].keyed:
                self._put(partial(self._attempt, claimed), 1)
            else:
                to_look.setdefault(entry.target, []).append(claimed)
        for batch in to_look.values():
            self._put(partial(self._look, batch), len(batch))
        self._ring()
        return len(claims.items)

    def _put(self, job: Callable[[], None], intents: int) -> None:
        def guarded() -> None:
            try:
                job()
            except Exception:  # noqa: BLE001 - whatever it is, the loop must learn that nothing will come
                _log.exception("a delivery job failed; its leases lapse and the ledger is looked at")
                self._results.put(Lost(intents))

        self._pool.put(guarded, urgent=self._urgent)

    def _ring(self) -> None:
        if self._rings:
            self._runtime.bells.ring(self._rings)
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
        self._in_hand -= len(settlements) + sum(result.intents for result in results if isinstance(result, Lost))
        for change in {result for result in results if isinstance(result, tuple)}:
            apply_gate(self._runtime, *change)
        if settlements:
            self._write(settlements, sorted({result for result in results if isinstance(result, str)}))
        self.settled += len(settlements)

    def _write(self, settlements: list[Settlement], healthy: list[str]) -> None:
        """Settle in the journal; when it is away for a moment, an answer that was got is worth waiting for."""
        runtime = self._runtime
        for tried in range(1, _SETTLE_TRIES + 1):
            try:
                self._rings.update(runtime.journal.settle(runtime.worker, settlements, healthy))
                break
            except JournalUnavailable:
                if tried == _SETTLE_TRIES:
                    raise
                time.sleep(_SETTLE_PAUSE_S)
        report(runtime, settlements)
        self._ring()

    def _leave(self) -> None:
        claims = self._runtime.journal.claim(self._lane, self._runtime.worker, 0, leave=True)
        self._runtime.bells.ring(claims.bells)

    # -- in the posters' threads -------------------------------------------------------------------------------------

    def _look(self, batch: list[Claimed]) -> None:
        """Read what must be known before sending, record it, and send."""
        runtime = self._runtime
        at_ms, at_s = batch[0].progress.now_ms, steady_s()
        decided, healthy = decisions(runtime, batch)
        sends = sends_of(decided)
        recorded = [(claimed, send) for claimed, send in sends if KINDS[claimed.entry.kind].recorded]
        answers = runtime.journal.record(recorded) if recorded else []
        refused = {
            claimed.entry.id: answer for (claimed, _), answer in zip(recorded, answers, strict=True) if answer != "ok"
        }
        # Everything that can fail is done by now: from here on each intent is answered exactly once.
        if healthy:
            self._results.put(f"{batch[0].entry.target}:read")
        for claimed, decision in decided:
            if not isinstance(decision, Send):
                self._results.put(
                    after_look(claimed, "sending", decision, at_ms + int((steady_s() - at_s) * 1000), runtime.worker)
                )
            elif refused.get(claimed.entry.id) == "doubtful" and decision.otherwise is not None:
                self._results.put(after_look(claimed, "sending", decision.otherwise, at_ms, runtime.worker))
            elif claimed.entry.id in refused:
                # Busy, lagging or undurable: in a moment. Stale: the settlement will change nothing.
                wait_s = growing_s(claimed.progress.age_s, runtime.policy.confirm_first_s, runtime.policy.confirm_max_s)
                self._results.put(after_look(claimed, "sending", Again(wait_s, counted=False), at_ms, runtime.worker))
            else:
                memo = claimed.progress.memo if decision.memo is None else decision.memo
                sendable = replace(claimed, progress=replace(claimed.progress, memo=memo))
                self._put(partial(self._attempt, sendable), 1)

    def _attempt(self, claimed: Claimed) -> None:
        """Send one request, unless too little is left of the lease to see it through (design §5)."""
        runtime, entry, progress = self._runtime, claimed.entry, claimed.progress
        kind = KINDS[entry.kind]
        request = kind.request(entry, progress, runtime.policy)
        start_s = steady_s()
        ledger = runtime.ledger_of(entry.target)
        if request.file is not None:
            try:
                content = runtime.journal.file(entry.id, entry.payload["size"])
            except JournalUnavailable:
                self._results.put(unsent(claimed))
                return
            if content is None:
                dead_class = DeadClass.UNKNOWN if progress.sent else DeadClass.REFUSED
                gone = Dead(dead_class, "FILE_MISSING", "The file is no longer kept beside the intent.")
                self._results.put(after_look(claimed, "sending", gone, progress.now_ms, runtime.worker))
                return
            request = replace(request, file=(request.file[0], content))
        longest_s = ledger.longest_s(request) + LEASE_MARGIN_S
        if claimed.lease_end_s - start_s < longest_s:
            self._results.put(unsent(claimed))
            return
        request_id = secrets.token_hex(8)
        # This process may be stopped at any point, and credentials and connections take their time: the last moment
        # before the first byte decides.
        start_by_s = claimed.lease_end_s - longest_s + ledger.ready_s
        response = ledger.send(request, request_id, start_by_s=start_by_s)
        if kind.private:
            response = replace(response, message="")
        verdict = kind.judge(entry, progress, request, response, runtime.policy)
        claimed_s = claimed.lease_end_s - runtime.settings.lease_s
        at_ms = progress.now_ms + int((start_s - claimed_s) * 1000)
        self._latency_s += (max(response.latency_ms / 1000, 0.0005) - self._latency_s) * 0.05
        if verdict.gate is not None:
            self._results.put((entry.target, "write", verdict.gate))
            if response.status == 401:  # noqa: PLR2004 - the token is bad for reads as well
                self._results.put((entry.target, "read", verdict.gate))
        elif verdict.accepted or (response.failure is not Failure.NOT_SENT and 200 <= response.status < 300):  # noqa: PLR2004
            self._results.put(f"{entry.target}:write")
        self._results.put(after_attempt(claimed, Sent(at_ms, response, verdict, request_id, runtime.worker)))


def report(runtime: Runtime, settlements: list[Settlement]) -> None:
    """Tell a human of new dead letters."""
    for settlement in settlements:
        if settlement.to == "dead":
            fields = settlement.fields
            runtime.reports.dead(
                settlement.claimed.entry,
                Dead(fields["class"], fields["code"], fields["message"]),  # type: ignore[arg-type]
            )


def report_buried(runtime: Runtime, buried: Iterable[Entry]) -> None:
    """Tell a human of intents that every worker died of."""
    for entry in buried:
        runtime.reports.dead(entry, Dead(DeadClass.UNKNOWN, "LAPSED_TOO_OFTEN", "Every worker that claimed it died."))


def deliver(runtime: Runtime, lane: str) -> int:
    """Empty a lane for a while.

    Args:
        runtime: This process.
        lane: The lane that was rung.

    Returns:
        Number of intents settled; 0 also when another task of this process is on the lane: it will claim once more, or
        ring, before it leaves.
    """
    turn = runtime.turns[lane]
    if not turn.acquire(blocking=False):
        return 0
    delivery = Delivery(runtime, lane, posters(runtime.settings.connections))
    try:
        delivery.work()
    finally:
        turn.release()
    delivery.finish()
    return delivery.settled
