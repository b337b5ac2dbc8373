"""Trouble that lasts is told when it begins, once a minute while it lasts, and not a thousand times."""

from __future__ import annotations

import logging
import time

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
        self._told: dict[str, tuple[float, int]] = {}

    def say(self, what: str, *, level: int = logging.WARNING, exc_info: bool = False) -> None:
        """Log it, unless the same was logged a short while ago.

        Args:
            what: The trouble, in the same words each time.
            level: How bad it is.
            exc_info: Whether the exception that is being handled is worth its traceback.
        """
        now_s = time.monotonic()
        told_s, unsaid = self._told.get(what, (float("-inf"), 0))
        if now_s - told_s < EVERY_S:
            self._told[what] = (told_s, unsaid + 1)
            return
        more = f"; {unsaid} times more since it was last said" if unsaid else ""
        self._log.log(level, "%s%s", what, more, exc_info=exc_info)
        if len(self._told) >= _MOST:
            self._told.clear()
        self._told[what] = (now_s, 0)
