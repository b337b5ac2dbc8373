"""The line to one Redis: a client and kept connections, shared by all journals of a process that are there."""

from __future__ import annotations

import redis

from blnk_relay.address import RedisAddress
from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.connection import connect
from blnk_relay.journal.lua import Connections
from blnk_relay.settings import Settings


class Line:
    """Connections to one Redis; none is made before it is used.

    Args:
        settings: The bounds.
        address: Where it is.
        prefix: Of the keys that are meant: in a cluster each hash slot may be on another node.

    Attributes:
        client: For reads, and for what is more than one command.
        connections: For one command and its answer.
    """

    def __init__(self, settings: Settings, address: RedisAddress, prefix: str) -> None:
        self.address = address
        self.client = connect(settings, address, prefix)
        self.connections = Connections(self.client, settings.redis_connections, settings.redis_timeout_s)

    def close(self) -> None:
        """Give the connections back."""
        try:
            self.connections.close()
            self.client.close()
        except redis.RedisError as error:
            raise JournalUnavailable("the connection could not be closed") from error
