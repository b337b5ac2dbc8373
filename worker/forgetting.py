"""Deletes from history what is older than its retention, a batch at a time; what is deleted there is gone for good.

So no single clock is believed: time is that of the journal, and no later than the last page that was copied of it; and
where it and the clock of this machine are apart one of them is wrong, and all stays.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from blnk_relay.errors import HistoryUnavailable, JournalUnavailable
from blnk_relay.log import HISTORY_BEHIND
from worker.complaints import Complaints

if TYPE_CHECKING:
    from blnk_relay.history.database import Database
    from blnk_relay.relay import Relay

#: How often it is looked for what is too old, and how many intents and actions go in one transaction then.
_EVERY_S, _MOST = 600.0, 1_000

#: How far the clock of a journal and that of this machine may be from each other.
_APART_MS = 60_000

_log = logging.getLogger(__name__)


def forgotten_before(retention_s: float, *, journal_ms: int, copied_ms: int, here_ms: int) -> int | None:
    """Before which time all is too old; None where nobody can say.

    Args:
        retention_s: How long it is kept.
        journal_ms: The time of the journal.
        copied_ms: Its time when the last page of it was copied.
        here_ms: The time of this machine.

    Example:
        >>> forgotten_before(10.0, journal_ms=100_000, copied_ms=90_000, here_ms=100_500)
        80000
        >>> forgotten_before(10.0, journal_ms=100_000, copied_ms=90_000, here_ms=900_000) is None
        True
    """
    if abs(journal_ms - here_ms) > _APART_MS:
        return None
    return min(journal_ms, copied_ms) - int(retention_s * 1000)


class Forgetting:
    """Looks now and then for what is too old in the journals of a relay.

    Args:
        relay: Its journals and settings, which say how long history is kept.
        database: The database.
    """

    def __init__(self, relay: Relay, database: Database) -> None:
        self._relay = relay
        self._settings = relay.settings
        self._database = database
        self._complaints = Complaints(_log)
        self._due_s = time.monotonic() + self._settings.sweep_s

    def look(self) -> None:
        """Delete a batch, if one is due; no error ends the thread, for nobody would notice."""
        if not self._settings.history_retention_s or time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + _EVERY_S
        try:
            # As before each page that is copied: somebody may have upgraded its tables meanwhile.
            self._database.id()
            if self._database.forget(self._before(), _MOST):
                self._due_s = time.monotonic() + self._settings.sweep_s
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look is due in a while
            known = isinstance(error, HistoryUnavailable)
            why = str(error) if known else "an error of this version"
            self._complain(why, error=type(error).__name__, failed=None if known else error)

    def _before(self) -> dict[int, int]:
        """Before which time all is too old, by the numbers of journals."""
        found: dict[int, int] = {}
        known = self._database.journals()
        for target in self._settings.ledgers:
            copied = known.get(f"{self._settings.namespace}:{target}")
            if copied is None:
                continue
            try:
                journal_ms = self._relay.journal(target).now_ms()
            except JournalUnavailable:
                # Nobody says what time it is there.
                continue
            before_ms = forgotten_before(
                self._settings.history_retention_s,
                journal_ms=journal_ms,
                copied_ms=copied.copied_ms,
                here_ms=int(time.time() * 1000),
            )
            if before_ms is None:
                self._complain("the clock of its journal and that of this machine are apart", target=target)
            else:
                found[copied.number] = before_ms
        return found

    def _complain(self, why: str, *, error: str = "", target: str = "", failed: Exception | None = None) -> None:
        told = {"target": target} if target else {}
        why = f"it keeps what it should forget: {why}"
        self._complaints.say(HISTORY_BEHIND, why=why, error=error or "clocks apart", failed=failed, **told)
