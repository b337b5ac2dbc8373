from __future__ import annotations

from typing import Any

import pytest

from blnk_relay.sandbox import Faults, Rule, Status


def bulk(desk, *items: dict[str, Any], **flags: Any):
    return desk.send("POST", "/proxy/transactions/bulk", {"transactions": list(items), **flags})


def three(desk, **changes: Any):
    return [desk.payment(f"fee-{number}", **changes) for number in (1, 2, 3)]


@pytest.fixture
def payer(desk):
    """A balance that can pay two of three fees."""
    desk.instance.create_balance("EUR", "@Payer")
    desk.instance.fund("@Payer", "EUR", 25000)
    return {"source": "@Payer", "allow_overdraft": False}


def test_a_queued_batch_says_applied_before_anything_is(desk):
    answer = bulk(desk, *three(desk))
    body = answer.document()
    assert (answer.status, body["status"], body["transaction_count"]) == (201, "applied", 3)
    assert body["batch_id"].startswith("bulk_")
    assert desk.books.rows == ()
    desk.step()
    for number in (1, 2, 3):
        parent, child = desk.books.rows_by_reference(f"fee-{number}")
        assert parent.parent_transaction == body["batch_id"]
        assert child.parent_transaction == parent.transaction_id
        assert parent.queued_parent == child.queued_parent == body["batch_id"]
        assert parent.meta["sequence"] == child.meta["sequence"] == number
        assert child.status is Status.APPLIED
    assert [row.reference for row in desk.books.children(body["batch_id"])] == ["fee-1", "fee-2", "fee-3"]


def test_a_queued_batch_sent_again_does_only_what_is_missing(desk):
    first, second, third = three(desk)
    bulk(desk, first)
    desk.step()
    assert bulk(desk, first, second, third).status == 201
    desk.step()
    assert desk.balance("@Wallet") == 30000


def test_atomic_means_nothing_in_a_queued_batch(desk, payer):
    assert bulk(desk, *three(desk, **payer), atomic=True).status == 201
    desk.step()
    outcomes = sorted(desk.books.outcome(f"fee-{number}") for number in (1, 2, 3))
    assert outcomes == [Status.APPLIED, Status.APPLIED, Status.REJECTED]
    assert (desk.balance("@Wallet"), desk.balance("@Payer")) == (20000, 5000)


def test_an_items_own_atomic_flag_undoes_what_is_applied_so_far(desk, payer):
    assert bulk(desk, *three(desk, **payer, atomic=True)).status == 201
    desk.step()
    assert (desk.balance("@Wallet"), desk.balance("@Payer")) == (0, 25000)


def test_a_batch_of_skip_mode_stops_at_the_first_failure(desk, error_code, payer):
    first, second, third = three(desk, **payer)
    answer = bulk(desk, first, second | {"precise_amount": 99999}, third, skip_queue=True)
    assert (answer.status, error_code(answer)) == (400, "TXN_INSUFFICIENT_FUNDS")
    body = answer.document()
    assert body["error_detail"]["details"] == {"batch_id": body["batch_id"]}
    assert body["error"].startswith("failed to queue transaction 2 (Reference: fee-2, Source: bln_")
    assert "Amount: 999.99): failed to apply" in body["error"]
    assert body["error"].endswith("Previous transactions were not rolled back.")
    assert [row.reference for row in desk.books.children(body["batch_id"])] == ["fee-1"]
    # Sent again it stops at what it did itself, and never reaches the rest.
    again = bulk(desk, first, third, skip_queue=True)
    assert (again.status, error_code(again)) == (409, "TXN_DUPLICATE_REFERENCE")
    assert desk.books.row("fee-3") is None


def test_a_failed_atomic_batch_is_refunded_and_has_used_up_its_references(desk, error_code, payer):
    answer = bulk(desk, *three(desk, **payer), atomic=True, skip_queue=True)
    assert answer.document()["error"].endswith("All transactions in this batch have been refunded.")
    assert desk.balance("@Payer") == 5000
    desk.step()
    assert (desk.balance("@Wallet"), desk.balance("@Payer")) == (0, 25000)
    again = bulk(desk, *three(desk, **payer), atomic=True, skip_queue=True)
    assert error_code(again) == "TXN_DUPLICATE_REFERENCE"
    assert desk.books.refunds(desk.books.row("fee-1").transaction_id) == 1


def test_a_failed_atomic_batch_of_holds_is_voided(desk, payer):
    answer = bulk(desk, *three(desk, **payer), atomic=True, skip_queue=True, inflight=True)
    assert answer.document()["error"].endswith("All transactions in this batch have been voided.")
    assert desk.inflight("@Payer") == 0
    assert desk.books.voided(desk.books.row("fee-1").transaction_id)


def test_new_items_before_a_duplicate_are_refunded_and_burnt(desk, payer):
    first, second, _ = three(desk, **payer)
    bulk(desk, second, skip_queue=True)
    answer = bulk(desk, first, second, atomic=True, skip_queue=True)
    assert answer.status == 409
    desk.step()
    assert desk.balance("@Wallet") == 10000
    assert desk.books.row("fee-1") is not None


def test_legs_of_split_items_are_not_rolled_back(desk, payer):
    halves = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]
    first, _, third = three(desk, **payer)
    split = {name: value for name, value in first.items() if name != "destination"} | {"destinations": halves}
    answer = bulk(desk, split, third | {"precise_amount": 99999}, atomic=True, skip_queue=True)
    assert answer.document()["error"].endswith("All transactions in this batch have been refunded.")
    desk.step()
    assert desk.balance("@A") + desk.balance("@B") == 10000


def test_the_batchs_flags_override_the_items(desk):
    answer = bulk(desk, *three(desk, inflight=True, skip_queue=False), skip_queue=True)
    assert answer.document()["status"] == "applied"
    assert desk.balance("@Wallet") == 30000
    held = bulk(desk, desk.payment("held"), inflight=True, skip_queue=True).document()
    assert held["status"] == "inflight"
    assert desk.books.outcome("held") is Status.INFLIGHT


@pytest.mark.parametrize("inflight", [False, True])
def test_a_whole_batch_is_refunded_or_committed_by_its_id(desk, inflight):
    batch_id = bulk(desk, *three(desk), inflight=inflight).document()["batch_id"]
    desk.step()
    if inflight:
        assert desk.settle(batch_id, "commit", skip_queue=True).status == 200
        assert desk.balance("@Wallet") == 30000
    assert desk.refund(batch_id).status == 201
    desk.step()
    assert desk.balance("@Wallet") == 0


def test_metadata_of_a_batch_reaches_its_items(desk):
    batch_id = bulk(desk, *three(desk)).document()["batch_id"]
    path = f"/proxy/{batch_id}/metadata"
    assert desk.send("POST", path, {"meta_data": {"file": "a"}}).status == 404
    desk.step()
    answer = desk.send("POST", path, {"meta_data": {"file": "a"}})
    assert answer.document() == {"meta_data": {"file": "a"}}
    # The items, and not their children: one level deep, as everywhere.
    parents_and_children = [desk.books.rows_by_reference(f"fee-{number}") for number in (1, 2, 3)]
    assert [("file" in parent.meta, "file" in child.meta) for parent, child in parents_and_children] == [
        (True, False)
    ] * 3


def test_an_async_batch_answers_202_and_tells_nobody_how_it_ends(desk, payer):
    answer = bulk(desk, *three(desk, **payer), run_async=True, skip_queue=True, atomic=True)
    body = answer.document()
    assert (answer.status, body["status"]) == (202, "processing")
    assert desk.books.rows_by_reference("fee-1") == ()
    desk.step()
    assert desk.balance("@Payer") == 25000
    assert desk.books.row("fee-1").parent_transaction == body["batch_id"]


def test_an_async_batch_is_lost_when_the_process_stops_and_too_many_are_429(desk, error_code):
    for number in range(100):
        assert bulk(desk, desk.payment(f"pay-{number}"), run_async=True).status == 202
    answer = bulk(desk, desk.payment("pay-x"), run_async=True)
    assert (answer.status, error_code(answer)) == (429, "GEN_RATE_LIMITED")
    assert desk.instance.core.crash() == 100
    desk.step()
    assert desk.books.rows == ()
    assert bulk(desk, desk.payment("pay-x"), run_async=True).status == 202


def test_an_invalid_item_fails_the_whole_before_anything_runs(desk, error_code):
    for bad, message in ((None, " is required"), ({"description": "x"}, ": amount: either")):
        answer = bulk(desk, desk.payment("fee-1"), bad, skip_queue=True)
        assert (answer.status, error_code(answer)) == (400, "TXN_VALIDATION_ERROR")
        assert answer.document()["errors"].startswith(f"transactions[1]{message}")
        assert answer.document()["error_detail"]["details"] == {"index": 1}
    assert desk.books.rows == ()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"transactions": []}, "TXN_BULK_EMPTY"),
        (b"null", "TXN_BULK_EMPTY"),
        ({"transactions": [{}] * 10_001}, "TXN_BULK_LIMIT_EXCEEDED"),
        ({"transactions": [7]}, "GEN_MALFORMED_REQUEST"),
        ({"transactions": [{"currency": 7}]}, "GEN_MALFORMED_REQUEST"),
        (b"{bad", "GEN_MALFORMED_REQUEST"),
        (b"", "GEN_MALFORMED_REQUEST"),
    ],
)
def test_bad_batches_are_refused(desk, error_code, body, expected):
    answer = desk.send("POST", "/proxy/transactions/bulk", body)
    assert (answer.status, error_code(answer)) == (400, expected)
    plain = answer.headers["Content-Type"].startswith("text/plain")
    assert plain == (expected == "GEN_MALFORMED_REQUEST")


def test_an_edge_may_or_may_not_complete_the_items(make_desk):
    desk = make_desk()
    item = desk.payment("x", reference=..., precision=...)
    assert bulk(desk, item).status == 400
    desk.instance.switch({"inject_into_bulk": True})
    assert bulk(desk, item).status == 201


def test_faults_strike_batches_by_the_references_in_them(make_desk):
    desk = make_desk(Faults.script([Rule("vanish", identity="fee-2")]))
    assert bulk(desk, *three(desk)).status == 201
    desk.step()
    assert desk.books.rows == ()
    bulk(desk, *three(desk))
    desk.step()
    assert desk.balance("@Wallet") == 30000
    identities = {line.identity for line in desk.instance.edge.log}
    assert len(identities) == 1


# --- bulk commits and voids


def holds(desk, *references: str):
    return [desk.hold(reference) for reference in references]


def settle_all(desk, verb, body):
    return desk.send("POST", f"/proxy/transactions/inflight/bulk/{verb}", body)


def test_many_holds_are_committed_through_the_queue(desk):
    first, second = holds(desk, "hold-1", "hold-2")
    body = {"transactions": [{"transaction_id": first}, {"transaction_id": second, "precise_amount": 2500}]}
    answer = settle_all(desk, "commit", body)
    assert (answer.status, answer.document()["succeeded"], answer.document()["failed"]) == (200, 2, 0)
    assert {item["code"] for item in answer.document()["results"]} == {"QUEUED"}
    again = settle_all(desk, "void", {"transaction_ids": [first]}).document()
    assert (again["succeeded"], again["results"][0]["code"]) == (1, "ALREADY_QUEUED")
    desk.step()
    assert desk.balance("@Wallet") == 12500


def test_items_of_skip_mode_fail_on_their_own(desk):
    first, second = holds(desk, "hold-1", "hold-2")
    desk.settle(second, "void", skip_queue=True)
    applied = desk.applied("pay-1", skip_queue=True)
    wanted = [
        {"transaction_id": first, "amount": 40},
        {"transaction_id": "txn_nope"},
        {"transaction_id": second},
        {"transaction_id": applied},
        {"transaction_id": first, "precise_amount": 6001},
    ]
    body = settle_all(desk, "commit", {"transactions": wanted, "skip_queue": True}).document()
    assert (body["succeeded"], body["failed"]) == (1, 4)
    codes = [item.get("code") for item in body["results"]]
    assert codes == [None, "NOT_FOUND", "ALREADY_VOIDED", "NOT_INFLIGHT", "INVALID_AMOUNT"]
    assert body["results"][1]["message"] == "NOT_FOUND: Transaction with ID 'txn_nope' not found"
    rest = settle_all(desk, "void", {"transaction_ids": [first], "skip_queue": True}).document()
    assert rest["results"] == [{"transaction_id": first, "status": "succeeded"}]


def test_the_queued_parent_takes_another_holds_money(make_desk):
    desk = make_desk()
    holds(desk, "hold-1", "hold-2")
    parent = desk.books.row("hold-1").transaction_id
    body = {"transactions": [{"transaction_id": parent}], "skip_queue": True}
    assert settle_all(desk, "commit", body).document()["succeeded"] == 1
    assert desk.inflight("@Wallet") == 10000
    assert desk.books.committed(desk.books.hold("hold-1").transaction_id) == 0
    assert any("it is QUEUED and no hold" in problem for problem in desk.books.violations())


@pytest.mark.parametrize(
    ("verb", "body", "expected"),
    [
        ("commit", {"transactions": []}, "TXN_BULK_EMPTY"),
        ("void", {}, "TXN_BULK_EMPTY"),
        ("void", {"transaction_ids": ["txn_x"] * 101}, "TXN_BULK_LIMIT_EXCEEDED"),
        ("void", {"transaction_ids": [7]}, "GEN_MALFORMED_REQUEST"),
        ("commit", {"transactions": ["txn_x"]}, "GEN_MALFORMED_REQUEST"),
    ],
)
def test_bad_bulk_commits_are_refused(desk, error_code, verb, body, expected):
    answer = settle_all(desk, verb, body)
    assert (answer.status, error_code(answer)) == (400, expected)


def test_bulk_commits_can_be_switched_off(make_desk):
    desk = make_desk(bulk_inflight=False)
    assert settle_all(desk, "void", {"transaction_ids": ["txn_x"]}).body == b"404 page not found"


def test_a_queued_commit_of_nothing_is_taken_while_any_hold_is_open(desk):
    """Core looks for what has no parent, and finds holds (measured); nothing comes of it."""

    def nothing(**more: bool) -> Any:
        body = {"transactions": [{}], **more}
        return desk.send("POST", "/proxy/transactions/inflight/bulk/commit", body).document()

    assert nothing()["results"][0]["code"] == "NOT_FOUND"
    hold = desk.pay("hold", inflight=True, skip_queue=True).document()["transaction_id"]
    assert nothing() == {
        "succeeded": 1,
        "failed": 0,
        "results": [{"transaction_id": "", "status": "queued", "code": "QUEUED"}],
    }
    assert nothing(skip_queue=True)["results"][0]["code"] == "NOT_FOUND"
    desk.step()
    assert desk.books.children(hold) == ()
    desk.settle(hold, "commit", skip_queue=True)
    assert nothing()["results"][0]["code"] == "ALREADY_COMMITTED"
