"""Bells and messages over a real RabbitMQ: it may be away, frozen or lied to, and no payment is lost or made twice."""

from __future__ import annotations

import bz2
import json
import pickle
import re
import shlex
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from celery import Celery
from kombu import Connection, Producer

from blnk_relay import NotFound, Relay, Settings, transaction
from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK, Bells, broker_options, queue_of
from blnk_relay.journal.status import Status
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE
from blnk_relay.transport.queues import AskedDepths, HeldInbox, queue_named
from tests.support.certificates import both_certified
from tests.support.cluster import cluster
from tests.support.counting import assert_exactly_once
from tests.support.messages import FIELDS, TASK
from tests.support.payments import payment
from tests.support.rabbit import Rabbit, needs_rabbit, rabbit
from tests.support.stages import SHORT, insist, lasting_stage, operator_of, slow
from tests.support.waiting import wait_until
from worker.app import make_app
from worker.broker import hearing
from worker.demo.stage import Stage

pytestmark = [pytest.mark.long, needs_rabbit]

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def broker() -> Iterator[Rabbit]:
    with rabbit() as made:
        yield made


@pytest.fixture
def stage_of(broker: Rabbit, request: pytest.FixtureRequest) -> Iterator[Callable[..., Stage]]:
    """Makes a stage whose queues on the broker are its own; whoever wants another Valkey says so."""
    made: list[Stage] = []

    def make(**changes: Any) -> Stage:
        namespace = f"n{len(made)}-{abs(hash(request.node.name)) % 10**8}"
        fields = {**SHORT, "broker_url": broker.url, "namespace": namespace, **changes.pop("settings", {})}
        stage = lasting_stage(settings=fields, **{"faults": slow(0.02), **changes})
        stage.__enter__()
        made.append(stage)
        return stage

    yield make
    for stage in made:
        stage.__exit__(None, None, None)


def consumers(broker: Rabbit, settings: Settings) -> int:
    """Workers that listen to the first lane."""
    with broker.client() as connection:
        found: Any = queue_named(queue_of(settings, settings.lanes[0]))(connection.default_channel).queue_declare()
        return int(found.consumer_count)


def letters(relay: Relay) -> list[Status]:
    return list(operator_of(relay).listed("dead"))


def state(relay: Relay, key: str) -> str:
    with suppress(NotFound):
        return relay.get(key).state
    return ""


def put(broker: Rabbit, queue: str, body: bytes, headers: Any = None, **properties: Any) -> None:
    """Put anything into a queue."""
    fields = {"content_type": "application/json", "content_encoding": "utf-8", **properties}
    with broker.client() as connection:
        Producer(connection).publish(body, exchange="", routing_key=queue, headers=headers, **fields)


def call(kwargs: Any, task: str = TASK, args: Any = (), embed: Any = None) -> tuple[bytes, dict[str, Any]]:
    """Body and headers of a task."""
    return json.dumps([args, kwargs, embed or {}]).encode(), {"lang": "py", "task": task, "id": "1"}


def well(depth: int) -> bytes:
    """Headers in headers in headers."""
    inner = b""
    for _ in range(depth):
        inner = b"\x01aF" + struct.pack(">I", len(inner)) + inner
    return inner


def put_deep(broker: Rabbit, queue: str, depth: int) -> None:
    """A message whose headers are deeper than Python's stack."""
    with broker.client() as connection:
        table, deep = well(depth), amqp.Message(b"deep")
        deep._serialize_properties = lambda: struct.pack(">HI", 1 << 13, len(table)) + table
        connection.default_channel.basic_publish(deep, exchange="", routing_key=queue)


#: What is neither a bell nor an intent: body, headers, and properties.
HOSTILE: dict[str, tuple[bytes, dict[str, Any], dict[str, Any]]] = {
    "pickle": (pickle.dumps([[], {}, {}]), {"task": TASK}, {"content_type": "application/x-python-serialize"}),
    "yaml": (b"!!python/object/apply:os.system ['true']", {"task": TASK}, {"content_type": "application/x-yaml"}),
    "nothing": (b"", {}, {}),
    "no text": (b"\xff\xfe\x00", {}, {"content_encoding": "utf-16"}),
    "a task of others": (*call({}, "shop.close"), {}),
    "half a pack": (bz2.compress(b"[]" * 1000)[:20], {"task": TASK, "compression": "application/x-bz2"}, {}),
    "a pack of zeros": (bz2.compress(b"0" * 200_000_000), {"task": TASK, "compression": "application/x-bz2"}, {}),
    "no headers but a type": (b"[]", {}, {"content_type": "text/plain", "content_encoding": "zlib"}),
}


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_payments_are_done_over_rabbitmq_and_their_bells_are_heard(broker, stage_of, pool):
    stage = stage_of(pool=pool)
    worker = stage.start_worker()
    with Relay(stage.settings) as relay:
        wait_until(lambda: consumers(broker, stage.settings), PATIENCE_S, "a worker that listens")
        receipts = relay.enqueue_many([payment(f"order-{number}.") for number in range(50)])
        for receipt in receipts:
            assert relay.wait(receipt.id, timeout_s=PATIENCE_S).outcome == "applied"
        assert_exactly_once(relay, receipts, stage.sandbox)
        assert not letters(relay)
    wait_until(lambda: not broker.depth(queue_of(stage.settings, "transactions")), PATIENCE_S, "no bell to be left")
    worker.terminate()
    assert worker.wait(PATIENCE_S) == 0
    stage.workers.clear()


def test_the_journal_may_be_on_a_cluster(broker):
    with cluster(3) as nodes:
        fields = {**SHORT, "redis_url": nodes.url, "broker_url": broker.url, "namespace": "clustered"}
        with Stage(settings=fields, faults=slow(0.02)) as stage, Relay(stage.settings) as relay:
            stage.start_worker()
            receipts = relay.enqueue_many([payment(f"order-{number}.") for number in range(30)])
            for receipt in receipts:
                assert relay.wait(receipt.id, timeout_s=PATIENCE_S).outcome == "applied"
            assert_exactly_once(relay, receipts, stage.sandbox)


def test_a_broker_that_is_killed_and_comes_back_under_load_costs_no_payment(stage_of):
    with rabbit() as own:
        stage = stage_of(settings={"broker_url": own.url})
        workers = [stage.start_worker() for _ in range(2)]
        with Relay(stage.settings) as relay:
            wait_until(lambda: consumers(own, stage.settings) == 2, PATIENCE_S, "workers that listen")
            receipts = []
            for number in range(60):
                if number == 20:
                    own.kill()
                if number == 40:
                    own.start()
                receipts += insist(relay, [payment(f"order-{number}.")])
            for receipt in receipts:
                assert relay.wait(receipt.id, timeout_s=PATIENCE_S).outcome == "applied"
            assert_exactly_once(relay, receipts, stage.sandbox)
            wait_until(lambda: consumers(own, stage.settings) == 2, PATIENCE_S, "workers that listen again")
            assert relay.wait(relay.enqueue(payment("after.")).id, timeout_s=PATIENCE_S).outcome == "applied"
        assert all(worker.poll() is None for worker in workers)


def test_a_broker_that_is_away_or_frozen_costs_a_producer_no_receipt_and_little_time():
    with rabbit() as own, Stage(settings={**SHORT, "broker_url": own.url}) as stage, Relay(stage.settings) as relay:
        assert relay.enqueue(payment("well.")).created
        own.freeze()
        try:
            began_s = time.monotonic()
            bells = Bells(stage.settings)
            # One that has a connection, one that has none, and both again while they keep silent.
            for number in range(4):
                relay.bells.ring("default", ["transactions"])
                bells.ring("default", ["transactions"])
                assert relay.enqueue(payment(f"frozen-{number}.")).created
            assert time.monotonic() - began_s < 10 * stage.settings.redis_timeout_s
            assert not relay.bells.call("shop.heard", "celery", {}, task_id="1")
            bells.close()
        finally:
            own.thaw()
        own.kill()
        assert relay.enqueue(payment("away.")).created
        own.start()
        # A connection that died meanwhile is no failure: at the second ring it is another one.
        wait_until(lambda: relay.bells.call("shop.heard", "celery", {}, task_id="1"), PATIENCE_S, "the task to be sent")
        assert own.depth("celery") >= 1


def test_what_is_no_bell_in_a_queue_of_bells_ends_as_an_intent_or_a_letter_and_stops_nobody(broker, stage_of):
    stage = stage_of()
    worker = stage.start_worker()
    with Relay(stage.settings) as relay:
        wait_until(lambda: consumers(broker, stage.settings), PATIENCE_S, "a worker that listens")
        for lane in ("transactions", CONFIRM_LANE, INGEST_LANE):
            queue = queue_of(stage.settings, lane)
            for body, headers, properties in HOSTILE.values():
                put(broker, queue, body, headers, **properties)
            put_deep(broker, queue, 3000)
            put(broker, queue, *call({**FIELDS, "key": f"astray-{lane}"}))
        # A bell of nobody's, and one with something tied to it that a worker of Celery's would do.
        tied = {"callbacks": [{"task": "shop.tied", "args": [], "kwargs": {}, "options": {"queue": "tied"}}]}
        put(broker, queue_of(stage.settings, "transactions"), *call({}, DELIVER_TASK, ["nobody", "transactions"]))
        put(broker, queue_of(stage.settings, "refunds"), *call({}, DELIVER_TASK, ["default", "refunds"], tied))
        keys = [f"astray-{lane}" for lane in ("transactions", CONFIRM_LANE, INGEST_LANE)]
        wait_until(lambda: all(state(relay, key) == "done" for key in keys), PATIENCE_S, "payments that went astray")
        # The same in three queues is one letter.
        wait_until(lambda: len(letters(relay)) == len(HOSTILE) + 1, PATIENCE_S, "the letters")
        for lane in (*stage.settings.lanes, CONFIRM_LANE, INGEST_LANE):
            wait_until(lambda lane=lane: not broker.depth(queue_of(stage.settings, lane)), PATIENCE_S, lane)
        assert {letter.code for letter in letters(relay)} == {"UNREADABLE", "UNKNOWN_TASK", "INVALID"}
        assert not broker.depth("tied")
    assert worker.poll() is None


def test_a_program_that_has_celery_only_sends_payments_by_name(broker, stage_of):
    stage = stage_of()
    stage.start_worker()
    queue = queue_of(stage.settings, INGEST_LANE)
    with Relay(stage.settings) as relay, Celery(broker=stage.settings.broker, set_as_current=False) as app:
        keys = [f"order-{number}" for number in range(45)]
        for key in keys:
            app.send_task(TASK, kwargs={**FIELDS, "key": key}, queue=queue, compression="gzip" if "7" in key else None)
        app.send_task("tasks.enqueue_transactions", kwargs={**FIELDS, "key": "typo"}, queue=queue)
        wait_until(lambda: all(state(relay, key) == "done" for key in keys), PATIENCE_S, "all of them")
        wait_until(lambda: [letter.code for letter in letters(relay)] == ["UNKNOWN_TASK"], PATIENCE_S, "the letter")
        receipts = [relay.enqueue(transaction(**FIELDS), key=key) for key in keys]
        assert not any(receipt.created for receipt in receipts)
        assert_exactly_once(relay, receipts, stage.sandbox)
    wait_until(lambda: not broker.depth(queue), PATIENCE_S, "the queue to be empty")


def test_what_comes_by_name_while_the_journal_refuses_stays_until_it_is_recorded(broker, stage_of):
    stage = stage_of()
    queue = queue_of(stage.settings, INGEST_LANE)
    with Relay(stage.settings) as relay:
        first = stage.start_worker()
        wait_until(lambda: consumers(broker, stage.settings), PATIENCE_S, "a worker that listens")
        with stage.valkey.client() as client:
            client.config_set("maxmemory", "1")
            keys = [f"order-{number}" for number in range(30)]
            for key in keys:
                put(broker, queue, *call({**FIELDS, "key": key}))
            # A letter may be written into a full journal; a new intent may not.
            put(broker, queue, b"junk")
            wait_until(lambda: "stays in its queue" in stage.log.read_text(), PATIENCE_S, "the refusal")
            wait_until(lambda: letters(relay), PATIENCE_S, "the letter, although it stood behind")
            stage.kill_worker(first)
            wait_until(lambda: broker.depth(queue) >= len(keys), PATIENCE_S, "all to be in the queue")
            client.config_set("maxmemory", "0")
        stage.start_worker()
        wait_until(lambda: all(state(relay, key) == "done" for key in keys), PATIENCE_S, "all of them")
        wait_until(lambda: not broker.depth(queue), PATIENCE_S, "the queue to be empty")
        assert len(letters(relay)) == 1


def test_the_rights_that_are_written_down_are_enough(broker, stage_of):
    text = (Path(__file__).parents[2] / "docs/production.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^rabbitmqctl (set_permissions .*)$", text, re.MULTILINE)
    broker.control("add_vhost", "shop")
    broker.control("add_user", "blnk-relay", "word")
    broker.control(*shlex.split(line))
    stage = stage_of(
        settings={
            "broker_url": f"amqp://blnk-relay:word@127.0.0.1:{broker.port}/shop",
            "namespace": "relay",
            "outcome_task": "shop.heard",
        }
    )
    stage.start_worker()
    with Relay(stage.settings) as relay, Celery(broker=stage.settings.broker, set_as_current=False) as app:
        app.send_task(TASK, kwargs={**FIELDS, "key": "order"}, queue="relay.ingest")
        app.send_task("shop.other", queue="relay.refunds")
        wait_until(lambda: state(relay, "order") == "done", PATIENCE_S, "the payment by name")
        wait_until(lambda: len(letters(relay)) == 1, PATIENCE_S, "what is no bell to be a letter")
    with Connection(stage.settings.broker) as connection:

        def told() -> bool:
            with suppress(*connection.channel_errors):
                return bool(connection.default_channel.queue_declare("celery", passive=True).message_count)
            connection.close()
            return False

        wait_until(told, PATIENCE_S, "the outcome task")
    assert "AccessRefused" not in stage.log.read_text()


def test_over_tls_certificates_are_checked_and_shown(tmp_path, caplog):
    both_certified(tmp_path)
    with rabbit(tmp_path) as own:
        ours = f"ssl_certfile={tmp_path / 'us.crt'}&ssl_keyfile={tmp_path / 'us.key'}"
        good = f"{own.url}?ssl_ca_certs={tmp_path / 'ca.crt'}&{ours}"
        for url, rung in (
            (good, True),
            (good.replace("127.0.0.1", "localhost"), True),
            # Not of an authority that the system knows; of one, and without ours; a name that is not in it.
            (f"{own.url}?{ours}", False),
            (f"{own.url}?ssl_ca_certs={tmp_path / 'ca.crt'}", False),
            (good.replace("127.0.0.1", "127.0.0.2"), False),
        ):
            caplog.clear()
            before, bells = own.depth("relay.refunds"), Bells(Settings(broker_url=url))
            bells.ring("default", ["refunds"])
            bells.close()
            assert bool(caplog.records) is not rung, url
            assert own.depth("relay.refunds") - before == rung


# -- the parts -----------------------------------------------------------------------------------------------------


@pytest.fixture
def app(broker: Rabbit, valkey: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    namespace = f"p{abs(hash(request.node.name)) % 10**8}"
    settings = Settings(
        redis_url=f"redis://127.0.0.1:{valkey.port}/0", broker_url=broker.url, namespace=namespace, instance_id="i",
        token="t",  # noqa: S106
    )  # fmt: skip
    made = make_app(settings)
    made.amqp.queues.select([queue_of(settings, lane) for lane in (*settings.lanes, CONFIRM_LANE)])
    yield made
    made.conf.blnk_relay.relay.close()
    made.close()


def test_a_bell_is_heard_for_its_target_and_celery_gets_another_in_its_place(app, broker):
    shared, handled = app.conf.blnk_relay, []
    bells, settings = Bells(app.conf.blnk_relay.settings), app.conf.blnk_relay.settings
    bells.ring("default", ["refunds", CONFIRM_LANE])
    bells.ring("nobody", ["refunds"])
    bells.close()
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        hear = hearing(app, handled.append)
        for lane, targets in (("refunds", 2), (CONFIRM_LANE, 1)):
            for _ in range(targets):
                hear(channel.message_to_python(channel.basic_get(queue_of(settings, lane))))
        for message in handled:
            message.ack_log_error(None, ())
    assert shared.heard == {"default"}
    assert [json.loads(message.body)[0] for message in handled] == [
        ["default", "refunds"],
        ["nobody", "refunds"],
        ["default"],
    ]
    assert [message.headers["task"] for message in handled] == [DELIVER_TASK, DELIVER_TASK, CONFIRM_TASK]
    assert not any(broker.depth(queue_of(settings, lane)) for lane in ("refunds", CONFIRM_LANE))


def test_bells_that_wait_are_counted(app):
    settings = app.conf.blnk_relay.settings
    depths, queues = AskedDepths(app), [queue_of(settings, lane) for lane in settings.lanes]
    assert depths.waiting(queues) == 0
    bells = Bells(settings)
    bells.ring("default", settings.lanes)
    bells.ring("other", settings.lanes[:1])
    bells.close()
    assert depths.waiting(queues) == len(settings.lanes) + 1
    depths.close()


def test_what_is_held_and_not_dealt_with_is_there_again_for_the_next_reader(app, broker):
    name = queue_of(app.conf.blnk_relay.settings, INGEST_LANE)
    first = HeldInbox(app, name, 2)
    for number in range(3):
        put(broker, name, str(number).encode())
    held = first.oldest()
    assert len(held) == 2
    assert first.oldest() == held
    first.put_last(held[:1])
    first.remove(held[1:])
    assert broker.depth(name) == 2
    assert len(first.oldest()) == 2
    first.close()
    second = HeldInbox(app, name, 5)
    bodies = {SimpleNamespace(**json.loads(raw)).body for _, raw in second.oldest()}
    assert len(bodies) == 2
    second.remove(second.oldest())
    second.close()
    assert not broker.depth(name)


def test_every_wait_for_the_broker_has_a_bound(app):
    options = broker_options(app.conf.blnk_relay.settings)
    with app.connection_for_write() as connection:
        connection.connect()
        assert connection.connection.sock.gettimeout() == options["read_timeout"]
        with pytest.raises(TimeoutError):
            # The answer to a question that was never asked.
            connection.default_channel.wait(amqp.spec.Queue.DeclareOk)
