"""What a door takes, held against what was sent: a filter that is dropped means more than was asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, fields

from worker.console.api import asked
from worker.console.asking import BadRequest, Door


def check(door: Door, query: Sequence[tuple[str, str]], form: Mapping[str, Any]) -> None:
    """See that a door takes what was sent; of a page's that is asked only where it says what it takes.

    What has to be there is asked for by whoever answers, in words of its own.

    Args:
        door: Which.
        query: Names and values behind the question mark.
        form: What was sent.

    Raises:
        BadRequest: Something is not taken, or not as it is; its name is said.
    """
    nothing = asked.Nothing if door.api else None
    if (schema := door.about.get("query", nothing)) is not None:
        taken = schema()
        _check(taken, _once(taken, query))
    if (schema := door.about.get("body", nothing)) is not None:
        _check(schema(), form)


def _once(schema: Schema, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Values by name; only what is a list may be given twice."""
    found: dict[str, Any] = {}
    for name, value in query:
        if isinstance(schema.fields.get(name), fields.List):
            found.setdefault(name, []).append(value)
        elif name in found:
            raise BadRequest(f"{name!r} is given twice")
        else:
            found[name] = value
    return found


def _check(schema: Schema, given: Mapping[str, Any]) -> None:
    taken = [field.data_key or name for name, field in schema.fields.items()]
    for name in given:
        if name not in taken:
            raise BadRequest(f"{name[:100]!r} is not taken here; there are: {', '.join(taken) or 'nothing'}")
    for name, problems in schema.validate(given, partial=True).items():
        # Of a list it is told which of its members.
        told = problems if isinstance(problems, list) else [one for some in problems.values() for one in some]
        raise BadRequest(f"{name}: {told[0].rstrip('.').lower()}")
