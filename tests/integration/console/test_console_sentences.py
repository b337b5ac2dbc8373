"""A walk through all screens and errands: none speaks of the command line, but where a page says it shows a command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from blnk_relay import Relay, Write
from blnk_relay.intents.exchange import GateAction
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.cli import commands, letters, payment, run
from tests.support.console import KEYS, post
from tests.support.history import sqlite_url
from tests.support.visiting import House, Visitor, listening, readable
from tests.support.waiting import wait_until
from worker.console.doors import API, SCREENS
from worker.console.screens import chores
from worker.console.screens.chores import CHORES
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")

#: An option, or a command: that of a program with no door, such as a worker's, too.
TERMINAL = re.compile(rf"(?<![\w-])--[a-z]|\bblnk-relay (?:{'|'.join(sorted({path[0] for path in commands()}))})\b")

#: Fields of the API that are described as commands of a terminal.
COMMANDS = {"remedy", "mend"}


def words_of(html: str) -> str:
    """What a page says, without what it shows as a command."""
    return readable(re.sub(r'<code class="command">.*?</code>', "", html, flags=re.DOTALL))


def texts_of(document: Any, name: str = "") -> Iterator[str]:
    """All texts of a document but for commands."""
    match document:
        case dict():
            for key, value in document.items():
                yield from texts_of(value, key)
        case list():
            for value in document:
                yield from texts_of(value, name)
        case str() if name not in COMMANDS:
            yield document


@pytest.fixture
def house(settings, tmp_path) -> Iterator[House]:
    """A console with a database of history that has no tables yet, and a ledger that is not there."""
    ours = replace(settings, history_url=sqlite_url(tmp_path), base_url="http://127.0.0.1:9")
    ours = replace(ours, instance_id="inst_x", token="blnk_x")  # noqa: S106 - of a test
    with (
        Relay(ours) as with_history,
        listening(
            with_history.journals, ConsoleSettings(port=0, api_keys=tuple(KEYS.values())), bells=with_history.bells
        ) as made,
    ):
        yield made


def much_wrong(relay: Relay) -> dict[str, str]:
    """Letters, chains, pauses, a worker that is not well; the ids of some intents."""
    letters(relay, *(f"poor-{number}" for number in range(101)))
    letters(relay, "lost", dead_class="unknown", code="VANISHED")
    chain = [Write(intent=payment(), key="second", after=["first"]), Write(intent=payment(), key="third")]
    relay.enqueue_many([Write(intent=payment(), key="first"), *chain])
    relay.enqueue(payment(), key="later", not_before=timedelta(hours=1))
    journal = relay.journal()
    sign = Sign(version="0.0.1", shape=2, pool="threads", unwell="nothing is settled")
    journal.sweep("web-1:42:abc 0.0.1 2", 60.0, sign_of(sign))
    # The same acts in a terminal, of which the log and the jobs tell here.
    assert run("pause", "refunds", "--reason", "the bank audits").code == 0
    why = ("--reason", "topped up", "--yes")
    assert run("dead", "replay", "--code", "TXN_INSUFFICIENT_FUNDS", *why).code == 0
    assert run("dead", "discard", "--key", "poor-1", "--max", "5", *why).code == 0
    assert run("dead", "replay", "--class", "rejected", "--since", "1h", "--max", "3", *why).code == 0
    return {key: relay.get(key).id for key in ("lost", "first", "second", "poor-2")}


def over(script: Visitor, id_: str) -> bool:
    [errand] = script.get(f"/api/v1/errands/{id_}").json()["errands"]
    return errand["state"] != "running"


def test_no_screen_no_errand_and_no_answer_speaks_of_the_command_line(relay, house, monkeypatch):
    ann, script = house.let_in(), house.visitor(Authorization="Bearer all")
    ids = much_wrong(relay)
    job = script.get("/api/v1/jobs").json()["jobs"][0]["id"]
    monkeypatch.setattr(chores, "PATIENCE_S", 0.0)
    # The audit comes to a shut gate.
    relay.journal().change_gate("read", GateAction.PAUSE, "HTTP_401", 60)
    asked = [("/audit", {"since": "1h", "rate": 1_000}), ("/doctor", {})]
    asked += [(f"/journals/default/{what}", {}) for what in CHORES]
    errands = []
    for path, document in asked:
        errands.append(post(script, path, **document).json()["errands"][0]["id"])
        wait_until(lambda id_=errands[-1]: over(script, id_), 40, f"the end of {path}")
    places = {
        "/intents/{target}/{id}": [f"/intents/default/{id_}" for id_ in ids.values()],
        "/intents/{target}/{id}/{what}": [f"/intents/default/{ids['lost']}/replay"],
        "/letters/{what}": ["/letters/replay?all=yes", "/letters/discard?all=yes", "/letters/discard"],
        "/jobs/{id}": [f"/jobs/{job}"],
        "/lanes/{sort}/{name}/{what}": ["/lanes/lane/refunds/resume", "/lanes/target/default/pause"],
        "/workers/{what}": ["/workers/stop?all=yes"],
        "/targets/{name}/rebind": ["/targets/default/rebind"],
        "/journals/{name}/history-off": ["/journals/default/history-off"],
        "/journals/{name}/{what}": [f"/journals/default/{what}" for what in CHORES],
        "/errands/{id}": [f"/errands/{id_}" for id_ in errands],
    }
    more = ["/find?text=poor-2", "/kinds?name=transaction.bulk", "/letters?code=VANISHED", "/nothing"]
    assert "It is not through: reads of target default are paused (HTTP_401): go on with it" in ann.page("/audit")
    walked = 0
    for shape in ("", "1>2", "99"):
        if shape:
            relay.journal().client.hset(relay.journal().key("ground"), "shape", shape)
        for door in (*SCREENS, *API):
            if door.method == "GET":
                path = door.path.removeprefix("/api/v1")
                for place in [*places.get(path, [path]), *(more if path == "/" else ())]:
                    if door.api:
                        answer = script.get(f"/api/v1{place}")
                        told = " | ".join(texts_of(answer.json()))
                    else:
                        told = words_of(ann.get(place).text)
                    assert not TERMINAL.search(told), (shape, door.path, place, told)
                    walked += 1
    assert walked > 200
