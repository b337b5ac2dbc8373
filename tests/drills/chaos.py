"""Trouble on purpose: random, and the same for the same seed as far as the machine allows."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import redis

from blnk_relay import JournalUnavailable, Relay
from tests.support.stages import operator_of, pause_process, resume_process
from worker.demo.stage import Stage

#: Between two blows, in seconds.
_PAUSE_S = (0.02, 0.5)

#: How long a frozen worker sleeps: sometimes less, sometimes more than it takes to be given up or to lose its leases.
_SLEEP_S = (0.3, 12.0)

#: How long a lane stays paused.
_LANE_S = (0.2, 2.0)

#: Connections killed in one storm, and the pause between two.
_STORM = 12
_STORM_PAUSE_S = 0.05


@dataclass
class Chaos:
    """Strikes a stage from a thread of its own until it is told to stop; then everything stands as at the start.

    Args:
        stage: Whom to strike.
        relay: A relay on its journal, for this thread only.
        seed: Makes the order of blows repeatable.
        workers: How many workers there are to be.
    """

    stage: Stage
    relay: Relay
    seed: int
    workers: int
    struck: Counter[str] = field(default_factory=Counter)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos")
        #: What has to be undone, and when.
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._asleep: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        for _, undo in self._later:
            undo()
        self._fill_up()
        if self.failures:
            raise self.failures[0]

    @property
    def blows(self) -> int:
        """How many blows have fallen."""
        return self.struck.total()

    def _run(self) -> None:
        blows = [
            self.kill_worker,
            self.kill_worker,
            self.kill_all,
            self.freeze,
            self.freeze,
            self.storm,
            self.pause_lane,
        ]
        try:
            while not self._stop.wait(self._rng.uniform(*_PAUSE_S)):
                due = [entry for entry in self._later if entry[0] <= time.monotonic()]
                for entry in due:
                    self._later.remove(entry)
                    entry[1]()
                self._fill_up()
                blow = self._rng.choice(blows)
                try:
                    blow()
                    self.struck[blow.__name__] += 1
                except (JournalUnavailable, redis.RedisError):
                    self.struck["missed"] += 1
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self.failures.append(error)

    def _fill_up(self) -> None:
        while len(self.stage.workers) < self.workers:
            self.stage.start_worker()

    def kill_worker(self) -> None:
        """SIGKILL for one worker."""
        self.stage.kill_worker(self._rng.choice(self.stage.workers))

    def kill_all(self) -> None:
        """SIGKILL for all of them at once."""
        for worker in list(self.stage.workers):
            self.stage.kill_worker(worker)

    def freeze(self) -> None:
        """SIGSTOP for one worker, SIGCONT later, perhaps long after its leases are over."""
        awake = [worker for worker in self.stage.workers if worker.pid not in self._asleep]
        if not awake:
            return
        worker = self._rng.choice(awake)
        pause_process(worker)
        self._asleep.add(worker.pid)

        def wake() -> None:
            self._asleep.discard(worker.pid)
            if worker.poll() is None:
                resume_process(worker)

        self._later.append((time.monotonic() + self._rng.uniform(*_SLEEP_S), wake))

    def storm(self) -> None:
        """CLIENT KILL for every connection, several times in a row."""
        with redis.Redis(port=self.stage.valkey.port, socket_timeout=5) as client:
            for _ in range(self._rng.randint(1, _STORM)):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
                time.sleep(_STORM_PAUSE_S)

    def pause_lane(self) -> None:
        """An operator pauses a lane for a while."""
        lane = self._rng.choice(self.stage.settings.lanes)
        operator = operator_of(self.relay)
        operator.pause_lane(lane, who="a drill")

        def resume() -> None:
            for _ in range(20):
                with suppress(JournalUnavailable):
                    operator.resume_lane(lane)
                    return
                time.sleep(_STORM_PAUSE_S)

        self._later.append((time.monotonic() + self._rng.uniform(*_LANE_S), resume))
