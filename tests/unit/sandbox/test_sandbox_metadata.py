from __future__ import annotations

import pytest


def merge(desk, entity_id, meta):
    return desk.send("POST", f"/proxy/{entity_id}/metadata", {"meta_data": meta})


def test_a_transactions_metadata_answer_shows_only_what_was_sent(desk):
    desk.applied("pay-1", meta_data={"wq": {"a": 1, "b": 2}})
    parent, child = desk.books.rows_by_reference("pay-1")
    answer = merge(desk, parent.transaction_id, {"wq": {"a": 3}, "note": None})
    assert answer.document() == {"meta_data": {"wq": {"a": 3}, "note": None}}
    # Shallow, and the direct children get it too.
    for row in desk.books.rows_by_reference("pay-1"):
        assert row.meta["wq"] == {"a": 3}
        assert row.meta["queue_lane"] == "normal"
    assert child.meta["wq"] == {"a": 1, "b": 2}


def test_metadata_sent_before_the_child_exists_reaches_only_the_parent(make_desk):
    desk = make_desk(apply_s=10)
    parent = desk.pay("pay-1").document()["transaction_id"]
    assert merge(desk, parent, {"early": True}).status == 404
    desk.step(1)
    assert merge(desk, parent, {"early": True}).status == 200
    desk.step(20)
    stored, child = desk.books.rows_by_reference("pay-1")
    assert ("early" in stored.meta, "early" in child.meta) == (True, False)


def test_a_balances_metadata_answer_is_the_merged_object(desk, error_code):
    balance_id = desk.instance.create_balance("EUR")
    merge(desk, balance_id, {"a": 1})
    assert merge(desk, balance_id, {"b": 2}).document() == {"meta_data": {"a": 1, "b": 2}}
    answer = merge(desk, balance_id, {"b": "x" * 8000})
    assert (answer.status, error_code(answer)) == (500, "GEN_INTERNAL")
    assert merge(desk, "general_ledger_id", {}).status == 400


@pytest.mark.parametrize(
    ("entity_id", "body", "expected"),
    [
        ("abc", {"meta_data": {}}, "META_INVALID_ENTITY_ID"),
        ("txn_x", {"meta_data": {}}, "META_ENTITY_NOT_FOUND"),
        ("ldg_x", {"meta_data": {}}, "META_ENTITY_NOT_FOUND"),
        ("idt_x", {"meta_data": {}}, "META_ENTITY_NOT_FOUND"),
        ("ldg_x", {"meta_data": None}, "GEN_MALFORMED_REQUEST"),
        ("ldg_x", {}, "GEN_MALFORMED_REQUEST"),
        ("ldg_x", {"meta_data": []}, "GEN_MALFORMED_REQUEST"),
    ],
)
def test_bad_metadata_is_refused(desk, error_code, entity_id, body, expected):
    answer = desk.send("POST", f"/proxy/{entity_id}/metadata", body)
    assert error_code(answer) == expected
    assert answer.status == (404 if expected.endswith("NOT_FOUND") else 400)
