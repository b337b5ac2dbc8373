"""A bad night to be asked about, for whoever answers: in a terminal, or in a browser.

Letters that died of five causes, a ledger that refuses the credential, one that is slow, a worker that was killed, and
a colleague who has been there before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
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

#: Those that it is about: one that only letters are in, one that answers late, one that refuses the credential.
LEDGERS = ("default", "slow", "refusing")

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


@contextmanager
def bad_night(of_each: int, folder: Path) -> Iterator[Scene]:
    """Plays it up to the moment at which somebody is called.

    For as long as the block lasts the environment names its journals, so that commands and a console of this process
    find them; ``stage.console()`` starts one of its own.

    Args:
        of_each: How many letters of each cause.
        folder: Where history is kept.
    """
    url = sqlite_url(folder)
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
        for target in LEDGERS:
            relay.enqueue(payment(f"first-{target}"), key=f"first-{target}", target=target)
            operator.cancel(relay.get(f"first-{target}", target=target), who="test", reason="only to begin")
            assert relay.journal(target).sweep().swept
        bury(relay, of_each)
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
        yield Scene(stage, of_each, alive, found.status.transaction_id)
