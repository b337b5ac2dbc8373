from __future__ import annotations

import pytest

from blnk_relay.sandbox import Faults, Rule, Status

ALL_RETRIES_S = 15 * 60.0


def test_a_hold_keeps_money_back_and_a_commit_moves_it(desk):
    hold = desk.hold("hold-1")
    assert (desk.balance("@Wallet"), desk.inflight("@Wallet")) == (0, 10000)
    row = desk.books.hold("hold-1")
    assert row.meta["inflight"] is True
    answer = desk.settle(hold, "commit", skip_queue=True)
    body = answer.document()
    assert (answer.status, body["status"], body["parent_transaction"]) == (200, "APPLIED", hold)
    assert body["reference"].startswith("ref_")
    assert "queued" not in body
    assert (desk.balance("@Wallet"), desk.inflight("@Wallet")) == (10000, 0)
    child = desk.books.row(body["reference"])
    assert "inflight" not in child.meta
    assert child.queued_parent == row.queued_parent


def test_a_queued_commit_answers_with_the_hold_and_acts_later(desk):
    hold = desk.hold("hold-1")
    answer = desk.settle(hold, "commit", precise_amount=4000)
    body = answer.document()
    assert (answer.status, body["queued"], body["status"]) == (200, True, "INFLIGHT")
    assert (body["transaction_id"], body["precise_amount"]) == (hold, 10000)
    assert desk.balance("@Wallet") == 0
    desk.step()
    (child,) = desk.books.children(hold)
    assert child.reference.startswith(f"{hold}_commit_act_")
    assert child.precise_amount == 4000
    assert desk.books.row("hold-1_q").status is Status.INFLIGHT


@pytest.mark.parametrize("second", ["commit", "void"])
def test_a_second_action_conflicts_while_the_first_waits(desk, error_code, second):
    hold = desk.hold("hold-1")
    desk.settle(hold, "commit")
    answer = desk.settle(hold, second)
    assert (answer.status, error_code(answer)) == (409, "GEN_CONFLICT")
    desk.step()
    assert desk.books.committed(hold) == 10000
    assert not desk.books.voided(hold)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("commit commit", "TXN_ALREADY_COMMITTED"),
        ("commit void", "TXN_ALREADY_COMMITTED"),
        ("void commit", "TXN_ALREADY_VOIDED"),
        ("void void", "TXN_ALREADY_VOIDED"),
    ],
)
def test_a_settled_hold_stays_settled(desk, error_code, actions, expected, skip):
    first, second = actions.split()
    hold = desk.hold("hold-1")
    assert desk.settle(hold, first, skip_queue=skip).status == 200
    desk.step()
    answer = desk.settle(hold, second, skip_queue=skip)
    assert (answer.status, error_code(answer)) == (409, expected)
    assert len(desk.books.children(hold)) == 1


def test_the_same_partial_commit_twice_commits_twice(desk, error_code):
    hold = desk.hold("hold-1")
    for _ in range(2):
        assert desk.settle(hold, "commit", precise_amount=4000).status == 200
        desk.step()
    assert desk.books.committed(hold) == 8000
    answer = desk.settle(hold, "commit", precise_amount=4000)
    assert (answer.status, error_code(answer)) == (400, "TXN_COMMIT_AMOUNT_EXCEEDED")
    assert desk.settle(hold, "commit", skip_queue=True).document()["precise_amount"] == 2000


def test_a_void_releases_what_a_partial_commit_left(desk):
    hold = desk.hold("hold-1")
    desk.settle(hold, "commit", precise_amount=1234, skip_queue=True)
    body = desk.settle(hold, "void", precise_amount=3, skip_queue=True).document()
    assert (body["status"], body["precise_amount"]) == ("VOID", 8766)
    assert (desk.balance("@Wallet"), desk.inflight("@Wallet")) == (1234, 0)


def test_more_than_the_hold_is_refused(desk, error_code):
    hold = desk.hold("hold-1")
    answer = desk.settle(hold, "commit", precise_amount=10001, skip_queue=True)
    assert (answer.status, error_code(answer)) == (400, "TXN_COMMIT_AMOUNT_EXCEEDED")
    assert "Original: EUR100.00, Requested: EUR100.01" in answer.document()["error"]


@pytest.mark.parametrize(
    ("fields", "status", "expected"),
    [
        ({"status": "Commit"}, 400, "TXN_INVALID_STATUS_ACTION"),
        ({}, 400, "TXN_INVALID_STATUS_ACTION"),
        ({"status": "void", "precise_amount": 0}, 400, "TXN_INVALID_AMOUNT"),
        ({"status": "commit", "precise_amount": -1}, 400, "TXN_INVALID_AMOUNT"),
        ({"status": "commit", "precise_amount": "5"}, 400, "GEN_MALFORMED_REQUEST"),
        ({"status": "commit", "precise_amount": 1.5}, 400, "GEN_MALFORMED_REQUEST"),
        ({"status": "commit", "amount": -1}, 400, "GEN_BAD_REQUEST"),
    ],
)
def test_bad_requests_for_holds(desk, error_code, fields, status, expected):
    hold = desk.hold("hold-1")
    answer = desk.send("PUT", f"/proxy/transactions/inflight/{hold}", fields)
    assert (answer.status, error_code(answer)) == (status, expected)


def test_an_empty_body_is_malformed(desk, error_code):
    answer = desk.send("PUT", f"/proxy/transactions/inflight/{desk.hold('hold-1')}")
    assert error_code(answer) == "GEN_MALFORMED_REQUEST"
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_an_amount_is_converted_with_the_holds_precision_and_zero_commits_everything(desk):
    first, second = desk.hold("hold-1"), desk.hold("hold-2")
    assert desk.settle(first, "commit", amount=12.34, skip_queue=True).document()["precise_amount"] == 1234
    assert desk.settle(second, "commit", amount=0.001, skip_queue=True).document()["precise_amount"] == 10000


def test_an_unknown_hold_is_404_queued_and_400_in_skip_mode(desk, error_code):
    unknown = "txn_00000000-0000-4000-8000-000000000000"
    answer = desk.settle(unknown, "commit")
    assert (answer.status, error_code(answer)) == (404, "TXN_NOT_FOUND")
    answer = desk.settle(unknown, "commit", skip_queue=True)
    assert (answer.status, error_code(answer)) == (400, "TXN_NOT_INFLIGHT")


@pytest.mark.parametrize("skip", [True, False])
def test_an_applied_row_is_no_hold(desk, error_code, skip):
    answer = desk.settle(desk.applied("pay-1"), "commit", skip_queue=skip)
    assert (answer.status, error_code(answer)) == (400, "TXN_NOT_INFLIGHT")


@pytest.mark.parametrize("first", ["commit", "void"])
def test_the_queued_parent_answers_200_for_ever_and_nothing_happens(desk, first):
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    desk.step()
    assert desk.settle(parent, first).document()["status"] == "QUEUED"
    desk.step()
    hold = desk.books.hold("hold-1").transaction_id
    assert len(desk.books.children(hold)) == 1
    for verb in ("commit", "void"):
        answer = desk.settle(parent, verb)
        assert (answer.status, answer.document()["queued"]) == (200, True)
        desk.step()
    assert len(desk.books.children(hold)) == 1


def test_the_queued_parent_of_a_rejected_hold_answers_200_too(desk):
    parent = desk.pay("hold-1", inflight=True, allow_overdraft=False).document()["transaction_id"]
    desk.step()
    assert desk.settle(parent, "commit").document()["queued"] is True
    desk.step(ALL_RETRIES_S)
    assert desk.books.outcome("hold-1") is Status.REJECTED
    assert len(desk.books.rows) == 2


def test_the_parent_works_in_skip_mode(desk, error_code):
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    desk.step()
    body = desk.settle(parent, "commit", skip_queue=True).document()
    assert body["parent_transaction"] == desk.books.hold("hold-1").transaction_id
    assert error_code(desk.settle(parent, "commit", skip_queue=True)) == "TXN_ALREADY_COMMITTED"


def test_a_commit_before_anything_is_stored_is_404(make_desk, error_code):
    desk = make_desk(persist_s=1)
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    assert error_code(desk.settle(parent, "commit")) == "TXN_NOT_FOUND"
    assert error_code(desk.settle(parent, "commit", skip_queue=True)) == "TXN_NOT_INFLIGHT"


def test_a_commit_before_the_hold_is_applied_is_retried_until_it_is(make_desk):
    desk = make_desk(apply_s=5)
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    desk.step(1)
    assert desk.settle(parent, "commit").status == 200
    assert desk.settle(parent, "commit", skip_queue=True).document()["error_detail"]["code"] == "GEN_BAD_REQUEST"
    desk.step(4.5)
    hold = desk.books.hold("hold-1").transaction_id
    assert desk.books.committed(hold) == 0
    desk.step(60)
    assert desk.books.committed(hold) == 10000
    assert desk.books.violations() == []


def test_an_early_commit_takes_the_money_of_another_hold_on_the_same_balances(make_desk):
    desk = make_desk(apply_s=5)
    desk.hold("other", skip_queue=True)
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    desk.step(1)
    assert desk.settle(parent, "commit", skip_queue=True).document()["parent_transaction"] == parent
    desk.step(10)
    assert desk.books.committed(desk.books.hold("hold-1").transaction_id) == 0
    assert desk.balance("@Wallet") == 10000
    assert any("and no hold" in problem for problem in desk.books.violations())


def test_an_archived_action_blocks_the_queue_and_skip_mode_is_the_way_out(make_desk, error_code):
    desk = make_desk(Faults.script([Rule("archived", method="PUT")]))
    hold = desk.hold("hold-1")
    assert desk.settle(hold, "commit").status == 200
    desk.step(24 * 3600)
    assert error_code(desk.settle(hold, "commit")) == "GEN_CONFLICT"
    assert desk.books.committed(hold) == 0
    assert desk.settle(hold, "commit", skip_queue=True).status == 200
    assert desk.instance.release_archived() == 1
    assert error_code(desk.settle(hold, "commit")) == "TXN_ALREADY_COMMITTED"


def test_an_action_that_keeps_failing_is_archived_after_its_retries(make_desk, error_code):
    desk = make_desk(apply_s=3600)
    parent = desk.pay("hold-1", inflight=True).document()["transaction_id"]
    desk.step(1)
    desk.settle(parent, "commit")
    desk.step(ALL_RETRIES_S)
    assert error_code(desk.settle(parent, "void")) == "GEN_CONFLICT"
    assert desk.instance.core.actions == {parent: "archived"}


def test_an_expiry_of_a_queued_hold_voids_the_parent_and_leaves_the_hold_looking_open(make_desk):
    desk = make_desk()
    parent = desk.pay("hold-1", inflight=True, inflight_expiry_date="2026-01-01T01:00:00Z").document()
    desk.step(3601)
    hold = desk.books.hold("hold-1").transaction_id
    (void,) = [row for row in desk.books.children(parent["transaction_id"]) if row.status is Status.VOID]
    assert void.reference.startswith("ref_")
    assert desk.books.children(hold) == ()
    assert desk.inflight("@Wallet") == 0


def test_an_expiry_after_a_partial_commit_of_a_queued_hold_leaves_the_rest_held(desk):
    desk.pay("hold-1", inflight=True, inflight_expiry_date="2026-01-01T01:00:00Z")
    desk.step()
    desk.settle(desk.books.hold("hold-1").transaction_id, "commit", precise_amount=4000, skip_queue=True)
    desk.step(2 * 3600)
    assert desk.inflight("@Wallet") == 6000


def test_an_expiry_of_a_plain_payment_is_ignored(desk):
    desk.applied("pay-1", inflight_expiry_date="2026-01-01T00:00:01Z")
    desk.step(3600)
    assert len(desk.books.rows) == 2


def test_an_expiry_of_a_skip_mode_hold_voids_the_hold_itself(desk):
    body = desk.pay("hold-1", skip_queue=True, inflight=True, inflight_expiry_date="2026-01-01T01:00:00Z").document()
    assert body["inflight_expiry_date"] == "2026-01-01T01:00:00Z"
    desk.step(3601)
    assert desk.books.voided(body["transaction_id"])
    assert desk.inflight("@Wallet") == 0


def test_an_expiry_after_a_commit_of_a_queued_hold_takes_from_other_holds(make_desk):
    desk = make_desk()
    desk.pay("hold-1", inflight=True, inflight_expiry_date="2026-01-01T01:00:00Z")
    desk.hold("hold-2")
    desk.settle(desk.books.hold("hold-1").transaction_id, "commit", skip_queue=True)
    desk.step(3601)
    assert desk.inflight("@Wallet") == 0
    assert desk.books.violations() != []


def test_a_hold_can_commit_itself_at_a_date(desk):
    desk.pay("hold-1", inflight=True, inflight_commit_date="2026-01-01T01:00:00Z")
    desk.step(3601)
    assert desk.books.committed(desk.books.hold("hold-1").transaction_id) == 10000


def test_a_hold_whose_metadata_grew_too_large_cannot_be_settled(desk):
    hold = desk.hold("hold-1")
    for name in ("a", "b"):
        answer = desk.send("POST", f"/proxy/{hold}/metadata", {"meta_data": {name: "x" * 4000}})
        assert answer.status == 200
    answer = desk.settle(hold, "commit", skip_queue=True)
    assert answer.status == 400
    assert desk.balance("@Wallet") == 0
