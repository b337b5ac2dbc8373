"""A journal for each ledger: its own keys, its own Redis by setting; nothing crosses, and one that is away is alone."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from blnk_relay import AsyncRelay, KeyConflict, NotFound, Operator, Relay, Settings, Target, Write
from blnk_relay.bell import queue_of
from blnk_relay.errors import InvalidIntent, InvalidSettings, JournalUnavailable
from blnk_relay.intents.exchange import GateAction
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals, by_server
from blnk_relay.settings import CONFIRM_LANE
from tests.support.cli import run
from tests.support.journal import LANE, WORKER, enqueue, finish, kill
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.demo.stage import as_environment
from worker.demo.valkey import start_valkey
from worker.shared import Shared
from worker.sweeper import FIRST_ROUND_S, Round, Unnamed, idle_s


@pytest.fixture(scope="module")
def second() -> Iterator[Any]:
    """Another Redis."""
    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def apart(settings: Settings, second: Any) -> Settings:
    """Three ledgers, the journal of one of which is on a Redis of its own."""
    with redis.Redis(port=second.port) as client:
        client.flushall()
    elsewhere = f"redis://127.0.0.1:{second.port}/0"
    return replace(settings, instance_id="i", targets=(Target(name="eu"), Target(name="us", redis_url=elsewhere)))


@pytest.fixture
def relay(apart: Settings) -> Iterator[Relay]:
    with Relay(apart) as running:
        yield running


def names_on(port: int) -> set[str]:
    """Hash tags of the keys on a server."""
    with redis.Redis(port=port, decode_responses=True) as client:
        return {key.partition("}")[0] + "}" for key in client.scan_iter(match="{*", count=1000)}


def test_each_journal_is_on_its_own_redis_under_its_own_hash_tag(relay: Relay, valkey: Any, second: Any) -> None:
    relay.enqueue_many([Write(intent=payment(), key="order", target=name) for name in ("default", "eu", "us")])
    assert names_on(valkey.port) == {"{relay:v1}", "{relay:v1:default}", "{relay:v1:eu}"}
    assert names_on(second.port) == {"{relay:v1}", "{relay:v1:us}"}
    assert relay.journal().client is relay.journal("eu").client, "connections belong to a server"
    assert relay.journal().client is not relay.journal("us").client


def test_what_one_journal_holds_no_other_knows(relay: Relay) -> None:
    for name in ("default", "eu", "us"):
        relay.enqueue(payment("ref"), key="order", target=name, order_key="one at a time")
    # The same key, reference and order: each is the only one of its journal.
    for name in ("default", "eu", "us"):
        (claimed,) = relay.journal(name).claim(LANE, WORKER, 10).items
        assert claimed.entry.target == name
        assert claimed.entry.id == id_of(name, "order")
    relay.journal("eu").change_gate("write", GateAction.PAUSE, "HTTP_401", 3600)
    for name in ("default", "eu"):
        relay.enqueue(payment("other"), key="other", target=name)
    assert relay.journal("eu").claim(LANE, WORKER, 10).items == ()
    assert len(relay.journal().claim(LANE, WORKER, 10).items) == 1


def test_a_batch_for_several_ledgers_is_recorded_as_a_whole_or_not_at_all(relay: Relay) -> None:
    relay.enqueue(payment("taken"), key="first", target="us")
    batch = [
        Write(intent=payment(f"r{at}"), key=f"order-{at}", target=name)
        for at, name in enumerate(("default", "us", "eu", "us"))
    ]
    with pytest.raises(KeyConflict) as conflict:
        relay.enqueue_many([*batch, Write(intent=payment("taken"), key="second", target="us")])
    assert conflict.value.index == len(batch)
    with pytest.raises(InvalidIntent) as forlorn:
        relay.enqueue_many([*batch, Write(intent=payment("late"), key="late", target="eu", after=["order-0"])])
    assert forlorn.value.index == len(batch), "what it waits for is of another target"
    for at, name in enumerate(("default", "us", "eu", "us")):
        with pytest.raises(NotFound):
            relay.get(f"order-{at}", target=name)
    receipts = relay.enqueue_many(batch)
    assert [receipt.id for receipt in receipts] == [
        id_of(name, f"order-{at}") for at, name in enumerate(("default", "us", "eu", "us"))
    ]
    assert [receipt.created for receipt in relay.enqueue_many(batch)] == [False] * 4


def test_the_async_relay_does_the_same(apart: Settings) -> None:
    async def play() -> None:
        async with AsyncRelay(apart) as relay:
            batch = [Write(intent=payment(), key="order", target=name) for name in ("us", "default")]
            receipts = await relay.enqueue_many(batch)
            assert [receipt.id for receipt in receipts] == [id_of("us", "order"), id_of("default", "order")]
            assert (await relay.get(receipts[0].id)).target == "us", "an id is enough"
            assert (await relay.cancel(receipts[0].id)).state == "cancelled"
            with pytest.raises(NotFound, match="no target 'far'"):
                await relay.get("order", target="far")
            again = [Write(intent=payment("x"), key="order", target=name) for name in ("eu", "default")]
            with pytest.raises(KeyConflict) as conflict:
                await relay.enqueue_many(again)
            assert conflict.value.index == 1
            with pytest.raises(NotFound):
                await relay.get("order", target="eu")

    asyncio.run(play())


def test_an_id_finds_its_intent_whatever_its_target(relay: Relay) -> None:
    relay.enqueue(payment(), key="order", target="us")
    id_ = id_of("us", "order")
    with Operator(relay.journals, relay.bells) as operator:
        assert operator.get(id_).target == "us"
    assert relay.get(id_).key == "order"
    assert relay.history(id_) == ()
    with pytest.raises(NotFound):
        relay.get("order")
    with pytest.raises(NotFound):
        relay.get(id_of("us", "never"))
    assert relay.cancel(id_).state == "cancelled"


def test_an_operator_sees_all_journals_and_acts_on_the_right_one(relay: Relay) -> None:
    with Operator(relay.journals, relay.bells) as operator:
        for name in ("default", "eu", "us"):
            relay.enqueue(payment(), key=f"{name}-1", target=name)
            relay.enqueue(payment(), key=f"{name}-2", target=name)
            for claimed in relay.journal(name).claim(LANE, WORKER, 1).items:
                kill(relay.journal(name), claimed)
        overview = operator.overview()
        assert (overview.dead, overview.open, overview.away) == (3, 3, ())
        assert {lane.target: lane.due for lane in overview.lanes if lane.lane == LANE} == {
            "default": 1,
            "eu": 1,
            "us": 1,
        }
        assert operator.overview("us").dead == 1
        letters = list(operator.listed("dead"))
        died = [letter.updated for letter in letters]
        assert died == sorted(died, reverse=True), "one list, newest first"
        assert {letter.target for letter in letters} == {"default", "eu", "us"}
        assert [letter.target for letter in operator.listed("dead", target="us")] == ["us"]
        for letter in letters:
            operator.replay(letter, who="me", reason="a test")
        assert operator.overview().dead == 0
        assert operator.pause_lane(LANE, who="ann", reason="audit").changed
        assert all(relay.journal(name).claim(LANE, WORKER, 9).items == () for name in ("default", "eu", "us"))
        assert len(operator.actions(what="pause")) == 1, "one act, however many journals it stands in"
        assert operator.resume_lane(LANE, who="ann").changed
        assert relay.journal("us").claim(LANE, WORKER, 9).items


def test_work_for_a_target_that_is_no_longer_named_is_seen(relay: Relay, settings: Settings) -> None:
    relay.enqueue(payment(), key="order", target="eu")
    few = Journals(settings)
    try:
        assert few.unnamed() == ["eu"]
        left = few.any_of("eu")
        assert left.has_open()
        with pytest.raises(NotFound, match="no target 'eu'"):
            few.of("eu")
        with pytest.raises(NotFound, match="no target 'never'"):
            few.any_of("never")
        with Operator(few) as operator:
            assert [lane.due for lane in operator.overview().lanes if lane.target == "eu"] == [1]
            assert [status.key for status in operator.listed("ready")] == ["order"]
        (claimed,) = left.claim(LANE, WORKER, 1).items
        finish(left, claimed)
        assert not left.has_open()
    finally:
        few.close()


def test_a_redis_that_is_away_takes_only_its_own_ledgers_along(apart: Settings) -> None:
    nowhere = replace(apart, targets=(apart.targets[0], Target(name="us", redis_url="redis://127.0.0.1:1/0")))
    with Relay(nowhere) as relay:
        assert relay.enqueue(payment(), key="order").created
        with pytest.raises(JournalUnavailable):
            relay.enqueue(payment(), key="order", target="us")
        with pytest.raises(JournalUnavailable):
            relay.enqueue_many([Write(intent=payment(), key=f"o-{n}", target=n) for n in ("default", "us")])
        with pytest.raises(NotFound):
            relay.get("o-default")
        with Operator(relay.journals, relay.bells) as operator:
            overview = operator.overview()
            assert overview.away == ("us",)
            assert {lane.target for lane in overview.lanes} == {"default", "eu"}
            with pytest.raises(JournalUnavailable):
                operator.overview("us")


def test_a_sweep_says_when_the_next_thing_is_due(settings: Settings) -> None:
    journal = Journal(settings)
    with Relay(settings) as relay:
        assert journal.sweep().next_s is None, "an empty journal waits for nothing but bells"
        enqueue(relay, "now")
        found = journal.sweep()
        assert found.next_s is not None
        assert found.next_s <= 1.5, "a bell may be lost"
        (claimed,) = journal.claim(LANE, WORKER, 1).items
        found = journal.sweep()
        assert found.next_s is not None
        assert found.next_s <= settings.dead_worker_s + 0.1, "whoever holds it may die"
        finish(journal, claimed)
        journal.client.delete(journal.key("workers"))
        found = journal.sweep()
        assert found.next_s is not None
        assert settings.retention_s - 60 < found.next_s <= settings.retention_s, "it will be trimmed"
        journal.change_gate("write", GateAction.PAUSE, "HTTP_401", 30)
        enqueue(relay, "behind a gate")
        found = journal.sweep()
        assert found.next_s is not None
        assert 20 < found.next_s <= 30, "nobody has to look before the next probe"
    journal.close()


def test_many_targets_with_nothing_to_do_cost_a_few_commands_a_second() -> None:
    assert idle_s(1, 1.0) == 1.0, "one alone is looked at as often as ever"
    assert 100 / idle_s(100, 1.0) <= 5
    assert idle_s(10_000, 1.0) == 30.0


def test_targets_are_swept_by_the_redis_that_keeps_them(apart: Settings) -> None:
    assert by_server(apart) == [["default", "eu"], ["us"]]


def test_the_address_of_a_journal_is_checked_like_any_other() -> None:
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_EU__REDIS_URL"):
        Settings(targets=(Target(name="eu", redis_url="http://nowhere"),))


def test_work_left_in_a_former_journal_of_a_target_is_told_of(
    apart: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """``us`` has had its journal beside the others before it got a Redis of its own."""
    before = replace(apart, targets=(apart.targets[0], Target(name="us")))
    with Relay(before) as relay:
        relay.enqueue(payment(), key="order", target="us")
        relay.journal("us").sweep()
    shared = Shared(apart)
    shared.relay.journal("us").sweep()
    unnamed = Unnamed(shared, ["default", "eu"])
    unnamed.look()
    unnamed.look()
    (told,) = [record.getMessage() for record in caplog.records]
    assert "intents wait for target 'us' on the Redis of BLNK_RELAY_REDIS_URL" in told
    assert "BLNK_RELAY_US__REDIS_URL" in told
    shared.relay.close()
    caplog.clear()
    # Another address that leads to the same Redis is no other journal.
    same = Target(name="us", redis_url=apart.redis_url.replace("127.0.0.1", "localhost"))
    shared = Shared(replace(apart, targets=(apart.targets[0], same)))
    Unnamed(shared, ["default", "eu"]).look()
    assert not caplog.records
    shared.relay.close()


def test_a_worker_hears_only_of_targets_that_it_has(apart: Settings) -> None:
    shared = Shared(apart)
    for name in ("eu", "never", "us"):
        shared.hear(name)
    assert shared.heard == {"eu", "us"}


def test_a_worker_tells_what_operators_do_from_when_it_came(apart: Settings, caplog: pytest.LogCaptureFixture) -> None:
    shared = Shared(apart)
    operator = Operator(shared.relay.journals, shared.relay.bells)
    operator.pause_lane("refunds", who="ann", reason="Ms Sekret complains")
    late = Round(shared, "eu", "host:1:a", 1.0, 1.0)
    late.sweep()
    operator.resume_lane("refunds", who="ann")
    operator.pause_target("eu", who="ann", reason="Ms Sekret complains")

    def told() -> list[str]:
        late.sweep()
        return [record.getMessage() for record in caplog.records if "operator" in record.getMessage()]

    with caplog.at_level("INFO"):
        wait_until(lambda: len(told()) > 1, 5, "the acts, once nobody has just swept")
        swept = shared.relay.journal("eu").sweep
        wait_until(lambda: swept().swept, 5)
        assert told() == [
            "an operator's act at target eu: resume refunds",
            "an operator's act at target eu: pause",
        ], "what was before it came is in the log of actions, and nothing is told twice"


def test_a_worker_looks_at_every_journal_as_it_begins_and_hands_over_as_it_ends(apart: Settings) -> None:
    many = replace(apart, targets=tuple(Target(name=f"t{number}") for number in range(59)))
    shared = Shared(many)
    wait_s = idle_s(60, many.sweep_s)
    assert wait_s > 2 * FIRST_ROUND_S
    last = Round(shared, "t58", "host:1:a", wait_s, 1.0)
    assert last.due_s <= time.monotonic() + FIRST_ROUND_S, "somebody may have left something there"
    shared.relay.enqueue(payment(), key="later", target="t58", not_before=timedelta(seconds=5))
    last.sweep()
    with redis.Redis.from_url(many.redis_url) as broker:
        rung = broker.llen(queue_of(many, CONFIRM_LANE))
        last.close()
        assert broker.llen(queue_of(many, CONFIRM_LANE)) == rung + 1, "others are called to look when it is due"
        quiet = Round(shared, "t1", "host:1:a", wait_s, 0.5)
        quiet.sweep()
        quiet.close()
        assert broker.llen(queue_of(many, CONFIRM_LANE)) == rung + 1, "nothing is due there"
    shared.relay.close()


def test_whoever_closes_a_letter_calls_for_what_waited_behind_it(apart: Settings) -> None:
    """With many targets nobody would come by chance, and no worker has heard of it."""
    with Relay(apart) as relay, Operator(relay.journals, relay.bells) as operator:
        for key, after in (("first", ()), ("second", ("first",)), ("alone", ())):
            relay.enqueue(payment(), key=key, target="eu", after=after)
        for claimed in relay.journal("eu").claim(LANE, WORKER, 9).items:
            kill(relay.journal("eu"), claimed)
        with redis.Redis.from_url(apart.redis_url) as broker:
            queue = queue_of(apart, CONFIRM_LANE)
            operator.discard(operator.get("alone", target="eu"), who="op", reason="settled by hand")
            assert broker.llen(queue) == 0, "nothing waited for it"
            operator.discard(operator.get("first", target="eu"), who="op", reason="settled by hand")
            assert broker.llen(queue) == 1
            assert b'"eu"' in base64.b64decode(json.loads(broker.lrange(queue, 0, 0)[0])["body"])


def test_what_is_not_found_at_one_target_is_said_to_have_others(
    apart: Settings, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in as_environment(apart).items():
        monkeypatch.setenv(name, value)
    relay.enqueue(payment(), key="order", target="eu")
    assert "at target default: --target names another (eu, us)" in run("show", "order").err
    assert run("show", "order", "--target", "eu").code == 0
    assert "--target" not in run("show", id_of("nowhere", "default")).err


def test_times_of_letters_are_those_of_their_own_journal(apart: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first target's Redis is away, and nobody needs it for another one's letters."""
    nowhere = replace(
        apart,
        redis_url="redis://127.0.0.1:1/0",
        targets=(apart.targets[1],),
    )
    with Relay(apart) as relay:
        enqueued = relay.enqueue(payment(), key="order", target="us")
        (claimed,) = relay.journal("us").claim(LANE, WORKER, 1).items
        kill(relay.journal("us"), claimed)
    for name, value in as_environment(nowhere).items():
        monkeypatch.setenv(name, value)
    listed = run("list", "--state", "dead", "--target", "us", "--since", "1h")
    assert enqueued.key in listed.out, listed.err
    replayed = run("dead", "replay", "--target", "us", "--plan")
    assert replayed.code == 0, replayed.err
    assert "order" in replayed.out
