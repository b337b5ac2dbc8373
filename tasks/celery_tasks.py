"""The tasks as Celery knows them: a name and a lane, nothing else.

Whoever can write to the broker can at most wake a worker: no payload ever travels in a message (design §4).
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK
from tasks.confirm import confirm
from tasks.deliver import deliver
from tasks.ingest import TASKS, ingest
from tasks.runtime import runtime


@shared_task(name=DELIVER_TASK, ignore_result=True)
def deliver_task(lane: str) -> None:
    """Empty a lane for a while; an unknown lane is somebody's mistake and wakes nobody."""
    current = runtime()
    if lane in current.settings.lanes:
        deliver(current, lane)


@shared_task(name=CONFIRM_TASK, ignore_result=True)
def confirm_task() -> None:
    """Read outcomes back from the ledger."""
    confirm(runtime())


def _register(name: str, kind: str) -> None:
    @shared_task(name=name, ignore_result=True)
    def enqueue_task(**arguments: Any) -> None:
        """Accept one intent that came by name."""
        current = runtime()
        ingest(current, current.relay, kind, arguments)


for _name, _kind in TASKS.items():
    _register(_name, _kind)
