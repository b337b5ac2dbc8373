"""Outcomes for applications that have Celery tasks of their own: one call for each final outcome."""

from __future__ import annotations

from blnk_relay.bell import Bells
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.events import Event, Events
from blnk_relay.journal.journal import Journal
from blnk_relay.settings import Settings
from tasks.runtime import worker_name

#: Consumer group of these calls.
GROUP = "outcome-task"

#: Batches handled in one go, so that a sweep is never late.
_MOST_BATCHES = 20


class Callbacks:
    """Sends the task that the settings name, once for each event; a call that fails to be sent is sent later.

    The task's id is made of the event's, so that a repeat can be recognised, and its keyword arguments are
    ``intent_id``, ``key``, ``kind``, ``event``, ``detail`` and ``at`` (RFC 3339); and ``target`` where it is not the
    default one, so that a task made for one ledger goes on as it is.
    """

    def __init__(self, settings: Settings, journal: Journal, bells: Bells) -> None:
        self._settings = settings
        self._bells = bells
        # A name of its own for each process: a sweep that takes long may still send when the next one begins elsewhere.
        self._events = Events(journal, GROUP, worker_name()) if settings.outcome_task else None

    def run(self) -> int:
        """Send what is new. Returns how many were sent; what could not be sent is left to whoever sweeps next."""
        if self._events is None:
            return 0
        sent = 0
        try:
            for _ in range(_MOST_BATCHES):
                batch = self._events.read(0)
                for event in batch:
                    if not self._send(event):
                        return sent
                    sent += 1
                    if not self._events.finish([event]):
                        return sent
                if not batch:
                    break
        finally:
            self._events.leave()
        return sent

    def _send(self, event: Event) -> bool:
        arguments = {
            "intent_id": event.intent_id,
            "key": event.key,
            "kind": event.kind,
            "event": event.event,
            "detail": event.detail,
            "at": event.at.isoformat(),
        }
        if event.target != DEFAULT_TARGET:
            arguments["target"] = event.target
        task_id = f"{self._settings.namespace}-{event.target}-{event.event_id}"
        return self._bells.call(self._settings.outcome_task, self._settings.outcome_queue, arguments, task_id=task_id)
