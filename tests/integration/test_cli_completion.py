"""Completion in real shells: commands, choices, names of the settings, codes from the journal; and never an error."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest
from click.testing import CliRunner

from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import FUNDS, ROOT, WAIT_S, letters, process, run
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.cli import completion
from worker.cli.commands import cli

pytestmark = pytest.mark.usefixtures("environment")

SHELLS = ("bash", "zsh", "fish")

#: Each starts the program three times.
TRIED = [pytest.param(shell, marks=() if shell == "bash" else pytest.mark.long) for shell in SHELLS]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A blnk-relay on the path."""
    path = tmp_path / "blnk-relay"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m worker.cli "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return path


def asking(*words: str) -> dict[str, str]:
    """The variables by which a shell asks for completions of the last of these words."""
    line = " ".join(("blnk-relay", *words))
    return {"_BLNK_RELAY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}


def asked(*words: str) -> list[str]:
    """What the program offers for the last of these words, without a shell."""
    ran = CliRunner().invoke(cli, env=asking(*words))
    assert ran.stderr == ""
    return [line.partition(",")[2] for line in ran.stdout.splitlines()]


def in_bash(*words: str) -> str:
    line = " ".join(f"'{word}'" for word in ("blnk-relay", *words))
    code = (
        'eval "$(blnk-relay completion bash)"; complete -p blnk-relay; '
        f"COMP_WORDS=({line}) COMP_CWORD={len(words)}; "
        '_blnk_relay_completion blnk-relay; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True).stdout


def in_fish(*words: str) -> str:
    code = f"blnk-relay completion fish | source; complete -C 'blnk-relay {' '.join(words)}'"
    return subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, check=True).stdout


def in_zsh(*words: str) -> str:
    """Zsh completes only where somebody types; what it would offer is printed instead of drawn."""
    code = (
        "compdef() { :; }; compadd() { print -l -- $completions; }; "
        "_describe() { print -l -- $completions_with_descriptions; }; source <(blnk-relay completion zsh); "
        f"words=(blnk-relay {' '.join(words)}); CURRENT={len(words) + 1}; _blnk_relay_completion"
    )
    return subprocess.run(["zsh", "-f", "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.usefixtures("program")
@pytest.mark.parametrize("shell", TRIED)
def test_a_real_shell_completes_commands_and_kinds(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    complete = {"bash": in_bash, "fish": in_fish, "zsh": in_zsh}[shell]
    assert "discard" in complete("dead", "dis")
    assert "reconciliation.start_instant" in complete("list", "--kind", "reconciliation.start_")


def test_kinds_lanes_targets_and_states_are_offered_without_redis(environment):
    environment.setenv("BLNK_RELAY_REDIS_URL", "redis://127.0.0.1:1/0")
    environment.setenv("BLNK_RELAY_TARGETS", "eu,us")
    environment.setenv("BLNK_RELAY_LANES", "transactions,refunds,inflight,slow")
    assert asked("list", "--kind", "refu") == ["refund"]
    assert asked("kinds", "ledger") == ["ledger.create"]
    assert asked("pause", "") == ["inflight", "refunds", "slow", "transactions"]
    assert asked("dead", "list", "--target", "") == ["eu", "us"]
    assert asked("find", "--outcome", "re") == ["refunded"]
    assert asked("list", "--state", "dis") == ["discarded"]
    assert asked("list", "-o", "") == ["wide", "json", "csv"]
    assert asked("completion", "") == ["bash", "fish", "zsh"]


def test_codes_are_offered_as_the_journal_knows_them(relay):
    letters(relay, "a")
    wait_until(lambda: asked("dead", "list", "--code", "TXN") == [FUNDS], 30, "the journal to answer within a second")


def test_workers_that_are_alive_and_jobs_are_offered_as_the_journal_knows_them(relay):
    operator = operator_of(relay)
    letters(relay, "a", "b")
    job = operator.begin(operator.plan_many("discard", of="all", most=2), who="ann", reason="a test")
    relay.journal().sweep("box:7:aa 1.2.3 1", 0.0, sign_of(Sign(pool="threads")))
    wait_until(lambda: asked("jobs", "stop", "") == [job], 30, "the journal to answer within a second")
    for command in ("quiet", "stop"):
        wait_until(lambda: asked("workers", command, "b") == ["box:7:aa"], 30, "the journal to answer")  # noqa: B023


@pytest.mark.usefixtures("program")
def test_a_name_of_two_words_stays_one_in_bash():
    assert "renew\\ keys" in in_bash("log", "--what", "renew").splitlines()


def test_what_redis_would_know_is_not_offered_where_it_does_not_answer_within_a_second(environment):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment.setenv("BLNK_RELAY_REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with process(env_of={**os.environ, **asking("dead", "list", "--code", "")}, **options) as running:
            assert running.communicate(timeout=WAIT_S) == (b"", b"")


def test_who_takes_too_long_or_fails_is_not_waited_for():
    never = threading.Event()
    assert completion.within(lambda: never.wait() and [], wait_s=0.05) == []
    assert completion.within(lambda: [1 / 0], wait_s=30) == []
    assert completion.within(lambda: ["a"], wait_s=30) == ["a"]
    never.set()


@pytest.mark.parametrize("name", ["BLNK_RELAY_LANES", "BLNK_RELAY_NONSENSE"])
def test_bad_settings_are_no_error_in_the_prompt(environment, name):
    environment.setenv(name, "!")
    assert asked("pause", "") == []
    assert asked("dead", "list", "--code", "") == []


def test_keys_are_never_offered():
    """To offer them would be to walk through the journal."""
    assert not [name for name in completion.SOURCES if "key" in name]


def test_the_scripts_show_no_complaint_of_the_program():
    for shell in SHELLS:
        text = completion.script(shell, cli)
        assert "2>/dev/null" in text
        assert run("completion", shell).out.strip() == text
