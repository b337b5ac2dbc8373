"""Messages of Celery's, read without Celery: what is well is understood, and all else raises and does nothing."""

from __future__ import annotations

import base64
import json
import pickle
import unicodedata
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.utils.json import dumps

from tasks.messages import MOST_BYTES, Call, Unreadable, opened, read, safe_text, shown
from tests.support.messages import FIELDS, TASK, envelope, message, old_message


def call(raw: bytes) -> Call:
    return read(opened(raw))


@pytest.mark.parametrize("raw", [message({"key": "k"}), old_message({"key": "k"})], ids=["second", "first"])
def test_both_protocols_are_read(raw):
    assert (call(raw).task, list(call(raw).args), call(raw).kwargs) == (TASK, [], {"key": "k"})


def test_what_celery_writes_as_typed_json_is_read_as_what_it_was():
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    body = dumps([[], {"not_before": moment, "amount": Decimal("10.50")}, {}]).encode()
    assert call(envelope(body)).kwargs == {"not_before": moment, "amount": Decimal("10.50")}


def test_times_of_both_protocols_are_read():
    text = "2030-01-02T03:04:05"
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (call(message({}, eta=f"{text}Z")).eta, call(message({}, expires=f"{text}+00:00")).expires) == (moment,) * 2
    assert call(old_message({}, eta=text)).eta == moment


def test_a_packed_body_is_unpacked_and_not_without_end():
    body = json.dumps([[], dict(FIELDS), {}]).encode()
    packed = {"headers": {"task": TASK, "compression": "application/x-gzip"}}
    assert call(envelope(zlib.compress(body), **packed)).kwargs == FIELDS
    with pytest.raises(Unreadable):
        opened(envelope(zlib.compress(b" " * (MOST_BYTES + 1)), **packed))
    with pytest.raises(Unreadable):
        opened(envelope(zlib.compress(body)[:-6], **packed))


def test_what_is_to_follow_is_named():
    assert call(message({}, embed={"callbacks": [{"task": "other"}], "chain": []})).followed == ("callbacks",)


#: Messages that nobody can read, by what is wrong with them.
RUBBISH: dict[str, bytes] = {
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "no JSON": b"hello",
    "JSON of another sort": b"[1, 2]",
    "a number too large to be read": b'{"body": ' + b"9" * 5_000 + b"}",
    "too deep": b'{"body":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no body": envelope(b"", body=None),
    "a body of no text": envelope(b"", body={"a": 1}),
    "a body in no base64": envelope(b"", body="!!!"),
    "headers that are a list": envelope(b"[[], {}, {}]", headers=[1]),
    "properties that are a text": envelope(b"[[], {}, {}]", properties="x"),
    "another encoding of the body": envelope(b"[[], {}, {}]", properties={"body_encoding": "rot13"}),
    "a body of no JSON": envelope(b"{"),
    "a body too deep": envelope(b"[" * 100_000 + b"]" * 100_000),
    "a body of a bare text": envelope(b'"hello"'),
    "a body of one part": envelope(b"[[]]"),
    "a body of another length": envelope(b"[[], {}, {}, {}]"),
    "keyword arguments that are a list": envelope(b"[[], [1], {}]"),
    "arguments that are a text": envelope(b'["hello", {}, {}]'),
    "a charset that is none": envelope(b"[[], {}, {}]", content_encoding="klingon"),
    "a codec that is no charset": envelope(b"[[], {}, {}]", content_encoding="hex"),
    "a type that JSON has not": envelope(b'[[], {"a": {"__type__": "os.system", "__value__": "x"}}, {}]'),
    "a type that has no name": envelope(b'[[], {"a": {"__type__": [], "__value__": "x"}}, {}]'),
    "an eta that is none": message({}, eta="soon"),
    "an eta that is a number": message({}, eta=5),
    "an eta without an offset": message({}, eta="2030-01-01T00:00:00"),
    "no content type": envelope(b"[[], {}, {}]", content_type=None),
    "an unknown compression": envelope(b"[[], {}, {}]", headers={"task": TASK, "compression": "zip"}),
    "a compression that is not true": envelope(b"[[], {}, {}]", headers={"task": TASK, "compression": "gzip"}),
    **{
        kind: envelope(b"[[], {}, {}]", content_type=kind)
        for kind in ("application/x-yaml", "application/x-msgpack", "text/plain", "application/data")
    },
}


@pytest.mark.parametrize("raw", RUBBISH.values(), ids=RUBBISH)
def test_what_cannot_be_read_raises(raw):
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is, the caller keeps the message
        call(raw)


class Bomb:
    def __reduce__(self) -> Any:
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("content_type", ["application/x-python-serialize", "application/json"])
def test_a_pickle_is_never_opened(content_type):
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is
        call(envelope(pickle.dumps([[], Bomb(), {}]), content_type=content_type, content_encoding="binary"))


@given(st.binary(max_size=300))
def test_any_bytes_are_shown_without_a_control_character(data):
    text = shown(data, 100)
    assert len(text) <= 100
    assert not [char for char in text if unicodedata.category(char)[0] == "C" or char in "\u2028\u2029"]
    assert safe_text(json.loads(f'"{chr(92)}ud800 x"'), 50).endswith(" x")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_in_the_place_of_a_body_is_read_or_raises(body):
    raw = envelope(json.dumps(body).encode("utf-8", "surrogatepass"))
    with suppress(ValueError, TypeError, AttributeError):
        assert isinstance(call(raw).kwargs, dict)


def test_a_body_without_base64_is_read():
    raw = envelope(b"", body=json.dumps([[], {"key": "k"}, {}]), properties={})
    assert call(raw).kwargs == {"key": "k"}
    assert base64.b64decode(json.loads(message({}))["body"]).startswith(b"[")
