"""Workers by the dozen: one process has imported all that a worker needs, and each worker is a fork of it.

A worker that starts from nothing takes a second of a processor's time; a thousand kills need a thousand workers.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

#: Reads one line for each worker to start; writes ``+<pid>`` once it stands in a group of its own, and
#: ``-<pid> <exit code>`` when it has ended. Where nobody is left to read, all of them are killed.
_PROGRAM = """
{prelude}

import faulthandler, os, signal, sys
import celery.concurrency.thread, celery.fixups.django, celery.worker.strategy, kombu.transport.redis
import tasks.celery_tasks, tasks.runtime
from blnk_relay import Settings
from worker.process import run_worker

ours = set()

def reap(*_):
    while ours:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        ours.discard(pid)
        tell(f"-{{pid}} {{os.waitstatus_to_exitcode(status)}}")

def tell(text):
    try:
        os.write(1, text.encode() + b"\\n")
    except OSError:
        pass

def work(pool):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    tell(f"+{{os.getpid()}}")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    faulthandler.register(signal.SIGUSR2)
    # What the processes of one worker share, those of two must not.
    tasks.runtime._stopping = tasks.runtime.Stopping()
    return run_worker(Settings.from_env(), pool=pool)

def serve():
    signal.signal(signal.SIGCHLD, reap)
    # Byte by byte: what were read ahead here, each fork would have.
    while one := os.read(0, 1):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid:
            ours.add(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        if not pid:
            return False
    return True

if serve():
    for pid in list(ours):
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
else:
    sys.exit(work(sys.argv[1]))
"""

#: Longest wait for a fork, on a machine that does much else.
_START_S = 60.0


class Worker:
    """One of them, seen from outside.

    Attributes:
        pid: Its process id, and that of its group.
        returncode: How it ended; None while it runs.
        born_s: Since when there is one, by the steady clock.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.born_s = time.monotonic()
        self._ended = threading.Event()

    def ended(self, code: int) -> None:
        """It has ended so."""
        self.returncode = code
        self._ended.set()

    def wait(self, seconds: float) -> bool:
        """Whether it ends in time."""
        return self._ended.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """A signal for it and its children, unless it has ended."""
        if self.returncode is None:
            # It may have ended, and nobody has said so yet.
            with suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class Nursery:
    """Where they come from.

    Args:
        pool: Celery pool of the workers.
        environment: All of it.
        log: Where they write.
        prelude: Lines of Python that run before anything is imported.
    """

    def __init__(self, pool: str, environment: Mapping[str, str], log: Path, prelude: str = "") -> None:
        self._workers: dict[int, Worker] = {}
        self._changed = threading.Condition()
        self._started: list[Worker] = []
        self._asked = threading.Lock()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM.format(prelude=prelude), pool],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
                bufsize=0,
            )
        self._thread = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._thread.start()

    def start(self) -> Worker:
        """One more worker."""
        assert self._process.stdin is not None
        with self._asked:
            self._process.stdin.write(b".")
            with self._changed:
                self._changed.wait_for(lambda: self._started or not self._thread.is_alive(), _START_S)
                assert self._started, "no worker started: see the log of the workers"
                return self._started.pop()

    def close(self) -> None:
        """End all that are left."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(_START_S)
        self._thread.join(_START_S)
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, _, code = line[1:].decode().partition(" ")
            with self._changed:
                # One that is killed at once may be reported before it has said that it is there.
                worker = self._workers.setdefault(int(pid), Worker(int(pid)))
                if line.startswith(b"+"):
                    self._started.append(worker)
                else:
                    self._workers.pop(int(pid)).ended(int(code))
                self._changed.notify_all()
