"""Forms of several parts, as files are sent. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Parts of a form that are looked at.
_MAX_PARTS = 20

_BOUNDARY = re.compile(r'boundary="?([^";]+)')
_NAME = re.compile(r'(?:^|;)\s*name="([^"]*)"', re.IGNORECASE)
_FILE_NAME = re.compile(r'filename="([^"]*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form; ``file_name`` is None for a plain field."""

    file_name: str | None
    content: bytes


def boundary_of(content_type: str) -> str | None:
    """What stands between the parts of a form; None where nothing is said."""
    found = _BOUNDARY.search(content_type)
    return None if found is None else found[1]


def read_form(content_type: str, body: bytes) -> dict[str, Part]:
    """The parts of a multipart body by name; empty for any other body."""
    boundary = boundary_of(content_type)
    if boundary is None or not content_type.lower().startswith("multipart/form-data"):
        return {}
    parts: dict[str, Part] = {}
    for chunk in (b"\r\n" + body).split(b"\r\n--" + boundary.encode())[1 : _MAX_PARTS + 1]:
        head, separator, content = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not separator:
            continue
        for line in head.decode(errors="replace").split("\r\n"):
            name, _, value = line.partition(":")
            named = _NAME.search(value)
            if name.strip().lower() == "content-disposition" and named is not None:
                file_name = _FILE_NAME.search(value)
                parts.setdefault(named[1], Part(None if file_name is None else file_name[1], content))
    return parts
