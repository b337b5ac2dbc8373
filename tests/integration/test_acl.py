"""The rights that docs/production.md asks for: with them all works, and none of them is there for nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from blnk_relay import JournalUnavailable, Operator, Relay, transaction
from blnk_relay.bell import broker_options
from blnk_relay.journal.readings import reading_of
from blnk_relay.sandbox import Faults, Rule
from tests.support.payments import payment
from tests.support.system_redis import system_redis
from tests.support.waiting import wait_until
from worker.demo.stage import Stage
from worker.demo.valkey import start_valkey

PAGE = Path(__file__).parents[2] / "docs" / "production.md"

#: What a connection says at its beginning, whatever it is for.
GREETING = {"hello", "auth", "client|setname", "client|setinfo", "select", "ping"}


USERS = ("blnk-relay", "blnk-relay-bells")


def rules(user: str) -> list[str]:
    """What the page has for a user, without its password."""
    found = re.search(rf"^user {user} on >\S+ (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"docs/production.md has no rules for {user}"
    return found[1].split()


def left_out_on_7_0() -> set[str]:
    """The words of the rules that the page says Redis 7.0 does not know."""
    found = re.search(r"On Redis 7\.0 leave out (.+?)[,:;.]", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return set(re.findall(r"`(\S+)`", found[1])) if found else set()


def guard(port: int, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Give a server the two users of the page. Returns the settings of whoever is one of them."""
    with redis.Redis(port=port, decode_responses=True) as client:
        for user in USERS:
            words = [word for word in rules(user) if word not in without]
            client.execute_command("ACL SETUSER", user, "on", ">secret", *words)
    at = f"secret@127.0.0.1:{port}"
    return {"redis_url": f"redis://blnk-relay:{at}/0", "broker_url": f"redis://blnk-relay-bells:{at}/1"}


@pytest.fixture
def guarded() -> Iterator[Any]:
    """A server for the two users of the page, and nobody else but us."""
    running = start_valkey()
    yield running
    running.stop()


def everything(stage: Stage) -> None:
    """All that producers, workers and operators do."""
    settings = stage.settings
    # A disk that is busy may take its time.
    with Relay(replace(settings, redis_timeout_s=20.0, durability_timeout_s=10.0)) as relay:
        operator = Operator(relay.journals, relay.bells)
        operator.pause_lane("transactions", who="me")
        relay.enqueue(payment("taken-back."))
        assert relay.cancel("taken-back.").state == "cancelled"
        operator.resume_lane("transactions")
        assert relay.enqueue(payment("order.")).durability == settings.durability
        relay.enqueue(
            transaction(source="@poor", destination="@b", currency="EUR", amount="5.00", description="Too much"),
            key="poor",
        )
        relay.enqueue(
            transaction(source="@poor", destination="@b", currency="EUR", amount="6.00", description="Too much"),
            key="poorer",
        )
        app = Celery(broker=settings.broker, set_as_current=False)
        app.conf.broker_transport_options = dict(broker_options(settings))
        fields = {"source": "@world", "destination": "@a", "currency": "EUR", "amount": "1.00", "description": "x"}
        app.send_task(
            "tasks.enqueue_transaction",
            queue="relay.ingest",
            kwargs={"key": "named", "allow_overdraft": True, **fields},
        )
        app.close()
        assert relay.wait("order.", timeout_s=40).outcome == "applied"
        for key in ("poor", "poorer"):
            wait_until(lambda key=key: relay.get(key).state == "dead", 40)
        wait_until(lambda: operator.overview().dead == 2, 20)
        assert {letter.key for letter in operator.listed("dead")} == {"poor", "poorer"}
        told = reading_of(relay.journal("default"))
        assert (told.overview.dead, bool(told.server)) == (2, True)
        operator.discard(relay.get("poorer"), who="me", reason="by hand")
        operator.replay(relay.get("poor"), who="me", reason="a test")
        wait_until(lambda: relay.get("poor").state == "dead", 40)
        begun = operator.begin(operator.plan_many("replay", code="TXN_INSUFFICIENT_FUNDS"), who="me", reason="a test")
        wait_until(lambda: operator.job(begun)[0].state == "done", 40, "the job")
        wait_until(lambda: relay.get("poor").state == "dead", 40)
        assert relay.history("order.")
        assert any(event.key == "order." for event in relay.events("books", timeout_s=1))
        operator.pause_target("default", who="me")
        operator.resume_target("default", who="me")
        relay.journal().rebind(relay.journal().recorded_ledger(), who="me", reason="moved")
        wait_until(lambda: _known(relay, "named"), 20)
        assert relay.journal().check_server() == []


def counts(client: redis.Redis, stage: Stage) -> None:
    """Each of the rights counts: without it somebody is refused, and told what to put right."""
    for user, word in (("blnk-relay", "@hash"), ("blnk-relay", "evalsha"), ("blnk-relay", "time")):
        client.execute_command("ACL SETUSER", user, f"-{word}")
        with (
            Relay(stage.settings) as relay,
            pytest.raises(JournalUnavailable, match=r"permissions \(ACL\)"),
        ):
            relay.enqueue(payment(f"without-{word}."))
        client.execute_command("ACL SETUSER", user, f"+{word}")


def _known(relay: Relay, key: str) -> bool:
    return any(status.key == key for status in Operator(relay.journals).listed("done"))


def test_with_the_rights_of_the_page_all_works_and_none_of_them_is_for_nothing(guarded):
    settings = {**guard(guarded.port), "durability": "fsync"}
    # A ledger that asks for a pause once, so that a gate is slowed.
    limited = Faults.script([Rule("429_retry_after", method="POST", path="/proxy/", seconds=1.0)])
    stage = Stage(settings=settings, faults=limited)
    with redis.Redis(port=guarded.port, decode_responses=True) as client, stage:
        client.acl_log_reset()
        client.config_resetstat()
        stage.start_worker()
        everything(stage)
        stage.stop_workers()
        refused = [(entry["username"], entry["reason"], entry["object"]) for entry in client.acl_log()]
        assert not refused, refused
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
        words = [*rules("blnk-relay"), *rules("blnk-relay-bells")]
        granted = {word.removeprefix("+") for word in words if word.startswith("+")}
        idle = {
            word
            for word in granted - GREETING - {"cluster|slots", "wait"}
            if not used & (set(client.acl_cat(word[1:])) if word[0] == "@" else {word})
        }
        assert not idle, f"granted for nothing: {idle}"
        counts(client, stage)


def test_they_are_enough_on_the_redis_of_the_machine_where_that_is_of_7_0(tmp_path):
    with system_redis(tmp_path) as port, redis.Redis(port=port, decode_responses=True) as client:
        if not client.info("server")["redis_version"].startswith("7.0."):
            pytest.skip("the redis-server of this machine is not of 7.0")
        with Stage(settings=guard(port, without=left_out_on_7_0())) as stage:
            stage.start_worker()
            everything(stage)
            stage.stop_workers()
            refused = {(entry["username"], entry["reason"], entry["object"]) for entry in client.acl_log()}
            assert not refused
            counts(client, stage)
