"""Reading settings from environment variables, or from files that variables name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, field
from difflib import get_close_matches
from math import isfinite
from pathlib import Path
from typing import Any

from blnk_relay.errors import InvalidSettings
from blnk_relay.service_links import is_service_link

_FILE = "_FILE"

#: Between the name of a target and the name of a setting; no setting has it in its own name.
SCOPE = "__"

#: How variables begin that are read by programs of their own, which see to them (docs/console.md).
OTHERS = ("CONSOLE_",)

#: The file itself is the setting: its path is kept, because its content may change.
_KEPT_PATHS = frozenset({"token_file", "encryption_keys_file"})

#: What each type of setting has to be, for people.
_MUST = {
    bool: "must be true or false",
    int: "must be a whole number",
    float: "must be a number",
    tuple: "must be a list with commas between its parts",
    str: "must be text",
}

#: What is true and what is not, whatever the case.
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})

_QUOTES = frozenset("\"'")

#: Characters of a wrong value that are shown.
_MOST_QUOTED = 100


def check_number(variable: str, value: float, least: float, most: float, *, zero: str = "") -> None:
    """See that a number is one that can be worked with.

    Args:
        variable: What it is the value of.
        value: The number.
        least: The smallest that is possible.
        most: The largest.
        zero: What 0 says, where that is possible as well, such as ``none``.

    Raises:
        InvalidSettings: It is not.

    Example:
        >>> check_number("BLNK_RELAY_CONNECTIONS", 16, 1, 1_000)
    """
    if not (least <= value <= most or (zero and value == 0)):
        of_zero = f", or 0 for {zero}" if zero else ""
        raise InvalidSettings(f"{variable} must be a number from {least:g} to {most:,.15g}{of_zero}, not {value}.")


def _meant(name: str, known: Iterable[str]) -> str:
    """The setting that a misspelt variable is likely to mean, as a question."""
    close = get_close_matches(name, sorted(known), 1, 0.85)
    return f"; did you mean {close[0]}?" if close else ""


class Environment:
    """Our variables of an environment.

    Args:
        variables: All variables; those of others are left alone, and those of services that are called like us.

    Raises:
        InvalidSettings: By every method: a variable is unknown, doubled, or cannot be read. No secret is quoted.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        ours = {name: value for name, value in variables.items() if name.startswith(PREFIX)}
        self._given = {name for name, value in ours.items() if not is_service_link(name, value)}

    def names(self, field_name: str) -> tuple[str, ...]:
        """A list of names, such as those of the targets; empty when the variable is not set."""
        variable = PREFIX + field_name.upper()
        if variable not in self._given and variable + _FILE not in self._given:
            return ()
        return self._value(variable, tuple, secret=False)  # type: ignore[no-any-return]

    def check(self, settings: Iterable[Field[Any]], of_target: Iterable[Field[Any]], targets: Iterable[str]) -> None:
        """See that every variable is a setting, and none is given twice.

        Args:
            settings: Fields of the settings.
            of_target: Fields of a target.
            targets: Names of the targets that have variables of their own.
        """
        known = {PREFIX + item.name.upper() for item in settings}
        scopes = {name.upper() for name in targets}
        own = [item.name.upper() for item in of_target]
        known |= {f"{PREFIX}{scope}{SCOPE}{name}" for scope in scopes for name in own}
        paths = {name for name in known if name.lower().endswith(tuple(_KEPT_PATHS))}
        for name in sorted(self._given):
            if any(_is_of(name, part) for part in OTHERS):
                continue
            if name not in known and (name.removesuffix(_FILE) not in known - paths):
                scope, between, _ = name.removeprefix(PREFIX).partition(SCOPE)
                if between and scope not in scopes:
                    raise InvalidSettings(
                        f"{name} is about a target {scope.lower()!r}, which {PREFIX}TARGETS does not name: "
                        "add it there, "
                        "or take the variable out."
                    )
                raise InvalidSettings(
                    f"{name} is not a setting{_meant(name, known)}; docs/settings.md lists all of them."
                )
            if name in known and name + _FILE in self._given:
                raise InvalidSettings(f"{name} and {name}{_FILE} are both set; keep one of them.")

    def told(self, refusal: InvalidSettings) -> InvalidSettings:
        """A refusal of values with the variables that they came from: some name a file that holds the value."""

        def given(name: re.Match[str]) -> str:
            file = name[0] + _FILE
            return file if file in self._given and not file.lower().endswith(tuple(_KEPT_PATHS)) else name[0]

        return InvalidSettings(re.sub(rf"{PREFIX}\w+", given, str(refusal)))

    def part(self, part: str, items: Iterable[Field[Any]]) -> dict[str, Any]:
        """What is given to a program that has settings of its own, whose variables all begin alike.

        Args:
            part: How, after our prefix; one of ``OTHERS``.
            items: Its fields.
        """
        there = tuple(items)
        known = {PREFIX + part + item.name.upper() for item in there}
        for name in sorted(self._given):
            if not _is_of(name, part):
                continue
            if name not in known and name.removesuffix(_FILE) not in known:
                raise InvalidSettings(
                    f"{name} is not a setting{_meant(name, known)}; docs/console.md lists all of them."
                )
            if name in known and name + _FILE in self._given:
                raise InvalidSettings(f"{name} and {name}{_FILE} are both set; keep one of them.")
        return self.values(there, part=part)

    def values(self, items: Iterable[Field[Any]], target: str = "", *, part: str = "") -> dict[str, Any]:
        """What is given of some fields.

        Args:
            items: The fields; the type of a value is that of its default.
            target: Name of a target, for variables of its own.
            part: How the variables of a program of its own begin.
        """
        found: dict[str, Any] = {}
        for item in items:
            name = PREFIX + part + (target.upper() + SCOPE if target else "") + item.name.upper()
            if item.name in _KEPT_PATHS:
                if name in self._given:
                    found[item.name] = self._path(name)
            elif name in self._given or (name + _FILE in self._given and item.name + "_file" not in _KEPT_PATHS):
                found[item.name] = self._value(name, type(item.default), secret=item.metadata["secret"])
        return found

    def _path(self, variable: str) -> str:
        """A path whose file can be read now: a mistake in it is better told at start."""
        path: str = self._value(variable, str, secret=False)
        try:
            with Path(path).open(encoding="utf-8") as file:
                file.read(1)
        except (OSError, ValueError) as error:
            raise InvalidSettings(f"{variable}: {path!r} cannot be read ({type(error).__name__}).") from None
        return path

    def _value(self, variable: str, type_: type, *, secret: bool) -> Any:
        given = variable in self._given
        try:
            text = self._variables[variable] if given else Path(self._variables[variable + _FILE]).read_text("utf-8")
        except (OSError, ValueError):
            raise InvalidSettings(f"{variable}{_FILE} must name a file that can be read.") from None
        text = text.strip()
        if type_ in {str, tuple} and is_quoted(text):
            where = variable if given else f"{variable}{_FILE} names a file whose content"
            raise InvalidSettings(f"{where} begins with a quote; take the quotes off.")
        try:
            return _READ[type_](text)
        except ValueError:
            if not given:
                raise InvalidSettings(f"{variable}{_FILE} names a file whose content {_MUST[type_]}.") from None
            # A secret must not be quoted.
            quoted = "" if secret else f", not {text[:_MOST_QUOTED]!r}"
            raise InvalidSettings(f"{variable} {_MUST[type_]}{quoted}.") from None


def is_quoted(text: str) -> bool:
    """Whether a text stands in quotes: a shell takes them off; Docker's env files, and files of secrets, do not.

    Example:
        >>> is_quoted("'blnk_1'"), is_quoted("blnk_1'")
        (True, False)
    """
    return len(text) > 1 and text[0] in _QUOTES and text[-1] == text[0]


def _is_of(name: str, part: str) -> bool:
    """Whether a variable is of a program of its own; a target may be called like that, or begin so."""
    return name.startswith(PREFIX + part) and SCOPE not in name.removeprefix(PREFIX)


def _bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",")) if text else ()


#: Of each type of setting its value, from a text without blanks around it; a ValueError for what it cannot be.
_READ: dict[type, Callable[[str], Any]] = {bool: _bool, int: int, float: _float, tuple: _list, str: str}


#: First part of every environment variable of ours.
PREFIX = "BLNK_RELAY_"


def setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    """A field of a dataclass of settings.

    Args:
        default: Its default; its type is that of the setting.
        doc: What it means, for ``docs/settings.md``.
        secret: Never shown, neither by ``repr`` nor by an error.

    Returns:
        What ``dataclasses.field`` returns.
    """
    return field(default=default, metadata={"doc": doc, "secret": secret}, repr=not secret)
