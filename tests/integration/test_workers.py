"""Workers show what they are, are told to be quiet or to stop through the journal, and leave a trace when they die."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from blnk_relay import NotFound, Operator, Refused, Relay, WorkerView, Write
from blnk_relay._version import __version__
from blnk_relay.journal.locked import FRONT
from blnk_relay.journal.settlement import Settlement
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import process, run
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.payments import payment
from tests.support.stages import SHORT, operator_of, pause_holding, slow, wait_for_leases
from tests.support.waiting import wait_until
from worker.cli import exits
from worker.demo.stage import Stage, _clean_environment, as_environment
from worker.watch import FAILED

PATIENCE_S = 45.0


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A stage for workers of a pool, which is the parameter, and a ledger that takes its time."""
    settings = {**SHORT, **getattr(request, "param", {}).get("settings", {})}
    pool = getattr(request, "param", {}).get("pool", "threads")
    with Stage(pool=pool, settings=settings, faults=slow(0.3)) as stage:
        yield stage
        print(stage.log.read_text()[-10_000:])


@pytest.fixture
def staged(stage: Stage) -> Iterator[Relay]:
    with Relay(stage.settings) as running:
        yield running


def alive(operator: Operator, number: int = 1) -> tuple[WorkerView, ...]:
    """Wait until so many workers are alive; those."""

    def seen() -> tuple[WorkerView, ...]:
        found = tuple(worker for worker in operator.workers() if worker.alive and worker.sign.pool)
        return found if len(found) == number else ()

    return wait_until(seen, PATIENCE_S, f"{number} workers")


def pay(relay: Relay, name: str, number: int) -> list[Any]:
    return relay.enqueue_many([Write(intent=payment(f"{name}-{at}."), key=f"{name}-{at}") for at in range(number)])


@pytest.mark.parametrize(
    "stage",
    [
        {"pool": "prefork"},
        pytest.param({"pool": "threads"}, marks=pytest.mark.long),
        pytest.param({"pool": "solo"}, marks=pytest.mark.long),
    ],
    ids=lambda stage: stage["pool"],
    indirect=True,
)
def test_a_worker_shows_itself_becomes_quiet_and_stops_when_it_is_told(stage, staged):
    """One worker, of each pool: what is begun is finished, what comes later is left alone, and it leaves with 0."""
    operator, process = operator_of(staged), stage.start_worker()
    (worker,) = alive(operator)
    assert (worker.pid, worker.version, worker.state) == (process.pid, __version__, "running")
    assert worker.sign.lanes == stage.settings.lanes
    assert worker.sign.pool == stage._pool
    assert worker.sign.memory > 10_000_000
    begun = pay(staged, "begun", 40)
    wait_for_leases(staged, 1)
    wait_until(lambda: alive(operator)[0].sign.busy, PATIENCE_S, "requests to be under way")
    (told,) = operator.quiet(worker.place, who="ann", reason="host is replaced")
    assert told.name == worker.name
    wait_until(lambda: alive(operator)[0].state == "quiet", PATIENCE_S, "it to be quiet")
    wait_until(lambda: not operator.overview().sending, PATIENCE_S, "its hands to be empty")
    later = pay(staged, "later", 5)
    wait_until(lambda: alive(operator)[0].state == "quiet", PATIENCE_S, "a sign of life")
    assert "no-worker" in {verdict.sort for verdict in operator.verdicts()}
    operator.stop(worker.name, who="ann")
    assert process.wait(PATIENCE_S) == 0
    assert operator.workers() == ()
    assert [(act.what, act.of, act.reason) for act in operator.actions()] == [
        ("stop", f"worker {worker.name}", ""),
        ("quiet", f"worker {worker.name}", "host is replaced"),
    ]
    # Another one takes what was left.
    stage.workers.clear()
    stage.start_worker()
    wait_for_all(staged, begun + later, PATIENCE_S)
    assert_exactly_once(staged, begun + later, stage.sandbox)


@pytest.mark.long
def test_a_quiet_worker_takes_no_bells_from_others(stage, staged):
    operator = operator_of(staged)
    stage.start_worker()
    (first,) = alive(operator)
    stage.start_worker()
    alive(operator, 2)
    operator.quiet(first.name, who="ann")
    wait_until(lambda: any(one.state == "quiet" for one in alive(operator, 2)), PATIENCE_S, "it to be quiet")
    wait_for_all(staged, pay(staged, "a", 10), PATIENCE_S)
    assert not any(one.state == "running" and one.name == first.name for one in alive(operator, 2))


def test_a_worker_that_was_killed_stays_visible_with_what_it_held(stage, staged):
    operator, process = operator_of(staged), stage.start_worker()
    (worker,) = alive(operator)
    receipts = pay(staged, "a", 40)
    pause_holding(staged, [process], 4, least=4)
    stage.kill_worker(process)
    stage.start_worker()

    def fallen() -> WorkerView | None:
        return next((one for one in operator.workers() if not one.alive and one.held), None)

    dead = wait_until(fallen, PATIENCE_S, "its death to be noticed")
    assert dead.name == worker.name
    assert dead.held >= 4
    assert set(dead.held_ids) <= {receipt.id for receipt in receipts}
    assert "worker-died" in {verdict.sort for verdict in operator.verdicts()}
    with pytest.raises(NotFound, match="no worker that is alive"):
        operator.stop(dead.name, who="ann")
    wait_for_all(staged, receipts, PATIENCE_S)
    assert_exactly_once(staged, receipts, stage.sandbox)


#: A worker whose requests never come back, whatever their deadlines say.
HANGING = """
import sys, time
import tasks.deliver
from blnk_relay import Settings
from worker.process import run_worker
tasks.deliver.Delivery._attempt = lambda *_: time.sleep(3600)
sys.exit(run_worker(Settings.from_env()))
"""


@pytest.mark.long
@pytest.mark.parametrize("stage", [{"settings": {"slice_s": 0.5, "stalled_s": 4.6}}], indirect=True)
def test_a_worker_that_finishes_nothing_says_so_and_ends_for_its_supervisor(stage, staged, monkeypatch):
    environment = {**_clean_environment(), **as_environment(stage.settings)}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    operator = operator_of(staged)
    with stage.log.open("ab") as log:
        process = subprocess.Popen([sys.executable, "-c", HANGING], env=environment, stderr=log)
    stage.workers.append(process)
    alive(operator)
    assert run("health").code == exits.OK
    pay(staged, "a", 3)
    wait_until(lambda: any(one.sign.unwell for one in operator.workers()), PATIENCE_S, "it to be unwell")
    ran = run("health", "--json")
    assert (ran.code, ran.json["live"]) == (exits.PARTLY, False)
    assert "worker-unwell" in {verdict.sort for verdict in operator.verdicts()}
    assert process.wait(PATIENCE_S) == FAILED
    stage.workers.clear()
    assert "holds intents and finishes none" in stage.log.read_text()


# -- a journal without workers ---------------------------------------------------------------------------------------


@pytest.fixture
def hands(relay: Relay) -> Operator:
    return operator_of(relay)


def live(relay: Relay, name: str = "web-1:42:abc", **sign: Any) -> None:
    """A sign of life of a worker that is none."""
    made = Sign("1.2.3", 1, relay.settings.lanes, ("default",), "threads", 16, **sign)
    relay.journal().sweep(f"{name} 1.2.3 1", 0.0, sign_of(made))


@pytest.mark.usefixtures("environment")
class TestOnTheCommandLine:
    """What people and programs see."""

    def test_workers_are_listed_and_told(self, relay):
        live(relay, busy=3, memory=64 << 20)
        shown = run("workers").out
        assert "web-1:42:abc" in shown.replace("\n", "")
        assert "1 worker alive" in shown
        assert [one["busy"] for one in run("workers", "--json").json["workers"]] == [3]
        told = run("workers", "stop", "web-1", "--who", "ann", "--reason", "late", "--json").json
        assert [one["name"] for one in told["workers"]] == ["web-1:42:abc"]
        assert "was told to stop by ann (late)" in run("workers").out
        assert relay.journal().sweep("web-1:42:abc 1.2.3 1", 0.0, sign_of(Sign(pool="threads"))).wish == "stop"
        # A quiet after it changes nothing.
        assert run("workers", "quiet", "--all").code == exits.OK
        assert run("workers", "--json").json["workers"][0]["wish"] == "stop"

    def test_whom_nobody_knows_cannot_be_told_and_somebody_has_to_be_named(self, relay):
        assert run("workers", "stop", "nobody").code == exits.NOT_FOUND
        assert run("workers", "stop").code == exits.BAD_INPUT
        assert run("workers", "stop", "web", "--all").code == exits.BAD_INPUT
        relay.journal().sweep("old:7:b 0.9 1")
        assert run("workers", "quiet", "old:7").code == exits.REFUSED
        assert "No worker" not in run("workers").out

    def test_status_opens_with_what_is_wrong_and_the_check_fails_for_it(self, relay):
        relay.enqueue(payment("a."), key="a")
        ran = run("status", "--check")
        assert ran.code == exits.PARTLY
        assert "no-worker" in ran.out[: ran.out.index("oldest of them")]
        found = run("status", "--json").json
        assert not found["well"]
        assert {"no-worker"} <= {verdict["sort"] for verdict in found["verdicts"]}
        assert run("status").code == exits.OK

    def test_watching_needs_a_terminal(self):
        assert run("status", "--watch").code == exits.BAD_INPUT
        assert run("status", "--watch", "--json").code == exits.BAD_INPUT

    @pytest.mark.long
    def test_what_is_watched_is_drawn_over_itself_until_somebody_ends_it(self, relay):
        near, far = os.openpty()
        drawn = bytearray()

        def shows(pattern: bytes) -> bool:
            while select.select([near], [], [], 0)[0]:
                drawn.extend(os.read(near, 65_536))
            return re.search(pattern, drawn) is not None

        with process("status", "--watch", "--interval", "0.5", stdout=far) as watching:
            os.close(far)
            wait_until(lambda: shows(rb"open +0 intents"), PATIENCE_S)
            relay.enqueue(payment("a."), key="a")
            wait_until(lambda: shows(rb"\x1b\[2J(?s:.)*no-worker(?s:.)*open +1 intent"), PATIENCE_S)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(PATIENCE_S) == exits.OK
        os.close(near)

    def test_nobody_is_well_where_no_worker_of_this_host_is(self, relay):
        live(relay)
        assert run("health").code == exits.PARTLY
        assert run("health", "--name", "web-1:42").code == exits.OK

    def test_where_the_journal_is_away_a_worker_is_left_alone_and_is_not_ready(self, environment):
        environment.setenv("BLNK_RELAY_REDIS_URL", "redis://127.0.0.1:1/0")
        ran = run("health", "--json")
        assert (ran.code, ran.json["live"]) == (exits.OK, None)
        assert run("health", "--ready").code == exits.UNAVAILABLE
        assert run("status").code == exits.UNAVAILABLE


def test_an_older_worker_is_shown_and_not_told(hands, relay):
    relay.journal().sweep("old:7:b 0.9 1")
    (worker,) = hands.workers()
    assert (worker.version, worker.state, worker.can_be_told) == ("0.9", "running", False)
    with pytest.raises(Refused, match="too old"):
        hands.quiet("old:7", who="ann")
    assert hands.actions() == ()


def test_who_says_farewell_leaves_nothing_and_who_was_silent_for_half_a_day_is_forgotten(hands, relay):
    journal = relay.journal()
    live(relay, "web:1:a")
    journal.farewell("web:1:a 1.2.3 1")
    assert hands.workers() == ()
    live(relay, "web:2:b")
    journal.client.zadd(journal.key("signs"), {"web:2:b": journal.now_ms() - 12 * 3_600_000 - 1})
    journal.client.delete(journal.key("alive"))
    assert [worker.state for worker in hands.workers()] == ["dead"]
    journal.client.delete(journal.key("sweep"))
    assert journal.sweep().swept
    assert hands.workers() == ()
    assert not journal.client.exists(journal.key("worker:web:2:b"))


def test_an_age_is_that_since_acceptance_in_every_open_state(hands, relay):
    """Waiting, ready, sending, posted, and ready again after waiting: the same acceptance, the same age."""
    journal = relay.journal()
    first = relay.enqueue(payment("a."), key="a")
    later = relay.enqueue(payment("b."), key="b", after=["a"])
    long_ago = journal.now_ms() - 3_600_000
    for receipt in (first, later):
        journal.client.hset(journal.key(f"intent:{receipt.id}"), mapping={"created": long_ago, "due": long_ago})
    journal.client.zadd(journal.key("waiting"), {later.id: long_ago})
    journal.client.zadd(journal.key("ready:transactions"), {first.id: long_ago})

    def is_old() -> bool:
        return 3_600 <= hands.overview().oldest_open_s < 3_900

    def next_one() -> Any:
        return journal.claim("transactions", "tester", 1).items[0]

    assert is_old()
    item = next_one()
    journal.client.zadd(journal.key("waiting"), {later.id: journal.now_ms()})
    assert is_old(), "sending"
    journal.settle("tester", [Settlement(item, "sending", "posted", 60_000)], ())
    assert is_old(), "posted"
    assert hands.overview().late >= 1
    journal.client.zadd(journal.key("posted"), {first.id: journal.now_ms()})
    (taken,) = journal.take("tester", 1, 5.0).items
    assert is_old(), "looked at"
    journal.settle("tester", [Settlement(taken, "posted", "done", fields={"outcome": "applied"})], ())
    assert is_old(), "ready once what it waited for is done"
    journal.settle("tester", [Settlement(next_one(), "sending", "done", fields={"outcome": "applied"})], ())
    assert hands.overview().oldest_open_s == 0


def test_rates_come_from_samples_that_a_sweep_keeps_once_a_minute(hands, relay):
    journal = relay.journal()
    assert journal.sweep().swept
    pay(relay, "a", 30)
    journal.client.delete(journal.key("sweep"))
    assert journal.sweep().swept
    assert journal.client.llen(journal.key("samples")) == 1
    (line,) = journal.client.lrange(journal.key("samples"), 0, -1)
    ago = journal.now_ms() - 60_000
    journal.client.lset(journal.key("samples"), 0, line.replace(line.split(",")[0], f'{{"at":{ago}'))
    rate = hands.rates().over(1)
    assert rate is not None
    assert 0.3 < rate.accepted <= 0.5
    assert hands.rates().empty_s is None
    journal.client.delete(journal.key("sweep"))
    assert journal.sweep().swept
    assert journal.client.llen(journal.key("samples")) == 2


def test_a_glance_costs_the_same_whatever_is_in_the_journal(hands, relay):
    def commands() -> int:
        before = relay.journal().client.info("commandstats")
        hands.glance()
        after = relay.journal().client.info("commandstats")
        return sum(int(of["calls"]) - int(before.get(name, {"calls": 0})["calls"]) for name, of in after.items())

    live(relay)
    pay(relay, "a", FRONT)
    hands.glance()
    few = commands()
    pay(relay, "b", 2_000)
    assert commands() == few
