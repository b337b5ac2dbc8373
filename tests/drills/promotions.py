"""A round in which Redis loses its last moments: its replica is cut off, it is killed, and the replica is promoted."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from blnk_relay import InvalidIntent, JournalUnavailable, Receipt, Relay, Write
from blnk_relay.sandbox import DEFAULT_KINDS, Faults
from tests.drills.crew import Crew
from tests.drills.ground import Trouble
from tests.drills.letters import untrue
from tests.drills.moving import PACE, _gone
from tests.drills.round import Outcome, _wait
from tests.support.counting import recorded_of
from tests.support.stages import Tardy, insist, operator_of
from tests.support.succession import Promoter, Succession
from worker.demo.command import LEFT_OUT
from worker.demo.proof.findings import Recorded
from worker.demo.proof.prove import prove, tally
from worker.demo.stage import Stage
from worker.demo.story import key_of, tell

WORKERS = 2

#: Share of requests that the ledger spoils, and how late it answers to the other writes.
FAULT_RATE = 0.1
SLOW_S = 0.1

#: What is not finished by then, counted from the last promotion, never will be.
LIMIT_S = 150.0

#: Longest that the producer tries one batch.
_PATIENCE_S = 60.0

#: Between two changes of primary; how long the old one goes on alone; how long the new one does.
_PEACE_S = (2.0, 4.0)
_ALONE_S = (0.3, 2.5)
_WIDOWED_S = (0.0, 2.0)

#: Of the story told at once, and again after a promotion.
_BATCH, _AGAIN = 4, 50

#: Between two batches.
_BETWEEN_S = 0.1


@dataclass(frozen=True, slots=True)
class Setting:
    """What a round is played with.

    Attributes:
        durability: Of receipts, and of records of writes that the ledger could not tell from a repeat.
        promoter: Who promotes the replica.
    """

    durability: str
    promoter: Promoter


#: Of each seed.
SETTINGS = [
    Setting(durability, promoter)
    for promoter in ("hand", "sentinel")
    for durability in ("memory", "fsync", "replicated:1")
]


class Turmoil:
    """Changes primaries from a thread of its own, so many times.

    Args:
        succession: The servers.
        crew: The workers, of whom one is killed with every second primary, beginning with the first.
        number: How many promotions.
        seed: Makes the pauses repeatable.
    """

    def __init__(self, succession: Succession, crew: Crew, number: int, seed: int) -> None:
        self._succession, self._crew, self._number = succession, crew, number
        self._rng = random.Random(f"turmoil-{seed}")
        self._cuts = 0
        self._thread = threading.Thread(target=self._run, name="turmoil")
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._thread.is_alive()

    @property
    def share(self) -> float:
        """How much of the story should be told by now: as much before each cut as between it and the promotion."""
        return (self._cuts + self._succession.promotions + 1) / (2 * self._number + 1)

    def _run(self) -> None:
        try:
            for number in range(self._number):
                self._let_be(_PEACE_S)
                self._succession.cut()
                self._cuts += 1
                self._let_be(_ALONE_S)
                if number % 2 == 0:
                    self._crew.kill(self._rng.choice(self._crew.present()))
                self._succession.promote()
                self._let_be(_WIDOWED_S)
                self._succession.bring_back()
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self.failures.append(error)

    def _let_be(self, seconds: tuple[float, float]) -> None:
        time.sleep(self._rng.uniform(*seconds))


class Teller:
    """Tells the story as applications do that keep what they have enqueued: all of it once more after each promotion.

    Attributes:
        receipts: The latest of each key.
        broken: Sentences, one for each receipt that did not hold what it said.
        forgotten: How many receipts were lost with the tail, by the durability that they had.
        overtaken: Keys of lost ones, whose order may be another one now.
        refused: How often Redis gave no answer.

    Args:
        relay: To enqueue with.
        succession: Says how many promotions there were.
    """

    def __init__(self, relay: Relay, succession: Succession) -> None:
        self._relay, self._succession = relay, succession
        self._told: dict[str, Write] = {}
        self._promotions = 0
        self._last: Sequence[Write] = ()
        self.overtaken: set[str] = set()
        self.receipts: dict[str, Receipt] = {}
        self.broken: list[str] = []
        self.forgotten: Counter[str] = Counter()
        self.refused = 0

    def tell(self, writes: Sequence[Write]) -> None:
        """Enqueue a batch, and what was lost before it."""
        end_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                if self._promotions != self._succession.promotions:
                    self.tell_again()
                receipts = self._relay.enqueue_many(writes)
            except InvalidIntent:
                # It is to wait for what was lost a moment ago.
                if time.monotonic() > end_s:
                    raise
                self._promotions = -1
            except JournalUnavailable:
                self.refused += 1
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.05)
            else:
                break
        self._last = writes
        self._told.update((key_of(write), write) for write in writes)
        self.receipts.update((receipt.key, receipt) for receipt in receipts)

    def tell_again(self) -> None:
        """Enqueue all of it under the same keys, in the same order; those that are new now were lost.

        What was enqueued at the new primary before has overtaken them.
        """
        orders = {write.intent.order_key for write in self._last} - {None}
        self._promotions = self._succession.promotions
        told = list(self._told.values())
        for at in range(0, len(told), _AGAIN):
            for receipt in insist(self._relay, told[at : at + _AGAIN], _PATIENCE_S):
                before = self.receipts[receipt.key]
                if receipt.created:
                    self.forgotten[before.durability] += 1
                    if self._told[receipt.key].intent.order_key in orders:
                        self.overtaken.add(receipt.key)
                    if before.durability.startswith("replicated"):
                        self.broken.append(f"lost: {receipt.key} had a receipt that said {before.durability}")
                self.receipts[receipt.key] = receipt

    def judged(self, recorded: Sequence[Recorded]) -> list[Recorded]:
        """Those whose letters have to be true by the order in which they were told first."""
        return [
            item
            for item in recorded
            if not (item.status.key in self.overtaken and item.status.dead_class in ("refused", "rejected"))
        ]


def play_promotions(
    seed: int,
    setting: Setting,
    intents: int,
    *,
    promotions: int = 3,
    pool: str = "threads",
    keep_log: Path | None = None,
) -> Outcome:
    """Play one round.

    Args:
        seed: Of the story, of the faults and of the pauses.
        setting: Durability, and who promotes.
        intents: How many.
        promotions: How often the primary is lost.
        pool: Celery pool of the workers.
        keep_log: Where the log of the workers goes; nowhere when None.
    """
    start_s = time.monotonic()
    kinds = [kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT]
    trouble = Trouble(Tardy(Faults.seeded(seed, FAULT_RATE, kinds=kinds), SLOW_S))
    story = tell(intents, seed)
    with ExitStack() as stack:
        succession = Succession(setting.promoter)
        given = {**PACE, "redis_url": succession.url, "durability": setting.durability}
        stage = Stage(faults=Faults.none(), pool=pool, settings=given)
        stage._start_valkey = lambda: succession
        stack.enter_context(stage)
        relay = stack.enter_context(Relay(stage.settings))
        with Crew(stage, pool, WORKERS) as crew:
            teller = Teller(relay, succession)
            teller.tell(story.opening)
            _wait(relay, list(teller.receipts.values()), time.monotonic() + LIMIT_S)
            stage.sandbox.set_faults(trouble)
            turmoil = Turmoil(succession, crew, promotions, seed)
            with turmoil:
                _tell_until_over(teller, story.writes, turmoil)
            teller.tell(list({key_of(write): write for write in story.repeated}.values()))
            teller.tell_again()
            trouble.over = True
            calm_s = time.monotonic()
            _wait(relay, list(teller.receipts.values()), calm_s + LIMIT_S)
            settling_s = time.monotonic() - calm_s
            recorded = _recorded(relay, teller)
            books = stage.sandbox.books()
            letters = list(untrue(teller.judged(recorded), relay, books, frozenset(crew.killed), succession.promotions))
            blocked = prove(recorded, books.rows, books).blocked
            # What waits behind a dead letter may have been sent in lost moments: then the one behind it says so.
            _close(relay, teller)
            ended, books = _recorded(relay, teller), stage.sandbox.books()
            proof = prove(ended, books.rows, books)
            letters += untrue(teller.judged(ended), relay, books, frozenset(crew.killed), succession.promotions)
            counts = operator_of(relay).overview().counts
            others = [*teller.broken, *_receipts_say(teller, setting), *_gone(crew)]
        if keep_log is not None:
            keep_log.write_bytes(stage.log.read_bytes())
    counted = tally(recorded)
    stuck = sum(" is still " in sentence for sentence in proof.lost)
    codes = Counter(
        f"{item.status.kind}|{item.status.dead_class}|{item.status.code}"
        for item in recorded
        if item.status.state == "dead" and not item.status.key.startswith("poor")
    )
    numbers = {
        "promoter": setting.promoter,
        "durability": setting.durability,
        **{name: value for name, value in counted.items() if name != "dead_by_class"},
        **{f"dead_{name}": number for name, number in counted["dead_by_class"].items()},
        "blocked": len(blocked),
        **{name: counts.get(name, 0) for name in ("lapsed", "stale", "looked_up", "retried", "epochs")},
        "promotions": succession.promotions,
        "forgotten": teller.forgotten.total(),
        "forgotten_by_durability": dict(teller.forgotten),
        "overtaken": len(teller.overtaken),
        "unavailable": teller.refused,
        "killed": len(crew.killed),
        "moment_lost": sum(item.status.code == "MOMENT_LOST" for item in recorded),
        "stuck": stuck,
        "lost": len(proof.lost) - stuck + len(teller.broken),
        "doubled": len(proof.doubled),
        "untrue": len(set(letters)),
        "violations": len(books.violations()),
        "settling": round(settling_s, 1),
        "seconds": round(time.monotonic() - start_s, 1),
        "dead_codes": dict(codes),
    }
    sentences = [
        *(f"lost: {sentence}" for sentence in proof.lost),
        *(f"doubled: {sentence}" for sentence in proof.doubled),
        *(f"broken: {sentence}" for sentence in books.violations()),
        *(f"untrue: {sentence}" for sentence in dict.fromkeys(letters)),
        *others,
        *(f"turmoil: {error!r}" for error in turmoil.failures),
    ]
    return Outcome(seed, numbers, sentences)


def _tell_until_over(teller: Teller, writes: Sequence[Write], turmoil: Turmoil) -> None:
    """Tell the story, some of it before each cut and some between the cut and the promotion; then wait for the last."""
    batches = [writes[at : at + _BATCH] for at in range(0, len(writes), _BATCH)]
    for number, batch in enumerate(batches):
        # Whoever is done early has nothing to lose.
        while not turmoil.over and turmoil.share < number / len(batches):
            time.sleep(0.05)
        teller.tell(batch)
        time.sleep(_BETWEEN_S)
    while not turmoil.over:
        teller.tell(batches[-1])
        time.sleep(_BETWEEN_S)


def _recorded(relay: Relay, teller: Teller) -> list[Recorded]:
    return [recorded_of(relay, receipt.id) for receipt in teller.receipts.values()]


def _close(relay: Relay, teller: Teller) -> None:
    """Discard the dead letters that hold up others, as a human does who has dealt with them."""
    operator, end_s = operator_of(relay), time.monotonic() + LIMIT_S
    while waiting := [item.status for item in _recorded(relay, teller) if item.status.state == "waiting"]:
        for id_ in {id_ for status in waiting for id_ in status.waits_for}:
            if (status := relay.get(id_)).state == "dead":
                operator.discard(status, who="a drill", reason="it was dealt with")
        if time.monotonic() > end_s:
            return
        time.sleep(0.2)
    _wait(relay, list(teller.receipts.values()), end_s)


def _receipts_say(teller: Teller, setting: Setting) -> Iterator[str]:
    """At the end both servers are there: each receipt says what was asked for."""
    for key, receipt in teller.receipts.items():
        if receipt.durability != setting.durability:
            yield f"durability: the last receipt of {key} says {receipt.durability}"
