"""A real Redis Cluster: masters with replicas, whose nodes can be killed, started again and promoted."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from redis.crc import key_slot

from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until

SLOTS = 16384
WAIT_S = 30.0

#: How a node is to behave that plays minutes in seconds.
_HASTE = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": "1500",
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
    "appendfsync": "everysec",
}


class Node(LastingValkey):
    """One of them."""

    def __init__(self, **config: Any) -> None:
        # Its own default would be the port and ten thousand, which may be too high.
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            bus = probe.getsockname()[1]
        super().__init__(**{**_HASTE, "cluster-port": bus, **config})
        self.bus: int = bus
        with self.client() as client:
            self.id: str = client.execute_command("CLUSTER MYID")

    @property
    def up(self) -> bool:
        """Whether it runs."""
        return self._server is not None

    def ask(self, *command: Any) -> Any:
        """One command."""
        with self.client() as client:
            return client.execute_command(*command)


class Cluster:
    """Nodes of one cluster: first the masters, which share out all slots evenly, then the replicas of each.

    Args:
        masters: How many.
        replicas: Of each.
        config: Options of every node that win.
    """

    def __init__(self, masters: int = 3, replicas: int = 0, **config: Any) -> None:
        self.nodes: list[Node] = []
        try:
            self._form(masters, replicas, config)
        except BaseException:
            self.stop()
            raise

    def _form(self, masters: int, replicas: int, config: dict[str, Any]) -> None:
        for _ in range(masters * (1 + replicas)):
            self.nodes.append(Node(**config))
        first = self.nodes[0]
        bounds = [SLOTS * number // masters for number in range(masters + 1)]
        for number, node in enumerate(self.nodes[:masters]):
            node.ask("CLUSTER ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
            node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            first.ask("CLUSTER MEET", "127.0.0.1", node.port, node.bus)
        wait_until(self._all_known, WAIT_S, "all nodes to know each other")
        for number, node in enumerate(self.nodes[masters:]):
            node.ask("CLUSTER REPLICATE", self.nodes[number % masters].id)
        self.wait_well()
        for node in self.nodes[masters:]:
            wait_until(lambda node=node: self._linked(node), WAIT_S, "a replica to have everything")

    def _all_known(self) -> bool:
        return all(len(node.ask("CLUSTER NODES")) == len(self.nodes) for node in self.nodes)

    @staticmethod
    def _linked(node: Node) -> bool:
        with node.client() as client:
            return client.info("replication").get("master_link_status") == "up"

    @property
    def url(self) -> str:
        """For the journal; it names all nodes."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def wait_well(self) -> None:
        """Wait until every node that runs says that all slots are served, and by whom."""
        wait_until(
            lambda: all(node.ask("CLUSTER INFO")["cluster_state"] == "ok" for node in self.nodes if node.up),
            WAIT_S,
            "the cluster to be well",
        )

    def owner(self, prefix: str) -> Node:
        """The master of the slot of a prefix, in the eyes of whoever runs and owns it."""
        slot = key_slot(prefix.encode())
        for asked in self.nodes:
            if not asked.up:
                continue
            with suppress(redis.RedisError), asked.client() as client:
                if client.execute_command("ROLE")[0] in ("master", b"master") and _owns(client, asked.id, slot):
                    return asked
        raise LookupError(f"no node that runs owns slot {slot}")

    def replica_of(self, node: Node) -> Node:
        """A running replica of a master."""
        return next(other for other in self.nodes if other.up and self._master_port(other) == node.port)

    @staticmethod
    def _master_port(node: Node) -> int:
        with node.client() as client:
            return int(client.info("replication").get("master_port", 0))

    def kill(self, node: Node) -> None:
        """SIGKILL; its replica takes over after the node timeout, where it has one."""
        node.crash()

    def restart(self, node: Node) -> None:
        """Start one again with what its files hold; as a replica where somebody took over."""
        node.start()
        self.wait_well()

    def promote(self, replica: Node, *, force: bool = False) -> None:
        """Make a replica the master; with ``force`` although its master is away."""
        replica.ask("CLUSTER FAILOVER", *(["FORCE"] if force else []))
        with replica.client() as client:
            wait_until(lambda: client.info("replication")["role"] == "master", WAIT_S, "the promotion")
        self.wait_well()

    def begin_move(self, prefix: str, target: Node) -> Node:
        """Begin to move the slot of a prefix; returns the node that has it."""
        slot, source = key_slot(prefix.encode()), self.owner(prefix)
        target.ask("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        return source

    def move_keys(self, prefix: str, source: Node, target: Node, most: int) -> list[str]:
        """Move so many keys of a slot that is being moved; returns which."""
        keys: list[str] = source.ask("CLUSTER GETKEYSINSLOT", key_slot(prefix.encode()), most)
        if keys:
            source.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return keys

    def end_move(self, prefix: str, source: Node, target: Node) -> None:
        """Move what is left, and say whose the slot is now."""
        while self.move_keys(prefix, source, target, 100):
            pass
        slot = key_slot(prefix.encode())
        for node in (target, source, *(node for node in self.nodes if node not in (target, source))):
            with suppress(redis.ResponseError):  # a replica is told by its master
                node.ask("CLUSTER SETSLOT", slot, "NODE", target.id)

    def stop(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.stop()


def _owns(client: redis.Redis, id_: str, slot: int) -> bool:
    for first, last, owner, *_ in _slots(client):
        if first <= slot <= last:
            return bool(owner[2] == id_)
    return False


def _slots(client: redis.Redis) -> Any:
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("CLUSTER", "SLOTS")
        return connection.read_response()
    finally:
        client.connection_pool.release(connection)


@contextmanager
def cluster(masters: int = 3, replicas: int = 0, **config: Any) -> Iterator[Cluster]:
    """A cluster for as long as the block runs."""
    made = Cluster(masters, replicas, **config)
    try:
        yield made
    finally:
        made.stop()
