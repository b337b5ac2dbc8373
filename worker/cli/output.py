"""How things are shown: tables for people, one JSON object for programs, remarks on stderr.

Colours and bars appear only when a terminal looks on. Whatever comes from outside goes through :func:`plain`, so that
no key or message of the ledger can move the cursor or write over a line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console

#: Columns that tables fit into.
WIDTH = 100

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def emit(document: Mapping[str, Any]) -> None:
    """Print the one JSON object of a command, on one line, ASCII only so that no locale can break it."""
    click.echo(json.dumps(document))


def say(text: str = "") -> None:
    """Print a line for people to stdout."""
    click.echo(text)


def remark(text: str) -> None:
    """Print a line to stderr, where it disturbs no output that is piped on."""
    click.echo(text, err=True)


def console(stream: TextIO | None = None) -> Console:
    """A console that takes text as it is: no markup, no guessing of numbers and paths."""
    from rich.console import Console

    target = sys.stdout if stream is None else stream
    made = Console(file=target, markup=False, highlight=False, emoji=False)
    made.width = min(WIDTH, made.width) if made.is_terminal else WIDTH
    return made


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table; a column whose name begins with ``>`` is set to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for name in columns:
        right = name.startswith(">")
        drawn.add_column(name.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in row))
    console().print(drawn)
    say()


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values below each other; those without a value are left out."""
    from rich.table import Table

    drawn = Table.grid(padding=(0, 2))
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, value in pairs:
        if value not in ("", None, ()):
            drawn.add_row(name, plain(value))
    console().print(drawn)


def plain(value: object, most: int = 500) -> str:
    r"""A value as printable text; control characters are written as escapes.

    Example:
        >>> plain("order" + chr(27) + "[2J")
        'order\\x1b[2J'
    """
    text = str(value)
    text = text if len(text) <= most else text[: most - 1] + "…"
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
