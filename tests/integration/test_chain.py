"""A whole story in one call, over a ledger that spoils a fifth of all requests: exact, for every seed.

Create a ledger, two balances in it, pay in, hold, commit a part, void the rest, refund that part, tag the refund:
enqueued before any of it exists. Each seed has the ledger, its plan of faults and its books for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

import pytest

from blnk_relay import (
    Relay,
    Status,
    Write,
    commit_hold,
    create_balance,
    create_ledger,
    refund,
    result_of,
    transaction,
    update_metadata,
    void_hold,
)
from blnk_relay.intents.states import OPEN
from blnk_relay.sandbox import KINDS, Books, Faults, Options
from tests.support.counting import assert_exactly_once, states
from tests.support.stages import operator_of
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, TOKEN, Stage

#: Stories that are told, and kinds of faults that they meet at least.
FEW, MANY = (range(8), 12), (range(50), 20)

#: Stages that play side by side, each with a worker process of its own.
STAGES = 4

RATE = 0.2

#: Every fault but two: only the dates of a hold can be refused after it was made (contract §2.3), and it has none; and
#: what is too large is refused for good.
FAULTS = [name for name in KINDS if name not in {"400_with_effect", "413"}]

#: Delays beyond the patience of the client, lags and slowness of a fraction of a second.
SECONDS = {"delay_before": 1.2, "delay_after": 1.2, "read_lag": 0.5, "slow_apply": 0.7, "429_retry_after": 0.2}

#: A ledger that retries and recovers within a second what takes a real one minutes and hours (contract §3.1, §3.5).
LEDGER = Options(
    token=TOKEN,
    instance_id=INSTANCE,
    retry_scale=0.01,
    recovery_interval_s=0.5,
    recovery_threshold_s=0.5,
)

#: Silence is kept for longer than anything of that ledger's can go on unseen.
SETTINGS: dict[str, Any] = {
    "connect_timeout_s": 1.0,
    "read_timeout_s": 1.0,
    "sync_read_timeout_s": 1.0,
    "lease_s": 6.0,
    "confirm_first_s": 0.05,
    "confirm_max_s": 0.3,
    "read_lag_s": 1.2,
    "quiet_s": 1.0,
    "horizon_s": 6.0,
    "retry_base_s": 0.05,
    "retry_cap_s": 0.3,
    "probe_s": 0.2,
    "max_attempts": 60,
}

#: Of one chain; far above what any takes.
LIMIT_S = 90.0

PAID_IN, HELD, PART = 500_00, 120_00, 45_00
TAG = {"returned": {"parcel": 1, "whole": False}}


def chain(name: str) -> list[Write]:
    """Everything, under keys that begin with a name."""

    def balance(what: str) -> Any:
        return result_of(f"{name}-{what}", "balance_id")

    def moved(what: str, source: Any, destination: Any, amount: int, **more: Any) -> Any:
        return transaction(
            source=source,
            destination=destination,
            currency="EUR",
            precise_amount=amount,
            precision=100,
            description=what,
            reference=f"{name}-{what}",
            **more,
        )

    ledger = result_of(f"{name}-ledger", "ledger_id")
    return [
        Write(intent=create_ledger(name), key=f"{name}-ledger"),
        Write(intent=create_balance(ledger, "EUR"), key=f"{name}-wallet"),
        Write(intent=create_balance(ledger, "EUR"), key=f"{name}-shop"),
        Write(intent=moved("pay-in", f"@world-{name}", balance("wallet"), PAID_IN, allow_overdraft=True)),
        Write(
            intent=moved("hold", balance("wallet"), balance("shop"), HELD, inflight=True),
            after=[f"{name}-pay-in"],
        ),
        Write(intent=commit_hold(f"{name}-hold", precise_amount=PART), key=f"{name}-part"),
        Write(intent=void_hold(f"{name}-hold"), key=f"{name}-rest"),
        Write(intent=refund(f"{name}-hold"), key=f"{name}-refund", after=[f"{name}-rest"]),
        Write(intent=update_metadata(result_of(f"{name}-refund", "transaction_id"), TAG), key=f"{name}-tag"),
    ]


OUTCOMES = ["created", "created", "created", "applied", "held", "applied", "voided", "refunded", "updated"]


def play(seeds: Queue[int]) -> Counter[str]:
    """Play chains one after another on one stage, and compare the books of each; returns the faults met.

    Args:
        seeds: What is left to play, on this stage or on another.
    """
    met: Counter[str] = Counter()
    with Stage(options=LEDGER, settings=SETTINGS) as stage, Relay(stage.settings) as relay:
        stage.start_worker()
        operator = operator_of(relay)
        for seed in _taken(seeds):
            # A balance keeps its id for ever, and workers rely on it: each seed pays from a balance of its own.
            stage.sandbox.reset()
            plan = Faults.seeded(seed, RATE, kinds=FAULTS, read_rate=RATE, seconds=SECONDS)
            stage.sandbox.set_faults(plan)
            receipts = relay.enqueue_many(chain(f"chain-{seed}"))

            def ended(receipts: Any = receipts) -> bool:
                if any(gate.code == "QUEUE_BACKPRESSURE" for gate in operator.overview().gates):
                    # A full queue stops everything for 30 s (contract §5), unless a human knows better.
                    operator.resume_target("default")
                found = states(relay, receipts)
                return "dead" in found or OPEN.isdisjoint(found)

            wait_until(ended, LIMIT_S, f"chain {seed} to end", poll_s=0.05)
            statuses = [relay.get(receipt.id) for receipt in receipts]
            assert [status.outcome for status in statuses] == OUTCOMES, _story(relay, statuses)
            seen = stage.sandbox.requests_seen()
            stage.sandbox.set_faults(Faults.none())
            compare(seed, stage.sandbox.books())
            assert_exactly_once(relay, receipts, stage.sandbox)
            met.update(request.fault or "none" for request in seen)
            met[f"seed {seed}"] = sum(request.fault is not None for request in seen)
    return met


def _taken(seeds: Queue[int]) -> Iterator[int]:
    with suppress(Empty):
        while True:
            yield seeds.get_nowait()


def _story(relay: Relay, statuses: Sequence[Status]) -> str:
    """What became of a chain, for the one who reads a failure."""
    lines = []
    for status in statuses:
        lines.append(f"{status.key} {status.state} {status.outcome}{status.dead_class} {status.code} {status.message}")
        lines += [f"  {one.at:%T.%f} {one.what} {one.status} {one.code} {one.note}" for one in relay.history(status.id)]
    return "\n".join(lines)


def compare(seed: int, books: Books) -> None:
    """The books are what the chain comes to, to the last minor unit."""
    name = f"chain-{seed}"
    (ledger,) = (ledger for ledger in books.ledgers if ledger.ledger_id != "general_ledger_id")
    wallet, shop = (balance for balance in books.balances if balance.ledger_id == ledger.ledger_id)
    (world,) = (balance for balance in books.balances if balance.indicator == f"@world-{name}")
    assert len(books.balances) == 3
    assert ledger.name == name
    if books.rows_by_reference(f"{name}-hold")[0].source != wallet.balance_id:
        wallet, shop = shop, wallet
    sides = ("credit", "debit", "inflight_credit", "inflight_debit")
    assert {
        what: tuple(getattr(balance, side) for side in sides)
        for what, balance in (("world", world), ("wallet", wallet), ("shop", shop))
    } == {
        "world": (0, PAID_IN, 0, 0),
        "wallet": (PAID_IN + PART, PART, 0, 0),
        "shop": (PART, PART, 0, 0),
    }, seed
    assert books.sums == {"EUR": 0}
    moved = Counter(
        (row.effect.value, row.status.value, row.precise_amount) for row in books.rows if row.effect != "none"
    )
    assert moved == Counter(
        {
            ("apply", "APPLIED", PAID_IN): 1,
            ("hold", "INFLIGHT", HELD): 1,
            ("commit", "APPLIED", PART): 1,
            ("void", "VOID", HELD - PART): 1,
            ("apply", "APPLIED", PART): 1,
        }
    ), seed
    assert all(family == expected for family, expected in _families(name, books)), seed
    (tagged,) = (row for row in books.rows if "returned" in row.meta)
    assert (tagged.meta["returned"], tagged.precise_amount, tagged.source) == (TAG["returned"], PART, shop.balance_id)
    assert books.violations() == []


def _families(name: str, books: Books) -> Iterator[tuple[list[str], list[str]]]:
    """Statuses of each family of rows, and what they have to be; a row may be stored in one (contract §3.4 S3)."""
    (part,) = (row for row in books.rows if row.effect == "commit")
    for reference, final in (
        (f"{name}-pay-in", "APPLIED"),
        (f"{name}-hold", "INFLIGHT"),
        (f"{part.transaction_id}_refund", "APPLIED"),
    ):
        statuses = [row.status.value for row in books.rows_by_reference(reference)]
        yield statuses, (["QUEUED", final] if len(statuses) > 1 else [final])


@pytest.mark.parametrize(("told", "faults"), [FEW, pytest.param(*MANY, marks=pytest.mark.long)])
def test_a_chain_that_is_enqueued_in_one_go_comes_out_exact_for_every_seed(told: range, faults: int) -> None:
    seeds: Queue[int] = Queue()
    for seed in told:
        seeds.put(seed)
    with ThreadPoolExecutor(STAGES) as stages:
        met = sum(stages.map(play, [seeds] * STAGES), Counter[str]())
    assert all(met[f"seed {seed}"] > 0 for seed in told)
    for seed in told:
        del met[f"seed {seed}"]
    requests, spoilt = met.total(), met.total() - met["none"]
    assert 0.15 < spoilt / requests < 0.3, met
    assert len(met) - 1 > faults, met
