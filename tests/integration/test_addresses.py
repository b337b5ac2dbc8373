"""Addresses that are taken work: a socket file carries journal, bells and workers."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
import redis

from blnk_relay import AsyncRelay, Relay
from blnk_relay.bell import queue_of
from tests.support.payments import payment
from worker.demo.stage import Stage
from worker.demo.valkey import start_valkey

WAIT_S = 30
PASSWORD = "s/e#c@ret"  # noqa: S105 - what has to be quoted in an address
QUOTED = "s%2Fe%23c%40ret"


@pytest.mark.parametrize(
    ("address", "pool"),
    [
        ("unix://{path}", "threads"),
        ("unix://:" + QUOTED + "@{path}?db=3", "prefork"),
        ("unix://{path}?db=2&password=" + QUOTED, "threads"),
    ],
)
def test_a_socket_file_carries_the_journal_the_bells_and_the_workers(tmp_path: Path, address: str, pool: str):
    path = tmp_path / "redis.sock"
    url = address.format(path=path)
    stage = Stage(settings={"redis_url": url, "sweep_s": 30.0, "dead_worker_s": 100.0}, pool=pool)
    stage._start_valkey = lambda: start_valkey({"unixsocket": str(path), "unixsocketperm": "700"})
    with stage, Relay(stage.settings) as relay:
        if QUOTED in url:
            with closing(redis.Redis(unix_socket_path=str(path))) as client:
                client.config_set("requirepass", PASSWORD)
        stage.start_worker()
        receipt = relay.enqueue(payment("order-1."))
        assert relay.wait(receipt.key, WAIT_S).outcome == "applied", stage.log.read_text()

        async def enqueue() -> str:
            async with AsyncRelay(stage.settings) as other:
                await other.enqueue(payment("order-2."))
                return (await other.wait("order-2.", WAIT_S)).outcome or ""

        assert asyncio.run(enqueue()) == "applied", stage.log.read_text()
        # The sweeper is asleep, so it was the bells that brought the work; and nothing is left of them.
        lane = queue_of(stage.settings, stage.settings.lanes[0])
        with closing(redis.Redis(unix_socket_path=str(path), db=_database(url), password=_password(url))) as client:
            assert client.llen(lane) == 0
        worker = stage.workers[0]
        assert worker.poll() is None, stage.log.read_text()


def _database(url: str) -> int:
    return int(url.partition("db=")[2][:1] or 0)


def _password(url: str) -> str | None:
    return PASSWORD if QUOTED in url else None
