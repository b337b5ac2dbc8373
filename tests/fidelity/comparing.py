"""What differs between two tellings of a book, and which of it is known, with the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.fidelity.normal import Told, flattened

DIFFERENCES = Path(__file__).parent / "differences.toml"

#: What stands for a value that one side does not have.
ABSENT = "<absent>"


@dataclass(frozen=True)
class Difference:
    """One leaf that two ledgers answer differently.

    Attributes:
        story: Of which story.
        step: In which of its requests.
        at: Path in the line: ``status``, ``body.error_detail.code``.
        core: What the Core said.
        sandbox: What the sandbox said.
    """

    story: str
    step: str
    at: str
    core: Any
    sandbox: Any

    def __str__(self) -> str:
        return f"{self.story} · {self.step} · {self.at}\n    core:    {self.core!r}\n    sandbox: {self.sandbox!r}"


@dataclass(frozen=True)
class Known:
    """A difference that is left as it is, with the reason.

    Attributes:
        story: Pattern for the story, as of a shell; so are ``step`` and ``at``.
        step: For the step.
        at: For the path.
        reason: Why it is left.
        core: For what the Core says, as text.
        versions: Of which releases; of all when empty.
        chance: It comes and goes, so that it is not missed.
    """

    reason: str
    at: str
    story: str = "*"
    step: str = "*"
    core: str = "*"
    versions: tuple[str, ...] = ()
    chance: bool = False

    def covers(self, difference: Difference) -> bool:
        """Whether it is this one."""
        return (
            fnmatchcase(difference.story, self.story)
            and fnmatchcase(difference.step, self.step)
            and fnmatchcase(difference.at, self.at)
            and fnmatchcase(str(difference.core), self.core)
        )

    def __str__(self) -> str:
        return f"{self.story} · {self.step} · {self.at}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """What a comparison comes to."""

    #: Differences that nothing explains: these fail.
    unknown: tuple[Difference, ...]
    #: Those that are listed, each with why.
    known: tuple[tuple[Difference, Known], ...]
    #: What is listed and does not appear any more.
    stale: tuple[Known, ...]


def known_differences(version: str, path: Path = DIFFERENCES) -> tuple[Known, ...]:
    """The list for a release."""
    listed = tomllib.loads(path.read_text()).get("difference", [])
    known = (Known(**{**item, "versions": tuple(item.get("versions", ()))}) for item in listed)
    return tuple(one for one in known if not one.versions or version in one.versions)


def differences(core: Told, sandbox: Told) -> Iterator[Difference]:
    """Every leaf that differs; a step or story that one side lacks is one difference."""
    for story in [*core, *(name for name in sandbox if name not in core)]:
        if story not in core or story not in sandbox:
            yield Difference(story, "", "", *_there(story in core, story in sandbox))
            continue
        ours, theirs = _by_step(sandbox[story]), _by_step(core[story])
        for step in [*theirs, *(name for name in ours if name not in theirs)]:
            if step not in ours or step not in theirs:
                yield Difference(story, step, "", *_there(step in theirs, step in ours))
                continue
            left, right = dict(flattened(theirs[step])), dict(flattened(ours[step]))
            for at in sorted(left.keys() | right.keys()):
                one, other = left.get(at, ABSENT), right.get(at, ABSENT)
                if one != other or type(one) is not type(other):
                    yield Difference(story, step, at, one, other)


def judged(core: Told, sandbox: Told, known: Sequence[Known]) -> Verdict:
    """Compare two tellings against a list."""
    unknown: list[Difference] = []
    explained: list[tuple[Difference, Known]] = []
    for difference in differences(core, sandbox):
        reason = next((one for one in known if one.covers(difference)), None)
        if reason is None:
            unknown.append(difference)
        else:
            explained.append((difference, reason))
    used = {id(reason) for _, reason in explained}
    missed = (one for one in known if id(one) not in used and not one.chance)
    stale = (one for one in missed if any(fnmatchcase(story, one.story) for story in core))
    return Verdict(tuple(unknown), tuple(explained), tuple(stale))


def _by_step(lines: Iterable[Any]) -> dict[str, Any]:
    return {line["step"]: {key: value for key, value in line.items() if key != "step"} for line in lines}


def _there(core: bool, sandbox: bool) -> tuple[str, str]:
    return ("there" if core else ABSENT), ("there" if sandbox else ABSENT)
