"""How much is read in one go: as many requests as fit into a time, at the pace that the target has shown."""

from __future__ import annotations

from math import ceil

#: What one read is taken to need before any was measured.
_FIRST_S = 0.05

#: Weight of the latest measurement.
_WEIGHT = 0.3

#: Below this no read is believed to be; keeps the division small.
_LEAST_S = 0.0001


class Pace:
    """Seconds that one read takes, measured."""

    def __init__(self) -> None:
        self._read_s: float | None = None

    def note(self, requests: float, elapsed_s: float) -> None:
        """Take in what some reads took.

        Args:
            requests: How many there were; parts of one count as one.
            elapsed_s: How long they took together.
        """
        each_s = max(elapsed_s / max(ceil(requests), 1), _LEAST_S)
        known_s = each_s if self._read_s is None else self._read_s
        self._read_s = known_s + (each_s - known_s) * _WEIGHT

    def requests_in(self, seconds: float) -> int:
        """How many reads fit into so many seconds; at least one."""
        return max(1, int(seconds / (_FIRST_S if self._read_s is None else self._read_s)))
