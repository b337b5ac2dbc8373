"""With the journal of one target of two away: what is said of the other, and that nothing is known of this one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import redis

from blnk_relay import Settings, Target
from tests.support.cli import run
from tests.support.payments import payment
from worker.demo.stage import as_environment
from worker.demo.valkey import start_valkey


@pytest.fixture(scope="module")
def second() -> Iterator[Any]:
    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def two(settings: Settings, second: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two ledgers, each with its journal on a Redis of its own."""
    with redis.Redis(port=second.port) as client:
        client.flushall()
    elsewhere = f"redis://127.0.0.1:{second.port}/0"
    made = replace(
        settings,
        targets=(Target(name="us", redis_url=settings.redis_url), Target(name="eu", redis_url=elsewhere)),
        redis_timeout_s=0.5,
        durability_timeout_s=0.2,
    )
    for name, value in as_environment(made).items():
        monkeypatch.setenv(name, value)
    return made


@contextmanager
def away(server: Any) -> Iterator[None]:
    """That Redis does not answer."""
    with redis.Redis(port=server.port) as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.usefixtures("two")
def test_status_shows_what_it_can_read_also_of_a_journal_that_was_never_used(second):
    with away(second):
        seen = run("status")
        assert seen.code == 0
        assert "journal-away" in seen.out
        assert "eu: not in these figures" in seen.out
        assert run("status", "--json").json["away"] == ["eu"]


@pytest.mark.usefixtures("environment")
def test_figures_of_a_journal_whose_shape_is_unknown_are_no_zeros(relay):
    relay.enqueue(payment(), key="a")
    journal = relay.journal()
    journal.client.hset(journal.key("ground"), "shape", "99")
    seen = run("status")
    assert seen.code == 4
    assert "journal-shape" in seen.out
    assert "default: not in these figures" in seen.out
    assert [
        line.split()[-1] for line in seen.out.splitlines() if line.startswith(("dead letters", "workers", "open"))
    ] == ["-"] * 3
    assert run("status", "--json").json["away"] == ["default"]
