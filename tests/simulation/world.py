"""One run: the real code of producers, workers and operators on virtual time, and what befalls it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from blnk_relay import Intent, Relay, Settings
from blnk_relay.errors import (
    InvalidIntent,
    JournalUnavailable,
    KeyConflict,
    OtherLedger,
    OtherShape,
    Refused,
    RelayError,
)
from blnk_relay.intents.exchange import GateChange
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.progress import Progress
from blnk_relay.journal.entries import id_of, new_entry
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.status import Status
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox import Options
from blnk_relay.sandbox.books.rows import Effect
from blnk_relay.sandbox.faults.kinds import Fault
from blnk_relay.settings import policy_of
from tasks.loops import Loops
from tasks.runtime import Runtime, Stopping
from tests.simulation import clockwork, seams
from tests.simulation.clockwork import Hub, Process, current
from tests.simulation.excuses import Loss
from tests.simulation.fencing import Fencing
from tests.simulation.journal_side import OLDER, Valkey
from tests.simulation.judging import judged
from tests.simulation.ledger_side import SimLedger, SimWire, Strike
from tests.simulation.plan import CALM, Event, Plan
from tests.simulation.stories import RESULTS, RIVALS, STORIES, Told
from worker.ledger.ledgers import ledger_of
from worker.sweeper import Round

#: The clock of the server at the begin, in ms since 1970: that of the ledger.
SERVER_MS = 1_767_225_600_000

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

#: How long a producer waits before it enqueues again what has got no receipt.
_AGAIN_S = 1.0

#: How long it takes until a producer learns that Redis has lost its last moments.
_NOTICED_S = 3.0

#: How many events one run may have, and how many more for each second of it: beyond, something spins. Looking each two
#: seconds for hours, as workers do while the ledger has not decided, is no spinning.
MOST_EVENTS = 30_000
_EVENTS_A_SECOND = 8

#: A ledger that is ten times as fast, and settings that know it: what a lease is long beside, which silences must not
#: be taken for.
BRISK = {"read_lag_s": 4.0, "quiet_s": 6.0, "horizon_s": 120.0, "stuck_horizon_s": 2000.0}
#: A journal that trims soon, and forgets keys within the time in which things are enqueued again.
FORGETFUL = {"retention_s": 4.0, "key_retention_s": 8.0}
_BRISK_LEDGER = {"retry_scale": 0.1, "recovery_interval_s": 180.0, "recovery_threshold_s": 720.0}

#: Trips that a loss may go back at most.
_RING = 30

#: Places for what losses by the clock go back to, and behind them those for the last trips.
_BY_CLOCK = 8
_RING_FROM = OLDER + _BY_CLOCK

#: And for what it goes back to when all is over.
_AT_THE_END = _RING_FROM + _RING

#: What takes a part of the journal's last moments, or may have.
LOSSES = frozenset({"failover", "restart", "set back"})

_LANES = ("transactions", "refunds", "inflight")


def settings_of(plan: Plan, address: str = "https://api.example.com") -> Settings:
    """The settings of all in a run."""
    world = {**CALM, **plan.world}
    known = (world["durability"], world["route"], world["connections"], world["brisk"], world["forgets"], address)
    if known not in _settings:
        options = Options()
        _settings[known] = Settings(
            token=options.token,
            instance_id=options.instance_id,
            base_url=address,
            bulk_inflight=True,
            durability=world["durability"],
            confirm_route=world["route"],
            connections=world["connections"],
            lanes=_LANES,
            # As rarely as a dead worker allows: each sweep costs some trips.
            sweep_s=2.0,
            # What the ledger takes hours for is not looked at each minute.
            confirm_max_s=600.0,
            **(BRISK if world["brisk"] else {}),
            **(FORGETFUL if world["forgets"] else {}),
        )
    return _settings[known]


_settings: dict[tuple[Any, ...], Settings] = {}


# -- the journal's side ---------------------------------------------------------------------------------------------


class Server:
    """The life of the server that keeps the journal.

    Attributes:
        step_s: What its clock is ahead of the hub's.
        run: Its process.
        lives: How often it has begun, or was set back.
        away_s: Until when it does not answer.
        full_s: Until when it is at its limit.
        scripts: How many scripts were run.
    """

    def __init__(self, valkey: Valkey, hub: Hub) -> None:
        self.valkey = valkey
        self.hub = hub
        self.step_s = 0.0
        self.run = self.lives = 1
        self.away_s = 0.0
        self.full_s = 0.0
        #: What a later loss may go back to, and whether a durability that was reached keeps it from going so far.
        self.kept: dict[int, str] = {}
        valkey.empty()

    def life(self) -> tuple[str, str, str]:
        """What scripts are told of the server."""
        now_ms = SERVER_MS + int((self.hub.now_s - clockwork.BEGIN_S + self.step_s) * 1000)
        most, used = (1000, 950) if self.full_s > self.hub.now_s else (0, 0)
        return str(now_ms), f"run{self.run}", f"used_memory:{used}\r\nmaxmemory:{most}\r\n"


class SimLine:
    """In the place of :class:`blnk_relay.journal.line.Line`: connections of one process."""

    def __init__(self, settings: Settings, address: Any, _: str) -> None:
        self.address = address
        world = _world()
        self._world, self._timeout_s = world, settings.redis_timeout_s
        self._durability = settings.durability
        self.connections = self
        self.client = self

    def call(self, *command: str | int) -> Any:
        """One command, tried twice if its connection drops, as Connections does."""
        name = self._world.valkey.names.get(str(command[1]), "any")
        return self._world.trip(name, lambda: self._script(name, command), self._timeout_s)

    def _script(self, name: str, command: Sequence[str | int]) -> Any:
        fencing, arguments = self._world.fencing, command[4:]
        was = fencing.before(name, arguments)
        answer = self._world.valkey.run(name, str(command[3]), self._world.server.life(), arguments)
        fencing.after(name, arguments, was, answer)
        return answer

    def pipeline(self, transaction: bool = False) -> _Pipeline:  # noqa: ARG002
        """Several commands at once."""
        return _Pipeline(self)

    def plain(self, *commands: tuple[str | int, ...]) -> list[Any]:
        """Commands that are no scripts, in one trip."""
        return self._world.trip("ask", lambda: self._raised(self._world.valkey.several(commands)), self._timeout_s)

    @staticmethod
    def _raised(answers: list[Any]) -> list[Any]:
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def together(self, commands: Sequence[tuple[str | int, ...]]) -> list[Any]:
        """A script and the waits behind it, or plain commands."""
        first = commands[0]
        if first[0] != "EVALSHA":
            return self.plain(*commands)
        name = self._world.valkey.names.get(str(first[1]), "any")
        answer = self._world.trip(name, lambda: self._script(name, first), self._timeout_s)
        return [answer, *(self._world.durable(self._durability) for _ in commands[1:])]

    def hget(self, key: str, field: str) -> Any:
        return self.plain(("HGET", key, field))[0]

    def hmget(self, key: str, fields: Sequence[str]) -> Any:
        return self.plain(("HMGET", key, *fields))[0]

    def smembers(self, key: str) -> set[str]:
        return set(self.plain(("SMEMBERS", key))[0])

    def sadd(self, key: str, *members: str) -> Any:
        return self.plain(("SADD", key, *members))[0]

    def zrem(self, key: str, *members: str) -> Any:
        return self.plain(("ZREM", key, *members))[0]

    def zcard(self, key: str) -> Any:
        return self.plain(("ZCARD", key))[0]

    def __getattr__(self, name: str) -> Any:
        # An AttributeError is an error that the relay would log, and try again.
        raise clockwork.Broken(f"{name} of a connection to Redis is not played")

    def close(self) -> None:
        """There is nothing to close."""


class _Pipeline:
    def __init__(self, line: SimLine) -> None:
        self._line = line
        self._commands: list[tuple[str | int, ...]] = []

    def execute_command(self, *command: str | int) -> None:
        self._commands.append(command)

    def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: ARG002
        return self._line.together(self._commands)


class SimBells:
    """In the place of :class:`blnk_relay.bell.Bells`."""

    def __init__(self, _: Settings) -> None:
        self._world = _world()

    def ring(self, _: str, lanes: Any) -> None:
        for lane in sorted(lanes):
            self._world.rung(lane)

    def close(self) -> None:
        """There is nothing to close."""


class _Stopping(Stopping):
    """Without the pieces in which the real one waits."""

    def __init__(self) -> None:
        self._flag = bytearray(1)  # type: ignore[assignment]

    def wait(self, timeout_s: float) -> bool:
        clockwork.hub().sleep(timeout_s)
        return self.is_set()


class Unheard:
    """Takes note of nothing: letters are judged where they are kept."""

    def dead(self, entry: Any, death: Any) -> None: ...

    def more_dead(self, target: str, cause: str, count: int) -> None: ...

    def paused(self, target: str, side: str, change: GateChange) -> None: ...

    def found(self, target: str, lost_s: float) -> None: ...

    def opened(self, target: str, side: str, code: str, shut_s: float) -> None: ...

    def healed(self, target: str, cause: str) -> None: ...

    def outdated(self, error: OtherShape) -> None: ...

    def different(self, finding: Any) -> None: ...


# -- processes ------------------------------------------------------------------------------------------------------


class Worker:
    """A worker, restarted by its supervisor whenever it dies.

    Attributes:
        number: Which.
        process: Its present process.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.born = 0
        self.settings = world.settings
        self.boot()

    def boot(self) -> None:
        """Begin: everything is new but the journal."""
        world, self.born = self.world, self.born + 1
        self.process = Process(f"w{self.number}.{self.born}")
        world.say(f"{self.process} begins")
        with world.building(self.process):
            self.relay = Relay(self.settings)
            journal = self.relay.journal(DEFAULT_TARGET)
            if world.lacks and self.number == 0:
                # An older version: it does not know one of the kinds.
                journal._kinds = ",".join(name for name in KINDS if name != world.lacks)
            self.runtime = Runtime(
                settings=self.settings,
                target=DEFAULT_TARGET,
                journal=journal,
                bells=self.relay.bells,
                ledger=ledger_of(self.settings, self.settings.ledgers[DEFAULT_TARGET], journal, Unheard()),
                reports=Unheard(),
                policy=policy_of(self.settings),
                worker=f"host:{self.number}:{self.born}",
                stopping=_Stopping(),
            )
            self.loops = Loops()
            self.heard: set[str] = set()
        shared = SimpleNamespace(settings=self.settings, relay=self.relay, heard=self.heard, reports=Unheard())
        self._round = Round(shared, DEFAULT_TARGET, f"program {self.process}", world.idle_s, 1.0)  # type: ignore[arg-type]
        world.hub.spawn(self.process, self._sweep, "sweeper")

    def _sweep(self) -> None:
        sweep_s = self.settings.sweep_s
        while True:
            now_s = self.world.hub.now_s
            self.world.hub.sleep(min(max(self._round.due_s - now_s, sweep_s / 20), 4 * sweep_s))
            if self._round.is_due(self.world.hub.now_s):
                with suppress(JournalUnavailable, OtherLedger):
                    self._round.sweep()

    def hear(self, lane: str) -> None:
        """A bell."""
        if self.process.alive:
            self.heard.add(DEFAULT_TARGET)
            self.loops.start(self.runtime, lane)

    def die(self, back_s: float) -> None:
        """It is killed, and begun again after a while."""
        if self.process.alive:
            self.world.say(f"{self.process} dies")
            self.process.alive = False
            self.world.hub.call(back_s, self.boot)


@dataclass
class Receipt:
    """What a producer was told, last.

    Attributes:
        durability: That was reached.
        at_s: When.
    """

    durability: str
    at_s: float


@dataclass
class Ended:
    """A run that is over.

    Attributes:
        plan: What was played.
        problems: What is wrong with it; empty for a run that keeps the promise.
        story: What happened, line by line.
        struck: How often what has befallen.
        struck_trips: How often something has befallen a trip, by what the plan aims at.
        kinds: Kinds of what was enqueued.
        intents: How many there were.
        trips: How many trips to the server were made.
        steps: After how many of them the journal may be cut: those made until all had ended.
    """

    plan: Plan
    problems: list[str]
    story: list[str]
    struck: Counter[str]
    struck_trips: Counter[str]
    kinds: set[str]
    intents: int
    trips: int
    steps: int


class World:
    """One run.

    Args:
        plan: What is played.
        valkey: The server it is played on, with the scripts loaded.
        told: Whether its story is kept.
    """

    def __init__(self, plan: Plan, valkey: Valkey, *, told: bool = False) -> None:
        self.plan = plan
        self.valkey = valkey
        self.given: Mapping[str, Any] = {**CALM, **plan.world}
        self.story: list[str] = []
        self._tell = told
        self.hub = Hub(plan.seed)
        self.settings = settings_of(plan)
        self.server = Server(valkey, self.hub)
        self.server.step_s = self.given["apart_s"]
        self.lacks: str = self.given["lacks"]
        #: Workers look at a journal that has nothing to do this rarely, as those do that have many targets.
        self.idle_s = 30.0
        self.ledger = SimLedger(
            Options(
                manual_clock=True,
                read_lag_s=self.given["read_lag_s"] * (0.15 if self.given["brisk"] else 1.0),
                persist_s=self.given["persist_s"],
                apply_s=self.given["apply_s"],
                core_version=self.given["core_version"],
                seed=plan.seed,
                **(_BRISK_LEDGER if self.given["brisk"] else {}),
            )
        )
        self.faulty = True
        losses = [event for event in plan.events if event.what in LOSSES]
        #: A request that leaves in moments which are lost is measured from their end, not from when it was given up.
        self._given_up = not losses
        #: The last trips, where a loss by trips is still to come: how many there were, and since which one may be lost.
        self._losses_by_trips = sum(event.on.startswith("trip") for event in losses)
        self._ring: dict[int, int] = {}
        self._trips = self._protected_from = 0
        self.struck: Counter[str] = Counter()
        self.struck_trips: Counter[str] = Counter()
        self.problems: list[str] = []
        self._seen: Counter[str] = Counter()
        self._on: dict[tuple[str, int], Event] = {
            (f"write of {event.of}" if event.on == "write of" else event.on, event.nth): event
            for event in plan.events
            if event.on != "time"
        }
        #: The loss that comes when all is over, of all that came after so many trips.
        self._at_the_end = next((event for event in plan.events if event.on == "end"), None)
        self._made = self._steps = 0
        self._process: Process | None = None
        self.workers: list[Worker] = []
        self.stories: list[Told] = []
        #: Number of the story of each intent, by its id.
        self._story_of: dict[str, int] = {}
        self.receipts: dict[str, Receipt] = {}
        #: Keys of receipts whose record a loss took: what is recorded under them since is not what they are for.
        self.taken: set[str] = set()
        self.refused_at_the_door: set[str] = set()
        #: Keys of letters that were replayed, and of those that were closed by somebody who was told that it may be so.
        self.replayed: set[str] = set()
        self.closed_in_doubt: set[str] = set()
        self.bells_lost_s = 0.0
        #: Losses that no producer has heard of yet.
        self._unnoticed = 0
        #: When another process began to serve the journal, or an older state of it, with or without its last moments.
        self.losses: list[Loss] = []
        #: When each was first asked for, by its key.
        self.first_s: dict[str, float] = {}
        #: What the journal says at the end of the items of letters of which not all is known.
        self._parts: dict[str, dict[int, str]] = {}
        self.fencing = Fencing(self._fence_of, self.problems, forgets=self.given["forgets"])
        #: When all was there that has to be before the plan.
        self._begun_s: float | None = None

    def _fence_of(self, id_: str) -> Sequence[Any]:
        return self.valkey.several([("HMGET", f"{self.observer.prefix}intent:{id_}", "token", "state")])[0]

    # -- for those inside -------------------------------------------------------------------------------------------

    def say(self, what: str) -> None:
        """Add a line to the story."""
        if self._tell:
            self.story.append(f"{self.hub.now_s - clockwork.BEGIN_S:11.4f}  {what}")

    @contextmanager
    def building(self, process: Process) -> Iterator[None]:
        """What is made within belongs to a process."""
        global _current
        _current, self._process = self, process
        try:
            yield
        finally:
            self._process = None

    def trip(self, name: str, carry: Callable[[], Any], timeout_s: float) -> Any:
        """Something on its way to the journal's server and back."""
        hub, server = self.hub, self.server
        actor = current()
        event = self._befalls(f"trip {name}") or self._befalls("trip any") if self.faulty else None
        what = "" if event is None else event.what
        if event is not None:
            self._note(event, f"{actor.process} {actor.name}: {name}")
            self._hurt(actor.process, event, "before")
            if what in LOSSES:
                self._lose_trips(event)
        if server.away_s > hub.now_s:
            hub.sleep(0.001)
            raise RedisConnectionError("away")
        hub.sleep(hub.random.random() * 0.0015)
        if what == "refuse":
            raise ReadOnlyError("READONLY You can't write against a read only replica.")
        if what in {"lose request", "late"}:
            if what == "late":
                run = server.run

                def arrive() -> None:
                    if server.run == run:
                        self.say(f"a {name} that was given up arrives")
                        with suppress(ResponseError):  # nobody is told
                            self._carried(name, carry)

                hub.call(event.seconds, arrive)  # type: ignore[union-attr]
            hub.sleep(timeout_s)
            raise RedisTimeoutError("Timeout reading from socket")
        if server.away_s > hub.now_s:
            raise RedisConnectionError("away")
        if what == "double":
            self._carried(name, carry)
            hub.sleep(hub.random.random() * 0.0015)
        answer = self._carried(name, carry)
        self._made += 1
        self._keep_for_the_end()
        if self._losses_by_trips and self.faulty:
            self._trips += 1
            self.valkey.keep(_RING_FROM + self._trips % _RING)
            self._ring[self._trips] = _RING_FROM + self._trips % _RING
            self._ring.pop(self._trips - _RING, None)
        if self._tell:
            self.say(f"{actor.process} {actor.name}: {name} -> {_short(answer)}")
        if event is not None:
            self._hurt(actor.process, event, "after")
        if what == "lose answer":
            hub.sleep(timeout_s)
            raise RedisTimeoutError("Timeout reading from socket")
        hub.sleep(hub.random.random() * 0.0015)
        return answer

    def _carried(self, name: str, carry: Callable[[], Any]) -> Any:
        """What the server answers. That a script or a command is wrong is nothing that may befall a journal."""
        try:
            return carry()
        except ResponseError as error:
            if str(error).startswith("ERR"):
                raise clockwork.Broken(f"{name}: {error}") from error
            raise

    def durable(self, durability: str) -> Any:
        """What a WAIT or WAITAOF answers, after what it waits for is there, or its time is over."""
        hub = self.hub
        reached = hub.random.random() > (0.15 if self.faulty else 0.0)
        if reached:
            hub.sleep(hub.random.random() * 0.01)
            protected = "restart" if durability == "fsync" else "failover"
            self._protected_from = self._trips
            for number, what in self.server.kept.items():
                if what == protected:
                    # What was waited for survives what it protects against.
                    self.valkey.keep(number)
        else:
            hub.sleep(self.settings.durability_timeout_s)
        if durability == "fsync":
            return [1 if reached else 0, 0]
        return 1 if reached else 0

    def strike(self, write: bool, read_s: float) -> Strike:
        """What befalls an exchange with the ledger, whose answer is waited for that long."""
        event = self._befalls("write" if write else "read") if self.faulty else None
        if write and self.faulty:
            aimed = self._befalls(f"write of {self._story_of.get(_intent(), '')}")
            event = event or aimed
        if event is None:
            return Strike()
        actor = current()
        where = f"{actor.process} {actor.name}"
        if not event.what.startswith("ledger "):
            self._note(event, where)
        strike = Strike(
            before=lambda: self._hurt(actor.process, event, "before"),
            after=lambda: self._hurt(actor.process, event, "after"),
        )
        what = event.what
        if what.startswith("ledger "):
            seconds = event.seconds
            if what.endswith("read_lag"):
                # No read lags by more than the settings allow for.
                most_s = self.settings.read_lag_s - self.ledger.core.options.read_lag_s
                seconds = min(seconds, 0.95 * most_s)
            strike.fault = Fault.of(what.removeprefix("ledger "), seconds)
            strike.met = lambda suits: (
                self._note(event, where) if suits else self.say(f"*** {event} -- {where}: does not suit the request")
            )
        elif what in {"unsent", "lose request", "lose answer"}:
            strike.lose = what.removeprefix("lose ")
        elif what.endswith("late"):
            strike.late_s = event.seconds * (self.settings.quiet_s + (read_s if self._given_up else 0.0))
        elif what == "doubled answer":
            strike.doubled = True
        return strike

    def rung(self, lane: str) -> None:
        """A bell was rung: some worker hears it, in a moment."""
        if self.faulty and self.bells_lost_s > self.hub.now_s:
            return
        self.hub.call(self.hub.random.random() * 0.004, lambda: self._heard(lane))

    def _heard(self, lane: str) -> None:
        living = [worker for worker in self.workers if worker.process.alive]
        if not living:
            # It waits in its queue, and then there are others.
            self.hub.call(0.5, lambda: self._heard(lane))
            return
        worker = self.hub.random.choice(living)
        self.hub.spawn(worker.process, lambda: worker.hear(lane), "consumer")

    def _befalls(self, on: str) -> Event | None:
        self._seen[on] += 1
        return self._on.get((on, self._seen[on]))

    def _note(self, event: Event, where: str) -> None:
        on = event.on.partition(" ")[0]
        self.struck[f"{on} {event.what}"] += 1
        if on == "trip":
            self.struck_trips[event.on.removeprefix("trip ")] += 1
        self.say(f"*** {event} -- {where}")

    def _hurt(self, process: Process, event: Event, when: str) -> None:
        """A crash or a freeze of whoever is at it."""
        what, _, side = event.what.partition(" ")
        if what == "freeze" and side == "late" and when == "before":
            # It wakes with a part of its lease left, and then its request takes its time.
            process.frozen_s = self.hub.now_s + 6.5 + 10 * self.hub.random.random()
            self.hub.sleep(0.0)
            return
        if side != when or what not in {"crash", "freeze"}:
            return
        worker = next((worker for worker in self.workers if worker.process is process), None)
        if what == "freeze" or worker is None:
            process.frozen_s = self.hub.now_s + (event.seconds or 1.0)
        else:
            worker.die(0.3 + self.hub.random.random() * 3)
        self.hub.sleep(0.0)

    # -- what befalls by the clock ----------------------------------------------------------------------------------

    def _befall(self, event: Event) -> None:
        if not self.faulty:
            return
        hub, server = self.hub, self.server
        self._note(event, "")
        worker = self.workers[event.of % len(self.workers)]
        match event.what:
            case "crash":
                worker.die(min(event.seconds, 20.0))
            case "freeze":
                worker.process.frozen_s = hub.now_s + event.seconds
            case "stop":
                worker.runtime.stopping.set()
                hub.call(40.0, lambda process=worker.process: worker.die(0.1) if worker.process is process else None)
            case "step":
                server.step_s += event.seconds
            case "away":
                server.away_s = hub.now_s + min(event.seconds, 20.0)
            case "full":
                server.full_s = hub.now_s + event.seconds
            case "core crash":
                self.ledger.catch_up()
                self.ledger.core.crash()
            case "core queue lost":
                self.ledger.catch_up()
                self.ledger.core.lose_queue()
            case "bells lost":
                self.bells_lost_s = hub.now_s + event.seconds
            case "failover" | "restart" | "set back":
                place = OLDER + self.plan.events.index(event) % _BY_CLOCK
                self._lose(event, place if place in self.server.kept else None)
            case _:
                hub.spawn(self._operator.process, lambda: self._act(event), "operator")

    def _lose_trips(self, event: Event) -> None:
        """The same, by trips."""
        self._losses_by_trips -= 1
        durability = self.given["durability"]
        protects = "restart" if durability == "fsync" else "failover" if durability != "memory" else ""
        back_to = self._trips - int(event.seconds)
        if event.what == protects:
            back_to = max(back_to, self._protected_from)
        place = self._ring.get(max(back_to, min(self._ring, default=0)))
        self._ring.clear()
        self._lose(event, place)

    def _lose(self, event: Event, place: int | None) -> None:
        """Another process serves the journal, with what one had a while ago; or the same, set back to a snapshot."""
        self.server.lives += 1
        if event.what == "set back":
            self.fencing.set_back()
        else:
            self.server.run += 1
        self.server.kept.pop(place or 0, None)
        if place is not None:
            there = self._states()
            self.valkey.go_back(place)
            # What was noted before it is of a life that is over.
            self.server.kept.clear()
            self._ring.clear()
            if event.what != "set back":
                # No durability protects from a snapshot.
                self._keep_to_receipts(event, there)
            states = self._states()
            self.taken |= {key for key in self.receipts if not states.get(key)}
        # Whether anything was lost nobody can tell: another process serves the journal.
        over = {key for key, state in self._states().items() if state in {"done", "cancelled", "discarded"}}
        self.losses.append(Loss(self.hub.now_s, event.what, frozenset(over)))
        self.server.away_s = max(self.server.away_s, self.hub.now_s + self.hub.random.random() * 2)
        # Who has a receipt that may be lost enqueues again, once what was under way has been answered: in the same
        # order and before anything new.
        self._unnoticed += 1
        self.hub.call(_NOTICED_S, lambda: self.hub.spawn(self.producer.process, self._notice, "again"))

    def _keep_to_receipts(self, event: Event, there: Mapping[str, str]) -> None:
        """What a receipt waited for is there after what that protects against, before anybody enqueues again.

        What something else took before was not there to be kept, even if somebody has enqueued it again meanwhile:
        until that is answered with a receipt of its own, nobody was told that it is protected.
        """
        protected = "fsync" if event.what == "restart" else "replicated"
        states = self._states()
        self.problems += [
            f"lost: {key} has a receipt ({receipt.durability}), and a {event.what} took what it is for"
            for key, receipt in self.receipts.items()
            if receipt.durability.startswith(protected) and key not in self.taken
            if there.get(key) and not states.get(key)
        ]

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
                            operator.replay(status, who="op", reason="sim")
                            self.replayed.add(key)
                        elif status.state == "dead":
                            self._discard(key, status)
                case "cancel":
                    for key in reversed(keys):
                        self.producer.relay.cancel(key)
                case "again":
                    self._enqueue_again()
                case "pause lane":
                    operator.pause_lane(_LANES[event.of % len(_LANES)], who="op", reason="sim")
                    self.hub.sleep(event.seconds)
                    operator.resume_lane(_LANES[event.of % len(_LANES)], who="op")
                case "pause target":
                    operator.pause_target(DEFAULT_TARGET, who="op", reason="sim")
                    self.hub.sleep(event.seconds)
                    operator.resume_target(DEFAULT_TARGET, who="op")
                case "rebind":
                    self._rebind(event)
        except RelayError as error:
            self.say(f"the operator is told: {error}")

    def _rebind(self, event: Event) -> None:
        """The ledger gets another address: workers with the former one are begun again with the new one, one by one."""
        new = settings_of(self.plan, f"https://moved{event.of}.example.com")
        self.producer.relay.journal(DEFAULT_TARGET).rebind(
            new.ledgers[DEFAULT_TARGET].ledger, who="op", reason="it has moved"
        )
        self.settings = new
        for worker in self.workers:
            self.hub.sleep(min(event.seconds, 10.0))
            # Where it has moved once more meanwhile, nobody is given the address before the last.
            worker.settings = self.settings
            worker.die(0.2)

    def _keys_of(self, number: int) -> list[str]:
        if not self.stories:
            return []
        return [item.key for item in self.stories[number % len(self.stories)].items]

    # -- producers --------------------------------------------------------------------------------------------------

    def _produce(self, told: Told) -> None:
        for item in told.items:
            self._enqueue(item)

    def _enqueue(self, item: Any) -> None:
        while True:
            self.first_s.setdefault(item.key, self.hub.now_s)
            served_by = self.server.lives
            try:
                receipt = self.producer.relay.enqueue(item.intent, key=item.key, **item.options)
            except (InvalidIntent, KeyConflict) as error:
                self.say(f"producer: {item.key} is refused at the door: {error}")
                self.refused_at_the_door.add(item.key)
                return
            except OtherLedger:
                # Its settings are those of before the move; somebody gives it the new ones.
                with self.building(self.producer.process):
                    self.producer.relay = Relay(self.settings)
                self.hub.sleep(_AGAIN_S)
            except JournalUnavailable as error:
                self.say(f"producer: {item.key} has no receipt: {error}")
                self.hub.sleep(_AGAIN_S)
            else:
                if self.server.lives != served_by:
                    # It may be a receipt of before the loss, that comes after everybody has enqueued again.
                    continue
                self.say(f"producer: {item.key} is accepted ({receipt.durability})")
                self.receipts[item.key] = Receipt(receipt.durability, self.hub.now_s)
                self.taken.discard(item.key)
                self.refused_at_the_door.discard(item.key)
                return

    def _notice(self) -> None:
        self._enqueue_again()
        self._unnoticed -= 1

    def _enqueue_again(self) -> None:
        for told in list(self.stories):
            for item in told.items:
                if item.key in self.receipts:
                    self._enqueue(item)

    def _prepared(self, scene: str, intent: Intent) -> str:
        """Something that is in the ledger before."""
        policy = policy_of(self.settings)
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
        self.hub.sleep(self.given["persist_s"] + self.given["apply_s"] + 0.1)
        self.ledger.catch_up()
        names, moved = (intent.reference, f"{intent.reference}_q"), (Effect.APPLY, Effect.HOLD)
        rows = self.ledger.core.books.rows.values()
        return next(row.transaction_id for row in rows if row.reference in names and row.effect in moved)

    # -- the run ----------------------------------------------------------------------------------------------------

    def play(self) -> Ended:
        """Play it to its end, and say what is wrong with that."""
        clockwork.use(self.hub)
        SimWire.ledger, SimWire.strike, SimWire.intent = self.ledger, staticmethod(self.strike), staticmethod(_intent)
        seams.random.seed(self.plan.seed)
        try:
            self._play()
        except clockwork.Broken as broken:
            self.problems.append(f"error: {broken}")
        finally:
            self.hub.end()
            clockwork.use(None)
        kinds = {item.intent.kind for told in self.stories for item in told.items}
        number = sum(len(told.items) for told in self.stories)
        struck = self.struck, self.struck_trips
        return Ended(self.plan, self.problems, self.story, *struck, kinds, number, self.valkey.sent, self._steps)

    def _play(self) -> None:
        hub = self.hub
        nobody = Process("nobody")
        with self.building(nobody):
            relay = Relay(self.settings)
            self._before = ledger_of(self.settings, self.settings.ledgers[DEFAULT_TARGET], relay.journal(), Unheard())
            self.observer = relay.journal()
        self.producer = SimpleNamespace(process=Process("producer"))
        with self.building(self.producer.process):
            self.producer.relay = Relay(self.settings)
        self._operator = SimpleNamespace(process=Process("operator"))
        with self.building(self._operator.process):
            relay = Relay(self.settings)
            self._operator.hands = Operator(relay.journals, relay.bells)
        hub.spawn(nobody, self._begin, "begin")
        # What befalls by the clock has befallen by then; the rest does for as long as there is something open.
        last_s = max(
            [one.at_s for one in self.plan.intents] + [one.nth / 10 for one in self.plan.events if one.on == "time"]
        )
        hub.run(clockwork.BEGIN_S + last_s + 3.0, self._spins)
        # What has to be there before may take the ledger a while, and all that is planned comes behind it.
        while self._begun_s is None and not self._spins():
            hub.run(hub.now_s + 1.0, self._spins)
        if self._begun_s is not None and self._begun_s > clockwork.BEGIN_S + _SOON_S:
            hub.run(self._begun_s + last_s + 3.0, self._spins)
        while hub.now_s < clockwork.BEGIN_S + CALM_FROM_S and (self._still_open() or self._unheard()):
            hub.run(hub.now_s + 5.0, self._spins)
        self._steps = self._made
        if self._at_the_end is not None:
            self._note(self._at_the_end, "all has ended")
            self._lose(self._at_the_end, _AT_THE_END)
        self._calm()
        if self.losses:
            # Whoever has seen more comes by, also where nothing is due.
            hub.run(max(hub.now_s, self.losses[-1].at_s + self.idle_s + 3.0), self._spins)
        self._open = self._settled()
        self._judge()

    def _spins(self) -> bool:
        return self.hub.resumed > MOST_EVENTS + _EVENTS_A_SECOND * (self.hub.now_s - clockwork.BEGIN_S)

    def _begin(self) -> None:
        """What is there before, who works, and what is to come."""
        faulty, self.faulty = self.faulty, False
        for number, planned in enumerate(self.plan.intents):
            rng = random.Random(planned.choice)
            told = {**STORIES, **RIVALS}[planned.story].tell(rng, f"s{number}", self._prepared, self.given["links"])
            self.stories.append(told)
            self._story_of |= {id_of(DEFAULT_TARGET, item.key): number for item in told.items}
        # A journal that is in use: of one that is lost whole, before anybody had worked with it, nothing can tell that
        # it was ever there.
        self.observer.sweep()
        self.faulty = faulty
        self._begun_s = self.hub.now_s
        self._made = 0
        self._keep_for_the_end()
        self._seen.clear()
        for number in range(self.given["workers"]):
            self.workers.append(Worker(self, number))
        for planned, told in zip(self.plan.intents, self.stories, strict=True):
            self.hub.call(
                planned.at_s, lambda told=told: self.hub.spawn(self.producer.process, lambda: self._produce(told), "p")
            )
        for number, event in enumerate(self.plan.events):
            if event.on != "time":
                continue
            at_s = event.nth / 10
            if event.what in LOSSES and event.seconds:
                place = OLDER + number % _BY_CLOCK
                self.hub.call(max(0.0, at_s - event.seconds), lambda place=place, event=event: self._keep(place, event))
            self.hub.call(at_s, lambda event=event: self._befall(event))

    def _keep_for_the_end(self) -> None:
        if self._at_the_end is not None and self._made == self._at_the_end.nth:
            self.valkey.keep(_AT_THE_END)

    def _keep(self, place: int, event: Event) -> None:
        self.valkey.keep(place)
        self.server.kept[place] = event.what

    def _calm(self) -> None:
        """Nothing befalls any more: whoever was dead or frozen is there again."""
        self.say("--- nothing befalls any more")
        self.faulty = False
        self.server.full_s = self.server.away_s = 0.0
        for worker in self.workers:
            worker.process.frozen_s = min(worker.process.frozen_s, self.hub.now_s)
            if worker.runtime.stopping.is_set():
                worker.die(0.1)
        self.producer.process.frozen_s = self._operator.process.frozen_s = 0.0
        if any(event.what == "rebind" for event in self.plan.events):
            # Whose word was lost with the last moments is asked for it again by every worker.
            ledger = self.settings.ledgers[DEFAULT_TARGET].ledger
            journal = self._operator.hands.journals.of(DEFAULT_TARGET)
            self.hub.spawn(
                self._operator.process, lambda: journal.rebind(ledger, who="op", reason="it has moved"), "operator"
            )
        if any(event.what.startswith("pause") for event in self.plan.events):
            self.hub.spawn(self._operator.process, self._resume_all, "operator")

    def _resume_all(self) -> None:
        for lane in _LANES:
            self._operator.hands.resume_lane(lane, who="op")
        self._operator.hands.resume_target(DEFAULT_TARGET, who="op")

    def _unheard(self) -> bool:
        """Whether some producer has not been told yet what becomes of its intent."""
        keys = {item.key for told in self.stories for item in told.items}
        return self._unnoticed > 0 or not keys <= self.receipts.keys() | self.refused_at_the_door

    def _settled(self) -> list[str]:
        """Let time pass until all have come to their end. Returns the keys of those that have not."""
        hub, pause_s, closed = self.hub, 1.0, 0
        patient_s = hub.now_s + PATIENT_S
        while True:
            hub.run(hub.now_s + pause_s, self._spins)
            states = self._states()
            moving = [key for key, state in states.items() if state in {"ready", "sending", "posted"}]
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

    def _discard(self, key: str, status: Status) -> None:
        self._operator.hands.discard(status, who="op", reason="sim")
        if status.perhaps_replayed:
            self.closed_in_doubt.add(key)

    def _close(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                status = self._operator.hands.get(key)
                if status.state == "dead":
                    self._discard(key, status)
            except (JournalUnavailable, Refused) as error:
                # A loss was noted since it was looked at, say, or Redis is away: the next round looks again.
                self.say(f"the operator is told: {error}")

    def _states(self) -> dict[str, str]:
        """The states of all that were accepted, by their keys."""
        keys = [item.key for told in self.stories for item in told.items if item.key in self.receipts]
        names = [f"{self.observer.prefix}intent:{id_of(DEFAULT_TARGET, key)}" for key in keys]
        return (
            dict(zip(keys, self.valkey.several([("HGET", name, "state") for name in names]), strict=True))
            if keys
            else {}
        )

    def _still_open(self) -> bool:
        """Whether somebody has yet to bring one of them to its end."""
        return any(state in {"ready", "sending", "posted"} for state in self._states().values())

    def _statuses(self) -> dict[str, Status | None]:
        keys = [item.key for told in self.stories for item in told.items]
        found: dict[str, Status | None] = {}

        def read() -> None:
            for key in keys:
                status = self.observer.status(id_of(DEFAULT_TARGET, key))
                if status is not None and status.code in {"ITEMS_UNKNOWN", "ITEMS_REFUSED"}:
                    flat = self.valkey.several([("HGETALL", f"{self.observer.prefix}parts:{status.id}")])[0]
                    pairs = zip(flat[::2], flat[1::2], strict=True)
                    self._parts[key] = {int(number): said.partition(" ")[0] for number, said in pairs}
                found[key] = status

        self.hub.spawn(Process("observer"), read, "observer")
        self.hub.run(self.hub.now_s + 5.0, lambda: len(found) == len(keys))
        return dict.fromkeys(keys) | found

    def _judge(self) -> None:
        # Whoever looks at how it came out is no part of it.
        self.faulty = False
        problems = self.problems
        if self._spins():
            problems.append("stuck: it goes on and on")
        problems += [f"stuck: {key}" for key in self._open]
        for worker in self.workers:
            worker.process.alive = False
        statuses = self._statuses()
        self.hub.now_s += AFTERWARDS_S / (10 if self.given["brisk"] else 1)
        problems += judged(self, statuses, self._parts)


def _short(answer: Any) -> str:
    text = str(answer)
    return text if len(text) < 900 else text[:897] + "..."


def _with_file(request: Any, file: bytes) -> Any:
    from dataclasses import replace

    return replace(request, file=(request.file[0], file))


def _intent() -> str:
    return getattr(current(), "about", None) or ""


_current: World | None = None


def _world() -> World:
    if _current is None:
        raise clockwork.Broken("nothing is being simulated")
    return _current


def play(plan: Plan, valkey: Valkey, *, told: bool = False) -> Ended:
    """Play a plan."""
    return World(plan, valkey, told=told).play()
