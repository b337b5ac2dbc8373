"""Completion in real shells: commands, choices, names of the settings, codes from the journal; and never an error."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

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


#: How each shell is begun, and made to ask the program.
BEGUN = {
    "bash": (("bash", "--norc", "--noprofile", "-i"), 'eval "$(blnk-relay completion bash)"'),
    "zsh": (("zsh", "-f", "-i"), "autoload -U compinit; compinit -u -D; source <(blnk-relay completion zsh)"),
    "fish": (("fish", "--no-config", "-i"), "blnk-relay completion fish | source"),
}

#: Rows and columns of its window: a line is not broken.
WINDOW = struct.pack("HHHH", 24, 300, 0, 0)

#: Whose window it is: without that, fish ends at once.
OWNED = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"

#: Take back all that was typed.
NOTHING = "\x15"


class Terminal:
    """A shell that somebody types into."""

    def __init__(self, shell: str) -> None:
        command, line = BEGUN[shell]
        self._end, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, WINDOW)
        env = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        command = (sys.executable, "-c", OWNED, *command)
        self._process = subprocess.Popen(command, env=env, start_new_session=True, **streams)
        os.close(theirs)
        self.type(f"{line}\necho be''gun\n")

    def type(self, text: str) -> None:
        """Press these keys."""
        self.seen = ""
        os.write(self._end, text.encode())

    def until(self, text: str) -> None:
        """Wait until it shows a text."""
        end_s = time.monotonic() + WAIT_S
        while text not in plainly(self.seen):
            ready, _, _ = select.select([self._end], [], [], max(0.0, end_s - time.monotonic()))
            assert ready, f"{text!r} did not come within {WAIT_S} s: {self.seen!r}"
            self.seen += os.read(self._end, 65_536).decode(errors="replace")

    def close(self) -> None:
        """Close its window."""
        self._process.kill()
        self._process.wait()
        os.close(self._end)


def plainly(seen: str) -> str:
    """What stands on the line: no bells, no moves and no colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x07\r]", "", seen)


@pytest.fixture
def terminal(request, program):  # noqa: ARG001 - it is to be found on the path
    """A shell with the program on its path, by its name."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    opened = Terminal(request.param)
    try:
        opened.until("begun")
        yield opened
    finally:
        opened.close()


#: What is typed before the key for completion, and what then stands there. Readline ends words at ":" and "=".
TYPED = (
    ("dead dis", "dead discard "),
    ("list --kind reconciliation.start_", "list --kind reconciliation.start_instant "),
    ("list --kind=refu", "list --kind=refund "),
    ("log --what renew", "log --what renew\\ keys "),
    ("workers stop web-1:4", "workers stop web-1:42:bb "),
    ("workers stop 'web-1:4", "workers stop 'web-1:42:bb' "),
    ("workers stop box:7:aa we", "workers stop box:7:aa web-1:42:bb "),
    ("enqueue {folder}/pay", "enqueue {folder}/payments.jsonl "),
    ("audit --place={folder}/pay", "audit --place={folder}/payments.jsonl "),
)


@pytest.mark.parametrize("terminal", TRIED, indirect=True)
def test_a_real_shell_completes_what_is_typed(terminal, relay, tmp_path):
    (tmp_path / "payments.jsonl").touch()
    for name in ("box:7:aa", "web-1:42:bb"):
        relay.journal().sweep(f"{name} 1.2.3 1", 0.0, sign_of(Sign(pool="threads")))
    for typed, then in TYPED:
        terminal.type(f"{NOTHING}blnk-relay {typed}\t".format(folder=tmp_path))
        terminal.until(then.format(folder=tmp_path))


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
    letters(relay, "bare", code="")
    wait_until(lambda: asked("dead", "list", "--code", "") == ["-", FUNDS], 30, "the journal to answer within a second")
    wait_until(lambda: asked("find", "--code", "") == [FUNDS], 30, "the journal to answer within a second")


def test_workers_that_are_alive_and_jobs_are_offered_as_the_journal_knows_them(relay):
    operator = operator_of(relay)
    letters(relay, "a", "b")
    job = operator.begin(operator.plan_many("discard", of="all", most=2), who="ann", reason="a test")
    relay.journal().sweep("box:7:aa 1.2.3 1", 0.0, sign_of(Sign(pool="threads")))
    wait_until(lambda: asked("jobs", "stop", "") == [job], 30, "the journal to answer within a second")
    for command in ("quiet", "stop"):
        wait_until(lambda: asked("workers", command, "b") == ["box:7:aa"], 30, "the journal to answer")  # noqa: B023


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
