"""Every prefix: a run comes to its end, and then its journal is what it was after each of its trips in turn.

What a script writes reaches an append-only file and a replica all together, so a prefix of the log of writes ends
between two trips. The ledger has seen the whole run each time, and the producer enqueues again what has no receipt any
more; what may follow is what docs/guarantees.md says of a loss, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.plan import Event, Plan, Planned
from tests.simulation.run import Ended


def run_of(story: str, seed: int = 1, *, durability: str = "memory") -> Plan:
    """A run in which nothing befalls.

    Args:
        story: What is enqueued.
        seed: Of what the story chooses, and of latencies.
        durability: That is asked for.
    """
    return Plan(seed, {"durability": durability}, (Planned(story, 0.5, seed),))


def resumed(plan: Plan, one: Callable[[Plan], Ended]) -> Iterator[tuple[int, Ended]]:
    """Play a run, and play it again once for each prefix, to which its journal goes back at the end.

    Args:
        plan: The run.
        one: Plays one.

    Yields:
        After how many trips the journal was cut, and what became of it.
    """
    whole = one(plan)
    assert whole.problems == [], whole.problems
    for cut in range(whole.steps):
        yield cut, one(replace(plan, events=(*plan.events, Event("end", cut, "failover"))))
