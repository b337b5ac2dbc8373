"""What is seldom on a screen, for a checker of accessibility and on a phone: faults, refusals, what is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from blnk_relay import Operator, Refused, Relay, Settings, Target, Write
from blnk_relay.intents.exchange import GateAction
from blnk_relay.journal.carrying import carry
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.browsing import Tab, started
from tests.support.cli import die, letters, payment
from tests.support.history import made, sqlite_url
from tests.support.visiting import TOKEN, listening
from tests.support.waiting import wait_until
from worker.console.errands import Going
from worker.console.screens import many
from worker.console.settings import ConsoleSettings

pytestmark = [pytest.mark.usefixtures("environment"), pytest.mark.long, pytest.mark.timeout(600)]

SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as running:
        yield running


class Tabs:
    """A wide tab and one of a phone in a colour scheme, and in one of the two schemes a tab of a width between them."""

    def __init__(self, browser: Any, url: str, scheme: str) -> None:
        phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
        widths: list[dict[str, Any]] = [{}, phone]
        if scheme == "light":
            widths.append({"viewport": {"width": 700, "height": 900}})
        self.all = [Tab(browser, url, color_scheme=scheme, **width) for width in widths]

    def sign_in(self) -> None:
        for tab in self.all:
            tab.sign_in(TOKEN)

    def see(self, path: str, *words: str) -> None:
        """Look at a page that has some words."""
        for tab in self.all:
            tab.go(path)
            self.check(tab, path, *words)

    def check(self, tab: Tab, what: str, *words: str) -> None:
        told = tab.page.inner_text("body")
        for word in words:
            assert word in told, (what, word, told)
        assert tab.checked() == [], what
        assert tab.unfit() == [], what

    def close(self) -> None:
        complaints = [complaint for tab in self.all for complaint in tab.complaints]
        for tab in self.all:
            tab.close()
        assert complaints == []


@SCHEMES
def test_letters_that_are_being_counted_and_looked_at(relay, house, browser, monkeypatch, scheme):
    monkeypatch.setattr(many, "AT_ONCE", 2)
    letters(relay, *(f"poor-{number}" for number in range(4)))
    letters(relay, *(f"rare-{number}" for number in range(33)), code="NEVER_SEEN_BEFORE")
    for number in range(32):
        relay.enqueue(payment(), key=f"odd-{number}")
        die(relay, "partial", f"ODD_{number}")
    tabs = Tabs(browser, house.url, scheme)
    tabs.sign_in()
    held: list[Any] = []
    for tab in tabs.all:
        # The plan that the page asks for is not there yet.
        tab.page.route("**/letters/*whole=yes*", lambda route: held.append(route))  # noqa: PLW0108 - it counts parameters
    for what in ("replay", "discard"):
        tabs.see(f"/letters/{what}?all=yes", "That is not counted here yet", "other cause")
    for route in held[-len(tabs.all) :]:
        route.continue_()
    for tab in tabs.all:
        tab.page.wait_for_selector("text=closed for good")
        tab.page.unroute("**/letters/*whole=yes*")
        page = tab.go("/letters/replay?all=yes")
        page.wait_for_selector("text=left alone: part of it happened")
        page.wait_for_selector("text=Type ")
        tabs.check(tab, "the plan that a page has asked for", "No worker is alive")
    tabs.close()


@pytest.fixture
def wrong(settings: Settings, tmp_path: Path) -> Iterator[Relay]:
    """Ledgers of which one is away, with a history."""
    targets = (Target(name="eu", instance_id="e"), Target(name="gone", redis_url=f"unix://{tmp_path}/nothing"))
    url = sqlite_url(tmp_path)
    made(url).close()
    settings = replace(settings, base_url="http://127.0.0.1:1", instance_id="d", token="t", targets=targets)  # noqa: S106
    with Relay(replace(settings, history_url=url, audit_window_s=600.0)) as running:
        yield running


def much_wrong(relay: Relay) -> dict[str, str]:
    """Whatever can be wrong at once; the addresses of some intents and of a job."""
    journal = relay.journal()
    letters(relay, *(f"poor-{number}" for number in range(4)))
    letters(relay, "lost", dead_class="unknown", code="VANISHED")
    relay.enqueue_many([Write(intent=payment(), key=key) for key in ("first", "open")])
    relay.enqueue_many([Write(intent=payment(), key="second", after=["first"])])
    relay.enqueue(payment(), key="elsewhere", target="eu")
    there = Operator(relay.journals, relay.bells)
    job = there.begin(there.plan_many("replay", code="TXN_INSUFFICIENT_FUNDS", target="default"), who="ann", reason="x")
    # Two of its letters are others by the time that somebody comes to them.
    for key in ("poor-0", "poor-1"):
        there.discard(relay.get(key), who="ben", reason="paid by hand")
    while carry(journal, "host:1:a").more:
        pass
    going = there.begin(there.plan_many("discard", code="VANISHED", target="default"), who="ann", reason="y")
    journal.change_gate("read", GateAction.PAUSE, "HTTP_401", 60)
    there.pause_target("eu", who="mila", reason="moving house")
    for name, version, unwell in (("web-1:42:abc", "1.2.3", "nothing is settled"), ("web-2:42:abc", "0.0.1", "")):
        sign = Sign(version=version, shape=2, pool="threads", unwell=unwell, lanes=("refunds",), connections=4, busy=1)
        journal.sweep(f"{name} {version} 2", 600.0, sign_of(sign))
    there.quiet("web-2:42:abc", who="mila", reason="moving house")
    now = journal.now_ms()
    # An hour of coming and going.
    for minute in range(50):
        at = now - (50 - minute) * 60_000
        journal.client.rpush(
            journal.key("samples"), json.dumps({"at": at, "accepted": minute * 30, "ended": minute * 20, "died": {}})
        )
    at = {
        key: f"/intents/default/{relay.get(key).id}" for key in ("poor-0", "poor-2", "lost", "first", "second", "open")
    }
    return at | {"job": f"/jobs/{job}", "going": f"/jobs/{going}"}


@SCHEMES
def test_what_is_wrong_away_and_under_way(wrong, browser, scheme):
    at = much_wrong(wrong)
    journal = wrong.journal()
    with listening(wrong.journals, bells=wrong.bells) as house:
        errands = house.console.errands

        def fails(_: Going) -> Any:
            raise Refused("another journal is copied there")

        failed = errands.begin("renew", "renew of target eu", fails, target="eu", who="ann", via="API")
        wait_until(lambda: errands.get(failed.id).over, 20, "its end")
        tabs = Tabs(browser, house.url, scheme)
        tabs.sign_in()
        tabs.see("/", "Critical", "Out of reach: gone")
        tabs.see("/lanes", "read paused", "target paused", "mila")
        tabs.see("/workers", "It is not well", "Versions are mixed", "Told to be quiet by mila", "Stop all")
        tabs.see("/jobs", "running")
        tabs.see(at["job"], "Refused")
        tabs.see(at["going"], "Stop it")
        tabs.see("/journals", "Out of reach: gone", "failed")
        tabs.see(f"/errands/{failed.id}", "another journal is copied there")
        tabs.see("/history", "Revision")
        tabs.see("/audit", "nobody can tell", "Which")
        tabs.see("/actions?what=replay,pause", "Only what history has")
        tabs.see("/intents?key=elsewhere", "elsewhere")
        tabs.see(at["second"], "It waits for")
        tabs.see(at["first"], "Waiting for it", "Show the payload")
        tabs.see("/find?outcome=applied&key=x&reference=y", "Nothing was found", "gone")
        tabs.see("/lanes/target/eu/resume", "It is paused by mila")
        tabs.see("/doctor", "Nobody has asked this console for it yet")
        tabs.see("/intents/gone/x", "cannot be reached")
        tabs.see("/letters/replay", "say which letters")
        tabs.see("/intents/default/nothing", "no intent is known")
        for tab in tabs.all:
            page = tab.go(at["first"])
            page.fill("main [name=reason]", "ticket 7")
            page.get_by_role("button", name="Show the payload").click()
            page.wait_for_selector("text=That you looked is in the action log")
            tabs.check(tab, "a payload")
            page = tab.go("/workers/stop?all=yes")
            page.fill("#reason", "x")
            page.fill("#count", "7")
            page.locator("main button").click()
            page.wait_for_selector("text=nobody was told")
            tabs.check(tab, "a refusal")
            page = tab.go(f"/lanes/lane/{wrong.settings.lanes[tabs.all.index(tab)]}/pause")
            page.fill("#reason", "x")
            page.locator("main button").click()
            page.wait_for_selector("text=was not reached")
            tabs.check(tab, "an act that was done in some targets")
        journal.client.hset(journal.key("ground"), "shape", "99")
        tabs.see("/", "journal-shape")
        tabs.close()


@SCHEMES
def test_who_may_only_look(relay, browser, scheme):
    letters(relay, "poor", "poor-2")
    relay.enqueue(payment(), key="open")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 600.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    poor, waits = (f"/intents/default/{relay.get(key).id}" for key in ("poor", "open"))
    with listening(relay.journals, ConsoleSettings(port=0, token_rights=("viewer",)), bells=relay.bells) as house:
        tabs = Tabs(browser, house.url, scheme)
        tabs.see("/signin", "It was printed when this console was started")
        for tab in tabs.all:
            tab.page.fill("#token", "wrong")
            tab.page.click("button.go")
            tab.page.wait_for_selector("[role=alert]")
            tabs.check(tab, "a wrong token")
        tabs.sign_in()
        tabs.see("/")
        for path in (
            f"{poor}/replay", f"{poor}/discard", f"{waits}/cancel", "/letters/discard?all=yes", "/doctor", "/audit",
            "/lanes/lane/refunds/pause", "/workers/stop?name=web-1:42:abc", "/journals/default/upgrade",
            "/journals/default/history-off",
        ):  # fmt: skip
            tabs.see(path, "which you do not have")
        tabs.close()


@SCHEMES
def test_nothing_is_there(relay, house, browser, scheme):
    sign = Sign(version="1.2.3", shape=2, pool="threads", lanes=tuple(relay.settings.lanes))
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 600.0, sign_of(sign))
    tabs = Tabs(browser, house.url, scheme)
    tabs.sign_in()
    for path, says in (
        ("/problems?kind=refund", "There are no dead letters like that"),
        ("/letters", "No dead letter is like that"),
        ("/jobs", "There are no jobs"),
        ("/actions", "Nobody did anything"),
    ):
        tabs.see(path, says)
    tabs.close()


@SCHEMES
def test_a_redis_that_is_away_and_a_way_in_from_elsewhere(settings, browser, tmp_path, scheme):
    journals = Journals(replace(settings, redis_url=f"unix://{tmp_path}/nothing"))
    with listening(journals) as house:
        tabs = Tabs(browser, house.url, scheme)
        tabs.sign_in()
        tabs.see("/letters", "Nothing is lost meanwhile")
        tabs.see("/", "journal-away")
        tabs.close()
        # The page that leads on from a link of another site is there for a moment: it is looked at as it was sent.
        text = requests.get(f"{house.url}/letters", headers={"Sec-Fetch-Site": "cross-site"}, timeout=30).text
        assert "One moment" in text
        text = text.replace('http-equiv="refresh"', 'name="refresh"')
        tabs = Tabs(browser, house.url, scheme)
        for tab in tabs.all:
            tab.page.route("**/moment", lambda route: route.fulfill(body=text, content_type="text/html"))
            tab.page.goto(f"{house.url}/moment", wait_until="domcontentloaded")
            tabs.check(tab, "a way in from elsewhere", "Go on to the console")
        tabs.close()
    provided = ConsoleSettings(
        port=0, sign_in="oidc", url="http://127.0.0.1", oidc_issuer="https://login.example", oidc_client_id="x",
        oidc_client_secret="y" * 24, viewers=("*",),
    )  # fmt: skip
    with listening(journals, provided) as house:
        tabs = Tabs(browser, house.url, scheme)
        tabs.see("/signin", "Sign in with your identity provider")
        tabs.close()
    journals.close()
