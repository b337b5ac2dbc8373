"""Bulk commits and voids of holds, real workers, a ledger that fails: every hold is settled once, or named."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from blnk_relay import (
    Intent,
    InvalidIntent,
    Relay,
    Write,
    commit_hold,
    commit_holds,
    transaction,
    void_hold,
    void_holds,
)
from blnk_relay.bell import Bells
from blnk_relay.intents.decision import Send
from blnk_relay.journal.operator import Operator
from blnk_relay.journal.settlement import Settlement
from blnk_relay.sandbox import Faults, Rule
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from blnk_relay.sandbox.options import Options
from tests.support.stages import Tardy, wait_for_leases
from tests.support.waiting import wait_until
from worker.demo.stage import INSTANCE, TOKEN, Stage

WAIT_S = 60.0
IMPATIENT = {"horizon_s": 4.0, "read_lag_s": 1.0, "quiet_s": 0.5, "stuck_horizon_s": 15.0, "bulk_inflight": True}
COMMITS = {"method": "POST", "path": "/proxy/transactions/inflight/bulk/commit"}
ANY = {"method": "POST", "path": "/proxy/transactions/inflight/bulk"}

HELD = 1_000


@pytest.fixture
def open_stage() -> Iterator[Any]:
    with ExitStack() as stack:

        def opened(faults: Any = None, workers: int = 1, options: Any = None, **settings: Any) -> tuple[Stage, Relay]:
            arguments = {"faults": faults, "settings": {**IMPATIENT, **settings}, "options": options}
            stage = stack.enter_context(Stage(**arguments))
            stage.sandbox.fund("@customer", "EUR", 100_000_000)
            for _ in range(workers):
                stage.start_worker()
            return stage, stack.enter_context(Relay(stage.settings))

        yield opened


def holds(count: int, name: str = "hold") -> list[Intent]:
    return [
        transaction(
            source="@customer",
            destination="@shop",
            currency="EUR",
            precise_amount=HELD,
            description="Reservation",
            reference=f"{name}-{number}",
            inflight=True,
        )
        for number in range(count)
    ]


def made(relay: Relay, count: int, name: str = "hold") -> list[str]:
    """References of holds that the ledger has."""
    receipts = relay.enqueue_many(holds(count, name))
    assert {relay.wait(receipt.key, WAIT_S).outcome for receipt in receipts} == {"held"}
    return [receipt.reference for receipt in receipts]


def below(stage: Stage, reference: str) -> list[tuple[str, int]]:
    """Status and amount of all rows below a hold."""
    books = stage.sandbox.books()
    row = next(row for row in books.rows if row.reference in (reference, f"{reference}_q") and row.status == "INFLIGHT")
    found = (one for one in books.rows if one.parent_transaction == row.transaction_id)
    return sorted((one.status.value, one.precise_amount) for one in found)


def sound(stage: Stage) -> None:
    """Books that add up, and nothing booked against a queued parent, which takes others' money (contract §2.13)."""
    books = stage.sandbox.books()
    assert books.violations() == []
    queued = {row.transaction_id for row in books.rows if row.status == "QUEUED"}
    stray = [row for row in books.rows if row.parent_transaction in queued and row.status in ("APPLIED", "VOID")]
    assert stray == []


def answers(relay: Relay, key: str) -> set[int]:
    return {attempt.status for attempt in relay.history(key) if attempt.what == "sent"}


def test_holds_are_committed_in_full_and_in_part_by_one_request(open_stage):
    stage, relay = open_stage()
    names = made(relay, 4)
    relay.enqueue(commit_holds([*names[:3], commit_hold(names[3], precise_amount=250)]), key="shipments")
    status = relay.wait("shipments", WAIT_S)
    assert (status.state, status.outcome) == ("done", "applied")
    for name in names[:3]:
        assert below(stage, name) == [("APPLIED", HELD)]
    assert below(stage, names[3]) == [("APPLIED", 250)]
    parts = relay.parts("shipments")
    assert [(part.name, part.status) for part in parts] == [(name, "applied") for name in names]
    ids = {row.transaction_id for row in stage.sandbox.books().rows if row.status == "APPLIED"}
    assert all(part.transaction_id in ids for part in parts)
    sent = [attempt for attempt in relay.history("shipments") if attempt.what == "sent"]
    assert len(sent) == 1
    sound(stage)


def test_a_hundred_holds_are_released_by_one_request_enqueued_before_they_exist(open_stage):
    stage, relay = open_stage(workers=2)
    intents = holds(100)
    names = [intent.reference for intent in intents]
    relay.enqueue_many([*intents, Write(intent=void_holds(names), key="release")])
    assert relay.wait("release", WAIT_S).outcome == "voided"
    assert all(below(stage, name) == [("VOID", HELD)] for name in names)
    sound(stage)


def test_without_the_setting_it_is_refused_with_a_sentence_that_names_it(relay):
    for intent in (commit_holds(["a"]), void_holds(["a"])):
        with pytest.raises(InvalidIntent, match="BLNK_RELAY_BULK_INFLIGHT is true"):
            relay.enqueue(intent, key="a-key")


def test_an_instance_without_the_route_refuses_it_and_other_writes_go_on(open_stage):
    options = replace(Options(token=TOKEN, instance_id=INSTANCE), bulk_inflight=False)
    stage, relay = open_stage(options=options)
    names = made(relay, 2)
    relay.enqueue(commit_holds(names), key="shipments")
    status = relay.wait("shipments", WAIT_S)
    assert (status.state, status.dead_class) == ("dead", "refused")
    assert made(relay, 1, "later") == ["later-0"]
    assert all(below(stage, name) == [] for name in names)
    sound(stage)


AMBIGUOUS = (
    *("drop_before", "drop_after", "500_no_effect", "500_with_effect", "502_with_effect", "503_no_effect"),
    *("504_with_effect", "429_retry_after", "truncated", "not_json"),
)


class FirstOfEach(Faults):
    """Every fault strikes the first bulk that is about the holds named after it."""

    def __init__(self) -> None:
        self.left = list(AMBIGUOUS)

    def decide(self, subject: Subject) -> Fault | None:
        """The fault of these holds, once."""
        if subject.read or not subject.path.startswith(ANY["path"]):
            return None
        fault = next((name for name in self.left if name in subject.identity), None)
        if fault is None:
            return None
        self.left.remove(fault)
        return Fault.of(fault)


@pytest.mark.parametrize("verb", ["commit", "void"])
def test_an_ambiguous_answer_settles_no_hold_twice_and_forgets_none(open_stage, verb):
    plan = FirstOfEach()
    stage, relay = open_stage(plan)
    relay.enqueue_many([intent for fault in AMBIGUOUS for intent in holds(4, fault)])
    named = {fault: [f"{fault}-{number}" for number in range(4)] for fault in AMBIGUOUS}
    for fault, names in named.items():
        assert {relay.wait(name, WAIT_S).outcome for name in names} == {"held"}
        if verb == "commit":
            intent = commit_holds([*names[:2], *(commit_hold(name, precise_amount=250) for name in names[2:])])
        else:
            intent = void_holds(names)
        relay.enqueue(intent, key=fault)
    full = ("APPLIED", HELD) if verb == "commit" else ("VOID", HELD)
    for fault, names in named.items():
        assert relay.wait(fault, WAIT_S).state == "done", fault
        for number, name in enumerate(names):
            settled = ("APPLIED", 250) if verb == "commit" and number > 1 else full
            assert below(stage, name) == [settled], (fault, number)
    assert plan.left == [], "every fault struck"
    sound(stage)


def test_what_was_settled_before_makes_a_partial_end_that_names_it(open_stage):
    stage, relay = open_stage()
    names = made(relay, 3)
    relay.enqueue(void_hold(names[1]))
    assert relay.wait(f"void:{names[1]}", WAIT_S).outcome == "voided"
    relay.enqueue(commit_holds(names), key="shipments")
    status = relay.wait("shipments", WAIT_S)
    assert (status.state, status.dead_class, status.code) == ("dead", "partial", "ITEMS_REFUSED")
    assert f"{names[1]} (TXN_ALREADY_VOIDED)" in status.message
    assert [part.status for part in relay.parts("shipments")] == ["applied", "refused", "applied"]
    assert below(stage, names[1]) == [("VOID", HELD)]
    sound(stage)


def test_holds_that_are_not_there_end_it_before_anything_is_sent(open_stage):
    stage, relay = open_stage()
    (name,) = made(relay, 1)
    relay.enqueue(void_holds([name, "nowhere"]), key="release")
    status = relay.wait("release", WAIT_S)
    assert (status.dead_class, status.code) == ("refused", "HOLD_NOT_FOUND")
    assert "nowhere" in status.message
    assert answers(relay, "release") == set()
    assert below(stage, name) == []


def test_single_writes_to_the_same_holds_take_turns_whatever_name_they_use(open_stage):
    """By reference they stand in one order; by row id they do not, and only the locks of the rows keep them apart."""
    stage, relay = open_stage(Tardy(Faults.script([]), 0.2), workers=2)
    names = made(relay, 3)
    rows = [relay.get(name).transaction_id for name in names]
    writes: list[Write] = []
    for turn in range(3):
        writes.append(
            Write(intent=commit_holds([commit_hold(name, precise_amount=10) for name in names]), key=f"bulk-{turn}")
        )
        for name, row in zip(names, rows, strict=True):
            writes.append(Write(intent=commit_hold(row, precise_amount=100), key=f"by-row-{turn}-{name}"))
            writes.append(Write(intent=commit_hold(name, precise_amount=1), key=f"by-name-{turn}-{name}"))
        writes.append(
            Write(intent=commit_holds([commit_hold(row, precise_amount=20) for row in rows]), key=f"rows-{turn}")
        )
    receipts = relay.enqueue_many(writes)
    assert {relay.wait(receipt.key, WAIT_S).outcome for receipt in receipts} == {"applied"}
    for name in names:
        assert below(stage, name) == sorted(("APPLIED", amount) for amount in (1, 10, 20, 100) for _ in range(3))
    sound(stage)


def test_a_worker_that_dies_in_the_middle_settles_no_hold_twice(open_stage):
    slow = Faults.script([Rule("delay_after", seconds=1.5, **COMMITS)])
    stage, relay = open_stage(slow)
    names = made(relay, 6)
    relay.enqueue(commit_holds([commit_hold(name, precise_amount=100) for name in names]), key="shipments")
    wait_for_leases(relay, 1)
    wait_until(lambda: any(below(stage, name) for name in names), WAIT_S, "the request to be under way", poll_s=0.01)
    stage.kill_worker(stage.workers[0])
    stage.start_worker()
    assert relay.wait("shipments", WAIT_S).outcome == "applied"
    assert all(below(stage, name) == [("APPLIED", 100)] for name in names)
    sound(stage)


@pytest.mark.parametrize("seed", [3, pytest.param(17, marks=pytest.mark.long)])
def test_under_faults_of_all_sorts_the_books_and_the_journal_agree(open_stage, seed):
    faults = Faults.seeded(seed, 0.15)
    stage, relay = open_stage(faults, workers=2, stuck_horizon_s=20.0)
    names = made(relay, 24)
    draw = random.Random(seed)
    writes: list[Write] = []
    for number in range(8):
        chosen = draw.sample(names, 6)
        parts = [commit_hold(name, precise_amount=draw.randint(1, 120)) for name in chosen]
        writes.append(Write(intent=commit_holds(parts), key=f"parts-{number}"))
    receipts = relay.enqueue_many(writes)
    expected: dict[str, list[tuple[str, int]]] = {name: [] for name in names}
    for receipt, write in zip(receipts, writes, strict=True):
        status = relay.wait(receipt.key, WAIT_S)
        assert (status.state, status.outcome) == ("done", "applied"), f"{status.code}: {status.message}"
        for item in write.intent.payload["items"]:
            expected[item["hold"]].append(("APPLIED", item["precise_amount"]))
    assert {name: below(stage, name) for name in names} == {name: sorted(rows) for name, rows in expected.items()}
    relay.enqueue(void_holds(names), key="release")
    assert relay.wait("release", WAIT_S).outcome == "voided"
    for name in names:
        assert [status for status, _ in below(stage, name)].count("VOID") == 1
        assert sum(amount for _, amount in below(stage, name)) == HELD
    sound(stage)


# -- the journal's share ---------------------------------------------------------------------------------------------


def claimed(journal: Any, key: str) -> Any:
    (found,) = [item for item in journal.claim("inflight", "tester", 10).items if item.entry.key == key]
    return found


def test_rows_are_locked_together_or_not_at_all(settings):
    with Relay(replace(settings, bulk_inflight=True)) as relay:
        journal = relay.journal()
        relay.enqueue(commit_hold("x"), key="single")
        first = claimed(journal, "single")
        relay.enqueue(commit_holds(["y", "z"]), key="bulk")
        bulk = claimed(journal, "bulk")
        assert journal.record([(first, Send(memo={"row": "2"}, exclusive="row-2"))]) == ["ok"]
        assert journal.record([(bulk, Send(memo={}, exclusive=("row-1", "row-2", "row-3")))]) == ["busy"]
        assert [journal.client.get(journal.key(f"excl:row-{n}")) for n in (1, 3)] == [None, None]
        done = Settlement(first, "sending", "done", 0, {"outcome": "applied", "txn": "child-2"})
        journal.settle("tester", [done], [])
        # What the single one made below its row has to be seen before the bulk may rest on a sum.
        assert journal.record([(bulk, Send(memo={}, exclusive=("row-1", "row-2"), seen=("child-1",)))]) == ["lagging"]
        assert journal.record([(bulk, Send(memo={}, exclusive=("row-1", "row-2"), seen=("child-2",)))]) == ["ok"]
        owners = [journal.client.get(journal.key(f"excl:row-{n}")) for n in (1, 2, 3)]
        assert owners == [bulk.entry.id, bulk.entry.id, None]
        made_rows = Settlement(
            bulk, "sending", "done", 0, {"outcome": "applied"}, made={"row-1": "one", "row-2": "two"}
        )
        journal.settle("tester", [made_rows], [])
        assert [journal.client.get(journal.key(f"excl:row-{n}")) for n in (1, 2)] == [None, None]
        assert journal.client.smembers(journal.key("made:row-1")) == {"one"}
        assert journal.client.smembers(journal.key("made:row-2")) == {"child-2", "two"}
        assert 0 < journal.client.pttl(journal.key("made:row-1")) <= 3_600_000


def test_a_bulk_waits_for_every_order_that_it_stands_in_and_holds_them_all(settings):
    with Relay(replace(settings, bulk_inflight=True)) as relay:
        relay.enqueue(commit_hold("a"), key="first")
        relay.enqueue(void_holds(["a", "b"]), key="bulk")
        relay.enqueue(commit_hold("b"), key="behind")
        assert [relay.get(key).state for key in ("first", "bulk", "behind")] == ["ready", "waiting", "waiting"]
        first = claimed(relay.journal(), "first")
        relay.journal().settle("tester", [Settlement(first, "sending", "done", 0, {"outcome": "applied"})], [])
        assert [relay.get(key).state for key in ("bulk", "behind")] == ["ready", "waiting"]
        bulk = claimed(relay.journal(), "bulk")
        relay.journal().record([(bulk, Send(memo={}, exclusive=("row-a", "row-b")))])
        dead = {"class": "partial", "code": "ITEMS_UNKNOWN", "message": "why"}
        relay.journal().settle("tester", [Settlement(bulk, "sending", "dead", 0, dead)], [])
        assert relay.get("behind").state == "waiting"
        assert relay.journal().client.get(relay.journal().key("excl:row-b")) == bulk.entry.id
        bells = Bells(relay.settings)
        Operator(relay.journals, bells).discard(relay.get("bulk"), who="ann", reason="settled by hand")
        bells.close()
        assert relay.get("behind").state == "ready"
        assert relay.journal().client.get(relay.journal().key("excl:row-b")) is None
