"""What drills have in common: a stage with workers, a story told on it in step with the blows, and the judgement."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from blnk_relay import Relay, Write
from blnk_relay.replay import ReplayWay
from blnk_relay.sandbox import Faults
from tests.drills.crew import Crew, Sort
from tests.drills.letters import references, untrue
from tests.drills.report import Report, Terms, too_few
from tests.drills.teller import Teller, Telling
from tests.drills.trouble import Trouble
from tests.support.counting import recorded_of, states, still_open
from tests.support.payments import payment
from tests.support.stages import insist, operator_of
from tests.support.valkey import LastingValkey
from worker.demo.proof.findings import Recorded
from worker.demo.proof.prove import behind_dead, prove, tally
from worker.demo.stage import STOP_S, Stage
from worker.demo.story import key_of, tell

#: Share of the requests that the ledger spoils, and how late it answers to the other writes: what is under way is what
#: a blow can hit.
FAULT_RATE = 0.12
SLOW_S = 0.1

#: What has not ended by then, counted from the end of the blows, never will.
LIMIT_S = 90.0

#: What is open later than this is named in the report, though it may end in time; and how many of them.
_SOON_S = 25.0
_SHOWN = 5

#: Within this a worker that hears takes what comes.
_HEARING_S = 25.0

_POLL_S = 0.1

#: On top of the haste of the demo: shorter horizons, for what never came to be is told by nothing but time.
PACE: Mapping[str, Any] = {
    "redis_timeout_s": 1.0,
    "durability_timeout_s": 0.5,
    "stalled_s": 15.0,
    "horizon_s": 10.0,
    "stuck_horizon_s": 20.0,
}

#: Counters of the journal that each report shows.
_COUNTS = ("lapsed", "stale", "looked_up", "retried", "given_back", "epochs", "noticed")


class Scene:
    """A stage, a crew and a story; entered, the opening is done and the rest is told as blows fall.

    Attributes:
        events: How often each blow fell.
        rng: What chance decides; repeatable by the seed.
        others: Sentences about what else is wrong.
        beside: Ids of intents that others than the teller have enqueued.

    Args:
        drill: Name of the drill.
        terms: How it is to be played.
        intents: How many intents are told.
        workers: Size of the crew, by sorts of worker where it has several.
        valkey: The server; one that can be stopped and started again when None.
        settings: Settings that win.
        trouble: What goes wrong at the ledger; the usual when None.
        front: Stands before the ledger: has an address (``url``), a ``target`` to be set, and can be stopped.
        losses: How often Redis has lost its last moments; never when None.
        restarts: How often it came back as another process, so that its last moments may be in doubt.
        among: Writes that are told somewhere in the story.
    """

    def __init__(
        self,
        drill: str,
        terms: Terms,
        *,
        intents: int,
        workers: int | Mapping[Sort, int] = 3,
        valkey: Any = None,
        settings: Mapping[str, Any] | None = None,
        trouble: Trouble | None = None,
        front: Any = None,
        losses: Callable[[], int] | None = None,
        among: Sequence[Write] = (),
    ) -> None:
        self._start_s = time.monotonic()
        self._drill, self.terms = drill, terms
        self._stack = ExitStack()
        self.valkey: Any = valkey or LastingValkey()
        self.trouble = trouble or Trouble(terms.seed, FAULT_RATE, SLOW_S)
        self._front = front
        self._losses = losses or (lambda: 0)
        self.rng = random.Random(f"{drill}-{terms.seed}")
        self._story = tell(intents, terms.seed)
        self._writes = list(self._story.writes)
        for write in among:
            self._writes.insert(self.rng.randrange(len(self._writes)), write)
        self._sizes = {Sort(): workers} if isinstance(workers, int) else workers
        given = {**PACE, **({"base_url": front.url} if front else {}), **(settings or {})}
        self.stage = Stage(faults=Faults.none(), pool=terms.pool, settings=given)
        self.stage._start_valkey = lambda: self.valkey
        self.events: Counter[str] = Counter()
        self.others: list[str] = []
        self.beside: list[str] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._front is not None:
                stack.callback(self._front.stop)
            stack.enter_context(self.stage)
            stack.callback(self._keep_log)
            if self._front is not None:
                self._front.target = int(self.stage.sandbox.url.rpartition(":")[2])
            self.relay = stack.enter_context(Relay(self.stage.settings))
            self.teller = Teller(stack.enter_context(Relay(self.stage.settings)), self._losses)
            self.crew = stack.enter_context(Crew(self.stage, self.terms.pool, self._sizes))
            self.teller.tell(self._story.opening)
            settle(self.relay, self._ids(), time.monotonic() + LIMIT_S)
            self.stage.sandbox.set_faults(self.trouble)
            self._telling = Telling(self.teller, self._writes)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *given: object) -> None:
        self._stack.close()

    def blows(self, number: int, pause_s: tuple[float, float] = (0.1, 0.5)) -> Iterator[int]:
        """So many turns, a pause before each; as much of the story is told as turns have come, half under blows."""
        for turn in range(number):
            self._telling.go_on((turn + 0.5) / number)
            time.sleep(self.rng.uniform(*pause_s))
            self._telling.go_on((turn + 1) / number)
            yield turn

    def struck(self, name: str, times: int = 1) -> None:
        """A blow has fallen."""
        self.events[name] += times

    def alive(self) -> None:
        """Each worker has to do some payments alone, while the others are frozen; at the end, when all is still."""
        for place, worker in enumerate(self.crew.present()):
            others = [other for other in self.crew.present() if other is not worker]
            for other in others:
                self.crew.freeze(other)
            try:
                if left := self._done_soon(f"alone-{place}"):
                    self.others.append(f"deaf: worker {worker.pid} left {left}")
                self.events["heard"] += 1
            finally:
                for other in others:
                    self.crew.wake(other)

    def lively(self, name: str) -> float:
        """Some payments have to be done soon, by whoever is there; returns how long it took."""
        start_s = time.monotonic()
        if left := self._done_soon(name):
            self.others.append(f"stuck: {left}")
        return time.monotonic() - start_s

    def _done_soon(self, name: str) -> str:
        writes = [Write(intent=payment(f"{name}-{number}.")) for number in range(3)]
        receipts = insist(self.relay, writes, _HEARING_S)
        self.teller.receipts.update((receipt.key, receipt) for receipt in receipts)
        end_s = time.monotonic() + _HEARING_S
        while left := still_open(self.relay, receipts):
            if time.monotonic() > end_s:
                return f"{left} of {states(self.relay, receipts)} of {name} after {_HEARING_S:g} s"
            time.sleep(_POLL_S)
        return ""

    def calm(self) -> None:
        """The blows are over: the story is told to its end, and the ledger behaves."""
        self.others += self._telling.finish()
        self.trouble.over = True
        self.teller.tell(list({key_of(write): write for write in self._story.repeated}.values()))
        if self._losses():
            self.teller.tell_again()

    def report(
        self, least: Mapping[str, int], *, restarts: int = 0, alive: bool = False, advised: bool = False, **figures: Any
    ) -> Report:
        """Wait until all has ended, and hold everything against the books.

        Args:
            least: How often which blow had to fall; also what came of them: counters of the journal, steps of the clock
                that were noticed (``noticed``), receipts that were lost (``forgotten``), and how often the producer was
                told that Redis gave no answer (``refused``).
            restarts: How often Redis came back as another process, so that its last moments were in doubt.
            alive: Whether each worker has to show that it hears.
            advised: Whether what dead letters advise is done: replays end, and double nothing.
            **figures: What else is to stand in the report.
        """
        self.calm()
        calm_s = time.monotonic()
        settle(self.relay, self._ids(), min(calm_s + _SOON_S, calm_s + LIMIT_S))
        late = [f"{item.name} {item.status.state}" for item in self._recorded() if not item.status.finished]
        settle(self.relay, self._ids(), calm_s + LIMIT_S)
        settling_s = time.monotonic() - calm_s
        held: dict[str, Any] = {}
        if settling_s > LIMIT_S:
            self.crew.dump()
            held = self._first_held()
        if alive:
            self.alive()
        recorded, books = self._recorded(), self.stage.sandbox.books()
        letters = list(untrue(self.teller.judged(recorded), self.relay, books, self.crew.silent(), restarts))
        blocked = prove(recorded, books.rows, books).blocked
        past = self._follow_advice() if advised else frozenset()
        # What waits behind a dead letter may have been sent in lost moments: then the one behind it says so.
        self._close()
        ended, books = self._recorded(), self.stage.sandbox.books()
        proof = prove(ended, [row for row in books.rows if row.transaction_id not in past], books)
        letters += [] if advised else untrue(self.teller.judged(ended), self.relay, books, self.crew.silent(), restarts)
        letters = list(dict.fromkeys(letters))
        counts = {**operator_of(self.relay).overview().counts, "noticed": self._noticed()}
        came = {"forgotten": self.teller.forgotten.total(), "refused": self.teller.refused}
        counted = tally(recorded)
        stuck = [
            sentence for sentence in (*proof.lost, *proof.blocked) if " is still " in sentence or " waits " in sentence
        ]
        gone = [sentence for sentence in proof.lost if sentence not in stuck]
        violations = books.violations()
        codes = Counter(
            f"{item.status.kind}|{item.status.dead_class}|{item.status.code}"
            for item in recorded
            if item.status.state == "dead" and not item.status.key.startswith("poor")
        )
        sentences = [
            *too_few({**counts, **came, **self.events}, least),
            *(f"lost: {sentence}" for sentence in gone),
            *self.teller.broken,
            *(f"stuck: {sentence}" for sentence in stuck),
            *(f"doubled: {sentence}" for sentence in proof.doubled),
            *(f"broken: {sentence}" for sentence in violations),
            *(f"untrue: {sentence}" for sentence in letters),
            *self.others,
            *self.crew.gone(),
        ]
        return Report(
            self._drill,
            self.terms.seed,
            events=dict(sorted(self.events.items())),
            accepted=len(ended),
            settled=len(ended) - len(stuck),
            lost=len(gone) + len(self.teller.broken),
            doubled=len(proof.doubled),
            stuck=len(stuck),
            untrue=len(letters),
            violations=len(violations),
            seconds=round(time.monotonic() - self._start_s, 1),
            figures={
                "applied": counted["applied"],
                "dead": counted["dead"],
                "dead_codes": dict(codes),
                "blocked": len(blocked),
                **{name: counts.get(name, 0) for name in _COUNTS},
                "refused": self.teller.refused,
                "settling": round(settling_s, 1),
                **({"first_held": held} if held else {}),
                **({"late": late[:_SHOWN]} if late and settling_s > _SOON_S else {}),
                **figures,
            },
            sentences=tuple(sentences),
        )

    def _noticed(self) -> int:
        """How many steps of the clock of Redis were taken off the journal's time."""
        journal = self.relay.journal()
        return int(journal.client.hget(journal.key("ground"), "steps") or 0)

    def _ids(self) -> list[str]:
        return list(dict.fromkeys([*(receipt.id for receipt in self.teller.receipts.values()), *self.beside]))

    def _recorded(self) -> list[Recorded]:
        return [recorded_of(self.relay, id_) for id_ in self._ids()]

    def _follow_advice(self) -> frozenset[str]:
        """Replay what may be replayed.

        Returns:
            Ids of rows that the ledger made under references that are used up, and took back: the first proof has dealt
            with them.
        """
        operator, before = operator_of(self.relay), self.stage.sandbox.books().rows
        past: set[str] = set()
        for item in self._recorded():
            way = operator.plan(item.status).way
            if item.status.state != "dead" or way is ReplayWay.NO:
                continue
            operator.replay(item.status, who="a drill", reason="as it advises")
            self.struck("replay")
            if way is ReplayWay.FRESH:
                made = {name for reference in references(item) for name in (reference, f"{reference}_q")}
                past |= {row.transaction_id for row in before if row.reference in made}
        past |= {row.transaction_id for row in before if row.reference.partition("_refund")[0] in past}
        settle(self.relay, self._ids(), time.monotonic() + LIMIT_S)
        return frozenset(past)

    def _close(self) -> None:
        """Discard the dead letters that hold up others, as a human does who has dealt with them."""
        operator, end_s = operator_of(self.relay), time.monotonic() + LIMIT_S
        while waiting := [item.status for item in self._recorded() if item.status.state == "waiting"]:
            for id_ in {id_ for status in waiting for id_ in status.waits_for}:
                if (status := self.relay.get(id_)).state == "dead":
                    operator.discard(status, who="a drill", reason="it was dealt with")
            if time.monotonic() > end_s:
                return
            time.sleep(_POLL_S)
        settle(self.relay, self._ids(), end_s)

    def _first_held(self) -> dict[str, Any]:
        """What is recorded of the first that is open and waits for nothing, and the time of the journal."""
        journal = self.relay.journal()
        for item in self._recorded():
            if not item.status.finished and item.status.state != "waiting":
                line = "posted" if item.status.state == "posted" else f"ready:{item.status.lane}"
                fields: Any = journal.client.hgetall(journal.key(f"intent:{item.status.id}"))
                due = journal.client.zscore(journal.key(line), item.status.id)
                ground: Any = journal.client.hgetall(journal.key("ground"))
                return {
                    "now": journal.now_ms(),
                    "due": due,
                    **{f"ground_{name}": ground[name] for name in ground},
                    **fields,
                }
        return {}

    def _keep_log(self) -> None:
        if self.terms.log is not None:
            self.terms.log.mkdir(parents=True, exist_ok=True)
            (self.terms.log / f"{self._drill}.log").write_bytes(self.stage.log.read_bytes())


def settle(relay: Relay, ids: Sequence[str], end_s: float) -> None:
    """Wait until none is open, besides what a dead letter holds back; at the limit, count what there is."""
    receipts: Any = [_Id(id_) for id_ in ids]
    while time.monotonic() < end_s:
        open_ = still_open(relay, receipts)
        if not open_ or open_ == _held_back(relay, open_):
            return
        time.sleep(_POLL_S)


class _Id:
    """As much of a receipt as it takes to ask for its state."""

    def __init__(self, id_: str) -> None:
        self.id = id_


def _held_back(relay: Relay, open_: int) -> int:
    """Intents behind a dead letter; only worth counting when all that is open waits."""
    operator = operator_of(relay)
    if operator.overview().waiting < open_:
        return -1
    listed = (*operator.listed("dead"), *operator.listed("waiting"))
    return len(behind_dead({status.id: status for status in listed}))


__all__ = ["FAULT_RATE", "LIMIT_S", "PACE", "SLOW_S", "STOP_S", "Scene", "settle"]
