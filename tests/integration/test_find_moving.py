"""``find`` while intents go from a journal to history, and where history has not heard of them, or is alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Operator, Relay, Settings
from blnk_relay.history.database import Database
from blnk_relay.journal import finding
from blnk_relay.journal.journal import Journal
from tests.support.cli import run
from tests.support.history import copy
from tests.support.journal import LANE, WORKER, bury, enqueue, finish, pay, status, trim
from tests.support.payments import SHOP
from tests.support.waiting import wait_until


@pytest.fixture
def sort() -> str:
    """What is tried here is the same with each database."""
    return "sqlite"


@pytest.fixture
def settings(settings: Settings, url: str) -> Settings:
    return replace(settings, history_url=url)


def found(operator: Operator, **asked: Any) -> list[tuple[str, str, str]]:
    return sorted((one.status.key, one.status.state, one.where) for one in operator.find(**asked).found)


def end(journal: Journal) -> None:
    """What is ready is done."""
    finish(journal, *journal.claim(LANE, WORKER, 100).items)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen after the first of the two looks."""

    def set_up(act: Callable[[], object]) -> None:
        happened: list[object] = []

        def then(looks: Callable[..., Any]) -> Callable[..., Any]:
            def look(*arguments: Any) -> Any:
                answer = looks(*arguments)
                if not happened:
                    happened.append(act())
                return answer

            return look

        for name in ("_in_history", "_in_journal"):
            monkeypatch.setattr(finding, name, then(getattr(finding, name)))

    return set_up


def test_what_goes_to_history_between_the_two_looks_is_found(
    relay: Relay, database: Database, between: Callable[[Callable[[], object]], None]
) -> None:
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    pay(relay, "before")
    copy(journal, database)
    trim(journal)
    enqueue(relay, "moving")

    def move() -> None:
        end(journal)
        copy(journal, database)
        trim(journal)
        assert relay.get("moving").key == ""

    between(move)
    assert [key for key, _, _ in found(operator, destination=SHOP)] == ["before", "moving"]


def test_what_was_a_letter_in_history_is_told_as_it_ended_between_the_two_looks(
    relay: Relay, database: Database, between: Callable[[Callable[[], object]], None]
) -> None:
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    bury(relay, "poor")
    copy(journal, database)

    def move() -> None:
        operator.replay(status(journal, "poor"), who="me", reason="funds came")
        end(journal)
        copy(journal, database)
        trim(journal)

    between(move)
    assert found(operator, key="poor") == [("poor", "done", "history")]


def test_a_letter_that_ended_while_history_was_off_is_not_told_as_a_letter(relay: Relay, database: Database) -> None:
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    bury(relay, "poor")
    copy(journal, database)
    operator.history_off(who="me", reason="for a while", forced=True)
    operator.replay(status(journal, "poor"), who="me", reason="funds came")
    end(journal)
    trim(journal)
    copy(journal, database)
    assert found(operator, state="dead") == []
    assert found(operator, code="NO") == []
    [(_, state, where)] = found(operator, key="poor")
    assert (state, where) == ("done", "history")
    [one] = operator.find(key="poor").found
    assert (one.status.outcome, one.status.dead_class, one.status.code) == ("applied", "", "")
    assert found(operator, state="done") == [], "the row is looked up by what stands in it"


def test_what_changed_after_the_time_that_is_asked_for_is_not_found(relay: Relay, database: Database) -> None:
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    bury(relay, "poor", "other")
    copy(journal, database)
    copied = operator.now()
    wait_until(lambda: operator.now() > copied, 5, "the journal's clock to go on")
    until = operator.now()
    wait_until(lambda: operator.now() > until, 5, "the journal's clock to go on")
    operator.replay(status(journal, "poor"), who="me", reason="funds came")
    end(journal)
    assert found(operator, until=until) == [("other", "dead", "journal")]
    assert found(operator, since=until) == [("poor", "done", "journal")]


def test_history_answers_where_no_journal_does(
    relay: Relay, database: Database, settings: Settings, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pay(relay, "paid-1")
    copy(relay.journal(), database)
    environment.setenv("BLNK_RELAY_REDIS_URL", "redis://127.0.0.1:1/0")
    environment.setenv("BLNK_RELAY_HISTORY_URL", settings.history_url)
    for arguments in (("paid-1",), ("paid-1", "--until", "2100-01-01T00:00:00Z"), ("paid-1", "--since", "1h")):
        ran = run("find", *arguments, "--json")
        assert ran.code == 0, ran.err
        assert [(one["key"], one["where"]) for one in ran.json["intents"]] == [("paid-1", "history")]
        assert [place["whole"] for place in ran.json["looked"]] == [True, False]
        assert ("by the clock of this machine" in ran.err) == ("--since" in arguments)
    assert run("find", "paid-1", "--since", "2100-01-01T00:00:00Z").code == 2
    # What is not there, and what nobody could look for, are told apart.
    nothing = run("find", "paid-2")
    assert nothing.code == 0
    assert "Nothing was found, but it may be where nobody could look: journal of target default.\n" in nothing.out
    assert "Not looked in journal of target default: could not be read: " in nothing.out
    environment.setenv("BLNK_RELAY_HISTORY_URL", f"sqlite:///{tmp_path / 'nowhere' / 'history.db'}")
    for form in ((), ("--json",)):
        nowhere = run("find", "paid-1", *form)
        assert nowhere.code == 4
        assert ("nobody could look: history, journal of target default." in nowhere.out) == (form == ())
    assert [place["whole"] for place in nowhere.json["looked"]] == [False, False]


def test_show_tells_by_history_what_became_of_an_intent_that_was_trimmed(
    relay: Relay, database: Database, settings: Settings, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("BLNK_RELAY_HISTORY_URL", settings.history_url)
    journal, operator = relay.journal(), Operator(relay.journals, relay.bells)
    bury(relay, "poor")
    operator.replay(status(journal, "poor"), who="mila", reason="funds came")
    end(journal)
    before = run("show", "poor", "--json").json
    assert "history" not in before
    trim(journal)
    assert "history does not have it" in run("show", "poor").out
    bury(relay, "other")
    copy(journal, database)
    operator.replay(status(journal, "other"), who="mila", reason="funds came")
    end(journal)
    copy(journal, database)
    before = run("show", "other", "--json").json
    trim(journal)
    after = run("show", "other", "--json").json
    same = ("id", "key", "kind", "lane", "state", "outcome", "reference", "transaction_id", "created", "updated")
    assert {name: after["intent"][name] for name in same} == {name: before["intent"][name] for name in same}
    assert [one["what"] for one in after["attempts"]] == [one["what"] for one in before["attempts"]] == ["replayed"]
    [life] = after["history"]["letters"]
    assert (life["dead_class"], life["code"], life["closed"]) == ("refused", "NO", "replayed")
    told = run("show", "other").out
    assert "this is what history has" in told
    assert "funds came" in told
    assert "As a dead letter" in told
    environment.setenv("BLNK_RELAY_HISTORY_URL", "postgresql://u@127.0.0.1:1/db")
    ran = run("show", "other")
    assert (ran.code, "history could not be read" in ran.out) == (0, True)
