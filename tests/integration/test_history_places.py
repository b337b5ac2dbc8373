"""Databases of history that are another one than they were, or cannot be used: nothing is lost without a word."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from blnk_relay import HistoryUnavailable, Operator, Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database, Page
from blnk_relay.history.upgrading import upgrade
from blnk_relay.journal.copier import Copier
from blnk_relay.journal.journal import Journal
from tests.support.cli import run
from tests.support.history import copy, made, rows_of
from tests.support.journal import pay
from worker.demo.stage import as_environment


@pytest.fixture(params=("sqlite", "postgresql"))
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url)


def keys_in(database: Database) -> list[str]:
    return [row["key"] for row in rows_of(database, schema.intents, "key")]


def a_minute_passes(journal: Journal) -> None:
    journal.client.hset(journal.key("history"), "seen", journal.now_ms() - 61_000)


# -- a file that is replaced -------------------------------------------------------------------------------------------


@pytest.fixture
def file(url: str) -> Path:
    """The file of the database."""
    return Path(url.removeprefix("sqlite:///"))


def remove(file: Path) -> None:
    for end in ("", "-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)


@pytest.mark.parametrize("sort", ["sqlite"])
def test_a_file_that_is_gone_takes_nothing_more_and_the_next_one_gets_all_that_is_kept(
    relay: Relay, database: Database, file: Path, url: str
) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    pay(relay, "paid-1")
    copy(journal, database)
    remove(file)
    pay(relay, "paid-2")
    with pytest.raises(HistoryUnavailable, match="no tables of ours"):
        copier.round()
    assert (journal.history_lag().trouble, journal.history_lag().uncopied) == ("schema", 1)
    made(url).close()
    a_minute_passes(journal)
    assert copier.round().begins == "database"
    while copier.round().more:
        pass
    assert keys_in(database) == ["paid-1", "paid-2"]


@pytest.mark.parametrize("sort", ["sqlite"])
def test_a_backup_in_the_place_of_a_file_that_is_open_is_noticed(relay: Relay, database: Database, file: Path) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    pay(relay, "paid-1")
    copy(journal, database)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("vacuum into ?", (f"{file}.backup",))
    pay(relay, "paid-2")
    assert copier.round().copied
    remove(file)
    Path(f"{file}.backup").replace(file)
    pay(relay, "paid-3")
    assert copier.round().begins == "page"
    while copier.round().more:
        pass
    assert keys_in(database) == ["paid-1", "paid-2", "paid-3"]


@pytest.mark.parametrize("sort", ["sqlite"])
def test_a_page_that_went_into_a_file_that_is_gone_is_not_told_as_copied(
    relay: Relay, database: Database, file: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    pay(relay, "paid-1")
    copy(journal, database)
    pay(relay, "paid-2")
    write = Page.write

    def replaced(*arguments: Any) -> None:
        write(*arguments)
        remove(file)
        made(url).close()

    monkeypatch.setattr(Page, "write", replaced)
    with pytest.raises(HistoryUnavailable, match="was replaced"):
        copier.round()
    monkeypatch.undo()
    assert (journal.history_lag().trouble, journal.history_lag().uncopied) == ("replaced", 1)
    a_minute_passes(journal)
    while copier.round().more:
        pass
    assert keys_in(database) == ["paid-1", "paid-2"]


# -- tables of a newer version -----------------------------------------------------------------------------------------


def test_tables_of_a_newer_version_are_left_alone_and_it_is_said_who_is_too_old(
    relay: Relay, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    pay(relay, "paid-1")
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(sa.table(schema.VERSIONS, sa.column("version_num"))).values(version_num="0003"))
    other = Database(settings.history_url)
    says = "newer version .revision 0003; this one knows 0002.: bring this program up to it"
    with pytest.raises(HistoryUnavailable, match=says):
        Copier(relay.journal(), other).round()
    assert relay.journal().history_lag().trouble == "newer"
    with pytest.raises(HistoryUnavailable, match=says):
        upgrade(other)
    other.close()
    ran = run("history", "upgrade")
    assert (ran.code, "bring this program up to it" in ran.err) == (4, True)
    assert "of a newer version" in run("history", "status").out


# -- encodings of PostgreSQL -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sort", ["postgresql"])
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_does_not_hold_every_text_is_refused_in_words(
    relay: Relay, postgresql: Any, encoding: str, settings: Settings
) -> None:
    name = f"history_{encoding.lower()}"
    postgresql.ask(f"create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'")
    url = f"{settings.history_url.rpartition('/')[0]}/{name}"
    pay(relay, "paid-1")
    database = Database(url)
    for use in (lambda: upgrade(database), lambda: Copier(relay.journal(), database).round()):
        with pytest.raises(HistoryUnavailable, match=f"encoding {encoding}, which does not hold every text"):
            use()
    database.close()
    assert relay.journal().history_lag().trouble == "encoding"
    with Relay(replace(settings, history_url=url)) as other:
        result = Operator(other.journals, other.bells).find(key="paid-1")
    assert (result.looked[0].whole, f"encoding {encoding}" in result.looked[0].told) == (False, True)
    assert [one.status.key for one in result.found] == ["paid-1"]


@pytest.mark.parametrize("sort", ["postgresql"])
@pytest.mark.usefixtures("database")
def test_whatever_a_client_says_of_its_encoding_every_text_is_copied(
    relay: Relay, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    pay(relay, "paid-☃")
    other = Database(settings.history_url)
    copy(relay.journal(), other)
    assert keys_in(other) == ["paid-☃"]
    other.close()
