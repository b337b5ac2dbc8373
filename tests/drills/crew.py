"""The workers of a round, and the supervisor that starts again what ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Self

from tests.support.stages import resume_process
from worker.demo.stage import STOP_S, Stage, _clean_environment, as_environment
from worker.watch import FAILED

#: Until what a worker is at has been written down.
_DUMP_S = 1.0

#: Keys of the payments whose kind raises: before they are sent, and once they have been.
RAISING, RAISING_LATE = "raising", "raising-late"

#: A worker whose code fails for two payments, wherever they are tried.
_PROGRAM = f"""
import faulthandler, signal, sys
from dataclasses import replace
import tasks.deliver, tasks.lookups
from blnk_relay import Settings
from worker.process import run_worker
faulthandler.register(signal.SIGUSR2)
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
sys.exit(run_worker(Settings.from_env(), pool=sys.argv[1]))
"""


class Crew:
    """Keeps so many workers running.

    Attributes:
        killed: Process ids of those that were killed.
        asleep: Process ids of those that were frozen, with for how long.
        awoken: Those of them that were woken.
        ended: Exit codes of those that ended by themselves.

    Args:
        stage: Where they play.
        pool: Celery pool.
        size: How many.
    """

    def __init__(self, stage: Stage, pool: str, size: int) -> None:
        self._stage, self._pool, self._size = stage, pool, size
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor")
        self.killed: set[int] = set()
        self.asleep: dict[int, float] = {}
        self.awoken: set[int] = set()
        self.ended: Counter[int] = Counter()

    def __enter__(self) -> Self:
        self._fill_up()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        for worker in self.present():
            resume_process(worker)
        self._stage.stop_workers()

    def present(self) -> list[subprocess.Popen[bytes]]:
        """Those that are there."""
        with self._lock:
            return list(self._stage.workers)

    def kill(self, worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL; another one follows."""
        with self._lock:
            if worker in self._stage.workers and worker.poll() is None:
                self.killed.add(worker.pid)
                self._stage.kill_worker(worker)

    def dismiss(self, worker: subprocess.Popen[bytes]) -> int | None:
        """Tell one to stop, and have nobody follow; its exit code, None when it did not stop in time."""
        with self._lock:
            self._size -= 1
            self._stage.workers.remove(worker)
        worker.terminate()
        try:
            return worker.wait(STOP_S)
        except subprocess.TimeoutExpired:
            # What it is at stands in the log then.
            os.killpg(worker.pid, signal.SIGUSR2)
            time.sleep(_DUMP_S)
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(STOP_S)
            return None

    @property
    def unforeseen(self) -> list[int]:
        """Exit codes of those that ended without having been told to, other than the one that says so."""
        return [code for code in self.ended.elements() if code != FAILED]

    def _watch(self) -> None:
        while not self._stop.wait(0.3):
            self._fill_up()

    def _fill_up(self) -> None:
        with self._lock:
            for worker in list(self._stage.workers):
                if (code := worker.poll()) is not None:
                    self.ended[code] += 1
                    self._stage.workers.remove(worker)
            while len(self._stage.workers) < self._size:
                self._start()

    def _start(self) -> None:
        with self._stage.log.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, self._pool],
                env={**_clean_environment(), **as_environment(self._stage.settings)},
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._stage.workers.append(worker)
