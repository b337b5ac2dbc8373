"""The questions of somebody who is called at night, each answered by what one documented command shows.

The scene: letters that died of five causes, a ledger that refuses the credential, one that is slow, a worker that was
killed, and a colleague who has been there before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from blnk_relay import Relay, Target, Write
from blnk_relay.sandbox import Options, Sandbox
from tests.support.cli import FUNDS, die, run
from tests.support.history import made, sqlite_url
from tests.support.payments import payment
from tests.support.stages import operator_of, slow
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, TOKEN, Stage, as_environment

#: What letters died of: class and code, and how a replay would go.
CAUSES = (
    ("rejected", FUNDS, "new reference"),
    ("refused", "TXN_INVALID_PRECISION", "same reference"),
    ("refused", "BALANCE_NOT_FOUND", "same reference"),
    ("unknown", "REFERENCE_CONFLICT", "is refused"),
    ("unknown", "NOT_FOUND_IN_TIME", "same reference"),
)

#: Payments that are through, and those that the slow ledger and the refusing one are asked for.
PAID, SLOW, REFUSED = 12, 600, 5

#: What each letter is worth.
AMOUNT = "10.50"

#: What is over goes from the journal at once, into history.
SETTINGS = {"retention_s": 0.5, "late_s": 1.0, "durability": "memory"}


@dataclass(frozen=True)
class Scene:
    """What is there to be asked about.

    Attributes:
        stage: With its workers.
        letters: How many of each cause.
        alive: Place of the worker that is alive, and its process.
        transaction: The ledger's id of ``paid-3``.
    """

    stage: Stage
    letters: int
    alive: Any
    transaction: str


def bury(relay: Relay, of_each: int) -> None:
    """Letters of all causes, by the scripts that bury."""
    for cause, (dead_class, code, _) in enumerate(CAUSES):
        for first in range(0, of_each, 500):
            numbers = range(first, min(first + 500, of_each))
            relay.enqueue_many(
                [
                    Write(
                        intent=payment(f"order-{cause}-{number}", precise_amount=1_050),
                        key=f"order-{cause}-{number}",
                        order_key=f"customer-{cause}-{number}",
                    )
                    for number in numbers
                ]
            )
            die(relay, dead_class, code)
    assert operator_of(relay).overview().dead == of_each * len(CAUSES)
    # Who buried them is no worker, and its end is no news.
    relay.journal().client.zrem(relay.journal().key("workers"), "tester")


def a_minute_passes(relay: Relay, *targets: str) -> None:
    """Samples of counters become a minute older, as if so much time had passed."""
    for target in targets:
        journal = relay.journal(target)
        name = journal.key("samples")
        for at, line in enumerate(journal.client.lrange(name, 0, -1)):
            sample = json.loads(line)
            journal.client.lset(name, at, json.dumps(sample | {"at": sample["at"] - 60_000}))


def worth_of(count: int) -> str:
    """What so many letters are worth, as people read it."""
    total = count * Decimal(AMOUNT)
    return f"{total:,.0f}" if total == int(total) else f"{total:,.2f}"


def samples(relay: Relay, target: str) -> int:
    """How many samples a journal keeps."""
    return int(relay.journal(target).client.llen(relay.journal(target).key("samples")))


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
    url = sqlite_url(tmp_path_factory.mktemp("history"))
    made(url).close()
    with ExitStack() as stack:
        stage: Stage = stack.enter_context(Stage(settings={**SETTINGS, "history_url": url}))
        boxes = [Sandbox(Options(token=TOKEN, instance_id=INSTANCE), plan) for plan in (slow(1.5), None)]
        for box in boxes:
            box.start()
            stack.callback(box.stop)
        targets = (
            Target(name="slow", base_url=boxes[0].url, instance_id=INSTANCE, token=TOKEN),
            Target(name="refusing", base_url=boxes[1].url, instance_id=INSTANCE, token="revoked"),  # noqa: S106
        )
        stage.settings = replace(stage.settings, targets=targets)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in as_environment(stage.settings).items():
            patch.setenv(name, value)
        relay = stack.enter_context(Relay(stage.settings))
        operator = operator_of(relay)
        # Somebody has worked here before anything died.
        for target in ("default", "slow", "refusing"):
            relay.enqueue(payment(f"first-{target}"), key=f"first-{target}", target=target)
            operator.cancel(relay.get(f"first-{target}", target=target), who="test", reason="only to begin")
            assert relay.journal(target).sweep().swept
        bury(relay, request.param)
        # What the colleague did last night.
        run("pause", "refunds", "--reason", "rates are wrong", "--who", "mila")
        run("dead", "discard", "--key", "order-0-0", "--reason", "paid by hand", "--who", "mila", "--yes")
        relay.enqueue_many(
            [Write(intent=payment(f"slow-{number}"), key=f"slow-{number}", target="slow") for number in range(SLOW)]
            + [
                Write(intent=payment(f"no-{number}"), key=f"no-{number}", target="refusing")
                for number in range(REFUSED)
            ]
        )
        doomed = stage.start_worker()
        wait_until(lambda: any(worker.in_hand for worker in operator.workers()), 60, "it to have work in hand")
        stage.kill_worker(doomed)
        alive = stage.start_worker()
        relay.enqueue_many(
            [
                payment(f"paid-{number}", precise_amount=7_000 + number, destination=f"@wallet-{number}")
                for number in range(PAID)
            ]
        )
        for number in range(PAID):
            assert wait_until(
                lambda: [one.status.outcome for one in operator.find(key=f"paid-{number}").found] == ["applied"],  # noqa: B023
                60,
                "the payments that nothing is wrong with",
            )
        wait_until(lambda: not operator.overview().done, 60, "all that is over to be in history alone")
        wait_until(lambda: {one.sort for one in operator.verdicts()} >= {"worker-died", "target-refuses"}, 60, "news")
        [found] = operator.find(key="paid-3").found
        yield Scene(stage, request.param, alive, found.status.transaction_id)


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
    assert verdict(shown, "lane-paused", "default refunds", "by mila: rates are wrong")
    for dead_class, code, _ in CAUSES:
        cause = verdict(shown, "dead-letters", f"{dead_class} with {code} ")
        assert re.search(since, cause), cause
        assert f"{scene.letters:,} letters" in " ".join(cause.split()), cause
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
        targets = ("default", "slow", "refusing")
        for _ in range(6):
            a_minute_passes(relay, *targets)
        # The sweep keeps another one, from which on only the slow ledger ends something.
        wait_until(
            lambda: all(relay.journal(one).client.llen(relay.journal(one).key("samples")) > 1 for one in targets), 30
        )
        ended = operator.overview().open
        wait_until(lambda: operator.overview().open < ended, 30, "one more to end")
        a_minute_passes(relay, *targets)
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
