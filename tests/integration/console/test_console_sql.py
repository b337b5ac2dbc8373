"""What the console's screens read in SQL: few of them anything, and none of them more because more is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from blnk_relay import Relay, Settings, Write
from blnk_relay.history import search
from blnk_relay.history.database import Database
from tests.integration.test_history import copy
from tests.support.cli import letters, payment
from tests.support.console import at
from tests.support.history import made, sqlite_url
from tests.support.journal import LANE, WORKER, finish, trim
from tests.support.sql import Asked, counted
from tests.support.visiting import Visitor
from worker.console.doors import SCREENS
from worker.console.screens.filters import PAGE

pytestmark = pytest.mark.usefixtures("environment")

#: What is looked for, and the screen of the database itself; no other one reads a row.
READERS = (
    "/find?text=paid-7",
    "/find?text=txn_7",
    "/find?reference=paid-7",
    "/find?amount=10.50&currency=EUR",
    "/find?destination=@alice",
    "/find?meta=shop=north",
    "/find?state=done&kind=transaction",
    "/find?since=1d",
    "/actions",
    "/history",
)

#: Rows that a search may be handed, whatever there is: a page in each of the orders that it tries, and one more.
MOST_ROWS = 4 * PAGE


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    url = sqlite_url(tmp_path)
    made(url).close()
    return replace(settings, history_url=url, history_batch=200)


@pytest.fixture
def asked() -> Iterator[Asked]:
    with counted() as found:
        yield found


def over(relay: Relay, database: Database, start: int, number: int) -> None:
    """Payments that are over, and in history alone."""
    journal = relay.journal()
    intent = payment(meta_data={"shop": "north"})
    relay.enqueue_many([Write(intent=intent, key=f"paid-{start + at}") for at in range(number)])
    while claimed := journal.claim(LANE, WORKER, 500).items:
        finish(journal, *claimed)
    copy(journal, database)
    trim(journal)


def read(asked: Asked, visitor: Visitor, path: str) -> Asked:
    """What one page asks for."""
    asked.clear()
    answer = visitor.get(path)
    assert answer.status_code == 200, (path, answer.text)
    return replace(asked)


def test_a_screen_reads_few_rows_in_sql_and_no_more_because_more_is_there(relay, settings, asked, ann, monkeypatch):
    # Which of several indexes has the fewest rows is counted up to a bound: here there are as many from the beginning.
    monkeypatch.setattr(search, "_COUNTED", 3 * PAGE)
    database = Database(settings.history_url)
    over(relay, database, 0, 4 * PAGE)
    letters(relay, "poor")
    relay.enqueue(payment(), key="open-1")
    screens = [door.path for door in SCREENS if door.method == "GET" and "{" not in door.path]
    silent = {path for path in screens if path not in ("/history", "/actions")} | {at(ann, "poor"), at(ann, "open-1")}
    silent |= {f"{at(ann, 'poor')}/replay", f"{at(ann, 'open-1')}/cancel", "/letters/replay?all=yes"}
    silent |= {"/lanes/lane/refunds/pause", "/journals/default/history-off", "/journals/default/upgrade"}
    for path in silent:
        assert read(asked, ann, path) == Asked(), path
    # The first look opens a connection, and asks which tables there are.
    read(asked, ann, READERS[0])
    few = {path: read(asked, ann, path) for path in READERS}
    over(relay, database, 1_000, 6 * PAGE)
    many = {path: read(asked, ann, path) for path in READERS}
    database.close()
    for path in READERS:
        assert 0 < few[path].statements == many[path].statements <= 60, (path, few[path], many[path])
        assert few[path].rows <= many[path].rows <= MOST_ROWS, (path, few[path], many[path])
        assert many[path].rows <= few[path].rows + 2, (path, few[path], many[path])
        assert many[path].steps <= few[path].steps * 1.25 + 2_000, (path, few[path], many[path])


def test_large_tables_are_not_counted_row_by_row(relay, settings, asked, monkeypatch):
    database = Database(settings.history_url)
    over(relay, database, 0, 20)
    asked.clear()
    whole, before = database.counts(), replace(asked)
    monkeypatch.setattr("blnk_relay.history.database._MOST_COUNTED", 5)
    asked.clear()
    assert database.counts() == whole
    assert whole["intents"] == 20
    assert asked.statements < before.statements
    database.close()


def test_an_intent_that_was_trimmed_is_told_by_history(relay, settings, asked, ann):
    database = Database(settings.history_url)
    over(relay, database, 0, 20)
    page = at(ann, "paid-7")
    few = read(asked, ann, page)
    text = ann.get(page).text
    assert "It was trimmed from its journal; this is what history has." in text
    assert "<dd>transaction</dd>" in text
    told = ann.get(f"/api/v1{page}").json()
    assert told["history"] == {"told": "It was trimmed from its journal; this is what history has.", "letters": []}
    assert (told["intent"]["kind"], told["intent"]["outcome"]) == ("transaction", "applied")
    over(relay, database, 1_000, 200)
    many = read(asked, ann, page)
    database.close()
    assert 0 < many.statements == few.statements <= 20
    assert many.rows == few.rows
