"""What a process has seen of the ground that the journal stands on: its epoch, its high-water, and its clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from blnk_relay.journal.clock import Watch, steady_s
from blnk_relay.journal.flows import Flow, Run

_log = logging.getLogger(__name__)


class Ground:
    """Compares what trips say of the ground. Threads share it.

    Attributes:
        seen: What was last seen: "<epoch>.<name>.<mark>"; each trip of a worker shows it.
    """

    def __init__(self) -> None:
        self.seen = ""
        self._watch = Watch()
        self._lock = threading.Lock()

    def flow(self, before_s: float, now_ms: int, ground: Sequence[Any]) -> Flow[tuple[int, int]]:
        """Take note of what a trip said of the journal's ground, and set its clock right where it has stepped.

        Args:
            before_s: Steady time before the trip.
            now_ms: The journal's time as it answered.
            ground: What to show next time, since when the ground can be trusted, steps of the clock.

        Returns:
            The journal's time, without a step; and since when clock and tail can be trusted.
        """
        seen, solid_ms, steps = str(ground[0]), int(ground[1]), int(ground[2])
        with self._lock:
            # Answers of several threads come in any order.
            if _place(seen) > _place(self.seen):
                self.seen = seen
        step_ms = self._watch.observe(before_s, now_ms, steady_s(), steps=steps)
        if step_ms:
            _log.warning("the clock of Redis stepped by %+.1f s; the journal's time goes on without it", step_ms / 1000)
            now_ms, _, solid_ms = yield Run("step", (steps, step_ms))
        return now_ms, solid_ms


def _place(seen: str) -> tuple[int, int]:
    """Epoch and mark of what was seen, to be compared; an epoch's number comes first in its name."""
    epoch, _, mark = seen.rpartition(".")
    return (int(epoch.partition("-")[0]), int(mark)) if epoch else (0, 0)
