"""What is sent to a door is what it takes, or it is refused: a filter that is dropped means more than was asked for."""

from __future__ import annotations

import pytest

from worker.console.asking import BadRequest
from worker.console.doors import API, SCREENS
from worker.console.taking import check

DOORS = {(door.method, door.path.removeprefix("/api/v1"), door.api): door for door in (*API, *SCREENS)}


def door(method, path, *, api=True):
    return DOORS[method, path, api]


@pytest.mark.parametrize(
    ("path", "document", "says"),
    [
        ("/letters/{what}", {"target": ["us"]}, "target: "),
        ("/letters/{what}", {"code": 404}, "code: "),
        ("/letters/{what}", {"kind": None}, "kind: "),
        ("/letters/{what}", {"clas": "unknown"}, "'clas' is not taken here; there are: class, kind, code, target"),
        ("/letters/{what}", {"all": "maybe"}, "all: "),
        ("/letters/{what}", {"all": 2}, "all: "),
        ("/lanes/{sort}/{name}/{what}", {"target": "eu"}, "'target' is not taken here; there are: reason"),
        ("/journals/{name}/{what}", {"reason": "x"}, "'reason' is not taken here; there are: nothing"),
    ],
)
def test_what_a_body_has_and_a_door_does_not_take_is_named(path, document, says):
    with pytest.raises(BadRequest) as error:
        check(door("POST", path), (), document)
    assert str(error.value).startswith(says)


@pytest.mark.parametrize("all_", [True, "yes"])
def test_all_may_be_said_as_json_and_as_a_form_says_it(all_):
    for path in ("/letters/{what}", "/workers/{what}"):
        check(door("POST", path), (), {"all": all_, "count": 3, "reason": "x"})


@pytest.mark.parametrize(
    ("path", "query", "says"),
    [
        ("/letters", [("clas", "unknown")], "'clas' is not taken here"),
        ("/letters", [("state", "done")], "'state' is not taken here"),
        ("/letters", [("key", "order-1")], "'key' is not taken here"),
        ("/letters", [("target", "eu"), ("target", "us")], "'target' is given twice"),
        ("/lanes", [("target", "eu")], "'target' is not taken here; there are: nothing"),
        ("/letters/{what}", [("targt", "eu"), ("all", "yes")], "'targt' is not taken here"),
        ("/letters/{what}", [("all", "no way")], "all: "),
    ],
)
def test_what_a_query_has_and_a_door_does_not_take_is_named(path, query, says):
    with pytest.raises(BadRequest) as error:
        check(door("GET", path), query, {})
    assert str(error.value).startswith(says)


def test_what_stands_behind_the_question_mark_does_not_narrow_what_is_sent():
    with pytest.raises(BadRequest, match="'target' is not taken here"):
        check(door("POST", "/letters/{what}"), [("target", "us")], {"all": True, "count": 1, "reason": "x"})


def test_a_page_that_acts_on_many_takes_nothing_else_either():
    with pytest.raises(BadRequest, match="'clas' is not taken here"):
        check(door("GET", "/letters/{what}", api=False), [("clas", "unknown"), ("all", "yes")], {})
    form = {"class": "unknown", "count": "1,234", "reason": "x", "form_token": "x"}
    check(door("POST", "/letters/{what}", api=False), (), form)
    with pytest.raises(BadRequest, match="'clas' is not taken here"):
        check(door("POST", "/letters/{what}", api=False), (), form | {"clas": "unknown"})
