"""History where PostgreSQL is there and says nothing: no wait for it is without an end, and what is told is true."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import HistoryUnavailable, Operator, Relay, Settings
from blnk_relay.history import database as databases
from blnk_relay.history.database import Database
from blnk_relay.history.upgrading import upgrade
from blnk_relay.journal.copier import Copier
from tests.support.history import copy, made
from tests.support.hushing import Hush, hushing
from tests.support.journal import pay
from tests.support.waiting import wait_until

#: Within which all must have ended: two waits for an answer, and one for a connection, which is two seconds at least.
_BOUND_S = 10.0


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a second instead of a minute."""
    monkeypatch.setattr(databases, "_STATEMENT_S", 1)
    monkeypatch.setattr(databases, "_GRACE_S", 0.5)
    monkeypatch.setattr(databases, "_CONNECT_S", 2)


@pytest.fixture
def straight(postgresql: Any) -> str:
    """The address of a database with tables, without a detour."""
    url: str = postgresql.url()
    made(url).close()
    return url


@pytest.fixture
def door(postgresql: Any) -> Iterator[Hush]:
    with hushing(postgresql.port) as opened:
        yield opened


@pytest.fixture
def url(straight: str, door: Hush, postgresql: Any) -> str:
    """The same database through the door."""
    return straight.replace(f":{postgresql.port}/", f":{door.port}/")


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url)


class Beside:
    """Something that runs in a thread, with what it raised."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.error: Exception | None = None
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._act()
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            self.error = error

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def end(self) -> Exception | None:
        self._thread.join(_BOUND_S)
        assert self.is_over, "it still waits for the database"
        return self.error


def watchers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "history-watch"]


TRIGGERS = (b"pg_catalog.version", b"version_num", b"FOR UPDATE", b"INSERT INTO relay_intents", b"COMMIT")


@pytest.mark.parametrize("trigger", TRIGGERS, ids=[text.decode().replace(" ", "-") for text in TRIGGERS])
def test_a_page_ends_where_the_database_falls_silent_and_is_copied_once_it_speaks(
    relay: Relay, door: Hush, url: str, trigger: bytes
) -> None:
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "paid-1")
    database = Database(url)
    if trigger.startswith(b"INSERT"):
        # The journal is known there already: what is silent is the page itself.
        copy(journal, database)
        pay(relay, "paid-2")
    door.at(trigger)
    page = Beside(Copier(journal, database).round)
    wait_until(lambda: door.is_silent, 5, "the database to fall silent")
    # All goes on meanwhile, and nobody says that nobody copies.
    pay(relay, "meanwhile")
    journal.client.hset(journal.key("ground"), "history", "1")
    journal.client.hset(journal.key("history"), "seen", journal.now_ms() - 3_600_000)
    [behind] = [one for one in operator.verdicts() if one.sort == "history-behind"]
    assert not page.is_over
    assert "has not answered" in behind.what
    assert "bring the database back" in behind.remedy
    assert isinstance(page.end(), HistoryUnavailable)
    lag = journal.history_lag()
    assert (lag.trouble, lag.begun_s) == ("OperationalError", None)
    [behind] = [one for one in operator.verdicts() if one.sort == "history-behind"]
    assert "bring the database back" in behind.remedy
    door.speak()
    copy(journal, database)
    lag = journal.history_lag()
    assert (lag.uncopied, lag.walking, lag.trouble, lag.begun_s) == (0, 0, "", None)
    database.close()
    wait_until(lambda: watchers() == [], 5, "nothing to be left behind")


def test_a_connection_of_before_that_has_fallen_silent_is_noticed_soon(
    relay: Relay, door: Hush, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "_STATEMENT_S", 60)
    pay(relay, "paid-1")
    database = Database(url)
    copy(relay.journal(), database)
    door.hush()
    page = Beside(Copier(relay.journal(), database).round)
    assert isinstance(page.end(), HistoryUnavailable)
    database.close()


@pytest.mark.parametrize("trigger", [b"pg_catalog.version", b"FROM relay_intents"], ids=["first", "search"])
def test_find_says_that_it_could_not_look(operator: Operator, relay: Relay, door: Hush, trigger: bytes) -> None:
    pay(relay, "paid-1")
    copier = Database(relay.settings.history_url)
    copy(relay.journal(), copier)
    copier.close()
    door.at(trigger)
    began_s = time.monotonic()
    result = operator.find(key="paid-1")
    assert time.monotonic() - began_s < _BOUND_S
    assert door.is_silent
    assert [one.where for one in result.found] == ["journal"]
    history = result.looked[0]
    assert (history.place, history.whole) == ("history", False)
    assert "could not be searched" in history.told


def test_who_is_slow_and_not_silent_is_left_to_the_server(url: str) -> None:
    database = Database(url)
    with pytest.raises(HistoryUnavailable, match="QueryCanceled"), database.reading() as connection:
        connection.exec_driver_sql("select pg_sleep(5)")
    database.close()


def test_upgrading_takes_the_time_that_it_needs(url: str, straight: str) -> None:
    database, other = Database(url), Database(straight)
    with other.reading() as connection:
        connection.exec_driver_sql("select pg_advisory_xact_lock(7221394468)")
        upgrading = Beside(lambda: upgrade(database))
        for _ in range(3):
            time.sleep(0.8)
            connection.exec_driver_sql("select 1")
        assert not upgrading.is_over
    assert upgrading.end() is None
    database.close()
    other.close()


def test_a_host_that_is_gone_is_noticed_by_the_system_and_the_users_own_values_count(straight: str) -> None:
    def options(url: str) -> tuple[int, ...]:
        database = Database(url)
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        with database.reading() as connection:
            ours: Any = connection.connection.driver_connection
            with socket.fromfd(ours.fileno(), socket.AF_INET, socket.SOCK_STREAM) as its:
                assert its.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                found = tuple(its.getsockopt(socket.IPPROTO_TCP, name) for name in names)
        database.close()
        return found

    assert options(straight) == (15, 5, 3, 30_000)
    assert options(f"{straight}?keepalives_idle=7&tcp_user_timeout=9000") == (7, 5, 3, 9_000)


@pytest.mark.parametrize("trigger", [b"relay_journals", b"relay_actions"], ids=["journals", "actions"])
def test_the_log_waits_for_a_silent_database_no_longer_than_anybody_does(relay, door, straight, trigger, monkeypatch):
    operator = Operator(relay.journals, relay.bells)
    operator.pause_lane("refunds", who="ann", reason="audit")
    with closing(Database(straight)) as database:
        copy(relay.journal(), database)
    # What is bounded otherwise is bounded by much more here.
    monkeypatch.setattr(databases, "_STATEMENT_S", 60)
    monkeypatch.setattr("blnk_relay.journal.log._LONGEST_S", 1.0)
    assert operator.log().unread == ""
    door.at(trigger)
    start_s = time.monotonic()
    log = operator.log()
    assert door.is_silent
    assert time.monotonic() - start_s < _BOUND_S
    assert [action.who for action in log.actions] == ["ann"]
    assert "it has not answered" in log.unread
