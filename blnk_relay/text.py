"""Texts: which the ledger can store, and which may identify something. Pure.

What identifies (a key, a reference, a balance, a currency) is compared byte by byte by machines and by its looks by
people. So no two of them may look alike and differ: ``@alice`` and ``@alice`` with a zero-width space behind it would
be two balances, and ``order-é`` in two Unicode forms two payments. Nothing is ever repaired in silence, because whoever
sent the text would not find it again under what it became.
"""

from __future__ import annotations

import re
import unicodedata

#: Characters that are nothing to see although Unicode counts them as letters, marks or signs: those that it lets
#: programs leave out (Default_Ignorable_Code_Point, as far as they are no format characters), and the blank of Braille.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

#: What is meant by a category whose characters have no name of their own, or whose name says little.
_NAMELESS = {
    "Cc": "(a control character)",
    "Cs": "(half of a surrogate pair)",
    "Co": "(for private use)",
    "Cn": "(not a character of Unicode)",
}

#: Control characters that people do meet.
_CONTROLS = {"\x00": "NUL", "\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN", "\x1b": "ESCAPE", "\x7f": "DELETE"}

#: Characters of a difference between two Unicode forms that are named.
_MOST_NAMED = 3


def character(char: str) -> str:
    r"""A character in words, also one that cannot be seen.

    Example:
        >>> character("\u200b")
        'U+200B ZERO WIDTH SPACE'
    """
    name = _CONTROLS.get(char) or unicodedata.name(char, "")
    return f"U+{ord(char):04X} {name or _NAMELESS.get(unicodedata.category(char), '(a character without a name)')}"


def text_problem(text: str) -> str | None:
    """Why a text cannot be stored by the ledger's database, or None.

    PostgreSQL refuses NUL, and a lone surrogate has no UTF-8: in queue mode either is answered with 201 and then
    never recorded (contract §3.3).
    """
    if "\x00" in text:
        place = text.index("\x00") + 1
        return f"Must not contain the NUL character (its character {place})."
    if not text.isascii():
        for place, char in enumerate(text, start=1):
            if "\ud800" <= char <= "\udfff":
                return f"Must not contain lone surrogates (its character {place})."
    return None


def unseen_problem(text: str) -> str | None:
    r"""Why a text may look like another one, or None: it holds what cannot be seen, or is not in the usual form.

    Refused are control, format, unassigned and private characters, line and paragraph separators, spaces other than
    the plain one, and what is not in Unicode's normal form C.

    Example:
        >>> unseen_problem("@alice\u200b")
        'Must not contain U+200B ZERO WIDTH SPACE (its character 7), which cannot be seen.'
    """
    if not text.isprintable():
        # Everything but letters, marks, digits, signs and the plain space; so says the documentation of Python.
        place, char = next((place, char) for place, char in enumerate(text, start=1) if not char.isprintable())
        what = "which looks like a plain space" if unicodedata.category(char) == "Zs" else "which cannot be seen"
        return f"Must not contain {character(char)} (its character {place}), {what}."
    if text.isascii():
        return None
    if found := _UNSEEN.search(text):
        return f"Must not contain {character(found[0])} (its character {found.start() + 1}), which cannot be seen."
    if not unicodedata.is_normalized("NFC", text):
        return _form_problem(text)
    return None


def identity_problem(text: str) -> str | None:
    """Why a text cannot identify anything, or None: see :func:`unseen_problem`; nor may it be blank, or padded.

    Example:
        >>> identity_problem("order-42 ")
        'Must not begin or end with white space.'
    """
    if text.isascii() and text.isprintable() and text and " " not in (text[0], text[-1]):
        return None
    if not text.strip():
        return "Must not be blank."
    if problem := unseen_problem(text):
        return problem
    return "Must not begin or end with white space." if text != text.strip() else None


def foreign(text: str) -> str:
    r"""The first character outside ASCII in words, for a text that may look like another one; empty for none.

    Example:
        >>> foreign("\u0415UR")
        'U+0415 CYRILLIC CAPITAL LETTER IE'
    """
    return "" if text.isascii() else character(next(char for char in text if not char.isascii()))


def _form_problem(text: str) -> str:
    """What is not in normal form C, and what it would be there."""
    usual = unicodedata.normalize("NFC", text)
    place = next((at for at, (one, other) in enumerate(zip(text, usual, strict=False)) if one != other), len(usual))
    return (
        f"Must be in Unicode's normal form C (NFC). From its character {place + 1} on it is not: "
        f"{_named(text, place)} should be {_named(usual, place)}."
    )


def _named(text: str, place: int) -> str:
    """A character with the marks that stand on it."""
    end = place + 1
    while end < len(text) and end - place < _MOST_NAMED and unicodedata.combining(text[end]):
        end += 1
    return " and ".join(map(character, text[place:end])) or "nothing"
