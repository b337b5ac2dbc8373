"""The bell: a Celery message that says "there is work for this target in this lane", and nothing else.

A lost, late or doubled bell costs milliseconds and never an intent, so ringing is best effort and bounded.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

from blnk_relay.settings import CONFIRM_LANE, Settings

DELIVER_TASK = "tasks.deliver"
CONFIRM_TASK = "tasks.confirm"


def enqueue_task(kind: str) -> str:
    """The name of the Celery task that takes intents of a kind from producers without this library.

    Example:
        >>> enqueue_task("inflight.commit")
        'tasks.enqueue_inflight_commit'
    """
    return "tasks.enqueue_" + kind.replace(".", "_")


#: After a bell could not be rung, producers do not try again for this long: the sweeper of any worker finds the work.
_SILENCE_S = 2.0

_log = logging.getLogger(__name__)


def queue_of(settings: Settings, lane: str) -> str:
    """The Celery queue of a lane; named for the namespace, so that other applications can share the broker."""
    return f"{settings.namespace}.{lane}"


def broker_options(settings: Settings) -> Mapping[str, Any]:
    """Transport options that bound every wait for the broker: without them a publish blocks for good."""
    address = settings.broker_address
    return {
        "socket_timeout": settings.redis_timeout_s,
        "socket_connect_timeout": settings.redis_timeout_s,
        "retry_on_timeout": False,
        "max_retries": 1,
        "client_name": "blnk-relay-bell",
        # The second is for our transport, the first for Celery's own.
        **({"master_name": address.service, "relay_address": address} if address.asks else {}),
    }


class Bells:
    """Rings lanes through Celery, by task name: a producer never imports the workers' code."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Any = None
        self._silent_until_s = 0.0

    def ring(self, target: str, lanes: Iterable[str]) -> None:
        """Ring lanes of a target; a failure is logged once and is no error, because the work itself is recorded."""
        for lane in lanes:
            if time.monotonic() < self._silent_until_s:
                return
            try:
                self._publish(target, lane)
            except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, the intent is recorded
                self._silent_until_s = time.monotonic() + _SILENCE_S
                _log.warning(
                    "lane %s of %s could not be rung (%s); the sweeper will", lane, target, type(error).__name__
                )

    def call(self, task: str, queue: str, arguments: Mapping[str, Any], *, task_id: str) -> bool:
        """Send a task of the application's own. Returns whether the broker took it."""
        try:
            self._celery().send_task(
                task, kwargs=dict(arguments), queue=queue, task_id=task_id, ignore_result=True, retry=False
            )
        except Exception as error:  # noqa: BLE001 - whatever the broker's client raises, it is tried again later
            _log.warning("task %s could not be sent (%s); it will be", task, type(error).__name__)
            return False
        return True

    def _publish(self, target: str, lane: str) -> None:
        confirm = lane == CONFIRM_LANE
        self._celery().send_task(
            CONFIRM_TASK if confirm else DELIVER_TASK,
            args=(target,) if confirm else (target, lane),
            queue=queue_of(self._settings, lane),
            ignore_result=True,
            retry=False,
        )

    def _celery(self) -> Any:
        if self._app is None:
            from celery import Celery

            from blnk_relay.transport.broker import url_for_celery

            self._app = Celery("blnk-relay", broker=url_for_celery(self._settings), set_as_current=False)
            self._app.conf.update(
                broker_transport_options=dict(broker_options(self._settings)),
                broker_connection_timeout=self._settings.redis_timeout_s,
                task_ignore_result=True,
            )
        return self._app

    def close(self) -> None:
        """Give the connections back."""
        if self._app is not None:
            self._app.close()
            self._app = None
