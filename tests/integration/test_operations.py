"""The page of operations, executed: each of its command lines, where there is one of everything to be looked at."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from blnk_relay import Relay, Write
from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from tests.support.cli import FUNDS, die, letters, payment, run
from tests.support.history import made, sqlite_url
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.stage import Stage, as_environment

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")

#: What else but 0 a line may end with: a check that finds something has found it.
FINDS = {"doctor": {1, 3}, "audit": {1, 6}}


def lines_of(page: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    url = sqlite_url(tmp_path_factory.mktemp("history"))
    made(url).close()
    with Stage(settings={"history_url": url}) as running, Relay(running.settings) as relay:
        letters(relay, "order-43", "order-44")
        for dead_class in set(DeadClass) - {DeadClass.REJECTED}:
            relay.enqueue(payment(), key=f"{dead_class}-1")
            die(relay, dead_class, f"CODE_{dead_class.upper()}")
        running.start_worker()
        operator = operator_of(relay)
        wait_until(lambda: any(worker.state == "running" for worker in operator.workers()), 60, "a worker")
        operator.pause_lane("refunds", who="mila", reason="rates are wrong")
        operator.pause_target("default", who="mila", reason="rates are wrong")
        relay.enqueue_many([Write(intent=payment(), key="waits")])
        yield running


def test_every_command_of_the_page_can_be_given_as_it_stands(stage, monkeypatch):
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    commands = list(dict.fromkeys(lines_of(PAGE)))
    assert len(commands) > 20
    for command in commands:
        # As the list before it shows it.
        program, *arguments = shlex.split(command.replace(" ID", f" {id_of(DEFAULT_TARGET, f'{DeadClass.INVALID}-1')}"))
        assert program == "blnk-relay"
        done = run(*arguments)
        assert done.code in {0, *FINDS.get(arguments[0], ())}, f"{command}: {done.code} {done.out} {done.err}"
        assert done.out.strip(), command


def test_what_verdicts_tell_to_type_can_be_typed(stage, monkeypatch):
    """Remedies that are a command alone, on the same stage; those that begin a worker or stop one are not run."""
    for name, value in as_environment(stage.settings).items():
        monkeypatch.setenv(name, value)
    with Relay(stage.settings) as relay:
        told = {one.remedy for one in operator_of(relay).verdicts() if one.remedy.startswith("blnk-relay ")}
    assert told
    for remedy in told:
        _, *arguments = shlex.split(remedy.partition(";")[0])
        if arguments[0] != "worker" and arguments[:2] != ["workers", "stop"]:
            done = run(*arguments)
            assert done.code in {0, *FINDS.get(arguments[0], ())}, f"{remedy}: {done.out} {done.err}"
    assert FUNDS in run("dead", "list").out
