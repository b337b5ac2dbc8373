"""The sandbox's time: a real clock, or one that tests step; callbacks run in the order they fall due.

Everything that happens later in the books goes through here, so that a test can wait two hours in a
microsecond. The clock knows nothing of what it calls.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

#: Where a manual clock starts: 2026-01-01T00:00:00Z, in nanoseconds.
MANUAL_START_NS = 1_767_225_600 * 10**9

#: Nanoseconds in a second.
SECOND_NS = 10**9

#: How an unset time is written (contract §2.0).
ZERO_TIME = "0001-01-01T00:00:00Z"

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)")


class Scheduled:
    """A callback that waits for its time."""

    __slots__ = ("callback", "due_ns")

    def __init__(self, due_ns: int, callback: Callable[[], object]) -> None:
        self.due_ns = due_ns
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Forget the callback; harmless when it has run already."""
        self.callback = None


class Clock:
    """Time and what waits for it.

    With ``manual`` time stands still until :meth:`step`. Otherwise it runs, somebody must call
    :meth:`run_due` when :meth:`seconds_to_next` says so, and :meth:`step` jumps ahead.

    Args:
        manual: Whether time moves only by stepping.
    """

    def __init__(self, *, manual: bool) -> None:
        self.manual = manual
        #: Called when a callback was scheduled that falls due before all others.
        self.on_earlier: Callable[[], None] | None = None
        self._heap: list[tuple[int, int, Scheduled]] = []
        self._scheduled = 0
        self._pinned_ns: int | None = None
        self._base_ns = MANUAL_START_NS if manual else time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """The time, in nanoseconds since 1970; inside a callback, the moment it fell due."""
        if self._pinned_ns is not None:
            return self._pinned_ns
        return self._running_ns()

    def call_in(self, seconds: float, callback: Callable[[], object]) -> Scheduled:
        """Run a callback after so many seconds of this clock."""
        return self.call_at(self.now_ns() + round(seconds * SECOND_NS), callback)

    def call_at(self, due_ns: int, callback: Callable[[], object]) -> Scheduled:
        """Run a callback at a time; one in the past runs at the next opportunity."""
        scheduled = Scheduled(due_ns, callback)
        self._scheduled += 1
        heapq.heappush(self._heap, (due_ns, self._scheduled, scheduled))
        if self.on_earlier is not None and self._pinned_ns is None and self._heap[0][2] is scheduled:
            self.on_earlier()
        return scheduled

    def step(self, seconds: float) -> int:
        """Move time ahead and run what falls due on the way, each callback at its own moment.

        Args:
            seconds: How far; 0 runs what is due now.

        Returns:
            How many callbacks ran.

        Raises:
            ValueError: Time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("a clock cannot be stepped backwards")
        target_ns = self._running_ns() + round(seconds * SECOND_NS)
        ran = self._run_until(target_ns)
        self._base_ns += target_ns - self._running_ns() if self.manual else round(seconds * SECOND_NS)
        return ran

    def run_due(self) -> int:
        """Run what is due by now; returns how many callbacks ran."""
        return self._run_until(self._running_ns())

    def seconds_to_next(self) -> float | None:
        """How long until something falls due; None when nothing waits or time stands still."""
        if self.manual or not self._heap:
            return None
        return max(0.0, (self._heap[0][0] - self._running_ns()) / SECOND_NS)

    def _running_ns(self) -> int:
        return self._base_ns if self.manual else self._base_ns + time.monotonic_ns()

    def _run_until(self, target_ns: int) -> int:
        ran = 0
        heap = self._heap
        try:
            while heap and heap[0][0] <= target_ns:
                due_ns, _, scheduled = heapq.heappop(heap)
                callback, scheduled.callback = scheduled.callback, None
                if callback is None:
                    continue
                # Time never runs backwards for a callback that was scheduled in the past.
                self._pinned_ns = max(due_ns, self._pinned_ns or due_ns)
                callback()
                ran += 1
        finally:
            self._pinned_ns = None
        return ran


@lru_cache(maxsize=1024)
def _whole_seconds(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


def rfc3339(moment_ns: int | None) -> str:
    """A time as Core writes it: UTC, nanoseconds without trailing zeros; None is the zero time.

    >>> rfc3339(MANUAL_START_NS + 500_000_000)
    '2026-01-01T00:00:00.5Z'
    """
    if moment_ns is None:
        return ZERO_TIME
    seconds, fraction = divmod(moment_ns, SECOND_NS)
    if not fraction:
        return _whole_seconds(seconds) + "Z"
    return f"{_whole_seconds(seconds)}.{fraction:09d}".rstrip("0") + "Z"


def bad_time(text: str) -> str:
    """What Core's decoder says of a text that is no time; where in it, only of the two most common ones.

    >>> bad_time("1990-01-01")
    'parsing time "1990-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'
    """
    rest, wanted = ("", "T") if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else (text, "2006")
    return f'parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse "{rest}" as "{wanted}"'


def parse_rfc3339(text: str) -> int:
    """The nanoseconds since 1970 that a time with an offset names.

    Args:
        text: For example ``2026-11-20T09:15:31.7+01:00``.

    Raises:
        ValueError: It is not an RFC 3339 date-time with an offset.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 date-time")
    *date, fraction, zone = match.groups()
    offset = "+00:00" if zone == "Z" else zone
    moment = datetime.fromisoformat("{}-{}-{}T{}:{}:{}{}".format(*date, offset))
    seconds = int(moment.timestamp())
    return seconds * SECOND_NS + int((fraction or "0")[:9].ljust(9, "0"))
