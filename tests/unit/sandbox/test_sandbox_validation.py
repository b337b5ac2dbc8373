from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"precise_amount": ...}, "amount: either amount or precise_amount is required."),
        ({"amount": 1}, "amount: either amount or precise_amount should be provided, not both."),
        ({"precise_amount": ..., "amount": 1234567890123456}, "amount: amount has more than 15 significant"),
        ({"precise_amount": -1}, "amount: precise_amount cannot be negative."),
        ({"precise_amount": ..., "amount": -1}, "amount: amount cannot be negative."),
        ({"precision": 0.5}, "precision: precision must be an integer value."),
        ({"precision": -100}, "precision: precision cannot be negative."),
        ({"currency": ""}, "currency: cannot be blank."),
        ({"description": ..., "reference": ""}, "description: cannot be blank; reference: cannot be blank."),
        ({"source": ...}, "source: either source or sources is required, not both."),
        ({"destinations": [{"identifier": "@A"}]}, "destination: either destination or destinations is"),
        ({"destination": "@World"}, "destination: source and destination cannot be the same balance."),
        ({"scheduled_for": "2026-01-01"}, "scheduled_for: please format the scheduled date as"),
        ({"inflight_expiry_date": "soon"}, "inflight_expiry_date: please format the scheduled date as"),
    ],
)
@pytest.mark.parametrize("skip", [True, False])
def test_broken_rules_come_under_errors_in_both_modes(desk, changes, text, skip):
    answer = desk.pay("pay-1", skip_queue=skip, **changes)
    body = answer.document()
    assert answer.status == 400
    assert body["error_detail"]["code"] == "TXN_VALIDATION_ERROR"
    assert body["errors"].startswith(text)
    assert "error" not in body


@pytest.mark.parametrize(
    "changes",
    [
        {"precise_amount": "100"},
        {"precise_amount": 100.0},
        {"precise_amount": True},
        {"amount": "1", "precise_amount": ...},
        {"precise_amount": ..., "amount": 10**400},
        {"overdraft_limit": "10"},
        {"allow_overdraft": "yes"},
        {"meta_data": []},
        {"effective_date": "2026-01-01"},
        {"effective_date": ""},
        {"reference": 7},
        {"sources": {}},
        {"sources": [1]},
    ],
)
def test_wrong_types_are_malformed(desk, changes):
    body = desk.pay("pay-1", **changes).document()
    assert body["error_detail"]["code"] == "GEN_MALFORMED_REQUEST"
    assert body["error"] == "Invalid input"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b'{"precise_amount": NaN}'])
def test_what_is_no_json_object_is_malformed(desk, error_code, body):
    answer = desk.send("POST", "/proxy/transactions", body)
    assert (answer.status, error_code(answer)) == (400, "GEN_MALFORMED_REQUEST")


def test_a_body_over_five_megabytes_is_malformed(desk, error_code):
    answer = desk.pay("pay-1", meta_data={"x": "x" * (5 * 1024 * 1024)})
    assert (answer.status, error_code(answer)) == (400, "GEN_MALFORMED_REQUEST")


def test_fields_match_in_any_case_null_is_absent_and_the_unknown_is_ignored(make_desk):
    # Cloud looks for the exact names before it fills in what is missing.
    desk = make_desk(inject_defaults=False, core_version="0.15.2")
    body = {name.title(): value for name, value in desk.payment("pay-1", scheduled_for=None, dry_run=True).items()}
    text = json.dumps(body) + " and the rest is ignored"
    assert desk.send("POST", "/proxy/transactions", text.encode()).status == 201
    desk.step()
    # A Core that does not know dry_run executes the transaction.
    assert desk.books.applied("pay-1") == 1


def test_large_integers_in_metadata_come_back_rounded(desk):
    desk.applied("pay-1", meta_data={"n": 12345678901234567890, "deep": [{"n": 2**53 - 1}], "f": 2.0, "ok": True})
    meta = desk.books.row("pay-1").meta
    assert (meta["n"], meta["deep"], meta["ok"]) == (12345678901234567000, [{"n": 2**53 - 1}], True)


def test_half_a_surrogate_pair_is_stored_as_another_reference(desk):
    body = json.dumps(desk.payment("pay-\ud800")).encode()
    echoed = desk.send("POST", "/proxy/transactions", body).document()
    assert echoed["reference"] == "pay-\ufffd"
    desk.step()
    assert desk.books.applied("pay-\ufffd") == 1


@pytest.mark.parametrize("reference", [" ", "order_42", "2026-11-20", "a,b|c", "😀 e\u0301"])
def test_any_text_is_a_reference(desk, reference):
    assert desk.pay(reference).status == 201


def test_an_amount_with_an_exact_amount_of_zero_counts_nothing(desk):
    body = desk.pay("pay-1", amount=0, precise_amount=500, skip_queue=True).document()
    assert (body["precise_amount"], body["amount"]) == (500, 5)


def test_an_amount_is_echoed_as_sent_and_stored_rounded(desk):
    body = desk.pay("pay-1", precise_amount=..., amount=1.005).document()
    assert (body["amount"], body["precise_amount"]) == (1.005, 101)
    assert "amount_string" not in body
    desk.step()
    assert desk.books.row("pay-1").amount_text == "1.01"
