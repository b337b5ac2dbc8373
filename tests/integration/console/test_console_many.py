"""Many letters at once in the console: planned, typed out, carried out by workers."""

from __future__ import annotations

import re

import pytest
import requests

from blnk_relay.journal.carrying import carry
from tests.support.cli import letters
from tests.support.console import hidden, post
from tests.support.visiting import Visitor, listening, readable
from worker.console.screens import jobs, many
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")


def test_many_letters_are_planned_typed_out_and_carried_out_by_workers(relay, ann, operator):
    letters(relay, *(f"poor-{number}" for number in range(7)))
    letters(relay, "refused", dead_class="refused", code="NO")
    told = ann.page("/problems")
    assert "rejected TXN_INSUFFICIENT_FUNDS transaction Letters 7 letters" in told
    assert "Worth 73.50 EUR" in told
    [path] = re.findall(r'href="(/letters/replay[^"]*TXN_INSUFFICIENT_FUNDS[^"]*)"', ann.get("/problems").text)
    path = path.replace("&amp;", "&")
    told = ann.page(path)
    assert "Replay 7 dead letters?" in told
    assert "7 sent under a new reference" in told
    assert "Type 7, the number of letters" in told
    assert "No worker is alive" in told
    for wrong, says in (("", "type the number"), ("six", "type the number"), ("6", "there are 7 letters now")):
        answer = fill_many(ann, path, count=wrong, reason="topped up")
        assert answer.status_code in (400, 409)
        assert says in readable(answer.text)
    assert "say why" in readable(fill_many(ann, path, count="7", reason="").text)
    assert operator.jobs() == ()
    # What dies after the plan was shown is not part of it.
    form = hidden(ann, path)
    letters(relay, "poor-late")
    answer = ann.post("/letters/replay", count="7", reason="topped up", **form)
    told = ann.said(answer)
    assert "Begun: replay of 7 letters." in told
    assert "running" in told
    while carry(relay.journal(), "host:1:a").more:
        pass
    told = ann.page(answer.headers["Location"])
    assert "done replay 7 letters" in told
    assert "Done 7" in told
    assert "Why topped up" in told
    assert "ann, console" in ann.page("/jobs")
    assert relay.get("poor-late").state == "dead"
    assert relay.get("poor-3").state == "ready"


def test_letters_that_are_narrowed_by_their_end_alone_can_be_acted_on(relay, ann):
    letters(relay, "a", "b")
    for until, title in (("2100-01-01T00:00:00Z", "Replay 2 dead letters?"), ("", "Replay 2 dead letters?")):
        [path] = re.findall(r'href="(/letters/replay[^"]*)"', ann.get(f"/letters?until={until}").text)
        assert title in ann.page(path.replace("&amp;", "&"))


def test_very_many_letters_are_counted_by_their_cause_until_each_was_looked_at(relay, ann, monkeypatch):
    monkeypatch.setattr(many, "AT_ONCE", 4)
    letters(relay, *(f"poor-{number}" for number in range(7)))
    letters(relay, "gone", dead_class="rejected", code="RARE")
    letters(relay, "odd", dead_class="partial", code="NOT_ALL")
    assert "Type 1, the number of letters" in ann.page("/letters/replay?code=RARE")
    told = ann.page("/letters/replay?all=yes")
    assert "Replay 9 dead letters?" in told
    assert "7 rejected TXN_INSUFFICIENT_FUNDS transaction sent again under a new reference" in told
    assert "1 partial NOT_ALL transaction left alone: part of it happened" in told
    assert "That is not counted here yet" in told
    assert "Type" not in told
    text = ann.get("/letters/replay?all=yes").text
    [path, same] = re.findall(r'(?:hx-get|href)="(/letters/replay[^"]*whole=yes[^"]*)"', text)
    assert path == same
    # What dies after the first page is no part of the plan.
    letters(relay, "late")
    path = path.replace("&amp;", "&")
    told = ann.page(path)
    assert "Replay 8 dead letters?" in told
    assert "Type 8, the number of letters" in told
    assert fill_many(ann, path, count="8", reason="topped up").status_code == 303


def fill_many(visitor: Visitor, path: str, **fields: str) -> requests.Response:
    return visitor.post(path.partition("?")[0], **hidden(visitor, path), **fields)


def test_a_job_can_be_stopped_from_another_browser_and_by_a_script(relay, mere, script, operator):
    letters(relay, *(f"poor-{number}" for number in range(4)))
    plan = script.get("/api/v1/letters/discard?all=yes").json()
    assert (plan["count"], plan["sums"]) == (4, {"EUR": "42"})
    job = post(script, "/letters/discard", all="yes", count=plan["count"], reason="paid by hand").json()["job"]
    assert "discard 4 letters" in mere.page(f"/jobs/{job}")
    assert "Stopped: what it has done stays done." in mere.said(
        mere.post(f"/jobs/{job}/stop", form_token=mere.form_token(), reason="wrong bank")
    )
    assert script.get(f"/api/v1/jobs/{job}").json()["jobs"][0]["state"] == "stopped"
    assert post(script, f"/jobs/{job}/stop", reason="again").status_code == 409
    assert [action.what for action in operator.actions()] == ["stop job", "begin"]


def test_more_than_an_operator_may_and_class_unknown_take_an_approver(relay, settings):
    letters(relay, "a", "b", "c")
    few = ConsoleSettings(port=0, token_rights=("operator",), most_at_once=2)
    with listening(relay.journals, few, bells=relay.bells) as house:
        visitor = house.let_in()
        assert "To replay more than 2 letters at once takes" in visitor.page("/letters/replay?all=yes")
        answer = visitor.post("/letters/replay", form_token=visitor.form_token(), all="yes", count="3", reason="x")
        assert answer.status_code == 403
        letters(relay, "lost", dead_class="unknown", code="VANISHED")
        assert "class unknown takes the right" in visitor.page("/letters/replay?class=unknown")
        assert "To discard dead letters takes" in visitor.page("/letters/discard?code=VANISHED")
        answer = visitor.get("/letters/replay")
        assert answer.status_code == 400
        assert "say which letters" in readable(answer.text)
    assert settings.lanes


def test_more_jobs_than_are_shown_are_said_to_be_there(relay, ann, script, operator, monkeypatch):
    monkeypatch.setattr(jobs, "MOST", 2)
    for number in range(3):
        letters(relay, f"poor-{number}")
        operator.begin(operator.plan_many("replay", kind="transaction"), who="ann", reason=f"reason {number}")
        while carry(relay.journal(), "host:1:a").more:
            pass
        told, document = ann.page("/jobs"), script.get("/api/v1/jobs").json()
        assert ("The newest 2 of those that go on" in told) == document["more"] == (number == 2)
    assert [one["reason"] for one in document["jobs"]] == ["reason 2", "reason 1"]
