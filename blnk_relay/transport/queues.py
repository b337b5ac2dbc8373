"""The broker's queues by the eyes of Celery's own client, so that addresses and names mean the same.

On Redis nothing is popped before it was dealt with; on other brokers it is acknowledged after that, and they keep it
for as long. Imported by workers only: it needs Celery.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from amqp.exceptions import AMQPError
from kombu import Exchange, Producer, Queue
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from blnk_relay.address import BrokerAddress, RedisAddress

#: What a broker, or the way to it, is at fault for.
BROKER_ERRORS = (RedisError, AMQPError, KombuError, OSError)

#: Bytes of messages that one reader has in hand at most, beyond the first of them.
_MOST_BYTES = 64 * 1024 * 1024


def queue_named(name: str) -> Queue:
    """A queue as Celery declares it: there are producers that publish to queues which somebody else has declared."""
    return Queue(name, Exchange(name, type="direct"), routing_key=name)


def as_on_redis(message: Any) -> bytes:
    """A message of any broker as it would lie in a queue on Redis, which is how it is read.

    Args:
        message: One of kombu's, neither decoded nor unpacked.
    """
    body = message.body
    content = body if isinstance(body, bytes) else str(body).encode("utf-8", "surrogatepass")
    whole = {
        "body": base64.b64encode(content).decode(),
        "content-type": message.content_type,
        "content-encoding": message.content_encoding,
        "headers": message.headers,
        "properties": {"body_encoding": "base64"},
    }
    try:
        return json.dumps(whole, default=str).encode()
    except (RecursionError, TypeError, ValueError):
        return json.dumps({**whole, "headers": {}}).encode()


def publish(connection: Any, queue: str, message: Any) -> None:
    """Put a message into a queue as it came, in as many words.

    Args:
        connection: One of kombu's.
        queue: Where to.
        message: One of kombu's, neither decoded nor unpacked.

    Raises:
        Exception: Whatever the broker's client raises; it is for certain only without one that it is there.
    """

    def put(headers: dict[str, Any]) -> None:
        Producer(connection).publish(
            message.body,
            exchange="",
            routing_key=queue,
            content_type=message.content_type or "application/octet-stream",
            content_encoding=message.content_encoding or "binary",
            headers=headers,
            declare=[queue_named(queue)],
            confirm_timeout=connection.connect_timeout,
        )

    try:
        put(message.headers)
    except BROKER_ERRORS:
        raise
    except Exception:  # noqa: BLE001 - headers that can be read and not be written
        put({})


class Depths(Protocol):
    """How many messages wait."""

    def waiting(self, queues: Iterable[str]) -> int:
        """The number of messages in some queues. Raises whatever the broker's client does."""

    def close(self) -> None:
        """Give the connection back."""


class AskedDepths:
    """How many messages wait on RabbitMQ.

    Args:
        app: The worker's Celery application.
    """

    def __init__(self, app: Any) -> None:
        self._connection = app.connection_for_write()

    def waiting(self, queues: Iterable[str]) -> int:
        """The number of messages in some queues. Raises whatever the broker's client does."""
        channel = self._connection.default_channel
        answers: list[Any] = [queue_named(queue)(channel).queue_declare() for queue in queues]
        return sum(answer.message_count for answer in answers)

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()


class RedisDepths:
    """How many messages wait on Redis.

    Args:
        app: The worker's Celery application.
    """

    def __init__(self, app: Any) -> None:
        self._channel = app.connection_for_write().default_channel

    def waiting(self, queues: Iterable[str]) -> int:
        """The number of messages in some queues. Raises whatever the broker's client does."""
        with self._channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            for queue in queues:
                pipeline.llen(queue)
            return sum(pipeline.execute())

    def close(self) -> None:
        """Give the connection back."""
        self._channel.connection.client.close()


def depths(address: RedisAddress | BrokerAddress, app: Any) -> Depths | None:
    """Who counts what waits on a broker; nobody where each question costs money.

    Args:
        address: Of the broker.
        app: The worker's Celery application.
    """
    if isinstance(address, BrokerAddress):
        return AskedDepths(app) if address.counts else None
    return RedisDepths(app)


#: Where a message lies, and the message as it lies on Redis.
Item = tuple[Any, bytes]


class Inbox(Protocol):
    """A queue out of which a message is taken only once it was dealt with.

    Attributes:
        shared: Whether others read the same messages at the same time.
    """

    shared: bool

    def oldest(self) -> list[Item]:
        """The messages whose turn it is, each with where it lies; nothing is taken out."""

    def remove(self, items: Sequence[Item]) -> None:
        """Take out what was dealt with; what somebody else has taken out is no error."""

    def put_last(self, items: Sequence[Item]) -> None:
        """Let others go first."""

    def close(self) -> None:
        """Give the connections back."""


class HeldInbox:
    """A queue of a broker that gives a message to one reader, and to another if that one goes without a word.

    Args:
        app: The worker's Celery application.
        name: The queue.
        batch: Messages held at a time at most.
    """

    shared = False

    def __init__(self, app: Any, name: str, batch: int) -> None:
        self._name = name
        self._batch = batch
        self._connection = app.connection_for_write()
        self._channel = self._connection.default_channel
        queue_named(name)(self._channel).declare()
        self._held: dict[Any, Any] = {}

    def oldest(self) -> list[Item]:
        """Those that are held; more are asked for first where there is room."""
        while len(self._held) < self._batch and sum(len(held.body) for held in self._held.values()) < _MOST_BYTES:
            given = self._channel.basic_get(self._name, no_ack=False)
            if given is None:
                break
            message = self._channel.message_to_python(given)
            self._held[message.delivery_tag] = message
        return [(tag, as_on_redis(message)) for tag, message in self._held.items()]

    def remove(self, items: Sequence[Item]) -> None:
        """Say that they were dealt with."""
        for tag, _ in items:
            self._channel.basic_ack(tag)
            del self._held[tag]

    def put_last(self, items: Sequence[Item]) -> None:
        """Put a copy at the end, and let go of it here; whoever dies in between leaves two, which does no harm."""
        for tag, item in items:
            publish(self._connection, self._name, self._held[tag])
            self.remove([(tag, item)])

    def close(self) -> None:
        """Give the connection back, and with it what is held."""
        self._held.clear()
        self._connection.close()


def inbox(address: RedisAddress | BrokerAddress, app: Any, name: str, batch: int) -> Inbox:
    """A queue out of which a message is taken only once it was dealt with.

    Args:
        address: Of the broker.
        app: The worker's Celery application.
        name: The queue.
        batch: Messages read in one go at most.
    """
    return (HeldInbox if isinstance(address, BrokerAddress) else RedisInbox)(app, name, batch)


class RedisInbox:
    """A queue on Redis, where a message stays while it is read, for all to see.

    Args:
        app: The worker's Celery application.
        name: The queue.
        batch: Messages read in one go at most.
    """

    shared = True

    def __init__(self, app: Any, name: str, batch: int) -> None:
        self._batch = batch
        self._connection = app.connection_for_write()
        channel = self._connection.default_channel
        queue_named(name)(channel).declare()
        self._channel = channel
        self._keys = [f"{name}{channel.sep}{step}" if step else name for step in channel.priority_steps]

    def oldest(self) -> list[Item]:
        """The messages whose turn it is, each with the key that it lies under; nothing is taken out."""
        with self._channel.conn_or_acquire() as client:
            for key in self._keys:
                found = client.lrange(key, -self._batch, -1)
                if found:
                    return [(key, item) for item in reversed(found)]
        return []

    def remove(self, items: Sequence[Item]) -> None:
        """Take out what was dealt with; what somebody else has taken out is no error."""
        if not items:
            return
        with self._channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            for key, item in items:
                pipeline.lrem(key, -1, item)
            pipeline.execute()

    def put_last(self, items: Sequence[Item]) -> None:
        """Let others go first."""
        if not items:
            return
        with self._channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=True)
            for key, item in items:
                pipeline.lrem(key, -1, item)
                pipeline.lpush(key, item)
            pipeline.execute()

    def close(self) -> None:
        """Give the connections back."""
        self._connection.close()
