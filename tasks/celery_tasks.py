"""The tasks as Celery knows them: a name and a lane, nothing else.

Whoever can write to the broker can at most wake a worker: no payload ever travels in a message (decision 55). Intents
that come by name are not among them: see ``tasks/ingest.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from celery import shared_task

from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK
from blnk_relay.errors import JournalUnavailable
from tasks.confirm import confirm
from tasks.deliver import deliver
from tasks.runtime import runtime

_log = logging.getLogger(__name__)


@shared_task(name=DELIVER_TASK, ignore_result=True)
def deliver_task(lane: str) -> None:
    """Empty a lane for a while; an unknown lane is somebody's mistake and wakes nobody."""
    current = runtime()
    if lane in current.settings.lanes:
        _patiently(lambda: deliver(current, lane))


@shared_task(name=CONFIRM_TASK, ignore_result=True)
def confirm_task() -> None:
    """Read outcomes back from the ledger."""
    current = runtime()
    _patiently(lambda: confirm(current))


def _patiently(work: Callable[[], int]) -> None:
    """A journal that is away is no failure of a task: what is in hand is under leases, and the sweeper rings again."""
    try:
        work()
    except JournalUnavailable as error:
        _log.warning("%s", error)
