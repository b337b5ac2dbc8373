"""``dry_run``: a Core since 0.15.3 tells what a write would do, an older one executes it (contract §14.1)."""

from __future__ import annotations

import pytest

ITEMS = ("POST", "/proxy/transactions/bulk")


def resulting(body):
    return {side["role"]: side["resulting_balance"] for side in body["balances"]}


def test_a_preview_of_a_payment_changes_nothing(desk):
    desk.pay("seed", skip_queue=True)
    before = desk.books
    body = desk.pay("dry", source="@Wallet", destination="@Shop", precise_amount=300, dry_run=True).document()
    wallet = before.balance_of("@Wallet", "EUR")
    assert body == {
        "dry_run": True,
        "would_apply": True,
        "status": "APPLIED",
        "reference": "dry",
        "currency": "EUR",
        "amount": 3,
        "precise_amount": "300",
        "precision": 100,
        "balances": [
            {
                "balance_id": wallet.balance_id,
                "role": "source",
                "currency": "EUR",
                "current_balance": "10000",
                "current_available": "10000",
                "current_credit_balance": "10000",
                "current_debit_balance": "0",
                "current_inflight_debit_balance": "0",
                "current_inflight_credit_balance": "0",
                "resulting_balance": "9700",
                "resulting_available": "9700",
                "resulting_credit_balance": "10000",
                "resulting_debit_balance": "300",
                "resulting_inflight_debit_balance": "0",
                "resulting_inflight_credit_balance": "0",
            },
            {
                "balance_id": "@Shop",
                "role": "destination",
                "currency": "EUR",
                "virtual": True,
                "current_balance": "0",
                "current_available": "0",
                "current_credit_balance": "0",
                "current_debit_balance": "0",
                "current_inflight_debit_balance": "0",
                "current_inflight_credit_balance": "0",
                "resulting_balance": "300",
                "resulting_available": "300",
                "resulting_credit_balance": "300",
                "resulting_debit_balance": "0",
                "resulting_inflight_debit_balance": "0",
                "resulting_inflight_credit_balance": "0",
            },
        ],
    }
    desk.step()
    assert (desk.books.rows, desk.books.balances) == (before.rows, before.balances)
    # The reference is not used up.
    assert desk.pay("dry", skip_queue=True).status == 201


def test_a_core_that_does_not_know_the_field_executes(make_desk):
    desk = make_desk(core_version="0.15.2")
    assert desk.pay("dry", dry_run=True).status == 201
    desk.step()
    assert desk.balance("@Wallet") == 10000
    # And since it does not know it, it does not mind its type either.
    assert desk.pay("dry-2", dry_run="yes").status == 201


def test_what_would_be_refused_is_told_with_the_code_of_the_refusal(desk, error_code):
    desk.pay("seed", skip_queue=True)
    short = {"source": "@Wallet", "destination": "@Shop", "allow_overdraft": False, "dry_run": True}
    for reference, amount, code, reason in (
        ("dry", 10001, "TXN_INSUFFICIENT_FUNDS", "insufficient_funds"),
        ("seed", 1, "TXN_DUPLICATE_REFERENCE", "other"),
    ):
        answer = desk.pay(reference, precise_amount=amount, **short)
        body = answer.document()
        assert (answer.status, body["would_apply"], "status" in body) == (200, False, False)
        assert (body["rejection"]["code"], body["rejection"]["reason"]) == (code, reason)
        assert resulting(body) == {"source": "10000", "destination": "0"}
    limited = desk.pay("dry", **{**short, "precise_amount": 20000, "overdraft_limit": 1}).document()
    assert limited["rejection"]["reason"] == "overdraft_limit"
    wallet = desk.books.balance_of("@Wallet", "EUR").balance_id
    same = desk.pay("dry", **{**short, "destination": wallet, "precise_amount": 1}).document()
    assert same["rejection"]["message"].startswith("Optimistic locking failure")
    assert error_code(desk.pay("dry", source="bln_nope", dry_run=True)) == "TXN_NOT_FOUND"
    assert error_code(desk.pay("dry", dry_run="yes")) == "GEN_MALFORMED_REQUEST"


def test_commits_and_voids_are_previewed_whatever_the_mode(desk, error_code):
    hold = desk.hold("hold")
    for skip_queue in (False, True):
        body = desk.settle(hold, "commit", dry_run=True, skip_queue=skip_queue, precise_amount=4000).document()
        assert (body["operation"], body["status"], body["precise_amount"]) == ("commit", "APPLIED", "4000")
        assert resulting(body) == {"source": "-4000", "destination": "4000"}
    voided = desk.settle(hold, "void", dry_run=True, precise_amount=1).document()
    assert (voided["status"], voided["precise_amount"]) == ("VOID", "10000")
    assert voided["notes"]
    refused = desk.settle(hold, "commit", dry_run=True, precise_amount=10001).document()
    assert refused["rejection"]["code"] == "TXN_COMMIT_AMOUNT_EXCEEDED"
    assert (refused["precise_amount"], refused["currency"], refused["balances"]) == ("0", "", [])
    assert error_code(desk.settle("txn_nope", "commit", dry_run=True)) == "TXN_NOT_FOUND"
    paid = desk.applied("paid")
    assert desk.settle(paid, "void", dry_run=True).document()["rejection"]["code"] == "TXN_NOT_INFLIGHT"
    many = {"transactions": [{"transaction_id": hold}, {"transaction_id": "txn_nope"}], "dry_run": True}
    several = desk.send("POST", "/proxy/transactions/inflight/bulk/commit", many).document()
    assert [result["would_apply"] for result in several["results"]] == [True, False]
    assert not several["would_apply"]
    gone = desk.send("POST", "/proxy/transactions/inflight/bulk/void", {"transaction_ids": [hold], "dry_run": True})
    assert gone.document()["would_apply"]
    assert desk.books.children(hold) == ()
    assert desk.settle(hold, "commit", skip_queue=True).status == 200


def test_a_refund_is_previewed(desk, error_code):
    paid = desk.applied("paid")
    body = desk.refund(paid, dry_run=True).document()
    assert (body["reference"], body["status"]) == (f"{paid}_refund", "APPLIED")
    assert resulting(body) == {"source": "0", "destination": "0"}
    assert body["notes"] == [f"projected refund of transaction {paid}"]
    assert error_code(desk.refund("txn_nope", dry_run=True)) == "TXN_NOT_FOUND"
    assert desk.refund(paid).status == 201
    desk.step()
    again = desk.refund(paid, dry_run=True).document()
    assert "already been refunded" in again["rejection"]["message"]


@pytest.mark.parametrize("skip_queue", [False, True])
def test_items_of_a_batch_see_one_another_in_skip_mode_only(desk, skip_queue):
    desk.pay("seed", skip_queue=True)
    short = {"source": "@Wallet", "destination": "@Shop", "allow_overdraft": False, "precise_amount": 6000}
    items = [desk.payment(f"item-{number}", **short) for number in range(2)]
    body = desk.send(*ITEMS, {"transactions": items, "skip_queue": skip_queue, "dry_run": True}).document()
    assert body["cumulative"] is skip_queue
    assert [result["would_apply"] for result in body["results"]] == [True, not skip_queue]
    assert ("balances" in body) is skip_queue
    twice = desk.send(*ITEMS, {"transactions": items[:1] * 2, "skip_queue": skip_queue, "dry_run": True}).document()
    assert twice["results"][1]["rejection"]["code"] == "TXN_DUPLICATE_REFERENCE"
    desk.step()
    assert desk.balance("@Shop") == 0


@pytest.mark.parametrize("skip_queue", [False, True])
def test_a_split_is_previewed_leg_by_leg(desk, skip_queue):
    legs = [{"identifier": "@a", "distribution": "25%"}, {"identifier": "@b", "distribution": "left"}]
    split = {"destination": ..., "destinations": legs, "skip_queue": skip_queue}
    body = desk.pay("dry", **split, dry_run=True).document()
    assert {leg["identifier"]: leg["precise_amount"] for leg in body["legs"]} == {"@a": "2500", "@b": "7500"}
    world = [side["resulting_balance"] for side in body["balances"] if side["role"] == "source"]
    assert world == ["-10000"] if skip_queue else sorted(world) == ["-2500", "-7500"]
    in_batch = desk.send(
        *ITEMS, {"transactions": [desk.payment("item", **split)], "skip_queue": skip_queue} | {"dry_run": True}
    )
    assert len(in_batch.document()["results"][0]["legs"]) == 2
    desk.step()
    assert desk.books.rows == ()
