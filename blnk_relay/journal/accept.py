"""Accepting intents, as a flow: all of a batch or none, and what durability was reached."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from blnk_relay.errors import EncryptionKeyMissing, InvalidIntent, JournalUnavailable, KeyConflict, OtherLedger
from blnk_relay.intents.references import is_digest
from blnk_relay.journal.answers import Objection
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Flow, Run
from blnk_relay.journal.seal import Seal, hidden
from blnk_relay.settings import Settings

#: Intents accepted in one script call: a few milliseconds of Redis's time.
ACCEPT_CHUNK = 200

#: The same for the references that they own and the intents that they wait for, and for their text: one bulk may have
#: thousands, and megabytes.
_MOST_REFERENCES = 2_000
_MOST_TEXT = 4_000_000

#: Others that one intent may wait for: each that is done is noted with it.
MOST_AFTER = 1_000

#: What is said of a key under which whoever holds the id of another intent would find this one.
_NAMED = "It is the id of another intent: use a key of your own."

#: How often it is tried again with the secret that the journal has by now.
_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one accepted intent."""

    id: str
    created: bool


def accept_flow(
    settings: Settings, ledger: str, entries: Sequence[NewEntry], seal: Seal
) -> Flow[tuple[list[Accepted], tuple[str, ...], str]]:
    """Record intents; see :meth:`blnk_relay.journal.journal.Journal.accept`.

    Args:
        settings: The durability, and how long to wait for it.
        ledger: What the settings mean by the target; empty where they do not say.
        entries: The intents, all of one target.
        seal: Hides what is not to be read.
    """
    too_many_awaited(entries)
    chunks = [entries] if len(entries) == 1 else list(_chunks(entries))
    offsets = list(accumulate(map(len, chunks), initial=0))
    if len(chunks) > 1:
        yield from check_flow(ledger, entries, seal)
    accepted: list[Accepted] = []
    bells: set[str] = set()
    durability = "memory"
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1 and settings.durability != "memory"
        raw, waited = yield from _run("write", ledger, chunk, seal, wait_command(settings) if last else ())
        if last:
            durability = _reached(settings, waited)
        accepted += _answers(raw, ledger, chunk, offsets[number])
        bells.update(raw[len(chunk) :])
    return accepted, tuple(sorted(bells)), durability


def check_flow(ledger: str, entries: Sequence[NewEntry], seal: Seal) -> Flow[None]:
    """Raise what accepting a batch would, and change nothing; see :func:`accept_flow`."""
    # What stands in this very batch is there by the time that it is needed.
    batch = {new.entry.id for new in entries}
    offset = 0
    for chunk in _chunks(entries):
        outside = [replace(new, after_ids=tuple(set(new.after_ids) - batch)) for new in chunk]
        raw, _ = yield from _run("check", ledger, outside, seal, batch=batch)
        _answers(raw, ledger, chunk, offset)
        offset += len(chunk)


def conflicts_flow(ledger: str, entries: Sequence[NewEntry], seal: Seal) -> Flow[list[KeyConflict]]:
    """See :meth:`blnk_relay.journal.producing.Producing.conflicts`."""
    raw, _ = yield from _run("check", ledger, entries, seal)
    return _conflicts_in(raw, ledger, entries)


def _run(
    mode: str,
    ledger: str,
    entries: Sequence[NewEntry],
    seal: Seal,
    wait: tuple[str | int, ...] = (),
    *,
    batch: Collection[str] = (),
) -> Flow[tuple[Any, Any]]:
    """Run accept.lua for what one call of it can take. Returns its answer, and that of the wait.

    Args:
        mode: See accept.lua.
        ledger: See :func:`accept_flow`.
        entries: The intents.
        seal: Hides what is not to be read.
        wait: The command that waits for a durability.
        batch: Ids of all that are enqueued together, where these are a part of them.

    Raises:
        EncryptionKeyMissing: A key that is needed to tell a repeat from another write is not at hand.
    """
    raw: Any = None
    waited: Any = None
    likes = _likes(entries, batch)
    for _ in range(_MOST_TRIES):
        secret, sealed = yield from seal.entries_flow(entries, only_known=mode == "check")
        raw, waited = yield from _run_once((mode, ledger, secret, likes), sealed, wait)
        if not _of_status(raw, "secret"):
            break
        # The journal has lost its last moments, and with them the secret that fingerprints were made with.
        seal.forget_secret()
    else:
        raise JournalUnavailable("the journal has changed the secret of its fingerprints again and again; try again")
    if not (conflicts := _of_status(raw, "conflict")):
        return raw, waited
    # Under the same key it may be the same write, recorded when the journal was not encrypted.
    known, doubtful = list(sealed), ""
    for place, objection in conflicts.items():
        new = entries[place]
        if objection.id != new.entry.id or objection.reference:
            continue
        if secret and objection.fingerprint == new.fingerprint[: len(objection.fingerprint)]:
            known[place] = replace(sealed[place], fingerprint=new.fingerprint)
        elif not secret and (hidden(objection.sealed) or not objection.kind):
            doubtful = objection.sealed or "?"
    if doubtful:
        name, _ = yield Run("secret", ("", "", ""))
        if name:
            key = "" if doubtful == "?" else doubtful.partition(" ")[0]
            raise EncryptionKeyMissing(key, "what was recorded under this key, so that a repeat cannot be told,")
    if known != list(sealed):
        raw, waited = yield from _run_once((mode, ledger, secret, likes), known, wait)
    return raw, waited


def _run_once(head: tuple[str, ...], entries: Sequence[NewEntry], wait: tuple[str | int, ...]) -> Flow[tuple[Any, Any]]:
    arguments = (*head, *arguments_of(entries, bare=head[0] == "check"))
    if wait:
        raw, waited = yield Run("accept", arguments, wait)
        return raw, waited
    return (yield Run("accept", arguments)), None


def _likes(entries: Sequence[NewEntry], batch: Collection[str]) -> str:
    """Of each intent whose key looks like an id, as accept.lua takes it; of most calls nothing."""
    likes = [new.entry for new in entries if is_digest(new.entry.key)]
    if not likes:
        return ""
    beside = batch or {new.entry.id for new in entries}
    return ",".join([f"{entry.id}={entry.key}{'!' if entry.key in beside else ''}" for entry in likes])


def _of_status(raw: Any, status: str) -> dict[int, Objection]:
    """Objections of one status, by the position of what they are against."""
    return {
        place: Objection(*answer)
        for place, answer in enumerate(raw)
        if not isinstance(answer, str) and answer[0] == status
    }


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


def _conflicts_in(raw: Any, ledger: str, entries: Sequence[NewEntry]) -> list[KeyConflict]:
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
        elif objection.status == "named":
            raise InvalidIntent(new.entry.kind, {"key": [_NAMED]}, offset + position)
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


def arguments_of(entries: Sequence[NewEntry], *, bare: bool = False) -> list[str | int]:
    """Intents as accept.lua takes them; bare ones without what is only there to be kept."""
    arguments: list[str | int] = []
    for new in entries:
        entry = new.entry
        arguments += [
            entry.id,
            new.fingerprint,
            "" if bare else new.body,
            entry.kind,
            entry.lane,
            "\n".join(entry.orders),
            new.not_before,
            new.deadline,
            ",".join(namesake or "-" for namesake in new.namesakes),
            "\0".join(new.references),
            ",".join(new.after_ids),
            "" if bare else new.file,
            new.sealed,
        ]
    return arguments
