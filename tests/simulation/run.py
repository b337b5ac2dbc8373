"""What a run is made of, and what is known of it: whoever plays a part in it reads and writes this."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from blnk_relay import Settings
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.sandbox import Options
from tests.simulation import clockwork
from tests.simulation.clockwork import Hub, Process
from tests.simulation.excuses import Loss
from tests.simulation.fencing import Fencing
from tests.simulation.journal_side import Server as Keeper
from tests.simulation.ledger_side import SimLedger
from tests.simulation.plan import CALM, Plan
from tests.simulation.stories import Told

#: The clock of the server at the begin, in ms since 1970: that of the ledger.
SERVER_MS = 1_767_225_600_000

#: A ledger that is ten times as fast, and settings that know it: what a lease is long beside, which silences must not
#: be taken for.
BRISK = {"read_lag_s": 4.0, "quiet_s": 6.0, "horizon_s": 120.0, "stuck_horizon_s": 2000.0}
#: A journal that trims soon, and forgets keys within the time in which things are enqueued again.
FORGETFUL = {"retention_s": 4.0, "key_retention_s": 8.0}
_BRISK_LEDGER = {"retry_scale": 0.1, "recovery_interval_s": 180.0, "recovery_threshold_s": 720.0}

LANES = ("transactions", "refunds", "inflight")


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
            lanes=LANES,
            # As rarely as a dead worker allows: each sweep costs some trips.
            sweep_s=2.0,
            # What the ledger takes hours for is not looked at each minute.
            confirm_max_s=600.0,
            **(BRISK if world["brisk"] else {}),
            **(FORGETFUL if world["forgets"] else {}),
        )
    return _settings[known]


_settings: dict[tuple[Any, ...], Settings] = {}


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

    def __init__(self, valkey: Keeper, hub: Hub) -> None:
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


class Party(Protocol):
    """A worker, as far as something can befall it.

    Attributes:
        process: Its present process.
        runtime: What its loops work with.
    """

    process: Process
    runtime: Any

    def hear(self, lane: str) -> None:
        """A bell."""

    def die(self, back_s: float) -> None:
        """It is killed, and begun again after a while."""


class Run:
    """What there is in a run.

    Args:
        plan: What is played.
        valkey: The server it is played on, with the scripts loaded.
        told: Whether its story is kept.

    Attributes:
        observer: Reads the journal, and is no part of the run.
    """

    observer: Journal

    def __init__(self, plan: Plan, valkey: Keeper, *, told: bool = False) -> None:
        self.plan = plan
        self.valkey = valkey
        self.given: Mapping[str, Any] = {**CALM, **plan.world}
        self.story: list[str] = []
        self.tells = told
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
        #: Whether somebody begins a job: what carries them out costs trips, which others do without.
        self.has_jobs = any(event.what.startswith("job ") for event in plan.events)
        self.struck: Counter[str] = Counter()
        self.struck_trips: Counter[str] = Counter()
        self.problems: list[str] = []
        self.workers: list[Party] = []
        self.stories: list[Told] = []
        #: Number of the story of each intent, by its id.
        self.story_of: dict[str, int] = {}
        self.receipts: dict[str, Receipt] = {}
        #: Keys of receipts whose record a loss took: what is recorded under them since is not what they are for.
        self.taken: set[str] = set()
        self.refused_at_the_door: set[str] = set()
        #: Keys of letters that were replayed, and of those that were closed by somebody who was told that it may be so.
        self.replayed: set[str] = set()
        self.closed_in_doubt: set[str] = set()
        #: When another process began to serve the journal, or an older state of it, with or without its last moments.
        self.losses: list[Loss] = []
        #: When each was first asked for, by its key.
        self.first_s: dict[str, float] = {}
        self.fencing = Fencing(self._fence_of, self.problems, forgets=self.given["forgets"])

    def _fence_of(self, id_: str) -> Sequence[Any]:
        return self.valkey.several([("HMGET", f"{self.observer.prefix}intent:{id_}", "token", "state")])[0]

    def say(self, what: str) -> None:
        """Add a line to the story."""
        if self.tells:
            self.story.append(f"{self.hub.now_s - clockwork.BEGIN_S:11.4f}  {what}")

    def states(self) -> dict[str, str]:
        """The states of all that were accepted, by their keys."""
        keys = [item.key for told in self.stories for item in told.items if item.key in self.receipts]
        names = [f"{self.observer.prefix}intent:{id_of(DEFAULT_TARGET, key)}" for key in keys]
        return (
            dict(zip(keys, self.valkey.several([("HGET", name, "state") for name in names]), strict=True))
            if keys
            else {}
        )
