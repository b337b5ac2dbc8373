"""The forms in which a command prints: a table that fits, a wide one, one JSON object, or one table as CSV.

The form that was asked for is kept with click's context, so that a command only says *what* it shows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import click

from worker.cli.layout import Column

Form = Literal["fit", "wide", "json", "csv"]

#: What ``-o`` takes; without it a table fits the terminal.
FORMS: tuple[Form, ...] = ("wide", "json", "csv")

_META = "blnk_relay.form"

#: What a spreadsheet takes for the beginning of a formula, and their full-width twins.
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?")

#: What stands for "nothing" where people look.
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table that a command would show.

    Attributes:
        name: Its title, or what it is.
        main: Whether it is what the command is about; else the first one is.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    main: bool = False


@dataclass(slots=True)
class Chosen:
    """The form that was asked for, and the tables that were shown so far where only one of them is printed.

    Attributes:
        form: One of :data:`Form`.
        table: Number or name of the table to print as CSV; empty: the main one.
        screen: Lines that are kept until it is known how many of them a screen has room for; None where none are.
    """

    form: Form = "fit"
    table: str = ""
    sheets: list[Sheet] = field(default_factory=list)
    screen: list[str] | None = None


def chosen() -> Chosen:
    """What was asked for on the command line; outside of a command a table that fits."""
    context = click.get_current_context(silent=True)
    if context is None:
        return Chosen()
    made = context.meta.setdefault(_META, Chosen())
    if not isinstance(made, Chosen):
        raise TypeError(f"{_META} in click's context is {type(made).__name__}")
    return made


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether these arguments ask for JSON; also where they could not be understood, so that the error is JSON too.

    Example:
        >>> asks_for_json(["list", "-o", "json"]), asks_for_json(["list", "-ojson"]), asks_for_json(["show", "json"])
        (True, True, False)
    """
    if any(argument in ("--json", "-ojson", "--output=json") for argument in arguments):
        return True
    return any((option, value) in (("-o", "json"), ("--output", "json")) for option, value in pairwise(arguments))


def picked(sheets: Sequence[Sheet], wanted: str) -> tuple[Sheet | None, str]:
    """The table to print as CSV, and a remark: which others there are, or why there is none."""
    others = [f"--table {number} ({sheet.name})" for number, sheet in enumerate(sheets, start=1)]
    if not sheets:
        return None, "Nothing is printed as CSV: there is no table to show here. Try -o json."
    if not wanted:
        at = next((at for at, sheet in enumerate(sheets) if sheet.main), 0)
        del others[at]
        return sheets[at], f"Not printed: {', '.join(others)}" if others else ""
    for number, sheet in enumerate(sheets, start=1):
        if wanted in (str(number), sheet.name):
            return sheet, ""
    return None, f"There is no table {wanted!r} to show here; there is {', '.join(others)}."


def as_csv(sheet: Sheet) -> str:
    """A table as CSV with a header; its cells are printable text, one line each."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow([column.name for column in sheet.columns])
    for row in sheet.rows:
        writer.writerow([csv_cell(cell, number=column.right) for column, cell in zip(sheet.columns, row, strict=True)])
    return lines.getvalue()


def csv_cell(text: str, *, number: bool = False) -> str:
    """A cell for spreadsheets: numbers as they are read by programs, and nothing that would run as a formula.

    Args:
        text: As people see it.
        number: Whether its column is one of numbers: then thousands are not grouped, and nothing is empty.

    Example:
        >>> csv_cell("1,204", number=True), csv_cell("-10.50"), csv_cell("=HYPERLINK(1)"), csv_cell("-x")
        ('1204', '-10.50', "'=HYPERLINK(1)", "'-x")
    """
    if number and text == _NOTHING:
        return ""
    if number and _GROUPED.fullmatch(text):
        return text.replace(",", "")
    if text.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
