"""Each act is refused to whoever has the right below the one that it takes: by its page, its form and the API."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.routing import compile_path

from blnk_relay import Operator, Relay, Settings, Write
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import letters, payment
from tests.support.console import hidden, post
from tests.support.history import sqlite_url
from tests.support.secrecy import a_key
from tests.support.visiting import Visitor, listening, readable
from worker.console.doors import API, SCREENS
from worker.console.screens.chores import CHORES
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")

#: What somebody may who is let in with each right but the one that an act takes.
BELOW = {"operator": "viewer", "approver": "operator", "payload": "approver"}

MOST_AT_ONCE = 2


@pytest.fixture
def settings(settings: Settings, tmp_path: Any) -> Settings:
    """Those of a console that can do everything, but for its ledger, which is not there."""
    made = replace(settings, base_url="http://127.0.0.1:1", instance_id="inst_new", token="t")  # noqa: S106 - of a test
    return replace(made, history_url=sqlite_url(tmp_path), encryption_keys=a_key("k1"))


@pytest.fixture
def acts(relay: Relay) -> dict[str, tuple[str, dict[str, Any]]]:
    """The right that each act takes, and what is sent, by its address; something is there for each."""
    letters(relay, "poor", "poor-2", "poor-3")
    letters(relay, "few", code="FEW")
    letters(relay, "lost", dead_class="unknown", code="VANISHED")
    relay.enqueue_many([Write(intent=payment(), key="open")])
    operator = Operator(relay.journals, relay.bells)
    letters(relay, "odd", code="ODD")
    job = operator.begin(operator.plan_many("replay", code="ODD"), who="mila", reason="topped up")
    relay.journals.of("default").rebind("cloud https://old.example inst_old", who="ann", reason="first")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 600.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    at = {key: f"/intents/default/{relay.get(key).id}" for key in ("poor", "lost", "open")}
    why: dict[str, Any] = {"reason": "because"}
    return {
        f"{at['poor']}/payload": ("payload", why),
        f"{at['poor']}/replay": ("operator", why),
        f"{at['poor']}/discard": ("approver", why),
        f"{at['lost']}/replay": ("approver", why),
        f"{at['open']}/cancel": ("operator", why),
        "/letters/replay": ("approver", why | {"code": "TXN_INSUFFICIENT_FUNDS", "count": 3}),
        "/letters/replay?class": ("approver", why | {"class": "unknown", "count": 1}),
        "/letters/discard": ("approver", why | {"class": "unknown", "count": 1}),
        "/letters/replay?few": ("operator", why | {"code": "FEW", "count": 1}),
        f"/jobs/{job}/stop": ("operator", why),
        "/lanes/lane/refunds/pause": ("operator", why),
        "/lanes/lane/refunds/resume": ("operator", why),
        "/lanes/target/default/pause": ("operator", why),
        "/lanes/target/default/resume": ("operator", why),
        "/targets/default/rebind": ("approver", why | {"seen": "any thing"}),
        "/workers/quiet": ("operator", why | {"name": "web-1:42:abc"}),
        "/workers/stop": ("operator", why | {"all": "yes", "count": 1}),
        **{f"/journals/default/{name}": (chore.right.value, {}) for name, chore in CHORES.items()},
        "/journals/default/history-off": ("approver", why),
        "/history/upgrade": ("approver", {}),
        "/audit": ("operator", {"since": "1h"}),
        "/doctor": ("operator", {}),
        "/errands/nothing/stop": ("operator", {}),
    }


@pytest.fixture
def visitors(relay: Relay) -> Iterator[Callable[[str], tuple[Visitor, Visitor]]]:
    """Somebody in a browser and a script, both with a right."""
    with ExitStack() as stack:
        known: dict[str, tuple[Visitor, Visitor]] = {}

        def made(right: str) -> tuple[Visitor, Visitor]:
            if right not in known:
                key = f"script:{hashlib.sha256(b'key').hexdigest()}:{right}"
                ours = ConsoleSettings(port=0, token_rights=(right,), api_keys=(key,), most_at_once=MOST_AT_ONCE)
                house = stack.enter_context(listening(relay.journals, ours, bells=relay.bells, holder="ben"))
                known[right] = house.let_in(), house.visitor(Authorization="Bearer key")
            return known[right]

        yield made


def test_each_act_is_refused_below_its_right_by_page_form_and_api_and_changes_nothing(relay, acts, visitors):
    operator = Operator(relay.journals, relay.bells)
    before = operator.actions(), operator.overview().counts, operator.jobs()
    for address, (right, document) in acts.items():
        path = address.partition("?")[0]
        visitor, script = visitors(BELOW[right])
        # The same as it would be sent by a page that shows the form.
        form = {name: str(value) for name, value in document.items()} | {"form_token": visitor.form_token()}
        answer = visitor.post(path, **form)
        assert answer.status_code == 403, (address, readable(answer.text))
        assert right in readable(answer.text), address
        answer = post(script, path, **document)
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "NotAllowed"), (address, answer.text)
        assert repr(right) in answer.json()["error"]["message"]
        narrowed = {name: document[name] for name in ("class", "code", "name", "all") if name in document}
        page = f"{path}?{urlencode(narrowed)}"
        if visitor.get(page).status_code == 200 and right != "payload":
            assert f"“{right}”" in visitor.page(page), page
            assert "reason" not in hidden(visitor, page)
            assert "<textarea" not in visitor.get(page).text
    assert (operator.actions(), operator.overview().counts, operator.jobs()) == before


def test_every_act_there_is_is_refused_here(acts):
    sent = {address.partition("?")[0] for address in acts}
    for door in (door for door in (*SCREENS, *API) if door.method == "POST"):
        pattern = compile_path(door.path.removeprefix("/api/v1"))[0]
        assert any(pattern.fullmatch(path) for path in sent), door.path
