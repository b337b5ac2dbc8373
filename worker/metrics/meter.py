"""Histograms of what the processes of a worker measure, in memory that they share; read by one of them.

A child of the prefork pool has buckets of its own, in the place of its number in the pool: it writes without asking
anybody, and a child that takes the number of a dead one goes on counting where that one has stopped. So there are no
files to clean up, nothing is lost with a child, and no counter ever goes back. A worker with one process has one place.
"""

from __future__ import annotations

import mmap
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from billiard.process import current_process

from blnk_relay.settings import Settings
from tasks.meter import STATUS_CLASSES, Span
from worker.metrics import names
from worker.metrics.names import Name

#: Upper bounds of buckets, in seconds: of the life of an intent, and of one request.
LIFE_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
REQUEST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: Stands for a lane that the settings do not name.
OTHER = "other"

SIDES = ("write", "read")

_SPANS = {
    Span.SENT: names.ACCEPT_TO_SENT,
    Span.SETTLED: names.SENT_TO_CONFIRMED,
    Span.WHOLE: names.ACCEPT_TO_CONFIRMED,
}

#: Bytes of a number.
_WIDE = 8


@dataclass(frozen=True, slots=True)
class Filled:
    """One series, as it is read.

    Attributes:
        buckets: Upper bound of each bucket, as text, and how many were not above it.
        total_s: The sum of all.
    """

    name: Name
    labels: tuple[str, ...]
    buckets: tuple[tuple[str, float], ...]
    total_s: float


class SharedMeter:
    """Counts into buckets. To be made before any process is forked that is to share it.

    Args:
        settings: Names targets and lanes: there is a series for each of theirs, and no other.
        processes: How many processes of a pool count besides the one that makes it.
    """

    def __init__(self, settings: Settings, processes: int = 0) -> None:
        lanes = (*settings.lanes, OTHER)
        places = [
            *(
                (name, LIFE_S, (target, lane))
                for name in _SPANS.values()
                for target in settings.ledgers
                for lane in lanes
            ),
            *(
                (names.REQUESTS, REQUEST_S, (target, side, status))
                for target in settings.ledgers
                for side in SIDES
                for status in STATUS_CLASSES
            ),
        ]
        # Of each: its buckets, one for what is above all bounds, and the sum. In front of all: whether a place is used.
        starts = list(accumulate((len(bounds) + 2 for _, bounds, _ in places), initial=1))
        self._width = starts[-1]
        self._series = list(zip(places, starts, strict=False))
        self._lives = {
            span: {place[2]: start for place, start in self._series if place[0] is name}
            for span, name in _SPANS.items()
        }
        self._requests = {place[2]: start for place, start in self._series if place[0] is names.REQUESTS}
        self._slots = processes + 1
        self._numbers = memoryview(mmap.mmap(-1, self._slots * self._width * _WIDE)).cast("d")
        self._maker = os.getpid()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A forked child writes to a place of its own, and waits for no lock that a thread of its parent's held."""
        self._lock = threading.Lock()
        self._base = -1

    def took(self, span: Span, target: str, lane: str, seconds: float) -> None:
        """See :class:`tasks.meter.Meter`."""
        starts = self._lives[span]
        start = starts.get((target, lane)) or starts.get((target, OTHER))
        if start is not None:
            self._count(start, LIFE_S, seconds)

    def answered(self, target: str, side: str, status: str, seconds: float) -> None:
        """See :class:`tasks.meter.Meter`."""
        start = self._requests.get((target, side, status))
        if start is not None:
            self._count(start, REQUEST_S, seconds)

    def _count(self, start: int, bounds: tuple[float, ...], seconds: float) -> None:
        with self._lock:
            if self._base < 0:
                self._base = self._slot() * self._width
                self._numbers[self._base] = 1.0
            first = self._base + start
            self._numbers[first + bisect_left(bounds, seconds)] += 1.0
            self._numbers[first + len(bounds) + 1] += seconds

    def _slot(self) -> int:
        if os.getpid() == self._maker:
            return 0
        # Of a process of a pool; more than were announced share places, and may now and then lose a count.
        index = getattr(current_process(), "index", 0)
        return 1 + index % (self._slots - 1) if self._slots > 1 else 0

    def filled(self) -> Iterator[Filled]:
        """All series, of all processes together, but those of requests and strange lanes with nothing in them.

        A series that begins with what it counts first has no rate of that: of whatever comes at once, nothing is seen.
        """
        bases = [slot * self._width for slot in range(self._slots) if self._numbers[slot * self._width]]
        for (name, bounds, labels), start in self._series:
            width = len(bounds) + 2
            rows = [self._numbers[base + start : base + start + width].tolist() for base in bases]
            *counts, total_s = [sum(column) for column in zip(*rows, strict=True)] or [0.0] * width
            begun = name is not names.REQUESTS and OTHER not in labels
            if any(counts) or begun:
                ends = (*(f"{bound:g}" for bound in bounds), "+Inf")
                yield Filled(name, labels, tuple(zip(ends, accumulate(counts), strict=True)), total_s)
