"""Several ledgers and one worker: nothing crosses, one that is ill holds up no other, keys change while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import (
    AsyncRelay,
    NotFound,
    Relay,
    Target,
    Write,
    commit_hold,
    create_balance,
    create_ledger,
    refund,
    result_of,
)
from blnk_relay.bell import Bells, enqueue_task
from blnk_relay.errors import InvalidSettings
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import Options, Sandbox
from tests.support.cli import run
from tests.support.counting import all_ids, assert_exactly_once, proof_of, wait_for_all
from tests.support.payments import hold, payment
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.app import build_runtime, make_app
from worker.demo.stage import Stage, as_environment
from worker.outcome_task import Callbacks

WAIT_S = 40.0


def refused_at(sandbox: Sandbox) -> list[str]:
    """Requests that were not let in: a key or an instance that was not theirs."""
    return [seen.path for seen in sandbox.requests_seen() if seen.status in (401, 403, 404)]


@pytest.fixture(scope="module")
def eu() -> Iterator[Sandbox]:
    with Sandbox(Options(token="blnk_eu", instance_id="inst_eu")) as running:  # noqa: S106
        yield running


@pytest.fixture(scope="module")
def core() -> Iterator[Sandbox]:
    with Sandbox(Options(core_key="blnk_own_core")) as running:
        yield running


@pytest.fixture(scope="module")
def stage(eu: Sandbox, core: Sandbox) -> Iterator[Stage]:
    """A worker for three ledgers: the default one, another instance of Cloud, and a Core."""
    with Stage() as running:
        targets = (
            Target(name="eu", base_url=eu.url, instance_id="inst_eu", token="blnk_eu"),  # noqa: S106
            Target(name="own", api="core", base_url=core.url, token="blnk_own_core"),  # noqa: S106
        )
        running.settings = replace(running.settings, targets=targets)
        running.start_worker()
        yield running


@pytest.fixture(scope="module")
def relay(stage: Stage) -> Iterator[Relay]:
    with Relay(stage.settings) as running:
        yield running


def test_every_ledger_gets_its_own_intents_with_its_own_key(stage, eu, core, relay):
    sandboxes = {"default": stage.sandbox, "eu": eu, "own": core}
    before = {target: all_ids(sandbox.books()) for target, sandbox in sandboxes.items()}
    receipts = {
        target: relay.enqueue_many(
            [
                # The same keys everywhere: a key is unique within its target.
                *(
                    Write(intent=payment(f"order-{number}"), key=f"order-{number}", target=target)
                    for number in range(60)
                ),
                Write(intent=hold("hold-1"), key="hold-1", target=target),
                Write(intent=commit_hold("hold-1"), target=target, after=("hold-1",)),
                Write(intent=refund("order-3"), target=target, after=("order-3",)),
                Write(intent=payment(f"only-{target}"), key=f"only-{target}", target=target),
            ]
        )
        for target in sandboxes
    }
    assert len({receipt.id for given in receipts.values() for receipt in given}) == 3 * 64
    for target, sandbox in sandboxes.items():
        wait_for_all(relay, receipts[target], WAIT_S)
        # Exactly these intents made exactly these rows: what had crossed would be lost here and foreign there.
        assert_exactly_once(relay, receipts[target], sandbox, foreign=before[target])
        assert sandbox.books().applied(f"only-{target}") == 1
        others = set(sandboxes) - {target}
        assert not any(sandbox.books().applied(f"only-{other}") for other in others)
        assert refused_at(sandbox) == []
        assert {relay.get(receipt.id).state for receipt in receipts[target]} == {"done"}
    cloud = [seen.path for sandbox in (stage.sandbox, eu) for seen in sandbox.requests_seen()]
    assert all(path.startswith("/proxy/") or path.endswith("/filter") for path in cloud)
    bare = [seen.path for seen in core.requests_seen()]
    assert "/transactions/filter" in bare
    assert not any(path.startswith(("/proxy", "/data")) for path in bare)


def test_links_stay_within_a_target(eu, relay):
    relay.enqueue_many(
        [
            Write(intent=create_ledger("linked"), key="linked", target="eu"),
            Write(intent=create_balance(result_of("linked", "ledger_id"), "EUR"), key="balance", target="eu"),
        ]
    )
    made = relay.wait("balance", WAIT_S, target="eu").transaction_id
    ledger = relay.get("linked", target="eu").transaction_id
    assert [item.ledger_id for item in eu.books().balances if item.balance_id == made] == [ledger]
    with pytest.raises(NotFound):
        relay.get("linked")
    with pytest.raises(NotFound):
        relay.get("linked", target="own")


def test_what_is_known_of_a_key_is_known_of_it_in_its_target(relay):
    relay.enqueue(payment("told"), key="told", target="own")
    status = relay.wait("told", WAIT_S, target="own")
    assert (status.target, status.outcome, status.id) == ("own", "applied", id_of("own", "told"))
    assert relay.history("told", target="own")[0].status == 201
    assert relay.parts("told", target="own") == ()
    assert relay.get(status.id) == status
    late = relay.enqueue(payment("late"), key="late", target="own", not_before=_tomorrow())
    assert relay.cancel("late", target="own").state == "cancelled"
    assert relay.get(late.id).state == "cancelled"


def _tomorrow():
    from datetime import timedelta

    return timedelta(days=1)


def test_the_async_twin_names_targets_as_well(stage):
    async def play() -> tuple[str, str, int, int]:
        async with AsyncRelay(stage.settings) as queue:
            await queue.enqueue(payment("async"), key="async", target="eu")
            status = await queue.wait("async", WAIT_S, target="eu")
            tried = await queue.history("async", target="eu")
            return status.target, status.outcome, len(tried) > 0, len(await queue.parts("async", target="eu"))

    assert asyncio.run(play()) == ("eu", "applied", True, 0)


def test_intents_by_name_choose_a_target_and_an_unknown_one_is_a_dead_letter(stage, relay):
    bells = Bells(stage.settings)
    fields = {**payment().payload, "reference": None}
    given = {name: fields[name] for name in ("source", "destination", "currency", "description", "allow_overdraft")}
    given |= {"precise_amount": 100, "precision": 100}
    queue = f"{stage.settings.namespace}.ingest"
    for key, target in (("by-name", "eu"), ("astray", "us")):
        assert bells.call(enqueue_task("transaction"), queue, {**given, "key": key, "target": target}, task_id=key)
    bells.close()
    wait_until(lambda: _state(relay, "by-name", "eu") == "done", WAIT_S)
    dead = wait_until(lambda: list(operator_of(relay).listed("dead", code="INVALID")), WAIT_S)
    assert [(letter.key, letter.dead_class) for letter in dead] == [("astray", "invalid")]
    assert "Unknown target" in dead[0].message


def test_an_event_says_whose_key_it_tells_of(stage, relay):
    relay.enqueue(payment("heard"), key="heard", target="own")
    relay.enqueue(payment("heard"), key="heard")
    for target in ("own", "default"):
        assert relay.wait("heard", WAIT_S, target=target).state == "done"
    heard = [
        event
        for target in ("default", "own")
        for event in relay.events("a test", target=target, timeout_s=0.5)
        if event.key == "heard"
    ]
    assert sorted((event.target, event.event, event.detail) for event in heard) == [
        ("default", "done", "applied"),
        ("own", "done", "applied"),
    ]
    assert {event.intent_id for event in heard} == {id_of("default", "heard"), id_of("own", "heard")}
    sent = _calls(stage, relay)
    assert [("target" in call, call.get("target")) for call in sent] == [(True, "own"), (False, None)]


def _calls(stage: Stage, relay: Relay) -> list[dict[str, Any]]:
    """Arguments of the application's own task for the two events of the key "heard", that of the Core first."""
    calls: list[dict[str, Any]] = []

    class Hearing(Bells):
        def call(self, task: str, queue: str, arguments: Mapping[str, Any], *, task_id: str) -> bool:
            calls.append({**arguments, "called": (task, queue, task_id)})
            return True

    bells = Hearing(stage.settings)
    for target in ("default", "own"):
        Callbacks(replace(stage.settings, outcome_task="app.outcome"), relay.journal(target), bells).run()
    bells.close()
    heard = [call for call in calls if call["key"] == "heard"]
    return sorted(heard, key=lambda call: call["intent_id"] != id_of("own", "heard"))


def _state(relay: Relay, key: str, target: str) -> str:
    try:
        return relay.get(key, target=target).state
    except NotFound:
        return ""


def test_the_command_line_names_targets(stage, relay, monkeypatch):
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    line = (
        '{"kind": "transaction", "key": "%s", %s "payload": {"source": "@world", "destination": "@shop", "currency": '
    )
    line += '"EUR", "amount": "1.00", "precision": 100, "allow_overdraft": true, "description": "cli"}}\n'
    lines = line % ("cli-1", "") + line % ("cli-2", '"target": "own",') + line % ("cli-3", '"target": "us",')
    done = run("enqueue", "-", "--target", "eu", "--partial", "--json", stdin=lines)
    assert (done.json["created"], done.json["refused"]) == (2, 1)
    assert done.json["errors"][0]["field"] == "target"
    assert relay.wait("cli-1", WAIT_S, target="eu").state == relay.wait("cli-2", WAIT_S, target="own").state == "done"
    assert run("show", "cli-1", "--target", "eu", "--json").json["intent"]["target"] == "eu"
    assert run("show", "cli-1").code == 3
    listed = run("list", "--state", "done", "--target", "own", "--limit", "10000", "--json").json["intents"]
    assert {item["target"] for item in listed} == {"own"}
    assert {lane["target"] for lane in run("lanes", "--json").json["lanes"]} == {"default", "eu", "own"}
    assert run("pause", "--target", "us").code == 3


def test_one_ledger_that_is_paused_or_behind_holds_up_no_other(eu, relay):
    operator = operator_of(relay)
    operator.pause_target("eu", who="a test", reason="to see")
    waiting = relay.enqueue_many(
        [Write(intent=payment(f"behind-{number}"), key=f"behind-{number}", target="eu") for number in range(300)]
    )
    relay.enqueue(payment("ahead"), key="ahead")
    assert relay.wait("ahead", 10).state == "done"
    assert not any(eu.books().applied(f"behind-{number}") for number in range(300))
    assert operator.resume_target("eu")
    wait_for_all(relay, waiting, WAIT_S)
    proof = proof_of(relay, waiting, [row for row in eu.books().rows if row.reference.startswith("behind-")])
    assert (proof.lost, proof.doubled) == ([], [])


# -- a key in a file -----------------------------------------------------------------------------------------------


def test_a_key_that_is_rotated_in_its_file_is_taken_up_without_a_restart(make_stage, tmp_path):
    stage = make_stage(settings={"probe_s": 60.0})
    secret = tmp_path / "key"
    secret.write_text("blnk_old\n")
    stage.sandbox.set_switches(tokens={"blnk_old": ["*"], "blnk_new": ["*"]}, token="blnk_none")  # noqa: S106
    stage.settings = replace(stage.settings, token="", token_file=str(secret))
    stage.start_worker()
    with Relay(stage.settings) as relay:
        first = relay.enqueue_many([Write(intent=payment(f"old-{n}"), key=f"old-{n}") for n in range(20)])
        wait_for_all(relay, first, WAIT_S)
        # Gone for a moment, then another one, and only then does the old one die.
        secret.unlink()
        relay.enqueue(payment("meanwhile"), key="meanwhile")
        assert relay.wait("meanwhile", WAIT_S).state == "done"
        secret.write_text("blnk_new\n")
        stage.sandbox.set_switches(tokens={"blnk_new": ["*"]})
        second = relay.enqueue_many([Write(intent=payment(f"new-{n}"), key=f"new-{n}") for n in range(20)])
        wait_for_all(relay, second, 15)
        assert {relay.get(receipt.id).state for receipt in second} == {"done"}
        assert not [gate for gate in operator_of(relay).overview().gates if gate.state == "paused"]
        assert_exactly_once(
            relay, [*first, *second, relay.enqueue(payment("meanwhile"), key="meanwhile")], stage.sandbox
        )
    assert "blnk_old" not in stage.log.read_text()
    assert "blnk_new" not in stage.log.read_text()


# -- workers that know fewer targets than producers ----------------------------------------------------------------


def test_what_is_for_a_target_that_a_worker_does_not_know_waits_for_one_that_does(make_stage):
    stage = make_stage()
    few = stage.settings
    with Sandbox(Options(token="blnk_us", instance_id="inst_us")) as us:  # noqa: S106
        target = Target(name="us", base_url=us.url, instance_id="inst_us", token="blnk_us")  # noqa: S106
        many = replace(few, targets=(target,))
        stage.start_worker()
        with Relay(many) as relay:
            there = relay.enqueue_many([Write(intent=payment(f"a{n}"), key=f"a{n}", target="us") for n in range(5)])
            here = relay.enqueue_many([Write(intent=payment(f"a{n}"), key=f"a{n}") for n in range(5)])
            wait_for_all(relay, here, WAIT_S)
            wait_until(lambda: "intents wait for target 'us'" in stage.log.read_text(), 10)
            assert {relay.get(receipt.id).state for receipt in there} == {"ready"}
            assert stage.log.read_text().count("intents wait for target 'us'") == 1
            known = {lane.target: lane for lane in Operator(relay.journals, relay.bells).overview().lanes}
            assert known["us"].due >= 0
            stage.settings = many
            stage.start_worker()
            wait_for_all(relay, there, WAIT_S)
            assert_exactly_once(relay, there, us)
            assert_exactly_once(relay, here, stage.sandbox)


# -- starting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (Target(name="eu", instance_id="i"), "BLNK_RELAY_EU__TOKEN is needed"),
        (Target(name="eu", token="a"), "BLNK_RELAY_EU__INSTANCE_ID is needed"),  # noqa: S106
        (Target(name="eu", instance_id="i", token="a b"), "BLNK_RELAY_EU__TOKEN cannot be a key"),  # noqa: S106
        (Target(name="eu", instance_id="i", token="a\nb"), "BLNK_RELAY_EU__TOKEN cannot be a key"),  # noqa: S106
        (Target(name="eu", instance_id="i", token_file="/no/such"), "BLNK_RELAY_EU__TOKEN_FILE: there is no key"),  # noqa: S106
    ],
)
def test_a_worker_does_not_start_while_any_target_lacks_something(settings, target, says):
    settings = replace(settings, instance_id="i", token="t", targets=(target,))  # noqa: S106
    for start in (make_app, lambda settings: build_runtime(settings, target="eu")):
        with pytest.raises(InvalidSettings) as caught:
            start(settings)
        assert says in str(caught.value)
