"""Trouble that lasts is told when it begins, once a minute while it lasts, and not a thousand times."""

from __future__ import annotations

import logging
import time

from blnk_relay.log import Event, tell

#: Between two lines of the same trouble.
EVERY_S = 60.0

#: Different troubles that are remembered at a time.
_MOST = 50


class Complaints:
    """Logs trouble at a bearable pace.

    Args:
        log: Where to.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}

    def say(self, event: Event, *, failed: Exception | None = None, **fields: str) -> None:
        """Log it, unless the same was logged a short while ago.

        Args:
            event: The trouble.
            failed: The exception, where the places in the code that it came through are worth telling.
            **fields: The same each time.
        """
        now_s = time.monotonic()
        what = (event.name, type(failed).__name__, *fields.values())
        told_s, unsaid = self._told.get(what, (float("-inf"), 0))
        if now_s - told_s < EVERY_S:
            self._told[what] = (told_s, unsaid + 1)
            return
        tell(self._log, event, {**fields, "unsaid": unsaid or None}, failed=failed)
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[what] = (now_s, 0)
