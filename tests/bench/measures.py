"""The measures: each plays its contestants in turn, round by round, and comes to lines of the report."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median, quantiles

from blnk_relay import Relay, transaction
from tests.bench.contestants.celery_task import CeleryTask
from tests.bench.contestants.contestant import Contestant
from tests.bench.contestants.relay import Ours
from tests.bench.figures import Goal, Measure, Run, Series
from tests.bench.payload import payment, reference_of
from tests.bench.stage import BenchError, Stage

#: A run in which the ledger sees nothing new for this long is over, whatever is missing.
STALL_S = 15.0

#: Longest run.
RUN_S = 120.0

#: The first tenth is not counted: workers start, connect, and load their code.
SKIPPED = 0.1

#: Peers post as many payments as take them about as long as ours take us.
PEER_SHARE = 0.4

#: Producers take turns of so many payments one by one, or so many times that in one call.
PART = 200
MANY = 5
TURNS = 20
WARM_UP_TURNS = 2

#: Latency of the ledger in the measure of busy connections, and connections of the one worker process in it.
LATENCY_S = 0.05
BUSY_CONNECTIONS = (16, 64)

#: Seconds of full pace in that measure.
BUSY_S = 8.0

_POLL_S = 0.05
_WARM_UP_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Options:
    """How much is measured."""

    rounds: int = 3
    intents: int = 10_000
    samples: int = 40
    say: Callable[[str], None] = print


@dataclass(frozen=True, slots=True)
class Played:
    """One burst, as the ledger saw it."""

    arrived_s: list[float]
    shown_s: list[float]
    lost: int
    doubled: int
    worker_cpu_s: float


def play(contestant: Contestant, count: int, *, latency_ms: float = 0.0, confirmed: bool = False) -> Played:
    """Enqueue a backlog, start the workers, and wait until the ledger has seen it all."""
    with Stage(latency_ms) as stage:
        stage.enqueue(contestant, count)
        stage.start_workers(contestant)
        start_s = news_s = time.monotonic()
        seen, from_, cpu_s = -1, 0, 0.0
        while True:
            counts = stage.ask("/counts")
            now_s = time.monotonic()
            if not from_ and counts["distinct"] >= count * SKIPPED:
                from_, cpu_s = counts["distinct"], stage.worker_cpu_s()
            done = counts["shown"] if confirmed else counts["distinct"]
            unsettled = contestant.unsettled(stage.place, count) if done >= count else count
            if not unsettled:
                break
            if counts["posts"] + counts["shown"] > seen:
                seen, news_s = counts["posts"] + counts["shown"], now_s
            if now_s - news_s > STALL_S or now_s - start_s > RUN_S:
                break
            time.sleep(_POLL_S)
        if not counts["posts"]:
            raise BenchError(f"{contestant.label} posted nothing:\n{stage.log_tail()}")
        times = stage.ask("/times")
        used_s = stage.worker_cpu_s() - cpu_s
        missing = {reference_of(number) for number in range(count)} - set(times["references"])
        return Played(
            times["arrived"],
            times["shown"],
            max(len(missing), unsettled),
            counts["posts"] - counts["distinct"],
            used_s / max(1, counts["distinct"] - from_),
        )


def _rate(times_s: list[float], until: float = 1.0) -> float:
    """Events in a second, from when a tenth had happened."""
    first, last = int(len(times_s) * SKIPPED), int(len(times_s) * until) - 1
    return (last - first) / (times_s[last] - times_s[first])


def posts(options: Options, names: set[str]) -> Iterator[Measure]:
    """Posts in a second at no latency: accepted, and confirmed by the ledger; against the same peer."""
    accepted = Ours(label="blnk-relay, accepted")
    confirmed = Ours(label="blnk-relay, confirmed", confirm="ledger")
    peer = CeleryTask()
    players: list[Contestant] = [peer]
    if "post" in names:
        players = [accepted, peer, *_dramatiq()]
    if "confirm" in names:
        players.insert(-1, confirmed)
    runs: dict[str, list[Run]] = {player.label: [] for player in players}
    costs: dict[str, list[Run]] = {player.label: [] for player in players}
    for number in range(options.rounds):
        for player in players:
            count = options.intents if isinstance(player, Ours) else int(options.intents * PEER_SHARE)
            played = play(player, count, confirmed=player is confirmed)
            value = _rate(played.arrived_s)
            if player is confirmed:
                # From when a tenth was posted until the last outcome was read back: the looks at the end count too.
                first = int(count * SKIPPED)
                value = (count - first) / (played.shown_s[-1] - played.arrived_s[first])
            runs[player.label].append(Run(value, played.lost, played.doubled))
            costs[player.label].append(Run(played.worker_cpu_s * 1e6))
            options.say(f"round {number + 1}: {player.label}: {value:,.0f} posts/s")
    others = [player.label for player in players if not isinstance(player, Ours)]
    for name, player, target in (("post", accepted, 3.5), ("confirm", confirmed, 2.5)):
        if name in names:
            peers = others if name == "post" else others[:1]
            title = f"posts, no latency, {_HOW[name]}"
            ours, theirs = Series(player.label, runs[player.label]), [Series(peer, runs[peer]) for peer in peers]
            yield Measure(name, title, "posts/s", ours, theirs, Goal(target, ratio=True))
            ours, theirs = Series(player.label, costs[player.label]), [Series(peer, costs[peer]) for peer in peers]
            yield Measure(f"{name}_cpu", f"processor time of the workers, {_HOW[name]}", "µs/post", ours, theirs)


_HOW = {"post": "confirm=accepted", "confirm": "confirmed by the ledger"}


def _dramatiq() -> list[Contestant]:
    """The second peer, if it is installed: it is for information only."""
    try:
        from tests.bench.contestants.dramatiq_actor import DramatiqActor
    except ImportError:
        return []
    return [DramatiqActor()]


def enqueues(options: Options, _names: set[str]) -> Iterator[Measure]:
    """Payments enqueued in a second, one by one, while no worker runs; producers take turns part by part."""
    ours, peer = Ours(), CeleryTask()
    turns = (
        (ours, "one", "relay.enqueue()"),
        (peer, "one", "Celery task.delay()"),
        (ours, "all", "relay.enqueue_many()"),
    )
    runs: dict[str, list[Run]] = {name: [] for *_, name in turns}
    for number in range(options.rounds):
        with Stage() as stage:
            producers = {contestant.label: stage.producer(contestant) for contestant in (ours, peer)}
            paces: dict[str, list[float]] = {name: [] for name in runs}
            first = 0
            # In the first turns connections are made and code is loaded.
            for turn in range(WARM_UP_TURNS + TURNS):
                for contestant, how, name in turns:
                    count = PART if how == "one" else PART * MANY
                    took_s = producers[contestant.label].enqueue(first, count, how)
                    first += count
                    if turn >= WARM_UP_TURNS:
                        paces[name].append(count / took_s)
        for name, own in paces.items():
            runs[name].append(Run(median(own)))
            options.say(f"round {number + 1}: {name}: {median(own):,.0f} a second")
    one, theirs, many = (Series(name, own) for name, own in runs.items())
    yield Measure("enqueue", "enqueue, one by one", "enqueues/s", one, [theirs], Goal(2.0, ratio=True))
    yield Measure("enqueue_many", f"enqueue_many, {PART * MANY} at a time", "enqueues/s", many, [theirs])


def memory(options: Options, _names: set[str]) -> Iterator[Measure]:
    """Bytes of server memory for an open intent with a payload of 400 bytes."""
    contestants: tuple[Contestant, ...] = (Ours(), CeleryTask())
    series = []
    for contestant in contestants:
        with Stage() as stage:
            # The first ones load scripts and make the keys that all share.
            stage.enqueue(contestant, 100)
            before = _settled(stage)
            stage.enqueue(contestant, options.intents, first=100)
            each = (_settled(stage) - before) / options.intents
        series.append(Series(contestant.label, [Run(each)]))
        options.say(f"{contestant.label}: {each:,.0f} bytes")
    ours, peer = series
    yield Measure("memory", "memory of an open intent of 400 bytes", "bytes", ours, [peer], Goal(1_500, most=True))


def _settled(stage: Stage) -> int:
    """Memory used once the buffers of clients that have gone are given back: the least of a second."""
    readings = []
    for _ in range(10):
        readings.append(stage.used_memory())
        time.sleep(0.1)
    return min(readings)


def latency(options: Options, _names: set[str]) -> Iterator[Measure]:
    """From the call of enqueue to the request at the ledger, while nothing else is going on."""
    ours = Ours()
    chance = random.Random(7)
    with Stage() as stage, Relay(ours.settings(stage.place)) as relay:
        stage.start_workers(ours)
        called_s = []
        for number in range(_WARM_UP_SAMPLES + options.samples):
            intent = transaction(reference=reference_of(number), **payment(number))
            called_s.append(time.monotonic())
            relay.enqueue(intent)
            # At random, so that no rhythm of the workers is met in step.
            time.sleep(chance.uniform(0.3, 0.6))
            if number == 0:
                _wait_for_first(stage)
        counts, times = stage.ask("/counts"), stage.ask("/times")
    arrived_s = dict(zip(times["references"], times["arrived"], strict=True))
    lost = sum(reference_of(number) not in arrived_s for number in range(len(called_s)))
    if lost:
        raise BenchError(f"{lost} of {len(called_s)} single intents were not posted within half a second")
    waits_ms = [(arrived_s[reference_of(at)] - called_s[at]) * 1000 for at in range(_WARM_UP_SAMPLES, len(called_s))]
    p95 = quantiles(waits_ms, n=20)[-1]
    options.say(f"enqueue → request: p50 {median(waits_ms):.1f} ms, p95 {p95:.1f} ms")
    runs = [Run(wait) for wait in waits_ms]
    runs[0] = replace(runs[0], doubled=counts["posts"] - counts["distinct"])
    series = Series("blnk-relay, p50", runs)
    notes = {"p95": p95, "samples": len(waits_ms)}
    yield Measure("latency", "enqueue → request, idle system", "ms", series, [], Goal(10, most=True), notes)


def _wait_for_first(stage: Stage) -> None:
    """The workers have started once the first request has come."""
    end_s = time.monotonic() + STALL_S
    while not stage.ask("/counts")["posts"]:
        if time.monotonic() > end_s:
            raise BenchError(f"no worker started:\n{stage.log_tail()}")
        time.sleep(_POLL_S)


def busy(options: Options, _names: set[str]) -> Iterator[Measure]:
    """The share of its connections that one worker process keeps waiting for a ledger that takes 50 ms."""
    for connections in BUSY_CONNECTIONS:
        ours = Ours(label=f"blnk-relay, {connections} connections", processes=1, connections=connections)
        pace = connections / LATENCY_S
        runs = []
        for number in range(options.rounds):
            played = play(ours, int(pace * BUSY_S * min(1.0, options.intents / 10_000)), latency_ms=LATENCY_S * 1000)
            # Without the end, at which there is less to send than there are connections.
            share = _rate(played.arrived_s, until=0.9) / pace
            runs.append(Run(share * 100, played.lost, played.doubled))
            options.say(f"round {number + 1}: {connections} connections: {share:.0%} busy")
        first = connections == BUSY_CONNECTIONS[0]
        name, title = ("busy", "connections busy at 50 ms") if first else (f"busy_{connections}", "the same, of 64")
        yield Measure(name, title, "%", Series(ours.label, runs), [], Goal(85) if first else None)


#: What ``--only`` takes, and how each is measured; those of one function are played together.
MEASURES: dict[str, Callable[[Options, set[str]], Iterator[Measure]]] = {
    "post": posts,
    "confirm": posts,
    "enqueue": enqueues,
    "memory": memory,
    "latency": latency,
    "busy": busy,
}


def measure(options: Options, names: set[str]) -> Iterator[Measure]:
    """Play what is asked for, each function once."""
    functions = dict.fromkeys(MEASURES[name] for name in MEASURES if name in names)
    for function in functions:
        yield from function(options, names)
