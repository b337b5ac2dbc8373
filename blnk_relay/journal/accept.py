"""Accepting intents, as a flow: all of a batch or none, and what durability was reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from blnk_relay.errors import InvalidIntent, KeyConflict, OtherLedger
from blnk_relay.journal.answers import Objection
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.settings import Settings

#: Intents accepted in one script call: a few milliseconds of Redis's time.
ACCEPT_CHUNK = 200

#: The same for the references that they own and the intents that they wait for, and for their text: one bulk may have
#: thousands, and megabytes.
_MOST_REFERENCES = 2_000
_MOST_TEXT = 4_000_000

#: Others that one intent may wait for: each that is done is noted with it.
MOST_AFTER = 1_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one accepted intent."""

    id: str
    created: bool


def accept_flow(
    settings: Settings, ledger: str, entries: Sequence[NewEntry]
) -> Flow[tuple[list[Accepted], tuple[str, ...], str]]:
    """Record intents; see :meth:`blnk_relay.journal.journal.Journal.accept`.

    Args:
        settings: The durability, and how long to wait for it.
        ledger: What the settings mean by the target; empty where they do not say.
        entries: The intents, all of one target.
    """
    too_many_awaited(entries)
    chunks = [entries] if len(entries) == 1 else list(_chunks(entries))
    offsets = list(accumulate(map(len, chunks), initial=0))
    if len(chunks) > 1:
        yield from check_flow(ledger, entries)
    accepted: list[Accepted] = []
    bells: set[str] = set()
    durability = "memory"
    for number, chunk in enumerate(chunks):
        arguments = ("write", ledger, *arguments_of(chunk))
        if number == len(chunks) - 1 and settings.durability != "memory":
            raw, waited = yield Run("accept", arguments, wait_command(settings))
            durability = _reached(settings, waited)
        else:
            raw = yield Run("accept", arguments)
        accepted += _answers(raw, ledger, chunk, offsets[number])
        bells.update(raw[len(chunk) :])
    return accepted, tuple(sorted(bells)), durability


def check_flow(ledger: str, entries: Sequence[NewEntry]) -> Flow[None]:
    """Raise what accepting a batch would, and change nothing; see :func:`accept_flow`."""
    # What stands in this very batch is there by the time that it is needed.
    batch = {new.entry.id for new in entries}
    offset = 0
    for chunk in _chunks(entries):
        outside = [replace(new, after_ids=tuple(set(new.after_ids) - batch)) for new in chunk]
        _answers((yield Run("accept", ("check", ledger, *arguments_of(outside)))), ledger, chunk, offset)
        offset += len(chunk)


def too_many_awaited(entries: Sequence[NewEntry]) -> None:
    """Refuse an intent that waits for more others than can be noted with it.

    Raises:
        InvalidIntent: One does; ``index`` says which.
    """
    for index, new in enumerate(entries):
        if len(new.after_ids) > MOST_AFTER:
            raise InvalidIntent(new.entry.kind, {"after": [f"Holds more than {MOST_AFTER} keys."]}, index)


def _chunks(entries: Sequence[NewEntry]) -> Iterator[Sequence[NewEntry]]:
    """Parts of a batch that one script call each can take; a single large intent is a part of its own."""
    start = references = text = 0
    for at, new in enumerate(entries):
        references += len(new.references) + len(new.after_ids)
        text += len(new.body) + len(new.file)
        if at > start and (at - start >= ACCEPT_CHUNK or references > _MOST_REFERENCES or text > _MOST_TEXT):
            yield entries[start:at]
            start, references, text = at, len(new.references) + len(new.after_ids), len(new.body) + len(new.file)
    if entries:
        yield entries[start:]


def wait_command(settings: Settings) -> tuple[str | int, ...]:
    """The command that waits for the durability of the settings, for settings that ask for more than memory."""
    timeout_ms = int(settings.durability_timeout_s * 1000)
    kind, _, replicas = settings.durability.partition(":")
    return ("WAITAOF", 1, 0, timeout_ms) if kind == "fsync" else ("WAIT", int(replicas), timeout_ms)


def was_reached(settings: Settings, waited: Any) -> bool:
    """Whether a wait has reached what the settings ask for."""
    return _reached(settings, waited) == settings.durability or (
        settings.durability != "fsync" and isinstance(waited, int) and waited >= int(settings.durability[-1])
    )


def _reached(settings: Settings, waited: Any) -> str:
    """The durability that the server vouches for; a server that does not know the command vouches for nothing."""
    if isinstance(waited, Exception):
        return "memory"
    if settings.durability == "fsync":
        return "fsync" if waited[0] >= 1 else "memory"
    return f"replicated:{waited}" if waited else "memory"


def conflicts_in(raw: Any, ledger: str, entries: Sequence[NewEntry]) -> list[KeyConflict]:
    """What accepting would raise, out of the answer to a check."""
    found = []
    for position, (new, answer) in enumerate(zip(entries, raw, strict=True)):
        if isinstance(answer, str):
            continue
        objection = Objection(*answer)
        if objection.status == "other":
            raise OtherLedger(new.entry.target, objection.id, ledger)
        if objection.status == "conflict":
            found.append(_conflict(new, objection, position))
    return found


def _answers(raw: Any, ledger: str, chunk: Sequence[NewEntry], offset: int) -> list[Accepted]:
    accepted = []
    for position, (new, answer) in enumerate(zip(chunk, raw, strict=False)):
        if isinstance(answer, str):
            accepted.append(Accepted(new.entry.id, answer == "created"))
        elif (objection := Objection(*answer)).status == "other":
            raise OtherLedger(new.entry.target, objection.id, ledger)
        elif objection.status == "conflict":
            raise _conflict(new, objection, offset + position)
        else:
            raise _forlorn(new, objection, offset + position)
    return accepted


def _conflict(new: NewEntry, theirs: Objection, index: int) -> KeyConflict:
    """One answer of accept.lua as an error."""
    conflict = KeyConflict(
        new.entry.key, theirs.id, theirs.kind, theirs.state, int(theirs.created), reference=theirs.reference
    )
    conflict.index = index
    return conflict


def _forlorn(new: NewEntry, awaited: Objection, index: int) -> InvalidIntent:
    """What it would wait for is unknown, or will never be done."""
    key = new.entry.after[new.after_ids.index(awaited.id)]
    what = (
        "is not known: enqueue it first, or in the same batch"
        if awaited.status == "missing"
        else f"was {awaited.state}"
    )
    return InvalidIntent(new.entry.kind, {"after": [f"{key!r} {what}."]}, index)


def arguments_of(entries: Sequence[NewEntry]) -> list[str | int]:
    """Intents as accept.lua takes them."""
    arguments: list[str | int] = []
    for new in entries:
        entry = new.entry
        arguments += [
            entry.id,
            new.fingerprint,
            new.body,
            entry.kind,
            entry.lane,
            "\n".join(entry.orders),
            new.not_before,
            new.deadline,
            ",".join(namesake or "-" for namesake in new.namesakes),
            "\0".join(new.references),
            ",".join(new.after_ids),
            new.file,
        ]
    return arguments
