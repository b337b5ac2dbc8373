"""Pauses and resumes by operators: what they did, and the flows that do it and tell of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blnk_relay.errors import Refused
from blnk_relay.journal.answers import PauseAnswer
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.overview import Pause, pause_of, sides_of
from blnk_relay.journal.status import moment
from blnk_relay.settings import Settings

#: Longest reason or note that is kept, and longest name of who gave it.
MAX_REASON = 500
MAX_WHO = 100


@dataclass(frozen=True, slots=True)
class Change:
    """What a pause or a resume did.

    Attributes:
        changed: Whether it did anything: a pause that stands already stays as it is.
        pause: The pause that stands, or that has ended; None where only workers had shut or slowed a gate, or nobody.
    """

    changed: bool
    pause: Pause | None

    def __bool__(self) -> bool:
        """Whether it did anything."""
        return self.changed


@dataclass(frozen=True, slots=True)
class Act:
    """A pause or a resume by an operator.

    Attributes:
        at: When.
        what: ``pause`` or ``resume``.
        of: Such as ``lane refunds`` or ``target default``.
        who: Who said so.
        reason: Why.
    """

    at: datetime
    what: str
    of: str
    who: str
    reason: str


def acts_flow(prefix: str, most: int) -> Flow[tuple[Act, ...]]:
    """The last of them, newest first."""
    [lines] = yield Ask((("LRANGE", f"{prefix}acts", 0, most - 1),))
    found = [json.loads(line) for line in lines]
    return tuple(Act(moment(act["at"]), act["what"], act["of"], act["who"], act["why"]) for act in found)


def pause_flow(sort: str, name: str, who: str, reason: str) -> Flow[Change]:
    """Pause a ``lane`` or a ``target``.

    Raises:
        Refused: Somebody else has paused it already; that pause stays as it is.
    """
    sides = ("write", "read") if sort == "target" else ()
    made = _change((yield Run("pause", (*_said("pause", sort, name, who, reason), *sides))))
    first = made.pause
    if made.changed or first is None or first.who == who[:MAX_WHO]:
        return made
    why = f" ({first.reason!r})" if first.reason else ""
    raise Refused(
        f"{sort} {name} is paused already, by {first.who or 'somebody'} since {first.since:%Y-%m-%d %H:%M:%SZ}"
        f"{why}; that pause stands"
    )


def resume_flow(settings: Settings, sort: str, name: str, who: str, reason: str) -> Flow[Change]:
    """End the pause of a ``lane`` or a ``target``; in a target, lanes have gates of their own."""
    sides = sides_of(settings) if sort == "target" else ()
    return _change((yield Run("pause", (*_said("resume", sort, name, who, reason), *sides))))


def _said(act: str, sort: str, name: str, who: str, reason: str) -> tuple[str, ...]:
    """An act as the script takes it."""
    return act, sort, name, who[:MAX_WHO], reason[:MAX_REASON]


def _change(raw: Sequence[Any]) -> Change:
    answer = PauseAnswer(*raw)
    return Change(bool(answer.changed), pause_of(answer.who, answer.why, answer.since))
