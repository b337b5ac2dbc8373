"""The promise against what dies, stalls or forgets: workers, connections, server, bells (docs/guarantees.md)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from blnk_relay import JournalUnavailable, NotFound, Receipt, Relay, Settings, Write, commit_hold, refund, void_hold
from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK, queue_of
from blnk_relay.settings import CONFIRM_LANE
from tests.support.counting import assert_exactly_once, still_open, wait_for_all
from tests.support.payments import AMOUNT, hold, payment
from tests.support.stages import (
    SHORT,
    fields_of,
    in_background,
    insist,
    lasting_stage,
    leased_ids,
    operator_of,
    pause_holding,
    resume_process,
    wait_for_leases,
)
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

#: The time within which everything that a dead worker held has to be moving again.
RECOVERY_S = 15.0

#: Longest wait for an end, however busy the machine.
PATIENCE_S = 45.0


def mix(name: str, number: int) -> list[Write]:
    """Payments, and holds with all that can follow, each a chain of its own."""
    writes: list[Write] = []
    for at in range(number):
        root = f"{name}-{at}."
        match at % 5:
            case 0 | 1 | 2:
                writes.append(Write(intent=payment(root)))
            case 3:
                writes += [
                    Write(intent=hold(root)),
                    Write(intent=commit_hold(root, precise_amount=AMOUNT // 4), key=f"part-1:{root}"),
                    Write(intent=commit_hold(root, precise_amount=AMOUNT // 4), key=f"part-2:{root}"),
                    Write(intent=void_hold(root) if at % 2 else commit_hold(root)),
                ]
            case _:
                writes += [Write(intent=payment(root)), Write(intent=refund(root))]
    return writes


def posts_by_reference(stage: Stage) -> Counter[str]:
    """How often each payment or hold was posted."""
    return Counter(seen.identity for seen in stage.sandbox.requests_seen() if seen.path == "/proxy/transactions")


def finish(stage: Stage, relay: Relay, receipts: list[Receipt]) -> None:
    """Everything ends, exactly once."""
    wait_for_all(relay, receipts, PATIENCE_S)
    assert_exactly_once(relay, receipts, stage.sandbox)
    statuses = Counter(relay.get(receipt.id).state for receipt in receipts)
    assert statuses == {"done": len(receipts)}


@pytest.fixture
def crash_stage(request) -> Iterator[Stage]:
    """A stage with a restartable Valkey and a slow ledger; the parameter is the pool."""
    with lasting_stage(pool=getattr(request, "param", "threads")) as stage:
        yield stage
        for worker in list(stage.workers):
            stage.kill_worker(worker)


@pytest.fixture
def relay(crash_stage) -> Iterator[Relay]:
    with Relay(crash_stage.settings) as running:
        yield running


# -- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash_stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_what_killed_workers_held_moves_again_soon_and_nothing_is_lost_or_doubled(crash_stage, relay):
    for _ in range(2):
        crash_stage.start_worker()
    receipts = relay.enqueue_many(mix("killed", 200))
    # Stopped first, so that what they hold at the blow is what they held when it was decided.
    pause_holding(relay, crash_stage.workers, 20)
    for worker in list(crash_stage.workers):
        crash_stage.kill_worker(worker)
    killed_s = time.monotonic()
    held = sorted(leased_ids(relay))
    tokens = fields_of(relay, held, "token")
    assert held, "the drill must hit something"
    for _ in range(2):
        crash_stage.start_worker()

    def all_moved() -> bool:
        return all(now != then for now, then in zip(fields_of(relay, held, "token"), tokens, strict=True))

    wait_until(all_moved, RECOVERY_S, "the leases of the dead to be given up")
    recovered_s = time.monotonic() - killed_s
    assert recovered_s < RECOVERY_S
    print(f"\n{len(held)} leases moved again {recovered_s:.1f} s after the kill")
    finish(crash_stage, relay, receipts)
    assert relay.journal().client.hget(relay.journal().key("counts"), "lapsed") is not None


@pytest.mark.parametrize("crash_stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_a_worker_that_is_told_to_stop_settles_what_it_holds_first(crash_stage, relay):
    worker = crash_stage.start_worker()
    receipts = relay.enqueue_many([Write(intent=payment(f"stopped.{number}.")) for number in range(250)])
    wait_for_leases(relay, 10)
    told_s = time.monotonic()
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0
    print(f"\na warm stop took {time.monotonic() - told_s:.1f} s")
    assert leased_ids(relay) == set()
    assert still_open(relay, receipts) > 0, "it must have been stopped in the middle"
    crash_stage.workers.clear()
    crash_stage.start_worker()
    finish(crash_stage, relay, receipts)
    assert relay.journal().client.hget(relay.journal().key("counts"), "lapsed") is None
    assert set(posts_by_reference(crash_stage).values()) == {1}


def test_a_worker_that_wakes_after_its_lease_neither_settles_nor_doubles(crash_stage, relay):
    sleeper = crash_stage.start_worker()
    receipts = relay.enqueue_many(mix("slept", 60))
    pause_holding(relay, [sleeper], 5)
    crash_stage.start_worker()
    finish(crash_stage, relay, receipts)
    ids = [receipt.id for receipt in receipts]
    before = [fields_of(relay, ids, name) for name in ("token", "state", "txn", "updated")]
    resume_process(sleeper)
    counts = relay.journal().key("counts")
    wait_until(
        lambda: relay.journal().client.hget(counts, "stale"), 15, "the sleeper to settle what it no longer holds"
    )
    # It is as good as any other again.
    later = relay.enqueue_many([Write(intent=payment(f"afterwards.{number}.")) for number in range(50)])
    wait_for_all(relay, later, PATIENCE_S)
    assert [fields_of(relay, ids, name) for name in ("token", "state", "txn", "updated")] == before
    assert_exactly_once(relay, [*receipts, *later], crash_stage.sandbox)


# -- connections and the server --------------------------------------------------------------------------------------


def test_dropped_connections_lose_and_double_nothing(crash_stage, relay):
    for _ in range(2):
        crash_stage.start_worker()
    writes = mix("dropped", 150)
    receipts = []
    with crash_stage.valkey.client() as client:
        wait_until(lambda: len(client.client_list()) > 4, 15, "workers to connect")
        with in_background(
            lambda: client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), 0.1
        ) as kills:
            for at in range(0, len(writes), 10):
                receipts += insist(relay, writes[at : at + 10])
            wait_until(lambda: len(kills) > 25, 20, "the storm to be over")
    finish(crash_stage, relay, receipts)


@pytest.mark.parametrize("way", ["halt", "crash"])
def test_a_server_that_comes_back_with_its_files_has_lost_nothing(crash_stage, relay, way):
    for _ in range(2):
        crash_stage.start_worker()
    writes = mix("restarted", 120)
    receipts = insist(relay, writes[:100])
    wait_for_leases(relay, 5)
    getattr(crash_stage.valkey, way)()
    with pytest.raises(JournalUnavailable):
        relay.enqueue(payment("meanwhile."))
    crash_stage.valkey.start()
    receipts += insist(relay, writes[100:])
    receipts += insist(relay, [Write(intent=payment("meanwhile."))])
    finish(crash_stage, relay, receipts)


def test_a_server_that_stalls_is_waited_for_and_nothing_is_lost(crash_stage, relay):
    crash_stage.start_worker()
    receipts = relay.enqueue_many(mix("stalled", 60))
    wait_for_leases(relay, 5)
    crash_stage.valkey.freeze()
    stalled_s = time.monotonic()
    with pytest.raises(JournalUnavailable):
        relay.enqueue(payment("unheard."))
    # Longer than a lease: the workers cannot tell the journal that they are alive, and it cannot tell that they are.
    wait_until(lambda: time.monotonic() - stalled_s > SHORT["lease_s"] + 0.5, 10)
    crash_stage.valkey.thaw()
    receipts += insist(relay, [Write(intent=payment("unheard."))])
    finish(crash_stage, relay, receipts)


# -- bells -----------------------------------------------------------------------------------------------------------


def messages(stage: Stage) -> list[str]:
    """Names of the keys that the broker keeps on the server: queues, and what was taken but not acknowledged."""
    with stage.valkey.client() as client:
        return [
            name
            for name in client.scan_iter(count=1000)
            if name.startswith((f"{stage.settings.namespace}.", "unacked", "_kombu"))
        ]


def test_lost_bells_are_made_good_by_the_sweeper(crash_stage, relay):
    receipts = relay.enqueue_many(mix("unrung", 40))
    with crash_stage.valkey.client() as client:
        assert messages(crash_stage), "there must be bells to lose"
        client.delete(*messages(crash_stage))
        crash_stage.start_worker()

        def lose() -> None:
            if found := messages(crash_stage):
                client.delete(*found)

        with in_background(lose, 0.02) as losses:
            receipts += relay.enqueue_many(mix("lost", 20))
            wait_for_all(relay, receipts, PATIENCE_S)
        assert losses
    finish(crash_stage, relay, receipts)


def test_bells_too_many_or_with_rubbish_in_them_send_nothing_twice_and_harm_nobody(crash_stage, relay):
    crash_stage.start_worker()
    crash_stage.start_worker()
    receipts = relay.enqueue_many(mix("rung", 60))
    settings, app = crash_stage.settings, relay.bells._app
    for _ in range(100):
        for lane in settings.lanes:
            app.send_task(DELIVER_TASK, args=(lane,), queue=queue_of(settings, lane), ignore_result=True)
        app.send_task(CONFIRM_TASK, args=(), queue=queue_of(settings, CONFIRM_LANE), ignore_result=True)
    for arguments in (("no such lane",), (), ("transactions", "more"), ({"lane": 1},), (None,)):
        app.send_task(DELIVER_TASK, args=arguments, queue=queue_of(settings, settings.lanes[0]), ignore_result=True)
    app.send_task("tasks.no_such_task", queue=queue_of(settings, settings.lanes[0]), ignore_result=True)
    receipts += relay.enqueue_many(mix("after", 10))
    finish(crash_stage, relay, receipts)
    assert set(posts_by_reference(crash_stage).values()) == {1}
    assert all(worker.poll() is None for worker in crash_stage.workers)


# -- producers -------------------------------------------------------------------------------------------------------


def quick(redis_url: str, **changes: Any) -> Settings:
    """Settings of a producer that does not wait long."""
    return Settings(redis_url=redis_url, redis_timeout_s=0.5, durability_timeout_s=0.4, **changes)


@pytest.fixture
def server() -> Iterator[LastingValkey]:
    running = LastingValkey()
    yield running
    running.stop()


@pytest.fixture
def producer(server) -> Iterator[Relay]:
    with Relay(
        Settings(redis_url=f"redis://127.0.0.1:{server.port}/0", redis_timeout_s=0.5, durability_timeout_s=0.4)
    ) as relay:
        yield relay


def assert_whole(relay: Relay, key: str) -> bool:
    """An intent is there with all that belongs to it, or not at all; returns which."""
    journal = relay.journal()
    try:
        status = relay.get(key)
    except NotFound:
        return False
    assert status.key == key
    assert status.state == "ready"
    assert journal.client.zscore(journal.key(f"ready:{status.lane}"), status.id) is not None
    return True


def test_a_producer_hears_soon_that_the_server_is_down_and_nothing_is_accepted(server, producer):
    server.halt()
    at_s = time.monotonic()
    with pytest.raises(JournalUnavailable):
        producer.enqueue(payment("down."))
    assert time.monotonic() - at_s < 2.0
    server.start()
    assert not assert_whole(producer, "down.")
    assert producer.enqueue(payment("down.")).created
    assert assert_whole(producer, "down.")


@pytest.mark.parametrize("how", ["frozen", "paused"])
def test_a_producer_hears_soon_that_the_server_is_stuck_and_may_try_again(server, producer, how):
    producer.enqueue(payment("before."))
    writes = [Write(intent=payment(f"stuck-{number}.")) for number in range(450)]
    if how == "frozen":
        server.freeze()
    else:
        with server.client() as client:
            client.execute_command("CLIENT", "PAUSE", 1_000, "ALL")
    at_s = time.monotonic()
    with pytest.raises(JournalUnavailable):
        producer.enqueue_many(writes)
    assert time.monotonic() - at_s < 2.0
    if how == "frozen":
        server.thaw()
    else:
        with server.client() as client:
            wait_until(client.ping, 10)
    accepted = [assert_whole(producer, write.intent.reference) for write in writes]
    assert accepted in ([True] * 200 + [False] * 250, [False] * 450), "a chunk is accepted whole or not at all"
    receipts = producer.enqueue_many(writes)
    assert [not receipt.created for receipt in receipts] == accepted
    assert all(assert_whole(producer, receipt.key) for receipt in receipts)
    assert operator_of(producer).overview().open == 451


def test_a_short_pause_of_the_server_is_waited_out(server, producer):
    with server.client() as client:
        client.execute_command("CLIENT", "PAUSE", 200, "ALL")
    assert producer.enqueue(payment("patient.")).created


def test_a_broker_that_is_away_costs_a_producer_no_intent(producer):
    """The broker may be another server, and away: the work is recorded, and the sweeper of any worker finds it."""
    away = Settings(
        redis_url=producer.settings.redis_url,
        broker_url="redis://127.0.0.1:1/0",
        redis_timeout_s=0.5,
        durability_timeout_s=0.4,
    )
    at_s = time.monotonic()
    with Relay(away) as relay:
        receipts = [relay.enqueue(payment(f"no-bell-{number}.")) for number in range(20)]
        assert time.monotonic() - at_s < 4.0
        assert all(assert_whole(relay, receipt.key) for receipt in receipts)


def test_two_producers_with_one_key_get_one_intent(server, producer):
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: producer.enqueue(payment("contested.")), range(64)))
    assert sum(receipt.created for receipt in receipts) == 1
    assert len({receipt.id for receipt in receipts}) == 1
    with redis.Redis(port=server.port) as client:
        assert client.zcard(producer.journal().key("ready:transactions")) == 1
