"""What the exit codes of ``blnk-relay`` mean. The same table stands in ``docs/cli.md``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn

import click

#: By this variable a shell asks for completions, and says how; its exit code says whether there are any.
COMPLETING = "_BLNK_RELAY_COMPLETE"

OK = 0
PARTLY = DIFFERENT = 1
BAD_INPUT = 2
NOT_FOUND = 3
UNAVAILABLE = 4
REFUSED = 5
UNREAD = 6
FAILED = 70
UNWRITTEN = 74
INTERRUPTED = 130
CUT = 131
UNHEARD = 141

MEANINGS: Mapping[int, str] = MappingProxyType(
    {
        OK: "done",
        PARTLY: "done in part: what was refused is listed; or a check (audit, status, health) found something",
        BAD_INPUT: "bad input or settings; nothing was changed",
        NOT_FOUND: "no such key, lane, target, kind or code",
        UNAVAILABLE: "the journal (Redis) cannot be reached, does not take writes, or has a shape that is unknown "
        "here; or the database of history cannot be used",
        REFUSED: "refused: it would lose or double a payment, comes too late, or another's pause stands",
        UNREAD: "an audit found no difference in what it could read, and could not read all",
        FAILED: "a worker could not go on, and should be started again; its log says why",
        UNWRITTEN: "the answer could not be written; what was asked for may have been done all the same",
        INTERRUPTED: "interrupted, or the question was answered with no",
        CUT: "a worker was told to stop at once (SIGQUIT) and waited for nothing, as with a kill: what it had in hand "
        "is looked up",
        UNHEARD: "whoever read the answer went away before its end (a pipe that was closed, as `head` does); what was "
        "asked for may have been done all the same",
    }
)


class BadInput(click.ClickException):
    """Something that was given cannot be used; the message is one sentence."""

    exit_code = BAD_INPUT


def code_of(error: Exception) -> int | None:
    """The exit code of an error that blnk-relay raised on purpose, or None for any other."""
    from blnk_relay import errors

    match error:
        case errors.NotFound():
            return NOT_FOUND
        case errors.JournalUnavailable() | errors.HistoryUnavailable():
            return UNAVAILABLE
        case errors.Refused() | errors.TooLate():
            return REFUSED
        case errors.RelayError():
            return BAD_INPUT
    return None


def leave(code: int) -> NoReturn:
    """End the command with an exit code, after it has printed what it found."""
    raise click.exceptions.Exit(code)
