"""The example of a kind, as a line of a file, as an intent and as Python."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from dataclasses import fields as fields_of
from typing import Any

from blnk_relay.intents.intent import Intent
from blnk_relay.intents.kind import Kind
from blnk_relay.schema.loading import load

#: Columns that a call may take before it is broken into lines, as our formatter does it.
_LINE = 100


def example_intent(kind: Kind) -> Intent:
    """The example of a kind, validated."""
    return kind.intent(load(kind.name, kind.schema, kind.about.example.fields))


def example_line(kind: Kind) -> str:
    """The example of a kind as a line of a file."""
    example = kind.about.example
    line = {"kind": kind.name, **({"key": example.key} if example.key else {}), "payload": example.fields}
    return json.dumps(line, ensure_ascii=False)


def example_call(kind: Kind) -> str:
    """The example of a kind as a call of its builder."""
    about = kind.about
    given = {
        about.renamed.get(name, name): value for name, value in {**about.example.fields, **about.example.call}.items()
    }
    return _call(about.builder.__name__, _arguments(about.builder, given), 0)


def example_python(kind: Kind) -> str:
    """The example of a kind as a whole program."""
    about = kind.about
    call = example_call(kind)
    names = sorted({"Relay", about.builder.__name__, *(type(value).__name__ for value in _objects(about.example.call))})
    key = f"key={_literal(about.example.key, 0)}" if about.example.key else ""
    if "\n" in call or len(call) + len(key) > _LINE:
        indented = call.replace("\n", "\n    ")
        enqueue = f"relay.enqueue(\n    {indented},\n" + (f"    {key},\n" if key else "") + ")"
    else:
        enqueue = f"relay.enqueue({call}{', ' + key if key else ''})"
    body = enqueue.replace("\n", "\n    ")
    return f"from blnk_relay import {', '.join(names)}\n\nwith Relay.from_env() as relay:\n    {body}\n"


def _arguments(builder: Callable[..., Any], given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Arguments in the order of the builder's own; those without a name come first, as they are declared."""
    arguments: list[tuple[str, Any]] = []
    for name, parameter in inspect.signature(builder).parameters.items():
        if name in given:
            by_name = parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty
            arguments.append((name if by_name else "", given[name]))
    return arguments


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


def _call(name: str, arguments: list[tuple[str, Any]], depth: int) -> str:
    def written(inner: int) -> list[str]:
        return [(f"{argument}=" if argument else "") + _literal(value, inner) for argument, value in arguments]

    return _bracketed(f"{name}(", written, ")", depth)


def _literal(value: Any, depth: int) -> str:
    """A value as it stands in a program, broken into lines as our formatter does it."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [(field, getattr(value, field.name)) for field in fields_of(value)]
        shown = [
            (field.name if field.kw_only else "", item)
            for field, item in given
            if field.default is MISSING or item != field.default
        ]
        return _call(type(value).__name__, shown, depth)
    if isinstance(value, Mapping):

        def pairs(inner: int) -> list[str]:
            return [f"{_literal(name, inner)}: {_literal(item, inner)}" for name, item in value.items()]

        return _bracketed("{", pairs, "}", depth)
    if isinstance(value, list | tuple):
        return _bracketed("[", lambda inner: [_literal(item, inner) for item in value], "]", depth)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bytes):
        return "b" + json.dumps(value.decode("ascii"))
    return repr(value)


def _bracketed(opening: str, items: Callable[[int], list[str]], closing: str, depth: int) -> str:
    line = opening + ", ".join(items(depth)) + closing
    if "\n" not in line and len(line) + 4 * depth <= _LINE:
        return line
    pad = "    " * (depth + 1)
    return "\n".join([opening, *(f"{pad}{item}," for item in items(depth + 1)), "    " * depth + closing])
