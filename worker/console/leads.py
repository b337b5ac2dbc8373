"""What to do about something: in words, on which screen, and with which command in a terminal.

The library says it as one text, for a terminal. Here its command is told apart, so that a page shows it as one, beside
the screen where the same is done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Where the same is done as by a command, by how the command begins; the longest that fits counts.
SCREENS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "audit": ("/audit", "Audit"),
        "cancel": ("/intents", "Intents"),
        "dead": ("/letters", "Dead letters"),
        "dead summary": ("/problems", "Problems"),
        "dead summary --recount": ("/journals", "Journals"),
        "doctor": ("/doctor", "Doctor"),
        "encryption": ("/journals", "Journals"),
        "find": ("/find", "Find"),
        "history": ("/history", "History"),
        "jobs": ("/jobs", "Jobs"),
        "kinds": ("/kinds", "Kinds"),
        "lanes": ("/lanes", "Lanes and targets"),
        "list": ("/intents", "Intents"),
        "log": ("/actions", "Action log"),
        "pause": ("/lanes", "Lanes and targets"),
        "resume": ("/lanes", "Lanes and targets"),
        "show": ("/intents", "Intents"),
        "status": ("/", "Overview"),
        "target": ("/journals", "Journals"),
        "target rebind": ("/lanes", "Lanes and targets"),
        "upgrade": ("/journals", "Journals"),
        "workers": ("/workers", "Workers"),
    }
)

#: A command, in quotes or up to the next sign between sentences.
_COMMAND = re.compile(r"'(blnk-relay [^']+)'|(blnk-relay (?:[^;,']|'[^']*')+)")

#: What leads on to a command, and is left over without it.
_TOWARDS = re.compile(r"[\s;:,]*\b(?:see|or|with)?[\s;:,]*$")


@dataclass(frozen=True, slots=True)
class Lead:
    """What to do about something.

    Attributes:
        words: In words; may be empty.
        command: In a terminal; empty for none.
        screen: Path and name of the screen where the same is done; None where there is none.
    """

    words: str
    command: str = ""
    screen: tuple[str, str] | None = None


def lead(text: str, screen: tuple[str, str] | None = None) -> Lead:
    """Take a text apart.

    Args:
        text: What to do, as the library says it.
        screen: Where the same is done, if that is known.

    Example:
        >>> lead("put the credential right; see 'blnk-relay doctor --target eu'")
        Lead(words='put the credential right', command='blnk-relay doctor --target eu', screen=('/doctor', 'Doctor'))
    """
    found = _COMMAND.search(text)
    if found is None:
        return Lead(text, screen=screen)
    command = (found[1] or found[2]).strip()
    before, after = _TOWARDS.sub("", text[: found.start()]), text[found.end() :].strip(" ;,:")
    return Lead("; ".join(filter(None, (before, after))), command, screen or _screen(command))


def _screen(command: str) -> tuple[str, str] | None:
    said = command.removeprefix("blnk-relay ")
    fitting = [name for name in SCREENS if said == name or said.startswith(f"{name} ")]
    return SCREENS[max(fitting, key=len)] if fitting else None
