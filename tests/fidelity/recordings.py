"""What real Cores said to the book: one line a request, in a file a release.

- ``0.15.3``: the head of 22 August 2026 (release v0.15.2 and 47 commits), whose additions 0.15.3 released.
- ``0.15.2``: the tag v0.15.2.
- ``0.15.4``: that head with six changes that stood open beside it and that 0.15.4 released, by its notes; the release
  itself was not at hand.

Of all but the first, only the stories are kept in which they say something else than the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Told = dict[str, list[dict[str, Any]]]

FOLDER = Path(__file__).parent / "recorded"

#: Whose recording is whole.
WHOLE = "0.15.3"


def recorded_versions() -> list[str]:
    """The releases that were recorded."""
    return sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def of_version(version: str) -> Told:
    """What a Core of a release said."""
    return {**_read(FOLDER / f"{WHOLE}.jsonl"), **_read(FOLDER / f"{version}.jsonl")}


def only_of(version: str) -> Told:
    """The stories in which a release says something else than the one whose recording is whole."""
    return _read(FOLDER / f"{version}.jsonl")


def keep(told: Mapping[str, Sequence[Mapping[str, Any]]], version: str, folder: Path = FOLDER) -> None:
    """Keep what a Core of a release said; the whole recording is to be kept first."""
    whole = {} if version == WHOLE else _read(folder / f"{WHOLE}.jsonl")
    other = {story: lines for story, lines in told.items() if list(lines) != whole.get(story)}
    text = "".join(_line(story, line) for story, lines in other.items() for line in lines)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{version}.jsonl").write_text(text)
    _read.cache_clear()


def _line(story: str, line: Mapping[str, Any]) -> str:
    return json.dumps({"story": story, **line}, ensure_ascii=False, separators=(",", ":")) + "\n"


@cache
def _read(path: Path) -> Told:
    told: Told = {}
    for text in path.read_text().splitlines():
        line = json.loads(text)
        told.setdefault(line.pop("story"), []).append(line)
    return told
