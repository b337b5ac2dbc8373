"""The bell: a Celery message that says "there is work for this target in this lane", and nothing else.

A lost, late or doubled bell costs milliseconds and never an intent, so ringing is best effort and bounded.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from blnk_relay.address import BrokerAddress
from blnk_relay.errors import InvalidSettings
from blnk_relay.log import UNCALLED, UNRUNG, tell
from blnk_relay.settings import CONFIRM_LANE, PREFIX, Settings

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

#: A publish that failed within this time met a connection which the broker has closed meanwhile, and is made once more.
_AT_ONCE_S = 0.2

#: Not kept on the disk of a broker that has one: a lost bell is rung again.
_TRANSIENT = 1

#: How long a question to SQS waits there for a message, in whole seconds.
_SQS_WAIT_S = 2

#: What Celery needs for Amazon SQS, and its package does not bring.
_FOR_SQS = ("boto3", "pycurl")

_log = logging.getLogger(__name__)


def queue_of(settings: Settings, lane: str) -> str:
    """The Celery queue of a lane; named for the namespace, so that other applications can share the broker."""
    return f"{settings.namespace}.{lane}"


def broker_options(settings: Settings) -> Mapping[str, Any]:
    """Transport options that bound every wait for the broker: without them a publish blocks for good."""
    address, longest_s = settings.broker_address, settings.redis_timeout_s
    if isinstance(address, BrokerAddress):
        return _sqs_options(address, longest_s) if address.scheme == "sqs" else _amqp_options(address, longest_s)
    return {
        "socket_timeout": longest_s,
        "socket_connect_timeout": longest_s,
        "retry_on_timeout": False,
        "max_retries": 1,
        "client_name": "blnk-relay-bell",
        # The second is for our transport, the first for Celery's own.
        **({"master_name": address.service, "relay_address": address} if address.asks else {}),
    }


def _amqp_options(address: BrokerAddress, longest_s: float) -> Mapping[str, Any]:
    return {
        # Here, for connections are shared in a process by those whose options are equal.
        "ssl": address.tls_options(),
        "read_timeout": longest_s,
        "write_timeout": longest_s,
        # Else a publish that the broker refuses, or never sees, is a success.
        "confirm_publish": True,
        "client_properties": {"connection_name": "blnk-relay-bell"},
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0,
        "interval_max": 0,
    }


def _sqs_options(address: BrokerAddress, longest_s: float) -> Mapping[str, Any]:
    return {
        "region": address.region,
        "client-config": {
            "connect_timeout": longest_s,
            "read_timeout": longest_s + _SQS_WAIT_S,
            "retries": {"total_max_attempts": 1},
        },
        "wait_time_seconds": _SQS_WAIT_S,
        "max_retries": 1,
    }


def check_broker(settings: Settings) -> None:
    """See that the broker's client is installed.

    Raises:
        InvalidSettings: It is not; the sentence says what to install.
    """
    address = settings.broker_address
    if not isinstance(address, BrokerAddress) or address.scheme != "sqs":
        return
    missing = [name for name in _FOR_SQS if find_spec(name) is None]
    if missing:
        raise InvalidSettings(
            f"{PREFIX}BROKER_URL leads to Amazon SQS, for which Celery needs {' and '.join(missing)}, not installed "
            "here: install kombu[sqs] as well."
        )


def _is_the_callers(error: Exception) -> bool:
    """Whether it is the time limit of a task of the application, which Celery raises wherever that is at the time."""
    limits = sys.modules.get("billiard.exceptions")
    return limits is not None and isinstance(error, limits.SoftTimeLimitExceeded)


class Bells:
    """Rings lanes through Celery, by task name: a producer never imports the workers' code.

    Args:
        settings: The settings.

    Raises:
        InvalidSettings: What the broker needs is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        check_broker(settings)
        self._settings = settings
        self._acknowledged = isinstance(settings.broker_address, BrokerAddress)
        # Whoever is not told of an end waits for the broker's word for ever.
        self._confirmed = {"confirm_timeout": settings.redis_timeout_s} if self._acknowledged else {}
        self._app: Any = None
        self._silent_until_s = 0.0

    def ring(self, target: str, lanes: Iterable[str]) -> None:
        """Ring lanes of a target; a failure is logged once and is no error, because the work itself is recorded."""
        for lane in lanes:
            if time.monotonic() < self._silent_until_s:
                return
            try:
                self._ring(target, lane)
            except Exception as error:
                # Whatever the broker's client raises, the intent is recorded.
                if _is_the_callers(error):
                    raise
                self._silent_until_s = time.monotonic() + _SILENCE_S
                tell(_log, UNRUNG, lane=lane, target=target, failed=error)

    def call(self, task: str, queue: str, arguments: Mapping[str, Any], *, task_id: str) -> bool:
        """Send a task of the application's own. Returns whether the broker took it."""
        try:
            self._celery().send_task(
                task,
                kwargs=dict(arguments),
                queue=queue,
                task_id=task_id,
                ignore_result=True,
                retry=False,
                **self._confirmed,
            )
        except Exception as error:
            # Whatever the broker's client raises, it is tried again later.
            if _is_the_callers(error):
                raise
            tell(_log, UNCALLED, task=task, failed=error)
            return False
        return True

    def _ring(self, target: str, lane: str) -> None:
        began_s = time.monotonic()
        try:
            self._publish(target, lane)
        except Exception as error:
            # Redis's own client has tried again already.
            if not self._acknowledged or _is_the_callers(error) or time.monotonic() - began_s > _AT_ONCE_S:
                raise
            self._publish(target, lane)

    def _publish(self, target: str, lane: str) -> None:
        confirm = lane == CONFIRM_LANE
        self._celery().send_task(
            CONFIRM_TASK if confirm else DELIVER_TASK,
            args=(target,) if confirm else (target, lane),
            queue=queue_of(self._settings, lane),
            ignore_result=True,
            retry=False,
            delivery_mode=_TRANSIENT,
            **self._confirmed,
        )

    def _celery(self) -> Any:
        if self._app is None:
            from blnk_relay.transport.broker import Application, configuration

            self._app = Application("blnk-relay", self._settings, set_as_current=False)
            self._app.conf.update(configuration(self._settings, broker_options(self._settings)))
        return self._app

    def close(self) -> None:
        """Give the connections back."""
        if self._app is not None:
            self._app.close()
            self._app = None
