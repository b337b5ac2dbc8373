"""The broker's queues by the eyes of Celery's own client, so that addresses and names mean the same; nothing is popped.

Imported by workers only: it needs Celery.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kombu import Exchange, Queue


class Depths:
    """How many messages wait.

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


class Inbox:
    """A queue out of which a message is taken only once it was dealt with.

    Args:
        app: The worker's Celery application.
        name: The queue.
        batch: Messages read in one go at most.
    """

    def __init__(self, app: Any, name: str, batch: int) -> None:
        self._batch = batch
        self._connection = app.connection_for_write()
        channel = self._connection.default_channel
        # As a consumer of Celery's would: there are producers that publish to queues which somebody else has declared.
        Queue(name, Exchange(name, type="direct"), routing_key=name)(channel).declare()
        self._channel = channel
        self._keys = [f"{name}{channel.sep}{step}" if step else name for step in channel.priority_steps]

    def oldest(self) -> list[tuple[str, bytes]]:
        """The messages whose turn it is, each with the key that it lies under; nothing is taken out."""
        with self._channel.conn_or_acquire() as client:
            for key in self._keys:
                found = client.lrange(key, -self._batch, -1)
                if found:
                    return [(key, item) for item in reversed(found)]
        return []

    def remove(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Take out what was dealt with; what somebody else has taken out is no error."""
        if not items:
            return
        with self._channel.conn_or_acquire() as client:
            pipeline = client.pipeline(transaction=False)
            for key, item in items:
                pipeline.lrem(key, -1, item)
            pipeline.execute()

    def put_last(self, items: Sequence[tuple[str, bytes]]) -> None:
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
