"""What ``blnk-relay doctor`` says before the first payment of a ground on which there would be none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from blnk_relay import Relay, Settings
from blnk_relay.errors import EncryptionKeyMissing, JournalUnavailable
from blnk_relay.sandbox import Sandbox
from tests.integration.test_doctor import LEDGER, doctor, dumped
from tests.support.journal import bury
from tests.support.payments import payment
from tests.support.secrecy import a_key
from tests.support.waiting import wait_until
from worker.demo.valkey import start_valkey


@pytest.fixture(scope="module")
def ledger() -> Iterator[Sandbox]:
    with Sandbox(LEDGER) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server() -> Iterator[redis.Redis]:
    """One of its own, whose configuration and users are played with."""
    valkey = start_valkey()
    with redis.Redis(port=valkey.port, decode_responses=True) as client:
        yield client
    valkey.stop()


@pytest.fixture
def given(settings: Settings, ledger: Sandbox, server: redis.Redis) -> Settings:
    server.flushall()
    port = server.connection_pool.connection_kwargs["port"]
    return replace(
        settings,
        redis_url=f"redis://127.0.0.1:{port}/0",
        base_url=ledger.url,
        token=LEDGER.token,
        instance_id=LEDGER.instance_id,
        durability="memory",
    )


def level_and_text(found: dict[str, list[Any]], check: str) -> tuple[str, str]:
    (one,) = found[check]
    return one["level"], f"{one['saw']} {one['why']} {one['mend']}"


def test_a_server_that_takes_no_writes_is_told_of_before_anything_was_written(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert level_and_text(doctor(monkeypatch, given)[1], "writes")[0] == "ok"
    server.config_set("min-replicas-to-write", "1")
    try:
        code, found = doctor(monkeypatch, given)
        with Relay(given) as relay, pytest.raises(JournalUnavailable):
            relay.enqueue(payment(), key="one")
    finally:
        server.config_set("min-replicas-to-write", "0")
    level, text = level_and_text(found, "writes")
    assert (code, level, "does not take writes" in text) == (1, "failure", True)
    assert server.keys("*") == []


@pytest.mark.parametrize("lacks", ["@stream", "eval", "hset", "unlink"])
def test_a_right_that_is_missing_is_named_before_anything_was_written(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Without one of streams receipts are given, and ends are recorded of which nobody is told."""
    server.execute_command("ACL", "SETUSER", "few", "reset", "on", ">secret", "~*", "+@all", f"-{lacks}")
    least = replace(given, redis_url=given.redis_url.replace("//", "//few:secret@"))
    code, found = doctor(monkeypatch, least)
    level, text = level_and_text(found, "writes")
    named = "xadd" if lacks == "@stream" else lacks
    assert (code, level, f"+{named}" in text) == (1, "failure", True), text
    assert server.keys("*") == []


def test_of_a_journal_that_a_user_may_only_read_it_is_said_what_is_missing(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Relay(given) as relay:
        relay.enqueue(payment(), key="one")
    server.execute_command("ACL", "SETUSER", "reads", "reset", "on", ">secret", "~*", "+@read", "+ping", "+info")
    code, found = doctor(monkeypatch, replace(given, redis_url=given.redis_url.replace("//", "//reads:secret@")))
    assert (code, level_and_text(found, "writes")[0]) == (1, "failure")
    assert "+eval +evalsha" in level_and_text(found, "writes")[1]


@contextmanager
def without_snapshots(server: redis.Redis) -> Iterator[None]:
    """Its last snapshot failed, because something else has the name of its file, and it is to refuse writes then."""
    usual = server.config_get("save", "stop-writes-on-bgsave-error")
    taken = Path(server.config_get("dir")["dir"]) / server.config_get("dbfilename")["dbfilename"]
    taken.unlink(missing_ok=True)
    (taken / "by this").mkdir(parents=True)
    server.config_set("save", "3600 1")
    server.config_set("stop-writes-on-bgsave-error", "yes")
    server.bgsave()
    wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err", 20, "the snapshot to fail")
    try:
        yield
    finally:
        for name, value in usual.items():
            server.config_set(name, value)
        shutil.rmtree(taken)
        server.bgsave()
        wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "ok", 20, "a snapshot")


def test_a_snapshot_that_failed_is_a_failure_where_the_server_refuses_writes_for_it(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not even answer PING then, so the check of persistence, which would only warn, cannot look."""
    with without_snapshots(server):
        code, found = doctor(monkeypatch, given)
        with Relay(given) as relay, pytest.raises(JournalUnavailable):
            relay.enqueue(payment(), key="one")
        server.config_set("stop-writes-on-bgsave-error", "no")
        lenient_code, lenient = doctor(monkeypatch, given)
    level, text = level_and_text(found, "writes")
    assert (code, level) == (1, "failure")
    assert "does not take writes" in text
    assert "a snapshot that failed" in text
    # Where snapshots may fail, it takes writes, and that one failed is worth a look.
    assert (lenient_code, level_and_text(lenient, "writes")[0]) == (0, "ok")
    level, text = level_and_text(lenient, "persistence")
    assert (level, "the last snapshot failed" in text) == ("warning", True)


def test_dead_letters_under_a_lost_key_are_counted(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = a_key("k1"), a_key("k2")
    with Relay(replace(given, encryption_keys=first)) as relay:
        bury(relay, "one", "two", "three")
    with Relay(replace(given, encryption_keys=f"{second},{first}")) as relay:
        bury(relay, "four")
    kept = dumped(server)
    _, found = doctor(monkeypatch, replace(given, encryption_keys=f"{second},{first}"))
    assert level_and_text(found, "encryption")[0] == "ok"
    _, found = doctor(monkeypatch, replace(given, encryption_keys=second))
    level, text = level_and_text(found, "encryption")
    assert (level, "3 dead letters need encryption key k1 (check" in text) == ("warning", True), text
    # Of more than are looked at, that is said.
    monkeypatch.setattr("blnk_relay.journal.locked.ENDS", 1)
    _, found = doctor(monkeypatch, replace(given, encryption_keys=second))
    assert "1 dead letter at least needs encryption key k1" in level_and_text(found, "encryption")[1]
    assert dumped(server) == kept


def test_a_lost_key_of_the_secret_is_told_of_though_nothing_is_open(
    given: Settings, server: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With it gone no producer that begins can enqueue; and without any key what is new is in the clear."""
    first, second = a_key("k1"), a_key("k2")
    with Relay(replace(given, encryption_keys=first)) as relay:
        receipt = relay.enqueue(payment(), key="one")
        relay.cancel(receipt.id)
    kept = dumped(server)
    assert level_and_text(doctor(monkeypatch, replace(given, encryption_keys=f"{second},{first}"))[1], "secret") == (
        "ok",
        "its key is at hand  ",
    )
    code, found = doctor(monkeypatch, replace(given, encryption_keys=second))
    level, text = level_and_text(found, "secret")
    assert (code, level, "key k1" in text) == (1, "failure", True)
    with Relay(replace(given, encryption_keys=second)) as relay, pytest.raises(EncryptionKeyMissing):
        relay.enqueue(payment(), key="two")
    code, found = doctor(monkeypatch, given)
    level, text = level_and_text(found, "secret")
    assert (code, level, "in the clear" in text) == (0, "warning", True)
    assert dumped(server) == kept
