"""``blnk-relay doctor`` on real servers that are not as they should be, and on some that are not there."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from blnk_relay import Relay, Settings, Target
from blnk_relay.bell import DELIVER_TASK, queue_of
from blnk_relay.journal.shape import Program, this_program
from blnk_relay.sandbox import Options, Sandbox
from tests.support.certificates import certified, https
from tests.support.cli import Ran, letters, run
from tests.support.messages import message
from tests.support.oauth import as_client, log_in
from tests.support.payments import payment
from tests.support.replicas import replicated
from tests.support.secrecy import a_key
from tests.support.waiting import wait_until
from worker.demo.stage import as_environment
from worker.demo.valkey import start_valkey
from worker.doctor.reading import MOST_S
from worker.ledger.ledgers import credentials_of
from worker.telemetry import Telemetry

LEDGER = Options(instance_id="inst_doctor", tokens={"writer": ("proxy:write", "proxy:read"), "reader": ("data:read",)})


@pytest.fixture(scope="module")
def ledger() -> Iterator[Sandbox]:
    with Sandbox(LEDGER) as sandbox:
        yield sandbox


@pytest.fixture
def given(settings: Settings, ledger: Sandbox) -> Settings:
    """Settings with a ledger that is well."""
    return replace(
        settings, base_url=ledger.url, token=LEDGER.token, instance_id=LEDGER.instance_id, durability="memory"
    )


def doctor(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str) -> tuple[int, dict[str, list[Any]]]:
    """The exit code, and the findings by their check."""
    ran = look(monkeypatch, settings, *arguments, "--json")
    document = ran.json
    assert "findings" in document, ran.err
    assert (document["exit_code"], document["well"]) == (ran.code, ran.code == 0)
    found: dict[str, list[Any]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return ran.code, found


def look(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str) -> Ran:
    for name in [name for name in os.environ if name.startswith("BLNK_RELAY_")]:
        monkeypatch.delenv(name)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    return run("doctor", *arguments)


def levels(found: dict[str, list[Any]], *names: str) -> list[str]:
    return [finding["level"] for name in names for finding in found[name]]


def amiss(found: dict[str, list[Any]], *but: str) -> dict[str, str]:
    """What is neither well nor only worth a look."""
    flat = {name: {one["level"] for one in those} for name, those in found.items()}
    return {
        name: ",".join(sorted(those & {"failure", "unknown"}))
        for name, those in flat.items()
        if those & {"failure", "unknown"} and name not in but
    }


def test_where_all_is_well_nothing_is_amiss_and_nothing_is_changed(
    given: Settings, ledger: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(given) as relay:
        journal = relay.journal()
        code, found = doctor(monkeypatch, given)
        assert (code, amiss(found)) == (0, {})
        assert journal.client.keys("*") == [], "whoever looks is not the first"
        relay.enqueue(payment(), key="one")
        journal.sweep(this_program("host:1:abc").sign, 5.0)
        before = dumped(journal.client)
        seen = len(ledger.requests_seen())
        code, found = doctor(monkeypatch, given)
        assert (code, amiss(found)) == (0, {})
        assert dumped(journal.client) == before
    assert "1, of " in found["workers"][0]["saw"]
    asked = ledger.requests_seen()[seen:]
    assert asked
    assert {request.method for request in asked if not request.path.endswith("/filter")} == {"GET"}
    shown = look(monkeypatch, given)
    assert shown.code == 0
    assert "0 would break the promise" in shown.out


def dumped(client: Any) -> dict[str, Any]:
    return {key: client.execute_command("DUMP", key, NEVER_DECODE=[]) for key in client.scan_iter("*")}


def test_a_ledger_is_read_with_the_token_of_an_oauth_client_that_is_good_now(
    given: Settings, ledger: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the journal keeps it encrypted; one that is over says nothing of the client."""
    client = as_client(replace(given, encryption_keys=a_key("k1")), ledger, log_in(ledger))
    with Relay(client) as relay:
        journal = relay.journal()
        assert levels(doctor(monkeypatch, client)[1], "scopes") == ["unknown"]
        assert journal.client.keys("*") == [], "whoever looks is not the first"
        credentials = credentials_of(client, client.ledgers["default"], journal, Telemetry(client))
        wait_until(credentials.current, 20)
        credentials.close()
        assert levels(doctor(monkeypatch, client)[1], "scopes") == ["ok"]
        [unread] = doctor(monkeypatch, replace(client, encryption_keys=a_key("k2")))[1]["scopes"]
        assert (unread["level"], "encrypted with key k1" in unread["saw"]) == ("unknown", True)
        journal.client.hset(journal.key("oauth"), "expires", journal.now_ms() - 1)
        assert levels(doctor(monkeypatch, client)[1], "scopes") == ["unknown"]


def test_a_redis_that_would_lose_or_evict_intents_is_told_of(given: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"appendonly": "no", "save": "", "maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}
    server = start_valkey(config)
    try:
        code, found = doctor(monkeypatch, replace(given, redis_url=f"redis://127.0.0.1:{server.port}/0"))
        assert (code, levels(found, "persistence", "eviction")) == (1, ["failure", "failure"])
        assert "CONFIG SET appendonly yes" in found["persistence"][0]["mend"]
        strict = replace(given, redis_url=f"redis://127.0.0.1:{server.port}/0", durability="fsync")
        assert levels(doctor(monkeypatch, strict)[1], "version") == ["failure"], "no receipt can be fsync there"
        with redis.Redis(port=server.port) as client:
            told: Any = client.info("memory")
            client.config_set("maxmemory", int(told["used_memory"] * 1.02))
            client.config_set("maxmemory-policy", "noeviction")
        assert levels(doctor(monkeypatch, strict)[1], "memory", "eviction") in (["failure", "ok"], ["warning", "ok"])
    finally:
        server.stop()


def test_letters_that_no_cause_accounts_for_are_told_of(given: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with Relay(given) as relay:
        letters(relay, "a", "b")
        assert levels(doctor(monkeypatch, given)[1], "causes") == ["ok"]
        journal = relay.journal()
        [lost] = journal.client.keys("*letters:*")
        journal.client.zrem(lost, relay.get("a").id)
        [found] = doctor(monkeypatch, given)[1]["causes"]
        assert (found["level"], "1 not accounted for" in found["saw"]) == ("warning", True)
        assert run(*found["mend"].split()[1:]).code == 0
        assert levels(doctor(monkeypatch, given)[1], "causes") == ["ok"]


def test_what_a_user_may_not_ask_for_is_said_and_how_to_allow_it(
    given: Settings, valkey: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "production.md").read_text(encoding="utf-8")
    rights = [line.split() for line in page.splitlines() if line.startswith("user blnk-relay")]
    with redis.Redis(port=valkey.port) as client:
        try:
            for words in rights:
                more = [word for word in words[2:] if not word.startswith(">")]
                client.execute_command("ACL", "SETUSER", words[1], "reset", ">secret", *more)
            least = replace(
                given,
                redis_url=f"redis://blnk-relay:secret@127.0.0.1:{valkey.port}/0",
                broker_url=f"redis://blnk-relay-bells:secret@127.0.0.1:{valkey.port}/0",
            )
            code, found = doctor(monkeypatch, least)
            assert (code, amiss(found)) == (3, {"persistence": "unknown"})
            assert "+config|get" in found["persistence"][0]["mend"]
            client.execute_command("ACL", "SETUSER", "blnk-relay", "-info", "-time")
            code, found = doctor(monkeypatch, least)
            blind = dict.fromkeys(("version", "persistence", "eviction", "memory", "replicas", "clock"), "unknown")
            assert (code, amiss(found)) == (3, blind)
        finally:
            client.execute_command("ACL", "DELUSER", "blnk-relay", "blnk-relay-bells")


def test_a_replica_that_does_not_keep_up_is_measured_by_the_durability(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replicated() as pair:
        strict = replace(given, redis_url=pair.urls[0], durability="replicated:1")
        # A replica that has just joined, or that a busy machine holds up, lags for a moment.
        wait_until(lambda: levels(doctor(monkeypatch, strict)[1], "version", "replicas") == ["ok", "ok"], 30)
        frozen = pair._servers[1]._process.pid
        os.kill(frozen, signal.SIGSTOP)
        try:
            wait_until(lambda: lag_of(pair.first) >= 3, 20, "the replica to lag")
            code, found = doctor(monkeypatch, strict)
        finally:
            os.kill(frozen, signal.SIGCONT)
        assert (code, levels(found, "replicas")) == (1, ["failure"])
        assert "are then less than replicated:1" in found["replicas"][0]["why"]
        assert levels(doctor(monkeypatch, replace(strict, redis_url=pair.urls[1]))[1], "version") == ["failure"]
        short = replace(strict, durability="replicated:2")
        assert levels(doctor(monkeypatch, short)[1], "version", "replicas") == ["failure", "failure"]


def lag_of(client: redis.Redis) -> int:
    told: Any = client.info("replication")
    return int(told["slave0"]["lag"])


@pytest.mark.parametrize(
    ("days", "told"),
    [(-1, ("failure", "certificate has expired")), (3, ("warning", "renew")), (90, ("ok", "TLS"))],
)
def test_a_certificate_is_told_of_before_and_after_it_is_over(
    given: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int, told: tuple[str, str]
) -> None:
    level, word = told
    authority = certified(tmp_path, days)
    with https(tmp_path) as url:
        _, found = doctor(monkeypatch, replace(given, base_url=url, ca_bundle=str(authority)))
        (way,) = [one for one in found["way"] if one["of"] == "target default"]
        assert way["level"] == level
        assert word in way["saw"] + way["mend"]
        # By the authorities of the system it is nobody's.
        _, found = doctor(monkeypatch, replace(given, base_url=url))
        (way,) = [one for one in found["way"] if one["of"] == "target default"]
        assert (way["level"], "certificate is refused" in way["saw"]) == ("failure", True)


@pytest.mark.parametrize(
    ("token", "level", "word"),
    [("writer", "failure", "data:read"), ("reader", "warning", "proxy:read"), ("unknown", "failure", "new key")],
)
def test_a_token_without_a_scope_is_told_of(
    given: Settings, monkeypatch: pytest.MonkeyPatch, token: str, level: str, word: str
) -> None:
    _, found = doctor(monkeypatch, replace(given, token=token))
    (scopes,) = found["scopes"]
    assert scopes["level"] == level
    assert word in scopes["mend"]


def test_what_is_dead_is_a_finding_and_takes_no_longer_than_it_may(
    given: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed, socket.socket() as silent:
        closed.bind(("127.0.0.1", 0))
        silent.bind(("127.0.0.1", 0))
        # It takes connections, and never says a word.
        silent.listen(50)
        nowhere, mute = (one.getsockname()[1] for one in (closed, silent))
        elsewhere = Target(name="eu", base_url=f"http://127.0.0.1:{nowhere}", token="k", instance_id="i")  # noqa: S106
        dead = replace(
            given,
            redis_url=f"redis://127.0.0.1:{nowhere}/0",
            broker_url=f"amqp://guest:guest@127.0.0.1:{mute}/relay",
            base_url=f"http://127.0.0.1:{mute}",
            targets=(replace(elsewhere, redis_url=f"redis://127.0.0.1:{mute}/0"),),
        )
        monkeypatch.setattr("worker.doctor.reading.STEP_S", 1.0)
        began_s = time.monotonic()
        code, found = doctor(monkeypatch, dead)
        assert time.monotonic() - began_s < MOST_S + 10
    assert code == 1
    assert levels(found, "answers", "journal") == ["failure"] * 4
    assert "strays" in found
    assert found["scopes"][0]["level"] in ("failure", "unknown")
    assert found["bells"][0]["level"] == "failure"
    assert "nothing listens there" in found["answers"][0]["saw"]


def test_work_that_nobody_does_is_found(given: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wider = replace(given, targets=(Target(name="old", base_url="http://127.0.0.1:1", token="k", instance_id="i"),))  # noqa: S106
    with Relay(wider) as relay:
        relay.enqueue(payment(), key="forgotten", target="old")
        relay.enqueue(payment(), key="here")
        journal = relay.journal()
        with journal.client as client:
            for _ in range(6):
                client.lpush(
                    queue_of(given, "transactions"), message(task=DELIVER_TASK, args=["default", "transactions"])
                )
        code, found = doctor(monkeypatch, given)
        assert code == 1
        (stray,) = found["strays"]
        assert (stray["of"], stray["level"]) == ("target old", "failure")
        transactions = next(one for one in found["lane"] if "transactions" in one["of"])
        assert transactions["level"] == "failure"
        assert "no worker listens" in transactions["why"]
        assert found["workers"][0]["level"] == "failure"
        # Somebody with other settings works for the other one, and an older one is about here.
        relay.journal("old").sweep(this_program("host:1:abc").sign, 5.0)
        for program in (this_program("host:1:abc"), Program("host:2:def", "0.0.1", 1)):
            journal.sweep(program.sign, 5.0)
        _, found = doctor(monkeypatch, given)
        assert levels(found, "strays", "workers") == ["ok", "warning"]
        assert "of 0.0.1, " in found["workers"][0]["saw"]
        journal.client.hset(journal.key("ledger"), "is", "core http://elsewhere -")
        journal.client.hset(journal.key("ground"), "shape", "9")
        code, found = doctor(monkeypatch, given, "--target", "default")
        assert (code, levels(found, "identity", "shape")) == (1, ["failure", "failure"])
        assert "lane" not in found
    refused = look(monkeypatch, given, "--target", "nobody")
    assert (refused.code, "do not name a target" in refused.err) == (2, True)
