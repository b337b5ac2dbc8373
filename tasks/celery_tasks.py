"""The tasks as Celery knows them: a name and a lane, nothing else.

Whoever can write to the broker can at most wake a worker: no payload ever travels in a message (decision 55). Intents
that come by name are not among them: see ``tasks/ingest.py``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK
from blnk_relay.settings import CONFIRM_LANE
from tasks.loops import wake


@shared_task(name=DELIVER_TASK, ignore_result=True)
def deliver_task(target: Any = None, lane: Any = None) -> None:
    """Empty a lane of a target; an unknown one is somebody's mistake, or another worker's, and wakes nobody."""
    if lane != CONFIRM_LANE:
        wake(target, lane)


@shared_task(name=CONFIRM_TASK, ignore_result=True)
def confirm_task(target: Any = None) -> None:
    """Read outcomes back from a ledger."""
    wake(target, CONFIRM_LANE)
