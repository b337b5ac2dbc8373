"""The ground that moves: Redis refuses, stalls and dies, reads are slow, answers drip, workers are struck."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

import redis

from blnk_relay.sandbox import Faults
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from tests.drills.crew import Crew
from tests.support.dripping import Drip
from tests.support.stages import pause_process, resume_process
from tests.support.valkey import LastingValkey

#: Between two blows, in seconds.
_PAUSE_S = (0.1, 0.9)

#: How long Redis refuses, is frozen, and is away.
_REFUSAL_S = (0.3, 4.0)
_FROZEN_S = (0.5, 6.0)
_AWAY_S = (0.0, 1.5)
_BUSY_S = (1.0, 2.5)

#: How long a frozen worker sleeps: sometimes less, sometimes more than it takes to be given up or to lose its leases.
_SLEEP_S = (0.3, 11.0)

#: How late reads are answered, the slowest just at the timeout.
_READS_S = (0.05, 3.0)

#: A ledger that drips does so for so many of its answers.
_DRIPPING = (0.05, 0.5)


class Trouble(Faults):
    """A plan of faults whose reads can be made slow, and that can be called off.

    Args:
        plan: What goes wrong otherwise.
    """

    def __init__(self, plan: Faults) -> None:
        self._plan = plan
        self.read_s = 0.0
        self.over = False

    def decide(self, subject: Subject) -> Fault | None:
        """A fault of the plan, or a slow read."""
        if self.over:
            return None
        fault = self._plan.decide(subject)
        if fault is None and subject.read and self.read_s:
            return Fault.of("delay_after", self.read_s)
        return fault


class Ground:
    """Strikes from a thread of its own until it is told to stop; then everything stands as at the start.

    Args:
        valkey: The server; whoever uses it comes by a fixed address.
        crew: The workers.
        trouble: What goes wrong at the ledger.
        drip: The way to it.
        seed: Makes the order of blows repeatable.
    """

    def __init__(self, valkey: LastingValkey, crew: Crew, trouble: Trouble, drip: Drip, seed: int) -> None:
        self._valkey, self._crew, self._trouble, self._drip = valkey, crew, trouble, drip
        self._rng = random.Random(f"ground-{seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ground")
        self._later: list[tuple[float, Callable[[], object]]] = []
        self.struck: Counter[str] = Counter()
        self.failures: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        for _at, undo in self._later:
            undo()
        self._trouble.over = True
        self._drip.share = 0.0

    def _run(self) -> None:
        blows = {
            self.read_only: 2,
            self.no_replicas: 2,
            self.full: 2,
            self.busy: 2,
            self.cut: 3,
            self.freeze_server: 1,
            self.crash_server: 2,
            self.slow_reads: 3,
            self.dripping: 2,
            self.kill_worker: 3,
            self.freeze_worker: 3,
        }
        try:
            # Each blow falls once, in an order that the seed decides, before any falls again.
            first = list(blows)
            self._rng.shuffle(first)
            while not self._stop.wait(self._rng.uniform(*_PAUSE_S)):
                self._undo_what_is_due()
                blow = first.pop() if first else self._rng.choices(list(blows), list(blows.values()))[0]
                blow()
                self.struck[blow.__name__] += 1
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self.failures.append(error)

    def _undo_what_is_due(self) -> None:
        for entry in [entry for entry in self._later if entry[0] <= time.monotonic()]:
            self._later.remove(entry)
            entry[1]()

    def _for_a_while(self, seconds: tuple[float, float]) -> None:
        """Let time pass; workers are woken meanwhile, and it is cut short when all is over."""
        end_s = time.monotonic() + self._rng.uniform(*seconds)
        while time.monotonic() < end_s and not self._stop.wait(0.05):
            self._undo_what_is_due()

    @contextmanager
    def _client(self) -> Iterator[redis.Redis]:
        with self._valkey.client() as client:
            yield client

    # -- Redis

    def read_only(self) -> None:
        """It is the replica of nobody for a while: READONLY."""
        with self._client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
            self._for_a_while(_REFUSAL_S)
            client.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]

    def no_replicas(self) -> None:
        """It wants more replicas than it has: NOREPLICAS."""
        self._configured("min-replicas-to-write", "1", "0")

    def full(self) -> None:
        """It has used more memory than it may: OOM."""
        self._configured("maxmemory", "1", "0")

    def _configured(self, name: str, value: str, usual: str) -> None:
        with self._client() as client:
            client.config_set(name, value)
            self._for_a_while(_REFUSAL_S)
            client.config_set(name, usual)

    def busy(self) -> None:
        """Somebody's script runs for some seconds: BUSY."""
        with self._client() as client:
            client.config_set("busy-reply-threshold", "50")

            def spin() -> None:
                with redis.Redis(port=self._valkey.port, socket_timeout=30) as other, suppress(redis.RedisError):
                    other.eval("while true do end", 0)

            thread = threading.Thread(target=spin)
            thread.start()
            time.sleep(0.1)
            self._for_a_while(_BUSY_S)
            end_s = time.monotonic() + 20
            while thread.is_alive() and time.monotonic() < end_s:
                with suppress(redis.RedisError):
                    client.script_kill()
                thread.join(0.1)

    def cut(self) -> None:
        """All connections are closed, once or several times in a row."""
        with self._client() as client:
            for _ in range(self._rng.randint(1, 6)):
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # type: ignore[no-untyped-call]
                time.sleep(0.05)

    def freeze_server(self) -> None:
        """It stands still with its connections open."""
        self._valkey.freeze()
        self._for_a_while(_FROZEN_S)
        self._valkey.thaw()

    def crash_server(self) -> None:
        """It is killed, and comes back with its append-only file."""
        self._valkey.crash()
        self._for_a_while(_AWAY_S)
        self._valkey.start()

    # -- the ledger

    def slow_reads(self) -> None:
        """Reads take their time from now on."""
        self._trouble.read_s = self._rng.choice([0.0, self._rng.uniform(*_READS_S), self._rng.uniform(*_READS_S)])

    def dripping(self) -> None:
        """Answers come byte by byte for some seconds."""
        self._drip.share = self._rng.uniform(*_DRIPPING)

        def undo() -> None:
            self._drip.share = 0.0

        self._later.append((time.monotonic() + self._rng.uniform(1, 6), undo))

    # -- workers

    def kill_worker(self) -> None:
        """SIGKILL for one; the crew sees to another."""
        if awake := self._awake():
            self._crew.kill(self._rng.choice(awake))

    def freeze_worker(self) -> None:
        """SIGSTOP for one, SIGCONT later."""
        if not (awake := self._awake()):
            return
        worker = self._rng.choice(awake)
        asleep_s = self._rng.uniform(*_SLEEP_S)
        self._crew.asleep[worker.pid] = asleep_s
        pause_process(worker)

        def wake() -> None:
            if worker.poll() is None:
                resume_process(worker)
            self._crew.awoken.add(worker.pid)

        self._later.append((time.monotonic() + asleep_s, wake))

    def _awake(self) -> list[subprocess.Popen[Any]]:
        return [
            worker
            for worker in self._crew.present()
            if worker.pid not in self._crew.asleep or worker.pid in self._crew.awoken
        ]
