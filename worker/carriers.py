"""Carrying out jobs in a worker: a thread of its own beside the sweeper, so that no sweep waits for it.

A sweep that finds a job wakes it. It does a page, and rests as long as that took and a little more, so that payments go
on beside it; when nothing is left, or another worker has the lease, it waits for the next sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

from blnk_relay.errors import RelayError
from blnk_relay.journal.carrying import carry, stop_said
from blnk_relay.log import JOB_STOPPED
from tasks.runtime import worker_name
from worker.complaints import Complaints
from worker.shared import Shared

#: Shortest rest between two pages.
_REST_S = 0.05

#: Time between two looks whether a job was stopped in the journal of another target, and so many times as long as one
#: of them took: a Redis that is silent must not hold up what goes on in others.
_HEED_S, _HEED_TIMES = 1.0, 10

_log = logging.getLogger(__name__)


class Carriers:
    """Carries out the jobs of some journals, one page at a time.

    Args:
        shared: The journals and the bells of this process.
    """

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._name = worker_name()
        self._wake = threading.Event()
        self._targets: set[str] = set()
        self._complaints = Complaints(_log)
        #: When it is looked again whether a job was stopped in other journals; the last job of each target.
        self._heed: dict[str, tuple[str, float]] = {}

    def look(self, target: str) -> None:
        """Called after a sweep: where a job is to be carried out, it is.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        if self._shared.relay.journal(target).has_job():
            self._targets.add(target)
            self.wake()

    def wake(self) -> None:
        """Have it see whether there is something to do, or an end."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Carry out what is woken for until told to stop; no error ends it, for the next sweep wakes it again."""
        while not stop.is_set():
            self._wake.wait()
            self._wake.clear()
            while self._targets and not stop.is_set():
                for target in tuple(self._targets):
                    began_s = time.monotonic()
                    if not self._page(target):
                        self._targets.discard(target)
                    elif stop.wait(time.monotonic() - began_s + _REST_S):
                        return

    def _page(self, target: str) -> bool:
        """One page; whether there is more for this worker."""
        try:
            journal = self._shared.relay.journal(target)
            done = carry(journal, self._name, stopped=lambda job, others: self._stopped(target, job, others))
        except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep wakes this again
            # What was said while this journal was away is looked for before anything else is done.
            self._heed.pop(target, None)
            known = isinstance(error, RelayError)
            self._complaints.say(
                JOB_STOPPED,
                target=target,
                why=str(error) if known else "an error of this version",
                error=type(error).__name__,
                failed=None if known else error,
            )
            return False
        self._shared.relay.bells.ring(target, done.bells)
        return done.more

    def _stopped(self, target: str, job: str, others: Sequence[str]) -> str:
        """The action of who stopped a job in another journal, as :func:`carry` takes it; looked for now and then."""
        journals = [self._shared.relay.journal(name) for name in others if name in self._shared.settings.ledgers]
        known, due_s = self._heed.get(target, ("", 0.0))
        began_s = time.monotonic()
        if not journals or (known == job and began_s < due_s):
            return ""
        word = stop_said(journals, job)
        now_s = time.monotonic()
        self._heed[target] = (job, now_s + max(_HEED_S, _HEED_TIMES * (now_s - began_s)))
        return word
