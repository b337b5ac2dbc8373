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
from tests.support.journal import pay, trim
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


def set_revision(database: Database, revision: str) -> None:
    with database.engine.execution_options(writes=True).begin() as connection:
        connection.execute(sa.update(sa.table(schema.VERSIONS, sa.column("version_num"))).values(version_num=revision))


def test_a_worker_that_runs_leaves_tables_alone_as_soon_as_a_newer_version_has_made_them(
    relay: Relay, database: Database
) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    pay(relay, "paid-1")
    copy(journal, database)
    assert copier.round().copied == 0
    set_revision(database, "0003")
    pay(relay, "paid-2")
    with pytest.raises(HistoryUnavailable, match="of a newer version"):
        copier.round()
    assert (journal.history_lag().trouble, keys_in(database)) == ("newer", ["paid-1"])
    set_revision(database, "0002")
    copier.round()
    assert keys_in(database) == ["paid-1", "paid-2"]


def test_a_database_that_is_made_anew_is_another_one_to_workers_that_run_as_to_those_that_begin(
    relay: Relay, database: Database, url: str
) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    pay(relay, "paid-1")
    assert copier.round().begins == "new"
    with database.engine.execution_options(writes=True).begin() as connection:
        for name in (*schema.metadata.tables, schema.VERSIONS):
            connection.exec_driver_sql(f"drop table {name}")
    with pytest.raises(HistoryUnavailable, match="upgrade its tables"):
        copier.round()
    upgrade(database)
    a_minute_passes(journal)
    assert copier.round().begins == "database"
    other = Database(url)
    pay(relay, "paid-2")
    assert Copier(journal, other).round().copied == 1
    assert keys_in(other) == ["paid-1", "paid-2"]
    other.close()


# -- what a database allows --------------------------------------------------------------------------------------------


@pytest.fixture
def name(url: str) -> str:
    """The name of the database on its server."""
    return url.rpartition("/")[2]


@pytest.mark.parametrize("sort", ["postgresql"])
def test_a_connection_that_may_not_write_is_not_kept_once_others_may(
    relay: Relay, database: Database, postgresql: Any, name: str
) -> None:
    journal, copier = relay.journal(), Copier(relay.journal(), database)
    copier.round()
    postgresql.ask(f"alter database {name} set default_transaction_read_only = on")
    database.reconnect()
    pay(relay, "paid-1")
    with pytest.raises(HistoryUnavailable, match="in a read-only transaction"):
        copier.round()
    assert journal.history_lag().trouble == "ReadOnlySqlTransaction"
    postgresql.ask(f"alter database {name} reset default_transaction_read_only")
    assert copier.round().copied == 1


@pytest.mark.parametrize("sort", ["postgresql"])
def test_a_user_of_few_rights_copies_and_is_told_which_one_is_missing(
    relay: Relay, database: Database, postgresql: Any, url: str
) -> None:
    pay(relay, "paid-1")
    postgresql.ask("create role worker login")
    few = Database(url.replace("relay@", "worker@"))
    copier = Copier(relay.journal(), few)

    def grant(what: str) -> None:
        with database.engine.begin() as connection:
            connection.exec_driver_sql(f"grant {what} in schema public to worker")

    with pytest.raises(HistoryUnavailable, match="InsufficientPrivilege: permission denied for table relay_version"):
        copier.round()
    grant("select, insert, update on all tables")
    with pytest.raises(HistoryUnavailable, match="permission denied for sequence relay_journals_number_seq"):
        copier.round()
    grant("usage on all sequences")
    assert copier.round().copied == 1
    with pytest.raises(HistoryUnavailable, match="permission denied for table"):
        few.forget({1: 2**62}, 10)
    # Without a retention or encryption as well: an intent whose key was forgotten gives its place to the next one.
    journal = relay.journal()
    while copier.round().more:
        pass
    trim(journal)
    journal.client.delete(*journal.client.scan_iter(match=journal.key("past:*")))
    pay(relay, "paid-1")
    with pytest.raises(HistoryUnavailable, match="permission denied for table relay_movements"):
        copier.round()
    grant("delete on all tables")
    assert copier.round().copied == 1
    few.forget({1: 2**62}, 10)
    assert keys_in(database) == []
    few.close()


# -- a database that is slow -------------------------------------------------------------------------------------------


def test_where_a_page_is_too_much_for_a_database_the_next_one_is_smaller_until_it_goes(
    relay: Relay, database: Database
) -> None:
    """Each row takes its time, and all statements of one sort together no more than theirs."""
    journal = relay.journal()
    pay(relay, *(f"paid-{number:02}" for number in range(40)))
    most = 10

    def refuse(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if many and statement.startswith("INSERT INTO relay_intents") and len(parameters) > most:
            raise database.engine.dialect.loaded_dbapi.OperationalError("it has not answered for 65 s")

    sa.event.listen(database.engine, "before_cursor_execute", refuse)
    copier = Copier(journal, database)
    failed = 0
    while len(keys_in(database)) < 40:
        try:
            copier.round()
        except HistoryUnavailable:
            failed += 1
        assert failed < 10
    assert failed >= 5, "from 200 down to 6"
    # It comes to what it was, little by little.
    sa.event.remove(database.engine, "before_cursor_execute", refuse)
    for number in range(60):
        pay(relay, f"later-{number}")
        copier.round()
    pay(relay, *(f"last-{number}" for number in range(100)))
    assert copier.round().copied == 100


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
