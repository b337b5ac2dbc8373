"""A worker outlives what passes, comes back by itself, and ends unasked only with a code that says so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from kombu import Consumer, Queue

from blnk_relay import JournalUnavailable, Relay, Write
from blnk_relay.bell import DELIVER_TASK, queue_of
from blnk_relay.journal.operator import Operator
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE
from blnk_relay.transport.broker import url_for_celery
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.messages import message
from tests.support.payments import payment
from tests.support.stages import (
    SHORT,
    insist,
    lasting_stage,
    leased_ids,
    mortal_stage,
    operator_of,
    slow,
    wait_for_leases,
)
from tests.support.waiting import wait_until
from worker import sweeper as bootsteps
from worker.broker import Broker, listening_options
from worker.cli import exits
from worker.demo.stage import STOP_S, Stage, _clean_environment, as_environment
from worker.shared import Shared
from worker.sweeper import Round, Sweeper
from worker.watch import FAILED

PATIENCE_S = 45.0

ROOT = Path(__file__).parents[2]

#: How long a refusal lasts: long enough for every part of a worker to meet it more than once.
REFUSAL_S = 4.0


@pytest.fixture
def life_stage(request) -> Iterator[Stage]:
    """A stage with a restartable Valkey; the parameter is the pool."""
    with mortal_stage(getattr(request, "param", "threads"), slow(0.02), PATIENCE_S) as stage:
        yield stage


@pytest.fixture
def relay(life_stage) -> Iterator[Relay]:
    with Relay(life_stage.settings) as running:
        yield running


def pay(relay: Relay, name: str, number: int = 20) -> list[Any]:
    return insist(relay, [Write(intent=payment(f"{name}-{at}.")) for at in range(number)], PATIENCE_S)


def ears(stage: Stage) -> int:
    """Connections on which a worker waits for bells."""
    with stage.valkey.client() as client:
        return sum(found["cmd"] in ("brpop", "blocked") for found in client.client_list())


# -- refusals --------------------------------------------------------------------------------------------------------


def no_replicas(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("min-replicas-to-write", "1")
    return lambda: client.config_set("min-replicas-to-write", "0")


def read_only(client: redis.Redis) -> Callable[[], Any]:
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def master_down(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("replica-serve-stale-data", "no")
    return read_only(client)


def full(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("maxmemory", "1")
    return lambda: client.config_set("maxmemory", "0")


def busy(client: redis.Redis) -> Callable[[], Any]:
    client.config_set("busy-reply-threshold", "50")
    port = client.connection_pool.connection_kwargs["port"]

    def spin() -> None:
        with redis.Redis(port=port, socket_timeout=60) as other, suppress(redis.RedisError):
            other.eval("while true do end", 0)

    thread = threading.Thread(target=spin)
    thread.start()

    def calm() -> None:
        client.script_kill()
        thread.join()

    return calm


def no_rights(client: redis.Redis) -> Callable[[], Any]:
    client.execute_command("ACL", "SETUSER", "keeper", "on", ">keeper", "~*", "&*", "+@all")
    client.execute_command("AUTH", "keeper", "keeper")
    client.execute_command("ACL", "SETUSER", "default", "-brpop", "-evalsha", "-lrange", "-lpush")
    return lambda: client.execute_command("ACL", "SETUSER", "default", "+@all")


REFUSALS = (no_replicas, read_only, master_down, full, busy, no_rights)


@pytest.mark.parametrize("life_stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_workers_outlive_every_refusal_of_redis_and_come_back_by_themselves(life_stage, relay):
    worker = life_stage.start_worker()
    receipts = pay(relay, "before")
    wait_for_all(relay, receipts, PATIENCE_S)
    for refuse in REFUSALS:
        with life_stage.valkey.client() as client:
            calm = refuse(client)
            until_s = time.monotonic() + REFUSAL_S
            wait_until(lambda: time.monotonic() > until_s, REFUSAL_S * 2)  # noqa: B023 - called at once
            calm()
        receipts += pay(relay, refuse.__name__)
        wait_for_all(relay, receipts, PATIENCE_S)
        assert worker.poll() is None, refuse.__name__
    assert_exactly_once(relay, receipts, life_stage.sandbox)
    assert len(life_stage.log.read_text().splitlines()) < 2_000, "a refusal is told now and then, not each time"
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("life_stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_a_worker_that_is_told_to_begin_anew_does_so_in_the_same_process(life_stage, relay):
    worker = life_stage.start_worker()
    receipts = pay(relay, "before")
    wait_for_all(relay, receipts, PATIENCE_S)
    (program,) = wait_until(lambda: programs(relay), PATIENCE_S, "a sign of life")
    worker.send_signal(signal.SIGHUP)
    wait_until(lambda: programs(relay) not in ([program], []), PATIENCE_S, "the worker to begin anew")
    receipts += pay(relay, "after")
    wait_for_all(relay, receipts, PATIENCE_S)
    assert worker.poll() is None
    wait_until(lambda: len(programs(relay)) == 1, PATIENCE_S)
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0
    assert_exactly_once(relay, receipts, life_stage.sandbox)


def test_a_bell_that_comes_while_a_worker_stops_is_left_to_others_as_it_is(settings, valkey):
    queues = [queue_of(settings, lane) for lane in (*settings.lanes, CONFIRM_LANE)]
    rung = message(args=["transactions"], task=DELIVER_TASK)
    broker = Broker.Connection(
        url_for_celery(settings), transport_options=dict(listening_options(settings, pytest.fail))
    )
    with broker as connection, redis.Redis(port=valkey.port) as client:
        channel = connection.default_channel
        consumer = Consumer(channel, [Queue(queue, routing_key=queue) for queue in queues], callbacks=[pytest.fail])
        consumer.consume()
        with suppress(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert channel._in_poll, "it listens"
        # What a worker does when it is told to stop; its last question to the broker is still open.
        consumer.cancel()
        client.lpush(queues[0], rung)
        channel.close()
        assert client.lrange(queues[0], 0, -1) == [rung]
        assert client.llen(queue_of(settings, INGEST_LANE)) == 0


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_a_worker_that_is_told_to_stop_gives_back_at_once_what_it_has_not_begun(pool):
    # Two connections and half a dozen intents for each of them: to send them all takes 24 seconds.
    patient = {**SHORT, "connections": 2, "read_timeout_s": 6.0, "sync_read_timeout_s": 6.0, "lease_s": 12.0}
    with lasting_stage(pool=pool, faults=slow(4.0), settings=patient) as stage, Relay(stage.settings) as relay:
        worker = stage.start_worker()
        receipts = pay(relay, "held", 24)
        wait_for_leases(relay, 12)
        wait_until(lambda: len(stage.sandbox.books().rows) >= 2, PATIENCE_S, "both connections to be busy")
        worker.terminate()
        assert worker.wait(STOP_S) == 0
        stage.workers.remove(worker)
        assert leased_ids(relay) == set(), "nothing is left to be found by the end of its lease"
        assert len(stage.sandbox.books().rows) <= 4, "nothing was begun after that"
        stage.sandbox.set_faults(slow(0.0))
        stage.start_worker()
        wait_for_all(relay, receipts, PATIENCE_S)
        assert_exactly_once(relay, receipts, stage.sandbox)


@pytest.mark.parametrize("life_stage", ["prefork"], indirect=True)
def test_a_bell_that_a_process_of_the_pool_has_just_got_does_not_hold_up_the_stop(life_stage, relay):
    queue = queue_of(life_stage.settings, life_stage.settings.lanes[0])
    worker = life_stage.start_worker()
    wait_for_all(relay, pay(relay, "before", 1), PATIENCE_S)
    wait_until(lambda: ears(life_stage), PATIENCE_S, "a worker that listens")
    children = [int(pid) for pid in Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()]
    # Celery has handed the bell on, and does not know yet that it was taken up, when it is told to stop.
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        with life_stage.valkey.client() as client:
            # One after the other: when the last is taken, the first are with the processes.
            client.lpush(queue, *[message(args=["transactions"], task=DELIVER_TASK)] * 3)
            wait_until(lambda: not client.llen(queue), PATIENCE_S, "the bells to be taken")
        worker.terminate()
        wait_until(lambda: programs(relay) == [], PATIENCE_S, "the worker to have begun to stop")
    finally:
        for child in children:
            os.kill(child, signal.SIGCONT)
    assert worker.wait(STOP_S) == 0
    life_stage.workers.remove(worker)


def programs(relay: Relay) -> list[str]:
    found: Any = relay.journal().client.zrange(relay.journal().key("alive"), 0, -1)
    return list(found)


def test_a_server_that_is_killed_again_and_again_leaves_no_worker_deaf(life_stage, relay):
    workers = [life_stage.start_worker() for _ in range(2)]
    wait_until(lambda: ears(life_stage) == 2, PATIENCE_S, "two workers that listen")
    receipts = []
    for number in range(6):
        receipts += pay(relay, f"storm-{number}", 100)
        until_s = time.monotonic() + 1.2
        wait_until(lambda: time.monotonic() > until_s, 5)  # noqa: B023 - called at once
        life_stage.valkey.crash()
        life_stage.valkey.start()
    wait_for_all(relay, receipts, PATIENCE_S)
    wait_until(lambda: ears(life_stage) == 2, PATIENCE_S, "two workers that listen")
    receipts += pay(relay, "after")
    wait_for_all(relay, receipts, PATIENCE_S)
    assert [worker.poll() for worker in workers] == [None, None]
    assert_exactly_once(relay, receipts, life_stage.sandbox)


# -- workers that are broken on purpose ------------------------------------------------------------------------------


@contextmanager
def broken_worker(stage: Stage, break_it: str, **settings: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A worker in whose program something was broken beforehand, by a few lines of Python."""
    code = f"""
import sys
from kombu.transport import redis as transport
from blnk_relay import Settings
from worker import broker
from worker.process import run_worker
{break_it}
sys.exit(run_worker(Settings.from_env(), pool="threads"))
"""
    environment = {**_clean_environment(), **as_environment(stage.settings)}
    environment |= {f"BLNK_RELAY_{name.upper()}": str(value) for name, value in settings.items()}
    with stage.log.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
    try:
        yield worker
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait(PATIENCE_S)


#: Channels that send no BRPOP hear nothing, and the connection lives on; so it is with a channel that leaks its places.
DEAF = """
made, start = [], transport.Channel._brpop_start
def deaf(self, *args, **kwargs):
    if self not in made:
        made.append(self)
    if made.index(self) >= {first}:
        return start(self, *args, **kwargs)
    self._in_poll = self.client.connection
transport.Channel._brpop_start = deaf
"""

#: Stalls are found in seconds rather than in minutes; to close a connection that is deaf takes Celery five of them.
HASTY: dict[str, Any] = {"stalled_s": 9.0, "slice_s": 0.5}


def test_a_deaf_worker_connects_anew(life_stage, relay):
    with broken_worker(life_stage, DEAF.format(first=1), **HASTY) as worker:
        receipts = pay(relay, "unheard")
        wait_for_all(relay, receipts, PATIENCE_S)
        assert "connecting anew" in life_stage.log.read_text()
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0


def test_a_worker_that_stays_deaf_ends_for_its_supervisor(life_stage, relay):
    with broken_worker(life_stage, DEAF.format(first=1_000), **HASTY) as worker:
        pay(relay, "unheard")
        assert worker.wait(PATIENCE_S) == FAILED == exits.FAILED


ERRORS = """
failed, read = [], broker.Listening._brpop_read
def failing(self, **options):
    if len(failed) >= {times}:
        return read(self, **options)
    failed.append(1)
    try:
        read(self, **options)
    except broker.Empty:
        pass
    raise ZeroDivisionError("a fault of ours")
broker.Listening._brpop_read = failing
"""


def test_a_fault_of_ours_that_passes_is_outlived(life_stage, relay):
    with broken_worker(life_stage, ERRORS.format(times=3)) as worker:
        wait_for_all(relay, pay(relay, "faulty"), PATIENCE_S)
        told = "the consumer failed, and begins anew"
        wait_until(lambda: life_stage.log.read_text().count(told) == 3, PATIENCE_S, "three faults")
        wait_for_all(relay, pay(relay, "after"), PATIENCE_S)
        assert worker.poll() is None


def test_a_fault_of_ours_that_stays_ends_the_worker_with_a_code_that_says_so(life_stage, relay):
    often = "from worker import consumer\nconsumer.MOST_FAILURES = 3\n" + ERRORS.format(times=1_000)
    with broken_worker(life_stage, often) as worker:
        pay(relay, "faulty")
        assert worker.wait(PATIENCE_S) == FAILED


def test_composed_workers_are_started_again():
    compose = (Path(__file__).parents[2] / "docker" / "compose.yaml").read_text()
    worker = compose.partition("\n  worker:\n")[2].partition("\nvolumes:")[0]
    assert "\n    restart: unless-stopped\n" in worker


# -- the sweeper -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RecursionError, UnicodeError, redis.ResponseError, JournalUnavailable, MemoryError])
def test_the_sweeper_dies_of_nothing(settings, monkeypatch, error):
    hasty = type(settings)(redis_url=settings.redis_url, sweep_s=0.05)
    swept = threading.Semaphore(0)

    def failing(_: Round) -> None:
        swept.release()
        raise error("whatever it is")

    monkeypatch.setattr(bootsteps.Round, "sweep", failing)
    queues = SimpleNamespace(consume_from={queue_of(hasty, lane): None for lane in hasty.lanes})
    app = SimpleNamespace(conf=SimpleNamespace(blnk_relay=Shared(hasty)), amqp=SimpleNamespace(queues=queues))
    sweeper = Sweeper(
        SimpleNamespace(app=app, steps=[], pool_cls=SimpleNamespace(__module__="celery.concurrency.thread"))
    )
    sweeper.start(None)
    try:
        # The watch fails each time as well, for want of a connection.
        for _ in range(5):
            assert swept.acquire(timeout=PATIENCE_S)
        monkeypatch.undo()
        operator = Operator(Relay(hasty).journals)
        wait_until(lambda: operator.overview().workers == 1, PATIENCE_S, "a sign of life")
    finally:
        sweeper.stop(None)
    assert operator.overview().workers == 0, "it said farewell"


# -- signs of life ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("life_stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_workers_that_live_are_counted_idle_or_not_and_those_that_do_not_are_not(life_stage, relay):
    operator = operator_of(relay)

    def count() -> int:
        return operator.overview().workers

    assert count() == 0
    first = life_stage.start_worker()
    wait_until(lambda: count() == 1, PATIENCE_S, "an idle worker")
    second = life_stage.start_worker()
    wait_until(lambda: count() == 2, PATIENCE_S, "two idle workers")
    wait_for_all(relay, pay(relay, "busy"), PATIENCE_S)
    assert count() == 2
    life_stage.kill_worker(first)
    killed_s = time.monotonic()
    wait_until(lambda: count() == 1, PATIENCE_S, "the killed one to be missed")
    assert time.monotonic() - killed_s < life_stage.settings.dead_worker_s + 5
    second.terminate()
    assert second.wait(PATIENCE_S) == 0
    assert count() == 0
    life_stage.workers.clear()


def test_who_starts_celery_by_hand_has_the_log_of_the_settings(settings, tmp_path):
    changed = replace(settings, base_url="https://h.invalid", api="core", token="t", log_format="json")  # noqa: S106
    environment = _clean_environment() | as_environment(replace(changed, broker_url="redis://127.0.0.1:1/0"))
    log = tmp_path / "log"
    with log.open("wb") as stream:
        command = [sys.executable, "-m", "celery", "-A", "worker.main", "worker", "--pool", "threads"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=stream, cwd=ROOT) as worker:
            try:
                wait_until(lambda: "broker_away" in log.read_text(), PATIENCE_S)
            finally:
                worker.kill()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"time", "level", "event", "message", "worker"} <= set(told[0])


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_whose_standard_files_are_closed_works_all_the_same(make_stage, pool):
    stage = make_stage(pool=pool)
    command = f'exec "{sys.executable}" -m worker.process {pool} <&- >&- 2>&-'
    environment = {**_clean_environment(), **as_environment(stage.settings)}
    worker = subprocess.Popen(["/bin/sh", "-c", command], env=environment, start_new_session=True)
    stage.workers.append(worker)
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many([Write(intent=payment(f"p{number}"), key=f"p{number}") for number in range(20)])
        wait_for_all(relay, receipts, 20)
    files = [Path(f"/proc/{worker.pid}/fd/{number}").readlink() for number in range(3)]
    assert files == [Path(os.devnull)] * 3
