"""What ``blnk-relay doctor`` says before the first payment of a ground on which there would be none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from blnk_relay import Relay, Settings
from blnk_relay.errors import EncryptionKeyMissing, JournalUnavailable
from blnk_relay.sandbox import Sandbox
from tests.integration.test_doctor import LEDGER, doctor, dumped
from tests.support.payments import payment
from tests.support.secrecy import a_key
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
