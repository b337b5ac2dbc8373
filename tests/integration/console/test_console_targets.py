"""A console of several targets: no condition is dropped, and what is done in some of them alone is said so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blnk_relay import Operator, Relay, Target, Write
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.settlement import Settlement
from tests.support.cli import FUNDS, payment
from tests.support.console import KEYS, post
from tests.support.visiting import House, Visitor, listening, readable
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def two(settings) -> Iterator[Relay]:
    """Two ledgers on one Redis, neither of which is called default."""
    made = replace(settings, targets=(Target(name="eu", instance_id="e"), Target(name="us", instance_id="u")))
    with Relay(made) as running:
        yield running


@pytest.fixture
def house(two) -> Iterator[House]:
    with listening(two.journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values())), bells=two.bells) as made:
        yield made


@pytest.fixture
def script(house) -> Visitor:
    return house.visitor(Authorization="Bearer all")


def letters(relay: Relay, target: str, number: int) -> None:
    relay.enqueue_many(
        [Write(intent=payment(), key=f"{target}-{at}", target=target) for at in range(number)],
    )
    journal = relay.journals.of(target)
    items = journal.claim("transactions", "tester", 1000).items
    fields = {"class": "rejected", "code": FUNDS, "message": "No."}
    journal.settle("tester", [Settlement(item, "sending", "dead", fields=fields, log="") for item in items], ())


def test_a_condition_of_another_sort_or_name_is_refused_and_never_dropped(two, house, script):
    letters(two, "eu", 3)
    letters(two, "us", 2)
    for wrong in (
        {"kind": "transaction", "target": ["us"]},
        {"target": "eu", "code": 404},
        {"target": "eu", "clas": "rejected"},
    ):
        answer = post(script, "/letters/discard", count=1, reason="x", **wrong)
        assert answer.status_code == 400, answer.text
    for path in (
        "/letters?clas=unknown",
        "/letters?state=done",
        "/letters?key=eu-1",
        "/letters/replay?target=eu&cod=X",
    ):
        assert script.get(f"/api/v1{path}").status_code == 400, path
    ann = house.let_in()
    for path in ("/letters/discard?all=yes&", "/letters?", "/intents?", "/problems?", "/actions?", "/find?text=x&"):
        answer = ann.get(f"{path}targt=us")
        assert answer.status_code == 400, path
        assert "'targt' is not taken here" in readable(answer.text)
    assert script.get("/api/v1/letters?target=us").json()["more"] is False
    assert post(script, "/letters/discard", all=True, count=5, reason="x").json()["count"] == 5


def test_what_stands_behind_the_question_mark_of_an_act_is_refused(two, script):
    letters(two, "eu", 1)
    answer = post(script, "/letters/discard?target=us", all="yes", count=1, reason="x")
    assert answer.status_code == 400
    assert two.get("eu-0", target="eu").state == "dead"


@pytest.mark.parametrize("absent", ["eu", "us"])
def test_a_lane_is_paused_and_resumed_where_it_can_be_and_it_is_said_where_not(two, tmp_path, absent):
    there = "us" if absent == "eu" else "eu"
    targets = tuple(
        replace(one, redis_url=f"unix://{tmp_path}/nothing") if one.name == absent else one
        for one in two.settings.targets
    )
    journals = Journals(replace(two.settings, targets=targets))
    with listening(journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values())), bells=two.bells) as house:
        script = house.visitor(Authorization="Bearer all")
        lane = two.settings.lanes[0]
        for what, done in (("pause", "paused"), ("resume", "resumed")):
            answer = post(script, f"/lanes/lane/{lane}/{what}", reason="audit")
            assert answer.status_code == 503
            assert f"lane {lane} is {done} in {there}; {absent} was not reached" in answer.json()["error"]["message"]
            depths = {(one.target, one.lane): one.paused for one in Operator(two.journals).overview().lanes}
            assert depths.get((there, lane), False) is (what == "pause")
    journals.close()


def test_a_key_is_looked_for_in_all_targets_where_none_is_named(two, house, script):
    for target, key in (("eu", "order-eu"), ("eu", "order-both"), ("us", "order-both")):
        two.enqueue(payment(), key=key, target=target)
    ann = house.let_in()
    only = two.get("order-eu", target="eu").id
    assert ann.get("/intents?key=order-eu").headers["Location"] == f"/intents/eu/{only}"
    assert ann.get(f"/intents?key={only}").headers["Location"] == f"/intents/eu/{only}"
    assert re.search(r"order-both eu .*order-both us ", ann.page("/intents?key=order-both"))
    found = script.get("/api/v1/intents?key=order-both").json()["intents"]
    assert [one["target"] for one in found] == ["eu", "us"]
    assert [one["target"] for one in script.get("/api/v1/intents?key=order-both&target=us").json()["intents"]] == ["us"]
    for path in ("/intents?key=nope", "/intents?key=order-eu&target=us"):
        assert ann.get(path).status_code == 404


def test_a_key_that_is_not_found_where_one_can_look_is_not_said_to_be_nowhere(two, tmp_path):
    two.enqueue(payment(), key="order-eu", target="eu")
    targets = tuple(
        replace(one, redis_url=f"unix://{tmp_path}/nothing") if one.name == "us" else one
        for one in two.settings.targets
    )
    journals = Journals(replace(two.settings, targets=targets))
    with listening(journals, ConsoleSettings(port=0)) as house:
        ann = house.let_in()
        assert ann.get("/intents?key=order-eu").status_code == 303
        assert ann.get("/intents?key=nope").status_code == 503
    journals.close()


def test_a_key_or_an_id_that_is_found_is_told_with_the_targets_where_nobody_could_look(two, tmp_path):
    for target in ("eu", "us"):
        two.enqueue(payment(), key="order-both", target=target)
    two.enqueue(payment(), key="order-us", target="us")
    id_ = two.get("order-us", target="us").id
    gone = Target(name="gone", instance_id="g", redis_url=f"unix://{tmp_path}/nothing")
    eu, us = two.settings.targets
    journals = Journals(replace(two.settings, targets=(eu, gone, us)))
    with listening(journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values()))) as house:
        ann, script = house.let_in(), house.visitor(Authorization="Bearer all")
        for key, targets in (("order-both", ["eu", "us"]), ("order-us", ["us"]), (id_, ["us"])):
            answer = script.get(f"/api/v1/intents?key={key}").json()
            assert ([one["target"] for one in answer["intents"]], answer["away"]) == (targets, ["gone"])
        assert "Out of reach: gone" in readable(ann.page("/intents?key=order-both"))
        assert "There may be another with this key: gone was not reached." in ann.said(ann.get("/intents?key=order-us"))
        assert "not reached" not in ann.said(ann.get(f"/intents?key={id_}"))
    journals.close()
