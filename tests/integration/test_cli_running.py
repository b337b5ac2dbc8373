"""blnk-relay worker and sandbox, as the processes that they are."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Operator
from tests.support.cli import PAYLOAD, ROOT, WAIT_S, line, process, run
from tests.support.waiting import wait_until
from worker.app import POOLS
from worker.cli import exits

pytestmark = pytest.mark.usefixtures("environment")


def first_object(running_: subprocess.Popen[Any]) -> dict[str, Any]:
    ready, _, _ = select.select([running_.stdout], [], [], WAIT_S)
    assert ready, "said nothing"
    document = json.loads(running_.stdout.readline())
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_posts_what_was_enqueued_to_a_sandbox_and_both_stop_when_told(relay, file, monkeypatch, pool):
    arguments = ("--port", "0", "--seed", "7", "--fault-rate", "0", "--token", "t0ken", "--instance-id", "inst_1")
    with process("sandbox", *arguments, "--json", stdout=subprocess.PIPE) as ledger:
        listening = first_object(ledger)
        assert listening["instance_id"] == "inst_1"
        assert "t0ken" not in json.dumps(listening)
        monkeypatch.setenv("BLNK_RELAY_BASE_URL", listening["url"])
        monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "inst_1")
        monkeypatch.setenv("BLNK_RELAY_TOKEN", "t0ken")
        with process("worker", "--pool", pool, "--lane", "transactions", "--json", stdout=subprocess.PIPE) as working:
            ready = first_object(working)
            assert ready == {
                "pid": working.pid,
                "lanes": ["transactions"],
                "pool": pool,
                "base_url": listening["url"],
                "targets": {"default": listening["url"]},
            }
            path = file(*(line(f"order-{at}", payload=PAYLOAD | {"allow_overdraft": True}) for at in range(20)))
            assert run("enqueue", path, "--json").json["created"] == 20
            for at in range(20):
                assert relay.wait(f"order-{at}", WAIT_S).outcome == "applied"
            working.send_signal(signal.SIGTERM)
            rest, _ = working.communicate(timeout=WAIT_S)
            assert (working.returncode, rest) == (0, b"")
        ledger.send_signal(signal.SIGTERM)
        ledger.communicate(timeout=WAIT_S)
        assert ledger.returncode == 0
    shown = run("show", "order-0", "--json").json
    assert (shown["intent"]["state"], shown["intent"]["outcome"]) == ("done", "applied")


def test_with_logs_in_json_each_line_on_stderr_is_one_object(relay, monkeypatch):
    for name, value in {"INSTANCE_ID": "i", "TOKEN": "t", "LOG_FORMAT": "json"}.items():
        monkeypatch.setenv(f"BLNK_RELAY_{name}", value)
    operator = Operator(relay.journals)
    with process("worker", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as working:
        wait_until(lambda: [worker for worker in operator.workers() if worker.alive], WAIT_S)
        working.send_signal(signal.SIGTERM)
        out, err = working.communicate(timeout=WAIT_S)
    assert (working.returncode, out) == (0, "")
    assert {"start", "stop"} <= {json.loads(line)["event"] for line in err.splitlines()}


@pytest.mark.usefixtures("relay")
def test_a_worker_with_bad_settings_ends_with_a_sentence(monkeypatch):
    missing = run("worker", "--json")
    assert missing.code == exits.BAD_INPUT
    assert "BLNK_RELAY_INSTANCE_ID" in missing.err + missing.out
    monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "i")
    monkeypatch.setenv("BLNK_RELAY_TOKEN", "t")
    stray = run("worker", "--lane", "nope", "--json")
    assert stray.code == exits.BAD_INPUT
    assert stray.json["error"]["type"] == "InvalidSettings"


def test_a_sandbox_on_a_port_that_is_taken_ends_with_a_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = run("sandbox", "--port", port)
    assert ran.code == exits.BAD_INPUT
    assert f"cannot listen on 127.0.0.1:{port}" in ran.err


def test_the_first_process_of_a_container_can_be_stopped_before_it_works(monkeypatch):
    """The system lets such a process live that says nothing of a signal."""
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    if shutil.which(alone[0]) is None or subprocess.run([*alone, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets us make no first processes")
    monkeypatch.setenv("BLNK_RELAY_INSTANCE_ID", "i")
    monkeypatch.setenv("BLNK_RELAY_TOKEN", "t")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WAIT_S)
        monkeypatch.setenv("BLNK_RELAY_REDIS_URL", f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        command = [*alone, sys.executable, "-m", "worker.cli", "worker"]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE) as outer:
            asked, _ = silent.accept()  # it looks at its journal, which says nothing
            first = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text())
            os.kill(first, signal.SIGTERM)
            try:
                outer.wait(10)
            finally:
                outer.kill()
                asked.close()
    assert outer.returncode == 128 + signal.SIGTERM
