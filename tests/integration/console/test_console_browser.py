"""The console in a real browser: by keyboard and by hand, on a phone, in the dark, and with what comes from outside."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blnk_relay import Operator, Write
from blnk_relay.journal.carrying import carry
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.browsing import Tab, chromium, started
from tests.support.cli import die, letters, payment
from tests.support.forwarder import Forwarder
from tests.support.visiting import TOKEN, House, listening
from tests.support.waiting import wait_until
from worker.console.doors import SCREENS
from worker.console.errands import Going, Outcome

pytestmark = pytest.mark.usefixtures("environment")

LANES = ("inflight", "refunds", "transactions")

#: Where the pictures of README go, when they are to be taken anew: BLNK_RELAY_PICTURES=1.
PICTURES = Path(__file__).resolve().parents[3] / "docs" / "pictures"

HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>" autofocus onfocus=alert(3) x="\u202egpj.\x1b[2J'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as made:
        yield made


@pytest.fixture
def house(relay) -> Iterator[House]:
    chromium()
    with listening(relay.journals, bells=relay.bells) as made:
        yield made


@pytest.fixture
def open_tab(browser, house) -> Iterator[Callable[..., Tab]]:
    """Opens tabs; none of them may have had reason to complain."""
    opened: list[Tab] = []

    def opening(url: str = "", **options: Any) -> Tab:
        opened.append(Tab(browser, url or house.url, **options))
        return opened[-1]

    yield opening
    complaints = [complaint for tab in opened for complaint in tab.complaints]
    for tab in opened:
        tab.close()
    assert complaints == []


def errands_of(house: House) -> dict[str, str]:
    """One errand of each sort that shows something of its own, and one that goes on."""
    different = {"target": "default", "kind": "transaction", "intent": "x", "key": "order-1", "reference": "order-1"}
    different |= {"sort": "missing", "state": "done", "says": "done", "shows": "nothing", "advice": "find out why"}
    audit = {"first": [different], "differences": 2, "not_looked_at": {"gone": 1}, "trimmed": 1, "whole": True}
    finding = {
        "of": "target default",
        "looked_at": "Redis",
        "why": "a receipt may be lost",
        "link": "docs/production.md",
    }
    levels = ("ok", "warning", "failure", "unknown")
    doctor = {"findings": [finding | {"check": one, "level": one, "saw": one, "mend": "set it"} for one in levels]}
    use = {"intents": {"k1": 1_204}, "first": "k1", "plain": 3, "fingerprints": "k0", "tokens": "", "lacking": ["k0"]}
    found = {}
    for what, document in (("audit", audit), ("doctor", doctor), ("keys", {"targets": [use]})):
        outcome = Outcome("What came of it.", document, well=what == "keys")
        made = house.console.errands.begin(
            what, f"{what} of target default", lambda _, outcome=outcome: outcome, target="", who="ann", via="console"
        )
        wait_until(lambda id_=made.id: house.console.errands.get(id_).over, 20, "its end")
        found[f"errand {what}"] = f"/errands/{made.id}"

    def goes_on(going: Going) -> Outcome:
        going.step(1_204)
        going.pause(600)
        return Outcome("broken off", whole=False)

    made = house.console.errands.begin("renew", "renew of target default", goes_on, target="", who="ann", via="console")
    return found | {"errand that goes on": f"/errands/{made.id}"}


def populated(relay: Any, house: House) -> dict[str, str]:
    """Something on every screen; the addresses of all of them, by what they are."""
    operator = Operator(relay.journals, relay.bells)
    letters(relay, *(f"order-poor-{number}" for number in range(60)))
    letters(relay, "order-lost", dead_class="unknown", code="VANISHED")
    job = operator.begin(operator.plan_many("replay", code="VANISHED"), who="ann", reason="the ledger is back")
    while carry(relay.journal(), "host:1:a").more:
        pass
    letters(relay, "order-lost-2", dead_class="unknown", code="VANISHED")
    relay.enqueue_many(
        [
            Write(intent=payment(), key="order-first"),
            Write(intent=payment(), key="order-second", after=["order-first"]),
            *(Write(intent=payment(), key=f"order-{number}") for number in range(8)),
        ]
    )
    operator.pause_lane("refunds", who="ann", reason="the bank audits, ticket 4711")
    operator.discard(relay.get("order-poor-3"), who="ben", reason="paid by hand, ticket 4712")
    sign = Sign(version="0.1.0", shape=2, lanes=LANES, pool="threads", connections=16, busy=3)
    relay.journal().sweep("web-1:42:abc 0.1.0 2", 60.0, sign_of(sign))
    lost, first = relay.get("order-lost-2"), relay.get("order-first")
    found = {"signed out": "/signin", **errands_of(house)}
    for door in SCREENS:
        if door.method == "GET" and "{" not in door.path:
            found[door.path] = door.path
    found["open"] = f"/intents/default/{first.id}"
    found["dead"] = f"/intents/default/{lost.id}"
    found["replay"] = f"/intents/default/{lost.id}/replay"
    found["discard"] = f"/intents/default/{lost.id}/discard"
    found["cancel"] = f"/intents/default/{first.id}/cancel"
    found["pause"] = "/lanes/lane/inflight/pause"
    found["resume"] = "/lanes/lane/refunds/resume"
    found["quiet"] = "/workers/quiet?name=web-1:42:abc"
    found["stop"] = "/workers/stop?name=web-1:42:abc"
    found["many"] = "/letters/replay?code=TXN_INSUFFICIENT_FUNDS"
    found["many to discard"] = "/letters/discard?all=yes"
    found["job"] = f"/jobs/{job}"
    found["rebind"] = "/targets/default/rebind"
    found["all workers"] = "/workers/stop?all=yes"
    found["upgrade"] = "/journals/default/upgrade"
    found["keys"] = "/journals/default/keys"
    found["history off"] = "/journals/default/history-off"
    found["a kind"] = "/kinds?name=transaction.bulk"
    found["found"] = "/find?text=order-lost-2"
    found["found nothing"] = "/find?text=nothing"
    found["nothing"] = "/nothing"
    found["empty"] = "/intents?state=cancelled"
    return found


def test_somebody_signs_in_finds_a_letter_and_replays_it_by_keyboard_alone(relay, open_tab):
    letters(relay, "order-poor")
    tab = open_tab()
    page = tab.sign_in(TOKEN)
    assert TOKEN not in page.url
    assert page.evaluate("history.length") <= 2, "the address with the token is not gone back to"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    _tab_to(page, "Dead letters")
    page.keyboard.press("Enter")
    page.wait_for_url("**/letters")
    _tab_to(page, "order-poor")
    page.keyboard.press("Enter")
    page.wait_for_url("**/intents/default/*")
    _tab_to(page, "Replay …")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=What will happen")
    _tab_to(page, "", tag="TEXTAREA")
    page.keyboard.type("the wallet was topped up")
    _tab_to(page, "Replay")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Replayed: sent again under a new reference")
    assert relay.get("order-poor").state == "ready"
    assert tab.checked() == []


def _tab_to(page: Any, text: str, tag: str = "") -> None:
    """Press Tab until something has the focus, which has to show."""
    for _ in range(120):
        page.keyboard.press("Tab")
        found = page.evaluate("[document.activeElement.textContent.trim(), document.activeElement.tagName]")
        if (tag and found[1] == tag) or (not tag and found[0] == text):
            shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert shown != "none", f"{text} has the focus, and it does not show"
            return
    raise AssertionError(f"{text or tag} cannot be reached by Tab")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_finds_nothing_on_any_screen_and_each_fits_a_phone(relay, house, open_tab, scheme):
    addresses = populated(relay, house)
    wide = open_tab(color_scheme=scheme)
    phone = open_tab(color_scheme=scheme, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    for tab in (wide, phone):
        tab.go(addresses["signed out"])
        assert tab.checked() == []
        tab.sign_in(TOKEN)
    for name, address in addresses.items():
        for tab in (wide, phone):
            tab.go(address)
            assert tab.checked() == [], (name, scheme)
            assert tab.unfit() == [], f"{name}, {scheme}: what does not fit, or a finger does not hit"


@pytest.mark.long
def test_a_page_follows_what_happens_rests_when_nobody_looks_and_comes_back(relay, house, open_tab):
    letters(relay, "order-1")
    forwarder = Forwarder(int(house.url.rpartition(":")[2]))
    try:
        tab = open_tab(f"http://127.0.0.1:{forwarder.port}")
        page = tab.sign_in(TOKEN)
        page = tab.go("/letters")

        def streams(number: int) -> None:
            found: list[int] = []

            def so_many() -> bool:
                found[:] = [house.console.pulse.streams]
                return found == [number]

            wait_until(so_many, 40, f"{number} streams, where there are {found or house.console.pulse.streams}")

        streams(1)
        page.evaluate("window.stays = true")
        letters(relay, "order-2")
        page.wait_for_selector("text=order-2")
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: true, configurable: true}); "
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        streams(0)
        letters(relay, "order-3")
        page.evaluate(
            "Object.defineProperty(document, 'hidden', {value: false, configurable: true}); "
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        page.wait_for_selector("text=order-3")
        streams(1)
        # The connection breaks, and what listens there is away for a moment.
        port = forwarder.port
        forwarder.cut()
        letters(relay, "order-4")
        page.wait_for_selector("text=order-4")
        assert forwarder.port == port
        assert page.evaluate("window.stays"), "the page was never loaded anew"
        tab.complaints = [one for one in tab.complaints if "ERR_" not in one and "network" not in one.lower()]
    finally:
        forwarder.stop()


@pytest.mark.long
def test_a_page_whose_session_has_ended_leads_to_signing_in_by_itself(relay, house, open_tab):
    letters(relay, "order-1")
    tab = open_tab()
    tab.sign_in(TOKEN)
    page = tab.go("/letters")
    wait_until(lambda: house.console.pulse.streams >= 1, 40, "a stream")
    house.console._keeper._sessions._known.clear()
    letters(relay, "order-2")
    page.wait_for_url("**/signin?onward=*")
    assert "Sign in to blnk-relay" in page.inner_text("main")


@pytest.mark.long
def test_two_operators_on_one_letter_and_the_second_is_told_of_the_first(relay, open_tab):
    letters(relay, "order-poor")
    address = f"/intents/default/{relay.get('order-poor').id}/replay"
    first, second = open_tab(), open_tab()
    for tab in (first, second):
        tab.sign_in(TOKEN)
        tab.go(address).fill("#reason", "topped up")
    first.page.click("button.go")
    first.page.wait_for_selector("text=Replayed:")
    second.page.click("button.go")
    second.page.wait_for_selector("text=it has changed since you looked")
    assert sum("replayed" in one.what for one in Operator(relay.journals).history(relay.get("order-poor"))) == 1


@pytest.mark.long
def test_hostile_text_runs_nowhere_and_moves_nothing(relay, open_tab):
    letters(relay, "order-poor")
    status = relay.get("order-poor")
    journal = relay.journals.of("default")
    journal.client.hset(
        journal.key(f"intent:{status.id}"), mapping=dict.fromkeys(("message", "code", "class", "lane", "txn"), HOSTILE)
    )
    tab = open_tab()
    tab.sign_in(TOKEN)
    for path in (f"/intents/default/{status.id}", "/letters", "/intents", f"/intents/default/{status.id}/discard"):
        page = tab.go(path)
        assert "<img src=x" in page.inner_text("main"), path
        assert "\u202e" not in page.inner_text("body")
    page.fill("#reason", HOSTILE)
    page.click("button.danger")
    page.wait_for_selector("text=Discarded:")
    page = tab.go("/actions")
    assert "<script>alert(2)" in page.inner_text("main")
    assert page.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.long
@pytest.mark.timeout(300)
def test_ten_thousand_letters_are_a_page_that_can_be_used(relay, open_tab):
    for start in range(0, 10_000, 1_000):
        relay.enqueue_many([Write(intent=payment(), key=f"order-{number}") for number in range(start, start + 1_000)])
        die(relay, "rejected", "TXN_INSUFFICIENT_FUNDS")
    tab = open_tab()
    tab.sign_in(TOKEN)
    page = tab.go("/letters")
    assert page.locator("tbody tr").count() == 50
    first = page.inner_text("tbody tr >> nth=0")
    page.click("a:has-text('Older')")
    page.wait_for_url("**after=*")
    assert page.locator("tbody tr").count() == 50
    assert page.inner_text("tbody tr >> nth=0") != first
    assert len(page.content()) < 200_000
    page.click("a:has-text('Newest')")
    page.wait_for_selector(f"text={first.split()[0]}")
    # What is counted of their cause is there at once, and the page asks for the plan itself.
    page = tab.go("/letters/replay?code=TXN_INSUFFICIENT_FUNDS")
    page.wait_for_selector("text=Type 10000")
    assert page.locator("h1").all_inner_texts() == ["Replay 10,000 dead letters?"]
    assert "not counted here yet" not in page.inner_text("main")
    page.fill("#reason", "topped up")
    page.fill("#count", "10000")
    page.click("button.go")
    page.wait_for_selector("text=Begun: replay of 10,000 letters.")


@pytest.mark.skipif(not os.environ.get("BLNK_RELAY_PICTURES"), reason="pictures are taken with BLNK_RELAY_PICTURES=1")
def test_pictures_for_the_readme(relay, house, open_tab):
    addresses = populated(relay, house)
    PICTURES.mkdir(exist_ok=True)
    for name, path, scheme in (("overview", "/", "light"), ("letter", addresses["dead"], "dark")):
        tab = open_tab(color_scheme=scheme, viewport={"width": 1280, "height": 720})
        tab.sign_in(TOKEN)
        page = tab.go(path)
        page.screenshot(path=PICTURES / f"console-{name}.png")
    assert re.search(r"console-\w+\.png", str(sorted(PICTURES.iterdir())))
