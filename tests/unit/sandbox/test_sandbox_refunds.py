from __future__ import annotations

import pytest

from blnk_relay.sandbox import Status


def test_a_queued_refund_hangs_two_levels_below_the_payment(desk):
    paid = desk.applied("pay-1")
    answer = desk.refund(paid)
    body = answer.document()
    assert (answer.status, body["status"]) == (201, "QUEUED")
    assert (body["reference"], body["parent_transaction"]) == (f"{paid}_refund", paid)
    assert body["allow_overdraft"] is True
    desk.step()
    stored, child = desk.books.rows_by_reference(f"{paid}_refund")
    assert (stored.parent_transaction, stored.status) == (paid, Status.QUEUED)
    assert (child.parent_transaction, child.status) == (stored.transaction_id, Status.APPLIED)
    assert child.queued_parent == stored.transaction_id
    assert desk.balance("@Wallet") == 0
    assert desk.books.refunds(paid) == 1


@pytest.mark.parametrize("which", ["parent", "applied"])
def test_a_refund_is_named_after_the_applied_row_whatever_id_is_passed(desk, which):
    parent = desk.pay("pay-1").document()["transaction_id"]
    desk.step()
    applied = desk.books.row("pay-1_q").transaction_id
    body = desk.refund(parent if which == "parent" else applied).document()
    assert body["reference"] == f"{applied}_refund"


def test_a_second_queued_refund_conflicts_and_moves_nothing(desk, error_code):
    paid = desk.applied("pay-1")
    desk.refund(paid)
    desk.step()
    for _ in range(3):
        answer = desk.refund(paid)
        assert (answer.status, error_code(answer)) == (409, "GEN_CONFLICT")
        desk.step()
    assert desk.balance("@Wallet") == 0
    assert desk.books.refunds(paid) == 1


def test_two_refunds_before_the_first_is_stored_apply_once(desk):
    paid = desk.applied("pay-1")
    first, second = desk.refund(paid), desk.refund(paid)
    assert (first.status, second.status) == (201, 201)
    desk.step()
    assert desk.balance("@Wallet") == 0
    assert desk.send("GET", f"/proxy/transactions/{second.document()['transaction_id']}").status == 404


def test_the_second_call_undoes_a_skip_mode_refund_and_answers_409(desk, error_code):
    paid = desk.applied("pay-1", skip_queue=True)
    assert desk.refund(paid, skip_queue=True).document()["status"] == "APPLIED"
    assert desk.balance("@Wallet") == 0
    answer = desk.refund(paid, skip_queue=True)
    assert (answer.status, error_code(answer)) == (409, "GEN_CONFLICT")
    assert desk.balance("@Wallet") == 10000
    assert error_code(desk.refund(paid, skip_queue=True)) == "GEN_CONFLICT"
    assert desk.balance("@Wallet") == 10000


def test_a_queued_call_undoes_a_skip_mode_refund_too(desk, error_code):
    paid = desk.applied("pay-1")
    desk.refund(paid, skip_queue=True)
    assert error_code(desk.refund(paid)) == "GEN_CONFLICT"
    desk.step()
    assert desk.balance("@Wallet") == 10000


@pytest.mark.parametrize("state", ["unknown", "queued", "inflight", "rejected"])
def test_what_is_not_applied_cannot_be_refunded(desk, error_code, state):
    row_id = "txn_00000000-0000-4000-8000-000000000000"
    if state == "queued":
        row_id = desk.pay("pay-1").document()["transaction_id"]
    elif state == "inflight":
        row_id = desk.hold("hold-1")
    elif state == "rejected":
        row_id = desk.applied("pay-1", allow_overdraft=False)
    answer = desk.refund(row_id)
    assert (answer.status, error_code(answer)) == (404, "TXN_NOT_FOUND")
    assert answer.document()["error"] == "no transaction to refund"


def test_the_payee_may_go_negative(desk):
    paid = desk.applied("pay-1")
    desk.applied("spent", source="@Wallet", destination="@Shop")
    desk.refund(paid)
    desk.step()
    assert desk.balance("@Wallet") == -10000


def test_a_committed_hold_is_refunded_commit_by_commit(desk):
    hold = desk.hold("hold-1")
    for amount in (3000, 4000):
        desk.step(1)
        desk.settle(hold, "commit", precise_amount=amount, skip_queue=True)
    first, second = desk.books.children(hold)
    body = desk.refund(hold).document()
    assert body["reference"] == f"{second.transaction_id}_refund"
    desk.step()
    assert desk.books.refunds(first.transaction_id) == desk.books.refunds(second.transaction_id) == 1
    assert desk.balance("@Wallet") == 0


def test_one_refunded_leg_makes_409_while_the_other_is_refunded_in_the_same_call(desk, error_code):
    hold = desk.hold("hold-1")
    for amount in (3000, 4000):
        desk.settle(hold, "commit", precise_amount=amount, skip_queue=True)
    first, second = desk.books.children(hold)
    desk.refund(first.transaction_id)
    desk.step()
    assert error_code(desk.refund(hold)) == "GEN_CONFLICT"
    desk.step()
    assert desk.books.refunds(second.transaction_id) == 1


def test_refunding_a_voided_hold_makes_a_hold_in_the_other_direction(desk):
    hold = desk.hold("hold-1")
    desk.settle(hold, "void", skip_queue=True)
    body = desk.refund(hold).document()
    assert body["inflight"] is True
    desk.step()
    assert desk.inflight("@Wallet") == -10000
    (void,) = desk.books.children(hold)
    assert desk.refund(void.transaction_id).status == 404


def test_a_refund_can_carry_a_text_and_metadata_on_new_cores_only(desk, make_desk):
    for head, texts in ((True, ("why", 2)), (False, ("Wallet top-up", 1))):
        ledger = make_desk(core_version="0.15.3" if head else "0.15.2")
        paid = ledger.applied("pay-1", meta_data={"kept": 0, "n": 1})
        body = ledger.refund(paid, description="why", meta_data={"n": 2}).document()
        assert (body["description"], body["meta_data"]["n"], body["meta_data"]["kept"]) == (*texts, 0)
    assert desk.books.rows == ()


def test_an_empty_body_is_allowed_and_a_broken_one_is_not(desk, error_code):
    paid = desk.applied("pay-1")
    assert error_code(desk.send("POST", f"/proxy/refund-transaction/{paid}", b"{")) == "GEN_MALFORMED_REQUEST"
    assert desk.send("POST", f"/proxy/refund-transaction/{paid}").status == 201


def test_refunding_the_refund_by_its_queued_row_gives_the_money_back(desk, error_code):
    paid = desk.applied("pay-1")
    refunded = desk.refund(paid).document()["transaction_id"]
    desk.step()
    assert desk.refund(refunded).status == 201
    desk.step()
    assert desk.balance("@Wallet") == 10000
    assert error_code(desk.refund(paid)) == "GEN_CONFLICT"
