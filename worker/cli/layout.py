"""Tables and names with values as lines of text. Pure: cells in, lines out.

A word, and so a key or a reference, is broken only where it is wider than the whole line. What does not fit is folded
between words; then columns that can be spared are left out; and where even that is not enough each row becomes a block
of names and values, which fits any width.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

#: Between two columns of a table, and between name and value of a block.
_GAP, _FIELD_GAP = "   ", "  "

#: Text is not squeezed below this as long as a column can be spared.
_COMFORT = 24

#: Colours a piece of a cell: the column's name, the whole cell, the piece.
Paint = Callable[[str, str, str], str]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: What stands above it.
        right: Set to the right, as numbers are.
        spare: How readily it is left out where the line is too narrow; 0 never.
        wide: Only shown by ``-o wide`` and ``-o csv``.
    """

    name: str
    right: bool = False
    spare: int = 0
    wide: bool = False

    @classmethod
    def of(cls, text: str) -> Column:
        """Read a column from its name and the marks before it: ``>`` right, ``?`` can be spared, ``+`` wide only.

        Example:
            >>> Column.of("??>attempts")
            Column(name='attempts', right=True, spare=2, wide=False)
        """
        name = text.lstrip(">?+")
        marks = text[: len(text) - len(name)]
        return cls(name, right=">" in marks, spare=marks.count("?"), wide="+" in marks)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A table as it is printed, and the columns that had no room in it."""

    lines: Sequence[str]
    left_out: Sequence[str] = ()


def unpainted(_name: str, _cell: str, piece: str) -> str:
    """No colour."""
    return piece


def draw(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int | None,
    paint: Paint = unpainted,
    *,
    blocks: bool = False,
) -> Drawn:
    """A table.

    Args:
        columns: Its columns.
        rows: Its cells: printable text, one line each.
        width: Of the line; None: as wide as it takes, with the columns that are only shown then.
        paint: Colours pieces of cells.
        blocks: Whether each row is a block of names and values, however wide the line is.
    """
    shown = [at for at, column in enumerate(columns) if width is None or not column.wide]
    cells = [[columns[at].name for at in shown], *([row[at] for at in shown] for row in rows)]
    picked = [columns[at] for at in shown]
    if blocks:
        return Drawn(_blocks(picked, cells[1:], width, paint))
    if width is None:
        return Drawn(_grid(picked, cells, [_natural(column) for column in zip(*cells, strict=True)], paint))
    kept = list(range(len(picked)))
    filled = [any(row[at] for row in cells[1:]) or not rows for at in range(len(picked))]
    faces = [_Face.of(one, width, picked[at].right) for at, one in enumerate(zip(*cells, strict=True))]
    while (widths := _widths([faces[at] for at in kept], width, comfortable=True)) is None:
        # A column without any value tells nothing, and goes first.
        spare = [at for at in kept if picked[at].spare or not filled[at]]
        if not spare or len(kept) == 1:
            widths = _widths([faces[at] for at in kept], width, comfortable=False)
            break
        kept.remove(max(spare, key=lambda at: (not filled[at], picked[at].spare, at)))
    if widths is None:
        return Drawn(_blocks(picked, cells[1:], width, paint))
    left_out = [picked[at].name for at in range(len(picked)) if at not in kept and filled[at]]
    lines = _grid([picked[at] for at in kept], [[row[at] for at in kept] for row in cells], widths, paint)
    return Drawn(lines, left_out)


def block(pairs: Sequence[tuple[str, str]], width: int | None, paint: Paint = unpainted) -> list[str]:
    """Names and values below each other; a value that needs more lines goes on below itself."""
    names = max((measure(name) for name, _ in pairs), default=0) + len(_FIELD_GAP)
    lines: list[str] = []
    for name, value in pairs:
        room = None if width is None else width - names
        if room is not None and width is not None and room < _longest(value, width):
            # It would have to be broken beside its name; below it has the whole line.
            lines.append(name)
            lines += [paint(name, value, piece) for piece in fold(value, width)]
            continue
        first, *rest = fold(value, room)
        lines.append((_padded(name, names) + paint(name, value, first)).rstrip())
        lines += [" " * names + paint(name, value, piece) for piece in rest]
    return lines


def measure(text: str) -> int:
    """Columns of a terminal that a text takes: characters of East Asia take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fold(text: str, width: int | None) -> list[str]:
    """A text as lines of at most that width, broken between words; within one only where it is wider than that.

    Example:
        >>> fold("sent under a new reference", 12)
        ['sent under a', 'new', 'reference']
        >>> fold("order-4711", 6)
        ['order-', '4711']
    """
    if width is None or measure(text) <= width:
        return [text]
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if measure(longer) <= width:
            lines[-1] = longer
            continue
        pieces = _cut(word, width)
        lines[-1:] = [lines[-1], *pieces] if lines[-1] else pieces
    return lines


def _cut(word: str, width: int) -> list[str]:
    pieces = [""]
    for char in word:
        if pieces[-1] and measure(pieces[-1] + char) > width:
            pieces.append("")
        pieces[-1] += char
    return pieces


def _longest(text: str, width: int) -> int:
    """The longest of its words that a whole line can hold."""
    return max((size for word in text.split(" ") if (size := measure(word)) <= width), default=0)


def _natural(column: Iterable[str]) -> int:
    return max(map(measure, column), default=0)


@dataclass(frozen=True, slots=True)
class _Face:
    """What a column would like, what it can do with, and what it cannot go below."""

    natural: int
    comfortable: int
    least: int

    @classmethod
    def of(cls, column: Sequence[str], width: int, right: bool = False) -> _Face:
        """Of a column with its header; a number stays on one line with its unit."""
        natural = _natural(column)
        least = max(1, *(_longest(cell, width) for cell in column))
        if right:
            least = max(least, min(_natural(column[1:]), _COMFORT))
        return cls(natural, max(least, min(natural, _COMFORT)), least)


def _widths(faces: Sequence[_Face], width: int, *, comfortable: bool) -> list[int] | None:
    """How wide each column is, or None where they do not fit; what is over goes to whoever is folded most."""
    room = width - len(_GAP) * (len(faces) - 1)
    widths = [face.comfortable if comfortable else face.least for face in faces]
    over = room - sum(widths)
    if over < 0:
        return None
    while over > 0:
        tightest = max(range(len(faces)), key=lambda at: faces[at].natural / widths[at])
        if widths[tightest] >= faces[tightest].natural:
            break
        widths[tightest] += 1
        over -= 1
    return widths


def _grid(columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int], paint: Paint) -> list[str]:
    head, *rows = cells
    lines = _row(columns, head, widths, lambda _name, _cell, piece: paint("", "", piece))
    lines.append("─" * (sum(widths) + len(_GAP) * (len(widths) - 1)))
    for row in rows:
        lines += _row(columns, row, widths, paint)
    return lines


def _row(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], paint: Paint) -> list[str]:
    folded = [fold(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for line in range(max(map(len, folded), default=0)):
        parts = []
        for column, cell, pieces, width in zip(columns, row, folded, widths, strict=True):
            piece = pieces[line] if line < len(pieces) else ""
            padding = " " * (width - measure(piece))
            painted = paint(column.name, cell, piece) if piece else ""
            parts.append(padding + painted if column.right else painted + padding)
        lines.append(_GAP.join(parts).rstrip())
    return lines


def _blocks(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None, paint: Paint) -> list[str]:
    lines: list[str] = []
    for row in rows:
        pairs = [(column.name, cell) for column, cell in zip(columns, row, strict=True) if cell]
        lines += [*([""] if lines else []), *block(pairs, width, paint)]
    return lines


def _padded(text: str, width: int) -> str:
    return text + " " * (width - measure(text))
