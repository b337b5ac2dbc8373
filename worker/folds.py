"""Equal reports folded into one a minute, so that a storm of them costs little and is still counted.

Pure: the clock is the caller's, and so is the sending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: After a report was sent, equal ones are counted for so long and sent as one.
WINDOW_S = 60.0

#: Most different reports that are told apart within a window. Codes come from ledgers, so their number is not ours.
MOST = 500


@dataclass(frozen=True, slots=True)
class Report:
    """Something to tell a human.

    Attributes:
        fingerprint: What makes two reports equal.
        message: In words.
        tags: Short values to search by.
        extra: Values to read.
        level: ``error``, or ``info`` where something is well again.
    """

    fingerprint: tuple[str, ...]
    message: str
    tags: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, str] = field(default_factory=dict)
    level: str = "error"


@dataclass(frozen=True, slots=True)
class Folded:
    """What is sent: the latest of so many equal reports."""

    report: Report
    count: int


@dataclass(slots=True)
class _Window:
    end_s: float
    last: Report
    count: int = 0


#: Stands for all reports beyond the most that are told apart.
_OTHERS = ("too many different reports",)


class Folding:
    """Decides which reports go out now, and counts the rest. Not thread-safe.

    Args:
        window_s: See WINDOW_S.
        most: See MOST.
    """

    def __init__(self, window_s: float = WINDOW_S, most: int = MOST) -> None:
        self._window_s = window_s
        self._most = most
        # In the order of their ends, because all windows are of one length.
        self._windows: dict[tuple[str, ...], _Window] = {}

    def add(self, report: Report, now_s: float, count: int = 1) -> Folded | None:
        """Take a report in.

        Returns:
            What to send at once: the first of its kind. None for one that was counted.
        """
        if report.fingerprint not in self._windows and len(self._windows) >= self._most:
            report = Report(_OTHERS, _OTHERS[0], {"code": "OTHERS"}, report.extra)
        window = self._windows.get(report.fingerprint)
        if window is None:
            self._windows[report.fingerprint] = _Window(now_s + self._window_s, report)
            return Folded(report, count)
        window.last = report
        window.count += count
        return None

    def due(self, now_s: float) -> list[Folded]:
        """What was counted in windows that are over; a window in which nothing came is forgotten."""
        over = []
        while self._windows and (first := next(iter(self._windows.items())))[1].end_s <= now_s:
            fingerprint, window = first
            del self._windows[fingerprint]
            if window.count:
                over.append(Folded(window.last, window.count))
                self._windows[fingerprint] = _Window(now_s + self._window_s, window.last)
        return over

    def next_s(self) -> float | None:
        """When :meth:`due` has to be asked again; None while nothing is counted."""
        return next((window.end_s for window in self._windows.values()), None)

    def rest(self) -> list[Folded]:
        """All that is counted and not sent, at the end; nothing is counted afterwards."""
        left = [Folded(window.last, window.count) for window in self._windows.values() if window.count]
        self._windows.clear()
        return left
