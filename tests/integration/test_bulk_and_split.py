"""Bulks and splits, real workers, a ledger that fails: every item and every leg is in the books once, or named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from blnk_relay import (
    DuplicateInBatch,
    Intent,
    KeyConflict,
    Leg,
    Refused,
    Relay,
    Status,
    Write,
    bulk_transactions,
    commit_hold,
    refund,
    split_transaction,
    transaction,
)
from blnk_relay.bell import Bells
from blnk_relay.journal.operator import Operator
from blnk_relay.sandbox import Faults, Rule
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

WAIT_S = 60.0
#: What the ledger may do unseen for minutes, and how long silence lasts: the sandbox needs a second for it.
IMPATIENT = {"horizon_s": 4.0, "read_lag_s": 1.0, "quiet_s": 0.5}
POST = {"method": "POST", "path": "/proxy/transactions"}


@pytest.fixture
def open_stage() -> Iterator[Any]:
    with ExitStack() as stack:

        def opened(faults: Any = None, workers: int = 1, **settings: Any) -> tuple[Stage, Relay]:
            stage = stack.enter_context(Stage(faults=faults, settings={**IMPATIENT, **settings}))
            stage.sandbox.fund("@sales", "EUR", 10_000_000)
            for _ in range(workers):
                stage.start_worker()
            return stage, stack.enter_context(Relay(stage.settings))

        yield opened


def fee(reference: str, source: str = "@sales") -> Intent:
    return transaction(
        source=source, destination="@fees", currency="EUR", amount=1, description="Fee", reference=reference
    )


def fees(count: int, name: str = "fee", poor: frozenset[int] = frozenset(), **flags: Any) -> Intent:
    return bulk_transactions([fee(f"{name}-{n}", "@poor" if n in poor else "@sales") for n in range(count)], **flags)


def sale(reference: str, **changes: Any) -> Intent:
    legs = [Leg("@shop", percent="66.67"), Leg("@agent", amount="1.50"), Leg("@owner", left=True)]
    given = {"source": "@sales", "destinations": legs, "amount": "10.01", "currency": "EUR", "description": "Sale"}
    return split_transaction(**{**given, "reference": reference, **changes})


def effects(stage: Stage, name: str) -> Counter[str]:
    """How often each reference moved money."""
    rows = (row for row in stage.sandbox.books().rows if row.reference.startswith(name) and row.effect == "apply")
    return Counter(row.reference.removesuffix("_q") for row in rows)


def sums(stage: Stage) -> dict[str, int]:
    return {balance.indicator: balance.balance for balance in stage.sandbox.books().balances if balance.indicator}


def sound(stage: Stage) -> None:
    assert stage.sandbox.books().violations() == []


def test_a_bulk_of_many_windows_is_confirmed_item_by_item(open_stage):
    stage, relay = open_stage(workers=2)
    relay.enqueue(fees(900), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.state, status.outcome) == ("done", "applied")
    assert status.transaction_id.startswith("bulk_")
    parts = relay.parts("a-bulk")
    assert [part.name for part in parts] == [f"fee-{number}" for number in range(900)]
    ids = {row.transaction_id for row in stage.sandbox.books().rows}
    assert all(part.status == "applied" and part.transaction_id in ids for part in parts)
    assert effects(stage, "fee-") == Counter({f"fee-{number}": 1 for number in range(900)})
    sound(stage)


def test_rejected_items_make_a_partial_end_that_names_them(open_stage):
    stage, relay = open_stage()
    relay.enqueue(fees(10, poor=frozenset({3, 7})), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code) == ("partial", "ITEMS_REJECTED")
    assert "fee-3, fee-7" in status.message
    assert Counter(part.status for part in relay.parts("a-bulk")) == {"applied": 8, "rejected": 2}
    assert sum(effects(stage, "fee-").values()) == 8
    sound(stage)


def test_a_skip_mode_bulk_stops_at_the_first_failure_and_a_replay_sends_the_rest(open_stage):
    stage, relay = open_stage()
    relay.enqueue(fees(6, poor=frozenset({2}), skip_queue=True), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code) == ("partial", "ITEMS_MISSING")
    assert [part.status for part in relay.parts("a-bulk")] == ["applied"] * 2 + ["missing"] * 4
    stage.sandbox.fund("@poor", "EUR", 500)
    Operator(relay.journals, Bells(stage.settings)).replay(status, who="a test", reason="a test")
    assert relay.wait("a-bulk", WAIT_S).outcome == "applied"
    assert effects(stage, "fee-") == Counter({f"fee-{number}": 1 for number in range(6)})
    sound(stage)


@pytest.mark.parametrize("fault", ["not_json", "truncated"])
def test_a_page_in_the_place_of_a_refusal_hides_no_item_that_was_paid_before_it(open_stage, fault):
    stage, relay = open_stage(Faults.script([Rule(fault, **POST)]))
    relay.enqueue(fees(6, poor=frozenset({2}), skip_queue=True), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code) == ("partial", "ITEMS_MISSING")
    assert [part.status for part in relay.parts("a-bulk")] == ["applied"] * 2 + ["missing"] * 4
    assert sum(effects(stage, "fee-").values()) == 2
    sound(stage)


def test_an_atomic_bulk_that_fails_is_taken_back_and_says_so(open_stage):
    stage, relay = open_stage()
    before = sums(stage)["@sales"]
    relay.enqueue(fees(6, poor=frozenset({4}), skip_queue=True, atomic=True), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code) == ("rejected", "ROLLED_BACK")
    assert [part.status for part in relay.parts("a-bulk")] == ["undone"] * 4 + ["missing"] * 2
    assert sums(stage)["@sales"] == before
    sound(stage)


def replay(stage: Stage, relay: Relay, status: Status) -> None:
    Operator(relay.journals, Bells(stage.settings)).replay(status, who="a test", reason="a test")


def names(relay: Relay, key: str) -> list[str]:
    return [part.name for part in relay.parts(key)]


@pytest.mark.parametrize("inflight", [False, True], ids=["payments", "holds"])
def test_an_atomic_bulk_that_met_a_lock_is_tried_again_under_new_references(open_stage, inflight):
    stage, relay = open_stage(Faults.script([Rule("batch_locked", **POST, times=2)]))
    before = sums(stage)["@sales"]
    intent = fees(4, skip_queue=True, atomic=True, inflight=inflight)
    relay.enqueue(intent, key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.outcome, status.generation) == ("held" if inflight else "applied", 2)
    assert names(relay, "a-bulk") == [f"fee-{number}.r3" for number in range(4)]
    assert {part.status for part in relay.parts("a-bulk")} == {status.outcome}
    assert sums(stage)["@sales"] == before - (0 if inflight else 400)
    assert any("new references" in line.note for line in relay.history("a-bulk"))
    assert not relay.enqueue(intent, key="a-bulk").created
    sound(stage)


def test_a_request_of_an_earlier_generation_that_comes_late_changes_nothing(open_stage):
    """Its first item's reference is used up."""
    stage, relay = open_stage(Faults.script([Rule("batch_locked", **POST)]))
    intent = fees(4, skip_queue=True, atomic=True)
    relay.enqueue(intent, key="a-bulk")
    assert relay.wait("a-bulk", WAIT_S).generation == 1
    before, target = sums(stage), stage.settings.ledgers["default"]
    answer = requests.post(
        f"{target.base_url}/proxy/transactions/bulk",
        params={"instance_id": target.instance_id},
        headers={"Authorization": f"Bearer {target.token}"},
        json={"atomic": True, "skip_queue": True, "transactions": intent.payload["items"]},
        timeout=WAIT_S,
    )
    assert answer.status_code == 409
    assert sums(stage) == before
    sound(stage)


def test_a_split_that_met_a_lock_is_tried_again_under_a_new_reference(open_stage):
    stage, relay = open_stage(Faults.script([Rule("batch_locked", **POST)]))
    relay.enqueue(sale("order-1"))
    status = relay.wait("order-1", WAIT_S)
    assert (status.outcome, status.generation) == ("applied", 1)
    assert sums(stage)["@shop"] == 668
    sound(stage)


def test_a_lock_that_stays_ends_as_a_letter_that_a_replay_brings_to_its_end(open_stage):
    stage, relay = open_stage(Faults.script([Rule("batch_locked", **POST, times=2)]), max_attempts=2)
    relay.enqueue(fees(4, skip_queue=True, atomic=True), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code, status.generation) == ("rejected", "ROLLED_BACK", 1)
    replay(stage, relay, status)
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.outcome, status.generation) == ("applied", 2)
    assert sum(row.effect == "apply" for row in stage.sandbox.books().rows if row.reference.endswith(".r3")) == 4
    sound(stage)


def test_an_atomic_bulk_that_was_taken_back_is_replayed_as_often_as_it_takes(open_stage):
    stage, relay = open_stage()
    before = sums(stage)["@sales"]
    relay.enqueue(fees(6, poor=frozenset({4}), skip_queue=True, atomic=True), key="a-bulk")
    for generation in (0, 1):
        status = relay.wait("a-bulk", WAIT_S)
        assert (status.dead_class, status.code, status.generation) == ("rejected", "ROLLED_BACK", generation)
        assert sums(stage)["@sales"] == before
        if generation:
            stage.sandbox.fund("@poor", "EUR", 500)
        replay(stage, relay, status)
    assert relay.wait("a-bulk", WAIT_S).outcome == "applied"
    assert names(relay, "a-bulk") == [f"fee-{number}.r3" for number in range(6)]
    assert sums(stage)["@sales"] == before - 500
    for reference in ("fee-1", "fee-1.r2", "fee-1.r3"):
        with pytest.raises(KeyConflict):
            relay.enqueue(fee(reference))
    sound(stage)


def test_a_bulk_of_which_every_item_was_rejected_is_replayed_as_a_whole(open_stage):
    """More items than the journal takes references for in one command."""
    stage, relay = open_stage()
    relay.enqueue(fees(1_100, poor=frozenset(range(1_100))), key="a-bulk")
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code) == ("rejected", "ITEMS_REJECTED")
    stage.sandbox.fund("@poor", "EUR", 500_000)
    replay(stage, relay, status)
    assert relay.wait("a-bulk", WAIT_S).outcome == "applied"
    assert effects(stage, "fee-") == Counter({f"fee-{number}.r2": 1 for number in range(1_100)})
    sound(stage)


@pytest.mark.parametrize("owner", ["another", "itself"])
def test_a_bulk_takes_no_reference_that_is_anothers_or_was_its_own_before(open_stage, owner):
    """It ends as taken back instead, and nothing of it is changed by a replay."""
    stage, relay = open_stage(Faults.script([Rule("batch_locked", path="/proxy/transactions/bulk")]))
    before = sums(stage)["@sales"]
    if owner == "another":
        relay.enqueue(fee("fee-1.r2"))
        relay.wait("fee-1.r2", WAIT_S)
        before -= 100
    own = [] if owner == "another" else [fee("fee-1.r2")]
    relay.enqueue(
        bulk_transactions([fee("fee-0"), fee("fee-1"), *own, fee("fee-2")], skip_queue=True, atomic=True), key="a-bulk"
    )
    status = relay.wait("a-bulk", WAIT_S)
    assert (status.dead_class, status.code, status.generation) == ("rejected", "ROLLED_BACK", 0)
    told = names(relay, "a-bulk")
    with pytest.raises(Refused, match=r"'fee-1\.r2' is taken"):
        replay(stage, relay, status)
    assert relay.get("a-bulk") == status
    assert names(relay, "a-bulk") == told
    assert sums(stage)["@sales"] == before
    sound(stage)


def test_what_acts_on_an_item_is_told_under_which_reference_it_was_sent_again(open_stage):
    stage, relay = open_stage(Faults.script([Rule("batch_locked", path="/proxy/transactions/bulk")]))
    relay.enqueue(fees(3, skip_queue=True, atomic=True, inflight=True), key="a-bulk")
    relay.wait("a-bulk", WAIT_S)
    relay.enqueue(commit_hold("fee-1"))
    status = relay.wait("commit:fee-1", WAIT_S)
    assert (status.dead_class, status.code) == ("refused", "TXN_ALREADY_VOIDED")
    assert "'fee-1' is sent as 'fee-1.r2' by now" in status.message
    relay.enqueue(commit_hold("fee-1.r2"))
    assert relay.wait("commit:fee-1.r2", WAIT_S).outcome == "applied"
    sound(stage)


def test_what_acts_on_a_payment_that_was_rejected_is_told_under_which_reference_it_was_sent_again(open_stage):
    stage, relay = open_stage()
    relay.enqueue(fee("fee-1", "@poor"))
    status = relay.wait("fee-1", WAIT_S)
    stage.sandbox.fund("@poor", "EUR", 500)
    replay(stage, relay, status)
    assert relay.wait("fee-1", WAIT_S).outcome == "applied"
    relay.enqueue(refund("fee-1"))
    assert "'fee-1' is sent as 'fee-1.r2' by now" in relay.wait("refund:fee-1", WAIT_S).message


def test_a_reference_has_one_owner_be_it_an_item_or_a_transaction(open_stage):
    _, relay = open_stage(workers=0)
    relay.enqueue(fees(3), key="a-bulk")
    assert not relay.enqueue(fees(3), key="a-bulk").created
    for intent, key in ((fee("fee-1"), None), (fee("fee-1"), "other"), (fees(2, "fee"), "another")):
        with pytest.raises(KeyConflict) as conflict:
            relay.enqueue(intent, key=key)
        assert conflict.value.first_kind == "transaction.bulk"
    relay.enqueue(fee("single-1"))
    relay.enqueue(fee("single-2"), key="a-key")
    for name in ("single-1", "single-2"):
        with pytest.raises(KeyConflict):
            relay.enqueue(bulk_transactions([fee(name)]), key="b")
    with pytest.raises(DuplicateInBatch):
        relay.enqueue_many([Write(intent=fees(2, "x"), key="c"), fee("x-1")])
    relay.enqueue(bulk_transactions([fee("y-1")]), key="y-1")


def test_an_item_can_be_refunded_by_its_reference(open_stage):
    stage, relay = open_stage()
    relay.enqueue(fees(3), key="a-bulk")
    relay.enqueue(refund("fee-1"))
    assert relay.wait("refund:fee-1", WAIT_S).outcome == "refunded"
    sound(stage)


def test_a_split_moves_what_was_computed_and_tells_its_legs(open_stage):
    stage, relay = open_stage()
    relay.enqueue(sale("order-1"))
    status = relay.wait("order-1", WAIT_S)
    assert (status.state, status.outcome) == ("done", "applied")
    assert [part.name for part in relay.parts("order-1")] == ["@shop", "@agent", "@owner"]
    assert {name: sums(stage)[name] for name in ("@shop", "@agent", "@owner")} == {
        "@shop": 668,
        "@agent": 150,
        "@owner": 183,
    }
    sound(stage)


def test_a_split_of_holds_is_held(open_stage):
    stage, relay = open_stage()
    relay.enqueue(sale("order-1", inflight=True))
    assert relay.wait("order-1", WAIT_S).outcome == "held"
    assert {part.status for part in relay.parts("order-1")} == {"held"}
    sound(stage)


@pytest.mark.parametrize("inflight", [False, True], ids=["payments", "holds"])
def test_a_split_without_funds_in_one_source_moves_nothing_and_can_be_tried_anew(open_stage, inflight):
    stage, relay = open_stage()
    before = sums(stage)["@sales"]
    legs = [Leg("@sales", percent=50), Leg("@poor", percent=50)]
    intent = split_transaction(
        sources=legs,
        destination="@shop",
        amount="10.00",
        currency="EUR",
        description="Both pay",
        reference="order-1",
        inflight=inflight,
    )
    relay.enqueue(intent)
    status = relay.wait("order-1", WAIT_S)
    assert (status.dead_class, status.code) in (("rejected", "ROLLED_BACK"), ("refused", "TXN_INSUFFICIENT_FUNDS"))
    assert sums(stage)["@sales"] == before
    stage.sandbox.fund("@poor", "EUR", 500)
    Operator(relay.journals, Bells(stage.settings)).replay(status, who="a test", reason="a test")
    assert relay.wait("order-1", WAIT_S).outcome == ("held" if inflight else "applied")
    if not inflight:
        assert sums(stage)["@sales"] == before - 500
    sound(stage)


def test_a_worker_that_is_killed_doubles_nothing(open_stage):
    stage, relay = open_stage(Faults.script([Rule("delay_after", **POST, times=None, seconds=0.4)]), workers=2)
    keys = [relay.enqueue(sale(f"order-{number}")).key for number in range(40)]
    keys.append(relay.enqueue(fees(250), key="a-bulk").key)
    operator = Operator(relay.journals, Bells(stage.settings))
    wait_until(lambda: any(operator.leases().values()), WAIT_S, "the worker to hold something", poll_s=0.01)
    stage.kill_worker(stage.workers[0])
    stage.start_worker()
    assert {relay.wait(key, WAIT_S).outcome for key in keys} == {"applied"}
    assert set(effects(stage, "order-").values()) == set(effects(stage, "fee-").values()) == {1}
    assert sum(effects(stage, "order-").values()) == 120
    sound(stage)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_a_fifth_of_all_requests_fails_and_everything_is_there_once_or_named(open_stage, seed):
    stage, relay = open_stage(Faults.seeded(seed, 0.2), workers=2, max_attempts=40)
    writes = [Write(intent=sale(f"order-{number}")) for number in range(15)]
    writes += [Write(intent=fees(25, f"queue-{number}"), key=f"bulk-q{number}") for number in range(8)]
    writes += [Write(intent=fees(25, f"skip-{number}", skip_queue=True), key=f"bulk-s{number}") for number in range(8)]
    keys = [receipt.key for receipt in relay.enqueue_many(writes)]
    for key in keys:
        status = relay.wait(key, WAIT_S)
        assert status.state == "done", (key, status.dead_class, status.code, status.message)
    assert sum(effects(stage, "order-").values()) == 45
    assert sum(effects(stage, "queue-").values()) == sum(effects(stage, "skip-").values()) == 200
    for name in ("order-", "queue-", "skip-"):
        assert set(effects(stage, name).values()) == {1}
    sound(stage)
