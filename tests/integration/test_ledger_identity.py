"""One name, two ledgers: a journal knows whose it is, and nobody who means another ledger touches it (decision 38)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from blnk_relay import AsyncRelay, OtherLedger, Relay, Settings, Target, Write, transaction
from blnk_relay.sandbox import Faults, Rule, Sandbox
from blnk_relay.targets import told_twice
from tasks.confirm import confirm
from tasks.deliver import deliver
from tests.support.cli import run
from tests.support.door import Door
from tests.support.fleet import ledgers as ledgers_of
from tests.support.hands import hands
from tests.support.haste import HASTE, HASTY_LEDGER, drive, settle
from worker.demo.stage import Stage, as_environment

COUNT = 20


@pytest.fixture
def ledgers() -> Iterator[tuple[Sandbox, Sandbox]]:
    with Sandbox(HASTY_LEDGER) as old, Sandbox(HASTY_LEDGER) as new:
        yield old, new


@pytest.fixture
def given(settings: Settings, ledgers: tuple[Sandbox, Sandbox]) -> Settings:
    return Settings(**HASTE, redis_url=settings.redis_url, base_url=ledgers[0].url)


def payments() -> list[Write]:
    return [
        Write(
            intent=transaction(
                source="@world", destination="@shop", currency="EUR", amount=1, description="x", allow_overdraft=True
            ),
            key=f"pay-{number}",
        )
        for number in range(COUNT)
    ]


def test_what_was_begun_in_one_ledger_is_not_made_again_in_another(
    given: Settings, ledgers: tuple[Sandbox, Sandbox]
) -> None:
    old, new = ledgers
    with hands(given) as runtime:
        # Applied, and nobody has heard of it.
        old.set_faults(Faults.script([Rule("drop_after", path="/proxy/transactions", times=None)]))
        runtime.relay.enqueue_many(payments())
        deliver(runtime, "writes")
    moved = replace(given, base_url=new.url)
    with hands(moved) as runtime:
        for _ in range(5):
            runtime.journal.sweep()
            with pytest.raises(OtherLedger):
                deliver(runtime, "writes")
            with pytest.raises(OtherLedger):
                confirm(runtime)
        assert runtime.journal.foreign() is not None
        with pytest.raises(OtherLedger, match="rebind the target"):
            runtime.relay.enqueue(payments()[0].intent, key="another")
    assert not new.requests_seen()
    old.set_faults(Faults.none())
    with hands(given) as runtime:
        told = settle(runtime, payments(), drive, "the payments")
    assert {status.state for status in told.values()} == {"done"}
    assert all(old.books().applied(key) == 1 for key in told)


def test_an_async_producer_is_refused_too(given: Settings, ledgers: tuple[Sandbox, Sandbox]) -> None:
    with hands(given) as runtime:
        settle(runtime, payments()[:1], drive, "a payment")

    async def enqueue() -> None:
        async with AsyncRelay(replace(given, base_url=ledgers[1].url)) as relay:
            await relay.enqueue(payments()[1].intent, key="another")

    with pytest.raises(OtherLedger):
        asyncio.run(enqueue())


def test_a_producer_that_knows_only_the_name_is_not_asked(given: Settings) -> None:
    with hands(given) as runtime:
        settle(runtime, payments()[:1], drive, "a payment")
    bare = Settings(redis_url=given.redis_url, lanes=given.lanes, routes=())
    with Relay(bare) as relay:
        assert relay.enqueue(payments()[1].intent, key="by name").created


@pytest.mark.parametrize(
    ("ours", "same"),
    [
        ({"base_url": "HTTP://Core:5001/"}, True),
        ({"base_url": "http://core:5002"}, False),
        ({"base_url": "http://core:5001/other"}, False),
        ({"base_url": "https://core:5001"}, False),
        ({"base_url": "http://core:5001", "api": "cloud", "instance_id": "i"}, False),
    ],
)
def test_an_address_is_compared_in_one_form(ours: dict[str, Any], same: bool) -> None:
    first = Target(name="own", token="k", api="core", base_url="http://core:5001")  # noqa: S106
    assert (Target(name="own", token="k", **{"api": "core", **ours}).ledger == first.ledger) is same  # noqa: S106


def test_another_instance_behind_the_same_address_is_another_ledger() -> None:
    one, other = (Target(name="eu", token="k", instance_id=f"inst_{number}") for number in (1, 2))  # noqa: S106
    assert one.ledger != other.ledger


def test_a_worker_does_not_start_for_another_ledger(given: Settings, ledgers: tuple[Sandbox, Sandbox]) -> None:
    with hands(given) as runtime:
        settle(runtime, payments()[:1], drive, "a payment")
    moved = replace(given, base_url=ledgers[1].url)
    command = [sys.executable, "-m", "worker.cli", "worker"]
    ran = subprocess.run(
        command, env={**os.environ, **as_environment(moved)}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 2
    assert "target 'default' of this journal is the ledger" in ran.stderr


def test_a_human_says_that_the_ledger_has_moved(
    given: Settings, ledgers: tuple[Sandbox, Sandbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    with hands(given) as runtime:
        settle(runtime, payments()[:1], drive, "a payment")
    moved = replace(given, base_url=ledgers[1].url)
    for name, value in as_environment(moved).items():
        monkeypatch.setenv(name, value)
    assert "another ledger" in run("target", "list").out
    asked = run("target", "rebind", "default", "--reason", "moved")
    assert asked.code == 2
    assert "needs --yes" in asked.err
    done = run("target", "rebind", "default", "--reason", "moved", "--yes")
    assert done.code == 0, done.err
    assert ledgers[1].url in done.out
    assert "Nothing to change" in run("target", "rebind", "default", "--reason", "x", "--yes").out
    with hands(moved) as runtime:
        assert settle(runtime, payments()[1:2], drive, "another")["pay-1"].state == "done"
        kept: Any = runtime.journal.client.hget(runtime.journal.key("ledger"), "rebound")
        assert "moved" in kept


def test_work_in_flight_goes_on_at_the_new_address_after_a_rebind_and_nothing_is_made_twice(
    given: Settings, ledgers: tuple[Sandbox, Sandbox]
) -> None:
    ledger = ledgers[0]
    with hands(given) as runtime:
        # Half of it is applied and nobody has heard of it, half has not been sent.
        ledger.set_faults(Faults.script([Rule("drop_after", path="/proxy/transactions", times=COUNT // 2)]))
        runtime.relay.enqueue_many(payments()[: COUNT // 2])
        deliver(runtime, "writes")
        runtime.relay.enqueue_many(payments()[COUNT // 2 :])
    door = Door(urlsplit(ledger.url).port or 0)
    try:
        door.open()
        with hands(replace(given, base_url=door.url)) as runtime:
            with pytest.raises(OtherLedger, match="rebind the target"):
                deliver(runtime, "writes")
            with pytest.raises(OtherLedger):
                confirm(runtime)
            # The same worker goes on, without being started anew.
            runtime.journal.rebind(runtime.journal.ledger, who="ann", reason="moved behind the gateway")
            told = settle(runtime, payments(), drive, "the payments")
        with hands(given) as late, pytest.raises(OtherLedger):
            deliver(late, "writes")
    finally:
        door.close()
    assert {status.state for status in told.values()} == {"done"}
    assert {ledger.books().applied(key) for key in told} == {1}


def test_several_ledgers_are_told_apart_one_by_one(given: Settings, ledgers: tuple[Sandbox, Sandbox]) -> None:
    """The one that changed is left alone; the other goes on."""
    options = HASTY_LEDGER
    eu = Target(name="eu", base_url=ledgers[1].url, token=options.token, instance_id=options.instance_id)
    both = replace(given, targets=(eu,))
    with hands(both) as runtime:
        settle(runtime, payments()[:1], drive, "a payment")
        settle(runtime, [replace(payments()[0], key="eu-1")], drive, "the first")
    with hands(both, "eu") as other:
        other.relay.enqueue(payments()[0].intent, key="eu-2", target="eu")
        drive(other, lambda: other.relay.get("eu-2", target="eu").finished, "eu")
    swapped = replace(both, targets=(replace(eu, base_url="http://127.0.0.1:9/elsewhere"),))
    with hands(swapped, "eu") as other:
        assert "target 'eu' of this journal is the ledger" in str(other.journal.foreign())
    with hands(swapped) as runtime:
        assert runtime.journal.foreign() is None
        assert settle(runtime, payments()[2:3], drive, "the default one")["pay-2"].state == "done"


def test_workers_go_on_by_themselves_once_a_human_has_said_that_the_ledger_moved(make_stage: Any) -> None:
    stage: Stage = make_stage()
    with ledgers_of(stage, ["eu"], 1), Relay(stage.settings) as relay:
        journal = relay.journal("eu")
        journal.rebind("cloud https://before", who="op", reason="the address of yesterday")
        by_name = Settings(
            redis_url=stage.settings.redis_url,
            lanes=stage.settings.lanes,
            routes=stage.settings.routes,
            targets=(Target(name="eu"),),
        )
        with Relay(by_name) as producer:
            producer.enqueue_many([replace(write, target="eu") for write in payments()])
        stage.start_worker()
        relay.enqueue(payments()[0].intent, key="here")
        assert relay.wait("here", timeout_s=20).state == "done", "another target has nothing to do with it"
        assert relay.get("pay-0", target="eu").state == "ready"
        journal.rebind(journal.ledger, who="op", reason="the address of today")
        ended = [relay.wait(f"pay-{number}", timeout_s=30, target="eu") for number in range(COUNT)]
        assert {status.state for status in ended} == {"done"}
        assert {status.attempts for status in ended} == {1}
        stage.stop_workers()


def test_one_ledger_under_two_names_is_told_of() -> None:
    here: dict[str, Any] = {"token": "k", "instance_id": "i"}
    others = Settings(**here, targets=(Target(name="eu", token="k", instance_id="j"),))  # noqa: S106
    assert not told_twice(others.ledgers.values())
    same = Settings(**here, targets=(Target(name="eu", token="k", instance_id="i"),))  # noqa: S106
    (told,) = told_twice(same.ledgers.values())
    assert told.startswith("targets default, eu are one ledger")
