"""The retention of history: no clock alone makes it forget, and no error ends whoever forgets."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from blnk_relay import Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from tests.support.history import copy, rows_of
from tests.support.journal import pay
from worker import forgetting
from worker.forgetting import Forgetting

_DAY_S = 86_400.0


@pytest.fixture
def sort() -> str:
    """What is tried here is the same with each database."""
    return "sqlite"


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url, history_retention_s=400 * _DAY_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """By how much the clock of this machine is ahead."""
    ahead, real = [0.0], time.time
    monkeypatch.setattr(forgetting.time, "time", lambda: real() + ahead[0])
    yield ahead
    monkeypatch.undo()


def look(relay: Relay, database: Database) -> list[str]:
    """Look at once for what is too old; returns what is left."""
    one = Forgetting(relay, database)
    one._due_s = 0.0
    one.look()
    return [row["key"] for row in rows_of(database, schema.intents, "key")]


def age(relay: Relay, database: Database, days: float) -> None:
    """What is in history ended so long ago."""
    with database.engine.execution_options(writes=True).begin() as connection:
        ended_ms = relay.journal().now_ms() - int(days * _DAY_S * 1000)
        connection.execute(schema.intents.update().values(ended_ms=ended_ms))


def test_a_clock_that_is_wrong_makes_nobody_forget(
    relay: Relay, database: Database, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    pay(relay, "paid-1")
    copy(relay.journal(), database)
    clock[0] = 500 * _DAY_S
    assert look(relay, database) == ["paid-1"]
    assert "of this machine are apart" in caplog.text
    # The same where that of Redis is wrong as well: nothing was copied in that time yet.
    age(relay, database, 300)
    ahead_ms = int(500 * _DAY_S * 1000)
    journal = relay.journal()
    skew = journal.client.hget(journal.key("ground"), "skew")
    journal.client.hset(journal.key("ground"), "skew", int(skew or 0) + ahead_ms)
    assert abs(journal.now_ms() - time.time() * 1000) < 1_000
    assert look(relay, database) == ["paid-1"]


def test_what_is_older_than_the_retention_goes(relay: Relay, database: Database) -> None:
    pay(relay, "paid-1")
    copy(relay.journal(), database)
    age(relay, database, 401)
    pay(relay, "paid-2")
    copy(relay.journal(), database)
    assert look(relay, database) == ["paid-2"]


def test_no_error_ends_the_thread(
    relay: Relay, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    def broken(*_: object) -> bool:
        raise RuntimeError("nobody thought of that")

    monkeypatch.setattr(database, "forget", broken)
    assert look(relay, database) == []
    assert "it keeps what it should forget: an error of this version" in caplog.text
    assert "nobody thought of that" not in caplog.text


def test_where_a_journal_is_away_nobody_says_what_time_it_is_there(
    relay: Relay, database: Database, settings: Settings
) -> None:
    pay(relay, "paid-1")
    copy(relay.journal(), database)
    age(relay, database, 401)
    with Relay(replace(settings, redis_url="redis://127.0.0.1:1/0")) as away:
        assert look(away, database) == ["paid-1"]
    assert look(relay, database) == []


def test_nothing_is_forgotten_in_tables_that_a_newer_version_has_made(
    relay: Relay, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    pay(relay, "paid-1")
    copy(relay.journal(), database)
    age(relay, database, 500)
    versions = sa.table(schema.VERSIONS, sa.column("version_num"))
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(versions).values(version_num="0003"))
    assert look(relay, database) == ["paid-1"]
    assert "of a newer version" in caplog.text
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(versions).values(version_num="0002"))
    assert look(relay, database) == []
