"""The plainest fields: texts, flags, moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from marshmallow import ValidationError, fields, missing

from blnk_relay.text import identity_problem, text_problem

#: UTF-8 bytes of description, reference and metadata together. A row of about 8,000 bytes is answered with 201 and
#: never recorded, and Core adds about 750 bytes of its own (contract §2.0).
MAX_ROW_BYTES = 6_000


T = TypeVar("T")


class Plain(fields.Field[T]):
    """A field without defaults, hooks or nulls, which is all that the kinds need, at half of a field's cost.

    Attributes:
        takes: What may be given, for people.
        limits: Within which bounds, for people; empty for none.
    """

    takes: str
    limits: str = ""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """The validated value; marshmallow's word for "missing" where there is none."""
        if value is missing:
            if self.required:
                raise self.make_error("required")
            return missing
        if value is None:
            raise self.make_error("null")
        output = self._deserialize(value, attr, data)
        if self.validators:
            self._validate(output)
        return output


class Text(Plain[str]):
    """A string that the ledger's database can store, and that is not blank.

    Attributes:
        problem: What may be wrong with it as a whole.
    """

    takes = "text"
    problem: Callable[[str], str | None] = staticmethod(text_problem)

    def __init__(self, *, most: int = MAX_ROW_BYTES, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._most = most
        if self.takes.startswith("text"):
            self.limits = f"at most {most:,} characters"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("Must be a string.")
        if not value.strip():
            raise ValidationError("Must not be blank.")
        if len(value) > self._most:
            raise ValidationError(f"Must not be longer than {self._most:,} characters.")
        if problem := self.problem(value):
            raise ValidationError(problem)
        return value


class Identifying(Text):
    """A text that identifies something, so that none may look like another and differ (:mod:`blnk_relay.text`)."""

    problem = staticmethod(identity_problem)


class Flag(Plain[bool]):
    """Exactly true or false."""

    takes = "true or false"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Must be true or false, not a text or a number.")
        return value


class Moment(Plain[str]):
    """A point in time with an offset; kept as RFC 3339 in UTC, which is all that the ledger reads (contract §2.3)."""

    takes = "RFC 3339 time with an offset"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        moment = value
        if isinstance(value, str):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValidationError("Must be an RFC 3339 time such as 2026-11-20T09:15:31Z.") from None
        if not isinstance(moment, datetime):
            raise ValidationError("Must be a datetime or an RFC 3339 string.")
        if moment.utcoffset() is None:
            raise ValidationError("Must have an offset from UTC, such as Z or +01:00.")
        try:
            return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
        except OverflowError:
            raise ValidationError("Must lie in the years 1 to 9999 of UTC.") from None
