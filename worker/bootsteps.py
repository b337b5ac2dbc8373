"""The sweeper: part of every worker, so that there is no scheduler to keep alive (design §4)."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery import bootsteps

from blnk_relay.bell import Bells
from blnk_relay.errors import JournalUnavailable
from blnk_relay.intents.steps import EXPIRED
from blnk_relay.journal.journal import Journal
from blnk_relay.settings import Settings
from worker.callbacks import Callbacks
from worker.telemetry import Telemetry

_log = logging.getLogger(__name__)


class Sweeper(bootsteps.StartStopStep):
    """Sweeps the journal now and then, in a thread of its own: it must go on when the event loop does not."""

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._settings: Settings = parent.app.conf.blnk_relay
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, _parent: Any) -> None:
        """Begin, once the worker's pool is up."""
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, _parent: Any) -> None:
        """End within the timeout of one trip to the journal."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.redis_timeout_s * 2)

    @staticmethod
    def _complain(before: list[str], now: list[str]) -> list[str]:
        """Warn of targets that this worker does not know and somebody enqueues for; once for each."""
        for target in set(now) - set(before):
            _log.warning(
                "intents wait for target %r, which BLNK_RELAY_TARGETS does not name here: another worker has to",
                target,
            )
        return now

    def _run(self) -> None:
        journal, bells = Journal(self._settings), Bells(self._settings)
        callbacks = Callbacks(self._settings, journal, bells)
        reports: Telemetry | None = None
        strays: list[str] = []
        foreign: set[str] = set()
        while not self._stop.wait(self._settings.sweep_s):
            try:
                swept, lanes, expired = journal.sweep()
                bells.ring(lanes)
                for entry in expired:
                    reports = reports or Telemetry(self._settings)
                    reports.dead(entry, EXPIRED)
                if swept:
                    callbacks.run()
                    strays = self._complain(strays, journal.strays())
                    others = {error.target: error for error in journal.foreign()}
                    for target in sorted(others.keys() - foreign):
                        _log.error("%s", others[target])
                    foreign = set(others)
            except JournalUnavailable as error:
                _log.warning("sweep: %s", error)
        bells.close()
        journal.close()
