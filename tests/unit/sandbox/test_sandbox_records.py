from __future__ import annotations

import pytest


def test_the_same_ledger_twice_is_two_ledgers(desk):
    body = {"name": "Wallets EUR", "meta_data": {"wq": {"key": "job-1"}}}
    answers = [desk.send("POST", "/proxy/ledgers", body) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    first, second = (answer.document() for answer in answers)
    assert first["ledger_id"] != second["ledger_id"]
    assert first["meta_data"] == body["meta_data"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": ""}, "GEN_VALIDATION_ERROR"),
        ({"name": 7}, "GEN_MALFORMED_REQUEST"),
        (b"{", "GEN_MALFORMED_REQUEST"),
    ],
)
def test_a_bad_ledger_is_refused_under_errors(desk, error_code, body, expected):
    answer = desk.send("POST", "/proxy/ledgers", body)
    assert (answer.status, error_code(answer)) == (400, expected)
    assert "errors" in answer.document()


def test_a_ledger_row_that_is_too_large_fails(desk, error_code):
    answer = desk.send("POST", "/proxy/ledgers", {"name": "x", "meta_data": {"x": "x" * 8000}})
    assert (answer.status, error_code(answer)) == (500, "GEN_INTERNAL")


def test_a_balance_starts_empty_and_a_repeat_makes_another(desk):
    ledger_id = desk.send("POST", "/proxy/ledgers", {"name": "x"}).document()["ledger_id"]
    body = {"ledger_id": ledger_id, "currency": "EUR"}
    first, second = (desk.send("POST", "/proxy/balances", body).document() for _ in range(2))
    assert first["balance_id"] != second["balance_id"]
    assert (first["balance"], first["version"], first["identity_id"]) == (0, 0, "")
    assert first["allocation_strategy"] == "FIFO"
    assert first["inflight_expires_at"] == "0001-01-01T00:00:00Z"
    assert "indicator" not in first


@pytest.mark.parametrize(
    ("changes", "expected", "field"),
    [
        ({"ledger_id": "ldg_x"}, "GEN_BAD_REQUEST", "error"),
        ({"identity_id": "idt_x"}, "GEN_BAD_REQUEST", "error"),
        ({"currency": ""}, "GEN_VALIDATION_ERROR", "errors"),
        ({"ledger_id": ""}, "GEN_VALIDATION_ERROR", "errors"),
        ({"track_fund_lineage": True}, "GEN_VALIDATION_ERROR", "errors"),
        ({"allocation_strategy": "random"}, "GEN_VALIDATION_ERROR", "errors"),
        ({"indicator": "cash"}, "GEN_VALIDATION_ERROR", "errors"),
        ({"currency": 1}, "GEN_MALFORMED_REQUEST", "error"),
        ({"indicator": "@taken"}, "GEN_CONFLICT", "error"),
    ],
)
def test_a_bad_balance_is_refused(desk, error_code, changes, expected, field):
    desk.instance.create_balance("EUR", "@taken")
    body = {"ledger_id": "general_ledger_id", "currency": "EUR"} | changes
    answer = desk.send("POST", "/proxy/balances", body)
    assert (answer.status, error_code(answer)) == (409 if expected == "GEN_CONFLICT" else 400, expected)
    assert field in answer.document()


def test_only_the_constraint_tells_an_unknown_ledger_from_an_unknown_identity(desk):
    body = {"ledger_id": "general_ledger_id", "currency": "EUR", "identity_id": "idt_x"}
    for changes, column in (({}, "identity"), ({"ledger_id": "ldg_x"}, "ledger")):
        answer = desk.send("POST", "/proxy/balances", body | changes).document()
        assert answer["error"] == "Invalid ledger ID"
        assert answer["error_detail"]["details"]["Constraint"] == f"balances_{column}_id_fkey"


def test_a_balance_filled_to_the_edge_can_be_created_but_not_paid(desk, error_code):
    body = {"ledger_id": "general_ledger_id", "currency": "EUR", "meta_data": {"x": "x" * 7558}}
    balance_id = desk.send("POST", "/proxy/balances", body).document()["balance_id"]
    answer = desk.pay("pay-1", destination=balance_id, skip_queue=True)
    assert (answer.status, error_code(answer)) == (500, "GEN_INTERNAL")
    assert desk.books.rows == ()
    assert desk.send("POST", "/proxy/balances", body | {"meta_data": {"x": "x" * 7570}}).status == 500


def test_older_cores_ignore_an_indicator(make_desk):
    desk = make_desk(core_version="0.15.2")
    body = {"ledger_id": "general_ledger_id", "currency": "EUR", "indicator": "@cash"}
    assert "indicator" not in desk.send("POST", "/proxy/balances", body).document()


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
