"""Servers that cannot do what is asked: a cluster is refused, and a receipt that is less than asked for is told of."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from blnk_relay import AsyncRelay, InvalidSettings, NotDurable, NotFound, Relay, Settings, Target, UnsuitableServer
from blnk_relay.journal import server as servers
from blnk_relay.journal.journal import Journal
from tests.support.payments import payment
from worker.demo.valkey import start_valkey
from worker.process import check_journals, run_worker


@pytest.fixture(params=["all slots", "no slots"])
def cluster(request: Any) -> Iterator[Any]:
    """A node of a cluster: one that has it all, and one that has nothing yet."""
    running = start_valkey({"cluster-enabled": "yes"})
    if request.param == "all slots":
        with redis.Redis(port=running.port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
    yield running
    running.stop()


def url(server: Any) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


def test_a_worker_does_not_start_on_a_cluster(cluster, valkey):
    configured = {"instance_id": "i", "token": "t"}
    for settings, says in (
        (Settings(redis_url=url(cluster), **configured), "BLNK_RELAY_REDIS_URL leads to a Redis Cluster"),
        (
            Settings(redis_url=url(valkey), broker_url=url(cluster), **configured),
            "BLNK_RELAY_BROKER_URL leads to a Redis Cluster",
        ),
    ):
        with pytest.raises(InvalidSettings) as caught:
            run_worker(settings)
        assert says in str(caught.value)
        assert ("write redis+cluster://" if "REDIS_URL" in says else "cluster-enabled no") in str(caught.value)


def test_a_worker_says_once_of_each_server_at_its_start_that_it_is_away(settings, caplog):
    away = Target(name="eu", redis_url="redis://127.0.0.1:1/0")
    for at, targets in (("redis://127.0.0.1:2/0", ["default", "eu"]), (settings.redis_url, ["eu"])):
        caplog.clear()
        with Relay(replace(settings, redis_url=at, base_url="http://ledger", targets=(away,))) as relay:
            assert check_journals(relay.journals) == []
        said = [record.getMessage() for record in caplog.records if "cannot be used" in record.getMessage()]
        assert len(said) == len(targets), said
        assert all(target in line for target, line in zip(targets, said, strict=True))


def test_a_producer_gives_no_receipt_on_a_cluster(cluster):
    settings = Settings(redis_url=url(cluster))

    async def enqueue() -> None:
        async with AsyncRelay(settings) as other:
            await other.enqueue(payment("order."))

    with Relay(settings) as relay:
        for _ in range(2):
            with pytest.raises(UnsuitableServer, match="Redis Cluster"):
                relay.enqueue(payment("order."))
        with pytest.raises(UnsuitableServer, match="Redis Cluster"):
            asyncio.run(enqueue())
    with redis.Redis(port=cluster.port) as client:
        assert not client.dbsize()


def test_who_may_not_ask_a_server_about_itself_may_enqueue_all_the_same(settings, valkey):
    with redis.Redis(port=valkey.port) as client:
        client.execute_command("ACL SETUSER shy on >secret ~* &* +@all -info -@admin -@dangerous")
    shy = replace(settings, redis_url=f"redis://shy:secret@127.0.0.1:{valkey.port}/0")
    try:
        with Relay(shy) as relay:
            assert relay.enqueue(payment("order.")).created
            assert relay.journal().check_server() == []
            assert len(relay.journal().claim("transactions", "worker", 1).items) == 1
    finally:
        with redis.Redis(port=valkey.port) as client:
            client.execute_command("ACL DELUSER shy")


# -- durability ------------------------------------------------------------------------------------------------------


@pytest.fixture
def forgetful() -> Iterator[Settings]:
    """A server without an append-only file, asked for fsync."""
    running = start_valkey({"appendonly": "no"})
    yield Settings(redis_url=url(running), durability="fsync", durability_timeout_s=0.2)
    running.stop()


def test_receipts_that_are_less_than_asked_for_are_warned_of_once_a_process(forgetful, monkeypatch, caplog):
    monkeypatch.setattr(servers, "_said", set())
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            with Relay(forgetful) as relay:
                assert relay.enqueue(payment(f"order-{number}.")).durability == "memory"
    assert len(caplog.records) == 1
    assert "durability memory instead of fsync" in caplog.text


def test_a_strict_producer_hears_that_its_intent_is_recorded_but_not_as_durably_as_asked(forgetful):
    strict = replace(forgetful, durability_strict=True)

    async def enqueue() -> None:
        async with AsyncRelay(strict) as other:
            await other.enqueue(payment("async."))

    with Relay(strict) as relay:
        for _ in range(2):
            with pytest.raises(NotDurable, match=r"is recorded, but its durability is memory and not fsync"):
                relay.enqueue(payment("order."))
        assert relay.get("order.").state == "ready"
        with pytest.raises(NotDurable):
            relay.enqueue_many([payment(f"many-{number}.") for number in range(300)])
        assert relay.get("many-299.").state == "ready"
        with pytest.raises(NotDurable):
            asyncio.run(enqueue())
        assert relay.get("async.").state == "ready"
        with pytest.raises(NotFound):
            relay.get("other.")
        relay.journal().client.config_set("appendonly", "yes")
    # A disk that is busy may take its time.
    with Relay(replace(strict, redis_timeout_s=20.0, durability_timeout_s=10.0)) as relay:
        receipt = relay.enqueue(payment("order."))
        assert (receipt.created, receipt.durability) == (False, "fsync")


def test_a_worker_warns_at_its_start_of_a_durability_that_is_out_of_reach(forgetful):
    journal = Journal(forgetful)
    assert any("BLNK_RELAY_DURABILITY is fsync" in warning for warning in journal.check_server())
    journal.close()
