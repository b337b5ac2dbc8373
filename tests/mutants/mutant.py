"""Deliberate bugs, kept as patches: what stands at the head of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Where the patches are.
FOLDER = Path(__file__).parent

#: Longest time for the tests of one mutant, where its head names none.
WITHIN_S = 60.0

#: How the first line of a patch ends: with the promise that such a bug would cost.
PROMISES = ("loses", "doubles", "wedges", "lies")

_HEAD = re.compile(r"^(pytest|simulate|within): *(\S.*)$")
_FIRST = re.compile(rf"^[A-Z].*: ({'|'.join(PROMISES)})\.$")
_CHANGED = re.compile(r"^\+\+\+ b/(\S+)$", re.MULTILINE)


class BadPatch(Exception):
    """A patch that cannot be used, with what to do about it."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One deliberate bug.

    Attributes:
        name: Of its patch, without ``.patch``.
        breaks: What it breaks, and after the last colon what that costs the promise.
        tests: What ought to catch it, as pytest takes it: files, or tests of them.
        seeds: What ought to catch it besides: seeds of the simulator, from 1 on; 0 for none.
        within_s: Longest time for each of the two.
        changes: Files that it changes.
        path: The patch.
    """

    name: str
    breaks: str
    tests: tuple[str, ...]
    seeds: int
    within_s: float
    changes: tuple[str, ...]
    path: Path


def mutants() -> list[Mutant]:
    """All of them, by name.

    Raises:
        BadPatch: The head of one is not as it has to be.
    """
    return [read(path) for path in sorted(FOLDER.glob("*.patch"))]


def read(path: Path) -> Mutant:
    """One of them.

    Raises:
        BadPatch: Its head is not as it has to be.
    """
    text = path.read_text(encoding="utf-8")
    head, _, diff = text.partition("\n--- ")
    first, *rest = head.splitlines()
    if not _FIRST.match(first):
        raise BadPatch(
            f"{path.name}: its first line has to say what the bug breaks, as a sentence that ends with "
            f"{', '.join(f': {promise}.' for promise in PROMISES)}"
        )
    told = dict(_told(path, rest))
    changes = tuple(_CHANGED.findall(diff))
    tests, seeds = tuple(told.get("pytest", "").split()), told.get("simulate", "0")
    if not changes:
        raise BadPatch(f"{path.name}: nothing that it changes could be found; make it with git diff")
    if not tests and seeds == "0":
        raise BadPatch(f"{path.name}: its head names nothing that ought to catch it, with pytest: or simulate:")
    within = told.get("within", str(WITHIN_S))
    if not seeds.isdigit() or not within.replace(".", "", 1).isdigit():
        raise BadPatch(f"{path.name}: simulate: and within: take a number")
    return Mutant(path.stem, first, tests, int(seeds), float(within), changes, path)


def _told(path: Path, lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not line.strip():
            continue
        found = _HEAD.match(line)
        if found is None:
            raise BadPatch(
                f"{path.name}: below its first line it has lines that begin with pytest:, simulate: or within:, not "
                f"{line!r}"
            )
        yield found[1], found[2]
