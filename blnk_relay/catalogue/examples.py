"""The example of a kind, as a line of a file, as an intent and as Python."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pprint import pformat
from textwrap import indent
from typing import Any

from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import Kind
from blnk_relay.schema.loading import load

#: Columns that a value may take before it is broken into lines.
_WIDTH = 80

_STEP = "    "


def example_intent(kind: Kind) -> Intent:
    """The example of a kind, validated."""
    return kind.intent(load(kind.name, kind.schema, kind.about.example.fields))


def example_line(kind: Kind) -> str:
    """The example of a kind as a line of a file."""
    example = kind.about.example
    line = {"kind": kind.name, **({"key": example.key} if example.key else {}), "payload": example.fields}
    return json.dumps(line, ensure_ascii=False)


def example_python(kind: Kind) -> str:
    """The example of a kind as a whole program."""
    about, example = kind.about, kind.about.example
    given = {about.renamed.get(name, name): value for name, value in {**example.fields, **example.call}.items()}
    builder = about.builder.__name__
    call = f"{builder}(\n{_arguments(given)})"
    program = f"with Relay.from_env() as relay:\n    relay.enqueue(\n{indent(call, _STEP * 2)},\n"
    if example.key:
        program += f"{_STEP * 2}key={example.key!r},\n"
    names = sorted({"Relay", builder, *(type(value).__name__ for value in _objects(example.call))})
    return f"from blnk_relay import {', '.join(names)}\n\n{program}{_STEP})\n"


def _arguments(given: Mapping[str, Any]) -> str:
    """Arguments by name, one below the other."""
    lines = ""
    for name, value in given.items():
        # A text stays whole, whatever its length.
        written = pformat(value, width=_WIDTH, sort_dicts=False) if isinstance(value, Mapping | list) else repr(value)
        first, *rest = written.splitlines()
        lines += "\n".join([f"{_STEP}{name}={first}", *(_STEP + " " * len(f"{name}=") + line for line in rest)]) + ",\n"
    return lines


def _objects(value: Any) -> Iterator[Any]:
    """Values of our own types, however deep."""
    if is_dataclass(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _objects(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _objects(item)
