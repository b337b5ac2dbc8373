"""Times on the command line: RFC 3339, or a span back from now such as ``2h``. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

from worker.cli.output import clock

#: How far ahead a time may lie and still pass: the clocks of two machines are not the same.
_AHEAD = timedelta(minutes=1)

_SPAN = re.compile(r"^([0-9]+)([smhdw])$")
_DATE = re.compile(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[zZ]?$")

#: Digits of a span, at most: so many weeks are longer than anybody has kept anything.
_MOST_DIGITS = 6

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_time(text: str) -> datetime:
    """An RFC 3339 time.

    Raises:
        ValueError: It is none, or has no offset from UTC.
    """
    return _time(text)


def read_since(text: str) -> datetime | timedelta:
    """An RFC 3339 time, or a span back from now.

    Raises:
        ValueError: It is neither.

    Example:
        >>> read_since("15m")
        datetime.timedelta(seconds=900)
    """
    match = _SPAN.match(text)
    if match is None:
        return _time(text, ", nor a span such as 15m, 2h or 3d")
    if len(match[1]) > _MOST_DIGITS:
        raise ValueError(f"{text!r} is too long a span")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _time(text: str, nor: str = "") -> datetime:
    """A time; where it is none, the sentence says what else it might have been."""
    date = _DATE.match(text)
    try:
        moment = datetime.fromisoformat(date[1] if date else text)
        # Not all of those at both ends are times in UTC as well.
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-11-20T09:15:31Z{nor}") from None
    if date:
        raise ValueError(f"{text!r} is a date without a time; write {date[1]}T00:00:00Z")
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC; add a Z, or one such as +01:00")
    return moment


def since_at(since: datetime | timedelta | None, now: datetime) -> datetime | None:
    """The time that ``--since`` means, seen from now."""
    if not isinstance(since, timedelta):
        return since
    try:
        return now - since
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def check_times(since: datetime | None, until: datetime | None, now: datetime) -> None:
    """See that anything at all can be since the one time and before the other.

    Raises:
        ValueError: Nothing can, so that an empty answer would say nothing.
    """
    if since is not None and since > now + _AHEAD:
        raise ValueError(f"since {clock(since)} lies ahead: it is {clock(now)} now")
    if since is not None and until is not None and since >= until:
        raise ValueError(f"since {clock(since)} and until {clock(until)} have nothing between them")


def times_at(
    since: datetime | timedelta | None, until: datetime | timedelta | None, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """The times that ``--since`` and ``--until`` mean, seen from now.

    Raises:
        click.UsageError: There is nothing between them.
    """
    begin, end = since_at(since, now), since_at(until, now)
    try:
        check_times(begin, end, now)
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    return begin, end


class Since(click.ParamType[datetime | timedelta]):
    """``--since``: an RFC 3339 time or a span."""

    name = "time|span"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        """Read it, or fail with a sentence."""
        if isinstance(value, (datetime, timedelta)):
            return value
        try:
            return read_since(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Time(click.ParamType[datetime]):
    """``--until``: an RFC 3339 time."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read it, or fail with a sentence."""
        if isinstance(value, datetime):
            return value
        try:
            return read_time(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
