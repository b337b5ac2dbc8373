"""What the API takes can be asked for and sent by hand as well: each of its fields is one of a page's form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from blnk_relay import Operator, Relay, Target
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import letters
from tests.support.history import sqlite_url
from tests.support.visiting import House, Visitor, listening
from worker.console.doors import API, SCREENS

pytestmark = pytest.mark.usefixtures("environment")

#: What an address takes that is asked for by another thing than a field.
LED_TO = {
    ("/intents", "after"): "Older",
    ("/letters", "after"): "Older",
    ("/actions", "after"): "Older",
    ("/kinds", "name"): "the name of each kind",
    ("/intents/{target}/{id}/payload", "seen"): "nothing is changed",
    ("/audit", "resume"): "a form of its own",
}

#: Pages of which one is about a few letters, which its address names.
MANY = "/letters/{what}"


@pytest.fixture
def two(settings, tmp_path) -> Iterator[Relay]:
    """Two ledgers, so that a page has to ask which is meant."""
    named = (Target(name="eu", instance_id="e"),)
    made = replace(settings, targets=named, base_url="http://127.0.0.1:1", instance_id="d", token="t")  # noqa: S106
    with Relay(replace(made, history_url=sqlite_url(tmp_path))) as running:
        yield running


@pytest.fixture
def house(two) -> Iterator[House]:
    with listening(two.journals, bells=two.bells) as made:
        yield made


def fields(visitor: Visitor, page: str, action: str = "") -> set[str]:
    """The names of the fields of those forms on a page that go to an address."""
    answer = visitor.get(page)
    assert answer.status_code == 200, (page, answer.status_code)
    forms = re.findall(r"<form([^>]*)>(.*?)</form>", answer.text.partition("<main")[2], re.DOTALL)
    found = [inner for outer, inner in forms if f'action="{action or page.partition("?")[0]}"' in outer]
    assert found, f"no form of {page} goes to {action or page}"
    return {name for inner in found for name in re.findall(r'name="([^"]+)"', inner)}


def taken(method: str, path: str) -> set[str]:
    """The names of what the API takes at an address, in its query or in what is sent."""
    [door] = [door for door in API if (door.method, door.path) == (method, f"/api/v1{path}")]
    schema = door.about.get("query" if method == "GET" else "body")
    return {field.data_key or name for name, field in schema().fields.items()} if schema else set()


def test_whatever_the_api_can_be_asked_for_a_page_has_a_field_for(ann):
    pages = {door.path for door in SCREENS if door.method == "GET" and "query" in door.about} - {MANY}
    assert len(pages) >= 5
    missing = {(page, name) for page in pages for name in taken("GET", page) - fields(ann, page)}
    assert missing == {one for one in LED_TO if one[0] in pages}


def test_what_an_address_is_narrowed_to_stays_when_its_form_is_sent_again(ann):
    narrowed = {"key": "k", "reference": "r", "ledger_id": "txn_1", "outcome": "applied", "text": "t"}
    text = ann.get("/find?" + "&".join(f"{name}={value}" for name, value in narrowed.items())).text
    for name, value in narrowed.items():
        [tag] = re.findall(rf'<input[^>]* name="{name}"[^>]*>', text)
        assert f'value="{value}"' in tag


def test_whatever_a_script_can_send_a_form_can(two, ann):
    letters(two, "poor", "lost")
    two.journals.of("default").rebind("cloud https://old.example inst_old", who="ann", reason="first")
    operator = Operator(two.journals, two.bells)
    job = operator.begin(operator.plan_many("replay", target="default"), who="mila", reason="topped up")
    for name in ("web-1:42:abc", "web-2:42:abc"):
        two.journal().sweep(f"{name} 1.2.3 2", 600.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    letter = f"/intents/default/{two.get('poor').id}"
    scope = "class=rejected&kind=transaction&code=TXN_INSUFFICIENT_FUNDS&target=default&since=1d&until=0s"
    pages = {
        "/intents/{target}/{id}/payload": [(letter, f"{letter}/payload")],
        "/intents/{target}/{id}/{what}": [(f"{letter}/discard", "")],
        MANY: [(f"/letters/replay?{scope}&all=yes", "")],
        "/jobs/{id}/stop": [(f"/jobs/{job}", f"/jobs/{job}/stop")],
        "/targets/{name}/rebind": [("/targets/default/rebind", "")],
        "/lanes/{sort}/{name}/{what}": [("/lanes/lane/refunds/pause", "")],
        "/workers/{what}": [("/workers/stop?all=yes", ""), ("/workers/stop?name=web-1:42:abc", "")],
        "/journals/{name}/history-off": [("/journals/default/history-off", "")],
        "/journals/{name}/{what}": [("/journals/default/renew", "")],
        "/history/upgrade": [("/history", "/history/upgrade")],
        "/audit": [("/audit", "")],
        "/doctor": [("/doctor", "")],
    }
    acts = {door.path for door in SCREENS if door.method == "POST"} - {"/errands/{id}/stop"}
    assert acts == set(pages)
    missing = set()
    for path, those in pages.items():
        shown = set().union(*(fields(ann, page, action) for page, action in those))
        missing |= {(path, name) for name in taken("POST", path) - shown}
    assert missing == {one for one in LED_TO if one[0] in pages and one[1] == "resume"}
