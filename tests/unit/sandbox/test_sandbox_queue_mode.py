from __future__ import annotations

import pytest

from blnk_relay.sandbox import Faults, Rule, Status

TWO_HOURS_S = 2 * 3600.0


def test_a_201_comes_before_anything_is_stored(desk):
    answer = desk.pay("pay-1")
    assert answer.status == 201
    body = answer.document()
    assert body["status"] == "QUEUED"
    assert body["meta_data"]["QUEUED_PARENT_TRANSACTION"] == body["transaction_id"]
    assert desk.books.rows == ()


def test_the_parent_is_stored_first_and_the_child_is_applied_later(make_desk):
    desk = make_desk(persist_s=1, apply_s=10)
    answered = desk.pay("pay-1", meta_data={"wq": {"key": "job-1"}}).document()
    desk.step(1)
    (parent,) = desk.books.rows
    assert (parent.transaction_id, parent.reference) == (answered["transaction_id"], "pay-1")
    assert (parent.status, parent.parent_transaction) == (Status.QUEUED, "")
    desk.step(10)
    parent, child = desk.books.rows
    assert parent.status is Status.QUEUED
    assert (child.reference, child.status) == ("pay-1_q", Status.APPLIED)
    assert child.parent_transaction == parent.transaction_id
    assert child.created_ns == parent.created_ns
    assert child.queued_parent == parent.queued_parent == parent.transaction_id
    assert child.meta["wq"] == {"key": "job-1"}
    assert child.meta["queue_lane"] == "normal"
    assert child.meta["queue_pair_key"] == f"{child.source}|{child.destination}|EUR"
    assert child.meta["allow_overdraft"] is True
    assert desk.balance("@Wallet") == 10000


def test_indicators_are_echoed_as_sent_and_resolved_in_the_rows(desk):
    answered = desk.pay("pay-1").document()
    assert (answered["source"], answered["destination"]) == ("@World", "@Wallet")
    desk.step()
    row = desk.books.row("pay-1")
    world = desk.books.balance_of("@World", "EUR")
    assert row.source == world.balance_id
    assert world.ledger_id == "general_ledger_id"


def test_a_duplicate_answers_201_with_an_id_that_never_exists(desk):
    desk.applied("pay-1")
    answer = desk.pay("pay-1", precise_amount=777)
    phantom = answer.document()
    assert (answer.status, phantom["status"], phantom["precise_amount"]) == (201, "QUEUED", 777)
    desk.step()
    assert desk.books.applied("pay-1") == 1
    assert desk.balance("@Wallet") == 10000
    assert desk.send("GET", f"/proxy/transactions/{phantom['transaction_id']}").status == 404


def test_the_same_reference_twice_before_the_first_is_stored_applies_once(desk):
    first, second = desk.pay("pay-1").document(), desk.pay("pay-1").document()
    desk.step()
    assert [row.reference for row in desk.books.rows] == ["pay-1", "pay-1_q"]
    assert desk.books.row("pay-1").transaction_id == first["transaction_id"] != second["transaction_id"]


@pytest.mark.parametrize(("first", "second", "status"), [(False, True, 409), (True, False, 201), (True, True, 409)])
def test_both_modes_share_one_index_of_references(desk, error_code, first, second, status):
    desk.applied("pay-1", skip_queue=first)
    answer = desk.pay("pay-1", skip_queue=second)
    desk.step()
    assert answer.status == status
    if status == 409:
        assert error_code(answer) == "TXN_DUPLICATE_REFERENCE"
    assert desk.books.applied("pay-1") == 1


def test_skip_mode_can_win_before_the_queued_row_is_stored(desk):
    desk.pay("pay-1")
    assert desk.pay("pay-1", skip_queue=True).document()["status"] == "APPLIED"
    desk.step()
    assert [row.reference for row in desk.books.rows] == ["pay-1"]


@pytest.mark.parametrize(
    "vanishing",
    [
        {"destination": "bln_00000000-0000-4000-8000-000000000000"},
        {"source": "mainaccount"},
        {"precise_amount": 0},
        {"precise_amount": ..., "amount": 0.004},
        {"meta_data": {"note": "x" * 9000}},
        {"description": "nul\0"},
        {"meta_data": {"nul\0": 1}},
        {"precision": 10**19},
    ],
    ids=["unknown", "no id", "zero", "rounds to zero", "too large", "NUL", "NUL in metadata", "precision"],
)
def test_some_requests_get_a_201_and_are_never_recorded(desk, vanishing):
    assert desk.pay("pay-1", **vanishing).status == 201
    desk.step(20 * 60)
    assert desk.books.rows_by_reference("pay-1") == ()


def test_metadata_of_7300_bytes_fits_into_a_row_and_7400_do_not(desk):
    desk.instance.create_balance("EUR", "@Funded")
    desk.instance.fund("@Funded", "EUR", 50000)
    plain = {"skip_queue": True, "allow_overdraft": False, "source": "@Funded"}
    assert desk.pay("fits", meta_data={"k": "x" * 7290}, **plain).status == 201
    answer = desk.pay("too-large", meta_data={"k": "x" * 7390}, **plain)
    assert answer.status == 500
    assert answer.document()["error_detail"]["details"]["Code"] == "22023"
    assert desk.books.row("too-large") is None
    assert desk.balance("@Funded") == 40000


def test_between_fitting_and_vanishing_a_payment_stays_queued_or_its_refusal_cannot_be_written(desk):
    sides = {name: desk.instance.create_balance("EUR") for name in ("source", "destination")}
    for reference, length in (("sixteen-bytes-r1", 7050), ("sixteen-bytes-r2", 7120), ("sixteen-bytes-r3", 7200)):
        desk.pay(reference, meta_data={"x": "x" * (length - 8)}, description="text", **sides)
    desk.pay("sixteen-bytes-r0", meta_data={"x": "x" * 7042}, allow_overdraft=False, **sides)
    desk.step(20 * 60)
    outcomes = [desk.books.outcome(f"sixteen-bytes-r{number}") for number in range(4)]
    assert outcomes == [Status.QUEUED, Status.APPLIED, Status.QUEUED, None]


def test_a_crash_between_201_and_the_stored_row_loses_everything(desk):
    desk.pay("pay-1")
    assert desk.instance.core.crash() == 1
    desk.step(5 * 3600)
    assert desk.books.rows == ()
    desk.applied("pay-1")
    assert desk.books.applied("pay-1") == 1


def test_a_lost_task_leaves_the_row_queued_until_recovery_after_two_hours(make_desk):
    desk = make_desk(Faults.script([Rule("task_lost")]))
    desk.pay("pay-1")
    desk.step(TWO_HOURS_S - 60)
    assert desk.books.outcome("pay-1") is Status.QUEUED
    desk.step(45 * 60)
    assert desk.books.outcome("pay-1") is Status.APPLIED
    assert desk.books.applied("pay-1") == 1
    assert desk.books.row("pay-1").meta["recovery_status"] == "recovered"


def test_recovery_gives_up_after_three_tries_and_rejects(make_desk):
    desk = make_desk(Faults.script([Rule("task_lost")]))
    desk.pay("pay-1", allow_overdraft=False)
    desk.step(TWO_HOURS_S + 3 * 1800)
    assert desk.books.outcome("pay-1") is Status.QUEUED
    desk.step(1800)
    _, child = desk.books.rows_by_reference("pay-1")
    assert child.status is Status.REJECTED
    assert child.meta["blnk_rejection_reason"] == "exceeded max queued recovery attempts"


def test_recovery_forgets_an_overdraft_limit(make_desk):
    desk = make_desk(Faults.script([Rule("task_lost")]))
    desk.pay("pay-1", overdraft_limit=5)
    desk.step(TWO_HOURS_S + 1800)
    assert desk.books.outcome("pay-1") is Status.APPLIED


def test_a_parent_that_cannot_be_stored_is_applied_under_its_own_reference(make_desk):
    desk = make_desk(Faults.script([Rule("persist_fails")]))
    answered = desk.pay("pay-1").document()
    desk.step()
    (row,) = desk.books.rows
    assert (row.transaction_id, row.reference) == (answered["transaction_id"], "pay-1")
    assert row.status is Status.APPLIED


def test_missing_funds_become_a_rejected_child_and_use_the_reference_up(desk):
    desk.pay("pay-1", allow_overdraft=False)
    desk.step()
    _, child = desk.books.rows_by_reference("pay-1")
    assert child.status is Status.REJECTED
    reason = "failed to apply transaction to balances: insufficient funds in source balance"
    assert child.meta["blnk_rejection_reason"] == reason
    desk.instance.fund("@World", "EUR", 50000)
    assert desk.pay("pay-1", allow_overdraft=False).status == 201
    desk.step(20 * 60)
    assert desk.books.outcome("pay-1") is Status.REJECTED
    assert desk.pay("pay-1", allow_overdraft=False, skip_queue=True).status == 409


def test_an_exceeded_overdraft_limit_is_rejected_at_once(desk):
    desk.pay("pay-1", overdraft_limit=50)
    desk.step()
    assert desk.books.outcome("pay-1") is Status.REJECTED


def test_payments_that_wait_together_lose_their_overdraft_limit(desk):
    for number in range(5):
        desk.pay(f"pay-{number}", overdraft_limit=150)
    desk.step()
    assert [desk.books.applied(f"pay-{number}") for number in range(5)] == [1] * 5
    assert desk.balance("@World") == -50000


def test_the_first_of_a_batch_is_judged_by_its_limit(desk):
    desk.pay("pay-1", overdraft_limit=50)
    desk.pay("pay-2", overdraft_limit=50)
    desk.step()
    assert desk.books.outcome("pay-1") is Status.REJECTED


def test_payments_that_wait_together_lose_their_effective_date(desk):
    for number in range(3):
        desk.pay(f"pay-{number}", effective_date="2020-01-01T00:00:00Z")
    desk.step()
    kept = [desk.books.row(f"pay-{number}_q").effective_ns is not None for number in range(3)]
    assert kept == [True, False, False]
    assert all(desk.books.row(f"pay-{number}").effective_ns for number in range(3))


def test_flags_in_a_callers_metadata_are_obeyed_in_a_batch(desk):
    desk.pay("pay-1")
    desk.pay("pay-2", meta_data={"inflight": True})
    desk.pay("pay-3", allow_overdraft=False, meta_data={"allow_overdraft": True})
    desk.step()
    outcomes = [desk.books.outcome(f"pay-{number}") for number in (1, 2, 3)]
    assert outcomes == [Status.APPLIED, Status.INFLIGHT, Status.APPLIED]


def test_funds_are_safe_in_a_batch(desk):
    desk.instance.fund("@Payer", "EUR", 50000)
    for number in range(12):
        desk.pay(f"pay-{number}", source="@Payer", allow_overdraft=False)
    desk.step()
    outcomes = [desk.books.outcome(f"pay-{number}") for number in range(12)]
    assert (outcomes.count(Status.APPLIED), outcomes.count(Status.REJECTED)) == (5, 7)
    assert desk.balance("@Payer") == 0


def test_a_batch_does_not_take_lost_or_slow_tasks_along(make_desk):
    desk = make_desk(Faults.script([Rule("task_lost"), Rule("slow_apply", seconds=60)]))
    for reference in ("lost", "slow", "plain", "plain too"):
        desk.pay(reference)
    desk.step()
    outcomes = [desk.books.outcome(reference) for reference in ("lost", "slow", "plain", "plain too")]
    assert outcomes == [Status.QUEUED, Status.QUEUED, Status.APPLIED, Status.APPLIED]


def test_without_coalescing_the_limit_holds(make_desk):
    desk = make_desk(coalescing=False)
    for number in range(5):
        desk.pay(f"pay-{number}", overdraft_limit=150)
    desk.step()
    assert desk.balance("@World") == -10000


def test_a_passing_failure_is_retried_within_44_seconds(make_desk):
    desk = make_desk(Faults.script([Rule("apply_fails")]))
    desk.pay("pay-1")
    desk.step(14)
    assert desk.books.outcome("pay-1") is Status.QUEUED
    desk.step(31)
    assert desk.books.outcome("pay-1") is Status.APPLIED


def test_a_lasting_failure_is_rejected_after_five_retries_within_fifteen_minutes(desk):
    world = desk.instance.create_balance("EUR", "@World")
    # An indicator and its own id pass the check of the texts, and lose the optimistic lock each time.
    desk.pay("pay-1", source="@World", destination=world)
    desk.step(6 * 60)
    assert desk.books.outcome("pay-1") is Status.QUEUED
    desk.step(10 * 60)
    _, child = desk.books.rows_by_reference("pay-1")
    assert child.status is Status.REJECTED
    assert "Optimistic locking failure" in child.meta["blnk_rejection_reason"]


def test_a_foreign_child_reference_blocks_a_payment_for_good(desk):
    desk.applied("pay-1_q", skip_queue=True)
    desk.pay("pay-1")
    desk.step(20 * 60)
    assert desk.books.row("pay-1").status is Status.QUEUED
    assert desk.balance("@Wallet") == 10000


def test_a_scheduled_payment_waits_for_its_time(desk):
    answer = desk.pay("pay-1", scheduled_for="2026-01-01T01:00:00Z")
    assert answer.document()["status"] == "SCHEDULED"
    desk.step(3500)
    assert desk.books.outcome("pay-1") is Status.SCHEDULED
    desk.step(101)
    assert desk.books.outcome("pay-1") is Status.APPLIED


def test_slow_apply_keeps_a_row_queued(make_desk):
    desk = make_desk(Faults.script([Rule("slow_apply", seconds=60)]))
    desk.pay("pay-1")
    desk.step(59)
    assert desk.books.outcome("pay-1") is Status.QUEUED
    desk.step(2)
    assert desk.books.outcome("pay-1") is Status.APPLIED


def test_a_vanished_201_stores_nothing_and_its_repeat_works(make_desk):
    desk = make_desk(Faults.script([Rule("vanish")]))
    assert desk.pay("pay-1").status == 201
    desk.step(5 * 3600)
    assert desk.books.rows == ()
    desk.applied("pay-1")
    assert desk.books.applied("pay-1") == 1


def test_currencies_are_never_compared_and_the_books_tell(make_desk):
    desk = make_desk()
    euro = desk.instance.create_balance("EUR")
    desk.pay("pay-1", currency="USD", destination=euro)
    desk.step()
    assert desk.books.outcome("pay-1") is Status.APPLIED
    assert any("other currencies" in problem for problem in desk.books.violations())
