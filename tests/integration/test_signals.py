"""Signals, and ends of processes and terminals: what is told to end ends, once, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Relay, Write
from tests.support.cli import line
from tests.support.counting import assert_exactly_once, wait_for_all
from tests.support.payments import payment
from tests.support.stages import insist, leased_ids, mortal_stage, slow, wait_for_leases
from tests.support.waiting import wait_until
from worker.cli import exits
from worker.cli.interrupt import Stop
from worker.demo.stage import STOP_S, Stage, _clean_environment, as_environment
from worker.process import CUT, Worker

PATIENCE_S = 30.0

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stage(request) -> Iterator[Stage]:
    """A stage with a slow ledger; the parameter is the pool."""
    with mortal_stage(getattr(request, "param", "threads"), slow(0.3), PATIENCE_S) as found:
        yield found


@pytest.fixture
def relay(stage) -> Iterator[Relay]:
    with Relay(stage.settings) as running:
        yield running


def pay(relay: Relay, name: str, number: int = 20) -> list[Any]:
    return insist(relay, [Write(intent=payment(f"{name}-{at}.")) for at in range(number)], PATIENCE_S)


def programs(relay: Relay) -> list[str]:
    found: Any = relay.journal().client.zrange(relay.journal().key("alive"), 0, -1)
    return list(found)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def started(stage: Stage, relay: Relay) -> subprocess.Popen[bytes]:
    """A worker that has said that it is alive."""
    worker = stage.start_worker()
    wait_until(lambda: programs(relay), PATIENCE_S, "a sign of life")
    return worker


# -- a process of the pool, alone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["prefork"], indirect=True)
@pytest.mark.parametrize("sort", [signal.SIGTERM, signal.SIGQUIT])
def test_a_process_of_the_pool_that_ends_alone_stops_no_other(stage, relay, sort):
    worker = started(stage, relay)
    before = children_of(worker.pid)
    receipts = pay(relay, "held", 40)
    wait_for_leases(relay, 5)
    for child in before:
        os.kill(child, sort)
    wait_until(lambda: not set(before) & set(children_of(worker.pid)), PATIENCE_S, "other processes in their places")
    receipts += pay(relay, "after", 4)
    wait_for_all(relay, receipts, PATIENCE_S)
    assert_exactly_once(relay, receipts, stage.sandbox)
    worker.terminate()
    assert worker.wait(STOP_S) == 0
    stage.workers.remove(worker)
    assert leased_ids(relay) == set()


# -- one signal after the other ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
@pytest.mark.parametrize(
    "sorts", [(signal.SIGHUP, signal.SIGTERM), (signal.SIGTERM, signal.SIGHUP), (signal.SIGHUP, signal.SIGINT)]
)
def test_a_worker_that_is_told_to_stop_does_not_begin_anew_whatever_else_it_was_told(stage, relay, sorts):
    # The requests that are under way last long enough for both to come meanwhile.
    stage.sandbox.set_faults(slow(0.8))
    worker = started(stage, relay)
    receipts = pay(relay, "held")
    wait_for_leases(relay, 5)
    wait_until(lambda: stage.sandbox.books().rows, PATIENCE_S, "a request that is under way")
    for sort in sorts:
        worker.send_signal(sort)
    assert worker.wait(STOP_S) == 0
    stage.workers.remove(worker)
    assert programs(relay) == []
    stage.sandbox.set_faults(slow(0.0))
    stage.start_worker()
    wait_for_all(relay, receipts, PATIENCE_S)
    assert_exactly_once(relay, receipts, stage.sandbox)


def test_who_is_told_to_stop_by_anybody_does_not_begin_anew():
    told = object.__new__(Worker)
    told.leave(anew=True)
    assert (told.told, told.again) == (True, True)
    told.leave()
    assert (told.told, told.again) == (True, False)
    told.leave(anew=True)
    assert (told.told, told.again) == (True, False), "who is to stop stops"


@pytest.mark.parametrize("stage", ["threads", pytest.param("prefork", marks=pytest.mark.long)], indirect=True)
def test_a_worker_that_is_told_to_begin_anew_while_it_does_lives_and_leaves_no_folders(stage, relay, tmp_path):
    # As where a supervisor is told twice to reload it.
    os.environ["TMPDIR"], former = str(tmp_path), os.environ.get("TMPDIR")
    try:
        worker = started(stage, relay)
    finally:
        os.environ.pop("TMPDIR") if former is None else os.environ.update(TMPDIR=former)
    (first,) = programs(relay)
    for _ in range(60):
        worker.send_signal(signal.SIGHUP)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(0.05)
    assert worker.poll() is None
    wait_until(lambda: programs(relay) not in ([], [first]), PATIENCE_S, "the worker to have begun anew")
    receipts = pay(relay, "after", 4)
    wait_for_all(relay, receipts, PATIENCE_S)
    worker.terminate()
    assert worker.wait(STOP_S) == 0
    stage.workers.remove(worker)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pool", ["threads", pytest.param("prefork", marks=pytest.mark.long)])
@pytest.mark.parametrize("times", [1, 6])
def test_a_worker_that_is_told_to_stop_at_once_does_not_say_that_it_finished(stage, relay, pool, times):
    stage.sandbox.set_faults(slow(0.8))
    command = [sys.executable, "-m", "worker.cli", "worker", "--pool", pool]
    environment = {**_clean_environment(), **as_environment(stage.settings)}
    with stage.log.open("ab") as log:
        worker = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    stage.workers.append(worker)
    wait_until(lambda: programs(relay), PATIENCE_S, "a sign of life")
    receipts = pay(relay, "held")
    wait_until(lambda: stage.sandbox.books().rows, PATIENCE_S, "a request that is under way")
    for _ in range(times):
        worker.send_signal(signal.SIGQUIT)
        with suppress(subprocess.TimeoutExpired):
            worker.wait(0.1)
    assert worker.wait(STOP_S) == CUT == exits.CUT == 131
    stage.workers.remove(worker)
    log = stage.log.read_text()
    assert "worker ends with exit code 131" in log
    assert "Traceback" not in log
    stage.sandbox.set_faults(slow(0.0))
    stage.start_worker()
    wait_for_all(relay, receipts, PATIENCE_S)
    assert_exactly_once(relay, receipts, stage.sandbox)


# -- terminals ---------------------------------------------------------------------------------------------------------


@contextmanager
def at_a_terminal(stage: Stage, *arguments: str, stdout: Path | None = None) -> Iterator[tuple[int, int]]:
    """A command at a terminal of its own, as the process that leads it; gives its process id and our end of it."""
    process, terminal = pty.fork()
    if process == 0:
        if stdout is not None:
            os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT), 1)
        environment = {**_clean_environment(), **as_environment(stage.settings), "PYTHONPATH": str(ROOT)}
        os.execve(sys.executable, [sys.executable, "-m", "worker.cli", *arguments], environment)  # noqa: S606
    try:
        yield process, terminal
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process, 0)


@pytest.mark.parametrize("pool", ["threads", pytest.param("prefork", marks=pytest.mark.long)])
@pytest.mark.parametrize("into_a_file", [False, True])
def test_a_worker_ends_with_its_terminal(stage, relay, pool, into_a_file):
    stdout = Path(tempfile.mkdtemp(dir=stage.log.parent)) / "out" if into_a_file else None
    with at_a_terminal(stage, "worker", "--pool", pool, stdout=stdout) as (process, terminal):
        wait_until(lambda: programs(relay), PATIENCE_S, "a sign of life")
        receipts = pay(relay, "held")
        wait_for_leases(relay, 5)
        os.close(terminal)
        ended: list[int] = []

        def over() -> bool:
            found, status = os.waitpid(process, os.WNOHANG)
            ended.extend([os.waitstatus_to_exitcode(status)] if found else [])
            return bool(ended)

        wait_until(over, STOP_S, "the end of the worker")
    assert ended == [0]
    assert (programs(relay), leased_ids(relay)) == ([], set())
    stage.sandbox.set_faults(slow(0.0))
    stage.start_worker()
    wait_for_all(relay, receipts, PATIENCE_S)
    assert_exactly_once(relay, receipts, stage.sandbox)


# -- commands on many things -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_says_what_it_has_done_as_with_ctrl_c(stage, relay, tmp_path, sort):
    number = 8000
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(json.dumps(line(f"told-{at}")) + "\n" for at in range(number)))
    journal = relay.journal()

    def there() -> Any:
        return journal.client.zcard(journal.key("ready:transactions"))

    command = [sys.executable, "-m", "worker.cli", "enqueue", str(lines), "--json"]
    environment = {**_clean_environment(), **as_environment(stage.settings)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as enqueuing:
        wait_until(there, PATIENCE_S, "the first to be recorded", poll_s=0.005)
        enqueuing.send_signal(sort)
        told, _ = enqueuing.communicate(timeout=STOP_S)
    counted = json.loads(told)
    assert enqueuing.returncode == exits.INTERRUPTED
    assert counted["created"] + counted["left"] == number
    assert 0 < counted["created"] < number
    assert there() == counted["created"]


def test_what_is_ignored_stays_ignored_and_all_is_as_before_afterwards():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        before = [signal.getsignal(sort) for sort in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        with Stop() as stop:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, "somebody wants it to outlive its terminal"
            os.kill(os.getpid(), signal.SIGTERM)
            wait_until(lambda: stop.asked, 5)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "a second one ends it at once"
        assert [signal.getsignal(sort) for sort in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    finally:
        signal.signal(signal.SIGHUP, former)
