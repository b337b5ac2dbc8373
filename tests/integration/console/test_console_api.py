"""The API of the console says what it describes, and the same as the command line."""

from __future__ import annotations

import pytest

from blnk_relay import Write
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import letters, payment, run
from tests.support.console import at, post, rest
from worker.console.doors import API

pytestmark = pytest.mark.usefixtures("environment")


def test_what_the_api_says_is_as_it_is_described_and_as_the_command_line_has_it(relay, ann, script):
    letters(relay, "poor")
    relay.enqueue_many([Write(intent=payment(), key="first"), Write(intent=payment(), key="second", after=["first"])])
    post(script, "/lanes/lane/refunds/pause", reason="audit")
    post(script, "/lanes/target/default/pause", reason="audit")
    places = {"target": "default", "id": relay.get("poor").id, "sort": "lane", "name": "refunds", "what": "resume"}
    later = {"/find", "/targets/{name}/rebind", "/letters/{what}", "/jobs/{id}", "/jobs/{id}/stop", "/workers/{what}"}
    # What is done to journals as wholes needs a ledger and a database; test_console_caring.py has both.
    caring = ("/journals", "/history", "/audit", "/doctor", "/errands", "/kinds")
    doors = [door for door in API if not door.path.removeprefix("/api/v1").startswith(caring)]
    for door in (door for door in doors if door.path.removeprefix("/api/v1") not in later):
        path = door.path.removeprefix("/api/v1").format(**places | ({"what": "replay"} if "{id}" in door.path else {}))
        answer = script.get(f"/api/v1{path}") if door.method == "GET" else post(script, path, reason="a test")
        assert answer.status_code == 200, (path, answer.text)
        assert rest(door.about["out"], answer.json()) == {}, path
    post(script, "/lanes/target/default/resume")
    letters(relay, "poor-2")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 1.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    count = script.get("/api/v1/letters/discard?all=yes").json()["count"]
    job = post(script, "/letters/discard", all="yes", count=count, reason="x").json()["job"]
    told = {
        "/letters/{what}": script.get("/api/v1/letters/replay?class=rejected"),
        "/jobs/{id}": script.get(f"/api/v1/jobs/{job}"),
        "/jobs/{id}/stop": post(script, f"/jobs/{job}/stop"),
        "/workers/{what}": post(script, "/workers/quiet", name="web-1:42", reason="x"),
    }
    for path, answer in told.items():
        assert answer.status_code == 200, answer.text
        [door, *_] = [door for door in API if door.path == f"/api/v1{path}"]
        assert rest(door.about["out"], answer.json()) == {}, path
    described = script.get("/api/v1/openapi.json").json()
    assert set(described["paths"]) == {door.path for door in API}
    operations = [one for path in described["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(API)
    for one in operations:
        failures = {400, 401, 403, 404, 405, 409, 414, 421, 429, 500, 503, 504}
        assert {int(status) for status in one["responses"]} == {200, *failures}
    assert described["servers"] == [{"url": "/"}]
    pausing = described["paths"]["/api/v1/lanes/{sort}/{name}/{what}"]["post"]["requestBody"]["content"]
    assert "PauseWhy" in pausing["application/json"]["schema"]["$ref"]
    names = [one["name"] for one in described["paths"]["/api/v1/letters/{what}"]["get"]["parameters"]]
    assert "all" in names
    assert described["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    overview = run("status", "--json").json
    assert set(script.get("/api/v1/overview").json()) <= set(overview)
    assert script.get("/api/v1" + at(ann, "first")).json()["intent"] == run("show", "first", "--json").json["intent"]
    [action, *_] = script.get("/api/v1/actions").json()["actions"]
    assert action == run("log", "--json").json["actions"][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"reason": 1}',
        b'{"reason": "x", "reason": "y"}',
        b'{"reason": "\\ud800"}',
        b'{"reason": "' + b"x" * 501 + b'"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_object_of_ours_is_refused_by_the_api(relay, script, body):
    letters(relay, "poor")
    answer = script.session.post(
        f"{script.url}/api/v1/intents/default/{relay.get('poor').id}/replay",
        data=body,
        headers={"Content-Type": "application/json"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert relay.get("poor").state == "dead"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/api/v1/kinds", 405),
        ("POST", "/api/v1/kinds", 405),
        ("GET", "/api/v1/jobs/5f0c2a91/stop", 405),
        ("DELETE", "/api/v1/letters/replay", 405),
        ("PUT", "/api/v1/nothing", 404),
        ("DELETE", "/api/v2/kinds", 404),
        ("GET", "/api/v1/kinds?name=" + "a" * 9_000, 414),
        ("GET", "/api/v1/kinds", 421),
    ],
)
def test_what_cannot_be_asked_of_the_api_at_all_is_answered_in_json(script, method, path, status):
    host = {"Host": "elsewhere.example"} if status == 421 else {}
    answer = script.session.request(method, script.url + path, headers=host, timeout=30)
    assert answer.status_code == status
    assert answer.json()["error"]["status"] == status
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert bool(answer.headers.get("Allow")) == (status == 405)


def test_a_page_of_ours_may_use_the_api_with_its_session_and_its_token_alone(relay, ann):
    letters(relay, "poor")
    path = f"{ann.url}/api/v1/intents/default/{relay.get('poor').id}/replay"
    headers = {"Origin": ann.url, "Sec-Fetch-Site": "same-origin"}
    assert ann.session.post(path, json={"reason": "x"}, headers=headers, timeout=30).status_code == 403
    with_token = headers | {"X-Form-Token": ann.form_token()}
    form = ann.session.post(path, data={"reason": "x"}, headers=with_token, timeout=30)
    assert form.status_code == 400, "a form of another site cannot send JSON"
    assert ann.session.post(path, json={"reason": "x"}, headers=with_token, timeout=30).status_code == 200
