"""What one line of a file of intents may say."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from blnk_relay import InvalidIntent
from worker.cli.jsonl_line import MAX_LINE_BYTES, numbered, write_of

PAYLOAD = {"source": "@bank", "destination": "@alice", "currency": "EUR", "amount": "10.50", "description": "Top-up"}


def line(**changes: object) -> bytes:
    return json.dumps({"kind": "transaction", "key": "order-1", "payload": PAYLOAD} | changes).encode()


def problems(given):
    with pytest.raises(InvalidIntent) as caught:
        write_of(given)
    return caught.value.errors


def test_a_good_line_becomes_a_write():
    write = write_of(line(lane="refunds", not_before=90, deadline="2026-11-20T09:15:31Z"))
    assert write.intent.payload["precise_amount"] == 1050
    assert (write.key, write.lane) == ("order-1", "refunds")
    assert write.not_before == timedelta(seconds=90)
    assert write.deadline == datetime(2026, 11, 20, 9, 15, 31, tzinfo=UTC)


def test_a_float_amount_is_refused_by_name_because_it_is_not_exact():
    errors = problems(line(payload=PAYLOAD | {"amount": 10.5}))
    assert "a float cannot hold money exactly" in errors["amount"][0]


def test_a_large_integer_stays_exact():
    payload = {name: value for name, value in PAYLOAD.items() if name != "amount"}
    write = write_of(line(payload=payload | {"precise_amount": 9_007_199_254_740_991}))
    assert write.intent.payload["precise_amount"] == 9_007_199_254_740_991


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        (b"{", "line", "Is not valid JSON"),
        (b"[1]", "line", "Must be a JSON object"),
        (b"\xff", "line", "Is not UTF-8"),
        (None, "line", "Is longer than"),
        (b"[" * 100_000, "line", "Is nested too deeply"),
        (b'{"kind": "refund", "kind": "transaction"}', "line", "'kind' stands twice"),
        (b'{"deadline": NaN}', "line", "NaN is not a JSON number"),
        (b'{"deadline": ' + b"1" * 5000 + b"}", "line", "integer string"),
        (line(kind=7), "kind", "Is needed"),
        (line(kind="nope"), "kind", "Unknown kind"),
        (line(payload=[]), "payload", "Is needed"),
        (line(key=7), "key", "Must be a string"),
        (line(lane=["refunds"]), "lane", "Must be a string"),
        (line(amount=1), "amount", "Is not a field of a line"),
        (line(not_before="2026-11-20T09:15:31"), "not_before", "no offset from UTC"),
        (line(not_before="2h"), "not_before", "not an RFC 3339 time"),
        (line(deadline=True), "deadline", "span in seconds"),
        (line(deadline=-1), "deadline", "between 0 and"),
        (line(deadline=1e300), "deadline", "between 0 and"),
        (line(payload=PAYLOAD | {"reference": "a_q"}), "reference", "Must not end in _q"),
    ],
)
def test_a_bad_line_is_refused_with_the_field_and_the_reason(given, field, message):
    assert message in problems(given)[field][0]


def test_all_that_is_wrong_with_a_line_is_told_at_once():
    errors = problems(line(key=7, lane=8, extra=1, payload=PAYLOAD | {"source": "bank", "amount": "0"}))
    assert set(errors) == {"key", "lane", "extra", "source", "amount"}


def test_no_message_quotes_a_value_of_the_payload():
    errors = problems(line(payload=PAYLOAD | {"source": "Alice Example", "amount": "12.345"}))
    assert "Alice" not in str(errors)
    assert "12.345" not in str(errors)


def test_lines_are_numbered_as_an_editor_does_and_blank_ones_are_left_out():
    found = list(numbered(io.BytesIO(b"\xef\xbb\xbfone\n\n  \r\ntwo\r\nlast")))
    assert [(number, content) for number, content, _ in found] == [(1, b"one\n"), (4, b"two\r\n"), (5, b"last")]


def test_a_line_that_is_too_long_is_passed_over_without_being_held():
    file = io.BytesIO(b"a" * MAX_LINE_BYTES * 3 + b"\nnext\n" + b"b" * MAX_LINE_BYTES + b"\n")
    found = list(numbered(file))
    assert [(number, content and len(content)) for number, content, _ in found] == [
        (1, None),
        (2, 5),
        (3, MAX_LINE_BYTES + 1),
    ]
    assert sum(size for _, _, size in found) == len(file.getvalue())
