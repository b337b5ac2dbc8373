"""The log of actions behind what the journals keep: history goes on with it, and nothing is told twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from blnk_relay import JournalUnavailable, NotFound, Operator, Settings, Target
from blnk_relay.history.database import Database
from blnk_relay.journal.actions import Place
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals
from tests.support.cli import run
from tests.support.console import KEYS
from tests.support.history import copy
from tests.support.visiting import listening
from worker.console.settings import ConsoleSettings
from worker.demo.stage import as_environment

#: The first moment of these logs, in milliseconds.
BEGIN = 1_700_000_000_000

#: The same on PostgreSQL takes longer.
SORTS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))


@pytest.fixture(params=SORTS)
def sort(request: pytest.FixtureRequest) -> str:
    """The sort of the database."""
    return str(request.param)


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    """Two ledgers, and a history."""
    return replace(settings, targets=(Target(name="eu"), Target(name="us")), history_url=url)


@pytest.fixture
def journals(settings: Settings) -> Iterator[Journals]:
    with closing(Journals(settings)) as made:
        yield made


@pytest.fixture
def operator(journals: Journals) -> Operator:
    return Operator(journals)


def noted(journal: Journal, ms: int, number: int, who: str, *, what: str = "pause", mark: str = "") -> None:
    """An entry of a journal's log at a moment."""
    told = {"what": what, "of": "lane refunds", "who": who, "via": "library", "reason": "audit", "mark": mark}
    fields = {"at": ms, "result": "done", "count": 1, "action": json.dumps(told)}
    journal.client.xadd(journal.key("actions"), fields, id=f"{ms}-{number}")


def forgotten(journal: Journal, left: int) -> None:
    """What is copied is trimmed, but for the newest."""
    journal.client.xtrim(journal.key("actions"), maxlen=left, approximate=False)


def filled(journals: Journals, database: Database, number: int, left: int) -> list[str]:
    """A log of so many actions, in turns in both journals, of which some are in history alone: who, newest first."""
    for journal in journals:
        copy(journal, database)
    for at in range(number):
        journal = journals.of("us" if at % 3 else "eu")
        noted(journal, BEGIN + at // 4, at, f"w{at}", what="resume" if at % 5 else "pause")
    for journal in journals:
        copy(journal, database)
        forgotten(journal, left)
    return [f"w{at}" for at in reversed(range(number))]


def pages(operator: Operator, most: int, **asked: object) -> list[str]:
    """Who stands in the log, read page by page."""
    found: list[str] = []
    after = None
    while page := operator.log(most=most, after=after, **asked).actions:  # type: ignore[arg-type]
        found += [action.who for action in page]
        after = Place.read(str(page[-1].place))
    return found


def test_the_log_goes_on_in_history_where_the_journals_end(journals, operator, database):
    names = filled(journals, database, 60, left=3)
    assert len(operator.actions(most=100)) == 6
    log = operator.log(most=100)
    assert [action.who for action in log.actions] == names
    assert (log.away, log.unread) == ((), "")
    oldest = log.actions[-1]
    assert (oldest.at, oldest.what, oldest.of) == (datetime.fromtimestamp(BEGIN / 1000, UTC), "pause", "lane refunds")
    assert (oldest.via, oldest.reason, oldest.result, oldest.count) == ("library", "audit", "done", 1)
    assert oldest.targets == ("eu",)
    for most in (1, 7, 59):
        assert pages(operator, most) == names, most


def test_what_is_asked_for_of_it_is_asked_of_history_too(journals, operator, database):
    names = filled(journals, database, 60, left=3)
    assert [action.who for action in operator.log(who="w0").actions] == ["w0"]
    assert pages(operator, 4, what="pause") == [name for name in names if int(name[1:]) % 5 == 0]
    assert pages(operator, 4, target="eu") == [name for name in names if int(name[1:]) % 3 == 0]
    since, until = (datetime.fromtimestamp((BEGIN + ms) / 1000, UTC) for ms in (2, 7))
    between = [name for name in names if 2 <= int(name[1:]) // 4 < 7]
    assert pages(operator, 4, since=since, until=until) == between
    # Between two milliseconds.
    half = timedelta(microseconds=500)
    assert pages(operator, 4, since=since + half, until=until + half) == [
        name for name in names if 3 <= int(name[1:]) // 4 <= 7
    ]
    with pytest.raises(NotFound):
        operator.log(target="nobody")


def test_an_action_of_several_steps_is_told_once_however_far_they_are_kept(journals, operator, database):
    eu, us = journals
    for journal in journals:
        copy(journal, database)
    for at in range(30):
        noted(eu, BEGIN + at, 0, "many", mark="together")
        noted(us, BEGIN + at, 1, f"w{at}")
        noted(us, BEGIN + at, 2, "many", mark="together")
    for journal in journals:
        copy(journal, database)
        forgotten(journal, 10)
    assert sorted(pages(operator, 4)) == sorted(["many", *(f"w{at}" for at in range(30))])
    [many] = operator.log(who="many").actions
    assert (many.count, set(many.targets)) == (60, {"eu", "us"})


def test_many_of_one_millisecond_are_all_read(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    pipeline = eu.client.pipeline(transaction=False)
    for at in range(1_300):
        action = json.dumps({"what": "pause", "who": f"w{at}"})
        pipeline.xadd(eu.key("actions"), {"at": BEGIN, "action": action}, id=f"{BEGIN}-{at + 1}")
    pipeline.execute()
    copy(eu, database)
    forgotten(eu, 0)
    assert [action.who for action in operator.log(most=1_300).actions] == [f"w{at}" for at in reversed(range(1_300))]


def test_history_is_left_alone_while_the_journals_have_all_that_is_asked_for(journals, operator, database, monkeypatch):
    filled(journals, database, 60, left=20)
    monkeypatch.setattr("blnk_relay.journal.log.database_of", lambda _: pytest.fail("it was asked"))
    assert len(operator.log(most=25).actions) == 25
    last = operator.log(most=1).actions[0].at
    assert len(operator.log(since=last).actions) == 4


def test_of_a_journal_that_is_away_history_tells_what_was_copied(settings, journals, database, tmp_path):
    names = filled(journals, database, 12, left=1)
    gone = f"unix://{tmp_path}/nothing"
    both = [replace(target, redis_url=gone) for target in settings.targets]
    with closing(Journals(replace(settings, targets=(settings.targets[0], both[1])))) as one:
        log = Operator(one).log()
        assert ([action.who for action in log.actions], log.away) == (names, ("us",))
    with closing(Journals(replace(settings, targets=tuple(both)))) as none:
        log = Operator(none).log()
        assert ([action.who for action in log.actions], log.away) == (names, ("eu", "us"))
        with pytest.raises(JournalUnavailable):
            Operator(none).actions()
    without = replace(settings, targets=tuple(both), history_url=f"sqlite:///{tmp_path}/none/history.db")
    with closing(Journals(without)) as none, pytest.raises(JournalUnavailable):
        Operator(none).log()


def test_every_face_shows_it_and_says_where_history_could_not_be_read(
    settings, journals, database, monkeypatch, tmp_path
):
    filled(journals, database, 12, left=1)
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    document = run("log", "--who", "w0", "--json").json
    assert ([row["who"] for row in document["actions"]], document["unread"]) == (["w0"], "")
    assert "w0" in run("log", "--limit", "12").out
    with listening(journals, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house:
        ann, script = house.let_in(), house.visitor(Authorization="Bearer viewer")
        assert "w0" in ann.page("/actions?who=w0")
        answer = script.get("/api/v1/actions?who=w0").json()
        assert ([row["who"] for row in answer["actions"]], answer["unread"]) == (["w0"], "")
    nowhere = replace(settings, history_url=f"sqlite:///{tmp_path}/none/history.db")
    monkeypatch.setenv("BLNK_RELAY_HISTORY_URL", nowhere.history_url)
    seen = run("log", "--who", "w0")
    assert seen.code == 0
    assert "What is older than the journals keep was not read:" in seen.err
    assert run("log", "--json").json["unread"]
    with (
        closing(Journals(nowhere)) as without,
        listening(without, ConsoleSettings(port=0, api_keys=(KEYS["viewer"],))) as house,
    ):
        assert "What is older than the journals keep was not read" in house.let_in().page("/actions?who=w0")


def many(journal: Journal, begin_ms: int, number: int, mark: str) -> None:
    """As many steps of one action, five in a millisecond."""
    pipeline = journal.client.pipeline(transaction=False)
    told = json.dumps({"what": "discard", "of": "a letter", "who": "many", "reason": "r", "mark": mark})
    for at in range(number):
        ms = begin_ms + at // 5
        fields = {"at": ms, "result": "discarded", "count": 1, "action": told}
        pipeline.xadd(journal.key("actions"), fields, id=f"{ms}-{at + 1}")
    pipeline.execute()


def drained(journal: Journal, database: Database, left: int = 0) -> None:
    """All of it is copied, and trimmed but for the newest."""
    copy(journal, database)
    forgotten(journal, left)


def test_an_action_of_very_many_steps_hides_nothing_that_is_older(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    for at in range(30):
        noted(eu, BEGIN + at, 0, f"w{at}")
    many(eu, BEGIN + 1_000, 6_000, "big")
    drained(eu, database)
    log = operator.log(most=51)
    assert [(action.who, action.count) for action in log.actions][:2] == [("many", 6_000), ("w29", 1)]
    assert (len(log.actions), log.unread) == (31, "")
    assert pages(operator, 4) == ["many", *(f"w{at}" for at in reversed(range(30)))]


def test_it_is_said_where_more_stands_there_than_was_read(journals, operator, database, monkeypatch):
    eu, _ = journals
    copy(eu, database)
    noted(eu, BEGIN, 0, "ann")
    many(eu, BEGIN + 1_000, 2_000, "big")
    drained(eu, database)
    monkeypatch.setattr("blnk_relay.journal.log._MOST_PAGES", 2)
    assert "more than was read stands in history of target eu" in operator.log().unread
    monkeypatch.undo()
    assert operator.log().unread == ""


def test_steps_are_counted_on_both_sides_of_where_the_journal_ends(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    noted(eu, BEGIN, 0, "first")
    many(eu, BEGIN + 1, 60, "m")
    noted(eu, BEGIN + 1_000, 0, "top")
    drained(eu, database, left=11)
    for most in (2, 3, 9):
        counts = [(action.who, action.count) for action in operator.log(most=most).actions]
        assert counts == [("top", 1), ("many", 60), ("first", 1)][:most]


def test_steps_with_others_between_them_are_counted_however_few_are_asked_for(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    for at in range(60):
        noted(eu, BEGIN + at, 0, "many", mark="together")
        noted(eu, BEGIN + at, 1, f"w{at}")
    drained(eu, database)
    assert [action.count for action in operator.log(most=10).actions if action.who == "many"] == [60]


def test_an_action_that_took_hours_is_told_once_by_how_it_ended(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    for at, result in ((0, "begun"), (7_200_000, "nothing differs")):
        told = json.dumps({"what": "audit", "of": "target eu", "who": "auditor", "mark": "m1"})
        fields = {"at": BEGIN + at, "result": result, "count": 0, "action": told}
        if at:
            for number in range(12):
                noted(eu, BEGIN + (number + 1) * 500_000, 0, f"w{number}")
        eu.client.xadd(eu.key("actions"), fields, id=f"{BEGIN + at}-0")
    drained(eu, database)
    found, after = [], None
    while page := operator.log(most=4, after=after).actions:
        found += [action.result for action in page if action.who == "auditor"]
        after = page[-1].place
    assert found == ["nothing differs"]


def test_nothing_is_passed_over_or_told_twice_where_the_clock_went_back(journals, operator, database):
    """The ids of a journal's log go on where they were, and the times below them begin anew."""
    eu, _ = journals
    copy(eu, database)
    for at in range(30):
        noted(eu, BEGIN + at * 1_000, 0, f"w{at}")
    last = BEGIN + 29_000
    for at in range(20):
        action = json.dumps({"what": "pause", "of": "lane refunds", "who": f"x{at}"})
        fields = {"at": last - 20_000 + at * 1_000, "result": "done", "count": 1, "action": action}
        eu.client.xadd(eu.key("actions"), fields, id=f"{last}-{at + 1}")
    drained(eu, database)
    names = [*(f"x{at}" for at in reversed(range(20))), *(f"w{at}" for at in reversed(range(30)))]
    for most in (4, 11, 51):
        assert pages(operator, most) == names, most


def test_what_cannot_be_read_of_one_entry_hides_no_other(journals, operator, database):
    eu, _ = journals
    copy(eu, database)
    noted(eu, BEGIN, 0, "ann")
    told = json.dumps({"what": "pause", "of": "x", "who": "bob", "reason": "r" * 9_000})
    eu.client.xadd(
        eu.key("actions"), {"at": BEGIN + 1, "result": "done", "count": 1, "action": told}, id=f"{BEGIN + 1}-1"
    )
    drained(eu, database)
    assert [action.who for action in operator.log().actions] == ["bob", "ann"]
