"""Filters over plain columns: the operators of the read APIs (contract §1.7). Pure.

A filter is made of JSON values and judges one column's value at a time. Comparisons follow SQL:
nothing compares with null.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from blnk_relay.sandbox.clock import parse_rfc3339

#: Operators of both read APIs, and those that only a filter body can carry.
QUERY_OPERATORS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "between", "like", "ilike")
BODY_OPERATORS = (*QUERY_OPERATORS, "isnull", "isnotnull", "exists", "notexists")

#: Columns that hold times; a filter value for them is read as one.
TIME_COLUMNS = frozenset(
    {"created_at", "effective_date", "scheduled_for", "dob", "date", "updated_at", "started_at", "completed_at"}
)

_DATE_LIKE = re.compile(r"\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")


class FilterError(Exception):
    """A filter that cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition.

    Attributes:
        column: A column, or ``meta_data.`` and a dotted path.
        operator: One of :data:`BODY_OPERATORS`.
        values: None for the null tests, one for most, two for ``between``, any number for ``in``.
    """

    column: str
    operator: str
    values: tuple[Any, ...]

    def accepts(self, value: Any) -> bool:
        """Whether a column's value fulfils the condition; of a pair, whether either side does."""
        if isinstance(value, tuple):
            return any(self._accepts_value(side) for side in value)
        return self._accepts_value(value)

    def _accepts_value(self, value: Any) -> bool:
        if self.operator in {"isnull", "notexists"}:
            return value is None
        if self.operator in {"isnotnull", "exists"}:
            return value is not None
        if value is None or self.values == (None,):
            return False
        if self.operator in {"like", "ilike"}:
            return _like(str(self.values[0]), self.operator == "ilike").fullmatch(text_of(value)) is not None
        timed = self.column in TIME_COLUMNS
        left = _comparable(value, timed=timed)
        rights = [_aligned(right, left, timed=timed) for right in self.values]
        return _COMPARE[self.operator](left, [right for right in rights if right is not None])


def inside(meta: Any, path: Sequence[str]) -> Any:
    """A value deep inside metadata; None when it is not there."""
    value = meta
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def coerced(text: str) -> Any:
    """A query-string value as Core's parser reads it: whatever it looks like (contract §1.7).

    >>> coerced("0042"), coerced("1e3"), coerced("true"), coerced("order_42")
    (42, 1000.0, True, 'order_42')
    """
    for convert in (_int64, float):
        try:
            return convert(text)
        except ValueError:
            continue
    if text in {"true", "false"}:
        return text == "true"
    moment = _moment(text) if _DATE_LIKE.fullmatch(text) else None
    return text if moment is None else DateLike(text, moment)


@dataclass(frozen=True, slots=True)
class DateLike:
    """A text that was read as a moment, and is compared as a text where the column is one."""

    text: str
    moment_ns: int


def _int64(text: str) -> int:
    number = int(text)
    if "_" in text or text.strip() != text or not -(2**63) <= number < 2**63:
        raise ValueError(text)
    return number


def _moment(text: str) -> int | None:
    """Nanoseconds of a date or time in any of the accepted shapes."""
    try:
        return parse_rfc3339(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("/", "-"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1e6) * 1000


def _comparable(value: Any, *, timed: bool) -> Any:
    if timed and isinstance(value, str):
        return _moment(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value


def _aligned(right: Any, left: Any, *, timed: bool) -> Any:
    """A filter value in the type of the column, None when it cannot be compared."""
    if timed:
        if isinstance(right, DateLike):
            return right.moment_ns
        return _moment(right) if isinstance(right, str) else None
    if isinstance(left, str):
        return text_of(right)
    if isinstance(right, DateLike):
        return None
    if isinstance(left, int | float):
        try:
            return right if isinstance(right, int | float) else int(right)
        except (TypeError, ValueError):
            pass
        try:
            return float(right)
        except (TypeError, ValueError):
            return None
    return None


def text_of(value: Any) -> str:
    """A filter value as it is compared with a text column."""
    if isinstance(value, DateLike):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


@lru_cache(maxsize=256)
def _like(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    translated = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    return re.compile(translated, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


_COMPARE: Mapping[str, Callable[[Any, list[Any]], bool]] = {
    "eq": lambda left, rights: left in rights,
    "in": lambda left, rights: left in rights,
    "ne": lambda left, rights: bool(rights) and left not in rights,
    "gt": lambda left, rights: bool(rights) and left > rights[0],
    "gte": lambda left, rights: bool(rights) and left >= rights[0],
    "lt": lambda left, rights: bool(rights) and left < rights[0],
    "lte": lambda left, rights: bool(rights) and left <= rights[0],
    "between": lambda left, rights: len(rights) > 1 and rights[0] <= left <= rights[1],
}
