"""Liveness by progress: a worker that does not take bells which wait for it is deaf, however alive it looks."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state

from blnk_relay.bell import queue_of
from blnk_relay.log import DEAF, DEAF_STILL, tell
from blnk_relay.settings import CONFIRM_LANE, Settings
from blnk_relay.transport.queues import Depths, depths
from tasks.runtime import stop

#: The exit code of a worker that ended because it could not go on; see worker/cli/exits.py.
FAILED = 70

_state: Any = state

_log = logging.getLogger(__name__)


def end_with(code: int) -> None:
    """Let the worker end in good order, soon; from any thread and from a signal's handler."""
    stop()
    _state.should_stop = code


def end_without_hope(settings: Settings) -> None:
    """Let the worker end as one that could not go on; from any thread."""
    end_with(FAILED)
    # What makes no progress may not stop either. Leases see to what it holds.
    last = threading.Timer(settings.lease_s + settings.slice_s, os._exit, (FAILED,))
    last.daemon = True
    last.start()


class Watch:
    """Decides whether a worker makes progress; to be asked now and then.

    Args:
        limit_s: How long bells may wait and none be taken.
        rebuild: Begins anew with the broker.
        end: Ends the worker.
        clock: Seconds of a steady clock.
    """

    def __init__(
        self, limit_s: float, rebuild: Callable[[], None], end: Callable[[], None], clock: Callable[[], float]
    ) -> None:
        self._limit_s = limit_s
        self._steps = (rebuild, end)
        self._clock = clock
        self._taken = -1
        self._since_s = clock()
        self._tried = 0

    @property
    def well(self) -> bool:
        """Whether nothing had to be done since there was progress."""
        return self._tried == 0

    def look(self, taken: int, waiting: int) -> None:
        """Look at what has happened.

        Args:
            taken: Bells that this worker has taken so far.
            waiting: Bells that lie in its queues.
        """
        now_s = self._clock()
        if taken != self._taken or not waiting:
            self._taken, self._since_s, self._tried = taken, now_s, 0
        elif now_s - self._since_s > self._limit_s and self._tried < len(self._steps):
            self._since_s = now_s
            self._tried += 1
            self._steps[self._tried - 1]()


class Calls:
    """Decides whether a worker was called to work that is due, again a while later, and came neither time. Pure.

    That work goes on says nothing of a worker that nobody calls: its colleagues may take all there is. But whoever
    hears a bell settles something before long, or finds nothing to do. One bell may be lost, with a journal that is
    away for a moment; the next one is not.

    Args:
        apart_s: How long after the first bell that came to nothing another one has to.
    """

    def __init__(self, apart_s: float) -> None:
        self._apart_s = apart_s
        self._progress: tuple[int, ...] = ()
        self._bells = 0
        self._first_s: float | None = None
        self._in_vain = False

    def in_vain(self, progress: tuple[int, ...], bells: int, due: int, now_s: float) -> bool:
        """Look at what has happened, and say whether it was called in vain.

        Args:
            progress: Changes whenever the worker settles something, or finds nothing to do.
            bells: That it has heard so far.
            due: How much there is to do.
            now_s: Seconds of a steady clock.
        """
        if progress != self._progress or not due:
            self._progress, self._first_s, self._in_vain = progress, None, False
        elif bells != self._bells and self._first_s is None:
            self._first_s = now_s
        elif bells != self._bells and now_s - (self._first_s or now_s) >= self._apart_s:
            self._in_vain = True
        self._bells = bells
        return self._in_vain


class Bellwatch:
    """A watch over a running worker of Celery's.

    Args:
        worker: The worker.
        settings: How long is too long.
    """

    def __init__(self, worker: Any, settings: Settings) -> None:
        self._worker = worker
        self._settings = settings
        self._depths: Depths | None = None
        self._watch = Watch(settings.stalled_s, self._rebuild, self._end, time.monotonic)

    def look(self) -> None:
        """Count and decide. Raises whatever the broker's client does, when the broker is away."""
        try:
            if self._depths is None:
                self._depths = depths(self._settings.broker_address, self._worker.app)
            if self._depths is None:
                return
            waiting = self._waiting(self._depths)
        except Exception:
            self.close()
            raise
        self._watch.look(state.all_total_count[0], waiting)

    def close(self) -> None:
        """Give the connection back."""
        used, self._depths = self._depths, None
        if used is not None:
            used.close()

    def _waiting(self, found: Depths) -> int:
        ours = {queue_of(self._settings, lane) for lane in (*self._settings.lanes, CONFIRM_LANE)}
        return found.waiting(ours & set(self._worker.app.amqp.queues.consume_from))

    def _rebuild(self) -> None:
        tell(_log, DEAF, seconds=f"{self._settings.stalled_s:g}")
        self._worker.consumer.rebuild("no bell was taken")

    def _end(self) -> None:
        tell(_log, DEAF_STILL, exit=FAILED)
        end_without_hope(self._settings)
