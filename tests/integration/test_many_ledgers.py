"""Many ledgers, one fleet of workers: the demo's story at each of them, with faults, and a worker killed half-way."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import Relay, Target, Write
from tests.support.cluster import cluster
from tests.support.fleet import faults, ledgers, play_to_all
from tests.support.hostile import HostileServer, read_request
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.demo.valkey import start_valkey

SEED = 11
WAIT_S = 100.0


@pytest.mark.parametrize("pool", ["threads", pytest.param("prefork", marks=pytest.mark.long)])
def test_two_ledgers_with_journals_on_two_servers_lose_nothing_and_double_nothing(pool: str) -> None:
    second = start_valkey()
    try:
        with Stage(faults=faults(SEED), pool=pool) as stage:
            elsewhere = f"redis://127.0.0.1:{second.port}/0"
            with ledgers(stage, ["us"], SEED + 1, redis_url=elsewhere) as boxes:
                workers = [stage.start_worker() for _ in range(2)]

                def blow() -> None:
                    stage.kill_worker(workers[0])
                    stage.start_worker()

                counted = play_to_all(stage, boxes, 160, blow, seed=SEED, timeout_s=WAIT_S)
    finally:
        second.stop()
    assert counted == {"accepted": 320, "lost": 0, "doubled": 0, "violations": 0}


@pytest.mark.parametrize("count", [6, pytest.param(20, marks=pytest.mark.long)])
def test_many_ledgers_on_a_cluster_lose_nothing_and_double_nothing_when_a_node_is_killed(count: int) -> None:
    """Its replica takes over; what was acknowledged and had not reached it is gone, but for receipts and marks.

    Those that wait for a replica are not given until the node is back, as the replica of the other.
    """
    with (
        cluster(3, 1) as nodes,
        Stage(faults=faults(SEED), settings={"redis_timeout_s": 1.0, "durability_timeout_s": 0.5}) as stage,
    ):
        broker = stage.settings.redis_url
        stage.settings = replace(
            stage.settings,
            redis_url=nodes.url,
            broker_url=broker,
            durability="replicated:1",
            durability_strict=True,
        )
        with ledgers(stage, [f"shop_{number}" for number in range(1, count)], SEED + 1) as boxes:
            for _ in range(2):
                stage.start_worker()
            prefix = stage.settings.prefix("default")
            struck = nodes.owner(prefix)
            other = nodes.replica_of(struck)

            def blow() -> None:
                nodes.kill(struck)
                wait_until(lambda: other.ask("ROLE")[0] == "master", 30, "its replica to take over")
                nodes.restart(struck)

            counted = play_to_all(stage, boxes, 60, blow, seed=SEED, timeout_s=WAIT_S)
            assert nodes.owner(prefix) is other
    assert counted == {"accepted": 60 * count, "lost": 0, "doubled": 0, "violations": 0}


def test_a_ledger_that_hangs_holds_up_no_other(make_stage: Any) -> None:
    """Its requests take longer than the test has patience, and it has more lanes with work than any pool has places."""
    patient = {"read_timeout_s": 60.0, "sync_read_timeout_s": 60.0, "lease_s": 90.0}
    lanes = ("transactions", "refunds", "inflight", "a", "b", "c", "d", "e")
    stage: Stage = make_stage(settings={**patient, "lanes": lanes, "routes": ()})
    asked: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        connection.recv(1)

    with HostileServer(listen) as hanging:
        target = Target(name="hung", base_url=hanging.url, instance_id="i", token="t")  # noqa: S106
        stage.settings = replace(stage.settings, targets=(target,))
        stage.start_worker()
        with Relay(stage.settings) as relay:
            for lane in lanes:
                writes = [
                    Write(intent=payment(f"{lane}{n}"), key=f"{lane}-{n}", target="hung", lane=lane) for n in range(40)
                ]
                relay.enqueue_many(writes)
            wait_until(lambda: len(asked) >= stage.settings.connections, 20, "its connections to be busy")
            for number in range(10):
                relay.enqueue(payment(f"well-{number}"), key=f"well-{number}")
                assert relay.wait(f"well-{number}", timeout_s=20).state == "done"
