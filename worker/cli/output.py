"""How things are shown: tables for people, one JSON object or CSV for programs, remarks on stderr.

A command says what it shows, by :func:`table`, :func:`fields`, :func:`say` and :func:`emit`; the form that was asked
for (``-o``) is made here. Colours and bars appear only when a terminal looks on, and nothing is told by colour alone.
Whatever comes from outside goes through :func:`plain`, so that no key or message of the ledger can move the cursor or
write over a line.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TextIO

import click

from worker.cli import exits, layout
from worker.cli.forms import Sheet, as_csv, chosen, picked
from worker.cli.layout import Column

if TYPE_CHECKING:
    from rich.console import Console

#: Columns that tables fit into where no terminal looks on.
WIDTH = 100

#: Narrower than this is taken for this.
_LEAST_WIDTH = 20

#: Longest cell for people, and for spreadsheets, which take no longer one.
_MOST_CELL, _MOST_CSV_CELL = 500, 32_000

#: Signs of ours where an encoding does not have them.
_IN_ASCII = str.maketrans({"─": "-", "…": "..."})

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400

#: Columns and fields whose value is a state, and the colours of states; also of words that begin so ("paused by ann").
_STATEFUL = frozenset({"state", "gate", "severity", "level", "health", "status"})
_COLOURS = {
    "dead": "red",
    "failed": "red",
    "failure": "red",
    "fail": "red",
    "gone": "red",
    "lost": "red",
    "critical": "red",
    "unreachable": "red",
    "unhealthy": "red",
    "error": "red",
    "paused": "yellow",
    "slowed": "yellow",
    "quiet": "yellow",
    "stopping": "yellow",
    "stopped": "yellow",
    "warning": "yellow",
    "notice": "cyan",
    "warn": "yellow",
    "waiting": "cyan",
    "ready": "cyan",
    "sending": "cyan",
    "posted": "cyan",
    "running": "cyan",
    "done": "green",
    "ok": "green",
    "well": "green",
    "alive": "green",
    "cancelled": "bright_black",
    "discarded": "bright_black",
}


def emit(document: Mapping[str, Any]) -> None:
    """Print the one JSON object of a command, on one line, ASCII only so that no locale can break it."""
    click.echo(json.dumps(document))


def say(text: str = "") -> None:
    """Print a line for people: to stdout, or to stderr where stdout is for CSV."""
    to = chosen()
    beside = to.form == "csv"
    if to.screen is not None:
        to.screen.append(text)
    elif text or not beside:
        _echo(text, err=beside)


def say_lines(lines: Sequence[str]) -> None:
    """Print lines for people, where no screen counts them in one piece: each piece is given to the system at once."""
    if lines and chosen().screen is None:
        lines = ["\n".join(lines)]
    for piece in lines:
        say(piece)


@contextmanager
def on_screen() -> Iterator[None]:
    """Print of what is said in the block what the screen has room for: its beginning, and how much there is besides."""
    lines: list[str] = []
    to = chosen()
    to.screen = lines
    try:
        yield
    finally:
        to.screen = None
    columns, rows = shutil.get_terminal_size((WIDTH, 0))
    # What is wider than the screen takes several of its rows; the last one is for the cursor.
    takes = [max(1, -(-layout.measure(click.unstyle(line)) // max(1, columns))) for line in lines]
    shown, room = len(lines), rows - 1
    if rows > 0 and sum(takes) > room:
        shown = sum(1 for row in accumulate(takes) if row < room)
    for line in lines[:shown]:
        say(line)
    if shown < len(lines):
        say(f"… {several(len(lines) - shown, 'line')} more, for which the screen has no room")


def tell(text: str, indent: str = "", *, piped: int | None = None) -> None:
    """Print a sentence for people; where a terminal looks on it is folded between words to its width.

    Args:
        text: Printable text, with nothing in it that is to be copied as a whole.
        indent: Before each of its lines.
        piped: Columns that it fits into where no terminal looks on; None for one line.
    """
    stream = sys.stderr if chosen().form == "csv" else sys.stdout
    room = width(stream) if stream.isatty() else piped
    if chosen().form == "wide":
        room = None
    for line in layout.fold(text, None if room is None else max(_LEAST_WIDTH, room - len(indent))):
        say(f"{indent}{line}")


def remark(text: str) -> None:
    """Print a line to stderr, where it disturbs no output that is piped on."""
    _echo(text, err=True)


def remark_away(away: Sequence[str], *, history: bool = False) -> None:
    """Say of which targets nothing is in what is shown, and why; nothing where all journals answered.

    Args:
        away: The targets.
        history: Whether what history has of them is shown all the same.
    """
    if away:
        known = "Of {} only what history has is known" if history else "Nothing is known of {}"
        remark(f"{known.format(', '.join(away))}: Redis did not answer.")


def _echo(text: str, *, err: bool = False) -> None:
    """Print a line; what the encoding of the stream does not have is written as an escape, our own signs in ASCII."""
    stream = sys.stderr if err else sys.stdout
    click.echo(_written(text, stream), err=err, color=coloured(stream))


def _written(text: str, stream: TextIO) -> str:
    """A text as a stream can have it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_IN_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text


def width(stream: TextIO | None = None) -> int:
    """Columns that tables fit into: those of the terminal, by COLUMNS or its own word; in a pipe a steady hundred."""
    to = sys.stdout if stream is None else stream
    if not to.isatty():
        # COLUMNS says nothing about a pipe: whoever has once loaded GNU readline hands it to all its children.
        return WIDTH
    return max(_LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 0)).columns)


def painted(word: str, padded: int = 0) -> str:
    """A word in the colour of the state that it stands for, where there are colours.

    Args:
        word: It.
        padded: Columns that it takes at least.
    """
    stream = sys.stderr if chosen().form == "csv" else sys.stdout
    return (_paint("state", word, word) if coloured(stream) else word) + " " * (padded - len(word))


def coloured(stream: TextIO | None = None) -> bool:
    """Whether to colour: where a terminal looks on, or FORCE_COLOR wishes so; never against NO_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false"):
        return True
    to = sys.stdout if stream is None else stream
    return to.isatty() and os.environ.get("TERM") != "dumb"


def console(stream: TextIO | None = None) -> Console:
    """A console for bars that takes text as it is: no markup, no guessing of numbers and paths."""
    from rich.console import Console

    target = sys.stdout if stream is None else stream
    made = Console(file=target, markup=False, highlight=False, emoji=False)
    made.width = width(target)
    return made


def table(
    columns: Sequence[str | Column],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    name: str = "",
    main: bool = False,
    unless_empty: bool = False,
    blocks: bool = False,
) -> None:
    """Print a table in the form that was asked for.

    Args:
        columns: What stands above each column, with marks before it: ``>`` set to the right, as numbers are; ``?`` can
            be spared where the line is too narrow, ``??`` even sooner; ``+`` only in ``-o wide`` and ``-o csv``.
        rows: The cells: texts, numbers, times (``datetime``) and durations (``timedelta``), None for nothing.
        title: Stands above it.
        name: What ``--table`` calls it where there are several; its title when left out.
        main: Whether it is what ``-o csv`` prints, rather than the first that is shown.
        unless_empty: Leave it out for people where it has no rows; as CSV it is a header.
        blocks: For people each row is a block of names and values, whatever the width.
    """
    to = chosen()
    made = [column if isinstance(column, Column) else Column.of(column) for column in columns]
    cells = [[_cell(value, to.form) for value in row] for row in rows]
    if to.form == "csv":
        to.sheets.append(Sheet(name or title or made[0].name, made, cells, main))
        return
    if unless_empty and not cells:
        return
    room = None if to.form == "wide" else width()
    drawn = layout.draw(made, cells, room, _paint if coloured() else layout.unpainted, blocks=blocks)
    if title:
        say(title)
    say_lines(drawn.lines)
    say()
    if drawn.left_out:
        remark(f"Left out, for want of room: {', '.join(drawn.left_out)}. All columns: -o wide")


def fields(pairs: Iterable[tuple[str, object]], *, name: str = "fields", main: bool = False) -> None:
    """Print names and values below each other, those without a value left out; as CSV it is one row.

    Args:
        pairs: The names and values.
        name: What ``--table`` calls it.
        main: Whether it is what ``-o csv`` prints, rather than the first that is shown.
    """
    to = chosen()
    made = [(label, _cell(value, to.form)) for label, value in pairs]
    if to.form == "csv":
        to.sheets.append(Sheet(name, [Column(label) for label, _ in made], [[cell for _, cell in made]], main))
        return
    room = None if to.form == "wide" else width()
    paint = _paint if coloured() else layout.unpainted
    say_lines(layout.block([pair for pair in made if pair[1]], room, paint))


def finish() -> None:
    """Print what was asked for as CSV, at the end of a command that came to its end."""
    to = chosen()
    if to.form != "csv":
        return
    sheet, note = picked(to.sheets, to.table)
    if sheet is not None:
        _csv_out(as_csv(sheet))
    elif to.sheets:
        raise exits.BadInput(note)
    if note:
        remark(note)


def _csv_out(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False, color=False)


def _cell(value: object, form: str) -> str:
    """A value as a cell; times and durations as people, or as programs, read them."""
    exact = form == "csv"
    match value:
        case None:
            return ""
        case datetime():
            return (stamp(value) or "") if exact else clock(value)
        case timedelta():
            return f"{value.total_seconds():.3f}" if exact else span(value.total_seconds())
        case _ if value == ():
            return ""
    text = plain(value, _MOST_CELL if form == "fit" else _MOST_CSV_CELL)
    # Before it is set: what is written otherwise is longer.
    return text if exact else _written(text, sys.stdout)


def _paint(column: str, cell: str, piece: str) -> str:
    if column == cell == "":
        return click.style(piece, bold=True) if piece else piece
    if column not in _STATEFUL or not cell:
        return piece
    colour = _COLOURS.get(cell.split(maxsplit=1)[0].rstrip(",:").lower()) if cell.strip() else None
    return click.style(piece, fg=colour) if colour else piece


def plain(value: object, most: int = 500) -> str:
    r"""A value as printable text; control characters are written as escapes.

    Example:
        >>> plain("order" + chr(27) + "[2J")
        'order\\x1b[2J'
    """
    text = str(value)
    text = text if len(text) <= most else text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def stamp(moment: datetime | None) -> str | None:
    """A time for programs: RFC 3339 in UTC, with milliseconds and an explicit Z."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(moment: datetime | None) -> str:
    """A time for people: UTC to the second, with an explicit Z."""
    return "" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> span(90), span(0)
        ('1.5 min', '-')
    """
    if seconds <= 0:
        return "-"
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def amounts(sums: Mapping[str, Decimal]) -> str:
    """Sums by currency for people: whole ones as they are, others with two digits at least.

    Example:
        >>> amounts({"EUR": Decimal("619.5"), "JPY": Decimal(4000)})
        '619.50 EUR, 4,000 JPY'
    """
    return ", ".join(
        f"{total:,.2f} {currency}" if total.as_tuple().exponent == -1 else f"{total:,f} {currency}"
        for currency, total in sums.items()
    )


def several(number: int, word: str) -> str:
    """A number with its noun.

    Example:
        >>> several(1, "letter"), several(2000, "letter")
        ('1 letter', '2,000 letters')
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr while the block runs, if stderr is a terminal; gives a function to move it on.

    Args:
        label: What is going on.
        total: Steps to go, or None where nobody knows.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(sys.stderr),
        transient=True,
    )
    with bar:
        task = bar.add_task(label, total=total)
        yield lambda steps: bar.advance(task, steps)
