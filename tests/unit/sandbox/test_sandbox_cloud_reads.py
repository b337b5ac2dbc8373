from __future__ import annotations

import time
from typing import Any

import pytest


def found(desk, *filters: Any, query: str = "", resource: str = "transactions"):
    answer = desk.send("POST", f"/{resource}/filter{query}", {"filters": list(filters)})
    assert answer.status == 200, answer.body
    return answer.document()


def where(field, operator, *values: Any):
    if operator in {"in", "between"}:
        return {"field": field, "operator": operator, "values": list(values)}
    return {"field": field, "operator": operator} | ({"value": values[0]} if values else {})


def references(document):
    return [row["reference"] for row in document["data"]]


def test_a_filter_finds_the_family_of_a_reference(desk):
    desk.applied("pay-1")
    desk.applied("pay-2")
    document = found(desk, where("reference", "in", "pay-1", "pay-1_q"))
    assert references(document) == ["pay-1_q", "pay-1"]
    assert document["total"] == 2
    assert document["stats"] == {}
    assert (document["total_is_estimate"], document["total_source"]) == (False, "exact")


def test_rows_are_raw_columns(desk):
    desk.hold("hold-1", meta_data={"wq": {"key": "job"}})
    row = found(desk, where("reference", "eq", "hold-1_q"))["data"][0]
    absent = {"inflight", "allow_overdraft", "skip_queue", "overdraft_limit", "sources", "destinations"}
    assert absent.isdisjoint(row)
    assert row["meta_data"]["inflight"] is True
    assert row["precise_amount"] == 10000
    assert row["scheduled_for"] == "0001-01-01T00:00:00Z"


def test_minor_units_can_come_as_strings(make_desk):
    desk = make_desk(precise_amount_as="string")
    desk.applied("pay-1")
    assert found(desk, where("reference", "eq", "pay-1"))["data"][0]["precise_amount"] == "10000"
    balance = found(desk, where("indicator", "eq", "@Wallet"), resource="balances")["data"][0]
    assert balance["balance"] == "10000"


def test_a_row_becomes_visible_only_after_the_read_lag(make_desk):
    desk = make_desk(read_lag_s=5)
    desk.applied("pay-1")
    wanted = where("reference", "in", "pay-1", "pay-1_q")
    assert found(desk, wanted)["data"] == []
    desk.step(5)
    assert len(found(desk, wanted)["data"]) == 2
    # Core itself reads its own database, without the lag.
    desk.pay("pay-2", skip_queue=True)
    assert desk.send("GET", "/proxy/transactions/reference/pay-2").status == 200


def test_one_read_can_show_an_older_state(desk):
    desk.applied("pay-1")
    body = {"filters": [where("reference", "eq", "pay-1")]}
    answer = desk.send("POST", "/transactions/filter", body, **{"x-sandbox-fault": "read_lag;60"})
    assert answer.document()["data"] == []
    assert len(found(desk, where("reference", "eq", "pay-1"))["data"]) == 1


@pytest.mark.parametrize(
    ("condition", "hits"),
    [
        (where("status", "eq", "QUEUED"), 3),
        (where("status", "ne", "QUEUED"), 3),
        (where("status", "in", "APPLIED", "REJECTED"), 3),
        (where("amount", "gt", 100), 2),
        (where("amount", "gte", 100), 6),
        (where("amount", "lt", 200), 4),
        (where("amount", "lte", 100), 4),
        (where("amount", "between", 150, 250), 2),
        (where("reference", "like", "pay-_"), 3),
        (where("reference", "ilike", "PAY%_Q"), 3),
        (where("currency", "eq", "USD"), 0),
        (where("precision", "eq", 100), 6),
        (where("meta_data.wq.key", "eq", "job-2"), 2),
        (where("meta_data.wq.n", "eq", 2), 2),
        (where("meta_data.wq.key", "isnull"), 0),
        (where("meta_data.other", "notexists"), 6),
        (where("meta_data.wq.key", "exists"), 6),
        (where("effective_date", "isnotnull"), 6),
        (where("created_at", "gte", "2026-01-01T00:00:00Z"), 6),
        (where("created_at", "lt", "2026-01-01"), 0),
        (where("created_at", "between", "2025-01-01", "2027-01-01"), 6),
        (where("parent_transaction", "eq", ""), 3),
    ],
)
def test_operators(desk, condition, hits):
    for number, amount in ((1, 10000), (2, 20000), (3, 10000)):
        desk.applied(f"pay-{number}", precise_amount=amount, meta_data={"wq": {"key": f"job-{number}", "n": number}})
    assert found(desk, condition)["total"] == hits


@pytest.mark.parametrize("resource", ["transactions", "balances", "ledger", "identities"])
def test_a_record_is_found_by_its_id_once_however_often_it_is_named(desk, resource):
    desk.applied("pay-1")
    desk.send("POST", "/proxy/ledgers", {"name": "x"})
    desk.send("POST", "/proxy/identities", {"first_name": "Mara"})
    (record, *_) = everything = found(desk, resource=resource)["data"]
    column = {"ledger": "ledger_id", "identities": "identity_id"}.get(resource, f"{resource[:-1]}_id")
    assert found(desk, where(column, "in", record[column], record[column], "nobody"), resource=resource)["data"] == [
        record
    ]
    assert found(desk, where(column, "ne", record[column]), resource=resource)["total"] == len(everything) - 1


def test_filters_are_anded_and_reach_children_and_balances(desk):
    hold = desk.hold("hold-1")
    desk.settle(hold, "commit", precise_amount=1000, skip_queue=True)
    desk.settle(hold, "void", skip_queue=True)
    children = where("parent_transaction", "eq", hold)
    assert found(desk, children)["total"] == 2
    assert found(desk, children, where("status", "in", "APPLIED"))["total"] == 1
    parent = desk.books.row("hold-1").transaction_id
    assert found(desk, where("meta_data.QUEUED_PARENT_TRANSACTION", "eq", parent))["total"] == 4
    wallet = desk.books.balance_of("@Wallet", "EUR").balance_id
    assert found(desk, where("balance_id", "eq", wallet))["total"] == 4


@pytest.mark.parametrize(
    "condition",
    [
        where("inflight", "eq", True),
        where("reference", "contains", "x"),
        {"field": "reference", "operator": "in", "value": "x"},
        {"field": "reference", "operator": "in", "values": []},
        where("amount", "between", 1),
    ],
)
def test_bad_filters_are_refused(desk, condition):
    answer = desk.send("POST", "/transactions/filter", {"filters": [condition]})
    assert answer.status == 400
    assert answer.document()["error_detail"]["code"] == "GEN_BAD_REQUEST"


def test_an_empty_filter_returns_the_newest_page_of_everything(desk):
    for number in range(15):
        desk.applied(f"pay-{number}")
    document = found(desk)
    assert len(document["data"]) == 20
    assert document["total"] == 30
    assert desk.send("POST", "/transactions/filter").status == 400


def test_pages_follow_each_other_and_a_page_too_large_becomes_the_default(make_desk):
    desk = make_desk()
    for number in range(15):
        desk.applied(f"pay-{number}")
    first = references(found(desk, query="?page=1&pageSize=25"))
    second = references(found(desk, query="?page=2&pageSize=25"))
    assert (len(first), len(second)) == (25, 5)
    assert set(first).isdisjoint(second)
    assert len(references(found(desk, query="?pageSize=101"))) == 20
    desk.instance.switch({"oversized_page": "cut", "max_page_size": 22})
    assert len(references(found(desk, query="?pageSize=101"))) == 22


def test_a_total_can_be_a_guess_unless_it_is_asked_for_strictly(make_desk):
    desk = make_desk(estimate_totals=True)
    desk.applied("pay-1")
    assert found(desk)["total_is_estimate"] is True
    strict = found(desk, query="?strict_total=true")
    assert (strict["total"], strict["total_is_estimate"]) == (2, False)


def test_each_resource_has_its_own_shape(desk):
    desk.applied("pay-1")
    desk.send("POST", "/proxy/ledgers", {"name": "Wallets", "meta_data": {"wq": {"key": "job-1"}}})
    assert set(found(desk, resource="balances")) == {"data", "total", "stats"}
    assert set(found(desk, resource="ledger")) == {"data", "total"}
    assert found(desk, resource="identities")["data"] == []
    assert found(desk, where("meta_data.wq.key", "eq", "job-1"), resource="ledger")["total"] == 1
    assert desk.send("POST", "/ledgers/filter", {}).status == 404


def data(desk, query: str, resource: str = "transactions"):
    return desk.send("GET", f"/data/{resource}?{query}").document()


def test_the_data_api_filters_by_suffix(desk):
    desk.applied("pay-1", meta_data={"wq": {"key": "job-1"}})
    assert data(desk, "reference_in=pay-1,pay-1_q")["total"] == 2
    assert data(desk, "meta_data.wq.key_eq=job-1&status_eq=APPLIED")["total"] == 1
    assert data(desk, "amount_between=1|100")["total"] == 2
    assert data(desk, "reference_like=pay%&page=1&pageSize=1")["total"] == 2
    assert data(desk, "order_by=created_at&some=thing")["total"] == 2
    assert desk.send("GET", "/data/transactions?inflight_eq=true").status == 400


def test_query_values_that_look_like_something_else_are_coerced(make_desk):
    desk = make_desk()
    for reference in ("12345", "0042", "1e5", "true", "2026-11-21", "order_42"):
        desk.applied(reference, skip_queue=True)
    seen = {
        reference: data(desk, f"reference_eq={reference}")["total"]
        for reference in ("12345", "0042", "1e5", "true", "2026-11-21", "order_42")
    }
    assert seen == {"12345": 1, "0042": 0, "1e5": 0, "true": 1, "2026-11-21": 1, "order_42": 1}
    desk.instance.switch({"coerce_query_values": False})
    assert data(desk, "reference_eq=0042")["total"] == 1
    assert found(desk, where("reference", "eq", "0042"))["total"] == 1


def test_details_come_in_several_shapes(make_desk):
    desk = make_desk()
    row_id = desk.applied("pay-1")
    path, missing = f"/data/transactions/{row_id}", "/data/transactions/txn_x"
    assert desk.send("GET", path).document()["data"]["reference"] == "pay-1_q"
    assert desk.send("GET", missing).status == 404
    desk.instance.switch({"detail_shape": "bare", "detail_missing": "null"})
    assert desk.send("GET", path).document()["reference"] == "pay-1_q"
    assert desk.send("GET", missing).document() == {"data": None}
    desk.instance.switch({"detail_missing": "empty"})
    assert desk.send("GET", missing).document() == {"data": []}


def test_cores_own_reads(desk, error_code):
    row_id = desk.hold("hold-1")
    by_id = desk.send("GET", f"/proxy/transactions/{row_id}").document()
    assert (by_id["reference"], by_id["inflight"], by_id["precision"]) == ("hold-1_q", True, 100)
    by_reference = desk.send("GET", "/proxy/transactions/reference/hold-1_q").document()
    assert (by_reference["transaction_id"], by_reference["precision"]) == (row_id, 0)
    assert by_reference["hash"] == ""
    assert error_code(desk.send("GET", "/proxy/transactions/reference/none")) == "TXN_NOT_FOUND"
    assert error_code(desk.send("GET", "/proxy/transactions/none")) == "TXN_NOT_FOUND"
    named = desk.send("GET", "/proxy/balances/indicator/@Wallet/currency/EUR").document()
    assert desk.send("GET", f"/proxy/balances/{named['balance_id']}").document() == named
    assert error_code(desk.send("GET", "/proxy/balances/indicator/Wallet/currency/EUR")) == "BAL_NOT_FOUND"
    assert error_code(desk.send("GET", "/proxy/balances/none")) == "BAL_NOT_FOUND"


def test_two_hundred_references_are_found_by_index_in_full_books(desk):
    for number in range(5000):
        desk.pay(f"pay-{number}", skip_queue=True)
    wanted = where("reference", "in", *(f"pay-{number}" for number in range(0, 5000, 25)))
    started = time.perf_counter()
    document = found(desk, wanted, query="?pageSize=100")
    took_s = time.perf_counter() - started
    assert document["total"] == 200
    # A scan of 5,000 rows against 200 values takes ten times as long.
    assert took_s < 0.25
