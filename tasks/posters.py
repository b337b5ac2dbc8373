"""The threads that wait for one ledger: one for each kept-alive connection to it, shared by all loops of a target."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, Queue
from typing import Protocol

from blnk_relay.log import NO_THREAD, tell

Job = Callable[[], None]


class Around(Protocol):
    """Counts what is under way."""

    def begin(self) -> None:
        """A job begins."""

    def end(self) -> None:
        """A job is over."""


_log = logging.getLogger(__name__)

#: How long a thread waits for a job before it ends: a ledger with little to do keeps few.
_IDLE_S = 10.0


class Posters:
    """Threads that run jobs in the order they come, urgent ones first; as many as there is work for, up to a bound.

    Plain queues rather than an executor: at thousands of jobs a second its futures and locks cost more than the
    jobs' own share of the journal. A job must not raise; it answers through a queue of its own.

    Args:
        most: Threads at most.
        name: For their names.
        rest: Called by the last one that ends, when there was nothing to do for a while.
        idle_s: How long a thread waits for a job before it ends.
        around: Told of the begin and the end of each job; nobody when None.
    """

    def __init__(
        self,
        most: int,
        name: str = "",
        rest: Callable[[], None] = lambda: None,
        *,
        idle_s: float = _IDLE_S,
        around: Around | None = None,
    ) -> None:
        self._most = most
        self._name = name
        self._rest = rest
        self._idle_s = idle_s
        self._around = around
        #: One token for each job; whoever takes a token finds a job in one of the lines.
        self._tokens: Queue[None] = Queue()
        self._urgent: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self._lock = threading.Lock()
        self._threads = 0
        #: Jobs that wait or run.
        self._load = 0

    def put(self, job: Job, *, urgent: bool = False, first: bool = False) -> None:
        """Run a job as soon as a thread is free.

        Args:
            job: What to run.
            urgent: Before all that are not.
            first: Before those that are as urgent and came before.
        """
        line = self._urgent if urgent else self._jobs
        if first:
            line.appendleft(job)
        else:
            line.append(job)
        with self._lock:
            self._load += 1
            more = self._threads < self._most and self._load > self._threads
            if more:
                self._threads += 1
        self._tokens.put(None)
        if more:
            self._begin()

    @property
    def threads(self) -> int:
        """How many there are."""
        return self._threads

    def _begin(self) -> None:
        try:
            threading.Thread(target=self._work, name=f"poster {self._name}", daemon=True).start()
        except RuntimeError as error:
            # The system gives no more threads for now; the next job asks for one again.
            with self._lock:
                self._threads -= 1
                alone = self._threads == 0
            tell(_log, NO_THREAD, target=self._name or "a target", failed=error)
            if alone:
                self._one(0.0)

    def _work(self) -> None:
        while self._one(self._idle_s) or not self._may_end():
            pass
        if not self._threads:
            self._rest()

    def _one(self, wait_s: float) -> bool:
        """Run the next job. Returns False where none came for so long."""
        try:
            self._tokens.get(timeout=wait_s)
        except Empty:
            return False
        job = self._next()
        if self._around is not None:
            self._around.begin()
        job()
        if self._around is not None:
            self._around.end()
        with self._lock:
            self._load -= 1
        return True

    def _may_end(self) -> bool:
        with self._lock:
            spare = self._load < self._threads
            if spare:
                self._threads -= 1
            return spare

    def _next(self) -> Job:
        try:
            return self._urgent.popleft()
        except IndexError:
            return self._jobs.popleft()
