"""How Celery hears bells here: what arrives in a lane's queue is a bell for a target there, and never more.

A bell is not acknowledged, because a lost one is rung again by the next sweep. So there is nothing that can fail or
leak between the broker and a task. Celery's acknowledgements on Redis did: after a failed one its place among the
prefetched was never free again, until a worker with a live connection took nothing at all. On other brokers a bell is
acknowledged as soon as it is heard, before Celery knows of it, and what is no bell as soon as it lies where it belongs.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from queue import Empty
from typing import Any
from uuid import uuid4

from celery.app.amqp import AMQP
from kombu import Connection, compression
from kombu.message import Message
from kombu.transport import redis as kombu_redis

from blnk_relay.address import BrokerAddress
from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK, broker_options, queue_of
from blnk_relay.log import DIVERTED, MESSAGE_LOST, tell
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE, Settings
from blnk_relay.transport.queues import as_on_redis, publish
from tasks.messages import opened, read

#: How often a message that is no bell is offered to the queue where it belongs, and the pause between.
_TRIES = 10
_PAUSE_S = 0.25

_log = logging.getLogger(__name__)


def listening_options(settings: Settings, heard: Callable[[str], None]) -> Mapping[str, Any]:
    """Transport options of a worker: those of everybody, and on Redis which queue is a bell for what.

    Args:
        settings: Name the lanes.
        heard: Told of each target that a bell was heard for.
    """
    if isinstance(settings.broker_address, BrokerAddress):
        return broker_options(settings)
    bells = {queue_of(settings, lane): lane for lane in (*settings.lanes, CONFIRM_LANE)}
    return {
        **broker_options(settings),
        "health_check_interval": 10,
        "ack_emulation": False,
        "relay_bells": bells,
        "relay_ingest": queue_of(settings, INGEST_LANE),
        "relay_heard": heard,
    }


def bell(queue: str, lane: str, target: str) -> dict[str, Any]:
    """The message that a worker's Celery gets for a bell that came in a queue: its lane is the queue's."""
    confirm, id_ = lane == CONFIRM_LANE, str(uuid4())
    return {
        "body": json.dumps([[target] if confirm else [target, lane], {}, {}]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"lang": "py", "task": CONFIRM_TASK if confirm else DELIVER_TASK, "id": id_},
        "properties": {"delivery_tag": id_, "delivery_info": {"exchange": queue, "routing_key": queue}},
    }


def _rung(item: bytes) -> tuple[str, str] | None:
    """The target and the lane that a message rings for; None for what is no bell."""
    try:
        call = read(opened(item))
    except Exception:  # noqa: BLE001 - whatever it is, it is none
        return None
    target, lane, *_ = (*call.args, "", "")
    if call.task == CONFIRM_TASK:
        lane = CONFIRM_LANE
    known = call.task in (DELIVER_TASK, CONFIRM_TASK) and isinstance(target, str) and isinstance(lane, str)
    return (target, lane) if known else None


def rung_for(item: bytes) -> str | None:
    """The target that a message rings for; None for what is no bell. What else stands in it is of no interest."""
    rung = _rung(item)
    return None if rung is None else rung[0]


class Heard(Message):
    """The message that a worker's Celery gets for a bell whose own is acknowledged already."""

    def ack_log_error(self, *_args: Any, **_options: Any) -> None:
        """There is nothing left to say to the broker."""

    reject_log_error = ack_log_error
    ack = reject = requeue = ack_log_error


def leave_packed() -> None:
    """Have kombu leave bodies of this process as they came: it would unpack one however large that makes it.

    Bells are never packed, and what comes by name is unpacked within bounds by whoever reads it.
    """
    packers: Any = compression
    for name in packers.encoders():
        packers.register(packers.get_encoder(name)[0], _refuse, name)


def _refuse(_body: bytes) -> bytes:
    raise ValueError("no body is unpacked here")


def hearing(app: Any, handle: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What a worker does with what arrives; on Redis what Celery does, for there it was made of a bell already.

    Args:
        app: The worker's Celery application.
        handle: What Celery does.
    """
    shared = app.conf.blnk_relay
    settings: Settings = shared.settings
    if not isinstance(settings.broker_address, BrokerAddress):
        return handle
    lanes = {lane: queue_of(settings, lane) for lane in (*settings.lanes, CONFIRM_LANE)}

    def hear(message: Any) -> Any:
        rung = None if message.errors else _rung(as_on_redis(message))
        queue = None if rung is None else lanes.get(rung[1])
        if rung is None or queue is None or queue not in app.amqp.queues.consume_from:
            divert(app, message)
            return None
        shared.hear(rung[0])
        message.ack()
        made = bell(queue, rung[1], rung[0])
        properties = made["properties"]
        return handle(
            Heard(
                body=made["body"].encode(),
                content_type=made["content-type"],
                content_encoding=made["content-encoding"],
                headers=made["headers"],
                properties={},
                **properties,
            )
        )

    return hear


def divert(app: Any, message: Any) -> None:
    """Put what is no bell to the messages that came by name, where it ends as an intent or as a dead letter.

    Args:
        app: The worker's Celery application.
        message: It stays where it is until it lies there.

    Raises:
        Exception: Whatever the broker's client raises; it will be given again.
    """
    ingest = queue_of(app.conf.blnk_relay.settings, INGEST_LANE)
    with app.connection_for_write() as connection:
        publish(connection, ingest, message)
    message.ack()
    tell(_log, DIVERTED, queue="a queue of bells")


class Listening:
    """Part of a channel of Celery's on Redis: see the head of this module."""

    do_restore = False
    relay_bells: Mapping[str, str] = {}
    relay_ingest = ""
    relay_heard: Callable[[str], None] | None = None

    def _brpop_read(self: Any, **options: Any) -> bool:
        """Take one message out of the answer; the same as kombu's own, but for what is made of it."""
        try:
            try:
                answer = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                # The next round connects anew.
                self.client.connection.disconnect()
                raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not answer:
            raise Empty
        queue = answer[0].decode().rsplit(self.sep, 1)[0]
        self._queue_cycle.rotate(queue)
        lane = self.relay_bells.get(queue)
        target = None if lane is None else rung_for(answer[1])
        if lane is None or target is None:
            self._divert(queue, answer[1])
        elif queue in self.connection._callbacks:  # noqa: SLF001 - as kombu's own does
            if self.relay_heard is not None:
                self.relay_heard(target)
            self.connection._deliver(bell(queue, lane, target), queue)  # noqa: SLF001
        else:
            self._give_back(answer[0], answer[1])
        return True

    def _give_back(self: Any, key: bytes, item: bytes) -> None:
        """Leave a bell to others that comes while this worker stops and listens no longer.

        Kombu would put the message that we made in its place into the queue, in a form that is none, and it would end
        as a dead letter.
        """
        # A lost one is rung again by the next sweep.
        with suppress(*self.connection_errors, *self.connection.channel_errors), self.conn_or_acquire() as client:
            client.rpush(key, item)

    def _divert(self: Any, queue: str, item: bytes) -> None:
        """Put what is no bell to the messages that came by name, where it ends as an intent or as a dead letter."""
        for tried in range(1, _TRIES + 1):
            try:
                with self.conn_or_acquire() as client:
                    client.lpush(self.relay_ingest, item)
            except (*self.connection_errors, *self.connection.channel_errors) as error:
                if tried == _TRIES:
                    tell(_log, MESSAGE_LOST, queue=queue, failed=error)
                time.sleep(_PAUSE_S)
            else:
                tell(_log, DIVERTED, queue=queue)
                return


@cache
def listening(transport: Any) -> Any:
    """A transport of Celery's on Redis whose channels listen as this module says; any other as it is."""
    if not issubclass(transport, kombu_redis.Transport):
        return transport
    known = (*transport.Channel.from_transport_options, "relay_bells", "relay_ingest", "relay_heard")
    channel = type("Channel", (Listening, transport.Channel), {"from_transport_options": known})
    return type("Transport", (transport,), {"Channel": channel})


class _Connection(Connection):
    def get_transport_cls(self) -> Any:
        transport: Any = super().get_transport_cls()
        return listening(transport)


class Broker(AMQP):
    """Celery's way to the broker, with the transport of this module."""

    Connection = _Connection
