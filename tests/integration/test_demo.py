"""The promise, counted: the demo's story with faults and killed workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM

import pytest

from blnk_relay import InvalidSettings, Relay
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import DEFAULT_KINDS, Faults
from tests.support.cli import process
from tests.support.waiting import wait_until
from worker.demo.play import play
from worker.demo.proof.findings import OUTCOMES
from worker.demo.stage import Stage
from worker.demo.story import tell


@pytest.mark.parametrize("pool", ["threads", pytest.param("prefork", marks=pytest.mark.long)])
def test_the_demo_loses_nothing_and_doubles_nothing(pool):
    done = subprocess.run(
        [sys.executable, "-m", "worker.cli", "demo", "--intents", "300", "--seed", "7", "--pool", pool, "--json"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads(done.stdout)
    assert numbers["accepted"] == 300
    assert (numbers["lost"], numbers["doubled"], numbers["violations"]) == (0, 0, 0)
    assert sum(numbers[name] for name in (*OUTCOMES, "dead", "blocked")) == numbers["accepted"]
    assert all(numbers[name] > 0 for name in OUTCOMES)
    assert numbers["workers_killed"] == 1
    assert numbers["faults"] > 0


@pytest.mark.parametrize(
    ("told", "code"),
    [
        (SIGTERM, 143),
        pytest.param(SIGINT, 130, marks=pytest.mark.long),
        (SIGHUP, 129),
    ],
)
@pytest.mark.parametrize("begun", [1, 3])
def test_a_demo_that_is_told_to_end_leaves_nothing_running(told, code, begun):
    with process("demo", "--intents", "2000", "--seed", "7", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as demo:
        # At first there is a Valkey, and then its workers.
        wait_until(lambda: len(below(demo.pid)) >= begun, 60, "what the demo starts")
        running = below(demo.pid)
        demo.send_signal(told)
        assert demo.wait(60) == code
        assert b"Traceback" not in demo.stderr.read()
    wait_until(lambda: not any(is_there(pid) for pid in running), 10, f"the end of {running}")


def test_a_stage_that_does_not_begin_leaves_nothing_running():
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())
    with pytest.raises(InvalidSettings), Stage(settings={"lease_s": -1.0}):
        pass
    assert set(children.read_text().split()) <= before


def below(pid: int) -> set[int]:
    """Processes that one has started, and those that these have."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid"], capture_output=True, text=True, check=True).stdout
    parents = [tuple(map(int, line.split())) for line in listed.splitlines()[1:]]
    found = {pid}
    for _ in parents:
        found |= {child for child, parent in parents if parent in found}
    return found - {pid}


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_killing_every_worker_loses_nothing_and_all_leases_move_again_within_fifteen_seconds():
    kinds = [kind for kind in DEFAULT_KINDS if kind != "503_backpressure"]
    with Stage(faults=Faults.seeded(11, 0.1, kinds=kinds)) as stage, Relay(stage.settings) as relay:
        operator = Operator(relay.journals, relay.bells)
        story = tell(400, 11)
        killed: list[float] = []

        def kill_all(scene):
            held = operator.leases()
            if not killed and scene.total > 300 and sum(held.values()) > 0 and len(stage.workers) >= 2:
                for worker in list(stage.workers):
                    stage.kill_worker(worker)
                dead = {name for name, number in operator.leases().items() if number}
                at = time.monotonic()
                for _ in range(2):
                    stage.start_worker()
                if not dead:
                    # All was settled in the moment before: once more, in a later scene.
                    return
                while any(number for name, number in operator.leases().items() if name in dead):
                    assert time.monotonic() - at < 15, "a lease of a dead worker did not move within 15 s"
                    time.sleep(0.05)
                killed.append(time.monotonic() - at)

        result = play(stage, story, kill_all, kill=False)
    assert killed, "no worker held a lease when it was to be killed; the test proved nothing"
    assert result.sound, (result.proof.lost[:5], result.proof.doubled[:5], result.violations[:5])
    assert result.numbers["lapsed"] > 0
