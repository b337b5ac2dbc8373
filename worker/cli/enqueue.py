"""The command ``enqueue``: a file of intents, checked as a whole before anything is recorded."""

from __future__ import annotations

import os
from typing import IO

import click

from worker.cli import exits
from worker.cli import jsonl as intake
from worker.cli.interrupt import Stop
from worker.cli.options import answer_option, example
from worker.cli.output import emit, plain, progress, remark, say, several

#: Problems that are shown to people; the JSON lists more.
_SHOWN = 20


@click.command(
    "enqueue",
    epilog=example(
        'echo \'{"kind": "refund", "payload": {"transaction": "order-42"}}\' | blnk-relay enqueue -',
        "blnk-relay enqueue payments.jsonl",
    ),
)
@click.argument("file", type=click.File("rb"))
@click.option("--target", default="", help="The ledger of lines that do not name one.  [default: default]")
@click.option("--partial", is_flag=True, help="Enqueue the good lines although others are bad; exit code 1.")
@click.option("--check", "only_check", is_flag=True, help="Only check; enqueue nothing.")
@answer_option
def enqueue(*, file: IO[bytes], target: str, partial: bool, only_check: bool, as_json: bool) -> None:
    """Enqueue the intents of a JSONL FILE, or of stdin with '-'.

    Each line is an object: kind, payload (the fields of the kind's builder), and key, target, lane, not_before,
    deadline if wanted; the last two as RFC 3339, or as a number of seconds from now. Amounts are strings or whole
    numbers of units, never 10.5: a JSON float is not exact. 1050 is one thousand and fifty euros; 10.50 is "10.50".

    The whole file is checked first: each line, keys that stand twice, and keys that belong to another intent already.
    With one bad line nothing is enqueued, unless --partial. The same file may be enqueued again: what is known under
    the same key is counted, not doubled.
    """
    from blnk_relay import JournalUnavailable, Relay

    recorded = intake.Recorded()
    stopped = 0
    try:
        lines = intake.rereadable(file)
    except intake.TooLarge as error:
        raise click.UsageError(str(error)) from None
    with Relay.from_env() as relay, lines, Stop() as stop:
        with progress("checking (bytes)", os.fstat(lines.fileno()).st_size if _has_number(lines) else None) as step:
            try:
                checked = intake.check(relay, lines, step=step, stopped=lambda: stop.asked, target=target)
            except intake.TooLarge as error:
                raise click.UsageError(str(error)) from None
        go_on = not only_check and not stop.asked and (partial or not checked.refused)
        if go_on:
            lines.seek(0)
            with progress("enqueuing", checked.lines - len(checked.refused)) as step:
                try:
                    intake.record(relay, lines, checked, recorded, step=step, stopped=lambda: stop.asked, target=target)
                except JournalUnavailable as error:
                    remark(f"Error: {error}")
                    stopped = exits.UNAVAILABLE
        if stop.asked and not stopped:
            stopped = exits.INTERRUPTED
    if as_json:
        emit(intake.as_json(checked, recorded))
    elif stopped and not go_on:
        remark("Error: interrupted while the file was checked: nothing was enqueued.")
    else:
        _tell(checked, recorded, began=go_on, only_check=only_check)
    if stopped:
        exits.leave(stopped)
    if checked.refused:
        exits.leave(exits.PARTLY if go_on else exits.BAD_INPUT)


def _has_number(file: IO[bytes]) -> bool:
    """Whether there is a file of the system behind it."""
    try:
        file.fileno()
    except OSError:
        return False
    return True


def _tell(checked: intake.Checked, recorded: intake.Recorded, *, began: bool, only_check: bool) -> None:
    for bad in checked.listed[:_SHOWN]:
        field = "" if bad.field == "_schema" else f"{plain(bad.field)}: "
        remark(f"line {bad.line}: {field}{plain(bad.message)}")
    hidden = len(checked.refused - {bad.line for bad in checked.listed[:_SHOWN]})
    if hidden:
        remark(f"… and {several(hidden, 'more bad line')}.")
    good = checked.lines - len(checked.refused)
    if only_check:
        say(f"Checked {several(checked.lines, 'line')}: {good:,} good, {len(checked.refused):,} bad.")
    elif not began:
        remark(
            f"Error: {several(len(checked.refused), 'bad line')} in {checked.lines:,}: nothing was enqueued. "
            "Correct the file, or enqueue the good lines with --partial."
        )
    else:
        left = good - recorded.created - recorded.existing
        say(
            f"Enqueued {several(recorded.created + recorded.existing, 'intent')}: {recorded.created:,} new, "
            f"{recorded.existing:,} known before; {len(checked.refused):,} refused"
            + (f"; {left:,} left: enqueue the same file again, that is safe." if left else ".")
        )
