"""The workers of a drill, and the supervisor that starts again what ended."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from tests.drills.nursery import Nursery, Worker
from worker.demo.stage import STOP_S, Stage, _clean_environment, as_environment
from worker.watch import FAILED

#: Until what a worker is at has been written down.
_DUMP_S = 1.0

#: Between two looks of the supervisor.
_LOOK_S = 0.05

#: Who was frozen for longer may count as dead.
_DEAD_S = 1.0

#: Keys of the payments whose kind raises: before they are sent, and once they have been.
RAISING, RAISING_LATE = "raising", "raising-late"

#: Workers whose code fails for two payments, wherever they are tried.
RAISES = f"""
from dataclasses import replace
import tasks.deliver, tasks.lookups
kinds = dict(tasks.lookups.KINDS)
usual = kinds["transaction"]
def request(entry, *others):
    if entry.key == {RAISING!r}:
        raise ZeroDivisionError("a fault of ours")
    return usual.request(entry, *others)
def judge(entry, *others):
    if entry.key == {RAISING_LATE!r}:
        raise ZeroDivisionError("a fault of ours")
    return usual.judge(entry, *others)
kinds["transaction"] = replace(usual, request=request, judge=judge)
tasks.deliver.KINDS = tasks.lookups.KINDS = kinds
"""


@dataclass(frozen=True, eq=False, slots=True)
class Sort:
    """A sort of worker.

    Attributes:
        prelude: Lines of Python that run before any of them is made.
        environment: Variables on top of the settings.
    """

    prelude: str = RAISES
    environment: Mapping[str, str] = field(default_factory=dict)


class Crew:
    """Keeps so many workers running.

    Attributes:
        killed: Process ids of those that were killed.
        ended: Exit codes of those that ended by themselves.

    Args:
        stage: Where they play.
        pool: Celery pool.
        sizes: How many of which sort.
    """

    def __init__(self, stage: Stage, pool: str, sizes: Mapping[Sort, int]) -> None:
        usual = {**_clean_environment(), **as_environment(stage.settings)}
        self._nurseries = {
            sort: Nursery(pool, {**usual, **sort.environment}, stage.log, sort.prelude) for sort in sizes
        }
        self._sizes = dict(sizes)
        self._workers: list[Worker] = []
        self._sorts: dict[Worker, Sort] = {}
        self._asleep: dict[Worker, float] = {}
        self._slept: dict[int, float] = {}
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor")
        self.killed: set[int] = set()
        self.ended: Counter[int] = Counter()
        self._failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._fill_up()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for worker in self.present():
            self.wake(worker)
            worker.signal(signal.SIGTERM)
        for worker in self.present():
            worker.wait(STOP_S)
        for nursery in self._nurseries.values():
            nursery.close()

    def present(self, sort: Sort | None = None) -> list[Worker]:
        """Those that are there, of a sort or of all."""
        with self._lock:
            return [worker for worker in self._workers if sort in (None, self._sorts[worker])]

    def awake(self) -> list[Worker]:
        """Those of them that are not frozen."""
        with self._lock:
            return [worker for worker in self._workers if worker not in self._asleep]

    def resize(self, sort: Sort, size: int) -> None:
        """Have so many of a sort from now on; who is there already stays."""
        with self._lock:
            self._sizes[sort] = size
            self._fill_up()

    def kill(self, *workers: Worker) -> int:
        """SIGKILL for all of them at once; others follow. Returns how many it has hit."""
        with self._lock:
            hit = [worker for worker in workers if worker in self._workers and worker.returncode is None]
            for worker in hit:
                worker.signal(signal.SIGKILL)
            for worker in hit:
                assert worker.wait(STOP_S), f"worker {worker.pid} was killed, and is there"
                self._workers.remove(worker)
                self._asleep.pop(worker, None)
            self.killed |= {worker.pid for worker in hit}
            self._fill_up()
            return len(hit)

    def freeze(self, worker: Worker) -> None:
        """SIGSTOP."""
        with self._lock:
            self._asleep[worker] = time.monotonic()
            worker.signal(signal.SIGSTOP)

    def wake(self, worker: Worker) -> float:
        """SIGCONT; how long it has slept, in seconds."""
        with self._lock:
            if worker not in self._asleep:
                return 0.0
            slept_s = time.monotonic() - self._asleep.pop(worker)
            self._slept[worker.pid] = max(slept_s, self._slept.get(worker.pid, 0.0))
            worker.signal(signal.SIGCONT)
            return slept_s

    def silent(self) -> frozenset[int]:
        """Process ids of those that were killed, or were frozen for so long that they may count as dead."""
        return frozenset(self.killed | {pid for pid, slept_s in self._slept.items() if slept_s > _DEAD_S})

    def stop(self, *workers: Worker) -> dict[Worker, tuple[int | None, float]]:
        """SIGTERM for all of them at once; others follow.

        Returns:
            Of each, its exit code, None when it did not stop in time; and how long it took, in seconds.
        """
        with self._lock:
            told = [worker for worker in workers if worker in self._workers and worker.returncode is None]
            self._workers = [worker for worker in self._workers if worker not in told]
        start_s = time.monotonic()
        for worker in told:
            worker.signal(signal.SIGTERM)
        took: dict[Worker, tuple[int | None, float]] = {}
        while len(took) < len(told) and time.monotonic() < start_s + STOP_S:
            for worker in told:
                if worker not in took and worker.wait(_LOOK_S / len(told)):
                    took[worker] = (worker.returncode, time.monotonic() - start_s)
        if late := [worker for worker in told if worker not in took]:
            self.dump(*late)
        for worker in late:
            worker.signal(signal.SIGKILL)
            worker.wait(STOP_S)
            took[worker] = (None, time.monotonic() - start_s)
        return took

    def dump(self, *workers: Worker) -> None:
        """Have workers, all of them when none is named, write what they are at into the log."""
        for worker in workers or self.present():
            worker.signal(signal.SIGUSR2)
        time.sleep(_DUMP_S)

    def gone(self) -> Iterator[str]:
        """At the end: whoever ended by itself said so with its exit code, and whoever is told to stop does."""
        if self._failures:
            yield f"gone: the supervisor failed with {self._failures[0]!r}"
        for unforeseen, number in self.ended.items():
            if unforeseen != FAILED:
                yield f"gone: {number} workers ended with {unforeseen}"
        with self._lock:
            self._sizes.clear()
        for worker, (code, _) in self.stop(*self.present()).items():
            if code != 0:
                yield f"gone: worker {worker.pid} was told to stop, and ended with {code} within {STOP_S:g} s"

    def _watch(self) -> None:
        try:
            while not self._stop.wait(_LOOK_S):
                self._fill_up()
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self._failures.append(error)

    def _fill_up(self) -> None:
        with self._lock:
            for worker in list(self._workers):
                if worker.returncode is not None:
                    self.ended[worker.returncode] += 1
                    self._workers.remove(worker)
                    self._asleep.pop(worker, None)
            for sort, size in self._sizes.items():
                while len(self.present(sort)) < size:
                    worker = self._nurseries[sort].start()
                    self._sorts[worker] = sort
                    self._workers.append(worker)
