"""Threads that do what requests ask for: the Operator waits for Redis, and the event loop must not."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from blnk_relay import RelayError

T = TypeVar("T")

#: Threads, requests that may wait for one, and the longest that a browser waits for its answer.
THREADS, MOST_WAITING, LONGEST_S = 16, 64, 20.0


def where_of(error: Exception) -> str:
    """What went wrong and where, without its message, which may quote what belongs to people."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"


class Busy(RelayError):
    """All threads are taken, and enough requests wait."""


class TooLong(RelayError):
    """It took longer than anybody should wait; whatever it did goes on."""


class Hands:
    """A bounded number of threads. What a browser no longer waits for keeps its thread until it ends."""

    def __init__(self, threads: int = THREADS, waiting: int = MOST_WAITING, longest_s: float = LONGEST_S) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="console")
        self._room = threads + waiting
        self._longest_s = longest_s
        self._taken = 0

    async def do(self, work: Callable[[], T]) -> T:
        """Do something in a thread.

        Raises:
            Busy: There is no room.
            TooLong: It has not ended in time.
        """
        if self._taken >= self._room:
            raise Busy("the console has more to do than it can; try again in a moment")
        self._taken += 1
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def gone() -> None:
            self._taken -= 1

        def whole() -> T:
            try:
                return context.run(work)
            finally:
                # A loop that is closed counts nothing any more.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(gone)

        doing = loop.run_in_executor(self._pool, whole)
        # Nobody may be left to ask what has become of it.
        doing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            return await asyncio.wait_for(asyncio.shield(doing), self._longest_s)
        except TimeoutError:
            if doing.done():
                raise
            raise TooLong(f"this took longer than {self._longest_s:g} s; what it began goes on") from None

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
