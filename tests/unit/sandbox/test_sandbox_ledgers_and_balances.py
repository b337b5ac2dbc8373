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
