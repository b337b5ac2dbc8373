"""Fields of the API with what is said of them."""

from __future__ import annotations

from marshmallow import fields

from worker.console.asking import YES

_TIME = {"description": "RFC 3339 in UTC, with a Z."}


def a_text(about: str = "", **more: object) -> fields.String:
    """A text."""
    return fields.String(metadata={"description": about} if about else {}, **more)  # type: ignore[arg-type]


def a_time() -> fields.String:
    """A time, or none."""
    return fields.String(allow_none=True, metadata=_TIME)


def targets_away(about: str = "Targets of which nothing is in this: nobody could read it.") -> fields.List[str]:
    """Targets that are missing in an answer."""
    return fields.List(a_text(), metadata={"description": about})


def a_number(about: str = "") -> fields.Integer:
    """A whole number."""
    return fields.Integer(metadata={"description": about} if about else {})


def a_yes(about: str) -> fields.Boolean:
    """Something that is wanted or not; a form and a query say it in a word."""
    return fields.Boolean(truthy=set(YES), falsy={False, "no", "false", ""}, metadata={"description": about})
