"""Waits for PostgreSQL that end by our clock: a server that stands still ends none of its own.

Its timeouts are the first to come, where it is well; a little later the connection is cut here, and the statement fails
as it does where the server is gone. Only documented names of psycopg are used.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import psycopg

#: For how long the thread stays with nothing to watch.
_REST_S = 1.0

_NAME = "history-watch"


@dataclass(eq=False, slots=True)
class _Wait:
    """One answer that is waited for: over which connection, until when (monotonic clock), and whether it was cut."""

    connection: psycopg.Connection[Any]
    until_s: float
    cut: bool = False


class Watch:
    """Cuts connections whose server has not answered in time: one thread for all, there only while it is needed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waits: set[_Wait] = set()
        self._thread: threading.Thread | None = None
        self._wakes_s = math.inf
        self._closed = False

    def close(self) -> None:
        """Let the thread end as soon as nothing is waited for; who waits after all has one again."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @contextmanager
    def over(self, connection: psycopg.Connection[Any], longest_s: float) -> Iterator[None]:
        """Bound what is waited for in the block.

        Args:
            connection: Over which.
            longest_s: For how long.

        Raises:
            OperationalError: It took longer, and the connection is lost with it.
        """
        wait = _Wait(connection, time.monotonic() + longest_s)
        with self._changed:
            self._waits.add(wait)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=_NAME, daemon=True)
                self._thread.start()
            elif wait.until_s < self._wakes_s:
                self._changed.notify()
        try:
            yield
        except psycopg.Error as error:
            if wait.cut:
                raise psycopg.OperationalError(f"it has not answered for {longest_s:g} s") from error
            raise
        finally:
            with self._changed:
                self._waits.discard(wait)

    def _run(self) -> None:
        rested = False
        with self._changed:
            while True:
                now_s = time.monotonic()
                for wait in self._waits:
                    if wait.until_s <= now_s and not wait.cut:
                        wait.cut = True
                        _cut(wait.connection)
                left = [wait.until_s for wait in self._waits if not wait.cut]
                if not left and (rested or self._closed):
                    self._thread = None
                    return
                rested = not left
                self._wakes_s = min(left, default=now_s + _REST_S)
                self._changed.wait(self._wakes_s - now_s)


def _cut(connection: psycopg.Connection[Any]) -> None:
    """End both directions: who waits for it sees its end at once, and closes it himself."""
    with (
        suppress(OSError, psycopg.Error),
        socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as its,
    ):
        its.shutdown(socket.SHUT_RDWR)


class WatchedCursor(psycopg.Cursor[Any]):
    """A cursor of a watched connection."""

    def execute(self, *arguments: Any, **options: Any) -> Any:
        """See :class:`psycopg.Cursor`; bounded."""
        with cast("WatchedConnection", self.connection).watched():
            return super().execute(*arguments, **options)

    def executemany(self, *arguments: Any, **options: Any) -> None:
        """See :class:`psycopg.Cursor`; bounded as a whole."""
        with cast("WatchedConnection", self.connection).watched():
            super().executemany(*arguments, **options)


class WatchedConnection(psycopg.Connection[Any]):
    """A connection on which no statement, commit or rollback waits longer than it may.

    Attributes:
        watch: Who cuts it.
        longest_s: For how long an answer is waited for.
    """

    watch: Watch
    longest_s: float

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Bound what is waited for in the block."""
        with self.watch.over(self, self.longest_s):
            yield

    def commit(self) -> None:
        """See :class:`psycopg.Connection`; bounded."""
        with self.watched():
            super().commit()

    def rollback(self) -> None:
        """See :class:`psycopg.Connection`; bounded."""
        with self.watched():
            super().rollback()


def connected(watch: Watch, longest_s: float, *arguments: Any, **options: Any) -> WatchedConnection:
    """Connect.

    Args:
        watch: Who bounds its waits.
        longest_s: For how long an answer is waited for.
        *arguments: Those of :meth:`psycopg.Connection.connect`.
        **options: The same.
    """
    connection = WatchedConnection.connect(*arguments, **options, cursor_factory=WatchedCursor)
    connection.watch, connection.longest_s = watch, longest_s
    return connection
