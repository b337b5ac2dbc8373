from __future__ import annotations

import pytest

from blnk_relay.sandbox import Faults, Rule, Status


def test_skip_mode_answers_with_the_final_row(desk):
    answer = desk.pay("pay-1", skip_queue=True, meta_data={"wq": 1})
    body = answer.document()
    (row,) = desk.books.rows
    assert answer.status == 201
    assert (body["transaction_id"], body["status"]) == (row.transaction_id, "APPLIED")
    assert (body["source"], body["destination"]) == (row.source, row.destination)
    assert body["source"].startswith("bln_")
    assert "QUEUED_PARENT_TRANSACTION" not in row.meta
    assert body["skip_queue"] is True
    assert row.parent_transaction == ""


def test_a_hold_in_skip_mode_is_inflight_at_once(desk):
    body = desk.pay("hold-1", skip_queue=True, inflight=True).document()
    assert (body["status"], body["inflight"]) == ("INFLIGHT", True)
    assert "inflight" not in body["meta_data"]
    assert desk.inflight("@Wallet") == 10000


@pytest.mark.parametrize(
    ("changes", "status", "code", "text"),
    [
        (
            {"allow_overdraft": False},
            400,
            "TXN_INSUFFICIENT_FUNDS",
            "failed to apply transaction to balances: insufficient funds in source balance",
        ),
        (
            {"overdraft_limit": 5},
            400,
            "TXN_VALIDATION_ERROR",
            "failed to apply transaction to balances: transaction exceeds overdraft limit",
        ),
        (
            {"precise_amount": 0},
            400,
            "TXN_VALIDATION_ERROR",
            "failed to apply transaction to balances: transaction precise amount must be positive",
        ),
        ({"source": "bln_x"}, 404, "TXN_NOT_FOUND", "Balance with ID 'bln_x' not found"),
    ],
)
def test_refusals_use_error_and_leave_the_reference_free(desk, changes, status, code, text):
    answer = desk.pay("pay-1", skip_queue=True, **changes)
    body = answer.document()
    assert (answer.status, body["error_detail"]["code"]) == (status, code)
    assert body["error"] == body["error_detail"]["message"] == text
    assert desk.books.rows == ()
    assert desk.pay("pay-1", skip_queue=True).status == 201


def test_an_overdraft_limit_counts_without_allow_overdraft(desk):
    allowed = {"allow_overdraft": False, "precise_amount": 1000, "skip_queue": True}
    assert desk.pay("pay-1", overdraft_limit=9.99499, **allowed).status == 400
    assert desk.pay("pay-1", overdraft_limit=9.995, **allowed).status == 201
    assert desk.pay("pay-2", overdraft_limit=-10, **allowed).status == 400


def test_what_is_held_is_not_available(desk):
    desk.instance.create_balance("EUR", "@Payer")
    desk.instance.fund("@Payer", "EUR", 15000)
    desk.hold("hold-1", source="@Payer", allow_overdraft=False)
    answer = desk.pay("pay-1", source="@Payer", allow_overdraft=False, skip_queue=True)
    assert answer.document()["error_detail"]["code"] == "TXN_INSUFFICIENT_FUNDS"
    left = {"source": "@Payer", "allow_overdraft": False, "precise_amount": 5000, "skip_queue": True}
    assert desk.pay("pay-2", **left).status == 201


def test_a_schedule_is_ignored_in_skip_mode(desk):
    body = desk.pay("pay-1", skip_queue=True, scheduled_for="2027-01-01T00:00:00Z").document()
    assert (body["status"], body["scheduled_for"]) == ("APPLIED", "2027-01-01T00:00:00Z")
    assert desk.balance("@Wallet") == 10000


def test_an_indicator_and_its_own_id_lose_the_optimistic_lock(desk):
    world = desk.instance.create_balance("EUR", "@World")
    answer = desk.pay("pay-1", destination=world, skip_queue=True)
    assert answer.document()["error_detail"]["code"] == "GEN_CONFLICT"
    assert desk.books.rows == ()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("423", 423, "GEN_RESOURCE_LOCKED"), ("409_lock_lost", 409, "GEN_CONFLICT")],
)
def test_locks_can_be_lost_in_skip_mode_only(make_desk, fault, status, code):
    desk = make_desk(Faults.script([Rule(fault)]))
    assert desk.pay("queued").status == 201
    answer = desk.pay("pay-1", skip_queue=True)
    assert (answer.status, answer.document()["error_detail"]["code"]) == (status, code)
    assert desk.pay("pay-1", skip_queue=True).status == 201


def test_a_race_on_a_reference_can_answer_500_with_the_drivers_code(make_desk):
    desk = make_desk(Faults.script([Rule("500_duplicate", skip=1)]))
    assert desk.pay("pay-1", skip_queue=True).status == 201
    answer = desk.pay("pay-1", skip_queue=True)
    assert answer.status == 500
    assert answer.document()["error_detail"]["details"]["Code"] == "23505"
    assert desk.books.applied("pay-1") == 1


def test_any_size_of_integer_is_exact(desk):
    body = desk.pay("pay-1", skip_queue=True, precise_amount=12345678901234567890123).document()
    assert body["precise_amount"] == 12345678901234567890123
    assert body["amount_string"] == "123456789012345678901.23"
    assert desk.balance("@Wallet") == 12345678901234567890123


def test_older_cores_take_negative_amounts_and_lose_them(make_desk):
    desk = make_desk(core_version="0.15.2")
    assert desk.pay("pay-1", precise_amount=-5).status == 201
    desk.step(20 * 60)
    assert desk.books.rows == ()
    assert desk.pay("pay-2", precise_amount=-5, skip_queue=True).status == 400


def test_an_effective_date_is_stored(desk):
    desk.pay("pay-1", skip_queue=True, effective_date="2025-12-24T00:00:00Z")
    (row,) = desk.books.rows
    assert row.effective_ns == 1_766_534_400 * 10**9
    assert row.status is Status.APPLIED
