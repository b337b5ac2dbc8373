"""What a seed stands for: a world, intents, and what befalls them. All of it is data, so that it can be shrunk."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.stories import COMMON, HOLDS, RIVALS, STORIES

#: Until when, in virtual seconds from the begin, things are enqueued and befall by the clock.
ACTIVE_S = 40.0

#: What befalls a trip to the journal: when it is made, and after it was carried out.
TRIP_FAULTS = (
    "crash before",
    "crash after",
    "freeze before",
    "freeze after",
    "lose request",
    "lose answer",
    "late",
    "double",
    "refuse",
    "failover",
    "failover",
    "restart",
    "set back",
)

#: What befalls an exchange with the ledger on its way.
WAY_FAULTS = (
    "crash before",
    "crash after",
    "freeze before",
    "freeze after",
    "unsent",
    "lose request",
    "lose answer",
    "late",
    "late",
    "freeze late",
    "freeze late",
    "doubled answer",
)

#: Trips that are struck, the more often the more there is to lose in them.
TRIPS = (
    *("accept", "claim", "claim", "take", "take", "record", "record", "record", "settle", "settle", "settle", "settle"),
    *("extend", "sweep", "sweep", "step", "gate", "now", "replay", "discard", "cancel", "any", "any", "ask"),
)

#: How far on among its kind what is struck lies on average; what there are few of is struck early.
_FAR = {"record": 2.0, "accept": 2.0, "settle": 3.0, "claim": 5.0, "take": 5.0, "any": 40.0, "sweep": 8.0, "ask": 8.0}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that befalls.

    Attributes:
        on: ``trip <script>``, ``write``, ``read``, ``time``, or ``write of`` (a write that is made for one story).
        nth: Which of them, from 1; of ``time``: tenths of a second since the begin.
        what: What befalls it.
        seconds: How long, or how late.
        of: The number of the intent or worker that it is about, where it is about one.
    """

    on: str
    nth: int
    what: str
    seconds: float = 0.0
    of: int = 0

    def __str__(self) -> str:
        on = f"{self.on} intent {self.of}" if self.on == "write of" else self.on
        when = f"at {self.nth / 10:g} s" if self.on == "time" else f"{on} no. {self.nth}"
        return f"{when}: {self.what}" + (f" {self.seconds:g} s" if self.seconds else "") + f" ({self.of})"


@dataclass(frozen=True, slots=True)
class Planned:
    """One intent, or several that belong together.

    Attributes:
        story: Name of the story.
        at_s: When it is enqueued.
        choice: Seed of what the story chooses.
    """

    story: str
    at_s: float
    choice: int

    def __str__(self) -> str:
        return f"at {self.at_s:g} s: {self.story} [{self.choice}]"


@dataclass(frozen=True, slots=True)
class Plan:
    """A run before it is run.

    Attributes:
        seed: Of latencies and handovers.
        world: What the world is like, by name; what is left out is as in :data:`CALM`.
        intents: What is enqueued.
        events: What befalls.
    """

    seed: int
    world: Mapping[str, Any] = field(default_factory=dict)
    intents: Sequence[Planned] = ()
    events: Sequence[Event] = ()

    @property
    def size(self) -> int:
        """How much there is to it."""
        return len(self.world) + len(self.intents) + len(self.events)

    def told(self) -> list[str]:
        """For people."""
        return [
            f"seed {self.seed}",
            *(f"world: {name} = {value}" for name, value in self.world.items()),
            *(f"intent {number} {one}" for number, one in enumerate(self.intents)),
            *(f"{event}" for event in self.events),
        ]


#: A world in which nothing is out of the ordinary.
CALM: Mapping[str, Any] = {
    "workers": 2,
    "durability": "memory",
    "read_lag_s": 0.0,
    "persist_s": 0.005,
    "apply_s": 0.02,
    "lacks": "",
    "core_version": "0.15.3",
    "route": "filters",
    "links": False,
    "connections": 3,
    "brisk": False,
    "forgets": False,
    "apart_s": 0.0,
}


def _some_seconds(rng: random.Random) -> float:
    return round(rng.choice((0.05, 1.0, 5.0, 8.0, 20.0, 31.0, 45.0, 100.0)) * (0.5 + rng.random()), 3)


def _seconds_of(rng: random.Random, what: str) -> float:
    """How long what befalls a trip takes, or how many trips back it goes."""
    if what in {"failover", "restart", "set back"}:
        return float(rng.choice((1, 1, 2, 3, 5, 8, 13, 30)))
    return _some_seconds(rng) if what.startswith("freeze") or what == "late" else 0.0


def _struck(rng: random.Random) -> Event:
    """Something that befalls a trip or an exchange."""
    where = rng.random()
    if where < 0.5:
        what, trip = rng.choice(TRIP_FAULTS), rng.choice(TRIPS)
        seconds = _seconds_of(rng, what)
        return Event(f"trip {trip}", 1 + int(rng.expovariate(1 / _FAR.get(trip, 1.0))), what, seconds)
    if where < 0.85:
        if rng.random() < 0.5:
            what = rng.choice(WAY_FAULTS)
            seconds = _some_seconds(rng) if what.startswith("freeze") else 0.0
            if what.endswith("late"):
                # A part of the longest that it may be under way.
                seconds = round(rng.choice((0.1, 0.6, 0.93)) * (0.5 + 0.5 * rng.random()), 3)
            return Event("write", 1 + int(rng.expovariate(0.5)), what, seconds)
        return Event("write", 1 + int(rng.expovariate(0.4)), f"ledger {rng.choice(LEDGER_FAULTS)}", _some_seconds(rng))
    if rng.random() < 0.6:
        what = rng.choice(("unsent", "lose answer", "crash before", "crash after", "freeze before", "freeze after"))
        return Event("read", 1 + int(rng.expovariate(0.2)), what, _some_seconds(rng) if "freeze" in what else 0.0)
    return Event("read", 1 + int(rng.expovariate(0.2)), f"ledger {rng.choice(READ_FAULTS)}", _some_seconds(rng))


LEDGER_FAULTS = (
    *("500_no_effect", "500_with_effect", "500_empty_with_effect", "502_no_effect", "502_with_effect"),
    *("503_with_effect", "504_with_effect", "504_no_effect", "503_backpressure", "429", "401", "403", "truncated"),
    *("not_json", "vanish", "slow_apply", "persist_fails", "apply_fails", "task_lost", "423", "409_lock_lost"),
    *("500_duplicate", "400_with_effect", "batch_locked"),
)

READ_FAULTS = ("500_no_effect", "502_no_effect", "429", "401", "truncated", "not_json", *("read_lag",) * 6)


def _by_the_clock(rng: random.Random, intents: int) -> Event:
    """Something that befalls at a time."""
    at = int(rng.random() * ACTIVE_S * 10)
    what = rng.choice(
        (
            *("crash", "freeze", "stop", "step", "step", "failover", "failover", "restart", "full", "away"),
            *("core crash", "core queue lost", "replay", "discard", "cancel", "pause lane", "pause target", "rebind"),
            *("again", "bells lost", "set back"),
        )
    )
    seconds = 0.0
    if what == "step":
        size = rng.choice((0.7, 3.0, 10.0, 40.0, 120.0)) * (0.5 + rng.random())
        seconds = round(size * rng.choice((1, -1)), 3)
    elif what in {"failover", "restart", "set back"}:
        # How far back it goes.
        seconds = round(rng.choice((0.0, 0.02, 0.2, 2.0, 15.0)) * rng.random(), 4)
    elif what not in {"cancel", "core crash", "core queue lost", "again"}:
        seconds = _some_seconds(rng)
    return Event("time", at, what, seconds, rng.randrange(max(intents, 1)))


def plan_of(seed: int) -> Plan:
    """The plan of a seed."""
    plan, aims = _drawn(seed), aims_of(seed)
    return _aimed(plan, random.Random(f"aimed {seed}"), aims) if aims else plan


def is_aimed(seed: int) -> bool:
    """Whether something is aimed at what is seldom met otherwise, besides what is drawn for every seed."""
    return bool(aims_of(seed))


def aims_of(seed: int) -> Sequence[Aim]:
    """What may be aimed in the plan of a seed.

    By its last digit, so that none is among them that had found something before there was that aim, or that a test or
    a page named: these stand for the plans that they have always stood for. So what is aimed anew takes another digit.
    """
    return _AIMS.get(seed % 10, ()) if seed > _DRAWN_ONLY else ()


#: The first seeds are those that tests play all of.
_DRAWN_ONLY = 400


def _drawn(seed: int) -> Plan:
    rng = random.Random(f"plan {seed}")
    world: dict[str, Any] = {}
    if rng.random() < 0.75:
        world["brisk"] = True
    if rng.random() < 0.3:
        world["durability"] = rng.choice(("fsync", "replicated:1"))
    if rng.random() < 0.3:
        world["read_lag_s"] = rng.choice((0.5, 5.0, 20.0))
    if rng.random() < 0.2:
        world["apply_s"] = rng.choice((1.0, 5.0))
    if rng.random() < 0.1:
        world["persist_s"] = rng.choice((0.5, 2.0))
    if rng.random() < 0.2:
        world["workers"] = rng.choice((1, 3))
    if rng.random() < 0.1:
        world["core_version"] = rng.choice(("0.15.2", "0.15.4"))
    if rng.random() < 0.15:
        world["route"] = "data"
    if rng.random() < 0.2:
        world["connections"] = rng.choice((1, 2))
    if rng.random() < 0.2:
        world["links"] = True
    names = list(STORIES) if rng.random() < 0.7 else list(HOLDS)
    number = rng.choice((1, 1, 2, 2, 3, 4))
    intents = tuple(
        Planned(
            rng.choice(COMMON) if len(names) > len(HOLDS) and rng.random() < 0.4 else rng.choice(names),
            round(rng.random() * (0.5 if rng.random() < 0.5 else ACTIVE_S / 2), 3),
            rng.randrange(1_000_000),
        )
        for _ in range(number)
    )
    if rng.random() < 0.1 and world.get("workers", 2) > 1:
        world["lacks"] = STORIES[intents[0].story].kind
    most = rng.choice((0, 1, 2, 3, 4, 6, 8, 10))
    events = tuple(_struck(rng) if rng.random() < 0.65 else _by_the_clock(rng, len(intents)) for _ in range(most))
    if rng.random() < 0.08:
        # Keys that are forgotten come back.
        world["forgets"] = True
        events += tuple(Event("time", int((12 + 28 * rng.random()) * 10), "again") for _ in range(3))
    if rng.random() < 0.08:
        # A repeat is refused, while the first try is still under way.
        first = 1 + int(rng.expovariate(0.5))
        late_s = round(0.1 + 0.88 * rng.random(), 3)
        events += (Event("write", first, "late", late_s), Event("write", first + 1, "ledger 413"))
    if rng.random() < 0.1:
        # The journal's clock and the ledger's differ from the begin, by as much as is allowed for.
        world["apart_s"] = rng.choice((-290.0, -60.0, 60.0, 290.0))
    if rng.random() < 0.06:
        # Several are at work that the ledger could take for each other, or that stand in each other's way.
        at_s = round(rng.random() * (0.5 if rng.random() < 0.5 else ACTIVE_S / 2), 3)
        intents += (Planned(rng.choice(list(RIVALS)), at_s, rng.randrange(1_000_000)),)
    return Plan(seed, world, tuple(sorted(intents, key=lambda one: one.at_s)), events)


#: Chooses a story that is enqueued at a time, and what befalls it.
Aim = Callable[[random.Random, float], tuple[str, tuple[Event, ...]]]


def _aimed(plan: Plan, rng: random.Random, aims: Sequence[Aim]) -> Plan:
    """The same with a story more, and what befalls that one."""
    for _ in range(rng.choice((1, 1, 2))):
        at_s = round(rng.random() * (0.5 if rng.random() < 0.5 else ACTIVE_S / 2), 3)
        aim = rng.choice(aims)
        story, events = aim(rng, at_s)
        # It comes last: what befalls the others goes on to be about them.
        number = len(plan.intents)
        intents = (*plan.intents, Planned(story, at_s, rng.randrange(1_000_000)))
        if aim is _raced:
            # Else what has arrived would be seen, and not repeated.
            plan = replace(plan, world={**plan.world, "read_lag_s": 20.0})
        plan = replace(plan, intents=intents, events=(*plan.events, *(replace(event, of=number) for event in events)))
    return plan


def _locked(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:  # noqa: ARG001
    """What is to happen together or not at all meets a lock at its last part."""
    nth = 1 + int(rng.expovariate(1.0))
    locks = tuple(Event("write of", nth + more, "ledger batch_locked") for more in range(rng.choice((1, 1, 1, 2))))
    return rng.choice(("transaction.split", "by turns")), locks


def _raced(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:  # noqa: ARG001
    """A repeat in skip mode of what has arrived meanwhile, and is not shown yet, is answered as if both had raced.

    What is late arrives after the read that the repeat follows, or so shortly before it that this does not show it.
    """
    story, at_least = rng.choice(
        (("transaction-skip", 0.58), ("transaction-skip", 0.58), ("transaction.bulk-skip", 0.8))
    )
    late = Event("write of", 1, "late", round(at_least + 0.13 * rng.random(), 3))
    return story, (late, *(Event("write of", nth, "ledger 500_duplicate") for nth in range(2, rng.choice((3, 4, 5)))))


#: Trips that somebody makes who acts on an intent, by what he does.
_TRIPS_OF = {"replay": ("replay", "now"), "discard": ("discard", "now"), "cancel": ("cancel", "now")}


def _acted_on(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:
    """A trip of whoever acts on an intent is struck: on a letter, or on what has not left yet."""
    what = rng.choice(("replay", "replay", "discard", "discard", "cancel"))
    made: tuple[Event, ...] = ()
    if what == "cancel":
        story, after_s = rng.choice(("ordered payments", "late behind", *COMMON)), 2 * rng.random()
    else:
        story, after_s = rng.choice(("poor payment", *COMMON)), 3 + 20 * rng.random()
        if story != "poor payment":
            made = (Event("write of", 1, "ledger 413"),)
    at = int((at_s + after_s) * 10)
    acts = tuple(Event("time", at + 50 * more, what) for more in range(rng.choice((1, 2))))
    return story, (*made, *acts, _trip_struck(rng, rng.choice(_TRIPS_OF[what]), 1 + int(rng.expovariate(2.0))))


def _stepped(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:
    """The trip that tells the journal of a step of its clock is struck."""
    steps = tuple(
        Event("time", int((at_s + 5 * more) * 10), "step", round(40 * (0.5 + rng.random()) * rng.choice((1, -1)), 3))
        for more in range(1, rng.choice((2, 3)))
    )
    return rng.choice(COMMON), (*steps, _trip_struck(rng, "step", 1 + int(rng.expovariate(2.0))))


def _complained(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:  # noqa: ARG001
    """The trip by which a gate is shut or slowed is struck, because the ledger has asked for that."""
    story = rng.choice(COMMON) if rng.random() < 0.5 else rng.choice(list(STORIES))
    why = rng.choice(("429", "429", "401", "403", "503_backpressure", "502_no_effect"))
    complaints = tuple(Event("write of", nth, f"ledger {why}") for nth in range(1, rng.choice((2, 2, 3))))
    return story, (*complaints, _trip_struck(rng, "gate", 1 + int(rng.expovariate(2.0))))


#: Stories that write in queue mode, and hold nothing.
_QUEUED = (
    *("transaction-queue", "transaction.bulk-queue", "refund", "ordered payments", "poor payment"),
    *("payment and refund", "one refund"),
)


def _applied_late(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:
    """What the ledger has taken is applied at a later try of its own, and something befalls whoever waits for it."""
    fails = tuple(Event("write of", nth, "ledger apply_fails") for nth in range(1, rng.choice((2, 2, 3))))
    at, what = int((at_s + 6 * rng.random()) * 10), rng.choice(("crash", "core crash", "failover", "again", ""))
    seconds = {"crash": _some_seconds(rng), "failover": round(2 * rng.random(), 4)}.get(what, 0.0)
    met = Event("time", at, what, seconds) if what else _trip_struck(rng, rng.choice(("take", "settle")), 2)
    return rng.choice(_QUEUED), (*fails, met)


def _in_a_job(rng: random.Random, at_s: float) -> tuple[str, tuple[Event, ...]]:
    """A trip of a job about many letters is struck, and somebody else acts on them, or the journal loses a second."""
    refused = tuple(Event("write of", nth, "ledger 413") for nth in range(1, rng.choice((3, 4, 5, 6))))
    at = int((at_s + 3 + 5 * rng.random()) * 10)
    acts = [Event("time", at, rng.choice(("job replay", "job replay", "job discard")))]
    others = ("job stop", "job stop", "replay", "discard", "job replay", "job discard", "failover", "again", "")
    then = rng.choice(others)
    if then:
        seconds = round(3 * rng.random(), 4) if then == "failover" else 0.0
        acts.append(Event("time", at + rng.randrange(40), then, seconds))
    trip = rng.choice(("carry", "carry", "next", "job"))
    return "many letters", (*refused, *acts, _trip_struck(rng, trip, 1 + int(rng.expovariate(0.7))))


def _trip_struck(rng: random.Random, trip: str, nth: int) -> Event:
    what = rng.choice(TRIP_FAULTS)
    return Event(f"trip {trip}", nth, what, _seconds_of(rng, what))


#: What may be aimed, by the last digit of a seed; in the order in which they came to be.
_FIRST: Sequence[Aim] = (_locked, _locked, _raced, _raced, _acted_on, _acted_on, _acted_on, _stepped)
_AIMS: Mapping[int, Sequence[Aim]] = {6: _FIRST, 8: _FIRST, 0: (_complained, _applied_late, _in_a_job, _in_a_job)}


def without(
    plan: Plan, *, intents: set[int] = frozenset(), events: set[int] = frozenset(), world: set[str] = frozenset()
) -> Plan:  # type: ignore[assignment]
    """The same with less in it; what is about an intent goes on to be about it."""
    kept = [number for number in range(len(plan.intents)) if number not in intents]
    places = {number: place for place, number in enumerate(kept)}
    return replace(
        plan,
        world={name: value for name, value in plan.world.items() if name not in world},
        intents=tuple(plan.intents[number] for number in kept),
        events=tuple(
            replace(event, of=places.get(event.of, 0))
            for number, event in enumerate(plan.events)
            if number not in events
        ),
    )
