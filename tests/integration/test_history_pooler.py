"""History behind a pooler of connections, as many have before their PostgreSQL: nothing rests on a connection."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from blnk_relay import Operator, Settings
from blnk_relay.history import database as databases
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from tests.support.history import copy, made, rows_of
from tests.support.journal import bury, pay, trim
from tests.support.pooler import pooling, why_no_pooler


@pytest.fixture(scope="module")
def pooler(postgresql: Any) -> Iterator[int]:
    if why := why_no_pooler():
        pytest.skip(why)
    with pooling(postgresql.port) as port:
        yield port


@pytest.fixture
def url(postgresql: Any, pooler: int) -> str:
    address: str = postgresql.url()
    return address.replace(f":{postgresql.port}/", f":{pooler}/")


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url, history_batch=5)


def test_tables_are_made_filled_searched_and_forgotten_through_it(relay, url):
    journal = relay.journal()
    with closing(made(url)) as database:
        copy(journal, database)
        pay(relay, *(f"paid-{number}" for number in range(40)))
        bury(relay, "dead-1")
        copy(journal, database)
        trim(journal)
        assert relay.get("paid-7").key == ""
        assert len(rows_of(database, schema.intents)) == 41
        operator = Operator(relay.journals, relay.bells)
        assert {one.status.key for one in operator.find(key="paid-7").found} == {"paid-7"}
        assert len(operator.find(kind="transaction", state="done").found) == 40
        assert operator.log().unread == ""
        [number] = (one.number for one in database.journals().values())
        assert not database.forget({number: 2**62}, 1_000)
        assert [row["state"] for row in rows_of(database, schema.intents)] == ["dead"]


def test_many_that_look_at_once_share_its_few_connections(url):
    made(url).close()

    def look(_: int) -> set[str]:
        with closing(Database(url)) as database:
            database.id()
            return {str(sorted(database.counts())) for _ in range(20)}

    with ThreadPoolExecutor(8) as pool:
        found = set[str]().union(*pool.map(look, range(8)))
    assert len(found) == 1


def test_what_takes_too_long_is_ended_by_the_server_all_the_same(url, monkeypatch):
    made(url).close()
    monkeypatch.setattr(databases, "_STATEMENT_S", 1)
    with closing(Database(url)) as database:
        for _ in range(3):
            with (
                database.engine.begin() as connection,
                pytest.raises(sa.exc.OperationalError, match="statement timeout"),
            ):
                connection.exec_driver_sql("select pg_sleep(20)")
        with database.engine.begin() as connection:
            assert connection.exec_driver_sql("show statement_timeout").scalar() == "1s"
            assert connection.exec_driver_sql("show idle_in_transaction_session_timeout").scalar() == "1min"
