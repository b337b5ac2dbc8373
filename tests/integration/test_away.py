"""With the journal of one target of two away: what is said of the other, and that nothing is known of this one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from blnk_relay import Gathered, JournalUnavailable, NotFound, Operator, Relay, Settings, Target, Write
from blnk_relay.journal.carrying import carry, stop_said
from tests.support.cli import run
from tests.support.history import copy, made, sqlite_url
from tests.support.journal import LANE, WORKER, kill
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker import carriers
from worker.carriers import Carriers
from worker.demo.stage import as_environment
from worker.demo.valkey import start_valkey
from worker.shared import Shared

#: Who looks at all of it, and the name of the list in its JSON.
LOOKS = {
    ("jobs",): "jobs",
    ("log",): "actions",
    ("workers",): "workers",
    ("lanes",): "lanes",
    ("history", "status"): "journals",
    ("dead", "summary"): "causes",
    ("list",): "intents",
    ("dead", "list"): "letters",
}


@pytest.fixture(scope="module")
def second() -> Iterator[Any]:
    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def two(settings: Settings, second: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two ledgers, each with its journal on a Redis of its own."""
    with redis.Redis(port=second.port) as client:
        client.flushall()
    elsewhere = f"redis://127.0.0.1:{second.port}/0"
    made = replace(
        settings,
        targets=(Target(name="us", redis_url=settings.redis_url), Target(name="eu", redis_url=elsewhere)),
        redis_timeout_s=0.5,
        durability_timeout_s=0.2,
    )
    for name, value in as_environment(made).items():
        monkeypatch.setenv(name, value)
    return made


@contextmanager
def away(server: Any) -> Iterator[None]:
    """That Redis does not answer."""
    with redis.Redis(port=server.port) as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def begun(relay: Relay, operator: Operator, *targets: str, number: int = 30) -> str:
    """A job that discards letters of these targets."""
    for target in targets:
        relay.enqueue_many([Write(intent=payment(), key=f"{target}-{at}", target=target) for at in range(number)])
        for claim in relay.journal(target).claim(LANE, WORKER, 100).items:
            kill(relay.journal(target), claim)
    return operator.begin(operator.plan_many("discard"), who="ann", reason="closed")


def test_a_job_that_is_stopped_while_a_journal_is_away_is_not_said_to_be_stopped_there(two, second):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", "eu")
        with away(second):
            stopped = run("jobs", "stop", name, "--reason", "the wrong ones")
            assert stopped.code == 4
            assert f"job {name} may go on in eu" in stopped.err
            assert "in us it is stopped" in stopped.err
            shown = run("jobs", "show", name)
            assert (shown.code, "Nothing is known of eu" in shown.err) == (0, True)
            document = run("jobs", "show", name, "--json").json
            assert [(part["target"], part["state"], part["targets"]) for part in document["parts"]] == [
                ("us", "stopped", ["us", "eu"])
            ]
            assert document["away"] == ["eu"]
            with pytest.raises(JournalUnavailable, match="may go on in eu"):
                operator.stop_job(name, who="bob")
            with pytest.raises(JournalUnavailable, match="nothing is known of eu"):
                operator.job("other")
        again = run("jobs", "show", name)
        assert f"goes on in eu: blnk-relay jobs stop {name}" in again.err
        assert run("jobs", "stop", name).code == 0
        assert {part.target: part.state for part in operator.job(name)} == {"us": "stopped", "eu": "stopped"}
        assert not carry(relay.journal("eu"), "host:1:a").more
        assert operator.overview().dead == 60
        assert "goes on" not in run("jobs", "show", name).err
        with pytest.raises(NotFound):
            operator.job("other")


@contextmanager
def carried(settings: Settings, target: str) -> Iterator[None]:
    """A worker carries out what there is for this target."""
    shared, stop = Shared(settings), threading.Event()
    those = Carriers(shared)
    thread = threading.Thread(target=those.run, args=(stop,))
    thread.start()
    try:
        those.look(target)
        yield
    finally:
        stop.set()
        those.wake()
        thread.join(20.0)
        shared.relay.close()


@pytest.mark.parametrize("there", ["stopped", "done"])
def test_a_worker_sees_by_itself_that_a_job_was_stopped_while_its_journal_was_away(two, second, there):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", "eu")
        while there == "done" and carry(relay.journal("us"), "host:1:a").more:
            pass
        where = {"stopped": "in us it is stopped", "done": "in us it was done before"}[there]
        with away(second), pytest.raises(JournalUnavailable, match=f"{where}. A worker .* sees by itself"):
            operator.stop_job(name, who="bob", reason="the wrong ones")
        assert (
            f"It was stopped elsewhere and goes on in eu: blnk-relay jobs stop {name}" in run("jobs", "show", name).err
        )
        with carried(two, "eu"):
            wait_until(lambda: all(part.over for part in operator.job(name)), 10, "the word to get there")
        parts = {part.target: part for part in operator.job(name)}
        assert (parts["us"].state, parts["eu"].state, parts["eu"].done, parts["eu"].left) == (there, "stopped", 0, 30)
        told = operator.actions(what="stop job")
        assert [(one.who, one.reason, "eu" in one.targets) for one in told] == [("bob", "the wrong ones", True)]


def test_who_stops_a_job_again_is_heard_where_an_older_version_stopped_a_part_of_it(two, second):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", "eu")
        us = relay.journal("us")
        with away(second):
            with pytest.raises(JournalUnavailable, match="in us it is stopped"):
                operator.stop_job(name, who="bob")
            # That version notes no more than the state.
            us.client.hdel(us.key(f"job:{name}"), "stop")
            with pytest.raises(JournalUnavailable, match="in us it is stopped"):
                operator.stop_job(name, who="bob")
        with carried(two, "eu"):
            wait_until(lambda: all(part.over for part in operator.job(name)), 10, "the word to get there")
        assert [(part.state, part.done) for part in operator.job(name)] == [("stopped", 0)] * 2


def test_a_worker_goes_on_with_a_job_whose_other_journal_is_silent_and_does_not_wait_for_it_with_every_page(
    two, second, monkeypatch
):
    looks = []
    monkeypatch.setattr(carriers, "stop_said", lambda *asked: looks.append(asked) or stop_said(*asked))
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", "eu", number=60)
        with away(second):
            with carried(two, "us"):
                wait_until(lambda: operator.job(name)[0].over, 10, "its part to be done")
            assert [(part.target, part.state, part.done) for part in operator.job(name)] == [("us", "done", 60)]
        assert len(looks) == 1


def test_a_job_that_has_no_part_in_a_journal_that_is_away_is_simply_stopped(two, second):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", number=2)
        with away(second):
            assert run("jobs", "stop", name).code == 0
            assert operator.job(name).away == ()


def test_of_a_job_that_does_not_say_where_it_is_any_journal_that_is_away_may_have_a_part(two, second):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", number=2)
        relay.journal("us").client.hdel(relay.journal("us").key(f"job:{name}"), "targets")
        with away(second), pytest.raises(JournalUnavailable, match="may go on in eu"):
            operator.stop_job(name, who="bob")
        assert operator.job(name)[0].state == "stopped"


def test_a_job_is_followed_until_it_is_over_everywhere(two, monkeypatch):
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        name = begun(relay, operator, "us", "eu", number=2)
        for target in ("us", "eu"):
            while carry(relay.journal(target), "host:1:a").more:
                pass
        whole = operator.job(name)
        answers = [Gathered(whole[:1], ["eu"]), Gathered(whole[:1], ["eu"]), whole]
        monkeypatch.setattr(Operator, "job", lambda *_: answers.pop(0))
        assert run("jobs", "show", name, "--follow").code == 0
        assert not answers


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.usefixtures("two")
def test_whoever_looks_at_all_is_told_of_which_target_nothing_is_known(second, look):
    assert run(*look).code == 0
    with away(second):
        seen = run(*look)
        assert seen.code == 0
        assert "Nothing is known of eu: Redis did not answer." in seen.err
        document = run(*look, "--json").json
        assert document["away"] == ["eu"]
        assert {row.get("target", "us") for row in document[LOOKS[look]]} <= {"us"}
        assert "Nothing is known of eu" in run(*look, "-o", "csv").err
    assert run(*look, "--json").json["away"] == []


def test_of_a_target_that_is_away_the_log_says_that_it_has_what_history_has(two, second, tmp_path, monkeypatch):
    url = sqlite_url(tmp_path)
    monkeypatch.setenv("BLNK_RELAY_HISTORY_URL", url)
    with Relay(replace(two, history_url=url)) as relay, closing(made(url)) as database:
        journal = relay.journal("eu")
        copy(journal, database)
        Operator(relay.journals).pause_target("eu", who="ann", reason="audit")
        copy(journal, database)
    with away(second):
        seen = run("log")
        assert "ann" in seen.out
        assert "Of eu only what history has is known: Redis did not answer." in seen.err
        assert "Nothing is known" not in seen.err
        monkeypatch.setenv("BLNK_RELAY_HISTORY_URL", f"sqlite:///{tmp_path}/nowhere/history.db")
        seen = run("log")
        assert "Nothing is known of eu: Redis did not answer." in seen.err
        assert "What is older than the journals keep was not read" in seen.err


@pytest.mark.parametrize(
    "look",
    [
        *LOOKS,
        ("log", "--since", "12h"),
        ("dead", "list", "--since", "2h"),
        ("dead", "list", "--code", "NOT_KNOWN_WHERE_ONE_CAN_LOOK"),
        ("list", "--state", "dead", "--until", "1h"),
        ("find", "--code", "NO_SUCH_CODE", "--since", "2h"),
    ],
    ids=" ".join,
)
def test_it_makes_no_difference_whether_the_target_that_is_away_is_named_first(two, second, monkeypatch, look):
    for name, value in as_environment(replace(two, targets=two.targets[::-1])).items():
        monkeypatch.setenv(name, value)
    with Relay(two) as relay, Operator(relay.journals, relay.bells) as operator:
        assert operator.now()
    with away(second):
        seen = run(*look)
        assert seen.code == 0, seen.err
        assert "eu" in seen.out + seen.err
        with Relay(replace(two, targets=two.targets[::-1])) as relay, Operator(relay.journals, relay.bells) as operator:
            assert operator.now() == pytest.approx(operator.now("us"), abs=timedelta(seconds=5))
            with pytest.raises(JournalUnavailable):
                operator.now("eu")


@pytest.mark.usefixtures("two")
def test_status_shows_what_it_can_read_also_of_a_journal_that_was_never_used(second):
    with away(second):
        seen = run("status")
        assert seen.code == 0
        assert "journal-away" in seen.out
        assert "eu: not in these figures" in seen.out
        assert run("status", "--json").json["away"] == ["eu"]


@pytest.mark.usefixtures("two")
def test_nobody_is_said_to_be_dead_who_may_work_where_nobody_can_look(second):
    assert run("health").code == 1
    with away(second):
        assert run("health", "--json").json["live"] is None
        assert run("health", "--ready").code == 4


@pytest.mark.usefixtures("environment")
def test_figures_of_a_journal_whose_shape_is_unknown_are_no_zeros(relay):
    relay.enqueue(payment(), key="a")
    journal = relay.journal()
    journal.client.hset(journal.key("ground"), "shape", "99")
    seen = run("status")
    assert seen.code == 4
    assert "journal-shape" in seen.out
    assert "default: not in these figures" in seen.out
    assert [
        line.split()[-1] for line in seen.out.splitlines() if line.startswith(("dead letters", "workers", "open"))
    ] == ["-"] * 3
    assert run("status", "--json").json["away"] == ["default"]
