"""One run's servers and processes: a fresh Valkey, a fresh ledger, everything in groups that are killed at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
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

    def _start(self, command: Sequence[str], environment: Mapping[str, str], stdout: int) -> subprocess.Popen[str]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdout=log if stdout == subprocess.DEVNULL else stdout,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def enqueue(self, contestant: Contestant, count: int, how: str = "one", first: int = 0) -> float:
        """Let a contestant's producer enqueue payments.

        Returns:
            Payments enqueued in a second, warm-up not counted.

        Raises:
            BenchError: It failed, or took too long.
        """
        command = python("-m", "tests.bench.producing", contestant.producer, str(first), str(count), how)
        producer = self._start(command, contestant.environment(self.place), subprocess.PIPE)
        try:
            said, _ = producer.communicate(timeout=PRODUCER_S)
            result = json.loads(said)
        except (subprocess.TimeoutExpired, ValueError):
            raise BenchError(f"the producer of {contestant.label} failed:\n{self.log_tail()}") from None
        return float(result["per_second"])

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
