"""A process of a worker has one journal, whatever runs in it: tasks, sweeper, outcome tasks, what comes by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from celery import Celery

from blnk_relay import InvalidSettings, Relay, Settings
from blnk_relay.bell import queue_of
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.entries import id_of
from blnk_relay.settings import INGEST_LANE
from tests.support.cli import PAYLOAD, payment
from tests.support.waiting import wait_until
from worker.app import make_app
from worker.demo.stage import Stage, as_environment

#: A worker that notes each journal that it makes, with the process that did.
COUNTING = """
import os, sys
from blnk_relay import Settings
from blnk_relay.journal.journal import Journal
from worker.process import run_worker

make = Journal.__init__

def noted(self, *args, **kwargs):
    with open(sys.argv[2], "a") as notes:
        notes.write(f"{os.getpid()}\\n")
    make(self, *args, **kwargs)

Journal.__init__ = noted
sys.exit(run_worker(Settings.from_env(), pool=sys.argv[1]))
"""


@pytest.mark.parametrize("pool", ["threads", "prefork"])
def test_each_process_of_a_worker_makes_one_journal(pool, tmp_path):
    notes = tmp_path / "journals"
    with Stage(settings={"outcome_task": "app.told"}) as stage, Relay(stage.settings) as relay:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BLNK_RELAY_")}
        with (tmp_path / "log").open("wb") as log:
            worker = subprocess.Popen(
                [sys.executable, "-c", COUNTING, pool, str(notes)],
                env={**environment, **as_environment(stage.settings)},
                stderr=log,
                cwd=Path(__file__).parents[2],
            )
        try:
            relay.enqueue(payment(allow_overdraft=True), key="by-hand")
            with Celery(broker=stage.settings.broker) as producer:
                by_name = {"key": "by-name", "allow_overdraft": True, **PAYLOAD}
                queue = queue_of(stage.settings, INGEST_LANE)
                producer.send_task("tasks.enqueue_transaction", queue=queue, kwargs=by_name)
            assert relay.wait("by-hand", timeout_s=30).state == "done"
            wait_until(lambda: relay.journal().status(id_of(DEFAULT_TARGET, "by-name")), 30, "what came by name")
            assert relay.wait("by-name", timeout_s=30).state == "done"
            told = relay.journal().key("events")
            wait_until(lambda: relay.journal().client.xinfo_groups(told), 30, "a sweep that calls the outcome task")
        finally:
            worker.terminate()
            assert worker.wait(30) == 0
    made = Counter(notes.read_text().split())
    assert set(made.values()) == {1}, made
    assert made[str(worker.pid)] == 1
    assert len(made) == 1 if pool == "threads" else len(made) > 1


def test_an_application_is_made_without_a_line_to_any_ledger(monkeypatch):
    def never(*_: object):
        raise AssertionError("a way to a ledger was made")

    monkeypatch.setattr("worker.ledger.ledgers.LedgerOverHttp", never)
    monkeypatch.setattr("blnk_relay.journal.line.connect", never)
    make_app(Settings(instance_id="inst", token="secret"))  # noqa: S106 - of no worth
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_TOKEN"):
        make_app(Settings(instance_id="inst"))
