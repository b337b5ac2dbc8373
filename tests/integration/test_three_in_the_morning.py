"""The questions of somebody who is called at night, each answered by what one documented command shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from blnk_relay import Relay
from tests.support.cli import FUNDS, run
from tests.support.night import CAUSES, LEDGERS, REFUSED, Scene, a_minute_passes, bad_night, worth_of
from tests.support.stages import operator_of
from tests.support.waiting import wait_until


def ran(command: str, code: int = 0) -> str:
    """What a command shows to people."""
    done = run(*command.split())
    assert done.code == code, f"{command}: {done.out} {done.err}"
    return done.out


def verdict(shown: str, sort: str, *words: str) -> str:
    """The part of ``status`` about one verdict that has some words."""
    parts = re.split(r"\n(?=CRITICAL|WARNING|NOTICE)", shown.partition("\nopen  ")[0])
    [part] = [part for part in parts if sort in part.partition("\n")[0] and all(word in part for word in words)]
    return part


@pytest.fixture(
    scope="module", params=[60, pytest.param(2_000, marks=pytest.mark.long)], ids=["300 letters", "10,000 letters"]
)
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with bad_night(request.param, tmp_path_factory.mktemp("history")) as scene:
        yield scene


def test_what_is_wrong_and_since_when(scene: Scene) -> None:
    shown = ran("status")
    since = r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"
    refuses = verdict(shown, "target-refuses")
    assert refuses.startswith("CRITICAL")
    assert re.search(since, refuses)
    assert "refusing: " in refuses
    assert re.search(r"refused with \w+", refuses)
    died = verdict(shown, "worker-died")
    assert re.search(since, died)
    assert "1 worker left silently" in died
    late = verdict(shown, "oldest-open", "slow transactions")
    assert re.search(since, late)
    # It names the very one, with the command that shows it.
    command = re.search(r"> blnk-relay (show \w+ --target slow)", late)
    assert command
    assert "slow" in ran(command[1])
    assert verdict(shown, "lane-paused", "default refunds", "by mila: rates are wrong")
    for number, (dead_class, code, _) in enumerate(CAUSES):
        cause = verdict(shown, "dead-letters", f"{dead_class} with {code} ")
        assert re.search(since, cause), cause
        # One was closed by the colleague.
        assert f" {scene.letters - (number == 0):,} letters" in " ".join(cause.split()), cause
        assert f"> blnk-relay dead list --code {code} --kind transaction --target default" in cause
    # Worst first, and a check fails.
    severities = re.findall(r"^(CRITICAL|WARNING|NOTICE)", shown, re.MULTILINE)
    assert severities == sorted(severities, key=["CRITICAL", "WARNING", "NOTICE"].index)
    assert ran("status --check", 1)


def test_which_customers_orders_and_sums_are_affected(scene: Scene) -> None:
    shown = " ".join(ran("dead summary -o wide").split())
    for cause, (dead_class, code, way) in enumerate(CAUSES):
        # One was closed by the colleague.
        count = scene.letters - (cause == 0)
        worth = f"{worth_of(count)} EUR"
        assert re.search(rf"{count:,} {dead_class} {code} transaction \S+ \S+ \S+ \S+ {worth} {way}", shown), shown
        assert re.search(rf"{code} \(transaction\): the oldest are order-{cause}-\d+, ", shown), shown
        assert f"{count:,} orders, most of customer-{cause}-" in shown
    # And each by its name, its ends and its amount.
    listed = ran(f"dead list --code {FUNDS} --limit 10000 -o csv")
    assert set(re.findall(r"^order-0-\d+", listed, re.MULTILINE)) == {f"order-0-{n}" for n in range(1, scene.letters)}
    letter = ran("dead show order-0-1 --payload --who ann")
    assert all(word in letter for word in ("@world", "@shop", "EUR", "1050"))


def test_whether_it_is_safe_to_replay_and_what_that_will_do(scene: Scene) -> None:
    before = ran("dead summary")
    fresh = " ".join(ran(f"dead replay --code {FUNDS} --max 100000 --plan").split())
    assert f"{scene.letters - 1:,} sent under a new reference" in fresh
    assert f"{worth_of(scene.letters - 1)} EUR" in fresh
    doubtful = " ".join(ran("dead replay --code REFERENCE_CONFLICT --max 100000 --plan", 0).split())
    assert re.search(rf"{scene.letters:,} .*(left alone|refused)", doubtful), doubtful
    assert ran("dead summary") == before, "a plan changes nothing"


@pytest.mark.usefixtures("scene")
def test_what_a_colleague_did_last_night() -> None:
    shown = [line for line in ran("log --since 12h --who mila -o wide").splitlines() if "mila" in line]
    assert len(shown) == 2
    assert all("command line" in line for line in shown)
    assert all(word in shown[0] for word in ("discard", "letter order-0-0", "paid by hand"))
    assert all(word in shown[1] for word in ("pause", "lane refunds", "rates are wrong"))


def test_how_far_behind_it_is_and_whether_that_is_getting_better(scene: Scene) -> None:
    with Relay(scene.stage.settings) as relay:
        operator = operator_of(relay)
        for _ in range(6):
            a_minute_passes(relay, *LEDGERS)
        # The sweep keeps another one, from which on only the slow ledger ends something.
        wait_until(
            lambda: all(relay.journal(one).client.llen(relay.journal(one).key("samples")) > 1 for one in LEDGERS), 30
        )
        ended = operator.overview().open
        wait_until(lambda: operator.overview().open < ended, 30, "one more to end")
        a_minute_passes(relay, *LEDGERS)
    shown = ran("status")
    open_, rates = (
        re.search(r"^open +(\d+) intents", shown, re.MULTILINE),
        re.search(r"^in and out +(.*)$", shown, re.MULTILINE),
    )
    assert open_
    assert int(open_[1]) >= REFUSED
    assert re.search(r"^oldest of them +\d.* since it was accepted", shown, re.MULTILINE)
    assert rates
    assert "over 1 min" in rates[1]
    assert re.search(r"^empty in +(\d[\d.,]* (s|min|h|d)|it does not shrink)", shown, re.MULTILINE)


@pytest.mark.parametrize(
    "asked",
    [
        "--id {transaction}",
        "--reference paid-3",
        "--amount 70.03 --currency EUR",
        "--destination @wallet-3",
    ],
    ids=["id", "reference", "amount", "destination"],
)
def test_where_a_payment_is(scene: Scene, asked: str) -> None:
    shown = ran("find " + asked.format(transaction=scene.transaction) + " -o wide")
    rows = [line for line in shown.splitlines() if line.startswith("paid-")]
    assert len(rows) == 1, shown
    assert all(word in rows[0] for word in ("paid-3", "done", "applied", scene.transaction, "history"))
    assert "Looked in history" in shown


def test_which_workers_are_alive_and_how_one_is_stopped_gently(scene: Scene) -> None:
    """The last of all, for nobody works afterwards."""
    shown = ran("workers -o wide")
    [running] = [line for line in shown.splitlines() if " running " in line]
    assert f":{scene.alive.pid}:" in running
    [dead] = [line for line in shown.splitlines() if "fell silent at" in line]
    assert re.search(r"holding \d+ intents?; the first are .*; they are looked up at the ledger", dead)
    assert "1 worker alive" in shown
    told = ran(f"workers stop {running.split()[0]} --reason upgrade --who ann")
    assert "to stop." in told
    assert scene.alive.wait(60) == 0
    scene.stage.workers.remove(scene.alive)
    assert "0 workers alive" in ran("workers")
    assert "no worker serves this target" in ran("status")
