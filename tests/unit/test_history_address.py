"""Addresses of the database of history: none is quoted, and none that would be read otherwise than a person does."""

from __future__ import annotations

import pytest

pytest.importorskip("sqlalchemy")

from blnk_relay.errors import HistoryUnavailable, InvalidSettings
from blnk_relay.history.database import Database

SECRET = "S3CR3TMARK"  # noqa: S105 - it is what must not be told

#: What would be taken for something else than it is, and what is said of it.
REFUSED = (
    (f"postgresql://u:pa@{SECRET}@127.0.0.1:1/db", "write %40"),
    (f"postgresql://u:pa/{SECRET}@x@127.0.0.1:1/db", "write %40"),
    (f"postgresql://u:pa@{SECRET}/x@127.0.0.1:1/db", "write %40"),
    (f"postgresql://u:pa@{SECRET}?x@127.0.0.1:1/db", "write %40"),
    (f"postgresql://{SECRET}@x@127.0.0.1:1/db", "write %40"),
    (f"postgresql://u:{SECRET}@127.0.0.1:1/d@b", "write %40"),
    (f"postgresql://{SECRET}!", "host that could exist"),
    (f"postgresql:///u:{SECRET}@127.0.0.1/db", "host that could exist"),
    (f"postgresql://u/{SECRET}@127.0.0.1/db", "host that could exist"),
    (f"postgresql://u@/db?host={SECRET}%2540x", "host that could exist"),
    (f"sqlite:////tmp/history.db?timeout={SECRET}", "behind the '\\?'"),
    (f"sqlite:////tmp/history.db?{SECRET}=1", "behind the '\\?'"),
)


@pytest.mark.parametrize(("url", "says"), REFUSED)
def test_an_address_that_would_not_work_is_refused_and_not_quoted(url, says):
    with pytest.raises(InvalidSettings, match=says) as caught:
        Database(url)
    assert SECRET not in str(caught.value)


#: Addresses that lead nowhere, and what is said of that.
AWAY = (
    (f"postgresql://u:{SECRET}@127.0.0.1:1/db", "connection refused"),
    (f"postgresql://u:pa%40{SECRET}@127.0.0.1:1/db", "connection refused"),
    (f"postgresql://u:x@{SECRET}.invalid:1/db", "its host is not known"),
    (f"postgresql://u@/db?host={SECRET}.invalid", "its host is not known"),
    (f"postgresql://u@127.0.0.1:1/db?sslmode={SECRET}", "an option that is not taken"),
    (f"postgresql://u@127.0.0.1:1/db?service={SECRET}", "it could not be connected to"),
    (f"postgresql://u@127.0.0.1:1/db?{SECRET}=1", "ProgrammingError"),
    (f"postgresql:///db?host=/tmp/{SECRET}", "there is no such socket file"),
)


@pytest.mark.parametrize(("url", "says"), AWAY)
def test_a_database_that_cannot_be_reached_is_told_of_in_our_own_words(url, says):
    pytest.importorskip("psycopg")
    database = Database(url)
    with pytest.raises(HistoryUnavailable, match=says) as caught:
        database.revision()
    database.close()
    assert SECRET.lower() not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40ss@db.example:5432/history", "db.example/history"),
        ("postgres://u:p@[::1]/history?sslmode=require", "::1/history"),
        ("postgresql:///history?host=/run/postgresql", "localhost/history"),
        ("postgresql://u@/history?host=one:5432&host=two:5433", "localhost/history"),
        ("sqlite:///at@home.db", "at@home.db"),
    ],
)
def test_of_an_address_people_see_where_it_leads(url, shown):
    database = Database(url)
    assert database.shown == shown
    database.close()
