"""A journal on a Redis Cluster: found by its slot, away while the slot moves, and never half a journal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from blnk_relay import AsyncRelay, InvalidSettings, JournalUnavailable, Relay, Settings, UnsuitableServer
from blnk_relay.journal.journal import Journal
from tests.support.cluster import Cluster, Node, cluster
from tests.support.journal import LANE, WORKER, enqueue, finish, sweep
from tests.support.payments import payment
from tests.support.stages import SHORT, insist, slow
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.process import run_worker


@pytest.fixture(scope="module")
def nodes() -> Iterator[Cluster]:
    with cluster(3) as made:
        yield made


@pytest.fixture
def settings(nodes: Cluster, valkey: Any) -> Settings:
    for node in nodes.nodes:
        node.ask("FLUSHALL")
    return Settings(redis_url=nodes.url, broker_url=f"redis://127.0.0.1:{valkey.port}/1")


@pytest.fixture
def relay(settings: Settings) -> Iterator[Relay]:
    with Relay(settings) as made:
        yield made


def test_a_journal_on_a_cluster_does_all_that_it_does_elsewhere(relay, nodes):
    enqueue(relay, "one", "two")
    claims = relay.journal().claim(LANE, WORKER, 10)
    assert sorted(claimed.entry.key for claimed in claims.items) == ["one", "two"]
    finish(relay.journal(), *claims.items)
    sweep(relay.journal())
    assert relay.get("one").state == "done"
    assert relay.journal().check_server() == []
    sizes = [node.ask("DBSIZE") for node in nodes.nodes]
    assert sorted(map(bool, sizes)) == [False, False, True]

    async def run() -> None:
        async with AsyncRelay(relay.settings) as other:
            assert (await other.enqueue(payment("async."))).created
            assert (await other.get("async.")).state == "ready"

    asyncio.run(run())


def test_while_its_slot_moves_a_journal_is_away_and_after_that_goes_on_with_all_of_it(relay, nodes):
    journal, prefix = relay.journal(), relay.journal().prefix
    keys = [f"order-{number}" for number in range(20)]
    enqueue(relay, *keys)
    source = nodes.owner(prefix)

    def held(node: Node) -> int:
        """Keys of the journal that lie there; beside them may be the one that names all journals."""
        with node.client() as client:
            return sum(1 for _ in client.scan_iter(match=f"{prefix}*", count=1000))

    target = next(node for node in nodes.nodes if node is not source)
    before = held(source)

    async def async_enqueue() -> None:
        async with AsyncRelay(relay.settings) as other:
            await other.enqueue(payment("async."))

    target.ask("CONFIG RESETSTAT")
    nodes.begin_move(prefix, target)
    for moved in (0, before // 2):
        nodes.move_keys(prefix, source, target, moved)
        for act in (
            lambda: relay.enqueue(payment("new."), key="new"),
            lambda: relay.enqueue(payment(), key=keys[0]),
            lambda: relay.enqueue_many([payment(f"many-{number}.") for number in range(3)]),
            lambda: relay.cancel(keys[0]),
            lambda: journal.claim(LANE, WORKER, 10),
            journal.sweep,
            lambda: asyncio.run(async_enqueue()),
        ):
            with pytest.raises(JournalUnavailable, match="moves from one node to another") as caught:
                act()
            assert not isinstance(caught.value, UnsuitableServer)
        # Nothing was made on either side.
        assert held(source) == before - moved
        assert held(target) == moved
        with target.client() as client:
            assert not {"cmdstat_evalsha", "cmdstat_eval"} & set(client.info("commandstats"))
    nodes.end_move(prefix, source, target)

    assert relay.enqueue(payment("new."), key="new").created
    assert not relay.enqueue(payment(), key=keys[0]).created
    claimed = journal.claim(LANE, WORKER, 100).items
    assert sorted(item.entry.key for item in claimed) == sorted([*keys, "new"])
    finish(journal, *claimed)
    assert {relay.get(key).state for key in keys} == {"done"}
    assert not journal.claim(LANE, WORKER, 100).items
    assert not held(source)
    asyncio.run(async_enqueue())


def test_workers_bring_all_payments_to_their_end_while_the_slot_moves_under_them(settings, nodes):
    fields = {**SHORT, "redis_url": settings.redis_url, "broker_url": settings.broker_url, "namespace": "moving"}
    with Stage(settings=fields, faults=slow(0.02)) as stage, Relay(stage.settings) as relay:
        prefix = stage.settings.prefix("default")
        stage.start_worker()
        keys = [f"order-{number}." for number in range(60)]
        for key in keys[:40]:
            relay.enqueue(payment(key))
        wait_until(lambda: relay.get(keys[0]).state != "ready", 20, "work under way")
        target = next(node for node in nodes.nodes if node is not nodes.owner(prefix))
        source = nodes.begin_move(prefix, target)
        nodes.move_keys(prefix, source, target, 60)
        with pytest.raises(JournalUnavailable):
            relay.enqueue(payment(keys[40]))
        nodes.end_move(prefix, source, target)
        for key in keys[40:]:
            insist(relay, [payment(key)])
        for key in keys:
            assert relay.wait(key, timeout_s=60).outcome == "applied"
        rows = Counter(row.reference for row in stage.sandbox.books().rows)
        assert {rows[key] for key in keys} == {1}
        assert set(rows.values()) == {1}


def test_a_plain_address_of_a_node_and_a_clusters_address_of_another_server_are_refused(nodes, valkey):
    broker = f"redis://127.0.0.1:{valkey.port}/1"
    configured = {"instance_id": "i", "token": "t"}
    for url, says in (
        (f"redis://127.0.0.1:{nodes.nodes[0].port}/0", r"write redis\+cluster://"),
        (f"redis+cluster://127.0.0.1:{valkey.port}", r"without cluster mode: write redis://"),
    ):
        wrong = Settings(redis_url=url, broker_url=broker, **configured)
        with Relay(wrong) as relay, pytest.raises(UnsuitableServer, match=says):
            relay.enqueue(payment("order."))
        with pytest.raises(InvalidSettings, match=says):
            run_worker(wrong)

        async def run(wrong: Settings = wrong) -> None:
            async with AsyncRelay(wrong) as other:
                await other.enqueue(payment("order."))

        with pytest.raises(UnsuitableServer, match=says):
            asyncio.run(run())


def test_a_cluster_is_never_the_broker():
    for fields, says in (
        (
            {"redis_url": "redis+cluster://h"},
            "BLNK_RELAY_BROKER_URL is empty, and BLNK_RELAY_REDIS_URL leads to a Redis Cluster",
        ),
        ({"broker_url": "redis+cluster://h"}, "BLNK_RELAY_BROKER_URL leads to a Redis Cluster"),
    ):
        with pytest.raises(InvalidSettings, match=says):
            Settings(**fields)


def test_a_journal_goes_on_where_its_replica_was_promoted(valkey):
    with cluster(3, 1) as nodes:
        settings = Settings(
            redis_url=nodes.url, broker_url=f"redis://127.0.0.1:{valkey.port}/1", durability="replicated:1"
        )
        owner = nodes.owner(settings.prefix("default"))
        replica = nodes.replica_of(owner)
        with Relay(settings) as relay:
            wait_until(lambda: relay.enqueue(payment("before.")).durability == "replicated:1", 20, "durability")
            nodes.promote(replica)
            assert relay.enqueue(payment("promoted.")).created
            wait_until(lambda: nodes.replica_of(replica) is owner, 20, "the old master to follow")
            wait_until(lambda: relay.enqueue(payment("synced.")).durability == "replicated:1", 20, "durability")
            nodes.kill(replica)
            with pytest.raises(JournalUnavailable):
                relay.enqueue(payment("away."))

            def again() -> bool:
                try:
                    relay.enqueue(payment("after."))
                except JournalUnavailable:
                    return False
                return True

            wait_until(again, 30, "the other node to take over")
            assert relay.get("before.").state == relay.get("promoted.").state == "ready"
            nodes.restart(replica)
            assert len(Journal(settings).claim(LANE, WORKER, 100).items) >= 4
