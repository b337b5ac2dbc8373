"""The threads that wait for the ledger: one for each kept-alive connection of the process, shared by all its tasks."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Posters:
    """A fixed number of threads that run jobs in the order they come, urgent ones first.

    Plain queues rather than an executor: at thousands of jobs a second its futures and locks cost more than the
    jobs' own share of the journal. A job must not raise; it answers through a queue of its own.
    """

    def __init__(self, threads: int) -> None:
        #: One token for each job; whoever takes a token finds a job in one of the lines.
        self._tokens: SimpleQueue[None] = SimpleQueue()
        self._urgent: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        for number in range(threads):
            threading.Thread(target=self._work, name=f"poster-{number}", daemon=True).start()

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
        self._tokens.put(None)

    def _work(self) -> None:
        while True:
            self._tokens.get()
            self._next()()

    def _next(self) -> Job:
        try:
            return self._urgent.popleft()
        except IndexError:
            return self._jobs.popleft()


_pools: dict[int, Posters] = {}
_lock = threading.Lock()


def posters(threads: int) -> Posters:
    """The posters of this process; a forked child has none of its parent's threads and makes its own."""
    pid = os.getpid()
    with _lock:
        if pid not in _pools:
            _pools.clear()
            _pools[pid] = Posters(threads)
        return _pools[pid]
