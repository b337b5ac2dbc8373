"""Bulks: what is taken, how the items are read, and what is made of what the ledger shows (contract §3.10)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import InvalidIntent, bulk_transactions, intent_of, refund, transaction
from blnk_relay.families.items import WINDOW
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Renew, Send
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.intents.found import Found, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds import transaction_bulk as kind
from blnk_relay.replay import ReplayWay, plan_replay
from blnk_relay.settings import Settings, policy_of

NOW_MS = 1_800_000_000_000
POLICY = policy_of(Settings(quiet_s=30.0))
ALICE, FEES = (f"bln_{uuid.UUID(int=number)}" for number in (1, 2))
NO_MONEY = "failed to apply transaction to balances: insufficient funds in source balance"


def fee(number: int, **changes: Any):
    given = {"source": ALICE, "destination": FEES, "currency": "EUR", "amount": 1, "description": "Fee"}
    return transaction(**{**given, "reference": f"fee-{number}", **changes})


def fees(count: int = 3, **changes: Any):
    return bulk_transactions([fee(number) for number in range(count)], **changes)


def entry_of(intent) -> Entry:
    return new_entry(intent, "b", "a-lane", not_before="+0", deadline="+1").entry


def progress(ago_s: float = 1.0, **changes: Any) -> Progress:
    at_ms = NOW_MS - int(ago_s * 1000)
    given = {"sent": True, "looking": True, "since_ms": at_ms, "first_sent_ms": at_ms, "last_sent_ms": at_ms}
    memo = {"marks": "", "batch": "", "watched": [NOW_MS, NOW_MS - at_ms]}
    return Progress(**{"now_ms": NOW_MS, "deadline_ms": NOW_MS * 2, "memo": memo, **given, **changes})


def item(number: int, status: str, **changes: Any) -> Row:
    """The first row of an item, or its final one in queue mode."""
    final = status != "QUEUED"
    values = {"precise_amount": 100, "currency": "EUR", "source": ALICE, "destination": FEES}
    values["parent"] = f"txn_{number}" if final else "bulk_1"
    return Row(
        f"txn_{number}{'c' if final else ''}", f"fee-{number}{'_q' if final else ''}", status, **values | changes
    )


def both(number: int, status: str, **changes: Any) -> tuple[Row, Row]:
    return item(number, "QUEUED"), item(number, status, **changes)


def step(entry: Entry, now: Progress, *rows: Row):
    found = Found()
    for _ in range(5):
        decision = next_step(kind.KIND, entry, now, found, POLICY)
        if not isinstance(decision, tuple):
            return decision, found
        names = {"parent_transaction": "parent"}
        asked = {(names.get(ask.field, ask.field), ask.value) for ask in decision}
        shown = [row for row in rows if any(getattr(row, name, None) == value for name, value in asked)]
        found = found.plus(shown, (), decision)
    raise AssertionError("undecided")


def decided(now: Progress, *rows: Row, intent=None):
    return step(entry_of(intent or fees()), now, *rows)[0]


# -- the payload -----------------------------------------------------------------------------------------------


def test_items_are_single_transactions_with_references_of_their_own():
    intent = fees(2)
    assert [one["reference"] for one in intent.payload["items"]] == ["fee-0", "fee-1"]
    assert intent_of(kind.NAME, intent.payload) == intent
    assert new_entry(intent, "b", "a", not_before="+0", deadline="+1").references == ("fee-0", "fee-1")


HELD_TOGETHER = {"atomic": True, "skip_queue": True, "inflight": True}


def dated(name: str):
    """A hold with a date, which is taken where the batch is not atomic."""
    hold = fee(2, inflight=True, skip_queue=True, **{name: "2030-01-01T00:00:00Z"})
    bulk_transactions([hold], skip_queue=True)
    return hold


@pytest.mark.parametrize(
    ("items", "flags", "field"),
    [
        ([], {}, "items"),
        ([{**fee(1).payload}], {}, "items.0.reference"),
        ([fee(1), fee(1)], {}, "items.1.reference"),
        ([fee(1), refund("order_42")], {}, "items.1"),
        ([fee(1), {"source": ALICE}], {}, "items.1.destination"),
        ([fee(1), fee(2, inflight=True)], {}, "items.1.inflight"),
        ([fee(1), fee(2, skip_queue=True)], {}, "items.1.skip_queue"),
        ([fee(1, scheduled_for="2030-01-01T00:00:00Z")], {}, "items.0.scheduled_for"),
        ([fee(1)], {"atomic": True}, "atomic"),
        ([fee(1), dated("inflight_expiry_date")], HELD_TOGETHER, "items.1.inflight_expiry_date"),
        ([fee(1), dated("inflight_commit_date")], HELD_TOGETHER, "items.1.inflight_commit_date"),
        ([fee(number) for number in range(501)], {"skip_queue": True}, "items"),
        ([fee(number) for number in range(201)], {"skip_queue": True, "atomic": True}, "items"),
        ([fee(number, description="x" * 5_900) for number in range(850)], {}, "items"),
        ([fee(number).payload for number in range(10_001)], {}, "items"),
        ([{**fee(1).payload, "sources": []}], {}, "items.0.sources"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_position(items, flags, field):
    with pytest.raises(InvalidIntent) as refused:
        bulk_transactions(items, **flags)
    assert any(name == field or name.startswith(field + ".") for name in refused.value.errors), refused.value.errors


def test_flags_of_the_batch_stand_for_all_items():
    assert bulk_transactions([fee(1, inflight=True), fee(2, inflight=True)]).payload["inflight"] is True
    assert "inflight" not in bulk_transactions([fee(1)]).payload
    dated = fee(1, skip_queue=True, effective_date="2026-01-01T00:00:00Z")
    assert bulk_transactions([dated], skip_queue=True).payload["items"][0]["effective_date"] == "2026-01-01T00:00:00Z"
    body = kind.request(entry_of(fees(1, inflight=True)), progress(), POLICY).body
    assert (body["inflight"], body["skip_queue"], body["atomic"]) == (True, False, False)
    assert "run_async" not in body


# -- reading, window by window -----------------------------------------------------------------------------------


def test_the_first_send_is_recorded_and_nothing_is_read():
    assert isinstance(decided(progress(sent=False, looking=False, memo={})), Send)


def test_what_may_have_been_sent_goes_to_be_looked_at():
    assert decided(progress(looking=False)) == Look(0.0)


def test_all_items_there_is_done_and_the_batch_is_its_id():
    decision = decided(progress(), *both(0, "APPLIED"), *both(1, "APPLIED"), *both(2, "APPLIED"))
    assert isinstance(decision, Done)
    assert (decision.outcome, decision.transaction_id) == ("applied", "bulk_1")
    assert decision.note.parts == {number: f"applied txn_{number}c" for number in range(3)}


def test_holds_are_held():
    rows = [row for number in range(3) for row in both(number, "INFLIGHT")]
    assert decided(progress(), *rows, intent=fees(inflight=True)).outcome == "held"


def test_a_large_bulk_is_read_in_windows_and_what_is_decided_is_never_read_again():
    count = WINDOW * 2 + 5
    entry = entry_of(fees(count))
    rows = [row for number in range(count) if number != 7 for row in both(number, "APPLIED")]
    now, looked, asked = progress(), [], 0
    for _ in range(3):
        decision, found = step(entry, now, *rows)
        assert isinstance(decision, Look)
        looked.append(len(found.asked) // 2)
        asked += len(decision.note.parts)
        now = progress(memo=decision.note.memo)
    assert looked == [WINDOW, WINDOW, 5]
    assert asked == count - 1
    decision, found = step(entry, now, *rows, *both(7, "APPLIED"))
    assert isinstance(decision, Done)
    assert len(found.asked) == 2


# -- decisions -----------------------------------------------------------------------------------------------------


def test_only_what_is_not_there_is_sent_again():
    entry = entry_of(fees())
    rows = (*both(0, "APPLIED"), item(1, "QUEUED"))
    decision, _ = step(entry, progress(31), *rows)
    assert isinstance(decision, Send)
    assert decision.note.memo["marks"] == "aq."
    ready = progress(31, looking=False, memo=decision.note.memo)
    send, _ = step(entry, ready)
    assert isinstance(send, Send)
    assert "go" not in send.memo
    body = kind.request(entry, replace(ready, memo=send.memo), POLICY).body
    assert [one["reference"] for one in body["transactions"]] == ["fee-2"]


REJECTED = both(1, "REJECTED", rejection=NO_MONEY)
APPLIED_0, APPLIED_2 = both(0, "APPLIED"), both(2, "APPLIED")
REFUSED = {"refuse": True, "code": "TXN_VALIDATION_ERROR", "message": "no"}


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(), (), Look),
        (progress(29), APPLIED_0, Look),
        (progress(31), APPLIED_0, Send),
        (progress(31, sends=8), APPLIED_0, Look),
        (progress(901, sends=8), APPLIED_0, (DeadClass.PARTIAL, "ITEMS_MISSING")),
        (progress(901, sends=8), (), (DeadClass.UNKNOWN, "VANISHED")),
        (progress(31, **REFUSED), (), Look),
        (progress(901, **REFUSED), (), (DeadClass.REFUSED, "TXN_VALIDATION_ERROR")),
        (progress(901, **REFUSED), APPLIED_0, (DeadClass.PARTIAL, "ITEMS_MISSING")),
        (progress(), (*APPLIED_0, *REJECTED, item(2, "QUEUED")), Look),
        (progress(18_001), (*APPLIED_0, *REJECTED, item(2, "QUEUED")), (DeadClass.UNKNOWN, "STUCK_QUEUED")),
        (progress(), (*APPLIED_0, *REJECTED, *APPLIED_2), (DeadClass.PARTIAL, "ITEMS_REJECTED")),
        (
            progress(),
            (*both(0, "REJECTED"), *REJECTED, *both(2, "REJECTED")),
            (DeadClass.REJECTED, "ITEMS_REJECTED"),
        ),
        (
            progress(),
            (*APPLIED_0, *both(1, "APPLIED", precise_amount=99), *APPLIED_2),
            (DeadClass.PARTIAL, "REFERENCE_CONFLICT"),
        ),
    ],
)
def test_what_the_items_came_to_decides(now, rows, expected):
    decision = decided(now, *rows)
    if isinstance(expected, tuple):
        assert isinstance(decision, Dead)
        assert (decision.dead_class, decision.code) == expected
    else:
        assert isinstance(decision, expected)


def test_a_partial_end_says_how_many_and_names_the_first():
    rows = [row for number in range(9) for row in both(number, "APPLIED" if number == 8 else "REJECTED")]
    decision = decided(progress(), *rows, intent=fees(9))
    assert decision.message.startswith("8 of 9 items were rejected")
    assert "fee-0, fee-1, fee-2, …" in decision.message


def test_a_dead_bulk_notes_what_is_missing_and_what_is_queued():
    decision = decided(progress(18_001, sends=8), *APPLIED_0, item(1, "QUEUED"))
    assert decision.note.parts == {0: "applied txn_0c", 1: "queued", 2: "missing"}


# -- skip mode -----------------------------------------------------------------------------------------------------


def done(number: int, **changes: Any) -> Row:
    values = {"precise_amount": 100, "currency": "EUR", "source": ALICE, "destination": FEES, "parent": "bulk_1"}
    return Row(f"txn_{number}", f"fee-{number}", "APPLIED", **values | changes)


def undone(number: int) -> Row:
    return Row(f"txn_u{number}", f"txn_{number}_refund_q", "APPLIED", parent="x")


SHORT = {"refuse": True, "code": "TXN_INSUFFICIENT_FUNDS", "message": NO_MONEY}


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(31), (done(0),), Send),
        (progress(59, **SHORT), (done(0),), Look),
        (progress(60, **SHORT), (done(0),), (DeadClass.PARTIAL, "ITEMS_MISSING")),
        (progress(60, **SHORT), (), (DeadClass.REFUSED, "TXN_INSUFFICIENT_FUNDS")),
    ],
)
def test_in_skip_mode_the_missing_ones_make_a_new_request(now, rows, expected):
    decision = decided(now, *rows, intent=fees(skip_queue=True))
    if isinstance(expected, tuple):
        assert (decision.dead_class, decision.code) == expected
    else:
        assert isinstance(decision, expected)


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(accepted=True), (done(0), done(1), done(2)), Done),
        (progress(), (done(0), done(1), done(2)), Look),
        (progress(31), (done(0), done(1), done(2)), Done),
        (progress(31), (), Look),
        (progress(61), (), Send),
        (progress(59, **SHORT), (), Look),
        (progress(60, **SHORT), (), (DeadClass.REFUSED, "TXN_INSUFFICIENT_FUNDS")),
        (progress(61), (done(0),), Look),
        (progress(899, **SHORT), (done(0),), Look),
        (progress(901, **SHORT), (done(0),), (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
        (progress(31, **SHORT), (done(0), undone(0)), (DeadClass.REJECTED, "ROLLED_BACK")),
        (progress(901), (done(0), undone(0), done(1)), (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
    ],
)
def test_an_atomic_one_is_never_sent_again_once_something_is_there(now, rows, expected):
    decision = decided(now, *rows, intent=fees(skip_queue=True, atomic=True))
    if isinstance(expected, tuple):
        assert (decision.dead_class, decision.code) == expected
    else:
        assert isinstance(decision, expected)


LOCKED = {"code": "GEN_RESOURCE_LOCKED", "message": "failed to acquire lock"}
TAKEN_BACK = (done(0), undone(0), done(1), undone(1))


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(31, **LOCKED), TAKEN_BACK, Look),
        (progress(61, **LOCKED), TAKEN_BACK, Renew),
        (progress(61, **LOCKED), (*TAKEN_BACK[:-1], Row("txn_u1", "txn_1_refund", "QUEUED", parent="x")), Look),
        (progress(61, **LOCKED), TAKEN_BACK[:-1], Look),
        (progress(901, **LOCKED), TAKEN_BACK[:-1], Dead),
        (progress(61, **SHORT), TAKEN_BACK, Dead),
        (progress(61, **LOCKED), (done(0), done(1), done(2)), Done),
    ],
    ids=["under way", "quiet", "one is being taken back", "one stands", "one stays", "no money", "all stand"],
)
def test_an_atomic_one_begins_anew_only_when_all_was_taken_back_for_a_reason_that_may_pass(now, rows, expected):
    assert isinstance(decided(now, *rows, intent=fees(skip_queue=True, atomic=True)), expected)


BROKEN = {"code": "GEN_INTERNAL", "message": "driver: bad connection"}
ALL_TAKEN_BACK = (*TAKEN_BACK, done(2), undone(2))


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(29, **BROKEN), ALL_TAKEN_BACK, Look),
        (progress(31, **BROKEN), ALL_TAKEN_BACK, (DeadClass.UNKNOWN, "TAKEN_BACK")),
        (progress(31, **SHORT), ALL_TAKEN_BACK, (DeadClass.UNKNOWN, "TAKEN_BACK")),
        (progress(31, **BROKEN), ALL_TAKEN_BACK[:-1], Look),
        (progress(901, **BROKEN), ALL_TAKEN_BACK[:-1], (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
        (progress(901, **BROKEN), (*TAKEN_BACK, done(2), Row("u", "txn_2_refund", "QUEUED", parent="txn_2")), Look),
        (progress(31, accepted=True), ALL_TAKEN_BACK, Done),
    ],
    ids=["lag", "all", "refused", "one stands", "one stays", "one is being taken back", "accepted"],
)
def test_an_atomic_one_that_happened_as_a_whole_is_not_done_where_it_was_taken_back_as_a_whole(now, rows, expected):
    """The ledger can fail after it recorded the last item as well, and takes that one back with the others."""
    decision = decided(now, *rows, intent=fees(skip_queue=True, atomic=True))
    if isinstance(expected, tuple):
        assert (decision.dead_class, decision.code) == expected
        assert now.code in decision.message
        assert decision.note.parts[0] == "undone txn_0"
    else:
        assert isinstance(decision, expected)


def test_what_was_taken_back_since_its_key_was_forgotten_was_done_then():
    rows = [replace(row, created_at="2026-11-20T10:00:00Z") for row in ALL_TAKEN_BACK]
    intent, known = fees(skip_queue=True, atomic=True), {"code": "TXN_DUPLICATE_REFERENCE", "again": True}
    assert isinstance(decided(progress(31, **known, lost_ms=NOW_MS), *rows, intent=intent), Done)
    assert decided(progress(31, **known, lost_ms=1), *rows, intent=intent).code == "TAKEN_BACK"


def test_holds_of_an_atomic_one_that_were_all_voided_are_not_held():
    holds = [replace(done(number), status="INFLIGHT") for number in range(3)]
    voids = [Row(f"txn_v{number}", f"ref_{number}", "VOID", parent=f"txn_{number}") for number in range(3)]
    intent = fees(skip_queue=True, atomic=True, inflight=True)
    assert decided(progress(31, **BROKEN), *holds, *voids, intent=intent).code == "TAKEN_BACK"
    assert decided(progress(31, **BROKEN), *holds, intent=intent).outcome == "held"
    # What somebody committed in part before the rest was voided was not taken back by the ledger.
    commits = [Row(f"txn_c{number}", f"com_{number}", "APPLIED", parent=f"txn_{number}") for number in range(3)]
    assert decided(progress(31, **BROKEN), *holds, *commits, *voids, intent=intent).outcome == "held"


def test_one_that_may_not_be_sent_any_more_ends_as_taken_back():
    """Its deadline has passed, so that it cannot begin anew; but it is known what became of it."""
    late = progress(61, **LOCKED, deadline_ms=1)
    decision = decided(late, *TAKEN_BACK, intent=fees(skip_queue=True, atomic=True))
    assert (decision.dead_class, decision.code) == (DeadClass.REJECTED, "ROLLED_BACK")
    assert decision.note.parts == {0: "undone txn_0", 1: "undone txn_1", 2: "missing"}


def test_each_item_has_a_reference_of_its_own_in_each_generation():
    """And everything else of it stays as it is."""
    first = fees(2).payload
    second = kind.KIND.renewed(first, 0)
    third = kind.KIND.renewed(second, 1)
    assert [kind.KIND.claims(payload) for payload in (first, second, third)] == [
        ("fee-0", "fee-1"),
        ("fee-0.r2", "fee-1.r2"),
        ("fee-0.r3", "fee-1.r3"),
    ]
    for one, other in zip(first["items"], third["items"], strict=True):
        assert {**other, "reference": one["reference"]} == one


def test_of_a_new_generation_nothing_is_known_of_the_old():
    """The rows of the first generation, all taken back, are not those of the second: it is sent as a whole."""
    entry = entry_of(fees(skip_queue=True, atomic=True))
    entry = replace(entry, payload=kind.KIND.renewed(entry.payload, 0))
    now = progress(61, generation=1, sent=False, looking=False)
    assert isinstance(step(entry, now, *TAKEN_BACK)[0], Send)
    assert [one["reference"] for one in kind.request(entry, now, POLICY).body["transactions"]] == [
        "fee-0.r2",
        "fee-1.r2",
        "fee-2.r2",
    ]
    assert isinstance(step(entry, progress(31, generation=1), *TAKEN_BACK)[0], Look)


@given(st.lists(st.sampled_from(["", "QUEUED", "APPLIED", "REJECTED"]), min_size=1, max_size=6), st.integers(0, 20_000))
def test_an_item_that_the_ledger_shows_is_in_no_further_request(states, ago_s):
    rows = [row for number, state in enumerate(states) if state for row in _rows_in(number, state)]
    entry = entry_of(fees(len(states)))
    decision, _ = step(entry, progress(ago_s), *rows)
    if isinstance(decision, Done):
        assert set(states) == {"APPLIED"}
    if isinstance(decision, Send):
        body = kind.request(entry, progress(memo=decision.note.memo), POLICY).body
        sent = {one["reference"] for one in body["transactions"]}
        assert sent == {f"fee-{number}" for number, state in enumerate(states) if not state}


def _rows_in(number: int, state: str) -> tuple[Row, ...]:
    return (item(number, "QUEUED"),) if state == "QUEUED" else both(number, state)


# -- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "acted", "refuse"),
    [
        (Response(201, body={"batch_id": "bulk_1"}), True, False),
        (Response(400, "TXN_INSUFFICIENT_FUNDS"), True, True),
        (Response(400, "GEN_BAD_REQUEST"), True, False),
        (Response(404, "TXN_NOT_FOUND"), True, True),
        (Response(409, "TXN_DUPLICATE_REFERENCE"), True, False),
        (Response(423, "GEN_RESOURCE_LOCKED"), True, False),
        (Response(500), True, False),
        (Response(failure=Failure.BROKEN), True, False),
    ],
)
def test_answers_after_which_some_items_may_stand_are_always_looked_at(response, acted, refuse):
    entry, now = entry_of(fees(skip_queue=True)), progress(sent=False, looking=False)
    verdict = kind.judge(entry, now, kind.request(entry, now, POLICY), response, POLICY)
    assert isinstance(verdict.decision, Look)
    assert (verdict.acted, verdict.decision.refuse) == (acted, refuse)


@pytest.mark.parametrize(
    "response",
    [
        Response(400, "TXN_VALIDATION_ERROR", has_errors=True),
        Response(400, "TXN_BULK_EMPTY"),
        Response(400, "GEN_MALFORMED_REQUEST"),
    ],
)
def test_our_own_mistake_is_refused_at_once(response):
    entry, now = entry_of(fees()), progress(sent=False, looking=False)
    verdict = kind.judge(entry, now, kind.request(entry, now, POLICY), response, POLICY)
    assert isinstance(verdict.decision, Dead)
    assert not verdict.acted


@pytest.mark.parametrize(
    ("dead_class", "code", "way"),
    [
        ("partial", "ITEMS_MISSING", ReplayWay.SAME),
        ("partial", "ITEMS_REJECTED", ReplayWay.NO),
        ("partial", "ROLLBACK_INCOMPLETE", ReplayWay.NO),
        ("unknown", "TAKEN_BACK", ReplayWay.NO),
        ("partial", "REFERENCE_CONFLICT", ReplayWay.NO),
        ("rejected", "ITEMS_REJECTED", ReplayWay.FRESH),
        ("rejected", "ROLLED_BACK", ReplayWay.FRESH),
        ("unknown", "STUCK_QUEUED", ReplayWay.SAME),
        ("refused", "TXN_INSUFFICIENT_FUNDS", ReplayWay.SAME),
    ],
)
def test_replays(dead_class, code, way):
    assert plan_replay(kind.NAME, dead_class, code).way is way


# -- what the ledger needs time for ----------------------------------------------------------------------------------


def request_of(intent):
    return kind.request(entry_of(intent), progress(memo={}), POLICY)


def test_a_request_is_given_time_for_each_of_its_items():
    # Cut off by us, the ledger stops in the middle, its rollback included (contract §14.4).
    for flags in ({}, {"skip_queue": True}, {"skip_queue": True, "atomic": True}):
        few, many = request_of(fees(10, **flags)), request_of(fees(100, **flags))
        assert 0 < few.work_s < many.work_s == pytest.approx(few.work_s * 10)
    # Ten times as slow as 24 batches at once on one balance were (measured): 14.8 s for 4,800 items.
    assert request_of(fees(200, skip_queue=True, atomic=True)).work_s >= 200 * 10 * 14.8 / 4_800


def atomic(*pairs: tuple[str, str]):
    items = [fee(number, source=source, destination=to) for number, (source, to) in enumerate(pairs)]
    return bulk_transactions(items, atomic=True, skip_queue=True)


def test_atomic_batches_that_share_a_balance_are_sent_one_at_a_time():
    one, other = atomic(("@a", "@b")), atomic(("@c", "@a"), ("@c", "@d"))
    assert set(one.orders) & set(other.orders)
    assert set(one.orders) & set(atomic(("@a", "@z")).orders)
    assert not set(one.orders) & set(atomic(("@e", "@f")).orders)
    assert fees(skip_queue=True).orders == fees().orders == ()


@given(st.lists(st.tuples(st.text("abc", min_size=1), st.text("xyz", min_size=1)), min_size=1, max_size=50))
def test_orders_are_bounded_and_each_balance_has_one_of_them(pairs):
    named = [("@" + source, "@" + to) for source, to in pairs]
    orders = set(atomic(*named).orders)
    assert len(orders) <= 64
    assert all(set(atomic((source, to)).orders) <= orders for source, to in named)


def test_many_balances_stand_in_as_many_orders_as_there_are_and_no_more():
    assert len(atomic(*((f"@a{number}", f"@b{number}") for number in range(200))).orders) <= 64


def test_a_conflict_is_told_with_both_sides_and_read_again_before_it_ends():
    entry = entry_of(fees())
    now = progress(memo={"marks": "axa", "batch": ""})
    other = both(1, "APPLIED", precise_amount=99)
    assert any(lookup.value == "fee-1" for lookup in next_step(kind.KIND, entry, now, Found(), POLICY))
    dead, _ = step(entry, now, *other)
    assert (dead.dead_class, dead.code) == (DeadClass.PARTIAL, "REFERENCE_CONFLICT")
    assert "fee-1 precise_amount: asked 100, has 99" in dead.message
    assert step(entry, now, *both(1, "APPLIED"))[0].outcome == "applied"
