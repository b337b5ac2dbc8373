"""What tests share: a real Valkey, a journal on it, and whole stages with workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from blnk_relay import Relay, Settings
from blnk_relay.journal.journal import Journal
from worker.demo.stage import Stage


@pytest.fixture(scope="session")
def valkey() -> Iterator[Any]:
    """An embedded Valkey for the whole run; whoever uses it empties it first."""
    from worker.demo.valkey import start_valkey

    server = start_valkey()
    yield server
    server.stop()


@pytest.fixture
def settings(valkey: Any) -> Settings:
    """Settings with a journal of their own, empty."""
    with redis.Redis(port=valkey.port) as client:
        client.flushall()
    return Settings(redis_url=f"redis://127.0.0.1:{valkey.port}/0")


@pytest.fixture
def relay(settings: Settings) -> Iterator[Relay]:
    """A relay on an empty journal, without any worker."""
    with Relay(settings) as running:
        yield running


@pytest.fixture
def journal(settings: Settings) -> Iterator[Journal]:
    """An empty journal."""
    opened = Journal(settings)
    yield opened
    opened.close()


@pytest.fixture
def make_stage() -> Iterator[Any]:
    """Makes stages (a Valkey, a sandbox, workers) that are gone after the test."""
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(Stage(**arguments))


@pytest.fixture
def stage(make_stage: Any) -> Stage:
    """A stage with a ledger that behaves, and no worker yet."""
    running: Stage = make_stage()
    return running
