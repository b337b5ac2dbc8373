"""Stages for crashes: a Valkey that can be restarted, a slow ledger, short leases."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from blnk_relay import JournalUnavailable, Receipt, Relay, Write
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import Faults, Rule
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from tests.support.valkey import LastingValkey
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

#: Leases of seconds, so that a test can outlive one.
SHORT: dict[str, Any] = {
    "connect_timeout_s": 0.5,
    "read_timeout_s": 1.0,
    "sync_read_timeout_s": 1.0,
    "lease_s": 4.0,
    "dead_worker_s": 1.5,
    "sweep_s": 0.5,
    "confirm_max_s": 0.5,
    "read_lag_s": 0.5,
    "quiet_s": 0.5,
    "redis_timeout_s": 1.0,
    "durability_timeout_s": 0.5,
}

#: How long each write takes on a slow ledger; long enough to be caught in the middle.
SLOW_S = 0.1


def slow(seconds: float = SLOW_S) -> Faults:
    """A ledger that acts at once and takes its time to say so."""
    return Faults.script([Rule("delay_after", path="/proxy/", times=None, seconds=seconds)])


class Tardy(Faults):
    """A plan of faults whose other writes act at once and answer late, each half before and half after acting.

    Args:
        plan: What else goes wrong.
        seconds: How late.
    """

    def __init__(self, plan: Faults, seconds: float) -> None:
        self._plan = plan
        self._late = [Fault.of("delay_before", seconds), Fault.of("delay_after", seconds)]

    def decide(self, subject: Subject) -> Fault | None:
        """Late by turns, where the plan has nothing worse."""
        fault = self._plan.decide(subject)
        if fault is None and not subject.read:
            self._late.reverse()
            return self._late[0]
        return fault


def lasting_stage(**arguments: Any) -> Stage:
    """A stage, not yet entered, whose Valkey can be stopped and started again: ``stage.valkey`` is a LastingValkey."""
    stage = Stage(**{"settings": SHORT, "faults": slow(), **arguments})
    stage._start_valkey = LastingValkey
    return stage


@contextmanager
def mortal_stage(pool: str, faults: Any, patience_s: float) -> Iterator[Stage]:
    """Such a stage, entered, whose workers die at the end whatever became of them.

    Args:
        pool: Of its workers.
        faults: Of its ledger.
        patience_s: Longest wait for the end of one that was killed.
    """
    with lasting_stage(pool=pool, faults=faults) as stage:
        yield stage
        if stage.log.exists():
            print(stage.log.read_text()[-10_000:])
        for worker in list(stage.workers):
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(patience_s)
        stage.workers.clear()


def pause_process(worker: subprocess.Popen[bytes]) -> None:
    """SIGSTOP for a worker and its children."""
    os.killpg(worker.pid, signal.SIGSTOP)


def resume_process(worker: subprocess.Popen[bytes]) -> None:
    """SIGCONT for a worker and its children."""
    os.killpg(worker.pid, signal.SIGCONT)


def operator_of(relay: Relay) -> Operator:
    """An operator's hands on a relay's journal."""
    return Operator(relay.journals, relay.bells)


def leased_ids(relay: Relay) -> set[str]:
    """Ids of all intents under a lease."""
    journal = relay.journal()
    workers: Any = journal.client.zrange(journal.key("workers"), 0, -1)
    found: set[str] = set()
    for worker in workers:
        ids: Any = journal.client.zrange(journal.key(f"leased:{worker}"), 0, -1)
        found |= set(ids)
    return found


def wait_for_leases(relay: Relay, number: int, timeout_s: float = 15.0) -> set[str]:
    """Wait until workers hold at least so many leases; returns whose."""

    def enough() -> set[str]:
        held = leased_ids(relay)
        return held if len(held) >= number else set()

    return wait_until(enough, timeout_s, f"{number} leases", poll_s=0.005)


def pause_holding(relay: Relay, workers: Sequence[subprocess.Popen[bytes]], number: int, least: int = 1) -> None:
    """Pause workers once they have held so many leases, at a moment in which they hold at least some."""
    for _ in range(20):
        wait_for_leases(relay, number)
        for worker in workers:
            pause_process(worker)
        if len(leased_ids(relay)) >= least:
            return
        # They have settled what they held between the look and the blow.
        for worker in workers:
            resume_process(worker)
    raise AssertionError("the drill must hit something")


def fields_of(relay: Relay, ids: Sequence[str], name: str) -> list[str | None]:
    """One field of the records of some intents, in one trip."""
    journal = relay.journal()
    pipeline = journal.client.pipeline(transaction=False)
    for id_ in ids:
        pipeline.hget(journal.key(f"intent:{id_}"), name)
    answers: list[str | None] = pipeline.execute()
    return answers


def insist(relay: Relay, writes: Sequence[Write], timeout_s: float = 20.0) -> list[Receipt]:
    """Enqueue as an application does that gets no answer: again under the same keys, until there is one."""
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            return relay.enqueue_many(writes)
        except JournalUnavailable:
            if time.monotonic() > end_s:
                raise


@contextmanager
def in_background(act: Callable[[], None], every_s: float) -> Iterator[list[int]]:
    """Do something again and again beside the test; yields a list that grows with each time it was done."""
    done: list[int] = []
    stop = threading.Event()
    failures: list[BaseException] = []

    def run() -> None:
        while not stop.wait(every_s):
            try:
                act()
            except BaseException as error:  # noqa: BLE001 - handed to the test
                failures.append(error)
                return
            done.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join(30)
    if failures:
        raise failures[0]
