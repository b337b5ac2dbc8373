"""Playing the story on the stage: enqueue, kill, wait, count."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from blnk_relay import InvalidIntent, Operator, Overview, Relay, Write, intent_of
from worker.demo.proof.findings import Proof, Recorded
from worker.demo.proof.prove import behind_dead, prove, tally
from worker.demo.stage import Stage
from worker.demo.story import Story, key_of

#: Workers at the start.
WORKERS = 2

#: A demo that has not ended by then never will: what is still open counts as lost.
LIMIT_S = 240.0

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the play stands, for the audience.

    Attributes:
        title: What happens right now.
        overview: The journal at a glance.
        total: Intents accepted so far.
    """

    title: str
    overview: Overview
    total: int


@dataclass(slots=True)
class Result:
    """How it ended."""

    numbers: dict[str, Any]
    proof: Proof
    violations: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing doubled, and the ledger's own books add up."""
        return not (self.proof.lost or self.proof.doubled or self.violations)


def play(stage: Stage, story: Story, show: Callable[[Scene], None], *, kill: bool = True) -> Result:
    """Play a story.

    Args:
        stage: An entered stage, without workers.
        story: What to enqueue.
        show: Called a few times a second with the present scene.
        kill: Kill a worker with SIGKILL half-way, and start another.
    """
    start_s = time.monotonic()
    with Relay(stage.settings) as relay:
        performance = _Performance(stage, relay, show, start_s + LIMIT_S)
        for _ in range(WORKERS):
            stage.start_worker()
        performance.enqueue("opening wallets and topping them up", story.opening)
        performance.wait("opening wallets and topping them up", until_open=0)
        performance.enqueue("enqueueing the month", story.writes)
        repeated = relay.enqueue_many(list({key_of(write): write for write in story.repeated}.values()))
        refused = _knock(relay, story)
        if kill:
            performance.wait_for_half("posting", len(story.writes) // 2)
            stage.kill_worker(performance.busiest())
            performance.scene("a worker was killed with SIGKILL")
            stage.start_worker()
        performance.wait("posting and confirming", until_open=0)
        seconds = time.monotonic() - start_s
        recorded = performance.recorded()
        overview = performance.operator.overview()
    stage.stop_workers()
    books = stage.sandbox.books()
    proof = prove(recorded, books.rows, books)
    counts = overview.counts
    numbers = {
        **tally(recorded),
        "refused_at_the_door": refused,
        "duplicates_refused": sum(not receipt.created for receipt in repeated),
        "retried": counts.get("retried", 0),
        "looked_up": counts.get("looked_up", 0),
        "lapsed": counts.get("lapsed", 0),
        "workers_killed": int(kill),
        "faults": sum(1 for seen in stage.sandbox.requests_seen() if seen.fault),
        "blocked": len(proof.blocked),
        "lost": len(proof.lost),
        "doubled": len(proof.doubled),
        "violations": len(books.violations()),
        "seconds": round(seconds, 1),
    }
    return Result(numbers, proof, books.violations())


class _Performance:
    def __init__(self, stage: Stage, relay: Relay, show: Callable[[Scene], None], end_s: float) -> None:
        self._stage = stage
        self._relay = relay
        self._show = show
        self._end_s = end_s
        self._ids: list[str] = []
        self.operator = Operator(relay.journals)

    def enqueue(self, title: str, writes: Sequence[Write]) -> None:
        for at in range(0, len(writes), 500):
            self._ids += [receipt.id for receipt in self._relay.enqueue_many(writes[at : at + 500])]
            self.scene(title)

    def scene(self, title: str) -> Overview:
        overview = self.operator.overview()
        self._show(Scene(title, overview, len(self._ids)))
        return overview

    def wait(self, title: str, until_open: int) -> None:
        """Wait until no more than so many are open, besides those that wait behind a dead letter."""
        while time.monotonic() < self._end_s:
            overview = self.scene(title)
            if overview.open - self._behind_dead(overview) <= until_open:
                return
            time.sleep(_POLL_S)

    def wait_for_half(self, title: str, until_ready: int) -> None:
        """Wait until no more than so many have still to be sent for the first time."""
        while time.monotonic() < self._end_s:
            overview = self.scene(title)
            if overview.waiting + sum(lane.due + lane.later for lane in overview.lanes) <= until_ready:
                return
            time.sleep(_POLL_S / 10)

    def busiest(self) -> subprocess.Popen[bytes]:
        """The worker that holds the most leases at this moment, so that its death hurts."""
        held = self.operator.leases()
        return max(
            self._stage.workers,
            key=lambda worker: sum(number for name, number in held.items() if f":{worker.pid}:" in name),
        )

    def _behind_dead(self, overview: Overview) -> int:
        """Intents that a dead letter holds back; only worth asking when nothing else is open."""
        if not overview.waiting or overview.open > overview.waiting:
            return 0
        listed = (*self.operator.listed("dead"), *self.operator.listed("waiting"))
        return len(behind_dead({status.id: status for status in listed}))

    def recorded(self) -> list[Recorded]:
        found = []
        for id_ in self._ids:
            status = self._relay.get(id_)
            parts = self._relay.parts(id_)
            found.append(Recorded(status, self._relay.journal(status.target).payload(id_), parts))
        return found


def _knock(relay: Relay, story: Story) -> int:
    """Try what must be refused at the door; returns how many were."""
    refused = 0
    for kind, fields in story.invalid:
        try:
            relay.enqueue(intent_of(kind, fields))
        except InvalidIntent:
            refused += 1
    return refused
