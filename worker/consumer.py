"""The consumer of a worker: Celery's own, but no error of the broker ends it, and it begins anew when told."""

from __future__ import annotations

import logging
import time
import warnings
from typing import Any

from billiard.exceptions import RestartFreqExceeded
from celery import bootsteps
from celery.exceptions import WorkerLostError
from celery.worker import consumer as celery_consumer
from celery.worker import state

from blnk_relay.log import BROKER_AWAY, CONSUMER_FAILED, NOT_CLEARED, tell
from blnk_relay.transport.queues import BROKER_ERRORS
from worker.broker import divert, hearing
from worker.complaints import Complaints

#: Pauses between two beginnings grow from the first to the longest, and are short again after a calm.
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 5.0
CALM_S = 10.0

#: Errors in a row, none of them the broker's, after which it is not the consumer that is at fault.
MOST_FAILURES = 10

#: How often it is looked whether the worker is to stop while it pauses.
_STEP_S = 0.1

_steps: Any = bootsteps
_ENDED = (_steps.CLOSE, _steps.TERMINATE)

_log = logging.getLogger(__name__)


class Consumer(celery_consumer.Consumer):
    """Celery's consumer, which outlives whatever the broker answers.

    Celery's own begins anew after a lost connection and, as it is configured here, after a refusal (READONLY, OOM …).
    This one pauses before it does, a little longer each time, and begins anew after any other error, a few times over.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pause_s = 0.0
        self._failed_s = float("-inf")
        self._complaints = Complaints(_log)
        super().__init__(*args, **kwargs)

    def start(self) -> None:
        """Listen until the worker is told to stop."""
        failures = 0
        while self.blueprint.state not in _ENDED:
            began_s = time.monotonic()
            try:
                super().start()
            except (WorkerLostError, RestartFreqExceeded):
                # The pool is at fault, and a new connection is no help.
                raise
            except Exception as error:
                if not _is_the_brokers(error):
                    failures = 1 if time.monotonic() - began_s > CALM_S else failures + 1
                    if failures >= MOST_FAILURES:
                        raise
                tell(_log, CONSUMER_FAILED, failed=error)
                self._clear(error)
                self._rest()

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Any:
        """What is done with a message; see ``worker/broker.py``."""
        return hearing(self.app, super().create_task_handler(*args, **kwargs))

    def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ARG002 - it may quote the message
        """What is packed, or cannot be read at all, is no bell; Celery would log what stands in it, and drop it."""
        divert(self.app, message)

    def rebuild(self, why: str) -> None:
        """Drop the connection and begin anew; from any thread. What is being worked on goes on.

        Args:
            why: For the log.
        """

        def broken() -> None:
            raise ConnectionResetError(why)

        hub: Any = self.hub  # type: ignore[attr-defined] # the stubs leave it out
        hub.call_soon(broken)

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long it takes; unlike Celery's own never more than some seconds after it could."""
        conn = conn.ensure_connection(
            self._not_yet,
            None,
            interval_start=FIRST_PAUSE_S,
            interval_step=FIRST_PAUSE_S,
            interval_max=LONGEST_PAUSE_S,
            callback=state.maybe_shutdown,
            reraise_as_library_errors=False,
        )
        self.first_connection_attempt = False
        return conn

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The broker refused while the consumer began."""
        self._complaints.say(BROKER_AWAY, error=type(exc).__name__)
        self._rest()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """The broker went away, or refused."""
        self._disconnect(exc)
        self._rest()

    def _not_yet(self, error: Exception, _pause_s: float) -> None:
        self._complaints.say(BROKER_AWAY, error=type(error).__name__)

    def _clear(self, error: Exception) -> None:
        """What Celery does after a lost connection, whatever state the consumer is in."""
        try:
            if self.connection:
                self._disconnect(error)
            self.on_close()
            self._cancel_connection_timer_entries()  # type: ignore[attr-defined] # the stubs leave it out
        except Exception as failure:  # noqa: BLE001 - whatever it is, the next beginning makes all of it anew
            tell(_log, NOT_CLEARED, failed=failure)
        self.blueprint.restart(self)

    def _disconnect(self, error: Exception) -> None:
        with warnings.catch_warnings():
            # That a setting of ours will be another one's default some day.
            warnings.simplefilter("ignore")
            super().on_connection_error_after_connected(error)

    def _rest(self) -> None:
        now_s = time.monotonic()
        calm = now_s - self._failed_s > CALM_S
        self._pause_s = FIRST_PAUSE_S if calm else min(self._pause_s * 2, LONGEST_PAUSE_S)
        while time.monotonic() < now_s + self._pause_s:
            state.maybe_shutdown()
            time.sleep(_STEP_S)
        self._failed_s = time.monotonic()


def _is_the_brokers(error: Exception) -> bool:
    return isinstance(error, BROKER_ERRORS)
