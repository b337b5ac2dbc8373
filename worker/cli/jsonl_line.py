"""From the lines of a JSONL file to writes: what one line may say, and what is wrong with it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import IO, TYPE_CHECKING, Any, NoReturn

from worker.cli.spans import read_time

if TYPE_CHECKING:
    from blnk_relay import Write

#: Longest line in bytes; a payload is some hundred bytes, and the ledger's own limit lies far below this.
MAX_LINE_BYTES = 1024 * 1024

_KNOWN = ("kind", "payload", "key", "target", "lane", "not_before", "deadline")

#: What stands for a line that is too long to be read.
TOO_LONG = None

_BOM = b"\xef\xbb\xbf"


def numbered(file: IO[bytes]) -> Iterator[tuple[int, bytes | None, int]]:
    """The lines of a file that are not blank: number, content (None when too long), and bytes read for it."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        size = len(line)
        if size > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                size += len(rest)
            yield number, TOO_LONG, size + len(rest)
            continue
        if number == 1:
            line = line.removeprefix(_BOM)
        if line.strip():
            yield number, line, size


def write_of(line: bytes | None, target: str = "") -> Write:
    """One line as a write.

    Args:
        line: The line.
        target: The ledger of lines that name none; the default one when empty.

    Raises:
        InvalidIntent: With what is wrong, by field; the field of a line that cannot be read at all is ``line``.
    """
    from blnk_relay import InvalidIntent, Write, intent_of
    from blnk_relay.intents.intent import DEFAULT_TARGET

    given = _object_of(line)
    errors: dict[str, list[str]] = {}
    for name in given:
        if name not in _KNOWN:
            errors[name] = [f"Is not a field of a line; the fields are {', '.join(_KNOWN)}."]
    for name in ("key", "target", "lane"):
        if not isinstance(given.get(name, ""), str):
            errors[name] = ["Must be a string."]
    kind, payload = given.get("kind"), given.get("payload")
    if not isinstance(kind, str):
        errors["kind"] = ["Is needed, as a string such as transaction."]
    if not isinstance(payload, dict):
        errors["payload"] = ["Is needed, as an object with the fields of the kind."]
    not_before = _moment(given, "not_before", errors)
    deadline = _moment(given, "deadline", errors)
    if not isinstance(kind, str) or not isinstance(payload, dict):
        raise InvalidIntent("line", errors)
    try:
        intent = intent_of(kind, payload)
    except InvalidIntent as error:
        raise InvalidIntent(kind, {**errors, **error.errors}) from None
    if errors:
        raise InvalidIntent(kind, errors)
    return Write(
        intent=intent,
        key=given.get("key"),
        target=given.get("target") or target or DEFAULT_TARGET,
        lane=given.get("lane"),
        not_before=not_before,
        deadline=deadline,
    )


def _object_of(line: bytes | None) -> Mapping[str, Any]:
    if line is None:
        _refuse(f"Is longer than {MAX_LINE_BYTES:,} bytes.")
    try:
        given = json.loads(line.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
    except UnicodeDecodeError:
        _refuse("Is not UTF-8.")
    except json.JSONDecodeError as error:
        _refuse(f"Is not valid JSON: {error.msg} at column {error.colno}.")
    except RecursionError:
        _refuse("Is nested too deeply.")
    except ValueError as error:
        # A name that stands twice, NaN, or an integer of thousands of digits.
        _refuse(str(error))
    if not isinstance(given, dict):
        _refuse("Must be a JSON object with kind and payload.")
    return given


def _refuse(problem: str) -> NoReturn:
    from blnk_relay import InvalidIntent

    raise InvalidIntent("line", {"line": [problem]}) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, each of whose names stands once: of two amounts nobody can tell which was meant."""
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object.")
    return made


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number.")


def _moment(given: Mapping[str, Any], name: str, errors: dict[str, list[str]]) -> datetime | timedelta | None:
    """A time as RFC 3339, or a span in seconds as a number."""
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return read_time(value)
        except ValueError as error:
            errors[name] = [f"{error}."]
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        errors[name] = ["Must be an RFC 3339 time, or a span in seconds as a number."]
        return None
    from blnk_relay.intake import LONGEST_SPAN

    most_s = int(LONGEST_SPAN.total_seconds())
    if 0 <= value <= most_s:
        return timedelta(seconds=value)
    errors[name] = [f"Must be a span between 0 and {most_s:,} seconds from now."]
    return None
