"""A Redis that is replaced behind its address, refuses writes for a while, or sees more callers than connections."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
import redis

from blnk_relay import AsyncRelay, JournalUnavailable, Relay, Settings, TooLate
from blnk_relay.bell import Bells, queue_of
from blnk_relay.journal.journal import Journal
from tests.support.forwarder import Forwarder
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey

WAIT_S = 15


class Pair:
    """A primary, its replica, and an address that follows whoever is primary."""

    def __init__(self) -> None:
        at_once = {"repl-diskless-sync-delay": "0"}
        self.servers = [start_valkey(at_once), start_valkey(at_once)]
        self.clients = [redis.Redis(port=server.port, decode_responses=True) for server in self.servers]
        self._follow(1, 0)
        self.address = Forwarder(self.servers[0].port)

    def _follow(self, replica: int, primary: int) -> None:
        self.clients[replica].replicaof("127.0.0.1", self.servers[primary].port)
        wait_until(
            lambda: self.clients[replica].info("replication")["master_link_status"] == "up", WAIT_S, "the replica"
        )

    def fail_over(self) -> None:
        """The replica becomes the primary, and the primary its replica; connections stay where they are."""
        old, new = self.clients
        wait_until(lambda: _offset(old) == _offset(new), WAIT_S, "the replica to have it all")
        new.replicaof("NO", "ONE")
        self._follow(0, 1)
        self.address.target = self.servers[1].port

    def stop(self) -> None:
        self.address.stop()
        for client, server in zip(self.clients, self.servers, strict=True):
            client.close()
            server.stop()


def _offset(client: redis.Redis) -> int:
    return client.info("replication")["master_repl_offset"]


@pytest.fixture
def pair() -> Iterator[Pair]:
    servers = Pair()
    yield servers
    servers.stop()


@pytest.fixture
def fixed(pair: Pair) -> Settings:
    return Settings(redis_url=f"redis://127.0.0.1:{pair.address.port}/0")


@pytest.mark.parametrize("durability", ["memory", "fsync"])
def test_a_producer_goes_on_after_a_failover_behind_its_address(pair, fixed, durability):
    with Relay(replace(fixed, durability=durability, durability_timeout_s=0.2)) as relay:
        relay.enqueue(payment("before."))
        assert relay.get("before.").state == "ready"
        pair.fail_over()
        assert relay.enqueue(payment("after.")).created
        assert relay.enqueue_many([payment(f"many-{number}.") for number in range(3)])[2].created
        assert relay.get("after.").state == "ready"
        # It may have been claimed, and sent, in moments that the other server has not got.
        with pytest.raises(TooLate, match="moments that Redis has lost"):
            relay.cancel("before.")
    assert pair.clients[1].info("replication")["role"] == "master"


@pytest.mark.parametrize("durability", ["memory", "fsync"])
def test_an_async_producer_goes_on_after_a_failover_behind_its_address(pair, fixed, durability):
    async def run() -> None:
        async with AsyncRelay(replace(fixed, durability=durability, durability_timeout_s=0.2)) as relay:
            await asyncio.gather(*(relay.enqueue(payment(f"before-{number}.")) for number in range(8)))
            pair.fail_over()
            receipts = await asyncio.gather(*(relay.enqueue(payment(f"after-{number}.")) for number in range(8)))
            assert all(receipt.created for receipt in receipts)
            assert (await relay.get("after-0.")).state == "ready"
            with pytest.raises(TooLate, match="moments that Redis has lost"):
                await relay.cancel("before-0.")

    asyncio.run(run())


def test_threads_of_a_producer_go_on_after_a_failover_behind_its_address(pair, fixed):
    with Relay(fixed) as relay, ThreadPoolExecutor(8) as pool:
        together = Barrier(8)

        def enqueue(name: str) -> bool:
            together.wait(WAIT_S)
            return relay.enqueue(payment(name)).created

        assert all(pool.map(enqueue, [f"before-{number}." for number in range(8)]))
        pair.fail_over()
        assert all(pool.map(enqueue, [f"after-{number}." for number in range(8)]))


def test_bells_ring_again_after_a_failover_behind_the_address(pair, fixed):
    bells = Bells(fixed)
    lane = fixed.lanes[0]
    bells.ring("default", [lane])
    pair.fail_over()
    bells.ring("default", [lane])

    def rung() -> bool:
        bells.ring("default", [lane])
        return pair.clients[1].llen(queue_of(fixed, lane)) > 1

    wait_until(rung, WAIT_S, "a bell on the new primary")
    bells.close()


def test_a_journal_of_a_worker_goes_on_after_a_failover_behind_the_address(pair, fixed):
    journal = Journal(fixed)
    with Relay(fixed) as relay:
        relay.enqueue(payment("before."))
    journal.claim(fixed.lanes[0], "worker", 0)
    journal.sweep()
    pair.fail_over()
    assert len(journal.claim(fixed.lanes[0], "worker", 1).items) == 1
    wait_until(lambda: journal.sweep().swept, WAIT_S, "a sweep")
    journal.close()


@pytest.mark.parametrize(
    ("refusing", "well"),
    [
        ({"min-replicas-to-write": 5}, {"min-replicas-to-write": 0}),
        ({"replicaof": None}, {}),
    ],
)
def test_while_a_server_takes_no_writes_a_producer_hears_it_and_goes_on_when_it_does(refusing, well):
    server = start_valkey()
    client = redis.Redis(port=server.port)
    try:
        with Relay(Settings(redis_url=f"redis://127.0.0.1:{server.port}/0")) as relay:
            relay.enqueue(payment("before."))
            for name, value in refusing.items():
                client.replicaof("127.0.0.1", 1) if name == "replicaof" else client.config_set(name, value)
            for _ in range(3):
                with pytest.raises(JournalUnavailable):
                    relay.enqueue(payment("after."))
            client.replicaof("NO", "ONE")
            for name, value in well.items():
                client.config_set(name, value)
            assert relay.enqueue(payment("after.")).created
    finally:
        client.close()
        server.stop()


# -- bursts --------------------------------------------------------------------------------------------------------

BURST = 300


@pytest.fixture
def narrow(settings: Settings) -> Settings:
    """Few connections, so that a burst has to wait for them."""
    return replace(settings, redis_connections=4)


def test_three_hundred_threads_at_once_are_all_accepted(narrow, caplog):
    together = Barrier(BURST)
    with Relay(narrow) as relay, ThreadPoolExecutor(BURST) as pool:

        def enqueue(number: int) -> Any:
            together.wait(WAIT_S)
            receipt = relay.enqueue(payment(f"burst-{number}."))
            return receipt, relay.get(receipt.key).state

        with caplog.at_level(logging.WARNING):
            answers = list(pool.map(enqueue, range(BURST)))
        assert all(receipt.created for receipt, _ in answers)
        assert {state for _, state in answers} == {"ready"}
        assert len(relay.journal().client.client_list()) < BURST // 2
    assert not caplog.records


def test_three_hundred_tasks_at_once_are_all_accepted(narrow):
    # One thread does the work of all of them, a second of it, and the last waits for a connection all the while: where
    # others use the processor as well, the default is not always enough, and says so with a sentence.
    patient = replace(narrow, redis_timeout_s=10.0)

    async def run() -> None:
        async with AsyncRelay(patient) as relay:
            receipts = await asyncio.gather(*(relay.enqueue(payment(f"burst-{number}.")) for number in range(BURST)))
            assert all(receipt.created for receipt in receipts)
            states = await asyncio.gather(*(relay.get(receipt.key) for receipt in receipts))
            assert {status.state for status in states} == {"ready"}

    asyncio.run(run())


def test_the_default_settings_take_a_burst_of_three_hundred(settings):
    async def run() -> None:
        async with AsyncRelay(settings) as relay:
            receipts = await asyncio.gather(*(relay.enqueue(payment(f"burst-{number}.")) for number in range(BURST)))
            assert all(receipt.created for receipt in receipts)

    asyncio.run(run())


def test_a_call_that_gets_no_connection_in_time_is_told_so(settings, valkey):
    few = replace(settings, redis_connections=1, redis_timeout_s=0.5, durability_timeout_s=0.4)
    with Relay(few) as relay, ThreadPoolExecutor(2) as pool, redis.Redis(port=valkey.port) as client:
        relay.enqueue(payment("before."))
        client.execute_command("CLIENT", "PAUSE", 1_200, "ALL")
        calls = [pool.submit(relay.enqueue, payment(f"stuck-{number}.")) for number in range(2)]
        for call in calls:
            with pytest.raises(JournalUnavailable):
                call.result(WAIT_S)
        wait_until(client.ping, WAIT_S)
        assert relay.enqueue(payment("after.")).created
