"""Long actions as jobs: carried out by workers a page at a time, without whoever began them, and never twice."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from blnk_relay import Job, JournalUnavailable, NotFound, Operator, Refused, Relay, Target, Write
from blnk_relay.journal import carrying
from blnk_relay.journal.carrying import carry
from blnk_relay.journal.hands import many as hands
from blnk_relay.journal.jobs import items
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS, intent_of
from tests.support.cli import FUNDS, WAIT_S, count, die, letters, payment, process, run
from tests.support.secrecy import a_key
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def operator():
    with Operator.from_env(via="console") as made:
        yield made


def many(relay: Relay, number: int, code: str = FUNDS, *, target: str = "default", first: int = 0) -> list[str]:
    """Dead letters, in the order of their deaths."""
    keys = [f"{target}-{first + at}" for at in range(number)]
    relay.enqueue_many([Write(intent=payment(), key=key, target=target) for key in keys])
    journal = relay.journal(target)
    while claims := journal.claim("transactions", "tester", 500).items:
        fields = {"class": "rejected", "code": code, "message": "no"}
        journal.settle("tester", [Settlement(one, "sending", "dead", fields=fields) for one in claims], ())
    return keys


def finish(relay: Relay, worker: str = "host:1:a", target: str = "default", page: int = 25) -> int:
    """Carry out all there is; how many pages that took."""
    pages = 0
    while carry(relay.journal(target), worker, page).more:
        pages += 1
    return pages


def replays(relay: Relay, key: str, target: str = "default") -> int:
    return sum(line.what in ("replayed", "discarded") for line in relay.history(key, target=target))


def test_a_job_does_what_was_planned_page_by_page_and_says_what_it_did(operator, relay):
    keys = many(relay, 60)
    plan = operator.plan_many("replay", code=FUNDS)
    assert (len(plan.letters), plan.ways, plan.sums, plan.summed) == (60, {"fresh": 60}, {"EUR": Decimal(630)}, 60)
    name = operator.begin(plan, who="ann", reason="topped up")
    [job] = operator.jobs()
    assert isinstance(job, Job)
    assert (job.id, job.state, job.total, job.done, job.left) == (name, "running", 60, 0, 60)
    assert carry(relay.journal(), "host:1:a", 25).more
    [job] = operator.job(name)
    assert (job.done, job.left, job.sums) == (25, 35, {"EUR": Decimal("262.5")})
    finish(relay)
    [job] = operator.job(name)
    assert (job.state, job.done, job.refused, job.left, job.summed) == ("done", 60, 0, 0, 60)
    assert job.ended is not None
    assert {relay.get(key).state for key in keys} == {"ready"}
    assert relay.history(keys[-1])[-1].note == "topped up"
    assert operator.jobs()[0].state == "done"
    assert [(action.what, action.via, action.count, action.result) for action in operator.actions()] == [
        ("end", "worker", 60, "done"),
        ("begin", "console", 60, "begun"),
    ]
    assert not carry(relay.journal(), "host:1:a").more


def test_a_letter_that_cannot_be_planned_does_not_touch_its_neighbours_and_can_be_closed(operator, relay, monkeypatch):
    letters(relay, "a")
    relay.enqueue(intent_of("inflight.commit", {"hold": "hold-1", "amount": "1.00", "precision": 100}), key="b")
    die(relay, "refused", "HOLD_EXPIRED", lane="inflight")
    letters(relay, "c")
    monkeypatch.setitem(KINDS._known, "inflight.commit", replace(KINDS["inflight.commit"], hopeless=None))
    plan = operator.plan_many("replay")
    assert [letter.status.key for letter in plan.letters] == ["a", "c"]
    assert [letter.status.key for letter in plan.first] == ["a", "c", "b"]
    assert plan.reasons == {"it cannot be planned (TypeError); the others are not touched by that": 1}
    assert run("dead", "replay", "--all", "--plan", "--json").json["reasons"] == plan.reasons
    assert len(operator.plan_many("discard").letters) == 3


def test_what_a_job_is_worth_is_told_to_the_last_digit(operator, relay):
    relay.enqueue_many([Write(intent=payment(amount="9999999999999.99"), key=f"rich-{at}") for at in range(25)])
    die(relay, "refused", FUNDS)
    name = operator.begin(operator.plan_many("discard", code=FUNDS), who="ann", reason="paid by hand")
    assert finish(relay) == 1
    (job,) = operator.job(name)
    assert (job.done, job.summed, job.sums) == (25, 25, {"EUR": Decimal("249999999999999.75")})


def test_a_plan_that_redis_has_lost_is_not_told_as_a_job(operator, relay, monkeypatch):
    many(relay, 3)
    journal = relay.journal()

    def losing(letters: Any) -> Any:
        """As when another server takes over, which has not got all of it."""
        for key in journal.client.keys("*job:*"):
            journal.client.delete(key)
        return items(letters)

    monkeypatch.setattr(hands, "items", losing)
    with pytest.raises(JournalUnavailable, match="has lost what was planned"):
        operator.begin(operator.plan_many("discard"), who="ann", reason="x")
    assert operator.jobs() == ()


def test_what_has_changed_since_the_plan_or_died_after_it_is_not_touched(operator, relay):
    keys = many(relay, 6)
    plan = operator.plan_many("replay")
    operator.discard(relay.get(keys[0]), who="bob", reason="paid in cash")
    operator.replay(relay.get(keys[1]), who="bob", reason="only this one")
    die(relay, "rejected", FUNDS)
    name = operator.begin(plan, who="ann", reason="topped up")
    operator.replay(relay.get(keys[2]), who="bob", reason="meanwhile")
    letters(relay, "late")
    die(relay, "rejected", FUNDS)
    finish(relay)
    [job] = operator.job(name)
    assert (job.done, job.refused, job.left) == (3, 3, 0)
    assert job.reasons == {"changed": 2, "discarded": 1}
    assert len(job.refusals) == 3
    assert relay.get("late").state == "dead"
    assert [relay.get(key).generation for key in keys[1:]] == [1, 1, 1, 1, 1]
    assert operator.actions(what="end")[0].result == "done, refused 3"


def test_a_job_is_carried_out_by_one_and_by_another_when_that_one_falls_silent(operator, relay, monkeypatch):
    many(relay, 6)
    operator.begin(operator.plan_many("discard"), who="ann", reason="closed")
    assert carry(relay.journal(), "host:1:a", 2).more
    assert not carry(relay.journal(), "host:2:b", 2).more, "it is in other hands"
    assert operator.jobs()[0].done == 2
    monkeypatch.setattr(carrying, "LEASE_MS", 0)
    finish(relay, "host:2:b", page=2)
    assert operator.jobs()[0].done == 6


def test_a_page_that_two_carry_out_at_once_is_done_once(operator, relay, monkeypatch):
    monkeypatch.setattr(carrying, "LEASE_MS", 0)
    keys = many(relay, 60)
    name = operator.begin(operator.plan_many("replay"), who="ann", reason="topped up")
    threads = [threading.Thread(target=finish, args=(relay, f"host:{at}:x", "default", 3)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    finish(relay)
    assert [replays(relay, key) for key in keys] == [1] * 60
    assert (operator.job(name)[0].done, operator.job(name)[0].refused) == (60, 0)


def test_a_job_that_is_stopped_leaves_what_it_has_not_come_to(operator, relay):
    keys = many(relay, 10)
    name = operator.begin(operator.plan_many("replay"), who="ann", reason="topped up")
    carry(relay.journal(), "host:1:a", 4)
    [job] = operator.stop_job(name, who="bob", reason="the wrong bank")
    assert (job.state, job.done, job.left) == ("stopped", 4, 6)
    assert not carry(relay.journal(), "host:1:a").more
    assert sorted(relay.get(key).state for key in keys) == ["dead"] * 6 + ["ready"] * 4
    with pytest.raises(Refused, match="stopped already"):
        operator.stop_job(name, who="bob")
    [stopped] = operator.actions(what="stop job")
    assert (stopped.who, stopped.result, stopped.count, stopped.reason) == ("bob", "stopped", 4, "the wrong bank")
    again = operator.begin(operator.plan_many("replay"), who="ann", reason="the right one")
    finish(relay)
    assert (operator.job(again)[0].done, count(relay, "dead")) == (6, 0)


def test_a_job_that_ends_while_it_is_stopped_is_not_said_to_run(operator, relay, monkeypatch):
    many(relay, 3)
    name = operator.begin(operator.plan_many("replay"), who="ann", reason="paid in")
    told = Operator._told

    def ended(self: Operator, *of: Any, **more: Any) -> str:
        finish(relay)
        return told(self, *of, **more)

    monkeypatch.setattr(Operator, "_told", ended)
    with pytest.raises(Refused, match=f"job {name} is not stopped: it is done already"):
        operator.stop_job(name, who="bob")


def test_two_jobs_are_done_one_after_the_other_and_never_a_letter_by_both(operator, relay):
    keys = many(relay, 40)
    first = operator.begin(operator.plan_many("replay"), who="ann", reason="topped up")
    second = operator.begin(operator.plan_many("discard"), who="bob", reason="closed")
    assert carry(relay.journal(), "host:1:a", 10).more
    assert [operator.job(name)[0].done for name in (first, second)] == [10, 0]
    finish(relay)
    parts = [operator.job(name)[0] for name in (first, second)]
    assert [(part.done, part.refused) for part in parts] == [(40, 0), (0, 40)]
    assert [replays(relay, key) for key in keys] == [1] * 40
    assert operator.job(second)[0].reasons == {"ready": 40}


def test_encrypted_letters_are_done_as_well_and_are_in_no_sum(settings, relay):
    many(relay, 2)
    keyed = replace(settings, encryption_keys=a_key("k1"))
    with Relay(keyed) as hiding, Operator(hiding.journals, hiding.bells) as operator:
        many(hiding, 4, first=10)
        plan = operator.plan_many("replay")
        assert (len(plan.letters), plan.summed) == (6, 2)
        name = operator.begin(plan, who="ann", reason="topped up")
        finish(hiding)
        [job] = operator.job(name)
        assert (job.done, job.refused, job.summed, job.sums) == (6, 0, 2, {"EUR": Decimal(21)})
        assert "Sekret" not in repr(operator.job(name)) + repr(operator.actions())


@pytest.mark.parametrize("what", ["replay", "discard"])
@pytest.mark.parametrize("counted", [True, False])
def test_a_plan_of_many_is_the_plan_of_each_of_them(settings, relay, what, counted):
    many(relay, 4)
    many(relay, 3, code="RARE", first=10)
    hidden = replace(settings, encryption_keys=a_key("k1"))
    with Relay(hidden) as hiding:
        many(hiding, 2, first=20)
    journal = relay.journal()
    client, broken, gone = journal.client, relay.get("default-1"), relay.get("default-2")
    client.set(journal.key(f"body:{broken.id}"), "{")
    client.hset(journal.key(f"intent:{gone.id}"), "state", "done")
    if not counted:
        client.delete(journal.key("causes"))
    with Operator(relay.journals, relay.bells) as operator:
        for narrow in ({}, {"code": FUNDS}, {"dead_class": "rejected", "until": operator.now()}, {"kind": "refund"}):
            steps: list[int] = []
            plan = operator.plan_many(what, of="these", **narrow, step=steps.append)
            each = operator.plan_these(what, operator.listed("dead", oldest_first=True, **narrow), of="these")
            assert plan == each
            assert sum(steps) >= sum(plan.ways.values()) == (0 if "kind" in narrow else 5 if "code" in narrow else 8)


def test_a_job_about_two_targets_has_a_part_in_the_journal_of_each(settings):
    several = replace(settings, instance_id="i", targets=(Target(name="eu"),))
    with Relay(several) as relay, Operator(relay.journals, relay.bells) as operator:
        ours, theirs = many(relay, 3), many(relay, 2, target="eu")
        name = operator.begin(operator.plan_many("replay"), who="ann", reason="topped up")
        finish(relay)
        assert {part.target: (part.state, part.done) for part in operator.job(name)} == {
            "default": ("done", 3),
            "eu": ("running", 0),
        }
        finish(relay, target="eu")
        assert {part.target: part.done for part in operator.job(name)} == {"default": 3, "eu": 2}
        assert [replays(relay, key) for key in ours] == [1] * 3
        assert [replays(relay, key, "eu") for key in theirs] == [1] * 2
        [begun] = operator.actions(what="begin")
        assert (begun.count, set(begun.targets)) == (5, {"default", "eu"})


def test_no_job_is_begun_without_a_reason_or_with_nothing_to_do(operator, relay):
    plan = operator.plan_many("discard")
    with pytest.raises(Refused, match="nothing in its plan"):
        operator.begin(plan, who="ann", reason="x")
    many(relay, 1)
    with pytest.raises(Refused, match="with a reason"):
        operator.begin(operator.plan_many("discard"), who="ann", reason=" ")
    with pytest.raises(NotFound):
        operator.job("nope")
    assert operator.jobs() == ()


def test_jobs_that_are_over_are_kept_up_to_a_bound_and_a_plan_that_nobody_begins_goes_away(operator, relay):
    journal = relay.journal()
    for number in range(103):
        many(relay, 1, first=number)
        operator.begin(operator.plan_many("discard"), who="ann", reason=f"number {number}")
        finish(relay)
    assert len(operator.jobs(most=1000)) == 100
    assert operator.jobs()[0].reason == "number 102"
    assert all(journal.client.pttl(key) > 0 for key in journal.client.keys("*job:*"))
    journal.scripts.run("job", "plan", "idle", "what", "replay")
    journal.scripts.run("job", "add", "idle", "x same 0|a|b|1")
    assert 0 < journal.client.pttl(journal.key("planned:idle")) <= 3_600_000
    assert 0 < journal.client.pttl(journal.key("job:idle")) <= 3_600_000
    assert len(operator.jobs(most=1000)) == 100


def test_the_command_line_makes_a_job_of_many_letters_and_shows_it(relay):
    many(relay, 101)
    planned = run("dead", "replay", "--all", "--plan").out
    assert "1,060.50 EUR" in planned
    begun = run("dead", "replay", "--all", "--yes", "--reason", "topped up", "--who", "ann", "--json").json
    name = begun["job"]
    assert (begun["ran"], begun["done"], begun["left"], begun["sums"]) == (False, 0, 101, {"EUR": "1060.5"})
    assert name in run("jobs").out
    finish(relay)
    shown = run("jobs", "show", name, "--follow", "--json").json
    assert [(part["state"], part["done"]) for part in shown["parts"]] == [("done", 101)]
    assert "topped up" in run("jobs", "show", name).out
    assert run("jobs", "stop", name).code == 5
    assert run("jobs", "--json").json["jobs"][0]["id"] == name


def test_a_list_of_jobs_that_is_cut_says_so(operator, relay):
    for number in range(3):
        many(relay, 1, first=number)
        operator.begin(operator.plan_many("discard"), who="ann", reason=f"number {number}")
        finish(relay)
    cut, whole = run("jobs", "--limit", "2"), run("jobs", "--limit", "3")
    assert "There are more than 2: raise --limit." in cut.out
    assert ("number 0" in cut.out, "number 0" in whole.out, "There are more" in whole.out) == (False, True, False)
    told = [run("jobs", "--limit", str(limit), "--json").json for limit in (2, 3)]
    assert [(len(one["jobs"]), one["more"]) for one in told] == [(2, True), (3, False)]


@pytest.mark.long
def test_a_job_survives_the_kill_of_the_worker_that_carries_it_out_twice(operator, relay, monkeypatch):
    keys = many(relay, 900)
    # Nothing is sent, so that what the job has done is seen.
    operator.pause_lane("transactions", who="ann")
    with ExitStack() as stack:

        def worker() -> subprocess.Popen[Any]:
            arguments = ("worker", "--pool", "threads", "--json")
            return stack.enter_context(process(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

        ledger = stack.enter_context(
            process(
                "sandbox",
                "--port",
                "0",
                "--fault-rate",
                "0",
                "--token",
                "t0ken",
                "--instance-id",
                "inst_1",
                "--json",
                stdout=subprocess.PIPE,
            )
        )
        monkeypatch.setenv("BLNK_RELAY_BASE_URL", json.loads(ledger.stdout.readline())["url"])  # type: ignore[union-attr]
        monkeypatch.setenv("BLNK_RELAY_TOKEN", "t0ken")
        monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "inst_1")
        name = operator.begin(operator.plan_many("replay"), who="ann", reason="topped up")

        def done() -> int:
            return operator.job(name)[0].done

        for _ in range(2):
            before = done()
            first = worker()
            wait_until(lambda before=before: done() > before, WAIT_S)  # type: ignore[misc]
            first.send_signal(signal.SIGKILL)
            first.wait(WAIT_S)
            assert operator.job(name)[0].state == "running"
        last = worker()
        wait_until(lambda: operator.job(name)[0].over, 2 * WAIT_S)
        last.terminate()
        last.wait(WAIT_S)
        ledger.terminate()
        ledger.wait(WAIT_S)
    [job] = operator.job(name)
    assert (job.state, job.done, job.refused, job.left) == ("done", 900, 0, 0)
    assert [replays(relay, key) for key in keys] == [1] * 900
    assert len(operator.actions(what="end")) == 1
