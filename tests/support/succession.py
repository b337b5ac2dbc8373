"""A primary whose replica is cut off and then promoted, again and again: what was written after the cut is lost."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import redis

from tests.support.forwarder import Forwarder
from tests.support.sentinels import SERVICE, Sentinel, begin_to_watch, url_of
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until

#: Who promotes: somebody who also moves the fixed address, or sentinels.
Promoter = Literal["hand", "sentinel"]

_WAIT_S = 60.0

#: The user that a replica comes as: without it, it is cut off, and stays what it is to whoever else looks at it.
_FOLLOWER = "follower"

_OPTIONS = {
    "repl-diskless-sync-delay": "0",
    "masteruser": _FOLLOWER,
    "masterauth": _FOLLOWER,
    "user": f"{_FOLLOWER} on >{_FOLLOWER} +psync +replconf +ping",
}


class Succession:
    """Two servers, each of which is the primary by turns.

    Attributes:
        promotions: How many were begun so far.

    Args:
        promoter: Who promotes.
    """

    def __init__(self, promoter: Promoter) -> None:
        self.promotions = 0
        self._sentinels: list[Sentinel] = []
        self._primary, self._replica = LastingValkey(**_OPTIONS), LastingValkey(**_OPTIONS)
        self._address = Forwarder(self._primary.port)
        self._follow()
        if promoter == "sentinel":
            begin_to_watch(self._primary.port, self._sentinels)

    @property
    def url(self) -> str:
        """For the journal and for the broker: the same for all time."""
        return url_of(self._sentinels) if self._sentinels else f"redis://127.0.0.1:{self.port}/0"

    @property
    def port(self) -> int:
        """The fixed port, behind which is whoever is the primary."""
        return self._address.port

    def client(self) -> redis.Redis:
        """A plain client of the primary, to be closed by the caller."""
        return self._primary.client()

    def cut(self) -> None:
        """From now on the replica gets nothing, and does not come back either."""
        with self._primary.client() as client:
            client.execute_command("ACL SETUSER", _FOLLOWER, "off")
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
            wait_until(lambda: client.info("replication")["connected_slaves"] == 0, _WAIT_S, "the cut")

    def written(self) -> int:
        """Bytes that the primary has written for replicas so far, whether or not one is there."""
        with self._primary.client() as client:
            return int(client.info("replication")["master_repl_offset"])

    def promote(self) -> None:
        """Kill the primary, and have the replica take its place with what it has."""
        self._primary.crash()
        # Whoever looks before it enqueues at the new one must see this.
        self.promotions += 1
        with self._replica.client() as client:
            if not self._sentinels:
                client.replicaof("NO", "ONE")
            wait_until(lambda: client.info("replication")["role"] == "master", _WAIT_S, "the promotion")
        # Before they agree, the old one would be taken for the primary again if it came back.
        wait_until(self._agreed, _WAIT_S, "the sentinels to agree")
        self._primary, self._replica = self._replica, self._primary
        self._address.target = self._primary.port

    def _agreed(self) -> bool:
        def told(sentinel: Sentinel) -> int:
            with sentinel.client() as client:
                return int(client.sentinel_master(SERVICE)["port"])

        return all(told(sentinel) == self._replica.port for sentinel in self._sentinels)

    def bring_back(self) -> None:
        """Start the old primary, which thinks that it still is; whoever promoted the other makes it a replica of it."""
        self._replica.start()
        self._follow()

    def _follow(self) -> None:
        with self._primary.client() as primary, self._replica.client() as replica:

            def follows() -> bool:
                # A server that changes its mind drops its connections.
                with suppress(redis.ConnectionError):
                    told = replica.info("replication")
                    return told["role"] == "slave" and told["master_link_status"] == "up"
                return False

            if not self._sentinels:
                replica.replicaof("127.0.0.1", self._primary.port)
            wait_until(follows, _WAIT_S, "the replica to follow")
            wait_until(lambda: primary.wait(1, 1000) == 1, _WAIT_S, "the replica to have everything")

    def stop(self) -> None:
        """End all of them."""
        self._address.stop()
        for server in (*self._sentinels, self._primary, self._replica):
            server.stop()
