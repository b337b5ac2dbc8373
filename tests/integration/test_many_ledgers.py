"""Many ledgers, one fleet of workers: the demo's story at each of them, with faults, and a worker killed half-way."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import Relay, Target, Write
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


def test_a_ledger_that_hangs_holds_up_no_other(make_stage: Any) -> None:
    """Its requests end in their timeouts, and it has more lanes with work than any pool has places."""
    stage: Stage = make_stage()
    lanes = ("transactions", "refunds", "inflight", "a", "b", "c", "d", "e")
    asked: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        asked.append(read_request(connection))
        connection.recv(1)

    with HostileServer(listen) as hanging:
        target = Target(name="hung", base_url=hanging.url, instance_id="i", token="t")  # noqa: S106
        stage.settings = replace(stage.settings, lanes=lanes, routes=(), targets=(target,))
        stage.start_worker()
        with Relay(stage.settings) as relay:
            for lane in lanes:
                relay.enqueue_many(
                    [
                        Write(intent=payment(f"{lane}{number}"), key=f"{lane}-{number}", target="hung", lane=lane)
                        for number in range(40)
                    ]
                )
            wait_until(lambda: len(asked) >= stage.settings.connections / 2, 20, "its connections to be busy")
            waits = []
            for number in range(10):
                start_s = time.monotonic()
                relay.enqueue(payment(f"well-{number}"), key=f"well-{number}")
                assert relay.wait(f"well-{number}", timeout_s=20).state == "done"
                waits.append(time.monotonic() - start_s)
        stage.stop_workers()
    # No figure but that they did not wait for the other's timeouts.
    assert sorted(waits)[len(waits) // 2] < stage.settings.read_timeout_s
