"""The console as a program: how it begins and ends, its metrics and its health."""

from __future__ import annotations

import json
import re
import socket
from signal import SIGINT, SIGTERM
from subprocess import PIPE

import pytest
import requests

from tests.support.cli import letters, process, run
from tests.support.visiting import Visitor, listening
from tests.support.waiting import wait_until
from worker.console.serving import bound
from worker.console.settings import ConsoleSettings

pytestmark = pytest.mark.usefixtures("environment")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_the_demo_stays_open_with_a_console_when_it_is_asked_to():
    with process("demo", "--intents", "20", "--seed", "1", "--no-kill", "--stay", stdout=PIPE, text=True) as demo:
        told = ""
        while "signin#" not in told:
            line = demo.stdout.readline()
            assert line, told
            told += line
        url, _, token = re.search(r"(http://\S+)/signin#(\S+)", told)[0].partition("/signin#")
        visitor = Visitor(url)
        assert visitor.post("/signin", token=token).status_code == 303
        assert "Overview" in visitor.page("/")
        assert "wallets ledger.create done" in visitor.page("/intents?state=done")
        demo.send_signal(SIGINT)
        assert demo.wait(60) == 0
    with pytest.raises(requests.ConnectionError):
        visitor.get("/")


def test_the_console_says_where_it_is_and_ends_as_told():
    with process("console", "--port", "0", "--json", stdout=PIPE, text=True) as console:
        told = json.loads(console.stdout.readline())
        visitor = Visitor(told["url"])
        wait_until(lambda: visitor.get("/healthz").status_code == 200, 30, "the console to listen")
        assert visitor.post("/signin", token=told["sign_in"].partition("#")[2]).status_code == 303
        assert "Overview" in visitor.page("/")
        console.send_signal(SIGTERM)
        assert console.wait(30) == 0
    ran = run("console", "--host", "0.0.0.0")  # noqa: S104
    assert ran.code == 2
    assert "listen on 127.0.0.1, or set BLNK_RELAY_CONSOLE_SIGN_IN" in ran.err


def test_metrics_take_a_key_and_health_takes_none(relay, house, ann):
    letters(relay, "poor")
    stranger = house.visitor(Host="10.1.2.3:8571")
    assert stranger.get("/healthz").text == "This process is well.\n"
    assert stranger.get("/readyz").status_code == 200
    assert stranger.get("/metrics").status_code == 401
    scraper = house.visitor(Authorization="Bearer viewer", Host="10.1.2.3:8571")
    answer = scraper.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "blnk_relay" in answer.text
    assert ann.get("/metrics").status_code == 200
    with listening(relay.journals, ConsoleSettings(port=0, metrics_open=True)) as open_house:
        assert open_house.visitor().get("/metrics").status_code == 200


def test_no_answer_waits_for_the_browser_to_confirm_its_beginning():
    """Asyncio sends at once only on sockets that name their protocol; those that are accepted take it from this one."""
    with bound(ConsoleSettings(port=0)) as listening_at:
        assert listening_at.proto == socket.IPPROTO_TCP
