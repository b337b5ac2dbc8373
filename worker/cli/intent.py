"""One intent for people and programs: how it stands, what is around it, the ledger's rows of it, and its life."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from worker.cli.as_json import around_json, attempt_json, intent_json, rows_json
from worker.cli.forms import chosen
from worker.cli.output import clock, fields, plain, say, several, table

if TYPE_CHECKING:
    from blnk_relay import Around, Attempt, Operator, PartStatus, Status

_ATTEMPTS = ("at", "what", "answer", "?>took", "what followed", "??by", "+request")
_NEIGHBOURS = ("key", "?kind", "state", "why", "id")
_ROWS = (">row", "status", "transaction")

#: Rows of the ledger that people are shown, and programs; a bulk has up to ten thousand.
_MOST_ROWS, _MOST_ROWS_JSON = 20, 10_000


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an intent besides its status, in every face.

    Attributes:
        attempts: Its life.
        around: What it waits for, and what waits for it.
        parts: The ledger's rows as last read: its legs or items.
        lacking: Why these cannot be told; empty where they can.
    """

    attempts: Sequence[Attempt]
    around: Around
    parts: Sequence[PartStatus] = ()
    lacking: str = ""


def handle(status: Status) -> str:
    """What an intent is asked for by: its key, or its id where the key leads nowhere.

    That of a letter of class *invalid* is only what its message gave: it may be another intent's.

    Args:
        status: Which.
    """
    return status.id if status.dead_class == "invalid" else status.key or status.id


def look(operator: Operator, status: Status) -> Seen:
    """Look at all of it.

    Args:
        operator: Looks.
        status: Of which intent.
    """
    from blnk_relay import JournalUnavailable, NotFound, RelayError

    lacking, parts = "", tuple[Any, ...]()
    try:
        parts = operator.parts(status)
    except JournalUnavailable:
        raise
    except RelayError as error:
        # One that was trimmed has none, and one that is broken says so.
        lacking = "" if isinstance(error, NotFound) and not status.key else str(error)
    return Seen(operator.history(status), operator.around(status), parts, lacking)


def seen_json(status: Status, seen: Seen, most_rows: int = _MOST_ROWS_JSON) -> dict[str, Any]:
    """An intent for programs.

    Args:
        status: Which.
        seen: What is known of it besides.
        most_rows: Rows of the ledger at most.
    """
    return {
        "intent": intent_json(status),
        "attempts": [attempt_json(attempt) for attempt in seen.attempts],
        "around": around_json(seen.around),
        "rows": rows_json(seen.parts, seen.lacking, most_rows),
    }


def check_reason(reason: str, *, with_payload: bool) -> None:
    """Refuse a reason for nothing: it is kept with a look at a payload alone.

    Raises:
        click.UsageError: There is one, and no payload is asked for.
    """
    if reason and not with_payload:
        raise click.UsageError("--reason says why you look at a payload: it goes with --payload.")


def show_intent(status: Status, seen: Seen, payload: Mapping[str, Any] | None) -> None:
    """One intent for people."""
    from blnk_relay.intents.intent import DEFAULT_TARGET

    keeps = seen.around.keeps
    fields(
        [
            ("key", status.key),
            ("id", status.id),
            ("kind", status.kind),
            ("target", status.target if status.target != DEFAULT_TARGET else ""),
            ("lane", status.lane),
            ("state", status.state),
            ("now", keeps[:1].upper() + keeps[1:]),
            ("outcome", status.outcome),
            ("reference", status.reference),
            ("transaction", status.transaction_id),
            ("parent", status.parent_id),
            ("dead class", status.dead_class),
            ("code", status.code),
            ("message", status.message),
            ("attempts", status.attempts),
            ("accepted", status.created),
            ("changed", status.updated),
            ("deadline", None if status.finished else status.deadline),
            ("behind it", several(status.blocks, "intent") if status.blocks else ""),
            ("encrypted", encrypted(status)),
            ("unreadable", "what was recorded of it is lost or broken" if status.unreadable else ""),
            ("rows", seen.lacking),
        ],
        name="intent",
    )
    say()
    _neighbours("It waits for", "ahead", seen.around, seen.around.ahead, seen.around.more_ahead)
    _neighbours("Waiting for it", "behind", seen.around, seen.around.behind, seen.around.more)
    _rows(seen.parts)
    attempts = [
        (
            clock(attempt.at) + (f" to {clock(attempt.last)}" if attempt.last else ""),
            attempt.what + (f", {attempt.count:,} times" if attempt.count > 1 else ""),
            " ".join(str(part) for part in (attempt.status, attempt.code) if part),
            f"{attempt.latency_ms} ms" if attempt.latency_ms else "",
            attempt.note,
            attempt.worker,
            attempt.request_id,
        )
        for attempt in seen.attempts
    ]
    table(_ATTEMPTS, attempts, name="attempts", unless_empty=True)
    if payload is not None:
        for line in json.dumps(payload, indent=2, ensure_ascii=False).splitlines():
            say(plain(line, most=10_000))


def _neighbours(title: str, name: str, around: Around, those: Sequence[Status], more: int) -> None:
    rows: list[tuple[str, ...]] = [(handle(one), one.kind, one.state, around.why(one), one.id) for one in those]
    # No row of a file for programs, which have the number in JSON.
    if more and chosen().form != "csv":
        rows.append((f"and {more:,} more", "", "", "", ""))
    table(_NEIGHBOURS, rows, title=title, name=name, unless_empty=True)


def _rows(parts: Sequence[PartStatus]) -> None:
    from blnk_relay.journal.parts import telling

    people = chosen().form == "fit"
    told = telling(parts, _MOST_ROWS if people else len(parts))
    rows = [(f"{number:,}", part.status, part.transaction_id) for number, part in told]
    title = f"Rows of the ledger as last read: {in_counts(parts)}"
    table(_ROWS, rows, title=title, name="rows", unless_empty=True)
    if left := len(parts) - len(told):
        say(f"and {left:,} more rows; -o wide shows all.")
        say()


def in_counts(parts: Sequence[PartStatus]) -> str:
    """How many legs or items came to what, the most first.

    Args:
        parts: Them.
    """
    from collections import Counter

    return ", ".join(f"{number:,} {status}" for status, number in Counter(one.status for one in parts).most_common())


def encrypted(status: Status) -> str:
    """What an intent is encrypted with, in words."""
    if not status.encrypted:
        return ""
    lacking = f", and this process does not have {', '.join(status.locked)}" if len(status.locked) > 0 else ""
    if status.locked == status.encrypted:
        lacking = ", which this process does not have"
    return f"with key {', '.join(status.encrypted)}{lacking}"
