"""What is compared of two ledgers' words, and what a list of known differences may explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fidelity.comparing import ABSENT, Difference, Known, differences, judged, known_differences
from tests.fidelity.normal import normalised
from tests.fidelity.telling import Exchange

ONE, TWO = "txn_11111111-2222-4333-8444-555555555555", "txn_99999999-2222-4333-8444-555555555555"


def line(body: Any, *, asked: str = "GET /x", sent: str = "", loose: bool = False, blind: bool = False) -> Any:
    text = body if isinstance(body, str) else json.dumps(body)
    exchange = Exchange("step", asked, sent, 200, "application/json", "", text, loose)
    return normalised([exchange], "scene7", blind=blind)[0]["body"]


def test_ids_are_called_by_where_they_came_from():
    body = {"transaction_id": ONE, "reference": f"{ONE}_refund_q", "parent_transaction": TWO}
    assert line(body) == {
        "parent_transaction": "<step.parent_transaction>",
        "reference": "<step.reference>_refund_q",
        "transaction_id": "<step.reference>",
    }
    assert line({"transaction_id": ONE}, blind=True) == {"transaction_id": "<txn>"}


def test_times_are_told_by_their_kind_and_those_that_were_sent_stay():
    times = {"now": "2026-11-20T09:15:31.5Z", "never": "0001-01-01T00:00:00Z", "east": "2026-11-20T09:15:31+01:00"}
    assert line(times) == {"now": "<time>", "never": "<no time>", "east": "<time with an offset>"}
    assert line({"at": "2099-01-01T00:00:00Z"}, sent='{"at": "2099-01-01T00:00:00Z"}') == {"at": "2099-01-01T00:00:00Z"}


def test_numbers_are_compared_by_value_and_whole_ones_told_from_others():
    assert line('{"a": 1e-06}') == line('{"a": 0.000001}')
    assert line('{"a": 1.0}') != line('{"a": 1}')
    assert line('{"a": 123456789012345678901234567890}') == {"a": 123456789012345678901234567890}


def test_rows_without_an_order_are_put_into_one():
    rows = [{"reference": f"{name}.scene7", "transaction_id": id_} for name, id_ in (("b", ONE), ("a", TWO))]
    assert line(rows, loose=True) == line(rows[::-1], loose=True)
    assert line(rows) != line(rows[::-1])


def test_of_a_databases_error_only_what_can_be_relied_on_is_kept():
    details = {"Severity": "ERROR", "Code": "23505", "Constraint": "c", "Detail": "Key (x)=(secret)", "Line": "7"}
    assert line({"details": details}) == {"details": {"Severity": "ERROR", "Code": "23505", "Constraint": "c"}}


def test_what_is_no_json_is_kept_as_words():
    assert line("404 page not found") == "404 page not found"


def told(**body: Any) -> Any:
    return {"a/story": [{"step": "one", "status": 200, "body": body}]}


@pytest.mark.parametrize(
    ("core", "sandbox", "at", "values"),
    [
        (told(a=1), told(a=2), "body.a", (1, 2)),
        (told(a=1), told(a=True), "body.a", (1, True)),
        (told(a=1), told(a="1"), "body.a", (1, "1")),
        (told(a=1, b=2), told(a=1), "body.b", (2, ABSENT)),
        (told(a=[]), told(a=None), "body.a", ([], None)),
        (told(a=[{"b": 1}]), told(a=[{"b": 2}]), "body.a.0.b", (1, 2)),
        (told(a={}), told(a=[]), "body.a", ({}, [])),
    ],
)
def test_each_leaf_that_differs_is_a_difference(core, sandbox, at, values):
    (found,) = differences(core, sandbox)
    assert (found.at, (found.core, found.sandbox)) == (at, values)


def test_a_step_or_story_that_one_side_lacks_is_a_difference():
    two = {"a/story": [*told(a=1)["a/story"], {"step": "two", "status": 200, "body": None}]}
    assert [found.step for found in differences(two, told(a=1))] == ["two"]
    assert [(found.story, found.sandbox) for found in differences(told(a=1), {})] == [("a/story", ABSENT)]


def test_a_difference_that_is_listed_is_known_and_one_that_is_gone_is_said():
    listed = Known("because", "body.a", story="a/*", core="1")
    verdict = judged(told(a=1), told(a=2), [listed])
    assert (verdict.unknown, verdict.known[0][1], verdict.stale) == ((), listed, ())
    assert judged(told(a=3), told(a=2), [listed]).unknown == (Difference("a/story", "one", "body.a", 3, 2),)
    assert judged(told(a=2), told(a=2), [listed]).stale == (listed,)
    # What was not told at all, or comes and goes, is not missed.
    assert judged({}, {}, [listed]).stale == ()
    assert judged(told(a=2), told(a=2), [Known("because", "body.a", chance=True)]).stale == ()


def test_the_list_is_read_for_a_release(tmp_path: Path):
    path = tmp_path / "list.toml"
    path.write_text('[[difference]]\nat = "a"\nreason = "r"\nversions = ["0.15.2"]\n')
    assert [known.reason for known in known_differences("0.15.2", path)] == ["r"]
    assert known_differences("0.15.3", path) == ()


def test_each_listed_difference_says_why():
    listed = [known for version in ("0.15.2", "0.15.3", "0.15.4") for known in known_differences(version)]
    assert listed
    assert all(len(known.reason) > 40 for known in listed)
