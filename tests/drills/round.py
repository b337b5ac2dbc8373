"""One round of a drill: the demo's story on a stage that is struck all the while, counted at the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from blnk_relay import Receipt, Relay
from blnk_relay.sandbox import DEFAULT_KINDS, Faults
from tests.drills.chaos import Chaos
from tests.support.counting import recorded_of, still_open
from tests.support.stages import Tardy, insist, operator_of
from tests.support.waiting import wait_until
from worker.demo.command import LEFT_OUT
from worker.demo.proof.prove import behind_dead, prove, tally
from worker.demo.stage import Stage
from worker.demo.story import key_of, tell

#: Workers of a round.
WORKERS = 3

#: Share of requests that the ledger spoils.
FAULT_RATE = 0.2

#: Blows of a round; intents are enqueued while they fall, so that each hits work.
BLOWS = 24

#: How long every write takes that is not spoilt, and how few go out at once: what is under way is what blows can hit.
SLOW_S = 0.15
CONNECTIONS = 6

#: A round that has not ended by then never will: what is still open counts as lost.
LIMIT_S = 300.0

_POLL_S = 0.2


@dataclass
class Outcome:
    """How a round ended."""

    seed: int
    numbers: dict[str, Any]
    sentences: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing doubled, and books that add up."""
        return not self.sentences


def play_round(seed: int, intents: int, *, pool: str = "threads", calm: bool = False) -> Outcome:
    """Play one round.

    Args:
        seed: Of the story, of the faults and of the blows.
        intents: How many.
        pool: Celery pool of the workers.
        calm: Faults of the ledger only, and no blows.
    """
    start_s = time.monotonic()
    kinds = [kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT]
    faults = Tardy(Faults.seeded(seed, FAULT_RATE, kinds=kinds), SLOW_S)
    story = tell(intents, seed)
    with (
        Stage(faults=faults, pool=pool, settings={"connections": CONNECTIONS}) as stage,
        Relay(stage.settings) as relay,
        Relay(stage.settings) as another,
    ):
        for _ in range(WORKERS):
            stage.start_worker()
        receipts = insist(relay, story.opening)
        _wait(relay, receipts, start_s + LIMIT_S)
        chaos = Chaos(stage, another, seed, WORKERS)
        if calm:
            receipts += insist(relay, story.writes)
        else:
            with chaos:
                chunk = -(-len(story.writes) // BLOWS)
                for at in range(0, len(story.writes), chunk):
                    receipts += insist(relay, story.writes[at : at + chunk], LIMIT_S)
                    wait_until(lambda fallen=chaos.blows: chaos.blows > fallen, 60, "the next blow")
                insist(relay, list({key_of(write): write for write in story.repeated}.values()))
        _wait(relay, receipts, start_s + LIMIT_S)
        recorded = [recorded_of(relay, id_) for id_ in dict.fromkeys(receipt.id for receipt in receipts)]
        counts = operator_of(relay).overview().counts
        stage.stop_workers()
        books = stage.sandbox.books()
    proof = prove(recorded, books.rows, books)
    counted = tally(recorded)
    sentences = [
        *(f"lost: {sentence}" for sentence in proof.lost),
        *(f"doubled: {sentence}" for sentence in proof.doubled),
        *(f"broken: {sentence}" for sentence in books.violations()),
    ]
    numbers = {
        **{name: value for name, value in counted.items() if name != "dead_by_class"},
        **{f"dead_{name}": number for name, number in counted["dead_by_class"].items()},
        "blocked": len(proof.blocked),
        **{name: counts.get(name, 0) for name in ("lapsed", "stale", "looked_up", "retried")},
        **{name: chaos.struck[name] for name in ("kill_worker", "kill_all", "freeze", "storm", "pause_lane", "missed")},
        "lost": len(proof.lost),
        "doubled": len(proof.doubled),
        "violations": len(books.violations()),
        "seconds": round(time.monotonic() - start_s, 1),
    }
    codes = {name: number for name, number in counts.items() if name.startswith("dead|") and "|rejected|" not in name}
    return Outcome(seed, {**numbers, "dead_codes": codes}, sentences)


def _wait(relay: Relay, receipts: list[Receipt], end_s: float) -> None:
    """Wait until none is open, besides what a dead letter holds back; at the limit, count what there is."""
    while time.monotonic() < end_s:
        try:
            open_ = still_open(relay, receipts)
            if not open_ or open_ == _blocked(relay, open_):
                return
        except Exception as error:
            if time.monotonic() > end_s:
                raise
            del error
        time.sleep(_POLL_S)


def _blocked(relay: Relay, open_: int) -> int:
    """Intents behind a dead letter; only worth counting when all that is open waits."""
    operator = operator_of(relay)
    if operator.overview().waiting < open_:
        return -1
    listed = (*operator.listed("dead"), *operator.listed("waiting"))
    return len(behind_dead({status.id: status for status in listed}))
