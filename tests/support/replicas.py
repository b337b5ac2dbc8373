"""A primary and a replica that can be cut off and promoted: what was written after the cut is lost with the primary."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey


class Pair:
    """Two servers, the second a replica of the first until it is cut off."""

    def __init__(self) -> None:
        self._servers: list[Any] = [start_valkey(), start_valkey({"repl-diskless-load": "on-empty-db"})]
        self.first, self.second = (
            redis.Redis(port=server.port, socket_timeout=5, decode_responses=True) for server in self._servers
        )
        self._lock = threading.Lock()
        self._cut = True
        self.join()

    @property
    def urls(self) -> tuple[str, str]:
        """Of the primary and of the replica."""
        first, second = (f"redis://127.0.0.1:{server.port}/0" for server in self._servers)
        return first, second

    def join(self) -> None:
        """Make the second a replica of the first, and wait until it has everything."""
        self.second.replicaof("127.0.0.1", self._servers[0].port)
        self._cut = False
        wait_until(lambda: self.first.info("replication")["connected_slaves"] == 1, 20)
        wait_until(lambda: self.second.info("replication")["master_link_status"] == "up", 20)

    def cut(self) -> None:
        """Promote the second with all that it has now; only the first call does."""
        with self._lock:
            if not self._cut:
                self.first.set("cut", "now")
                assert self.first.wait(1, 5000) == 1
                self.second.replicaof("NO", "ONE")
                self._cut = True

    def stop(self) -> None:
        """End both."""
        for client, server in zip((self.first, self.second), self._servers, strict=True):
            client.close()
            server.stop()


@contextmanager
def replicated() -> Iterator[Pair]:
    """A pair for as long as the block runs."""
    pair = Pair()
    try:
        yield pair
    finally:
        pair.stop()
