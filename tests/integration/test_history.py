"""History: what is over is copied exactly once, whatever is killed, lost or set back, and trimmed only afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Operator, Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.journal.copier import Copier
from blnk_relay.journal.journal import Journal
from tests.support.history import made, postgres, rows_of, sqlite_url, why_no_postgres
from tests.support.journal import LANE, WORKER, enqueue, finish, kill, status, sweep, trim

SORTS = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL, where there is one."""
    if why := why_no_postgres():
        pytest.skip(why)
    with postgres() as running:
        yield running


@pytest.fixture(params=SORTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database of each sort."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    address: str = request.getfixturevalue("server").url()
    return address


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = made(url)
    yield opened
    opened.close()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, history_batch=5, history_payload=True)


def copy(journal: Journal, database: Database) -> int:
    """Copy all that there is; returns how many pages that took."""
    copier, rounds = Copier(journal, database), 0
    while copier.round().more:
        rounds += 1
        assert rounds < 200
    return rounds


def pay(relay: Relay, *keys: str) -> None:
    """Payments that are over."""
    enqueue(relay, *keys)
    finish(relay.journal(), *relay.journal().claim(LANE, WORKER, 100).items)


def bury(relay: Relay, *keys: str, dead_class: str = "refused") -> None:
    """Payments that are dead letters."""
    enqueue(relay, *keys)
    for claimed in relay.journal().claim(LANE, WORKER, 100).items:
        kill(relay.journal(), claimed, dead_class)


def keys_in(database: Database) -> Counter[str]:
    return Counter(row["key"] for row in rows_of(database, schema.intents, "key"))


def test_what_is_over_is_copied_with_all_that_is_known_of_it(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1", "paid-2")
    copy(journal, database)
    first, second = rows_of(database, schema.intents, "key")
    known = relay.get("paid-1")
    assert (first["id"], first["key"], first["kind"]) == (known.id, "paid-1", "transaction")
    assert (first["state"], first["outcome"], first["reference"]) == ("done", "applied", "paid-1")
    assert first["ended_ms"] == int(known.updated.timestamp() * 1000)
    assert second["key"] == "paid-2"
    assert '"precise_amount"' in first["payload"]
    assert {row["name"] for row in rows_of(database, schema.names, "name")} == {"paid-1", "paid-2"}
    (amount,) = {row["amount"] for row in rows_of(database, schema.movements, "intent")}
    assert amount


def test_nothing_is_copied_twice_and_nothing_is_trimmed_before_it_is_copied(relay, database):
    journal = relay.journal()
    pay(relay, "paid-1")
    copy(journal, database)
    pay(relay, *(f"later-{number}" for number in range(12)))
    trim(journal)
    # The one that is copied may go, and those that are not stay.
    assert relay.get("paid-1").key == ""
    assert all(relay.get(f"later-{number}").key for number in range(12))
    assert journal.history_lag().held == journal.history_lag().uncopied == 12
    copy(journal, database)
    assert journal.history_lag().uncopied == 0
    sweep(journal)
    assert all(relay.get(f"later-{number}").key == "" for number in range(12))
    assert keys_in(database) == Counter(["paid-1", *(f"later-{number}" for number in range(12))])


def test_what_was_over_when_it_was_switched_on_is_walked_through_and_kept_until_then(relay, database):
    journal = relay.journal()
    pay(relay, *(f"before-{number}" for number in range(23)))
    bury(relay, "dead-1", "dead-2", "dead-3")
    operator = Operator(relay.journals, relay.bells)
    operator.discard(status(journal, "dead-3"), who="me", reason="by hand")
    for id_ in journal.client.zrange(journal.key("done"), 0, -1):
        # All at one moment.
        journal.client.zadd(journal.key("done"), {id_: 1})
    copier = Copier(journal, database)
    assert copier.round().begins == "new"
    sweep(journal)
    assert journal.client.zcard(journal.key("done")) >= 20
    pay(relay, "meanwhile")
    copy(journal, database)
    assert journal.history_lag().walking == 0
    assert keys_in(database) == Counter(
        [*(f"before-{number}" for number in range(23)), "dead-1", "dead-2", "dead-3", "meanwhile"]
    )
    sweep(journal)
    assert journal.client.zcard(journal.key("done")) == 1


def test_each_life_of_a_letter_is_kept_and_says_how_it_was_closed(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "first")
    copy(journal, database)
    bury(relay, "poor", dead_class="rejected")
    copy(journal, database)
    (letter,) = rows_of(database, schema.letters, "died_ms")
    assert (letter["dead_class"], letter["code"], letter["closed"]) == ("rejected", "NO", "")
    operator.replay(status(journal, "poor"), who="me", reason="funds came")
    copy(journal, database)
    assert [row["closed"] for row in rows_of(database, schema.letters, "died_ms")] == ["replayed"]
    states = {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}
    assert states == {"first": "done", "poor": "open"}
    for claimed in journal.claim(LANE, WORKER, 100).items:
        kill(journal, claimed, "refused")
    # Two things happen before anybody copies.
    operator.replay(status(journal, "poor"), who="me", reason="again")
    (claimed,) = journal.claim(LANE, WORKER, 1).items or journal.take(WORKER, 1, 5.0).items
    finish_of(journal, claimed)
    copy(journal, database)
    lives = rows_of(database, schema.letters, "died_ms", "life")
    assert [(row["dead_class"], row["closed"]) for row in lives] == [("rejected", "replayed"), ("refused", "replayed")]
    names = {(row["sort"], row["name"]) for row in rows_of(database, schema.names, "name")}
    assert {("reference", "poor"), ("reference", "poor.r2")} <= names
    states = {row["key"]: row["state"] for row in rows_of(database, schema.intents, "key")}
    assert states["poor"] == "done"


def finish_of(journal: Journal, claimed: Any) -> None:
    from blnk_relay.journal.entries import Settlement

    origin = "posted" if claimed.progress.looking else "sending"
    journal.settle(WORKER, [Settlement(claimed, origin, "done", 0, {"outcome": "applied"})], [])
    assert journal.status(claimed.entry.id).state == "done"


def test_a_discarded_letter_keeps_when_it_died(relay, database):
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "first")
    copy(journal, database)
    bury(relay, "poor")
    died = status(journal, "poor").updated
    operator.discard(status(journal, "poor"), who="me", reason="by hand")
    copy(journal, database)
    (row,) = rows_of(database, schema.letters, "died_ms")
    assert row["died_ms"] == int(died.timestamp() * 1000)
    assert (row["closed"], row["closed_ms"]) == ("discarded", int(status(journal, "poor").updated.timestamp() * 1000))
    (attempt,) = rows_of(database, schema.attempts, "at_ms")
    assert (attempt["what"], attempt["worker"], attempt["note"]) == ("discarded", "me", "by hand")
