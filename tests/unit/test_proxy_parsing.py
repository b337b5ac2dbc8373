"""What came back over HTTP, turned into values: any body is tolerated, and no doubt is decided in our favour."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.intents.exchange import Failure, Response
from worker.ledger.readback import _is_complete, _items, _row, _whole
from worker.ledger.wire import MAX_ANSWER_BYTES, _object, _response, _retry_after_s

CORE = {
    "error": "the old text",
    "error_detail": {"code": "TXN_NOT_FOUND", "message": "the text", "details": {"Code": "23505"}},
}


def response_of(status: int, raw: bytes, **headers: str) -> Response:
    answer = requests.Response()
    answer.status_code = status
    answer.headers.update(headers)
    return _response(answer, raw, 12)


# -- bodies --------------------------------------------------------------------------------------------------------


def test_an_error_of_the_ledger_gives_code_and_message():
    response = response_of(404, json.dumps(CORE).encode())
    assert (response.status, response.code, response.message) == (404, "TXN_NOT_FOUND", "the text")
    assert (response.has_errors, response.failure, response.latency_ms) == (False, None, 12)
    assert response.body == CORE


@pytest.mark.parametrize(
    ("body", "code", "message", "has_errors"),
    [
        ({"errors": "amount: is required.", "error_detail": {"code": "TXN_VALIDATION_ERROR"}}, "TXN_VALIDATION_ERROR",
         "amount: is required.", True),
        ({"errors": ["a", "b"]}, "", "['a', 'b']", True),
        ({"error": "Unauthorized"}, "", "Unauthorized", False),
        ({"message": "instance_id is missing"}, "", "", False),
        ({"error_detail": "text"}, "", "", False),
        ({"error_detail": {"code": None, "message": None}, "error": None}, "", "", False),
        ({"error_detail": {"code": 7, "message": ["x"]}}, "7", "['x']", False),
        ({}, "", "", False),
    ],
)  # fmt: skip
def test_errors_of_every_shape_are_read(body, code, message, has_errors):
    response = response_of(400, json.dumps(body).encode())
    assert (response.code, response.message, response.has_errors) == (code, message, has_errors)
    assert response.body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"404 page not found",
        b"<html>Bad gateway</html>",
        b"{",
        b'{"a": 1} and more',
        b'"text"',
        b"null",
        b"12",
        b"\xff\xfe",
        '{"a": 1}'.encode("utf-16"),
        b'{"error_detail": {"code": "Stra\xdfe"}}',
        b'{"error_detail": {"code": "GEN_VALIDATION_ERROR"}, "error_detail": {"code": "QUEUED"}}',
        b'{"data": [{"reference": "a", "status": "APPLIED", "status": "REJECTED"}]}',
        b'{"a": 1e999999999999999999999, "a": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_no_body_and_breaks_nothing(raw):
    response = response_of(500, raw)
    assert (response.body, response.code, response.message, response.has_errors) == (None, "", "", False)


def test_a_bare_array_is_the_data_of_an_answer():
    response = response_of(200, b'[{"reference": "a"}]')
    assert _items(response) == [{"reference": "a"}]
    assert not _is_complete(response.body or {}, 1)


def test_the_content_type_is_not_looked_at():
    response = response_of(400, json.dumps(CORE).encode(), **{"Content-Type": "text/plain"})
    assert response.code == "TXN_NOT_FOUND"


def test_numbers_are_exact():
    body = _object(b'{"precise_amount": 12345678901234567890123, "amount": 0.1, "exp": 1e3}')
    assert body == {"precise_amount": 12345678901234567890123, "amount": Decimal("0.1"), "exp": Decimal("1e3")}
    assert not any(isinstance(value, float) for value in body.values())


@pytest.mark.parametrize(
    "number",
    ["1e9999999999999999999", "-1e9999999999999999999", "1e-9999999999999999999", "9" * 5000, "NaN", "-Infinity"],
)
def test_a_number_that_cannot_be_held_is_unreadable_and_takes_nothing_with_it(number):
    body = _object(f'{{"data": [{{"precise_amount": {number}, "reference": "a"}}, {{"precise_amount": 5}}]}}'.encode())
    first, second = (_row(item) for item in _items(Response(status=200, body=body)) or ())
    assert (first.precise_amount, first.reference, second.precise_amount) == (None, "a", 5)


def peak_of(raw: bytes) -> int:
    tracemalloc.start()
    try:
        _object(raw)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "piece",
    [b"[],", b"{},", b"1.1,", b'{"":1},', b"[" * 900 + b"]" * 900 + b",", b'"a",'],
    ids=["arrays", "objects", "numbers", "names", "depth", "texts"],
)
def test_an_answer_costs_little_memory_whatever_it_is_made_of(piece):
    # As large as any that is read; more than that is cut off on the way.
    body = b"[" + piece * (MAX_ANSWER_BYTES // len(piece)) + b"1]"
    assert peak_of(body) < 2 * MAX_ANSWER_BYTES
    assert _object(body) is None


def test_the_largest_page_that_there_can_be_is_read_whatever_its_rows_hold():
    # A hundred rows of 8,000 bytes, made of nothing but values.
    row = b'{"meta_data": {"a": [' + b"7," * 3_980 + b"7]}}"
    page = b'{"data": [' + b",".join([row] * 100) + b"]}"
    assert len((_object(page) or {})["data"]) == 100


@pytest.mark.parametrize("half", [b"\xed\xa0\x80", b"\xed\xb0\x80"])
def test_half_of_a_pair_in_bytes_that_are_no_utf_8_does_not_come_in(half):
    response = response_of(400, b'{"error": "a' + half + b'"}')
    assert (response.body, response.message) == (None, "")


def test_what_nothing_can_store_does_not_come_in():
    raw = b'{"error_detail": {"code": "C\\ud800", "message": "a\\udc00 \\ud83d\\ude00"}, "\\ud800": ["\\ud800"]}'
    response = response_of(400, raw)
    assert (response.code, response.message) == ("C?", "a? \N{GRINNING FACE}")
    assert json.dumps(response.body, ensure_ascii=False).encode()


def test_a_mark_before_the_json_is_no_part_of_it():
    assert _object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_codes_and_messages_are_kept_short():
    response = response_of(400, json.dumps({"error_detail": {"code": "C" * 999, "message": "m" * 9999}}).encode())
    assert (len(response.code), len(response.message)) == (64, 300)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5) | st.just(10**4000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(("error", "errors", "error_detail", "data", "code", "message")), anything))
def test_any_json_makes_a_response_that_can_be_stored(body):
    response = response_of(400, json.dumps({**body, "error_detail": body}).encode())
    f"{response.code}{response.message}".encode()
    assert response.failure is None


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_bytes_make_a_response(status, raw):
    response = response_of(status, raw)
    assert response.status == status
    assert response.failure is None


# -- Retry-After ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("0", 0.0),
        ("30", 30.0),
        ("  30  ", 30.0),
        (" " * 12 + "30", 30.0),
        ("999999999999999999999", 999_999_999.0),
        ("1.5", None),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("٣", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
    ],
)
def test_a_header_is_seconds_or_nothing(text, seconds):
    assert _retry_after_s(text) == seconds


def test_a_date_is_counted_from_now():
    then = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 <= (_retry_after_s(format_datetime(then, usegmt=True)) or 0) <= 90


@given(st.text(max_size=40) | st.integers().map(str) | st.from_regex(r"Mon, \d{1,25} Jan \d{1,25} \d\d:\d\d:\d\d GMT"))
def test_no_header_breaks_anything(text):
    seconds = _retry_after_s(text)
    assert seconds is None or seconds >= 0


# -- rows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "amount"),
    [
        ({"precise_amount": 1050}, 1050),
        ({"precise_amount": "1050"}, 1050),
        ({"precise_amount": 0}, 0),
        ({"precise_amount": Decimal("1050.0")}, 1050),
        ({"precise_amount": 12345678901234567890123}, 12345678901234567890123),
        ({"precise_amount": "12345678901234567890123"}, 12345678901234567890123),
        # Left out by some reads: then amount and precision tell it, if both are there.
        ({"amount": Decimal("10.5"), "precision": 100}, 1050),
        ({"precise_amount": None, "amount": 10, "precision": Decimal("100.0")}, 1000),
        ({"precise_amount": "", "amount": "10.50", "precision": 100}, 1050),
        # What cannot be read exactly is not read at all.
        ({"amount": Decimal("3.3333333333333333"), "precision": 3}, None),
        ({"amount": Decimal("10.5"), "precision": 0}, None),
        ({"amount": Decimal("10.5"), "precision": -100}, None),
        ({"amount": Decimal("10.5"), "precision": "100"}, None),
        ({"amount": Decimal("10.5")}, None),
        ({"precision": 100}, None),
        ({}, None),
        ({"precise_amount": "ten"}, None),
        ({"precise_amount": "10.5"}, None),
        ({"precise_amount": float("inf")}, None),
        ({"precise_amount": float("nan")}, None),
        ({"precise_amount": "sNaN"}, None),
        ({"precise_amount": Decimal("1e999999999")}, None),
        ({"precise_amount": []}, None),
    ],
)
def test_an_amount_is_read_exactly_or_not_at_all(item, amount):
    assert _whole(item) == amount


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.decimals() | st.just([])


@given(st.dictionaries(st.sampled_from(("precise_amount", "amount", "precision", "status", "meta_data")), values))
def test_no_row_breaks_the_reading(item):
    shown = _row(item)
    assert shown.precise_amount is None or type(shown.precise_amount) is int
    assert isinstance(shown.status, str)


def test_a_row_is_read_as_far_as_decisions_need_it():
    shown = _row(
        {
            "transaction_id": "txn_1",
            "reference": "R_q",
            "status": "REJECTED",
            "parent_transaction": "txn_0",
            "precise_amount": 5,
            "currency": "EUR",
            "source": "bln_1",
            "destination": "bln_2",
            "created_at": "2026-11-20T09:00:00Z",
            "meta_data": {"blnk_rejection_reason": "insufficient funds", "other": 1},
        }
    )
    assert (shown.transaction_id, shown.reference, shown.status, shown.parent) == ("txn_1", "R_q", "REJECTED", "txn_0")
    assert (shown.precise_amount, shown.currency, shown.source, shown.destination) == (5, "EUR", "bln_1", "bln_2")
    assert shown.rejection == "insufficient funds"


def test_columns_that_are_missing_or_null_are_empty():
    shown = _row({"transaction_id": "txn_1", "parent_transaction": None, "meta_data": None, "currency": 5})
    assert (shown.parent, shown.rejection, shown.currency, shown.reference) == ("", "", "", "")


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        (Response(status=200, body={"data": []}), []),
        (Response(status=200, body={"data": None}), []),
        (Response(status=200, body={"data": [{"a": 1}, {"a": 2}]}), [{"a": 1}, {"a": 2}]),
        (Response(status=200, body={"data": [{"a": 1}, "noise", None]}), None),
        (Response(status=200, body={"data": [None]}), None),
        (Response(status=200, body={}), None),
        (Response(status=200, body={"data": {}}), None),
        (Response(status=200), None),
        (Response(status=404, body={"data": []}), None),
        (Response(status=200, body={"data": []}, failure=Failure.BROKEN), None),
    ],
)
def test_a_page_is_rows_or_a_failure_and_never_nothing_by_mistake(answer, items):
    assert _items(answer) == items


@pytest.mark.parametrize(
    ("body", "seen", "complete"),
    [
        ({"total": 2}, 2, True),
        ({"total": 0}, 0, True),
        ({"total": 3}, 2, False),
        ({"total": 2, "total_is_estimate": True}, 2, False),
        ({"total": 2, "total_is_estimate": False}, 2, True),
        ({"total": "2"}, 2, False),
        ({}, 2, False),
    ],
)
def test_only_an_exact_total_says_that_all_rows_were_seen(body, seen, complete):
    assert _is_complete(body, seen) == complete
