"""Docstrings read as data: summary, arguments, returns."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Example|Attributes):$", re.MULTILINE)
_ARGUMENT = re.compile(r"^    (\w+): (.*)$")
_ROLE = re.compile(r":\w+:`~?([\w.]+)`")


@dataclass(frozen=True, slots=True)
class Docstring:
    """The parts of a docstring that are told on."""

    text: str
    arguments: Mapping[str, str]
    returns: str


def docstring_of(thing: Callable[..., Any]) -> Docstring:
    """Read a docstring in Google's style.

    Args:
        thing: A function of ours.
    """
    pieces = _SECTION.split(inspect.getdoc(thing) or "")
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    arguments: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in sections.get("Args", "").splitlines():
        if match := _ARGUMENT.match(line):
            lines = arguments.setdefault(match[1], [])
            lines.append(match[2])
        elif line.strip():
            lines.append(line.strip())
    return Docstring(
        text="\n\n".join(plain(paragraph) for paragraph in pieces[0].strip().split("\n\n")),
        arguments={name: plain(" ".join(lines)) for name, lines in arguments.items()},
        returns=plain(sections.get("Returns", "")),
    )


def plain(text: str) -> str:
    """Markdown in the place of Sphinx's marks, on one line."""
    text = _ROLE.sub(lambda match: f"`{match[1].removeprefix('blnk_relay.')}`", text)
    return " ".join(text.replace("``", "`").split())
