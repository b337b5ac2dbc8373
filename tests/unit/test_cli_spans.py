"""Times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker.cli.output import clock, plain, span, stamp
from worker.cli.spans import check_times, read_since, read_time, since_at

NOW = datetime(2026, 11, 20, 9, 15, 31, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
        ("2026-11-20T09:15:31.250Z", NOW),
        ("2026-11-20T10:15:31.250+01:00", NOW),
    ],
)
def test_since_takes_spans_and_rfc_3339(text, expected):
    assert read_since(text) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2 h", "1.5h", "yesterday", "2026-13-20", "2026-13-20Z"])
def test_since_refuses_everything_else_with_a_sentence(text):
    with pytest.raises(ValueError, match="nor a span such as 15m, 2h or 3d"):
        read_since(text)


@pytest.mark.parametrize("text", ["2026-11-20", "2026-11-20Z"])
def test_of_a_date_it_is_said_how_to_write_it(text):
    for read in (read_since, read_time):
        with pytest.raises(ValueError, match=r"is a date without a time; write 2026-11-20T00:00:00Z$"):
            read(text)


def test_a_span_longer_than_anything_is_refused_as_that():
    with pytest.raises(ValueError, match=r"'99999999d' is too long a span$"):
        read_since("99999999d")


def test_what_is_no_time_in_utc_is_none():
    with pytest.raises(ValueError, match="not an RFC 3339 time"):
        read_time("0001-01-01T00:00:00+14:00")


def test_a_time_without_an_offset_is_refused():
    with pytest.raises(ValueError, match="no offset from UTC"):
        read_time("2026-11-20T09:15:31")


def test_a_span_is_counted_back_from_now_and_never_overflows():
    assert since_at(timedelta(hours=2), NOW) == NOW - timedelta(hours=2)
    assert since_at(timedelta(days=999_999), NOW) == datetime.min.replace(tzinfo=UTC)
    assert since_at(NOW, NOW) == NOW
    assert since_at(None, NOW) is None


def test_times_with_nothing_between_them_are_refused():
    hour = timedelta(hours=1)
    soon = NOW + timedelta(seconds=30)
    for since, until in ((None, None), (NOW, None), (soon, None), (NOW - hour, NOW), (None, NOW)):
        check_times(since, until, NOW)
    with pytest.raises(ValueError, match="lies ahead: it is 2026-11-20 09:15:31Z now"):
        check_times(NOW + hour, None, NOW)
    with pytest.raises(ValueError, match="nothing between them"):
        check_times(NOW, NOW, NOW)


def test_a_printed_time_reads_back_as_the_same_millisecond():
    assert stamp(NOW) == "2026-11-20T09:15:31.250Z"
    assert read_time(stamp(NOW) or "") == NOW
    assert clock(NOW) == "2026-11-20 09:15:31Z"
    assert stamp(None) is None


def test_no_text_from_outside_can_move_the_cursor():
    assert plain("a\x1b[2Jb\nc\x9b") == "a\\x1b[2Jb\\nc\\x9b"
    assert plain("x" * 600).endswith("…")


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "-"), (0.25, "0.2 s"), (90, "1.5 min"), (5400, "1.5 h"), (129_600, "1.5 d")]
)
def test_durations_are_written_in_one_unit(seconds, expected):
    assert span(seconds) == expected
