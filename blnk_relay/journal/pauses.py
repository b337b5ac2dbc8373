"""Pauses and resumes by operators, as flows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blnk_relay.errors import Refused
from blnk_relay.journal.actions import MAX_REASON, MAX_WHO, Via, told
from blnk_relay.journal.answers import PauseAnswer
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.journal.overview import Pause, pause_of, sides_of
from blnk_relay.settings import Settings


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
class Word:
    """Whose word a pause or a resume is.

    Attributes:
        who: Who says so.
        reason: Why.
        via: From where.
        mark: What it shares with the same in other journals.
    """

    who: str
    reason: str
    via: Via
    mark: str = ""


def pause_flow(sort: str, name: str, word: Word) -> Flow[Change]:
    """Pause a ``lane`` or a ``target``.

    Raises:
        Refused: Somebody else has paused it already; that pause stays as it is.
    """
    sides = ("write", "read") if sort == "target" else ()
    made = _change((yield Run("pause", (*_said("pause", sort, name, word), *sides))))
    first = made.pause
    if made.changed or first is None or first.who == word.who[:MAX_WHO]:
        return made
    why = f" ({first.reason!r})" if first.reason else ""
    raise Refused(
        f"{sort} {name} is paused already, by {first.who or 'somebody'} since {first.since:%Y-%m-%d %H:%M:%SZ}"
        f"{why}; that pause stands"
    )


def resume_flow(settings: Settings, sort: str, name: str, word: Word) -> Flow[Change]:
    """End the pause of a ``lane`` or a ``target``; in a target, lanes have gates of their own."""
    sides = sides_of(settings) if sort == "target" else ()
    return _change((yield Run("pause", (*_said("resume", sort, name, word), *sides))))


def _said(act: str, sort: str, name: str, word: Word) -> tuple[str, ...]:
    """An act as the script takes it."""
    action = told(act, f"{sort} {name}", who=word.who, via=word.via, reason=word.reason, mark=word.mark)
    return act, sort, name, word.who[:MAX_WHO], word.reason[:MAX_REASON], action


def _change(raw: Sequence[Any]) -> Change:
    answer = PauseAnswer(*raw)
    return Change(bool(answer.changed), pause_of(answer.who, answer.why, answer.since))
