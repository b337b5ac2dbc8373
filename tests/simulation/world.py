"""One run: the real code of producers, workers and operators on virtual time, from its begin to its end."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from blnk_relay import Intent, Relay
from blnk_relay.errors import (
    InvalidIntent,
    JournalUnavailable,
    KeyConflict,
    NotFound,
    OtherLedger,
    Refused,
    RelayError,
)
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.progress import Progress
from blnk_relay.journal.entries import id_of, new_entry
from blnk_relay.journal.jobs import Job, JobName, jobs_flow
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.status import Status
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox.books.rows import Effect
from blnk_relay.settings import policy_of
from tests.simulation import clockwork, parties, seams
from tests.simulation.clockwork import Process
from tests.simulation.journal_side import Server
from tests.simulation.judging import judged, miscounted
from tests.simulation.ledger_side import SimWire
from tests.simulation.parties import Unheard, Worker
from tests.simulation.plan import Event, Plan
from tests.simulation.run import LANES, SERVER_MS, Ended, Receipt, Run, settings_of
from tests.simulation.stories import LETTERS, RESULTS, RIVALS, STORIES, Told
from tests.simulation.trouble import Trouble, intent
from worker.ledger.ledgers import ledger_of

#: Everything befalls before this; afterwards it is only seen whether all comes to its end.
CALM_FROM_S = 60.0

#: How long, in virtual time, it may take then: longer than any intent's deadline and horizon.
LONGEST_S = 2 * 86_400.0

#: After so long what is still open is taken to wait for a human, who closes what is dead; and how often he does.
PATIENT_S = 4 * 3600.0
_MOST_CLOSINGS = 8

#: How far the ledger's time is taken then, to see that nothing happens any more; a brisk one is done in a tenth of it.
AFTERWARDS_S = 43_200.0

#: Preparing that takes no longer moves nothing.
_SOON_S = 1.0

#: More jobs than any plan has.
_MOST_JOBS = 20

#: How long a producer waits before it enqueues again what has got no receipt.
_AGAIN_S = 1.0

#: How long it takes until a producer learns that Redis has lost its last moments.
_NOTICED_S = 3.0

#: How many events one run may have, and how many more for each second of it: beyond, something spins. Looking each two
#: seconds for hours, as workers do while the ledger has not decided, is no spinning.
MOST_EVENTS = 30_000
_EVENTS_A_SECOND = 8


class World:
    """How one run goes.

    Args:
        plan: What is played.
        valkey: The server it is played on, with the scripts loaded.
        told: Whether its story is kept.
    """

    def __init__(self, plan: Plan, valkey: Server, *, told: bool = False) -> None:
        self.run = Run(plan, valkey, told=told)
        self.trouble = Trouble(self.run, self._called, self._lost)
        #: Losses that no producer has heard of yet.
        self._unnoticed = 0
        #: What the journal says at the end of the items of letters of which not all is known.
        self._parts: dict[str, dict[int, str]] = {}
        #: When all was there that has to be before the plan.
        self._begun_s: float | None = None
        self._steps = 0
        #: Names of the jobs that were begun.
        self._jobs: list[str] = []
        #: What the journal says of them at the end.
        self._told_jobs: Sequence[Job] = ()

    # -- operators --------------------------------------------------------------------------------------------------

    def _called(self, event: Event) -> None:
        self.run.hub.spawn(self._operator.process, lambda: self._act(event), "operator")

    def _act(self, event: Event) -> None:
        """What an operator does, or a producer who takes back or enqueues again."""
        keys = self._keys_of(event.of)
        operator = self._operator.hands
        try:
            match event.what:
                case "replay" | "discard":
                    for key in keys:
                        status = operator.get(key)
                        if status.state == "dead" and event.what == "replay":
                            # Also where its answer is lost: then it may be done.
                            self.run.replayed.add(key)
                            operator.replay(status, who="op", reason="sim")
                        elif status.state == "dead":
                            self._discard(key, status)
                case "cancel":
                    for key in reversed(keys):
                        self.producer.relay.cancel(key)
                case "again":
                    self._enqueue_again()
                case "job replay" | "job discard":
                    self._begin_job("discard" if event.what == "job discard" else "replay", keys)
                case "job stop" if self._jobs:
                    operator.stop_job(self._jobs[-1], who="op", reason="sim")
                case "pause lane":
                    operator.pause_lane(LANES[event.of % len(LANES)], who="op", reason="sim")
                    self.run.hub.sleep(event.seconds)
                    operator.resume_lane(LANES[event.of % len(LANES)], who="op")
                case "pause target":
                    operator.pause_target(DEFAULT_TARGET, who="op", reason="sim")
                    self.run.hub.sleep(event.seconds)
                    operator.resume_target(DEFAULT_TARGET, who="op")
                case "rebind":
                    self._rebind(event)
        except RelayError as error:
            self.run.say(f"the operator is told: {error}")

    def _begin_job(self, what: JobName, keys: Sequence[str]) -> None:
        """One thing is done with all letters of a story, by whichever worker carries it out."""
        operator, run = self._operator.hands, self.run
        statuses = {}
        for key in keys:
            with suppress(NotFound):
                statuses[key] = operator.get(key)
        letters = {key: status for key, status in statuses.items() if status.state == "dead"}
        plan = operator.plan_these(what, letters.values(), of="sim")
        if not plan.letters:
            return
        # Those that it comes to are among these.
        if what == "replay":
            run.replayed |= letters.keys()
        else:
            run.closed_in_doubt |= {key for key, status in letters.items() if status.perhaps_replayed}
        self._jobs.append(operator.begin(plan, who="op", reason="sim"))

    def _rebind(self, event: Event) -> None:
        """The ledger gets another address: workers with the former one are begun again with the new one, one by one."""
        new = settings_of(self.run.plan, f"https://moved{event.of}.example.com")
        self.producer.relay.journal(DEFAULT_TARGET).rebind(
            new.ledgers[DEFAULT_TARGET].ledger, who="op", reason="it has moved"
        )
        self.run.settings = new
        for worker in self.run.workers:
            self.run.hub.sleep(min(event.seconds, 10.0))
            # Where it has moved once more meanwhile, nobody is given the address before the last.
            worker.settings = self.run.settings
            worker.die(0.2)

    def _keys_of(self, number: int) -> list[str]:
        if not self.run.stories:
            return []
        return [item.key for item in self.run.stories[number % len(self.run.stories)].items]

    def _resume_all(self) -> None:
        for lane in LANES:
            self._operator.hands.resume_lane(lane, who="op")
        self._operator.hands.resume_target(DEFAULT_TARGET, who="op")

    def _discard(self, key: str, status: Status) -> None:
        if status.perhaps_replayed:
            self.run.closed_in_doubt.add(key)
        self._operator.hands.discard(status, who="op", reason="sim")

    def _close(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                status = self._operator.hands.get(key)
                if status.state == "dead":
                    self._discard(key, status)
            except (JournalUnavailable, Refused) as error:
                # A loss was noted since it was looked at, say, or Redis is away: the next round looks again.
                self.run.say(f"the operator is told: {error}")

    # -- producers --------------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        """Who has a receipt that may be lost enqueues again, once what was under way has been answered.

        In the same order, and before anything new.
        """
        self._unnoticed += 1
        hub = self.run.hub
        hub.call(_NOTICED_S, lambda: hub.spawn(self.producer.process, self._notice, "again"))

    def _produce(self, told: Told) -> None:
        for item in told.items:
            self._enqueue(item)

    def _enqueue(self, item: Any) -> None:
        while True:
            self.run.first_s.setdefault(item.key, self.run.hub.now_s)
            served_by = self.run.server.lives
            try:
                receipt = self.producer.relay.enqueue(item.intent, key=item.key, **item.options)
            except (InvalidIntent, KeyConflict) as error:
                self.run.say(f"producer: {item.key} is refused at the door: {error}")
                self.run.refused_at_the_door.add(item.key)
                return
            except OtherLedger:
                # Its settings are those of before the move; somebody gives it the new ones.
                self.producer.relay = Relay(self.run.settings)
                self.run.hub.sleep(_AGAIN_S)
            except JournalUnavailable as error:
                self.run.say(f"producer: {item.key} has no receipt: {error}")
                self.run.hub.sleep(_AGAIN_S)
            else:
                if self.run.server.lives != served_by:
                    # It may be a receipt of before the loss, that comes after everybody has enqueued again.
                    continue
                self.run.say(f"producer: {item.key} is accepted ({receipt.durability})")
                self.run.receipts[item.key] = Receipt(receipt.durability, self.run.hub.now_s)
                self.run.taken.discard(item.key)
                self.run.refused_at_the_door.discard(item.key)
                return

    def _notice(self) -> None:
        self._enqueue_again()
        self._unnoticed -= 1

    def _enqueue_again(self) -> None:
        for told in list(self.run.stories):
            for item in told.items:
                if item.key in self.run.receipts:
                    self._enqueue(item)

    def _prepared(self, scene: str, intent: Intent) -> str:
        """Something that is in the ledger before."""
        policy = policy_of(self.run.settings)
        entry = new_entry(
            intent, f"before.{scene}", "transactions", not_before="+0", deadline="+1", tag="blnk_relay"
        ).entry
        now = Progress(now_ms=SERVER_MS, since_ms=SERVER_MS, deadline_ms=SERVER_MS + 1)
        request = KINDS[intent.kind].request(entry, now, policy)
        if intent.file is not None:
            request = _with_file(request, intent.file)
        answer = self._before.send(request, "before", start_by_s=float("inf"))
        body = answer.body or {}
        if intent.kind != "transaction":
            return str(body[RESULTS[intent.kind]])
        self.run.hub.sleep(self.run.given["persist_s"] + self.run.given["apply_s"] + 0.1)
        self.run.ledger.catch_up()
        names, moved = (intent.reference, f"{intent.reference}_q"), (Effect.APPLY, Effect.HOLD)
        rows = self.run.ledger.core.books.rows.values()
        return next(row.transaction_id for row in rows if row.reference in names and row.effect in moved)

    # -- the run ----------------------------------------------------------------------------------------------------

    def play(self) -> Ended:
        """Play it to its end, and say what is wrong with that."""
        clockwork.use(self.run.hub)
        parties.use(self.trouble)
        SimWire.ledger, SimWire.strike = self.run.ledger, staticmethod(self.trouble.strike)
        SimWire.intent = staticmethod(intent)
        seams.random.seed(self.run.plan.seed)
        try:
            self._play()
        except clockwork.Broken as broken:
            self.run.problems.append(f"error: {broken}")
        finally:
            self.run.hub.end()
            clockwork.use(None)
            parties.use(None)
        run = self.run
        items = [item for told in run.stories for item in told.items]
        return Ended(
            plan=run.plan,
            problems=run.problems,
            story=run.story,
            struck=run.struck,
            struck_trips=run.struck_trips,
            kinds={item.intent.kind for item in items},
            intents=len(items),
            trips=run.valkey.sent,
            steps=self._steps,
        )

    def _play(self) -> None:
        hub, settings, plan = self.run.hub, self.run.settings, self.run.plan
        nobody = Process("nobody")
        relay = Relay(settings)
        self._before = ledger_of(settings, settings.ledgers[DEFAULT_TARGET], relay.journal(), Unheard())
        self.run.observer = relay.journal()
        self.producer = SimpleNamespace(process=Process("producer"), relay=Relay(settings))
        relay = Relay(settings)
        self._operator = SimpleNamespace(process=Process("operator"), hands=Operator(relay.journals, relay.bells))
        hub.spawn(nobody, self._begin, "begin")
        # What befalls by the clock has befallen by then; the rest does for as long as there is something open.
        last_s = max([one.at_s for one in plan.intents] + [one.nth / 10 for one in plan.events if one.on == "time"])
        hub.run(clockwork.BEGIN_S + last_s + 3.0, self._spins)
        # What has to be there before may take the ledger a while, and all that is planned comes behind it.
        while self._begun_s is None and not self._spins():
            hub.run(hub.now_s + 1.0, self._spins)
        if self._begun_s is not None and self._begun_s > clockwork.BEGIN_S + _SOON_S:
            hub.run(self._begun_s + last_s + 3.0, self._spins)
        while hub.now_s < clockwork.BEGIN_S + CALM_FROM_S and (self._still_open() or self._unheard()):
            hub.run(hub.now_s + 5.0, self._spins)
        self._steps = self.trouble.made
        self.trouble.end()
        self._calm()
        if self.run.losses:
            # Whoever has seen more comes by, also where nothing is due.
            hub.run(max(hub.now_s, self.run.losses[-1].at_s + self.run.idle_s + 3.0), self._spins)
        self._open = self._settled()
        self._judge()

    def _spins(self) -> bool:
        return self.run.hub.resumed > MOST_EVENTS + _EVENTS_A_SECOND * (self.run.hub.now_s - clockwork.BEGIN_S)

    def _begin(self) -> None:
        """What is there before, who works, and what is to come."""
        faulty, self.run.faulty = self.run.faulty, False
        for number, planned in enumerate(self.run.plan.intents):
            rng = random.Random(planned.choice)
            story = {**STORIES, **RIVALS, **LETTERS}[planned.story]
            told = story.tell(rng, f"s{number}", self._prepared, self.run.given["links"])
            self.run.stories.append(told)
            self.run.story_of |= {id_of(DEFAULT_TARGET, item.key): number for item in told.items}
        # A journal that is in use: of one that is lost whole, before anybody had worked with it, nothing can tell that
        # it was ever there.
        self.run.observer.sweep()
        self.run.faulty = faulty
        self._begun_s = self.run.hub.now_s
        self.trouble.begin()
        hub = self.run.hub
        for number in range(self.run.given["workers"]):
            self.run.workers.append(Worker(self.run, number))
        for planned, told in zip(self.run.plan.intents, self.run.stories, strict=True):
            hub.call(planned.at_s, lambda told=told: hub.spawn(self.producer.process, lambda: self._produce(told), "p"))
        self.trouble.expect()

    def _calm(self) -> None:
        """Nothing befalls any more: whoever was dead or frozen is there again."""
        self.run.say("--- nothing befalls any more")
        self.run.faulty = False
        self.run.server.full_s = self.run.server.away_s = 0.0
        for worker in self.run.workers:
            worker.process.frozen_s = min(worker.process.frozen_s, self.run.hub.now_s)
            if worker.runtime.stopping.is_set():
                worker.die(0.1)
        self.producer.process.frozen_s = self._operator.process.frozen_s = 0.0
        if any(event.what == "rebind" for event in self.run.plan.events):
            # Whose word was lost with the last moments is asked for it again by every worker.
            ledger = self.run.settings.ledgers[DEFAULT_TARGET].ledger
            journal = self._operator.hands.journals.of(DEFAULT_TARGET)
            self.run.hub.spawn(
                self._operator.process, lambda: journal.rebind(ledger, who="op", reason="it has moved"), "operator"
            )
        if any(event.what.startswith("pause") for event in self.run.plan.events):
            self.run.hub.spawn(self._operator.process, self._resume_all, "operator")

    def _unheard(self) -> bool:
        """Whether some producer has not been told yet what becomes of its intent."""
        keys = {item.key for told in self.run.stories for item in told.items}
        return self._unnoticed > 0 or not keys <= self.run.receipts.keys() | self.run.refused_at_the_door

    def _settled(self) -> list[str]:
        """Let time pass until all have come to their end. Returns the keys of those that have not."""
        hub, pause_s, closed = self.run.hub, 1.0, 0
        patient_s = hub.now_s + PATIENT_S
        while True:
            hub.run(hub.now_s + pause_s, self._spins)
            states = self.run.states()
            moving = [key for key, state in states.items() if state in {"ready", "sending", "posted"}]
            moving += self._carried_out()
            waiting = [key for key, state in states.items() if state == "waiting"]
            if not (moving or waiting or self._unheard()):
                return []
            if self._spins() or hub.now_s > clockwork.BEGIN_S + LONGEST_S:
                return [*moving, *waiting, *(["somebody has no receipt"] if self._unheard() else [])]
            pause_s = min(pause_s * 1.5, 600.0)
            letters = [key for key, state in states.items() if state == "dead"]
            if letters and closed < _MOST_CLOSINGS and (not moving or hub.now_s > patient_s):
                # They wait behind dead letters, which a human closes: then they have to go on.
                closed += 1
                pause_s, patient_s = 1.0, hub.now_s + PATIENT_S
                hub.spawn(self._operator.process, lambda letters=letters: self._close(letters), "operator")

    def _carried_out(self) -> list[str]:
        """Names of the jobs that are carried out yet."""
        if not self.run.has_jobs:
            return []
        [names] = self.run.valkey.several([("ZRANGE", f"{self.run.observer.prefix}running", 0, -1)])
        return [f"job {name}" for name in names]

    def _still_open(self) -> bool:
        """Whether somebody has yet to bring one of them to its end."""
        return any(state in {"ready", "sending", "posted"} for state in self.run.states().values())

    def _statuses(self) -> dict[str, Status | None]:
        """How all have ended, and what is said of the jobs."""
        keys = [item.key for told in self.run.stories for item in told.items]
        found: dict[str, Status | None] = {}

        def read() -> None:
            if self.run.has_jobs:
                observer = self.run.observer
                self._told_jobs = observer.drive(jobs_flow(observer.prefix, DEFAULT_TARGET, _MOST_JOBS))
            for key in keys:
                status = self.run.observer.status(id_of(DEFAULT_TARGET, key))
                if status is not None and status.code in {"ITEMS_UNKNOWN", "ITEMS_REFUSED"}:
                    flat = self.run.valkey.several([("HGETALL", f"{self.run.observer.prefix}parts:{status.id}")])[0]
                    pairs = zip(flat[::2], flat[1::2], strict=True)
                    self._parts[key] = {int(number): said.partition(" ")[0] for number, said in pairs}
                found[key] = status

        self.run.hub.spawn(Process("observer"), read, "observer")
        self.run.hub.run(self.run.hub.now_s + 5.0, lambda: len(found) == len(keys))
        return dict.fromkeys(keys) | found

    def _judge(self) -> None:
        # Whoever looks at how it came out is no part of it.
        self.run.faulty = False
        problems = self.run.problems
        if self._spins():
            problems.append("stuck: it goes on and on")
        problems += [f"stuck: {key}" for key in self._open]
        for worker in self.run.workers:
            worker.process.alive = False
        statuses = self._statuses()
        self.run.hub.now_s += AFTERWARDS_S / (10 if self.run.given["brisk"] else 1)
        problems += judged(self.run, statuses, self._parts)
        problems += miscounted(self._told_jobs)


def _with_file(request: Any, file: bytes) -> Any:
    return replace(request, file=(request.file[0], file))


def play(plan: Plan, valkey: Server, *, told: bool = False) -> Ended:
    """Play a plan."""
    return World(plan, valkey, told=told).play()
