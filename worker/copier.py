"""Copies what is over into the database of history, in a thread of its own; off without BLNK_RELAY_HISTORY_URL.

Nothing waits for it: with the database away the journals keep what is over, and it catches up afterwards, resting as
long as it works so that neither Redis nor the database is driven hard.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from blnk_relay.errors import HistoryUnavailable, JournalUnavailable
from blnk_relay.history.opening import database_of
from blnk_relay.journal.copier import Copier
from blnk_relay.log import HISTORY_ASIDE, HISTORY_BEGINS, HISTORY_BEHIND, HISTORY_UNCOPIED, tell
from worker.complaints import Complaints
from worker.forgetting import Forgetting
from worker.threads import ThreadStep

if TYPE_CHECKING:
    from blnk_relay.relay import Relay

#: Shortest and longest wait between two looks at a journal: with something to do, and after a failure.
_LEAST_S, _MOST_S = 0.01, 30.0

_log = logging.getLogger(__name__)

#: Why all is copied once more.
_BEGINS = {
    "new": "it begins, and all that its journal keeps is copied",
    "database": "it goes to another database now, and all that its journal keeps is copied there",
    "page": "its database was set back: all that the journal keeps is copied once more; what the journal trimmed "
    "meanwhile is not there",
    "epoch": "the journal may have lost its last moments, and its letters are copied once more",
}


class Archivist(ThreadStep):
    """Copies the journals of a worker, one page of each by turns; without a database it says where one is missing."""

    thread_name = "archivist"

    def _run(self) -> None:
        if not self._settings.history_url:
            self._warn()
            return
        copy_until(self._stop, self._shared.relay)

    def _warn(self) -> None:
        """Say that this worker does not copy what has to be copied before it is trimmed."""
        for target in self._settings.ledgers:
            try:
                lag = self._shared.relay.journal(target).history_lag()
            except JournalUnavailable:
                continue
            if lag.on:
                tell(_log, HISTORY_UNCOPIED, target=target)


def copy_until(stop: threading.Event, relay: Relay) -> None:
    """Copy the journals of a relay, one page of each by turns, and forget what is too old.

    Args:
        stop: Ends it after the page that is being written.
        relay: Its journals and settings, which name the database.
    """
    settings = relay.settings
    database = database_of(settings)
    turns = [Turn(Copier(relay.journal(target), database), settings.sweep_s) for target in settings.ledgers]
    forgetting = Forgetting(relay, database)
    while not stop.wait(max(_LEAST_S, min(turn.due_s for turn in turns) - time.monotonic())):
        for turn in turns:
            if turn.due_s <= time.monotonic() and not stop.is_set():
                turn.take()
        forgetting.look()
    database.close()


class Turn:
    """Copies one journal, and says when to come again.

    Args:
        copier: Copies it.
        idle_s: Between two looks with nothing to do.

    Attributes:
        due_s: When the next look is due, by the monotonic clock.
    """

    def __init__(self, copier: Copier, idle_s: float) -> None:
        self._copier = copier
        self._idle_s = idle_s
        self._failed_s = 0.0
        self._complaints = Complaints(_log)
        self.due_s = time.monotonic()

    def take(self) -> None:
        """Copy a page; no error ends the thread, for nobody would notice."""
        began_s = time.monotonic()
        try:
            done = self._copier.round()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next look is due in a while
            self._fail(error)
            return
        self._failed_s = 0.0
        if done.begins:
            tell(_log, HISTORY_BEGINS, target=self._copier.target, why=_BEGINS[done.begins])
        for what, why in done.aside.items():
            tell(_log, HISTORY_ASIDE, target=self._copier.target, intent=what, why=why)
        took_s = time.monotonic() - began_s
        self.due_s = time.monotonic() + (max(_LEAST_S, took_s) if done.more else self._idle_s)

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, (HistoryUnavailable, JournalUnavailable))
        self._complaints.say(
            HISTORY_BEHIND,
            target=self._copier.target,
            why=str(error) if known else "an error of this version",
            error=type(error).__name__,
            failed=None if known else error,
        )
        self._failed_s = min(_MOST_S, max(self._idle_s, self._failed_s * 2))
        self.due_s = time.monotonic() + self._failed_s
