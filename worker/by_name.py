"""Reads what comes by name: part of every worker, in a thread of its own.

A message is looked at, recorded in its target's journal, and taken out of its queue after that. Whatever dies, stalls
or refuses on the way, it is still there, and to record it again changes nothing. On Redis it lies in the queue all the
while: Celery's own way (BRPOP, then a note of what was taken) loses what was popped when the note, the worker or the
connection fails. Other brokers keep what they gave to a reader until they have its word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from blnk_relay._version import __version__
from blnk_relay.bell import queue_of
from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.shape import number_of
from blnk_relay.log import BY_NAME_STUCK
from blnk_relay.relay import Relay
from blnk_relay.settings import INGEST_LANE
from blnk_relay.transport.queues import BROKER_ERRORS, Inbox, inbox
from tasks.ingest import Ingest, LeftToNewer
from worker.complaints import Complaints
from worker.threads import ThreadStep

#: Messages read in one go; few, because each may be as large as an upload.
BATCH = 20

#: How often an empty queue is looked at.
IDLE_S = 0.2

#: Pauses while the broker or the journal refuses: from the first, twice as long each time, to the longest.
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0

#: How long one worker has the queue for itself. Two that read it do no harm, but all of it twice.
_TURN_MS = 5_000

_log = logging.getLogger(__name__)


class ByName(ThreadStep):
    """Records what comes by name, for as long as the worker runs; at its end it finishes the message at hand."""

    thread_name = "by-name"

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._app = parent.app
        self._complaints = Complaints(_log)
        self._inbox: Inbox | None = None

    def _longest_end_s(self) -> float:
        """The broker's trips and the journal's."""
        return self._settings.redis_timeout_s * 4

    def _run(self) -> None:
        ingest: Ingest | None = None
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            try:
                ingest = ingest or Ingest(
                    self._shared.relay, lambda: self._shared.reports, lambda: _newer_alive(self._shared.relay)
                )
                more = self._read(self._shared.relay, ingest)
                pause_s = 0.0 if more else IDLE_S
            except Exception as error:  # noqa: BLE001 - whatever it is, the messages are still there
                expected = isinstance(error, (JournalUnavailable, *BROKER_ERRORS))
                self._complaints.say(BY_NAME_STUCK, why=_told(error), failed=None if expected else error)
                self._forget()
                pause_s = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._forget()

    def _read(self, relay: Relay, ingest: Ingest) -> bool:
        """Record one batch, and take out what was. Returns whether there may be more to do at once."""
        if self._inbox is None:
            name = queue_of(self._settings, INGEST_LANE)
            self._inbox = inbox(self._settings.broker_address, self._app, name, BATCH)
        items = self._inbox.oldest()
        if not items:
            return False
        journal = _first(relay, _takes_turn if self._inbox.shared else _is_there)
        if journal is None:
            return False
        recorded, refused = [], []
        refusal: JournalUnavailable | None = None
        try:
            for item in items:
                if self._stop.is_set():
                    break
                try:
                    ingest.take(item[1])
                    recorded.append(item)
                except LeftToNewer:
                    refused.append(item)
                except JournalUnavailable as error:
                    # Raises when the journal is away for all; else it is this message that it does not take.
                    journal.now_ms()
                    refused.append(item)
                    refusal = error
        finally:
            self._inbox.remove(recorded)
        # One that cannot be recorded must not hold up the others.
        self._inbox.put_last(refused)
        if refusal is not None and not recorded:
            raise refusal
        if self._inbox.shared:
            journal.end_turn_by_name()
        return bool(recorded)

    def _forget(self) -> None:
        """Connect anew for the next try: the server behind the address may be another one by now."""
        used, self._inbox = self._inbox, None
        if used is not None:
            with suppress(Exception):
                used.close()


def _takes_turn(journal: Journal) -> bool:
    """Whether this worker may read, where all see the same messages."""
    return journal.turn_by_name(_TURN_MS)


def _is_there(journal: Journal) -> bool:
    return journal.now_ms() > 0


def _first(relay: Relay, ask: Callable[[Journal], bool]) -> Journal | None:
    """The first journal that can be reached; None where it says no, because somebody else has the turn to read.

    Two workers for which that is not the same one read all of it twice, which does no harm.

    Raises:
        JournalUnavailable: None can be reached.
    """
    failure: JournalUnavailable | None = None
    for journal in relay.journals:
        try:
            return journal if ask(journal) else None
        except JournalUnavailable as error:
            failure = error
    if failure is not None:
        raise failure
    return None


def _newer_alive(relay: Relay) -> bool:
    """Whether a worker of a newer version is alive in any journal that can be reached."""
    ours = number_of(__version__)
    for journal in relay.journals:
        with suppress(JournalUnavailable):
            if any(number_of(program.version) > ours for program in journal.programs()):
                return True
    return False


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, JournalUnavailable) else type(error).__name__
