"""What a check comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  #: Worth a look; the promise holds.
    FAILURE = "failure"  #: Would break the promise, or stops the work.
    UNKNOWN = "unknown"  #: Could not be looked at.


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of one thing came to.

    Attributes:
        check: Its name, such as ``persistence``.
        of: What it is about, such as ``target eu`` or ``BLNK_RELAY_REDIS_URL``.
        level: How bad it is.
        looked_at: What was looked at.
        saw: What was seen.
        why: Why that matters; empty where all is well.
        mend: What to do; empty where all is well.
        link: Where to read on.
    """

    check: str
    of: str
    level: Level
    looked_at: str
    saw: str
    why: str = ""
    mend: str = ""
    link: str = ""


def exit_code(findings: Iterable[Finding]) -> int:
    """0 when nothing would break the promise, 1 when something would, 3 when something could not be looked at."""
    levels = {finding.level for finding in findings}
    if Level.FAILURE in levels:
        return 1
    return 3 if Level.UNKNOWN in levels else 0
