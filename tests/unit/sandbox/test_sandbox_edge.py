from __future__ import annotations

import pytest

READER = {"reader": ("data:read",), "writer": ("proxy:write",)}


@pytest.mark.parametrize("header", ["", "Basic abc", "Bearer", "Bearer wrong"])
def test_a_token_is_needed(desk, header):
    assert desk.send("POST", "/proxy/ledgers", {"name": "x"}, authorization=header).status == 401


@pytest.mark.parametrize(
    ("method", "path", "reader", "writer"),
    [
        ("POST", "/proxy/ledgers", 403, 201),
        ("GET", "/proxy/transactions/reference/x", 403, 403),
        ("GET", "/data/ledgers", 200, 403),
        ("POST", "/transactions/filter", 200, 403),
    ],
)
def test_scopes_are_needed(make_desk, method, path, reader, writer):
    desk = make_desk(tokens=READER)
    for token, status in (("reader", reader), ("writer", writer), ("blnk_sandbox", None)):
        answer = desk.send(method, path, {"name": "x"}, authorization=f"Bearer {token}")
        assert status in {None, answer.status}


def test_the_instance_is_needed(desk):
    assert desk.send("GET", "/data/ledgers?instance_id=").status == 400
    assert desk.send("GET", "/data/ledgers?instance_id=other").status == 404


@pytest.mark.parametrize("shape", ["json", "error_detail", "text"])
def test_the_edges_own_errors_come_in_three_shapes(make_desk, shape):
    answer = make_desk(edge_errors=shape).send("GET", "/data/ledgers", authorization="")
    if shape == "text":
        assert answer.headers["Content-Type"].startswith("text/plain")
    else:
        assert ("error_detail" in answer.document()) == (shape == "error_detail")


def test_an_unknown_path_is_plain_text(desk):
    answer = desk.send("GET", "/proxy/nothing")
    assert (answer.status, answer.body) == (404, b"404 page not found")


def test_core_routes_outside_the_list_can_be_switched_off(make_desk):
    desk = make_desk(core_routes=False)
    desk.applied("pay-1")
    assert desk.send("GET", "/proxy/transactions/reference/pay-1").body == b"404 page not found"


def test_a_missing_reference_is_invented_anew_for_every_attempt(desk):
    references = {desk.pay("x", reference=...).document()["reference"] for _ in range(2)}
    assert len(references) == 2
    desk.step()
    assert desk.balance("@Wallet") == 20000


def test_a_missing_precision_becomes_100(make_desk):
    desk = make_desk()
    changes = {"precision": ..., "precise_amount": ..., "amount": 100.5, "skip_queue": True}
    assert desk.pay("pay-1", **changes).document()["precise_amount"] == 10050
    desk.instance.switch({"inject_defaults": False})
    assert desk.pay("pay-2", **changes).document()["precise_amount"] == 101
    assert desk.pay("x", reference=...).status == 400


def test_a_re_encoding_edge_damages_large_integers(make_desk):
    desk = make_desk(round_big_ints=True)
    small, large = 2**53 - 1, 12345678901234567890
    assert desk.pay("pay-1", precise_amount=small).document()["precise_amount"] == small
    assert desk.pay("pay-2", precise_amount=large).document()["precise_amount"] == 12345678901234567000
    assert desk.pay("pay-3", precise_amount=10**21).status == 400


def test_requests_are_logged_with_what_the_client_calls_them(desk):
    desk.send("GET", "/data/ledgers", **{"x-request-id": "attempt-1"})
    desk.pay("pay-1", currency="")
    first, second = desk.instance.edge.log
    assert (first.method, first.path, first.status) == ("GET", "/data/ledgers", 200)
    assert (first.request_id, first.fault) == ("attempt-1", None)
    assert (second.status, second.identity) == (400, "pay-1")


def test_switches_are_checked(desk):
    for changes in ({"no_such": 1}, {"manual_clock": False}, {"read_lag_s": "2"}, {"edge_errors": "xml"}):
        with pytest.raises(ValueError, match=next(iter(changes))):
            desk.instance.switch(changes)
    assert desk.instance.switch({"read_lag_s": 2}).read_lag_s == 2
