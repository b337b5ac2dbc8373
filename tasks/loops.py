"""The loops of one process: one for each lane of each target that has work, and one for each target's read-back.

A bell starts one, and it ends when there is nothing left to do; so there are as many at once as there is work for, and
a ledger that hangs holds up its own only. Each runs in a thread of its own: Celery's task is over as soon as it has
begun one.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from blnk_relay.errors import JournalUnavailable, OtherLedger, OtherShape
from blnk_relay.log import CUT_OFF, JOB_FAILED, JOURNAL_AWAY, OTHER_LEDGER, OTHER_SHAPE, tell
from blnk_relay.settings import CONFIRM_LANE
from tasks.confirm import confirm
from tasks.deliver import deliver
from tasks.runtime import Runtime, end, known, longest_end_s, runtime, tally

_log = logging.getLogger(__name__)


class Loops:
    """Starts loops, and waits for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()

    def start(self, runtime: Runtime, lane: str) -> bool:
        """Start the loop of a lane, unless it runs or the process is to stop.

        Args:
            runtime: Of the target.
            lane: The lane; ``confirm`` for the read-back.

        Returns:
            Whether one was started.
        """
        # First, so that whoever is about to leave the turn sees it.
        runtime.rung.add(lane)
        turn = runtime.looking if lane == CONFIRM_LANE else runtime.turns[lane]
        # Whoever holds it claims once more, rings, or looks who was rung for, before it leaves.
        if turn.locked() or runtime.stopping.is_set():
            return False
        thread = threading.Thread(target=self._run, args=(runtime, lane), name=f"{runtime.target} {lane}", daemon=True)
        with self._lock:
            # Under the lock, so that nobody waits for one that has not begun, nor for one that never will.
            thread.start()
            self._threads.add(thread)
        return True

    def join(self, timeout_s: float) -> bool:
        """Wait until all have ended. Returns whether they have."""
        end_s = monotonic() + timeout_s
        while True:
            with self._lock:
                thread = next(iter(self._threads), None)
            left_s = end_s - monotonic()
            if thread is None or left_s <= 0:
                return thread is None
            thread.join(left_s)

    def _run(self, runtime: Runtime, lane: str) -> None:
        try:
            _patiently(runtime, lane, lambda: confirm(runtime) if lane == CONFIRM_LANE else deliver(runtime, lane))
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())


def _patiently(runtime: Runtime, lane: str, work: Callable[[], int]) -> None:
    """A journal that is away is no failure: what is in hand is under leases, and the sweeper rings again."""
    try:
        work()
    except OtherShape as error:
        tally.idle()
        # Those who know it ring for each other, and this worker hears some of it.
        if runtime.once_in_a_while("other shape"):
            tell(_log, OTHER_SHAPE, target=runtime.target, why=error)
    except JournalUnavailable as error:
        tell(_log, JOURNAL_AWAY, target=runtime.target, lane=lane, why=error)
    except OtherLedger as error:
        tally.idle()
        if runtime.once_in_a_while("other ledger"):
            tell(_log, OTHER_LEDGER, target=runtime.target, why=error)
    except Exception as error:  # noqa: BLE001 - nobody would notice the end of a thread
        why = f"a loop of target {runtime.target} failed; what it held is looked up when its leases are over"
        tell(_log, JOB_FAILED, target=runtime.target, lane=lane, why=why, failed=error)


_made: dict[int, Loops] = {}


def loops() -> Loops:
    """Those of this process; a forked child has none of its parent's threads."""
    return _made.setdefault(os.getpid(), Loops())


def wake(target: Any, lane: Any) -> None:
    """What a bell does: start the loop of a lane; one of a target or a lane that is not served here starts none."""
    if known(target, lane):
        loops().start(runtime(target), lane)


def see_through() -> None:
    """The end of a process: it claims nothing new, and waits for what it has begun, as long as that may take.

    Others of the same worker go on: one that was killed, or that a pool replaces, gets a successor.
    """
    end()
    if not loops().join(longest_end_s()):
        tell(_log, CUT_OFF)
