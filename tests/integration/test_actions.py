"""The log of actions: whatever an operator does has its line, with who, from where, why, and what came of it."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from blnk_relay import Action, NotFound, Operator, Refused, Target, Together
from blnk_relay.audit import Report
from blnk_relay.journal.actions import MAX_REASON, Place
from blnk_relay.journal.journals import Journals
from tests.support.cli import FUNDS, die, letters, payment, run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def operator():
    with Operator.from_env(via="console") as made:
        yield made


@pytest.fixture
def several(settings):
    """An operator of two journals."""
    targets = (Target(name="eu"), Target(name="own"))
    with closing(Journals(replace(settings, targets=targets))) as journals, Operator(journals) as made:
        yield made


def lines(operator: Operator, **asked: object) -> list[tuple[str, str, str, str, str]]:
    """The log, oldest first."""
    return [
        (action.who, action.what, action.of, action.result, action.reason)
        for action in reversed(operator.actions(**asked))  # type: ignore[arg-type]
    ]


def test_whatever_an_operator_does_has_its_line(operator, relay):
    letters(relay, "a", "b")
    relay.enqueue(payment(), key="c", not_before=timedelta(hours=1))
    operator.payload(relay.get("a"), who="ann", reason="which shop?")
    operator.replay(relay.get("a"), who="ann", reason="topped up")
    operator.discard(relay.get("b"), who="bob", reason="paid in cash")
    operator.cancel(relay.get("c"), who="bob", reason="entered twice")
    operator.pause_lane("refunds", who="eve", reason="audit")
    operator.resume_lane("refunds", who="ann")
    operator.pause_target("default", who="eve")
    assert lines(operator) == [
        ("ann", "view", "payload of a", "done", "which shop?"),
        ("ann", "replay", "letter a", "replayed", "topped up"),
        ("bob", "discard", "letter b", "discarded", "paid in cash"),
        ("bob", "cancel", "intent c", "cancelled", "entered twice"),
        ("eve", "pause", "lane refunds", "done", "audit"),
        ("ann", "resume", "lane refunds", "done", ""),
        ("eve", "pause", "target default", "done", ""),
    ]
    assert {action.via for action in operator.actions()} == {"console"}
    assert relay.history("c")[-1].note == "entered twice"


def test_what_is_begun_and_fails_is_not_left_as_if_it_went_on(operator, relay):
    relay.enqueue(payment(), key="a")

    def fails() -> Report:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operator.audit("default", fails, who="ann")
    report = Report("default", 0, 1, stopped="reads of target default are paused", unread=Counter({"403": 2}))
    assert operator.audit("default", lambda: report, who="bob", resumed=True) is report
    assert lines(operator) == [
        ("ann", "audit", "target default", "begun", ""),
        ("ann", "audit", "target default", "broken off", ""),
        ("bob", "audit", "target default", "gone on with", ""),
        (
            "bob",
            "audit",
            "target default",
            "stopped, 0 compared, 0 differences, 2 not looked at: reads of target default are paused",
            "",
        ),
    ]


def test_a_journal_after_the_other_is_one_line(several):
    assert several.recount(who="ann") == 0
    [action] = several.actions()
    assert (action.what, action.result, action.targets) == ("recount", "accounted for", ("eu", "own"))


def test_what_changes_nothing_has_no_line_and_what_comes_too_late_says_so(operator, relay):
    letters(relay, "a")
    letter = relay.get("a")
    operator.pause_lane("refunds", who="eve")
    operator.pause_lane("refunds", who="eve")
    operator.resume_target("default", who="eve")
    operator.replay(letter, who="ann", reason="topped up")
    with pytest.raises(Refused):
        operator.discard(letter, who="bob", reason="paid in cash")
    assert [line[1:4] for line in lines(operator)] == [
        ("pause", "lane refunds", "done"),
        ("replay", "letter a", "replayed"),
        ("discard", "letter a", "refused: ready"),
    ]
    [late] = operator.actions(what="discard")
    assert late.count == 0


def test_a_letter_that_is_closed_already_is_not_closed_once_more(operator, relay):
    letters(relay, "a")
    letter = relay.get("a")
    operator.discard(letter, who="ann", reason="paid in cash")
    with pytest.raises(Refused, match="it is discarded, not dead"):
        operator.discard(letter, who="bob", reason="paid in cash")
    assert [(action.who, action.result, action.count) for action in operator.actions()] == [
        ("bob", "refused: discarded", 0),
        ("ann", "discarded", 1),
    ]


@pytest.mark.parametrize("reason", ["", "  "])
def test_no_letter_gets_a_new_life_without_a_word_of_why(operator, relay, reason):
    letters(relay, "a")
    with pytest.raises(Refused, match="with a reason"):
        operator.replay(relay.get("a"), who="ann", reason=reason)
    assert relay.get("a").state == "dead"
    assert operator.actions() == ()


def test_what_is_done_to_many_at_once_is_one_line_with_what_came_of_each(operator, relay):
    letters(relay, *"abcd")
    four = [relay.get(key) for key in "abcd"]
    together = Together("letters of all causes")
    operator.discard(four[0], who="bob", reason="paid in cash")
    for letter in four:
        with suppress(Refused):
            operator.replay(letter, who="ann", reason="topped up", together=together)
    first, many = reversed(operator.actions())
    assert (first.what, many.what, many.of, many.result) == ("discard", "replay", "letters of all causes", "mixed")
    assert (many.count, many.results) == (3, {"replayed": 3, "refused: discarded": 1})


def test_a_change_since_it_was_looked_at_is_refused_even_where_the_letter_died_of_the_same_again(operator, relay):
    letters(relay, "a", dead_class="refused", code="NO")
    before = relay.get("a")
    operator.replay(before, who="ann", reason="once")
    die(relay, "refused", "NO")
    for act in (operator.replay, operator.discard):
        with pytest.raises(Refused, match="changed since"):
            act(before, who="bob", reason="on the word of an old screen")
    operator.discard(relay.get("a"), who="bob", reason="looked again")


def test_the_log_is_asked_for_by_time_person_sort_and_ledger(operator):
    operator.pause_lane("refunds", who="eve")
    [first] = operator.actions()
    between = wait_until(lambda: (now := operator.now()) > first.at and now, 1.0)
    wait_until(lambda: operator.now() > between, 1.0)
    operator.resume_lane("refunds", who="ann")
    operator.pause_target("default", who="eve")
    assert len(operator.actions(since=between)) == 2
    assert [action.who for action in operator.actions(until=between)] == ["eve"]
    assert [action.what for action in operator.actions(who="eve", what=["pause"])] == ["pause", "pause"]
    assert [action.of for action in operator.actions(most=1)] == ["target default"]
    assert len(operator.actions(target="default")) == 3
    with pytest.raises(NotFound):
        operator.actions(target="nobody")


def noted(operator: Operator, target: str, id_: str, who: str, mark: str = "") -> None:
    """An entry as the scripts leave it, of a moment that no clock could be made to give so many of."""
    journal = operator.journals.any_of(target)
    told = {"what": "pause", "of": "lane refunds", "who": who, "via": "library", "reason": "", "mark": mark}
    fields = {"at": id_.partition("-")[0], "result": "done", "count": 1, "action": json.dumps(told)}
    journal.client.xadd(journal.key("actions"), fields, id=id_)


def pages(operator: Operator, most: int, **asked: object) -> list[list[str]]:
    """Who stands on each page of the log, page by page as one who asks for what is older."""
    found: list[list[str]] = []
    after = None
    while page := operator.actions(most=most, after=after, **asked):  # type: ignore[arg-type]
        found.append([action.who for action in page])
        after = Place.read(str(page[-1].place))
    return found


def test_what_is_older_comes_page_by_page_and_nothing_of_one_millisecond_is_passed_over_or_told_twice(several):
    names = []
    for number in range(40):
        target = "eu" if number % 3 else "own"
        noted(several, target, f"{1_700_000_000_000 + number // 25}-{number}", f"w{number}")
        names.append(f"w{number}")
    for most in (1, 7, 40, 100):
        told = [who for page in pages(several, most) for who in page]
        assert sorted(told) == sorted(names), most
        # In the order of time, whatever the pages.
        assert told == [action.who for action in several.actions(most=100)]
    assert len(pages(several, 3, who="w5")) == 1


def test_an_action_of_several_steps_is_told_once_with_all_of_them_however_the_pages_fall(several):
    # Steps of one action, in both journals, with those of others between them.
    for number in range(12):
        noted(several, "eu", f"1700000000000-{2 * number}", "many", mark="together")
        noted(several, "own", f"1700000000000-{2 * number + 1}", f"w{number}")
    for number in range(12):
        noted(several, "own", f"1700000000001-{number}", "many", mark="together")
    told = [who for page in pages(several, 2) for who in page]
    assert sorted(told) == sorted(["many", *(f"w{number}" for number in range(12))])
    assert [action.count for action in several.actions(who="many", most=1)] == [24]
    assert [action.count for action in several.actions(most=2)] == [24, 1]


def test_the_log_has_a_bound_of_its_own_and_no_event_pushes_it_out(operator, relay):
    operator.pause_lane("refunds", who="first")
    journal = relay.journal()
    journal.client.xtrim(journal.key("events"), maxlen=0)
    assert [action.who for action in operator.actions()] == ["first"]
    pipeline = journal.client.pipeline(transaction=False)
    for number in range(10_500):
        pipeline.xadd(
            journal.key("actions"), {"at": 1, "result": "done", "count": 0, "action": f'{{"who":"{number}"}}'}
        )
    pipeline.execute()
    operator.resume_lane("refunds", who="last")
    assert 10_000 <= journal.client.xlen(journal.key("actions")) < 10_200
    assert [action.who for action in operator.actions(most=2)] == ["last", "10499"]
    assert operator.actions(who="nobody") == ()


def test_what_an_earlier_version_kept_of_pauses_is_read_and_taken_over(operator, relay):
    journal = relay.journal()
    for at, what in enumerate(("pause", "resume")):
        line = {"at": 1000 + at, "what": what, "of": "lane refunds", "who": "old", "why": "long ago"}
        journal.client.lpush(journal.key("acts"), json.dumps(line))
    told = [("old", what, "lane refunds", "done", "long ago") for what in ("pause", "resume")]
    assert lines(operator) == told
    operator.pause_lane("refunds", who="ann")
    assert lines(operator) == [*told, ("ann", "pause", "lane refunds", "done", "")]
    assert not journal.client.exists(journal.key("acts"))


def test_long_words_are_cut(operator):
    operator.pause_lane("refunds", who="w" * 200, reason="" + "r" * 1000)
    [action] = operator.actions()
    assert isinstance(action, Action)
    assert (len(action.who), len(action.reason)) == (100, MAX_REASON)


def test_the_command_line_shows_the_log_and_looks_at_payloads_are_in_it(relay):
    letters(relay, "a", "b", code=FUNDS)
    run("dead", "replay", "--all", "--who", "ann", "--reason", "topped up", "--yes")
    run("show", "a", "--payload", "--who", "bob")
    shown = run("log", "--since", "1h", "--json").json
    assert [(action["what"], action["who"], action["via"]) for action in shown["actions"]] == [
        ("view", "bob", "command line"),
        ("replay", "ann", "command line"),
    ]
    assert shown["actions"][1]["count"] == 2
    told = run("log").out
    assert "2 replayed" in told
    assert "payload of a" in told
    assert "Sekret" not in told
    assert run("log", "--what", "view", "--limit", "1", "--json").json["more"] is False
    assert "Nobody did anything" in run("log", "--who", "nobody").out


@pytest.mark.parametrize("who", ["", "  "])
def test_nothing_is_done_in_nobodys_name(operator, relay, who):
    letters(relay, "a", "b")
    relay.enqueue(payment(), key="c", not_before=timedelta(hours=1))
    acts = (
        lambda: operator.replay(relay.get("a"), who=who, reason="x"),
        lambda: operator.discard(relay.get("a"), who=who, reason="x"),
        lambda: operator.begin(operator.plan_many("discard"), who=who, reason="x"),
        lambda: operator.cancel(relay.get("c"), who=who),
        lambda: operator.payload(relay.get("a"), who=who),
        lambda: operator.pause_lane("refunds", who=who),
        lambda: operator.pause_target("default", who=who),
        lambda: operator.resume_lane("refunds", who=who),
        lambda: operator.recount(who=who),
        lambda: operator.upgrade(who=who),
        lambda: operator.upgrade_history(lambda: pytest.fail("it was done"), who=who),
        lambda: operator.history_off(who=who, reason="x"),
    )
    for act in acts:
        with pytest.raises(Refused, match="nobody's name"):
            act()
    assert (operator.actions(), operator.jobs()) == ((), ())
    assert [relay.get(key).state for key in "abc"] == ["dead", "dead", "ready"]
    for line in (("pause", "refunds"), ("dead", "replay", "--key", "a", "--yes", "--reason", "x"), ("dead", "summary")):
        ran = run(*line, "--who", who)
        assert (ran.code, "must name somebody" in ran.err) == (2, True)


def test_a_program_that_says_nobody_is_somebody_in_the_log(operator):
    operator.pause_lane("refunds", who="ann")
    operator.resume_lane("refunds")
    assert [action.who for action in operator.actions()] == ["somebody", "ann"]
