"""A round on ground that moves: all that can go wrong does, at once and at random; then all is still, and judged."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import redis

from blnk_relay import JournalUnavailable, NotFound, Receipt, Relay, Write
from blnk_relay.bell import queue_of
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of, new_entry
from blnk_relay.replay import ReplayWay
from blnk_relay.sandbox import DEFAULT_KINDS, Books, Faults
from blnk_relay.settings import INGEST_LANE
from tests.drills.crew import RAISING, RAISING_LATE, Crew
from tests.drills.ground import Ground, Trouble
from tests.drills.letters import references, untrue
from tests.drills.round import Outcome, _wait
from tests.support.counting import recorded_of, states, still_open
from tests.support.dripping import Drip
from tests.support.forwarder import Forwarder
from tests.support.messages import FIELDS, TASK, envelope, message
from tests.support.payments import payment
from tests.support.stages import Tardy, insist, operator_of, pause_process, resume_process
from tests.support.valkey import LastingValkey
from worker.demo.command import LEFT_OUT
from worker.demo.proof.findings import Proof, Recorded
from worker.demo.proof.prove import prove, tally
from worker.demo.stage import STOP_S, Stage
from worker.demo.story import tell

#: Workers of a round.
WORKERS = 3

#: Share of requests that the ledger spoils, and how late it answers to the other writes.
FAULT_RATE = 0.12
SLOW_S = 0.1

#: How long the ground moves at least; producers may take longer.
CHAOS_S = 40.0

#: What is not finished by then, counted from the end of the trouble, never will be.
LIMIT_S = 150.0

#: Longest that a producer tries one batch.
_PATIENCE_S = 60.0

#: Within this a worker that hears takes what comes, though others swallow some bells.
_HEARING_S = 25.0

#: The slowest answer that drips takes so long; who waits gives up before.
_DRIP_S = 4.0

#: Who was frozen for longer may count as dead.
_DEAD_S = 1.0

#: On top of the haste of the demo: the worker is to notice what hurts it.
PACE: Mapping[str, Any] = {
    "redis_timeout_s": 1.0,
    "durability_timeout_s": 0.5,
    "stalled_s": 15.0,
}

#: What no worker of ours knows.
_NEWER = "transaction.reversed"

_STRANGERS = 12
_NAMED = 24


def _rubbish(number: int) -> bytes:
    """What comes by name and is no intent, each for another reason."""
    given = {**FIELDS, "key": f"bad-{number}"}
    return [
        message({**given, "amount": "x"}),
        message({**given, "after": ["never"]}),
        message({**given, "options": 1}),
        message(given, task="tasks.enqueue_transactions"),
        message(given, args=[1]),
        message({**given, "not_before": True}),
        envelope(f"\x80 {number}".encode("latin-1")),
        envelope(f"hello {number}".encode(), content_type="text/plain"),
    ][number % 8]


class Producers:
    """Enqueue for as long as the ground moves, and again under the same keys when refused.

    Args:
        stage: Where.
        relays: One for each that enqueues.
        writes: The story.
        seed: Decides when what comes, and what comes again.
        valkey: Where messages by name are laid.
    """

    def __init__(
        self, stage: Stage, relays: Sequence[Relay], writes: Sequence[Write], seed: int, valkey: LastingValkey
    ) -> None:
        self._stage, self._relays, self._writes, self._seed, self._valkey = stage, relays, writes, seed, valkey
        self._lock = threading.Lock()
        self._told: list[Write] = []
        self.receipts: list[Receipt] = []
        self.strangers: list[str] = []
        self.named: list[str] = []
        self.rubbish = 0
        self.refused = 0
        self.failures: list[BaseException] = []
        self._over = threading.Event()
        acts = (self._tell, self._repeat, self._newer, self._by_name)
        self._threads = [threading.Thread(target=self._run, args=(act,), name=act.__name__) for act in acts]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Wait for the whole story to be told."""
        self._threads[0].join(CHAOS_S + _PATIENCE_S * 3)
        self._over.set()
        for thread in self._threads:
            thread.join(_PATIENCE_S)
        if any(thread.is_alive() for thread in self._threads):
            self.failures.append(AssertionError("a producer never came back"))

    def _run(self, act: Callable[[Relay, random.Random], None]) -> None:
        number = [thread.name for thread in self._threads].index(act.__name__)
        try:
            act(self._relays[number], random.Random(f"{act.__name__}-{self._seed}"))
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self.failures.append(error)

    def _insist(self, act: Callable[[], list[Receipt]]) -> list[Receipt]:
        end_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return act()
            except JournalUnavailable:
                self.refused += 1
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.05)

    def _tell(self, relay: Relay, rng: random.Random) -> None:
        """The story, a few writes at a time, and in its midst two payments whose kind raises."""
        story = list(self._writes)
        for key in (RAISING, RAISING_LATE):
            story.insert(rng.randrange(len(story)), Write(intent=payment(key), key=key))
        start_s, at = time.monotonic(), 0
        while at < len(story):
            size = rng.randint(1, 8)
            batch = story[at : at + size]
            receipts = self._insist(lambda batch=batch: relay.enqueue_many(batch))  # type: ignore[misc]
            at += size
            with self._lock:
                self.receipts += receipts
                self._told += batch
            due_s = start_s + CHAOS_S * at / len(story)
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _repeat(self, relay: Relay, rng: random.Random) -> None:
        """What was enqueued already, once more under its key."""
        while not self._over.wait(rng.uniform(0.1, 0.8)):
            with self._lock:
                again = rng.sample(self._told, min(len(self._told), 5))
            if again:
                receipts = self._insist(lambda again=again: [relay.enqueue_many([one])[0] for one in again])  # type: ignore[misc]
                assert not any(receipt.created for receipt in receipts), "a repeat was taken for something new"

    def _newer(self, relay: Relay, rng: random.Random) -> None:
        """A newer producer, with kinds that the workers do not know."""
        for number in range(_STRANGERS):
            key = f"newer-{number}"
            lane = rng.choice(self._stage.settings.lanes)
            known = new_entry(payment(key), key, lane, not_before="+0", deadline="+86400000", tag="blnk_relay")
            new = replace(
                known,
                entry=replace(known.entry, kind=_NEWER),
                body=known.body.replace('"kind":"transaction"', f'"kind":"{_NEWER}"'),
            )
            self._insist(lambda new=new: relay._accept([new]))  # type: ignore[misc]
            self.strangers.append(key)
            if self._over.wait(rng.uniform(0.5, CHAOS_S / _STRANGERS)):
                return

    def _by_name(self, _: Relay, rng: random.Random) -> None:
        """Messages of a program that does not know the library, good ones and rubbish."""
        for number in range(_NAMED):
            good = number % 2 == 0
            key = f"named-{number}"
            raw = message({**FIELDS, "key": key}, task=TASK) if good else _rubbish(number // 2)
            self._lay(raw)
            if good:
                self.named.append(key)
            else:
                self.rubbish += 1
            if self._over.wait(rng.uniform(0.2, 2 * CHAOS_S / _NAMED)):
                return

    def _lay(self, raw: bytes) -> None:
        end_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                with self._valkey.client() as client:
                    client.lpush(queue_of(self._stage.settings, INGEST_LANE), raw)
            except (redis.RedisError, OSError):
                if time.monotonic() > end_s:
                    raise
                time.sleep(0.1)
            else:
                return


@dataclass
class Judgement:
    """What is found once all is still.

    Attributes:
        recorded: All intents as they ended.
        proof: The journal against the books.
        books: The ledger's.
        untrue: Dead letters that say what is not true.
        others: What else is wrong.
        counts: Counters of the journal.
        settling_s: How long it took from the end of the trouble until all were finished.
    """

    recorded: list[Recorded]
    proof: Proof
    books: Books
    untrue: list[str]
    others: list[str]
    counts: Mapping[str, int]
    settling_s: float

    @property
    def sentences(self) -> list[str]:
        """All of it in words."""
        return [
            *(f"lost: {sentence}" for sentence in self.proof.lost),
            *(f"doubled: {sentence}" for sentence in self.proof.doubled),
            *(f"broken: {sentence}" for sentence in self.books.violations()),
            *(f"untrue: {sentence}" for sentence in self.untrue),
            *self.others,
        ]


def play_moving(seed: int, intents: int, *, pool: str = "threads", keep_log: Path | None = None) -> Outcome:
    """Play one round.

    Args:
        seed: Of the story, of the faults and of the blows.
        intents: How many.
        pool: Celery pool of the workers.
        keep_log: Where the log of the workers goes; nowhere when None.
    """
    start_s = time.monotonic()
    kinds = [kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT]
    trouble = Trouble(Tardy(Faults.seeded(seed, FAULT_RATE, kinds=kinds), SLOW_S))
    story = tell(intents, seed)
    with ExitStack() as stack:
        valkey = LastingValkey()
        forwarder, drip = Forwarder(valkey.port), Drip(seed, longest_s=_DRIP_S)
        stack.callback(forwarder.stop)
        stack.callback(drip.stop)
        fixed = {"redis_url": f"redis://127.0.0.1:{forwarder.port}/0", "base_url": drip.url}
        chosen = _choices(seed)
        stage = Stage(faults=Faults.none(), pool=pool, settings={**PACE, **chosen, **fixed})
        stage._start_valkey = lambda: valkey
        stack.enter_context(stage)
        drip.target = int(stage.sandbox.url.rpartition(":")[2])
        relays = [stack.enter_context(Relay(stage.settings)) for _ in range(5)]
        with Crew(stage, pool, WORKERS) as crew:
            opening = insist(relays[0], story.opening, _PATIENCE_S)
            _wait(relays[0], opening, time.monotonic() + LIMIT_S)
            stage.sandbox.set_faults(trouble)
            producers = Producers(stage, relays[1:], story.writes, seed, valkey)
            ground = Ground(valkey, crew, trouble, drip, seed)
            with ground:
                producers.start()
                producers.finish()
            judgement = _judge(relays[0], stage, producers, opening, crew=crew, restarts=ground.struck["crash_server"])
        if keep_log is not None:
            keep_log.write_bytes(stage.log.read_bytes())
    failures = [f"producer: {error!r}" for error in (*producers.failures, *ground.failures)]
    counted = tally(judgement.recorded)
    stuck = sum(" is still " in sentence for sentence in judgement.proof.lost)
    numbers = {
        **{name: value for name, value in counted.items() if name != "dead_by_class"},
        **{f"dead_{name}": number for name, number in counted["dead_by_class"].items()},
        "blocked": len(judgement.proof.blocked),
        **{name: judgement.counts.get(name, 0) for name in ("lapsed", "stale", "looked_up", "retried", "given_back")},
        **dict(sorted(ground.struck.items())),
        "blows": ground.struck.total(),
        "dripped": drip.dripped,
        "unavailable": producers.refused,
        "stuck": stuck,
        "lost": len(judgement.proof.lost) - stuck,
        "doubled": len(judgement.proof.doubled),
        "untrue": len(judgement.untrue),
        "violations": len(judgement.books.violations()),
        "ended": {str(code): number for code, number in crew.ended.items()},
        "settling": round(judgement.settling_s, 1),
        "seconds": round(time.monotonic() - start_s, 1),
    }
    codes = Counter(
        f"{item.status.kind}|{item.status.dead_class}|{item.status.code}"
        for item in judgement.recorded
        if item.status.state == "dead" and not item.status.key.startswith("poor")
    )
    return Outcome(seed, {**numbers, "dead_codes": dict(codes), "choices": chosen}, [*judgement.sentences, *failures])


def _choices(seed: int) -> dict[str, Any]:
    """What else an operator may have chosen; each round has its own."""
    rng = random.Random(f"choices-{seed}")
    return {
        "durability": rng.choice(["fsync", "memory"]),
        "confirm_route": rng.choice(["filters", "filters", "core"]),
        "connections": rng.choice([6, 32]),
    }


def _judge(
    relay: Relay, stage: Stage, producers: Producers, opening: Sequence[Receipt], *, crew: Crew, restarts: int
) -> Judgement:
    """Wait for the last to finish, and hold everything against the books."""
    calm_s = time.monotonic()
    named = _named(relay, producers.named, calm_s + LIMIT_S)
    others = [f"lost: {key} came by name" for key in producers.named if key not in named]
    ids = list(dict.fromkeys([*(one.id for one in (*opening, *producers.receipts)), *named.values()]))
    _finish(relay, ids, calm_s + LIMIT_S)
    settling_s = time.monotonic() - calm_s
    others += _letters_by_name(relay, producers.rubbish)
    others += _strangers(relay, producers.strangers)
    recorded = [recorded_of(relay, id_) for id_ in ids]
    books = stage.sandbox.books()
    dead = frozenset(crew.killed | {pid for pid, slept_s in crew.asleep.items() if slept_s > _DEAD_S})
    proof = prove(recorded, books.rows, books)
    letters = list(untrue(recorded, relay, books, dead, restarts))
    others += _advised(relay, stage, ids)
    counts = operator_of(relay).overview().counts
    others += _strangers(relay, producers.strangers)
    others += _deaf(crew, relay)
    others += _gone(crew)
    # Nobody turns a bell into a letter while it stops.
    others += _letters_by_name(relay, producers.rubbish)
    return Judgement(recorded, proof, books, letters, others, counts, settling_s)


def _finish(relay: Relay, ids: Sequence[str], end_s: float) -> None:
    """Wait until each is finished, or waits behind a dead letter."""
    _wait(relay, [cast("Receipt", SimpleNamespace(id=id_)) for id_ in ids], end_s)


def _advised(relay: Relay, stage: Stage, ids: Sequence[str]) -> Iterator[str]:
    """Do what dead letters advise: replays end, and double nothing."""
    operator = operator_of(relay)
    replayed, before = 0, stage.sandbox.books().rows
    # What the ledger did under a reference that is used up, and took back: the first proof has dealt with it.
    past: set[str] = set()
    for item in [recorded_of(relay, id_) for id_ in ids]:
        way = operator.plan(item.status).way
        if item.status.state != "dead" or way is ReplayWay.NO:
            continue
        operator.replay(item.status, who="a drill", reason="as it advises")
        replayed += 1
        if way is ReplayWay.FRESH:
            made = {name for reference in references(item) for name in (reference, f"{reference}_q")}
            past |= {row.transaction_id for row in before if row.reference in made}
    past |= {row.transaction_id for row in before if row.reference.partition("_refund")[0] in past}
    _finish(relay, ids, time.monotonic() + LIMIT_S)
    recorded, books = [recorded_of(relay, id_) for id_ in ids], stage.sandbox.books()
    proof = prove(recorded, [row for row in books.rows if row.transaction_id not in past], books)
    for sentence in (*proof.lost, *proof.doubled, *books.violations()):
        yield f"advice: after {replayed} replays: {sentence}"


def _named(relay: Relay, keys: Sequence[str], end_s: float) -> dict[str, str]:
    """Ids of what came by name, once it is recorded."""
    found: dict[str, str] = {}
    while len(found) < len(keys) and time.monotonic() < end_s:
        for key in keys:
            with suppress(NotFound, JournalUnavailable):
                found[key] = relay.get(key).id
        time.sleep(0.1)
    return found


def _letters_by_name(relay: Relay, number: int) -> Iterator[str]:
    """One letter for each message that was none, and no more."""
    end_s = time.monotonic() + 20
    while True:
        letters = [status for status in operator_of(relay).listed("dead") if status.dead_class == "invalid"]
        if len(letters) == number:
            return
        if time.monotonic() > end_s:
            yield f"by name: {number} messages were no intents, and there are {len(letters)} letters"
            return
        time.sleep(0.2)


def _strangers(relay: Relay, keys: Sequence[str]) -> Iterator[str]:
    """What nobody here knows is as it was on the first day."""
    for key in keys:
        try:
            status = relay.get(id_of(DEFAULT_TARGET, key))
        except NotFound:
            yield f"lost: {key} of an unknown kind"
            continue
        lines = list(relay.history(status.id))
        if (status.state, status.attempts, status.code, lines) != ("ready", 0, "", []):
            yield f"touched: {key} of an unknown kind is {status.state} {status.code} after {len(lines)} lines"


def _deaf(crew: Crew, relay: Relay) -> Iterator[str]:
    """Each worker has to do some payments alone, while the others are frozen."""
    for place, worker in enumerate(crew.present()):
        others = [other for other in crew.present() if other is not worker]
        for other in others:
            pause_process(other)
        try:
            keys = [f"alone-{place}-{number}" for number in range(3)]
            receipts = insist(relay, [Write(intent=payment(key)) for key in keys])
            end_s = time.monotonic() + _HEARING_S
            while still_open(relay, receipts) and time.monotonic() < end_s:
                time.sleep(0.1)
            if left := still_open(relay, receipts):
                yield f"deaf: worker {worker.pid} left {left} of {states(relay, receipts)}"
        finally:
            for other in others:
                resume_process(other)


def _gone(crew: Crew) -> Iterator[str]:
    """Whoever ended by itself said so with its exit code, and whoever is told to stop does."""
    for code in crew.unforeseen:
        yield f"gone: a worker ended with {code}"
    for worker in crew.present():
        if (code := crew.dismiss(worker)) != 0:
            yield f"gone: worker {worker.pid} was told to stop, and ended with {code} within {STOP_S:g} s"
