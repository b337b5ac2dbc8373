"""Two clocks: the steady one of this process, and that of the journal, which is the server's and may step."""

from __future__ import annotations

import threading
import time

#: Steps up to this many milliseconds go unnoticed; trips and slewing make as much of a difference.
MARGIN_MS = 500.0

#: How fast the two may drift apart without a step: the journal slews 20 ms a sweep, and quartz does the rest.
_DRIFT = 0.03

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds of a clock that also runs while the machine sleeps, so that a lease cannot outlive its time."""
    return time.clock_gettime(_STEADY)


class Watch:
    """Notices when the journal's clock steps, by comparing it with the steady clock of this process.

    Each trip to the journal bounds the difference of the two clocks: the journal read its clock after the trip began
    and before it ended. A trip, however slow, never looks like a step; only a difference that no trip explains is one.

    Example:
        >>> watch = Watch()
        >>> watch.observe(10.0, 1_000_000, 10.1, steps=0), watch.observe(11.0, 1_001_000, 11.1, steps=0)
        (0, 0)
        >>> watch.observe(12.0, 1_062_000, 12.1, steps=0)
        60000
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds_ms: tuple[float, float] | None = None
        self._at_s = 0.0
        self._steps = 0
        self._before_step: tuple[tuple[float, float], float, int] | None = None

    def observe(self, before_s: float, now_ms: int, after_s: float, *, steps: int) -> int:
        """Take note of one trip.

        Args:
            before_s: Steady time before it.
            now_ms: The journal's time, as it answered.
            after_s: Steady time after it.
            steps: How often the journal's clock was set right so far, as it answered. Where somebody has set it since
                our last trip, a difference is their doing and no step.

        Returns:
            The step in milliseconds, negative for one back; 0 for none.
        """
        low, high = now_ms - after_s * 1000, now_ms - before_s * 1000
        with self._lock:
            known, set_by_others = self._bounds_ms, steps != self._steps
            before_at_s, before_steps = self._at_s, self._steps
            drift = max(0.0, after_s - self._at_s) * 1000 * _DRIFT
            self._at_s, self._steps = after_s, steps
            if known is not None:
                apart = low - known[1] if low > known[1] else min(0.0, high - known[0])
                if abs(apart) > MARGIN_MS + drift:
                    self._bounds_ms, self._before_step = None, (known, before_at_s, before_steps)
                    return 0 if set_by_others else round((low + high - known[0] - known[1]) / 2)
                low, high = max(low, known[0] - drift), min(high, known[1] + drift)
            self._bounds_ms = (low, high) if low <= high else (high, low)
            return 0

    def see_again(self) -> None:
        """Notice the last step once more at the next trip: it could not be told to the journal."""
        with self._lock:
            if self._before_step is not None:
                self._bounds_ms, self._at_s, self._steps = self._before_step
