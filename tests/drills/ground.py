"""The ground that moves: Redis refuses, stalls and dies, reads are slow, answers drip, workers are struck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import redis

from blnk_relay import JournalUnavailable
from tests.drills.scene import Scene
from tests.support.dripping import Drip
from tests.support.stages import operator_of
from tests.support.valkey import LastingValkey

#: How long Redis refuses, is frozen, and is away.
_REFUSAL_S = (0.3, 4.0)
_FROZEN_S = (0.5, 6.0)
_AWAY_S = (0.0, 1.5)
_BUSY_S = (1.0, 2.5)

#: How long a frozen worker sleeps: sometimes less, sometimes more than it takes to be given up or to lose its leases.
_SLEEP_S = (0.3, 11.0)

#: How long a lane stays paused, and how long an operator tries.
_LANE_S = (0.2, 2.0)
_INSISTING_S = 20.0
_AGAIN_S = 0.1

#: How late reads are answered, the slowest just at the timeout.
_READS_S = (0.05, 3.0)

#: A ledger that drips does so for so many of its answers.
_DRIPPING = (0.05, 0.5)


class Ground:
    """Strikes one blow after another; what lasts is undone while others fall, and all of it at the end.

    Args:
        scene: Whom to strike.
        drip: The way to the ledger.
    """

    def __init__(self, scene: Scene, drip: Drip) -> None:
        self._scene, self._drip = scene, drip
        self._valkey: LastingValkey = scene.valkey
        self._crew, self._trouble, self._rng = scene.crew, scene.trouble, scene.rng
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._blows: dict[Callable[[], object], int] = {
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
            self.kill_all: 1,
            self.freeze_worker: 3,
            self.pause_lane: 2,
        }
        # Each blow falls once, in an order that the seed decides, before any falls again.
        self._first = list(self._blows)
        self._rng.shuffle(self._first)

    @property
    def names(self) -> list[str]:
        """Of all blows."""
        return [blow.__name__ for blow in self._blows]

    def strike(self) -> None:
        """The next blow."""
        self._undo_what_is_due()
        blow = self._first.pop() if self._first else self._rng.choices(list(self._blows), list(self._blows.values()))[0]
        blow()
        self._scene.struck(blow.__name__)

    def still(self) -> None:
        """Everything stands as at the start."""
        for _at, undo in self._later:
            self._insist_on(undo)
        self._later.clear()
        self._drip.share = 0.0

    def _undo_what_is_due(self) -> None:
        for entry in [entry for entry in self._later if entry[0] <= time.monotonic()]:
            self._later.remove(entry)
            try:
                entry[1]()
            except JournalUnavailable:
                # Redis is being struck at the moment.
                self._later.append((time.monotonic() + _AGAIN_S, entry[1]))

    def _for_a_while(self, seconds: tuple[float, float]) -> None:
        """Let time pass; workers are woken meanwhile."""
        end_s = time.monotonic() + self._rng.uniform(*seconds)
        while time.monotonic() < end_s:
            time.sleep(0.05)
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
        if awake := self._crew.awake():
            self._crew.kill(self._rng.choice(awake))

    def kill_all(self) -> None:
        """SIGKILL for all of them at once."""
        self._crew.kill(*self._crew.present())

    def freeze_worker(self) -> None:
        """SIGSTOP for one, SIGCONT later."""
        if awake := self._crew.awake():
            worker = self._rng.choice(awake)
            self._crew.freeze(worker)
            self._later.append((time.monotonic() + self._rng.uniform(*_SLEEP_S), lambda: self._crew.wake(worker)))

    def pause_lane(self) -> None:
        """An operator pauses a lane for a while."""
        lane = self._rng.choice(self._scene.stage.settings.lanes)
        operator = operator_of(self._scene.relay)

        self._insist_on(lambda: operator.pause_lane(lane, who="a drill"))
        self._later.append((time.monotonic() + self._rng.uniform(*_LANE_S), lambda: operator.resume_lane(lane)))

    @staticmethod
    def _insist_on(act: Callable[[], object]) -> None:
        end_s = time.monotonic() + _INSISTING_S
        while True:
            try:
                act()
            except JournalUnavailable:
                if time.monotonic() > end_s:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return
