"""Many seeds: playing them, in several processes, within a time; what failed is replayed and made small."""

from __future__ import annotations

import gc
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.simulation import seams
from tests.simulation.journal_side import Model, Server
from tests.simulation.plan import Plan, plan_of
from tests.simulation.run import Ended
from tests.simulation.shrinking import MOST_TRIES, shrunk
from tests.simulation.world import play

#: Seeds that one process is given at a time.
_CHUNK = 25

#: Runs whose remains are thrown away together.
_GATHERED = 20

#: The words that a problem begins with, or has behind the intent that it is about.
SORTS = ("lost", "doubled", "stuck", "untrue", "error", "books")


@dataclass
class Tally:
    """What came of many seeds.

    Attributes:
        seeds: How many were played.
        seconds: How long that took.
        intents: How many were enqueued.
        kinds: How often each kind was.
        struck: How often what befell.
        struck_trips: How often something befell a trip, by what was aimed at.
        failed: What is wrong with each seed that failed.
    """

    seeds: int = 0
    seconds: float = 0.0
    intents: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    struck_trips: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, ended: Ended) -> None:
        """Take in one run."""
        self.seeds += 1
        self.intents += ended.intents
        self.kinds.update(ended.kinds)
        self.struck.update(ended.struck)
        self.struck_trips.update(ended.struck_trips)
        if ended.problems:
            self.failed[ended.plan.seed] = ended.problems

    def join(self, other: Tally) -> None:
        """Take in another one."""
        self.seeds += other.seeds
        self.intents += other.intents
        self.kinds += other.kinds
        self.struck += other.struck
        self.struck_trips += other.struck_trips
        self.failed |= other.failed

    def line(self) -> dict[str, Any]:
        """As one JSON object."""
        sorts = Counter(sort_of(problem) for problems in self.failed.values() for problem in problems)
        return {
            "seeds": self.seeds,
            "seconds": round(self.seconds, 1),
            "seeds_a_minute": round(self.seeds / max(self.seconds, 0.001) * 60),
            "intents": self.intents,
            "failed": sorted(self.failed),
            **{sort: sorts[sort] for sort in SORTS},
            "kinds": dict(self.kinds.most_common()),
            "struck": dict(self.struck.most_common()),
            "struck_trips": dict(self.struck_trips.most_common()),
        }


def sort_of(problem: str) -> str:
    """What sort of problem a sentence tells of."""
    words = [part.strip() for part in problem.split(":", 2)[:2]]
    return next((word for word in words if word in SORTS), "error")


@contextmanager
def playing(changed: Mapping[str, str] | None = None) -> Iterator[Callable[..., Ended]]:
    """Everything that a run needs, in place.

    Args:
        changed: Other texts for some scripts, by name: deliberate bugs.

    Yields:
        Plays a seed or a plan; with ``told`` it keeps the story.
    """
    server: Server = Model(changed)

    played = 0

    def one(what: int | Plan, *, told: bool = False) -> Ended:
        nonlocal played
        played += 1
        if played % _GATHERED == 0:
            gc.collect()
        return play(what if isinstance(what, Plan) else plan_of(what), server, told=told)

    # What a run leaves are circles of greenlets and frames: to look for them all the time costs more than to let some
    # runs gather.
    collecting = gc.isenabled()
    gc.disable()
    try:
        with seams.replaced():
            yield one
    finally:
        server.stop()
        if collecting:
            gc.enable()


def passes(seeds: Sequence[int], within_s: float, changed: Mapping[str, str] | None = None) -> tuple[int, list[str]]:
    """Whether seeds pass, as many as can be played within a time; it ends with the first that does not.

    Args:
        seeds: Which.
        within_s: Seconds.
        changed: Other texts for some scripts, by name: deliberate bugs.

    Returns:
        The seed that failed, -1 for none; and what is wrong with it.
    """
    end_s = time.monotonic() + within_s
    with playing(changed) as one:
        for seed in seeds:
            if time.monotonic() > end_s:
                break
            if problems := one(seed).problems:
                return seed, problems
    return -1, []


def _chunk(seeds: Sequence[int]) -> Tally:
    tally = Tally()
    with playing() as one:
        for seed in seeds:
            tally.add(one(seed))
    return tally


def simulate(seeds: Sequence[int], processes: int, say: Callable[[Tally], None] = lambda _: None) -> Tally:
    """Play seeds.

    Args:
        seeds: Which.
        processes: In how many processes.
        say: Told of the tally now and then.
    """
    tally, start_s = Tally(), time.monotonic()
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    if processes < 2 or len(chunks) < 2:
        for chunk in chunks:
            tally.join(_chunk(chunk))
            tally.seconds = time.monotonic() - start_s
            say(tally)
        return tally
    # Each begins anew: what was loaded here, a Lua above all, is not to be shared.
    with multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=200) as pool:
        for part in pool.imap_unordered(_chunk, chunks):
            tally.join(part)
            tally.seconds = time.monotonic() - start_s
            say(tally)
    return tally


def explained(plan: Plan, changed: Mapping[str, str] | None = None, most: int = MOST_TRIES) -> list[str]:
    """A failing plan made small, and its story, for people.

    Args:
        plan: That fails.
        changed: Other texts for some scripts, by name: deliberate bugs.
        most: Plans that are tried at most to make it small.
    """
    with playing(changed) as one:
        sorts = {sort_of(problem) for problem in one(plan).problems}
        small = shrunk(plan, lambda other: bool(sorts & {sort_of(problem) for problem in one(other).problems}), most)
        ended = one(small, told=True)
    return [
        f"--- seed {plan.seed}, made small ({plan.size} to {small.size}): "
        f"python -m tests.simulation --start {plan.seed} --seeds 1",
        *(f"    {line}" for line in small.told()),
        *(f"  {line}" for line in ended.story),
        *(f"!!! {problem}" for problem in ended.problems),
    ]
