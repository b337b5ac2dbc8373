"""What a worker program says of itself with each sign of life, and whether it makes progress."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from blnk_relay.journal.health import Health
from blnk_relay.journal.shape import Program, this_program
from blnk_relay.journal.workers import Sign, sign_of
from blnk_relay.log import TOLD, UNWELL, UNWELL_STILL, tell
from blnk_relay.settings import CONFIRM_LANE, Settings
from tasks.runtime import hush, state_word, tally, worker_name
from worker.watch import Calls, Watch, end_with, end_without_hope

_log = logging.getLogger(__name__)

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Presence:
    """A worker program, as it shows itself. Threads share it.

    Args:
        settings: The settings.
        pool: What runs the work: ``threads``, ``prefork`` or ``solo``.
        lanes: That it serves.
        processes: Ids of the processes that take intents for it.
        leave: Has the worker end in good order.
        stop_listening: Has it take no more bells.

    Attributes:
        program: Name, version and shape.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pool: str,
        lanes: Iterable[str],
        processes: Callable[[], Iterable[int]],
        leave: Callable[[], None],
        stop_listening: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._lanes = tuple(lanes)
        self._processes = processes
        self._leave = leave
        self._stop_listening = stop_listening
        self._started_ms = int(time.time() * 1000)
        self._lock = threading.Lock()
        self._obeyed = ""
        self._unwell = ""
        self._journals: dict[str, str] = {}
        self._due: dict[str, Mapping[str, str]] = {}
        self._watches = self._new_watches()
        self._bells = 0
        self._calls = Calls(settings.stalled_s / 2)
        self.program: Program = this_program(worker_name())

    def _new_watches(self) -> tuple[Watch, Watch]:
        limit_s = self._settings.stalled_s
        return (
            Watch(limit_s, lambda: self._ail("it holds intents and finishes none"), self._end, time.monotonic),
            Watch(limit_s, lambda: self._ail("work is due that it does not take"), self._end, time.monotonic),
        )

    def sign(self) -> str:
        """What stands in a journal with its next sign of life."""
        pids = self._pids()
        busy, _, _ = tally.of(pids)
        targets = tuple(self._settings.ledgers)
        return sign_of(
            Sign(
                version=self.program.version,
                shape=self.program.shape,
                lanes=self._lanes,
                targets=targets,
                pool=self._pool,
                connections=self._settings.connections * len(targets) * max(1, len(pids) - (self._pool == "prefork")),
                busy=busy,
                processes=tuple(pids),
                started_ms=self._started_ms,
                memory=sum(map(resident, pids)),
                state=state_word(),
                unwell=self._unwell,
            )
        )

    def _pids(self) -> list[int]:
        """Those of its processes, its own first."""
        own = os.getpid()
        found: list[int] = []
        # Processes come and go while the pool is looked at.
        with suppress(Exception):
            found = [int(pid) for pid in self._processes()]
        return [own, *(pid for pid in found if pid != own)]

    def rung(self) -> None:
        """A bell was heard for a target of this worker's."""
        self._bells += 1

    def heard(self, target: str, wish: str, due: Mapping[str, str]) -> None:
        """What a sweep of a journal told: what an operator wants, and what could be taken.

        Args:
            target: Whose journal.
            wish: ``quiet``, ``stop``, or empty.
            due: By lane the id of the first that is due.
        """
        with self._lock:
            self._journals[target] = ""
            served = {*self._lanes, CONFIRM_LANE}
            self._due[target] = {lane: id_ for lane, id_ in due.items() if lane in served}
            news = wish not in ("", self._obeyed) and self._obeyed != "stop"
            if news:
                self._obeyed = wish
        if news:
            self._obey(wish)
        self.look()

    def missed(self, target: str, why: str) -> None:
        """A journal could not be swept: nothing can be said of progress there, and nobody is to blame for it."""
        with self._lock:
            self._journals[target] = why
            self._due.pop(target, None)
            if all(self._journals.values()):
                self._watches = self._new_watches()
                self._unwell = ""

    def look(self) -> None:
        """See whether anything comes to its end, as long as there is something to do."""
        with self._lock:
            if state_word() != "running":
                # What it was told is what it does; leases see to what it holds.
                self._unwell = ""
                return
            busy, settled, idle = tally.of(self._pids())
            in_hand, untaken = self._watches
            due = {(target, lane): id_ for target, lanes in self._due.items() for lane, id_ in lanes.items()}
            # Each request has its deadline, so whoever holds something settles something before long.
            in_hand.look(settled, busy)
            # While others take what is first, work goes on; but whoever was called in vain makes no progress by that.
            called = self._calls.in_vain((settled, idle), self._bells, len(due), time.monotonic())
            untaken.look(hash((settled, idle, () if called else tuple(sorted(due.items())))), len(due))
            if in_hand.well and untaken.well:
                self._unwell = ""

    def _ail(self, why: str) -> None:
        limit_s = self._settings.stalled_s
        self._unwell = f"{why}, for {limit_s:g} s (BLNK_RELAY_STALLED_S)"
        tell(_log, UNWELL, why=self._unwell)

    def _end(self) -> None:
        tell(_log, UNWELL_STILL, why=self._unwell)
        end_without_hope(self._settings)

    def _obey(self, wish: str) -> None:
        tell(_log, TOLD, state="stop" if wish == "stop" else "be quiet")
        if wish == "stop":
            self._leave()
            end_with(0)
        else:
            hush()
            # Bells are for those who come when they are called.
            self._stop_listening()

    def health(self) -> Health:
        """Whether this worker program is well, as far as it knows itself; asks nobody.

        It is live unless it makes no progress, whether the journals answer or not: another one would reach them no
        better. It is ready while it is not to leave, and all journals answered when they were last swept.
        """
        with self._lock:
            unwell, state = self._unwell, state_word()
            away = [f"the journal of {target}: {why}" for target, why in self._journals.items() if why]
            first = len(self._journals) < len(self._settings.ledgers)
        why = [unwell] if unwell else []
        if state != "running":
            why.append(f"it is {state}")
        if first:
            why.append("not all journals were swept yet")
        return Health(live=not unwell, ready=not (why or away), why=(*why, *away))


def resident(pid: int) -> int:
    """Bytes of memory that a process occupies; 0 where nobody can tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def processes_of(worker: Any) -> Iterable[int]:
    """Ids of the processes that take intents for one of Celery's workers."""
    info = getattr(worker.pool, "info", None) or {}
    found: Iterable[int] = info.get("processes", ())
    return found


def stop_listening(worker: Any) -> None:
    """Have one of Celery's workers take no more bells; from any thread."""
    queues, listening = worker.app.amqp.queues, getattr(worker.consumer, "task_consumer", None)
    for name in list(queues.consume_from):
        # Whoever begins to listen anew, after a lost connection, leaves it out as well.
        queues.deselect(name)
        if listening is not None:
            worker.consumer.call_soon(listening.cancel_by_queue, name)
