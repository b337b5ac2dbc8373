"""Whether a worker is well, for whoever starts and stops it: a container's supervisor. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from blnk_relay.journal.workers import LEAVING, WorkerView


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a worker is well.

    Attributes:
        live: It should go on: nothing says that another one would do better.
        ready: It takes work.
        why: What is amiss, in sentences; empty where nothing is.
    """

    live: bool
    ready: bool
    why: tuple[str, ...] = ()


def health_of(workers: Iterable[WorkerView], where: str) -> Health:
    """The health of the workers of a host, or of one of them.

    One that fell silent counts until it is replaced by one that is alive in the same place.

    Args:
        workers: Those that are meant.
        where: What they are, for the sentence that says that there is none.
    """
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return Health(live=False, ready=False, why=(f"no worker is alive {where}",))
    unwell = tuple(f"{worker.name}: {worker.sign.unwell}" for worker in alive if worker.sign.unwell)
    leaving = tuple(f"{worker.name} is {worker.state}" for worker in alive if worker.state in LEAVING)
    return Health(live=not unwell, ready=not unwell and len(leaving) < len(alive), why=unwell + leaving)
