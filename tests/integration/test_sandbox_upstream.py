"""The sandbox's edge in front of a running Core: here of another sandbox, spoken to as one speaks to a bare Core."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from blnk_relay.sandbox import UPSTREAM_LIMITS, Faults, Options, Rule, Sandbox
from tests.support.cli import WAIT_S, process, run
from tests.support.clients import PATIENCE_S, Client
from worker.cli import exits
from worker.cli.services import CORE_KEY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def core() -> Iterator[Sandbox]:
    with Sandbox(Options(manual_clock=True, core_key="key-1")) as running:
        yield running
        assert running.books().violations() == []


@pytest.fixture
def edge(core) -> Iterator[Sandbox]:
    with Sandbox(Options(core_key="key-1"), upstream=core.url) as running:
        yield running


@pytest.fixture
def cloud(edge) -> Iterator[Client]:
    with Client(edge.url) as session:
        yield session


def test_a_payment_goes_through_the_edge_and_is_read_back_through_it(core, cloud):
    answer = cloud.pay("pay 1/ä", meta_data={"relay_key": "job-1"})
    assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED")
    core.step(1)
    assert core.books().applied("pay 1/ä") == 1
    found = cloud.filtered("pay 1/ä", "pay 1/ä_q")
    assert (found["total"], found["total_source"]) == (2, "exact")
    assert [row["status"] for row in found["data"]] == ["APPLIED", "QUEUED"]
    assert {"skip_queue", "allow_overdraft"}.isdisjoint(found["data"][0])
    assert cloud.filtered("unknown")["data"] == []


def test_the_edge_adds_what_is_missing_and_refuses_whom_it_does_not_know(core, cloud):
    body = cloud.pay("pay-1", precision=None, precise_amount=None, amount=100.5, skip_queue=True).json()
    assert body["precise_amount"] == 10050
    assert core.books().balance_of("@Wallet").balance == 10050
    assert cloud.ask("GET", "/proxy/nothing").status_code == 404
    cloud.headers["Authorization"] = "Bearer wrong"
    assert cloud.pay("pay-2").status_code == 401
    assert core.books().row("pay-2") is None


def test_every_read_is_translated(core, cloud):
    for number in range(25):
        cloud.pay(f"pay-{number}", skip_queue=True)
    ledger = cloud.ask("POST", "/proxy/ledgers", {"name": "x", "meta_data": {"relay_key": "job-1"}}).json()
    identity = cloud.ask("POST", "/proxy/identities", {"first_name": "Mara", "identity_type": "customer"}).json()
    by_key = {"filters": [{"field": "meta_data.relay_key", "operator": "eq", "value": "job-1"}]}
    assert cloud.ask("POST", "/ledger/filter", by_key).json()["data"][0]["ledger_id"] == ledger["ledger_id"]
    detail = cloud.ask("GET", f"/data/identities/{identity['identity_id']}").json()["data"]
    assert detail["identity_type"] == "customer"
    assert cloud.ask("GET", "/data/identities/idt_x").status_code == 404
    balances = cloud.ask("GET", "/data/balances?indicator_in=@World,@Wallet&pageSize=1&page=2").json()
    assert (len(balances["data"]), balances["total"]) == (1, 2)
    second = cloud.ask("GET", "/data/transactions?amount_gte=100&currency_eq=EUR&pageSize=10&page=3").json()
    assert (len(second["data"]), second["total"]) == (5, 25)
    assert len(cloud.filtered(*(f"pay-{n}" for n in range(25)), query="?pageSize=100")["data"]) == 25
    nested = {"filters": [{"field": "meta_data.wq.key", "operator": "eq", "value": "x"}]}
    assert cloud.ask("POST", "/ledger/filter", nested).status_code == 400
    assert cloud.ask("POST", "/ledger/filter", {"filters": [{"field": "x", "operator": "eq"}]}).status_code == 400
    assert cloud.ask("GET", "/data/ledgers?colour_eq=x").status_code == 400
    for name in ("reconciliations", "matching-rules", "external-transactions"):
        missing = cloud.ask("GET", f"/data/{name}")
        assert (missing.status_code, UPSTREAM_LIMITS in missing.json()["error"]) == (501, True)
        assert f"read {name}." in missing.json()["error"]
    by_upload = {"filters": [{"field": "upload_id", "operator": "eq", "value": "upload_x"}]}
    missing = cloud.ask("POST", "/reconciliation/filter", by_upload)
    assert (missing.status_code, "read reconciliations." in missing.json()["error"]) == (501, True)
    assert core.books().balance_of("@Wallet").balance == 250000


def test_holds_keep_their_mark_and_reads_can_write_strings(core, edge, cloud):
    cloud.pay("hold-1", inflight=True, skip_queue=True)
    (row,) = cloud.filtered("hold-1")["data"]
    assert row["meta_data"]["inflight"] is True
    edge.set_switches(precise_amount_as="string")
    assert cloud.filtered("hold-1")["data"][0]["precise_amount"] == "10000"
    settled = cloud.ask("PUT", f"/proxy/transactions/inflight/{row['transaction_id']}", {"status": "void"})
    assert settled.json()["queued"] is True
    core.step(1)
    assert core.books().voided(row["transaction_id"])


def test_bodies_that_are_no_json_pass_too(core, cloud):
    content = "ID,Amount,Currency,Reference,Description,Date\ns-1,1,EUR,r,d,2026-01-01T00:00:00Z\n"
    files = {"file": ("statement.csv", content, "text/csv")}
    answer = cloud.ask("POST", "/proxy/reconciliation/upload", files=files, data={"source": "bank-x"})
    assert (answer.status_code, answer.json()["record_count"]) == (200, 1)
    assert core.books().external_records[0].source == "bank-x"
    text = cloud.ask("POST", "/proxy/transactions/bulk", data=b"{bad")
    assert text.headers["Content-Type"].startswith("text/plain")


def test_faults_strike_between_client_and_core(core, edge, cloud):
    with pytest.raises(requests.ConnectionError):
        cloud.pay("pay-1", "drop_after", skip_queue=True)
    assert core.books().applied("pay-1") == 1
    assert cloud.pay("pay-2", "503_no_effect", skip_queue=True).status_code == 503
    assert cloud.pay("pay-2", "502_with_effect", skip_queue=True).status_code == 502
    assert core.books().applied("pay-2") == 1
    # What goes wrong inside a Core cannot be ordered from one that is real.
    edge.set_faults(Faults.script([Rule("vanish")]))
    assert cloud.pay("pay-3").status_code == 201
    core.step(1)
    assert core.books().applied("pay-3") == 1
    assert [line.fault for line in edge.requests_seen()] == ["drop_after", "503_no_effect", "502_with_effect", None]


def test_a_core_that_is_gone_is_a_502_and_the_edge_stays(core, edge, cloud):
    core.stop()
    assert cloud.pay("pay-1").status_code == 502
    assert edge.books().rows == ()
    with pytest.raises(ValueError, match="Core behind the edge"):
        edge.fund("@Wallet", "EUR", 1)
    edge.reset()
    with pytest.raises(ValueError, match="Core behind the edge"):
        edge.create_balance("EUR")


def test_the_edge_has_its_own_oauth_and_a_bare_core_is_reached_through_it_too(edge, cloud):
    form = {"grant_type": "authorization_code", "code": edge.login(), "redirect_uri": ""}
    basic = ("client_sandbox", "secret_sandbox")
    tokens = requests.post(f"{edge.url}/oauth/token", data=form, auth=basic, timeout=PATIENCE_S).json()
    cloud.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    assert cloud.pay("pay-1", skip_queue=True).status_code == 201
    edge.revoke_tokens()
    assert cloud.pay("pay-1", skip_queue=True).status_code == 401
    url = f"{edge.url}/transactions/reference/pay-1"
    answer = requests.get(url, headers={"X-Blnk-Key": "key-1"}, timeout=PATIENCE_S)
    assert answer.json()["reference"] == "pay-1"


@pytest.fixture
def key_file(tmp_path) -> str:
    path = tmp_path / "core.key"
    path.write_text("key-1\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("place", ["file", "environment"])
def test_blnk_relay_sandbox_is_the_edge_and_tells_the_key_to_nobody(core, place, key_file, monkeypatch):
    monkeypatch.delenv(CORE_KEY, raising=False)
    given = ["--core-key-file", key_file]
    if place == "environment":
        given = []
        monkeypatch.setenv(CORE_KEY, "key-1")
    arguments = ("sandbox", "--port", "0", "--upstream", f"{core.url}/", *given, "--json")
    with process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as edge:
        ready, _, _ = select.select([edge.stdout], [], [], WAIT_S)
        assert ready, "said nothing"
        said = edge.stdout.readline()
        listening = json.loads(said)
        assert (listening["upstream"], listening["pid"]) == (core.url, edge.pid)
        assert listening["limits"] == UPSTREAM_LIMITS
        assert "key-1" not in said + " ".join(edge.args)
        with Client(listening["url"]) as client:
            assert client.pay("pay-1", skip_queue=True).status_code == 201
            assert client.filtered("pay-1")["data"][0]["status"] == "APPLIED"
        edge.send_signal(signal.SIGTERM)
        assert "key-1" not in "".join(edge.communicate(timeout=WAIT_S))
        assert edge.returncode == 0
    assert core.books().applied("pay-1") == 1


@pytest.mark.parametrize(
    "url", ["localhost:5001", "ftp://core", "http://", "http://core:99999", "http://core/?a=b", ""]
)
def test_an_upstream_that_is_no_base_url_ends_with_a_sentence(url):
    ran = run("sandbox", "--upstream", url)
    assert ran.code == exits.BAD_INPUT
    assert "--upstream must be the base URL of a Core" in ran.err


def test_an_upstream_with_a_password_is_refused_and_the_password_is_not_repeated():
    ran = run("sandbox", "--upstream", "http://me:sekret@core:5001", "--json")
    assert ran.code == ran.json["error"]["exit_code"] == exits.BAD_INPUT
    assert "must not hold credentials" in ran.err
    assert "sekret" not in ran.err + ran.out


@pytest.mark.parametrize("content", [b"", b" \n", b"one\ntwo\n", "schlüssel".encode(), b"\xff\xfe"])
def test_a_core_key_that_cannot_be_one_ends_with_a_sentence_that_does_not_show_it(tmp_path, content):
    path = tmp_path / "core.key"
    path.write_bytes(content)
    ran = run("sandbox", "--upstream", "http://core:5001", "--core-key-file", str(path))
    assert ran.code == exits.BAD_INPUT
    assert "the file of --core-key-file" in ran.err
    assert not content.strip() or content.strip().decode(errors="replace") not in ran.err


def test_an_empty_core_key_in_the_environment_is_named(monkeypatch):
    monkeypatch.setenv(CORE_KEY, "")
    ran = run("sandbox", "--upstream", "http://core:5001")
    assert ran.code == exits.BAD_INPUT
    assert f"{CORE_KEY} must hold a key" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--core-key-file", __file__),
        ("--upstream", "http://core:5001", "--read-lag", "1"),
        ("--upstream", "http://core:5001", "--apply-delay", "1"),
        ("--upstream", "http://core:5001", "--core-version", "0.15.2"),
        ("--upstream", "http://core:5001", "--core-key-file", "/nowhere/at/all"),
    ],
)
def test_options_that_would_do_nothing_are_refused(arguments):
    ran = run("sandbox", *arguments)
    assert ran.code == exits.BAD_INPUT
    assert arguments[-2] in ran.err


def test_it_is_started_from_the_command_line(core):
    command = [sys.executable, "-m", "blnk_relay.sandbox", "--port", "0", "--upstream", core.url, "--core-key", "key-1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            with Client(url) as client:
                assert client.pay("pay-1", skip_queue=True).status_code == 201
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert core.books().applied("pay-1") == 1
