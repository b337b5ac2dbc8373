"""The two passes over a file of intents: check all of it, then record it in parts. Only one part is in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from worker.cli.jsonl_line import numbered, write_of

if TYPE_CHECKING:
    from blnk_relay import InvalidIntent, KeyConflict, Receipt, Relay, Write
    from blnk_relay.journal.entries import NewEntry

#: Largest file; beyond it a file should be cut into parts, which may be enqueued in any order and again.
MAX_FILE_BYTES = 256 * 1024 * 1024

#: Most lines of a file: what is kept of each to find keys that stand twice takes about 400 bytes.
MAX_LINES = 500_000

#: Bad lines that are kept for listing; all of them are counted.
MOST_LISTED = 50

#: Lines recorded in one call: few enough for a bar that moves, and one wait for the disk where that is asked for.
PART = 1000

_COPY_BYTES = 1024 * 1024


class TooLarge(ValueError):
    """The file is larger than can be checked as a whole."""


@dataclass(frozen=True, slots=True)
class Bad:
    """What is wrong with one field of one line."""

    line: int
    field: str
    message: str


@dataclass(slots=True)
class Checked:
    """What a check found.

    Attributes:
        lines: Lines that are not blank.
        refused: Numbers of the bad ones.
        listed: What is wrong with the first of them, by line and field.
    """

    lines: int = 0
    refused: set[int] = field(default_factory=set)
    listed: list[Bad] = field(default_factory=list)

    def refuse(self, line: int, name: str, message: str) -> None:
        """Count a bad line, and keep what is wrong while there is room."""
        self.refused.add(line)
        if len(self.listed) < MOST_LISTED:
            self.listed.append(Bad(line, name, message))

    def refuse_all(self, line: int, error: InvalidIntent) -> None:
        """Count a line that is not valid."""
        for name, messages in error.errors.items():
            self.refuse(line, name, " ".join(messages))

    @property
    def unlisted(self) -> int:
        """Bad lines of which nothing is listed."""
        return len(self.refused - {bad.line for bad in self.listed})


@dataclass(slots=True)
class Recorded:
    """What was recorded.

    Attributes:
        durability: The weakest that any part reached.
    """

    created: int = 0
    existing: int = 0
    durability: str = ""

    def add(self, receipts: list[Receipt]) -> None:
        """Count receipts."""
        for receipt in receipts:
            self.created += receipt.created
            self.existing += not receipt.created
            if not self.durability or _strength(receipt.durability) < _strength(self.durability):
                self.durability = receipt.durability


def _strength(durability: str) -> tuple[int, str]:
    return (0 if durability == "memory" else 1, durability)


def rereadable(file: IO[bytes]) -> IO[bytes]:
    """The same bytes in a file that can be read twice; what comes through a pipe is copied into one without a name.

    Raises:
        TooLarge: There are more than MAX_FILE_BYTES.
    """
    # Of a file on stdin somebody may have read a part already; what is left of it is ours.
    if file.seekable() and file.tell() == 0:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if size > MAX_FILE_BYTES:
            raise TooLarge(_too_large())
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    size = 0
    while part := file.read(_COPY_BYTES):
        size += len(part)
        if size > MAX_FILE_BYTES:
            copy.close()
            raise TooLarge(_too_large())
        copy.write(part)
    copy.seek(0)
    return copy


def _too_large() -> str:
    return f"the file is larger than {MAX_FILE_BYTES:,} bytes: cut it into parts"


def check(
    relay: Relay,
    file: IO[bytes],
    *,
    step: Callable[[int], None],
    stopped: Callable[[], bool],
    target: str = "",
) -> Checked:
    """Check every line, its key against the other lines and against the journal. Changes nothing.

    Args:
        relay: Where it would go.
        file: From its beginning.
        step: Told of the bytes that have been read.
        stopped: Asked now and then whether to give up.
        target: The ledger of lines that name none; the default one when empty.

    Raises:
        TooLarge: There are more than MAX_LINES.
        JournalUnavailable: Redis did not answer.
    """
    from blnk_relay import InvalidIntent
    from blnk_relay.intake import prepare, split_by_target
    from blnk_relay.journal.accept import ACCEPT_CHUNK

    checked = Checked()
    first_line: dict[tuple[str, str], int] = {}
    batch: list[tuple[int, NewEntry]] = []

    def compare() -> None:
        for name, positions in split_by_target([entry for _, entry in batch]).items():
            for conflict in relay.journal(name).conflicts([batch[position][1] for position in positions]):
                checked.refuse(batch[positions[conflict.index or 0]][0], *_taken(conflict))
        batch.clear()

    for number, line, size in numbered(file):
        step(size)
        checked.lines += 1
        if checked.lines > MAX_LINES:
            raise TooLarge(f"the file has more than {MAX_LINES:,} lines: cut it into parts")
        try:
            new = prepare(relay.settings, write_of(line, target))
        except InvalidIntent as error:
            checked.refuse_all(number, error)
            continue
        for name, what in ((new.entry.id, "key"), *((reference, "reference") for reference in new.references)):
            first = first_line.setdefault((new.entry.target, name), number)
            if first != number:
                # Both are refused: of two payments under one key nobody can tell which was meant.
                shown = new.entry.key if what == "key" else name
                message = f"{what} {shown!r} stands in line {first} and in line {number}."
                checked.refuse(first, what, message)
                checked.refuse(number, what, message)
                break
        batch.append((number, new))
        if len(batch) == ACCEPT_CHUNK:
            compare()
            if stopped():
                return checked
    compare()
    return checked


def record(
    relay: Relay,
    file: IO[bytes],
    checked: Checked,
    recorded: Recorded,
    *,
    step: Callable[[int], None],
    stopped: Callable[[], bool],
    target: str = "",
) -> None:
    """Record the lines that were found good, part by part, in the order of the file.

    A key that somebody else took since the check costs its own line only, which is added to the bad ones.

    Args:
        relay: Where it goes.
        file: From its beginning.
        checked: What the check found.
        recorded: Counts what is recorded, part by part, so that it is right after an error too.
        step: Told of the lines that have been recorded.
        stopped: Asked between parts whether to end.
        target: The ledger of lines that name none; the default one when empty.

    Raises:
        JournalUnavailable: Redis did not answer; the same file again is safe.
        InvalidIntent: The file was changed since it was checked.
    """
    from blnk_relay import KeyConflict

    writes = _good(file, checked, target)
    while not stopped() and (part := list(islice(writes, PART))):
        while part:
            try:
                recorded.add(relay.enqueue_many(write for _, write in part))
            except KeyConflict as conflict:
                number, _ = part.pop(conflict.index or 0)
                checked.refuse(number, *_taken(conflict))
                continue
            step(len(part))
            break


def _taken(conflict: KeyConflict) -> tuple[str, str]:
    """The field that is to blame, and why."""
    return "reference" if conflict.reference else "key", f"{conflict.what}."


def _good(file: IO[bytes], checked: Checked, target: str) -> Iterator[tuple[int, Write]]:
    for number, line, _ in numbered(file):
        if number not in checked.refused:
            yield number, write_of(line, target)


def as_json(checked: Checked, recorded: Recorded) -> dict[str, Any]:
    """As JSON."""
    return {
        "lines": checked.lines,
        "created": recorded.created,
        "existing": recorded.existing,
        "refused": len(checked.refused),
        "left": checked.lines - len(checked.refused) - recorded.created - recorded.existing,
        "durability": recorded.durability,
        "errors": [{"line": bad.line, "field": bad.field, "message": bad.message} for bad in checked.listed],
        "unlisted": checked.unlisted,
    }
