"""The questions of somebody who is called at night, each answered by what screens show, on the terminal's stage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from blnk_relay import Operator, Relay
from tests.support.browsing import Tab, started
from tests.support.cli import FUNDS
from tests.support.night import CAUSES, LEDGERS, REFUSED, Scene, a_minute_passes, bad_night, worth_of
from tests.support.stages import operator_of
from tests.support.visiting import TOKEN, listening
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

#: A time, as screens show it.
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with bad_night(2_000, tmp_path_factory.mktemp("history")) as scene:
        yield scene


@pytest.fixture(scope="module")
def relay(scene: Scene) -> Iterator[Relay]:
    with Relay(scene.stage.settings) as running:
        yield running


@pytest.fixture(scope="module")
def page(relay: Relay) -> Iterator[Any]:
    """A browser at the first screen, which may have had no reason to complain when all is over."""
    with started() as browser, listening(relay.journals, bells=relay.bells) as house:
        tab = Tab(browser, house.url)
        yield tab.sign_in(TOKEN)
        complaints = tab.complaints
        tab.close()
    assert complaints == []


@pytest.fixture(autouse=True)
def overview(page: Any) -> None:
    """Everybody begins at the first screen."""
    page.click(".brand")
    page.wait_for_selector("h1 >> text=Overview")


def note(page: Any, sort: str, *words: str) -> str:
    """What the first screen says of one verdict that has some words."""
    found = [" ".join(text.split()) for text in page.locator(".note", has_text=f": {sort}").all_inner_texts()]
    [one] = [text for text in found if all(word in text for word in words)]
    return one


def screen(page: Any, name: str) -> str:
    """Go to a screen by the menu, and read it."""
    page.click(f"nav >> text='{name}'")
    page.wait_for_selector(f"nav a[aria-current] >> text='{name}'")
    return read(page)


def read(page: Any) -> str:
    return " ".join(page.inner_text("main").split())


def test_what_is_wrong_and_since_when(page: Any, scene: Scene) -> None:
    refuses = note(page, "target-refuses")
    assert refuses.startswith("Critical")
    assert "refusing" in refuses
    assert re.search(rf"since {TIME} \(.* ago\)", refuses)
    assert re.search(r"refused with \w+", refuses)
    assert re.search(rf"since {TIME}", note(page, "worker-died", "1 worker left silently"))
    assert re.search(rf"since {TIME}", note(page, "oldest-open", "slow", "lane transactions"))
    oldest = [link.get_attribute("href") for link in page.locator("a", has_text="The oldest").all()]
    assert any(re.match(r"/intents/slow/\w+$", address) for address in oldest), oldest
    assert note(page, "lane-paused", "default, lane refunds", "by mila: rates are wrong")
    for number, (dead_class, code, _) in enumerate(CAUSES):
        cause = note(page, "dead-letters", f"{dead_class} with {code} ")
        assert re.search(rf"since {TIME}", cause), cause
        # One was closed by the colleague.
        assert f" {scene.letters - (number == 0):,} letters" in cause
        assert "What to do:" in cause
    # Worst first, and each leads to where it is gone after.
    severities = re.findall(r"(Critical|Warning|Notice): [a-z-]+", read(page))
    assert severities == sorted(severities, key=["Critical", "Warning", "Notice"].index)
    page.locator(".note", has_text=": dead-letters").locator("a").first.click()
    page.wait_for_selector("h1 >> text=Problems")


def test_which_customers_orders_and_sums_are_affected(page: Any, scene: Scene) -> None:
    screen(page, "Problems")
    told = {
        code: " ".join(page.locator("section", has_text=f"{dead_class} {code} transaction").inner_text().split())
        for dead_class, code, _ in CAUSES
    }
    for cause, (_, code, _) in enumerate(CAUSES):
        # One was closed by the colleague.
        count = scene.letters - (cause == 0)
        assert f"{count:,} letters" in told[code]
        assert f"{worth_of(count)} EUR" in told[code]
        assert f"{count:,} orders, most of customer-{cause}-" in told[code]
        assert re.search(rf"The oldest order-{cause}-\d+", told[code]), told[code]
    # And each by its name, its ends and its amount: personal data, which is noted.
    page.locator("section", has_text=FUNDS).get_by_text("Look at them").click()
    page.wait_for_selector("h1 >> text=Dead letters")
    page.locator("tbody a").first.click()
    page.wait_for_selector("text=A replay would be carried out")
    page.click("text=Show the payload")
    page.wait_for_selector("h2 >> text=Payload")
    assert all(word in read(page) for word in ("@world", "@shop", "EUR", "1050"))
    assert "payload of order-0-" in screen(page, "Action log")


def test_whether_it_is_safe_to_replay_and_what_that_will_do(page: Any, scene: Scene, relay: Relay) -> None:
    before = operator_of(relay).overview().dead
    screen(page, "Problems")
    page.locator("section", has_text=FUNDS).get_by_text("Replay them …").click()
    page.wait_for_selector("text=What happens")
    fresh = read(page)
    assert f"{scene.letters - 1:,} sent under a new reference" in fresh
    assert f"{worth_of(scene.letters - 1)} EUR" in fresh
    assert f"Type {scene.letters - 1}, the number of letters" in fresh
    screen(page, "Problems")
    doubtful = page.locator("section", has_text="REFERENCE_CONFLICT")
    assert "would be refused: " in " ".join(doubtful.inner_text().split())
    assert doubtful.get_by_text("Replay them …").count() == 0
    assert operator_of(relay).overview().dead == before, "a plan changes nothing"


def test_what_a_colleague_did_last_night(page: Any) -> None:
    screen(page, "Action log")
    page.fill("#who", "mila")
    page.fill("#since", "12h")
    page.keyboard.press("Enter")
    page.wait_for_url("**who=mila**")
    discard, pause = (" ".join(row.split()) for row in page.locator("tbody tr").all_inner_texts())
    assert all(word in discard for word in ("mila", "command line", "discard", "letter order-0-0", "paid by hand"))
    assert all(word in pause for word in ("mila", "command line", "pause", "lane refunds", "rates are wrong"))


def test_how_far_behind_it_is_and_whether_that_is_getting_better(page: Any, relay: Relay) -> None:
    operator = operator_of(relay)
    for _ in range(6):
        a_minute_passes(relay, *LEDGERS)
    wait_until(
        lambda: all(relay.journal(one).client.llen(relay.journal(one).key("samples")) > 1 for one in LEDGERS), 30
    )
    open_ = operator.overview().open
    wait_until(lambda: operator.overview().open < open_, 30, "one more to end")
    a_minute_passes(relay, *LEDGERS)
    page.reload()
    told = read(page)
    figures = dict(re.findall(r"([\d.,]+ ?[a-z]*) (open|age of the oldest|until nothing is open)", told))
    assert figures
    [still_open] = [number for number, name in figures.items() if name == "open"]
    assert int(still_open.replace(",", "")) >= REFUSED
    assert re.search(r"\d[\d.,]* (s|min|h|d) age of the oldest, since acceptance", told)
    assert re.search(r"(\d[\d.,]* (s|min|h|d)|it does not shrink) until nothing is open", told)
    assert re.search(r"In and out, a second .* 1 min .* In \d+\.\d\d .* Out \d+\.\d\d", told)


@pytest.mark.parametrize(
    "asked",
    [
        {"text": "{transaction}"},
        {"text": "paid-3"},
        {"amount": "70.03", "currency": "EUR"},
        {"destination": "@wallet-3"},
    ],
    ids=["id", "reference", "amount", "destination"],
)
def test_where_a_payment_is(page: Any, scene: Scene, asked: dict[str, str]) -> None:
    screen(page, "Find")
    for name, value in asked.items():
        page.fill(f"#{name}", value.format(transaction=scene.transaction))
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Looked in history")
    [row] = page.locator("tbody tr").all_inner_texts()
    assert all(word in row for word in ("paid-3", "done", "applied", scene.transaction, "history"))


def test_letters_are_replayed_and_the_page_follows_their_job(page: Any, scene: Scene, relay: Relay) -> None:
    screen(page, "Problems")
    page.locator("section", has_text="NOT_FOUND_IN_TIME").get_by_text("Replay them …").click()
    page.wait_for_selector("text=What happens")
    page.fill("#reason", "the ledger is back")
    page.fill("#count", str(scene.letters - 1))
    page.click("button.go")
    page.wait_for_selector(f"text=there are {scene.letters:,} letters now")
    page.go_back()
    page.fill("#reason", "the ledger is back")
    page.fill("#count", str(scene.letters))
    page.click("button.go")
    page.wait_for_url("**/jobs/*")
    page.wait_for_selector(".tag-good >> text=done", timeout=120_000)
    assert f"Done {scene.letters:,}" in read(page)
    assert Operator(relay.journals).actions(what="begin")[0].via == "console"


def test_which_workers_are_alive_and_how_one_is_stopped_gently(page: Any, scene: Scene) -> None:
    """The last of all, for nobody works afterwards."""
    told = screen(page, "Workers")
    assert re.search(rf"running \S+:{scene.alive.pid}:", told)
    assert re.search(r"fell silent at .*, holding \d+ intents?; they are looked up at the ledger", told)
    page.click("text=Stop …")
    page.fill("#reason", "upgrade")
    page.click("button.danger")
    page.wait_for_selector("text=to stop; it learns of it")
    assert scene.alive.wait(60) == 0
    scene.stage.workers.remove(scene.alive)
    page.click(".brand")
    page.wait_for_selector("text=no worker serves this target")
