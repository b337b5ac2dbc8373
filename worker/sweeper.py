"""The sweeper: part of every worker, so that there is no scheduler to keep alive."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Any

from celery import bootsteps
from redis.exceptions import RedisError

from blnk_relay.errors import JournalUnavailable, OtherLedger
from blnk_relay.intents.steps import EXPIRED
from tasks.runtime import worker_name
from worker.complaints import Complaints
from worker.outcome_task import Callbacks
from worker.shared import Shared
from worker.telemetry import Telemetry
from worker.watch import Bellwatch

_log = logging.getLogger(__name__)


class Sweeper(bootsteps.StartStopStep):
    """Sweeps the journal now and then, in a thread of its own: it must go on when the event loop does not."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._parent = parent
        self._shared: Shared = parent.app.conf.blnk_relay
        self._settings = self._shared.settings
        self._program = worker_name()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._complaints = Complaints(_log)

    def start(self, _parent: Any) -> None:
        """Begin, once the worker's pool is up."""
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def stop(self, _parent: Any) -> None:
        """End within the timeout of one trip to the journal."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.redis_timeout_s * 2)

    def _run(self) -> None:
        """Sweep until told to stop; no error ends this thread, for nobody would notice."""
        round_: Round | None = None
        watch = Bellwatch(self._parent, self._settings)
        while not self._stop.wait(self._settings.sweep_s):
            try:
                if round_ is None:
                    round_ = Round(self._shared, self._program)
                round_.sweep()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep is due in a moment
                self._complain("sweep", error)
            try:
                watch.look()
            except Exception as error:  # noqa: BLE001 - the same
                self._complain("the queues of bells could not be looked at", error)
        for close in (watch.close, *((round_.close,) if round_ else ())):
            with suppress(Exception):
                close()

    def _complain(self, what: str, error: Exception) -> None:
        told = str(error) if isinstance(error, JournalUnavailable) else type(error).__name__
        unforeseen = not isinstance(error, JournalUnavailable | RedisError | OSError)
        self._complaints.say(f"{what}: {told}", exc_info=unforeseen)


class Round:
    """What one sweep does.

    Args:
        shared: The journal and the bells of this process.
        program: Name of the worker program in the journal.
    """

    def __init__(self, shared: Shared, program: str) -> None:
        self._settings = shared.settings
        self._program = program
        self._journal, self._bells = shared.relay.journal, shared.relay.bells
        self._callbacks = Callbacks(self._settings, self._journal, self._bells)
        self._reports: Telemetry | None = None
        self._unknown: list[str] = []
        self._foreign: set[str] = set()

    def sweep(self) -> None:
        """Sweep, if nobody else has just done so; in any case give a sign of life."""
        swept, lanes, expired = self._journal.sweep(self._program)
        self._bells.ring(lanes)
        for entry in expired:
            self._reports = self._reports or Telemetry(self._settings)
            self._reports.dead(entry, EXPIRED)
        if swept:
            self._callbacks.run()
            self._complain(self._journal.unknown_targets())
            self._disown({error.target: error for error in self._journal.foreign()})

    def close(self) -> None:
        """Say farewell."""
        self._journal.farewell(self._program)

    def _complain(self, unknown: list[str]) -> None:
        """Warn of targets that this worker does not know and somebody enqueues for; once for each."""
        for target in set(unknown) - set(self._unknown):
            _log.warning(
                "intents wait for target %r, which BLNK_RELAY_TARGETS does not name here: another worker has to",
                target,
            )
        self._unknown = unknown

    def _disown(self, others: dict[str, OtherLedger]) -> None:
        """Say which targets are other ledgers for this worker than for the journal; once for each."""
        for target in sorted(others.keys() - self._foreign):
            _log.error("%s", others[target])
        self._foreign = set(others)
