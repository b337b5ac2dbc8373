"""One run's servers and processes: a fresh Valkey, a fresh ledger, everything in groups that are killed at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from tests.bench.contestants.contestant import ROOT, Contestant, Place, python
from worker.demo.valkey import start_valkey

#: Longest wait for a process that only has to start, or to die.
PROMPT_S = 20.0

#: Longest run of a producer.
PRODUCER_S = 90.0

_TAIL_BYTES = 2_000

#: Fields of /proc/<pid>/stat behind the command's name.
_GROUP, _USER, _SYSTEM = 2, 11, 12


class BenchError(Exception):
    """A run could not be made; the message says why."""


class Producer:
    """A producer that waits for orders, so that two can take turns in the same weather on the machine."""

    def __init__(self, process: subprocess.Popen[str], stage: Stage, label: str) -> None:
        self._process = process
        self._stage = stage
        self._label = label
        assert process.stdin is not None
        assert process.stdout is not None
        self._orders, self._answers = process.stdin, process.stdout

    def enqueue(self, first: int, count: int, how: str = "one") -> float:
        """Enqueue the payments ``first`` … ``first + count``, one by one or all in one call.

        Returns:
            Seconds it took.

        Raises:
            BenchError: It failed, or took too long.
        """
        try:
            self._orders.write(f"{first} {count} {how}\n")
            self._orders.flush()
            ready, _, _ = select.select([self._answers], [], [], PRODUCER_S)
            return float(self._answers.readline() if ready else "")
        except (OSError, ValueError):
            raise BenchError(f"the producer of {self._label} failed:\n{self._stage.log_tail()}") from None

    def close(self) -> None:
        """Let it give its connections back and end."""
        self._orders.close()
        self._process.wait(PROMPT_S)


class Stage:
    """Servers of one run, and what was started on it.

    Args:
        latency_ms: What the ledger takes for an answer.
    """

    def __init__(self, latency_ms: float = 0.0) -> None:
        self._latency_ms = latency_ms
        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-bench-")
        self._log = Path(self._folder.name) / "processes.log"
        self._running: list[subprocess.Popen[str]] = []
        self._workers: set[int] = set()

    def __enter__(self) -> Self:
        self._valkey = start_valkey()
        try:
            ledger = self._start(
                python("-m", "tests.bench.server", "--latency-ms", str(self._latency_ms)), os.environ, subprocess.PIPE
            )
            port = _port_of(ledger)
            self._ledger = http.client.HTTPConnection("127.0.0.1", port, timeout=PROMPT_S)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.place = Place(f"redis://127.0.0.1:{self._valkey.port}/0", f"http://127.0.0.1:{port}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for process in self._running:
                # Nothing is left to settle when a run is over, so nobody is asked to stop.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(PROMPT_S)
        finally:
            self._valkey.stop()
            self._folder.cleanup()

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], stdout: int, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdin=stdin,
                stdout=log if stdout == subprocess.DEVNULL else stdout,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def producer(self, contestant: Contestant) -> Producer:
        """A producer of a contestant; it ends with the stage."""
        command = python("-m", "tests.bench.producing", contestant.producer)
        environment = contestant.environment(self.place)
        return Producer(self._start(command, environment, subprocess.PIPE, subprocess.PIPE), self, contestant.label)

    def enqueue(self, contestant: Contestant, count: int, first: int = 0) -> None:
        """Let a contestant enqueue payments, as many at a time as it can.

        Raises:
            BenchError: It failed, or took too long.
        """
        producer = self.producer(contestant)
        producer.enqueue(first, count, "all" if contestant.takes_many else "one")
        producer.close()

    def start_workers(self, contestant: Contestant) -> None:
        """Start all of a contestant's workers."""
        for command in contestant.workers():
            worker = self._start(command, contestant.environment(self.place), subprocess.DEVNULL)
            self._workers.add(worker.pid)

    def worker_cpu_s(self) -> float:
        """Seconds of processor time that the workers and their children have used."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue  # it has just gone
            if int(fields[_GROUP]) in self._workers:
                ticks += int(fields[_USER]) + int(fields[_SYSTEM])
        return ticks / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str) -> Any:
        """What the ledger has counted: ``/counts`` or ``/times``."""
        self._ledger.request("GET", path)
        return json.loads(self._ledger.getresponse().read())

    def used_memory(self) -> int:
        """Bytes that the Valkey server uses."""
        with redis.Redis.from_url(self.place.broker_url, socket_timeout=PROMPT_S) as client:
            return int(client.info("memory")["used_memory"])

    def log_tail(self) -> str:
        """The last lines that any process wrote."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace")


def _port_of(ledger: subprocess.Popen[str]) -> int:
    """The port that the ledger prints once it listens; an empty line means that it has died."""
    line = ledger.stdout.readline() if ledger.stdout else ""
    if not line:
        raise BenchError("the ledger of the benchmark did not start")
    return int(line)
