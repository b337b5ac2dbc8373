"""What a process has seen of the ground that the journal stands on: its epoch, its high-water, and its clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from blnk_relay.journal.clock import Watch, steady_s
from blnk_relay.log import CLOCK_STEPPED, tell

_log = logging.getLogger(__name__)


class Ground:
    """Compares what trips say of the ground. Threads share it."""

    def __init__(self) -> None:
        self._seen = ""
        self._compared_ms = 0
        self._untold = False
        self._watch = Watch()
        self._lock = threading.Lock()

    @property
    def shown(self) -> str:
        """What each trip of a worker shows: "<epoch>.<name>.<mark>@<ms>"; empty before the first answer.

        What was last seen, and the journal's time up to which this process has found no step of its clock, or has told
        of all.
        """
        with self._lock:
            return f"{self._seen}@{self._compared_ms}" if self._compared_ms else self._seen

    def step_ms(self, before_s: float, now_ms: int, ground: Sequence[Any]) -> int:
        """Take note of what a trip said of the journal's ground, and of whether its clock has stepped.

        Args:
            before_s: Steady time before the trip.
            now_ms: The journal's time as it answered.
            ground: What to show next time, since when the ground can be trusted, steps of the clock.

        Returns:
            The step, to be taken off the journal's time; 0 for none.
        """
        seen, steps = str(ground[0]), int(ground[2])
        with self._lock:
            # Answers of several threads come in any order.
            if _place(seen) > _place(self._seen):
                self._seen = seen
            step_ms = self._watch.observe(before_s, now_ms, steady_s(), steps=steps)
            if step_ms:
                self._untold = True
            elif not self._untold:
                self._compared_ms = now_ms
        if step_ms:
            tell(_log, CLOCK_STEPPED, seconds=f"{step_ms / 1000:+.1f}")
        return step_ms

    def told(self, now_ms: int) -> None:
        """The step was taken off: the journal's time goes on from there."""
        with self._lock:
            self._untold, self._compared_ms = False, now_ms

    def see_step_again(self) -> None:
        """The step could not be taken off: notice it once more at the next trip."""
        with self._lock:
            self._watch.see_again()
            self._untold = False


def _place(seen: str) -> tuple[int, int]:
    """Epoch and mark of what was seen, to be compared; an epoch's number comes first in its name."""
    epoch, _, mark = seen.rpartition(".")
    return (int(epoch.partition("-")[0]), int(mark)) if epoch else (0, 0)
