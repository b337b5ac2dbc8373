from __future__ import annotations

from typing import Any

import pytest


def core_filter(desk, resource, *filters: dict[str, Any], **body: Any):
    return desk.core("POST", f"/{resource}/filter", {"filters": list(filters), **body})


def eq(field, value):
    return {"field": field, "operator": "eq", "value": value}


def test_a_bare_core_takes_every_write_without_the_prefix(desk):
    ledger = desk.core("POST", "/ledgers", {"name": "x"}).document()
    identity = desk.core("POST", "/identities", {"first_name": "Mara"}).document()
    body = {"ledger_id": ledger["ledger_id"], "currency": "EUR", "identity_id": identity["identity_id"]}
    balance = desk.core("POST", "/balances", body).document()
    answer = desk.core("POST", "/transactions", desk.payment("pay-1", destination=balance["balance_id"]))
    assert answer.status == 201
    desk.step()
    assert desk.books.applied("pay-1") == 1
    row = desk.core("GET", "/transactions/reference/pay-1_q").document()
    assert (row["status"], row["precise_amount"], row["precision"]) == ("APPLIED", 10000, 0)
    by_id = desk.core("GET", f"/transactions/{row['transaction_id']}").document()
    assert (by_id["reference"], by_id["precision"]) == ("pay-1_q", 100)
    assert "effective_date" not in by_id
    assert desk.core("GET", f"/balances/{balance['balance_id']}").document()["balance"] == 10000
    assert desk.core("GET", f"/ledgers/{ledger['ledger_id']}").document() == ledger
    assert desk.core("GET", f"/identities/{identity['identity_id']}").document() == identity
    world = desk.core("GET", "/balances/indicator/@World/currency/EUR").document()
    assert (world["indicator"], world["balance"]) == ("@World", -10000)
    assert desk.core("POST", f"/{row['transaction_id']}/metadata", {"meta_data": {"a": 1}}).status == 200
    assert desk.core("POST", f"/refund-transaction/{row['transaction_id']}").status == 201
    assert desk.core("POST", "/transactions/bulk", {"transactions": []}).status == 400


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/transactions/txn_x", "TXN_NOT_FOUND"),
        ("/transactions/reference/x", "TXN_NOT_FOUND"),
        ("/balances/bln_x", "BAL_NOT_FOUND"),
        ("/balances/indicator/World/currency/EUR", "BAL_NOT_FOUND"),
        ("/ledgers/ldg_x", "LGR_NOT_FOUND"),
        ("/identities/idt_x", "IDT_NOT_FOUND"),
    ],
)
def test_what_is_not_there_is_a_404(desk, error_code, path, code):
    answer = desk.core("GET", path)
    assert (answer.status, error_code(answer)) == (404, code)


def test_nothing_is_injected_by_a_bare_core(desk):
    assert desk.core("POST", "/transactions", desk.payment("x", reference=...)).status == 400
    amount = {"precision": ..., "precise_amount": ..., "amount": 100.5, "skip_queue": True}
    assert desk.core("POST", "/transactions", desk.payment("pay-1", **amount)).document()["precise_amount"] == 101


def test_its_filter_answers_a_bare_array_without_lag(make_desk):
    desk = make_desk(read_lag_s=60)
    desk.hold("hold-1")
    (row,) = core_filter(desk, "transactions", eq("reference", "hold-1_q")).document()
    assert (row["inflight"], row["precision"]) == (True, 100)
    assert row["effective_date"]
    assert "inflight" not in row["meta_data"]
    (balance,) = core_filter(desk, "balances", eq("indicator", "@Wallet")).document()
    assert (balance["version"], balance["inflight_balance"]) == (0, 10000)
    assert "allocation_strategy" not in balance
    counted = core_filter(desk, "transactions", eq("currency", "EUR"), include_count=True, limit=1).document()
    assert (len(counted["data"]), counted["total_count"]) == (1, 2)


@pytest.mark.parametrize("resource", ["transactions", "balances", "ledgers", "identities"])
def test_no_match_is_an_empty_array_or_null(desk, resource):
    found = core_filter(desk, resource, eq("created_at", "1999-01-01T00:00:00Z"))
    empty = [] if resource in {"transactions", "ledgers"} else None
    assert found.document() == empty
    listed = desk.core("GET", f"/{resource}?created_at_eq=1999-01-01T00:00:00Z")
    assert (listed.status, listed.document()) == (200, empty)


def test_its_filter_has_limits_of_its_own(desk):
    for number in range(30):
        desk.pay(f"pay-{number}", skip_queue=True)

    def count(**body: int) -> int:
        return len(core_filter(desk, "transactions", **body).document())

    assert [count(), count(limit=25), count(limit=101), count(limit=100), count(offset=25)] == [20, 25, 20, 30, 5]
    many = {"field": "reference", "operator": "in", "values": [f"pay-{number}" for number in range(2000)]}
    assert len(core_filter(desk, "transactions", many, limit=100).document()) == 30
    first = core_filter(desk, "transactions", sort_by="reference", sort_order="asc", limit=2).document()
    assert [row["reference"] for row in first] == ["pay-0", "pay-1"]


def test_its_filter_joins_with_or_when_asked(desk):
    for number in range(3):
        desk.pay(f"pay-{number}", skip_queue=True)
    either = (eq("reference", "pay-0"), eq("reference", "pay-2"))
    assert core_filter(desk, "transactions", *either).document() == []
    assert len(core_filter(desk, "transactions", *either, logical_operator="or").document()) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"filters": [eq("meta_data.wq.key", "x")]}, "GEN_BAD_REQUEST"),
        ({"filters": [eq("colour", "x")]}, "GEN_BAD_REQUEST"),
        ({"filters": [{"field": "reference", "operator": "in", "value": "x"}]}, "GEN_BAD_REQUEST"),
        ({"filters": [], "logical_operator": "xor"}, "GEN_VALIDATION_ERROR"),
        (b"", "GEN_VALIDATION_ERROR"),
        (b"[]", "GEN_VALIDATION_ERROR"),
    ],
)
def test_bad_filters_are_refused(desk, error_code, body, expected):
    answer = desk.core("POST", "/transactions/filter", body)
    assert (answer.status, error_code(answer)) == (400, expected)


def test_metadata_is_filtered_one_level_deep(desk):
    desk.pay("pay-1", skip_queue=True, meta_data={"relay_key": "job-1"})
    (row,) = core_filter(desk, "transactions", eq("meta_data.relay_key", "job-1")).document()
    assert row["reference"] == "pay-1"


def test_a_key_is_asked_for_before_the_path_is_looked_at(desk, error_code):
    for key, expected in ((None, "AUTH_MISSING_API_KEY"), ("wrong", "AUTH_INVALID_API_KEY")):
        for path in ("/ledgers", "/nothing"):
            answer = desk.core("POST", path, {"name": "x"}, key)
            assert (answer.status, error_code(answer)) == (401, expected)
    assert desk.core("GET", "/nothing").body == b"404 page not found"
    assert desk.core("POST", "/ledger/filter", {"filters": []}).body == b"404 page not found"


def test_clouds_paths_stay_clouds(desk):
    assert desk.core("POST", "/proxy/ledgers", {"name": "x"}, None).document() == {"error": "missing token"}
    assert desk.core("POST", "/proxy/ledgers", {"name": "x"}).document() == {"error": "invalid or expired token"}
    # The same path in both: the token makes it Cloud's, the key makes it Core's.
    assert "total" in desk.send("POST", "/transactions/filter", {"filters": []}).document()
    assert core_filter(desk, "transactions").document() == []


def test_cloud_takes_its_key_in_the_header_of_a_core_too(desk):
    """As the official clients send it (contract §14.3); Cloud names its instance, which a Core has not."""
    headers = {"authorization": "", "x-blnk-key": "blnk_sandbox"}
    assert desk.send("POST", "/proxy/ledgers", {"name": "x"}, **headers).status == 201
    assert "total" in desk.send("POST", "/ledger/filter", {"filters": []}, **headers).document()
    assert "total" in desk.send("POST", "/transactions/filter", {"filters": []}, **headers).document()
    assert desk.send("GET", "/data/ledgers", **headers).document()["total"] == 2
    assert desk.send("GET", "/data/ledgers", **(headers | {"x-blnk-key": "wrong"})).status == 401
    # With both, the token counts.
    assert desk.send("GET", "/data/ledgers", **{"x-blnk-key": "wrong"}).status == 200


def test_lists_are_cut_as_each_resource_cuts_them(desk, error_code):
    for number in range(25):
        desk.pay(f"pay-{number}", skip_queue=True, source=f"@w{number}")
        desk.core("POST", "/ledgers", {"name": f"ledger {number}"})
        desk.core("POST", "/identities", {"first_name": f"Mara {number}"})

    def size(path):
        return len(desk.core("GET", path).document())

    assert [size(f"/{name}") for name in ("ledgers", "balances", "transactions", "identities")] == [10, 10, 20, 20]
    assert [size("/ledgers?limit=1000"), size("/ledgers?limit=20&offset=20")] == [26, 6]
    assert [size("/transactions?limit=0"), size("/transactions?limit=x&offset=-1")] == [20, 20]
    for path in ("/ledgers?limit=0", "/balances?limit=x", "/ledgers?offset=-1", "/balances?offset=x"):
        assert error_code(desk.core("GET", path)) == "GEN_VALIDATION_ERROR"
    assert error_code(desk.core("GET", "/ledgers?colour_eq=x")) == "GEN_BAD_REQUEST"
    (paid,) = desk.core("GET", "/transactions?reference_eq=pay-7").document()
    assert paid["reference"] == "pay-7"
    # Whether Cloud forwards them nobody knows; with core_routes it does.
    assert len(desk.send("GET", "/proxy/ledgers").document()) == 10


def test_a_ledger_gets_another_name(desk, error_code):
    ledger = desk.core("POST", "/ledgers", {"name": "x", "meta_data": {"a": 1}}).document()
    path = f"/ledgers/{ledger['ledger_id']}"
    assert desk.core("PUT", path, {"name": "y"}).document() == ledger | {"name": "y"}
    assert desk.core("GET", path).document()["name"] == "y"
    for body, expected in (({}, "GEN_VALIDATION_ERROR"), (b"{bad", "GEN_MALFORMED_REQUEST")):
        assert error_code(desk.core("PUT", path, body)) == expected
    assert error_code(desk.core("PUT", "/ledgers/ldg_x", {"name": "y"})) == "LGR_NOT_FOUND"


def test_a_slash_too_many_is_a_redirect_before_the_key_is_asked_for(desk):
    for method, status in (("GET", 301), ("POST", 307)):
        answer = desk.core(method, "/ledgers/", {"name": "x"}, None)
        assert (answer.status, answer.headers["Location"]) == (status, "/ledgers")
    proxied = desk.send("POST", "/proxy/ledgers/", {"name": "x"})
    assert (proxied.status, proxied.headers["Location"]) == (307, "/ledgers")
    assert desk.core("GET", "/nothing/").status == 404
    assert len(desk.books.ledgers) == 1


def test_what_no_column_holds_is_a_500(desk, error_code):
    nul = {"a": [{"b": "x\0"}]}
    rule = {"name": "x", "criteria": [{"field": "amount", "operator": "equals"}]}
    rule_id = desk.core("POST", "/reconciliation/matching-rules", rule).document()["rule_id"]
    made = desk.core("POST", "/ledgers", {"name": "x"}).document()["ledger_id"]
    for path, body in (
        ("/identities", {"first_name": "x\0"}),
        ("/identities", {"meta_data": nul}),
        ("/ledgers", {"name": "x\0"}),
        ("/ledgers", {"name": "x", "meta_data": nul}),
        ("/balances", {"ledger_id": made, "currency": "EUR", "meta_data": nul}),
        (f"/{made}/metadata", {"meta_data": nul}),
        ("/reconciliation/matching-rules", rule | {"name": "x" * 256}),
        ("/reconciliation/matching-rules", rule | {"description": "x\0"}),
    ):
        answer = desk.core("POST", path, body)
        assert (answer.status, error_code(answer)) == (500, "GEN_INTERNAL"), path
    record = {"id": "s-1", "amount": 1, "reference": "x" * 256, "date": "2026-11-20T10:00:00Z"}
    run = {"external_transactions": [record], "strategy": "one_to_one", "matching_rule_ids": [rule_id]}
    answer = desk.core("POST", "/reconciliation/start-instant", run)
    assert (answer.status, error_code(answer)) == (500, "RECON_START_FAILED")
    assert desk.core("POST", "/reconciliation/matching-rules", rule | {"name": "x" * 255}).status == 201
    assert (len(desk.books.ledgers), len(desk.books.identities)) == (2, 0)


def test_a_scoped_key_may_less_and_damages_more(make_desk, error_code):
    scopes = {"reader": ("transactions:read",), "writer": ("transactions:write",)}
    desk = make_desk(core_keys=scopes)
    pay = desk.payment("pay-1", precise_amount=2**53 + 1, skip_queue=True)
    answer = desk.core("POST", "/transactions", pay, "reader")
    assert (answer.status, error_code(answer)) == (403, "AUTH_INSUFFICIENT_PERMISSIONS")
    # A filter is a POST.
    assert desk.core("POST", "/transactions/filter", {"filters": []}, "reader").status == 403
    body = desk.core("POST", "/transactions", pay, "writer").document()
    assert body["precise_amount"] == 2**53
    assert body["meta_data"]["BLNK_GENERATED_BY"].startswith("api_key_")
    metadata = desk.core("POST", f"/{body['transaction_id']}/metadata", {"meta_data": {}}, "writer")
    assert (metadata.status, error_code(metadata)) == (403, "AUTH_UNKNOWN_RESOURCE")


def test_faults_strike_a_bare_core_too(desk):
    body = desk.payment("pay-1")
    assert desk.core("POST", "/transactions", body, **{"x-sandbox-fault": "vanish"}).status == 201
    desk.step()
    assert desk.books.rows == ()
    assert desk.instance.edge.log[-1].identity == "pay-1"


def plan_of(desk):
    """The same story with other ids: every identity a plan of faults goes by."""
    ledger = desk.send("POST", "/proxy/ledgers", {"name": "x", "meta_data": {"key": 1}}).document()["ledger_id"]
    identity = desk.send("POST", "/proxy/identities", {"first_name": "Mara"}).document()["identity_id"]
    body = {"ledger_id": ledger, "currency": "EUR", "identity_id": identity}
    balance = desk.send("POST", "/proxy/balances", body).document()["balance_id"]
    for entity in (ledger, identity, balance):
        for _ in range(2):
            desk.send("POST", f"/proxy/{entity}/metadata", {"meta_data": {"a": 1}})
    desk.send("PUT", f"/proxy/balances/{balance}/identity", {"identity_id": identity})
    desk.send("POST", f"/proxy/identities/{identity}/tokenize/FirstName")
    batch = desk.send("POST", "/proxy/transactions/bulk", {"transactions": [desk.payment("pay-1")]}).document()
    desk.step()
    desk.refund(batch["batch_id"])
    return [line.identity for line in desk.instance.edge.log]


def test_requests_have_the_same_identity_in_every_run(make_desk):
    first, second = plan_of(make_desk()), plan_of(make_desk())
    assert first == second
    # Different requests differ, a repeat does not.
    assert len(set(first)) == len(first) - 3
