"""Whatever comes by name ends as an intent or as a dead letter, whoever refuses, stalls or dies meanwhile."""

from __future__ import annotations

import json
import pickle
import signal
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import redis
from celery import Celery
from kombu.utils.json import dumps

from blnk_relay import NotFound, Relay, transaction
from blnk_relay.bell import broker_options, queue_of
from blnk_relay.journal.status import Status
from blnk_relay.settings import CONFIRM_LANE, INGEST_LANE
from tasks.ingest import Ingest, LeftToNewer
from tests.support.counting import assert_exactly_once
from tests.support.messages import FIELDS, TASK, envelope, message, old_message
from tests.support.stages import SHORT, lasting_stage, operator_of, pause_process, resume_process
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.telemetry import Telemetry

PATIENCE_S = 45.0

TOMORROW = datetime.now(UTC) + timedelta(days=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def asked(key: str = "k", **changes: Any) -> dict[str, Any]:
    """Fields and options of a payment; what is None is sent as null."""
    return {**FIELDS, "key": key, **changes}


def typed(**changes: Any) -> bytes:
    """A message as Celery writes it where a value is no plain JSON."""
    return envelope(dumps([[], asked(**changes), {}]).encode())


#: What becomes an intent.
TAKEN: dict[str, bytes] = {
    "a plain one": message(asked()),
    "of the first protocol": old_message(asked()),
    "options that were not given": message(
        asked(target=None, lane=None, not_before=None, deadline=None, after=None, order_key=None)
    ),
    "an empty list to wait for": message(asked(after=[])),
    "a time as text": message(asked(not_before=TOMORROW.isoformat())),
    "a time as a datetime": typed(not_before=TOMORROW, deadline=TOMORROW + timedelta(days=1)),
    "an amount as a decimal": typed(amount=Decimal("10.00")),
    "a time before the calendar": message(asked(not_before="0001-01-01T00:00:00+14:00")),
    "seconds": message(asked(not_before=3600, deadline=7200.5)),
    "an eta": message(asked(), eta=TOMORROW.isoformat()),
    "an eta and seconds": message(asked(not_before=10), eta=TOMORROW.isoformat()),
    "a time by which it is wanted": message(asked(), expires=TOMORROW.isoformat()),
    "without an id": envelope(json.dumps([[], asked(), {}]).encode(), headers={"task": TASK}),
    "with headers of others": message(asked(), sentry={"a": 1}, timelimit=[0.001, 0.001], retries="x"),
}

#: What becomes a dead letter, and its code.
REFUSED: dict[str, tuple[bytes, str]] = {
    "a number to wait for": (message(asked(after=5)), "INVALID"),
    "a text to wait for": (message(asked(after="other")), "INVALID"),
    "numbers to wait for": (message(asked(after=[1])), "INVALID"),
    "what was never enqueued to wait for": (message(asked(after=["never"])), "INVALID"),
    "the end of time": (message(asked(not_before=float("inf"))), "INVALID"),
    "no number": (message(asked(deadline=float("nan"))), "INVALID"),
    "more seconds than there are": (message(asked(not_before=1e300)), "INVALID"),
    "more years than there are": (message(asked(not_before=1e12)), "INVALID"),
    "a number of a hundred digits": (message(asked(not_before=10**100)), "INVALID"),
    "a truth for a time": (message(asked(not_before=True)), "INVALID"),
    "a time without an offset": (message(asked(not_before="2030-01-01T00:00:00")), "INVALID"),
    "an object for a time": (message(asked(deadline={"a": 1})), "INVALID"),
    "a deadline that is over before it begins": (
        message(asked(), eta=TOMORROW.isoformat(), expires=(TOMORROW - timedelta(hours=1)).isoformat()),
        "INVALID",
    ),
    "no key": (message(dict(FIELDS)), "INVALID"),
    "a number for a key": (message(asked(key=5)), "INVALID"),
    "a lone surrogate for a key": (message(asked(key="\ud800")), "INVALID"),
    "a list for a lane": (message(asked(lane=["transactions"])), "INVALID"),
    "an object for a target": (message(asked(target={})), "INVALID"),
    "a number for an order": (message(asked(order_key=7)), "INVALID"),
    "an option that is none": (message(asked(priority=9)), "INVALID"),
    "a name with a control character": (message(asked(**{"a\x1b[31m\u202e": 1})), "INVALID"),
    "a float for money": (message(asked(amount=10.5)), "INVALID"),
    "money without end": (typed(amount=Decimal("1e999999999")), "INVALID"),
    "the fields as one positional object": (message(args=[asked()]), "INVALID"),
    "arguments of both sorts": (message(asked(), args=[1]), "INVALID"),
    "nothing at all": (message(), "INVALID"),
    "depth": (envelope(b'[[], {"key": ' + b"[" * 600 + b"]" * 600 + b"}, {}]"), "INVALID"),
    "what is to follow": (message(asked(), embed={"callbacks": [{"task": "other"}]}), "INVALID"),
    "an unknown task": (message(asked(), task="tasks.enqueue_transactions"), "UNKNOWN_TASK"),
    "a task without a name": (message(asked(), task=None), "UNKNOWN_TASK"),
    "a task that is no text": (message(asked("untold"), task={"a": 1}), "UNKNOWN_TASK"),
    "a bell": (message(args=["transactions"], task="tasks.deliver"), "UNKNOWN_TASK"),
    "wanted by a time that is over": (message(asked("late"), expires=LONG_AGO.isoformat()), "EXPIRED"),
    "an eta that is none": (message(asked(), eta="soon"), "INVALID"),
    "pickle": (
        envelope(pickle.dumps([[], asked(), {}]), content_type="application/x-python-serialize"),
        "UNREADABLE",
    ),
    "yaml": (envelope(b"- []\n- {}\n", content_type="application/x-yaml"), "UNREADABLE"),
    "msgpack": (envelope(b"\x93\x90\x80\x80", content_type="application/x-msgpack"), "UNREADABLE"),
    "text": (envelope(b"hello", content_type="text/plain"), "UNREADABLE"),
    "a list of JSON": (b"[]", "UNREADABLE"),
    "no JSON": (b"hello \x1b[31m", "INVALID"),
    "no text": (b"\xff\xfe\x00\x07", "INVALID"),
    "nothing": (b"", "INVALID"),
}


def letters(relay: Relay) -> list[Status]:
    return list(operator_of(relay).listed("dead"))


POOLS = [{"pool": "threads"}, pytest.param({"pool": "prefork"}, marks=pytest.mark.long)]


@pytest.fixture
def ingest(relay) -> Ingest:
    return Ingest(relay, lambda: Telemetry(relay.settings))


@pytest.mark.parametrize("raw", TAKEN.values(), ids=TAKEN)
def test_what_can_be_an_intent_becomes_one_and_the_same_again_changes_nothing(relay, ingest, raw):
    receipt = ingest.take(raw)
    assert receipt is not None
    assert receipt.created
    again = ingest.take(raw)
    assert again is not None
    assert not again.created
    assert (relay.get("k").state, letters(relay)) == ("ready", [])


@pytest.mark.parametrize(("raw", "code"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_an_intent_becomes_one_dead_letter_that_says_what_came_and_why(relay, ingest, raw, code):
    assert ingest.take(raw) is None
    assert ingest.take(raw) is None
    (letter,) = letters(relay)
    assert (letter.dead_class, letter.code) == ("invalid", code)
    kept = relay.journal().payload(letter.id)
    assert set(kept) == {"task", "content_type", "arguments"}
    for text in (letter.message, letter.key, *kept.values()):
        assert not [char for char in text if unicodedata.category(char)[0] == "C"]
    assert letter.message.endswith(".")
    plan = operator_of(relay).plan(letter)
    assert "enqueue what was meant" in plan.why
    assert relay.journal().client.zcard(relay.journal().key("ready:transactions")) == 0


@pytest.mark.parametrize("raw", [raw for raw, _ in REFUSED.values()], ids=REFUSED)
def test_what_a_worker_cannot_take_it_leaves_to_a_newer_one_and_makes_no_letter_of_it(relay, raw):
    newer = Ingest(relay, lambda: Telemetry(relay.settings), lambda: True)
    with pytest.raises(LeftToNewer):
        newer.take(raw)
    assert letters(relay) == []


def test_a_conflict_is_one_for_every_version(relay):
    newer = Ingest(relay, lambda: Telemetry(relay.settings), lambda: True)
    newer.take(message(asked()))
    newer.take(message(asked(amount=77)))
    assert [letter.code for letter in letters(relay)] == ["KEY_CONFLICT"]


def test_times_of_celerys_own_are_kept(relay, ingest):
    def due_s(key: str, name: str) -> float:
        fields: Any = relay.journal().client.hget(relay.journal().key(f"intent:{relay.get(key).id}"), name)
        return float(fields) / 1000

    ingest.take(message(asked("eta"), eta=TOMORROW.isoformat()))
    ingest.take(message(asked("both", not_before=10), eta=TOMORROW.isoformat()))
    ingest.take(message(asked("later", not_before=2 * 86_400), eta=TOMORROW.isoformat()))
    ingest.take(message(asked("by", deadline=7 * 86_400), expires=TOMORROW.isoformat()))
    assert [round(due_s(key, "since") - TOMORROW.timestamp()) for key in ("eta", "both")] == [0, 0]
    assert due_s("later", "since") > TOMORROW.timestamp() + 3600
    assert round(due_s("by", "deadline") - TOMORROW.timestamp()) == 0


def test_what_was_taken_in_time_is_no_letter_when_its_message_is_read_again_too_late(relay, ingest):
    assert ingest.take(message(asked())) is not None
    assert ingest.take(message(asked(), expires=LONG_AGO.isoformat())) is not None
    assert letters(relay) == []


def test_a_letter_says_nothing_of_a_position_in_a_batch_that_nobody_sent(relay, ingest):
    ingest.take(message(asked(after=["never"])))
    (letter,) = letters(relay)
    assert letter.message.startswith("transaction is not valid: after: 'never' is not known")


def test_a_conflict_is_a_letter(relay, ingest):
    ingest.take(message(asked()))
    ingest.take(message(asked(amount="11.00")))
    assert [letter.code for letter in letters(relay)] == ["KEY_CONFLICT"]


def test_a_letter_is_found_by_the_key_that_its_message_gave_and_asked_for_by_its_id(relay, ingest):
    operator = operator_of(relay)
    ingest.take(message(asked("order-7", amount="x")))
    (letter,) = letters(relay)
    result = operator.find(key="order-7")
    assert [one.status.id for one in result.found] == [letter.id]
    assert "by the keys that 1 letter of class invalid came with" in result.looked[1].told
    with pytest.raises(NotFound, match=rf"no intent is known under 'order-7'; .+ ask for {letter.id}$"):
        operator.get("order-7")
    with pytest.raises(NotFound, match=r"'order-8'$"):
        operator.get("order-8")
    ingest.take(message(asked("order-7", amount="y")))
    with pytest.raises(NotFound, match="each with an id of its own: ") as caught:
        operator.get("order-7")
    assert all(one.id in str(caught.value) for one in letters(relay))
    ingest.take(message(asked("order-7")))
    assert operator.get("order-7").state == "ready"
    assert len(operator.find(key="order-7").found) == 3


def test_the_same_call_sent_twice_is_one_letter_and_comes_back_when_it_was_closed(relay, ingest):
    for _ in range(2):
        ingest.take(message(asked(amount="x")))
        ingest.take(old_message(asked(amount="x")))
    operator = operator_of(relay)
    (letter,) = letters(relay)
    operator.discard(letter, who="me", reason="a typing error")
    assert letters(relay) == []
    ingest.take(message(asked(amount="x")))
    assert [again.id for again in letters(relay)] == [letter.id]
    assert operator.overview().discarded == 0


def test_what_arrived_is_kept_up_to_a_bound(relay, ingest):
    ingest.take(envelope(b"\x00" * 1_000_000, content_type="x" * 10_000))
    (letter,) = letters(relay)
    kept = relay.journal().payload(letter.id)
    assert (len(kept["arguments"]), len(kept["content_type"])) == (16_384, 200)


# -- with workers ----------------------------------------------------------------------------------------------------


def put(stage: Stage, items: Sequence[bytes], lane: str = INGEST_LANE) -> None:
    """Lay messages into a queue as they are."""
    with stage.valkey.client() as client:
        client.lpush(queue_of(stage.settings, lane), *items)


def left(stage: Stage) -> int:
    """Messages in the queue, and those that a broker's client has taken and not acknowledged."""
    with stage.valkey.client() as client:
        return int(client.llen(queue_of(stage.settings, INGEST_LANE))) + int(client.hlen("unacked"))


@pytest.fixture
def by_name_stage(request) -> Iterator[Stage]:
    """A stage with a Valkey that can be frozen; the parameter is the pool."""
    settings = {**SHORT, **getattr(request, "param", {}).get("settings", {})}
    with lasting_stage(pool=getattr(request, "param", {}).get("pool", "threads"), settings=settings) as stage:
        yield stage
        for worker in list(stage.workers):
            resume_process(worker)
            stage.kill_worker(worker)


@pytest.fixture
def stage_relay(by_name_stage) -> Iterator[Relay]:
    with Relay(by_name_stage.settings) as relay:
        yield relay


def everything() -> list[bytes]:
    """All that is taken, under keys of their own, and all that is refused."""
    good = [message(asked(f"good-{number}")) for number in range(10)]
    return [*good, *(raw for raw, _ in REFUSED.values())]


@pytest.mark.parametrize(
    "by_name_stage", [{"pool": "threads"}, pytest.param({"pool": "prefork"}, marks=pytest.mark.long)], indirect=True
)
def test_no_message_vanishes_and_none_ends_a_worker(by_name_stage, stage_relay):
    stage = by_name_stage
    worker = stage.start_worker()
    put(stage, everything())
    app = Celery(broker=stage.settings.broker, set_as_current=False)
    app.conf.broker_transport_options = dict(broker_options(stage.settings))
    queue = queue_of(stage.settings, INGEST_LANE)
    app.send_task(TASK, kwargs=asked("sent", after=None), queue=queue, priority=9)
    app.send_task(TASK, kwargs=asked("typed", not_before=datetime.now(UTC)), queue=queue, compression="gzip")
    app.send_task("tasks.enqueue_transactions", kwargs=asked("typo"), queue=queue, serializer="json")
    app.send_task(TASK, args=[asked("positional")], queue=queue, serializer="pickle")
    app.close()
    wait_until(lambda: not left(stage), PATIENCE_S, "the queue to be empty")
    keys = [*(f"good-{number}" for number in range(10)), "sent", "typed"]
    wait_until(lambda: all(_state(stage_relay, key) == "done" for key in keys), PATIENCE_S, "the good ones to end")
    receipts = [stage_relay.enqueue(transaction(**FIELDS), key=key) for key in keys]
    assert not any(receipt.created for receipt in receipts)
    assert_exactly_once(stage_relay, receipts, stage.sandbox)
    found = sorted(letter.code for letter in letters(stage_relay))
    assert found == sorted([*(code for _, code in REFUSED.values()), "UNKNOWN_TASK", "UNREADABLE"])
    assert worker.poll() is None


def _state(relay: Relay, key: str) -> str:
    try:
        return relay.get(key).state
    except NotFound:
        return ""


@pytest.mark.parametrize(
    "by_name_stage", [{"pool": "threads"}, pytest.param({"pool": "prefork"}, marks=pytest.mark.long)], indirect=True
)
def test_what_is_no_bell_in_a_queue_of_bells_ends_no_worker_and_does_not_vanish_either(by_name_stage, stage_relay):
    stage = by_name_stage
    worker = stage.start_worker()
    for lane in (*stage.settings.lanes, CONFIRM_LANE):
        put(stage, [raw for raw, _ in REFUSED.values()], lane)
        put(stage, [message(asked(f"astray-{lane}"))], lane)
    keys = [f"astray-{lane}" for lane in (*stage.settings.lanes, CONFIRM_LANE)]
    wait_until(lambda: all(_state(stage_relay, key) == "done" for key in keys), PATIENCE_S, "payments that went astray")
    # The one bell among them woke a worker, and is no letter.
    wait_until(lambda: len(letters(stage_relay)) == len(REFUSED) - 1, PATIENCE_S, "the letters")
    assert worker.poll() is None


def test_while_a_newer_worker_is_alive_an_older_one_leaves_it_what_it_does_not_know(by_name_stage, stage_relay):
    stage, journal = by_name_stage, stage_relay.journal()
    journal.client.zadd(journal.key("alive"), {"elsewhere:1:abc 999.0 1": journal.now_ms() + 600_000})
    stage.start_worker()
    put(stage, [message(asked("new"), task="tasks.enqueue_of_tomorrow")])
    put(stage, [message(asked("known"))])
    # It goes on behind what it leaves.
    wait_until(lambda: _state(stage_relay, "known") == "done", PATIENCE_S)
    assert (left(stage), letters(stage_relay)) == (1, [])
    journal.client.zrem(journal.key("alive"), "elsewhere:1:abc 999.0 1")
    wait_until(lambda: not left(stage), PATIENCE_S, "the letter, once nobody else is there")
    assert [letter.code for letter in letters(stage_relay)] == ["UNKNOWN_TASK"]


def test_what_comes_while_the_journal_is_frozen_is_recorded_afterwards(by_name_stage, stage_relay):
    stage = by_name_stage
    stage.start_worker()
    put(stage, [message(asked("before"))])
    wait_until(lambda: _state(stage_relay, "before") == "done", PATIENCE_S)
    put(stage, everything())
    stage.valkey.freeze()
    # Longer than every timeout: whoever waits for an answer gives up, and what it asked for is still carried out.
    threading.Event().wait(3 * stage.settings.redis_timeout_s + 1)
    stage.valkey.thaw()
    wait_until(lambda: not left(stage), PATIENCE_S, "the queue to be empty")
    assert len(letters(stage_relay)) == len(REFUSED)
    assert all(_state(stage_relay, f"good-{number}") for number in range(10))


def test_what_comes_while_the_journal_is_full_is_recorded_afterwards_by_another_worker_too(by_name_stage, stage_relay):
    stage = by_name_stage
    put(stage, everything())
    with stage.valkey.client() as client:
        client.config_set("maxmemory", "1")
        first = stage.start_worker()
        wait_until(lambda: "stays in its queue" in stage.log.read_text(), PATIENCE_S, "the refusal")
        # A letter may be written into a full journal; a new intent may not.
        good = len(everything()) - len(REFUSED)
        wait_until(lambda: left(stage) == good, PATIENCE_S, "the letters")
        stage.kill_worker(first)
        second = stage.start_worker()
        wait_until(lambda: stage.log.read_text().count("stays in its queue") > 1, PATIENCE_S, "the other's refusal")
        assert left(stage) == good
        # In the log once a minute, and not a hot loop: pauses grow to seconds.
        before = client.info("stats")["total_commands_processed"]
        threading.Event().wait(3)
        assert client.info("stats")["total_commands_processed"] - before < 3 * 200
        client.config_set("maxmemory", "0")
    wait_until(lambda: not left(stage), PATIENCE_S, "the queue to be empty")
    assert len(letters(stage_relay)) == len(REFUSED)
    assert all(_state(stage_relay, f"good-{number}") for number in range(10))
    assert second.poll() is None


def test_a_journal_apart_from_the_broker_may_refuse_as_it_likes(make_stage, valkey):
    stage = make_stage(settings={**SHORT, "broker_url": f"redis://127.0.0.1:{valkey.port}/3"})
    with redis.Redis(port=valkey.port, db=3) as broker, redis.Redis(port=stage.valkey.port) as client:
        broker.flushdb()
        broker.lpush(queue_of(stage.settings, INGEST_LANE), *everything())
        client.config_set("min-replicas-to-write", "1")
        worker = stage.start_worker()
        wait_until(lambda: "stays in its queue" in stage.log.read_text(), PATIENCE_S, "the refusal")
        assert broker.llen(queue_of(stage.settings, INGEST_LANE)) == len(everything())
        client.config_set("min-replicas-to-write", "0")
        wait_until(lambda: not broker.llen(queue_of(stage.settings, INGEST_LANE)), PATIENCE_S, "the queue to be empty")
    with Relay(stage.settings) as relay:
        assert len(letters(relay)) == len(REFUSED)
    assert worker.poll() is None


def test_a_worker_that_dies_with_messages_in_hand_loses_none(by_name_stage, stage_relay):
    stage = by_name_stage
    workers = [stage.start_worker() for _ in range(2)]
    put(stage, [message(asked(f"many-{number}")) for number in range(400)])
    wait_until(lambda: _state(stage_relay, "many-0"), PATIENCE_S, "the first")
    for worker in workers:
        pause_process(worker)
    assert left(stage), "it must have been caught in the middle"
    for worker in workers:
        stage.kill_worker(worker)
    worker = stage.start_worker()
    wait_until(lambda: not left(stage), PATIENCE_S, "the queue to be empty")
    assert all(_state(stage_relay, f"many-{number}") for number in range(400))
    assert letters(stage_relay) == []
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(PATIENCE_S) == 0
    stage.workers.clear()
