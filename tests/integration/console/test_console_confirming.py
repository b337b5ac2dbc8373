"""Each act of the console done by hand in a real browser, with what has to be confirmed; and each refused there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import compile_path

from blnk_relay import Operator, Relay, Settings, Write
from blnk_relay.journal.workers import Sign, sign_of
from tests.support.browsing import Tab, started
from tests.support.cli import letters, payment
from tests.support.history import sqlite_url
from tests.support.secrecy import a_key
from tests.support.visiting import TOKEN, listening
from worker.console.doors import SCREENS
from worker.console.screens.chores import CHORES
from worker.console.settings import ConsoleSettings

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Those of a console that can do everything, but for its ledger, which is not there."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield replace(
            settings,
            base_url=f"http://127.0.0.1:{kept.getsockname()[1]}",
            instance_id="inst_new",
            token="t",  # noqa: S106 - of a test
            history_url=sqlite_url(tmp_path),
            encryption_keys=a_key("k1"),
        )


@pytest.fixture
def confirmed(relay: Relay) -> dict[str, tuple[str, str]]:
    """Where each act is confirmed, the button that does it, and what is said then, by what is done."""
    letters(relay, "poor", "lost", "many-1", "many-2")
    relay.enqueue_many([Write(intent=payment(), key="order-1")])
    relay.journals.of("default").rebind("cloud https://old.example inst_old", who="ann", reason="first")
    operator = Operator(relay.journals, relay.bells)
    operator.pause_lane("inflight", who="mila", reason="rates are wrong")
    relay.journal().sweep("web-1:42:abc 1.2.3 2", 600.0, sign_of(Sign(version="1.2.3", shape=2, pool="threads")))
    job = operator.begin(operator.plan_many("replay", code="TXN_INSUFFICIENT_FUNDS"), who="mila", reason="topped up")
    at = {key: f"/intents/default/{relay.get(key).id}" for key in ("poor", "lost", "order-1")}
    return {
        f"{at['poor']}/replay": ("Replay", "Replayed:"),
        f"{at['lost']}/discard": ("Discard", "Discarded:"),
        f"{at['order-1']}/cancel": ("Cancel", "Cancelled:"),
        "/letters/discard?all=yes": ("Discard 2 letters", "Begun: discard of 2 letters."),
        f"/jobs/{job}": ("Stop it", "Stopped: what it has done stays done."),
        "/lanes/lane/refunds/pause": ("Pause", "Paused lane refunds"),
        "/lanes/lane/inflight/resume": ("Resume", "Resumed lane inflight, paused by mila"),
        "/lanes/target/default/pause": ("Pause", "Paused target default"),
        "/lanes/target/default/resume": ("Resume", "Resumed target default"),
        "/targets/default/rebind": ("It is the same ledger: rebind", "Target default is cloud http://127.0.0.1"),
        "/workers/quiet?name=web-1:42:abc": ("Be quiet", "Told web-1:42:abc to be quiet"),
        "/workers/stop?all=yes": ("Stop", "Told web-1:42:abc to stop"),
        "/journals/default/upgrade": ("Upgrade", "Nothing to do for the journal of target default"),
        "/journals/default/recount": ("Recount", "accounted for"),
        "/journals/default/keys": ("Keys", "Nothing needs another key"),
        "/journals/default/renew": ("Renew", "put under the first key"),
        "/journals/default/history-off": ("Switch it off", "History of target default is off"),
        "/history": ("Upgrade its tables", "has revision 0002 now"),
        "/doctor": ("Check everything", "would break the promise"),
        "/audit": ("Begin", "running"),
    }


@pytest.fixture
def browser() -> Iterator[Any]:
    with started() as made:
        yield made


def fill(page: Any, **fields: str) -> None:
    """Fill in what there is to be filled in."""
    for name, value in fields.items():
        if page.locator(f"main [name={name}]:not([type=hidden])").count():
            page.fill(f"main [name={name}]", value)


def test_each_act_is_confirmed_and_done_by_hand(relay, browser, confirmed):
    with listening(relay.journals, bells=relay.bells) as house:
        tab = Tab(browser, house.url)
        tab.sign_in(TOKEN)
        for path, (button, says) in confirmed.items():
            page = tab.go(path)
            fill(page, reason="a test by hand", count="2" if button == "Discard 2 letters" else "1")
            page.locator("main").get_by_role("button", name=button, exact=True).click()
            page.wait_for_selector(f"main >> text={says}", timeout=60_000)
        # The audit finds no ledger, and is stopped where it is.
        page.locator("main").get_by_role("button", name="Stop it").click()
        page.wait_for_selector("main >> text=It is not through", timeout=60_000)
        assert tab.complaints == []
        tab.close()
    done = {one.what for one in Operator(relay.journals).actions() if one.via == "console"}
    assert done == {
        "replay", "discard", "cancel", "begin", "stop job", "pause", "resume", "rebind", "quiet", "stop",
        "renew keys", "history upgrade", "history off", "recount", "audit", "stop errand",
    }  # fmt: skip


def test_every_act_there_is_is_among_them(confirmed):
    sent = {path.partition("?")[0] for path in confirmed} | {"/history/upgrade", "/jobs/x/stop", "/errands/x/stop"}
    # The script of the night looks at payloads.
    sent.add("/intents/default/x/payload")
    for door in (door for door in SCREENS if door.method == "POST"):
        assert any(compile_path(door.path)[0].fullmatch(path) for path in sent), door.path
    assert {path.rpartition("/")[2] for path in sent if path.startswith("/journals/")} == {*CHORES, "history-off"}


def test_who_may_only_look_sees_what_it_takes_and_nothing_to_press(relay, browser, confirmed):
    with listening(relay.journals, ConsoleSettings(port=0, token_rights=("viewer",)), bells=relay.bells) as house:
        tab = Tab(browser, house.url)
        tab.sign_in(TOKEN)
        for path in confirmed:
            page = tab.go(path)
            assert page.locator("main form[method=post]").count() == 0, path
            if not path.startswith("/jobs/"):
                assert "right “" in page.inner_text("main"), path
        page = tab.go(next(iter(confirmed)).rpartition("/")[0])
        assert page.get_by_text("Show the payload").count() == 0
        assert tab.complaints == []
        tab.close()
    assert not [one for one in Operator(relay.journals).actions() if one.via == "console"]
