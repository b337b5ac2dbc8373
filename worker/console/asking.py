"""What a request asks for and what it is answered with, as values: screens and the API know nothing of HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from blnk_relay import Operator, RelayError
from worker.console.errands import Errands
from worker.console.settings import ConsoleSettings
from worker.console.signin.rights import Person, Right
from worker.console.signin.sessions import Session

#: Longest number that is read.
_MOST_DIGITS = 9

#: How something is asked for that is wanted or not: in a form, in a query, in JSON.
YES: tuple[object, ...] = ("yes", "true", True)


class NotAllowed(RelayError):
    """Whoever asks has not the right to it."""


class Broken(RelayError):
    """A fault of the console's own."""


class BadRequest(RelayError):
    """What was sent cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, of somebody who was let in.

    Attributes:
        operator: Does it all.
        errands: What takes longer than anybody waits.
        settings: The console's.
        person: Who asks.
        session: Of their browser; None for a script with a key.
        path: What stands in the path.
        query: What stands behind the question mark; of a name that stands twice the last.
        pairs: The same, each as often as it stands there.
        form: What was sent: fields of a form, or the members of a JSON object.
        root: Where the console is mounted, without a slash at the end.
        here: Path and query of the request, for links back to it.
        partly: Whether a page asks by itself, to renew a part of it.
    """

    operator: Operator
    errands: Errands
    settings: ConsoleSettings
    person: Person
    session: Session | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, Any] = field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    root: str = ""
    here: str = "/"
    partly: bool = False

    def need(self, right: Right, what: str) -> None:
        """Refuse somebody who has not a right.

        Args:
            right: The right.
            what: What it is needed for, as in "to discard dead letters".

        Raises:
            NotAllowed: They have it not.
        """
        if not self.person.may(right):
            raise NotAllowed(f"{what} takes the right {right.value!r}, which {self.person.name} does not have")

    def text(self, name: str, most: int = 500) -> str:
        """A field of a form, without blanks around it; empty where it is missing.

        Raises:
            BadRequest: It is too long, or no text.
        """
        value = self.form.get(name, "")
        if not isinstance(value, str):
            raise BadRequest(f"{name} must be text")
        if len(value.strip()) > most:
            raise BadRequest(f"{name} must not be longer than {most} characters")
        return value.strip()

    def number(self, name: str, about: str) -> int:
        """A number that somebody typed so as to say how many they mean, with or without marks between thousands.

        Raises:
            BadRequest: It is none.
        """
        given = self.form.get(name)
        typed = str(given) if type(given) is int else self.text(name).replace(",", "").replace(" ", "")
        if not typed.isdecimal():
            raise BadRequest(f"type the number of {about} that it is about, so that nobody acts on more than they mean")
        return int(typed[:_MOST_DIGITS])


@dataclass(frozen=True, slots=True)
class Page:
    """A page of HTML.

    Attributes:
        template: Its file in ``templates``.
        values: What it shows.
        status: Of HTTP.
    """

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Onward:
    """Something was done: go and look at a page.

    Attributes:
        path: Which, below the console's root.
        said: What to say there.
    """

    path: str
    said: str = ""


@dataclass(frozen=True, slots=True)
class Data:
    """One JSON object."""

    document: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Text:
    """Something that is neither, such as metrics."""

    text: str
    media_type: str
    status: int = 200


Answer = Page | Onward | Data | Text


class Handler(Protocol):
    """What answers a request; it runs in a thread."""

    def __call__(self, ask: Ask, /) -> Answer:
        """Answer it."""


@dataclass(frozen=True, slots=True)
class Door:
    """One thing that can be asked for.

    Attributes:
        method: ``GET``, which changes nothing, or ``POST``.
        path: Below the console's root, in Starlette's words.
        right: Needed to come in; a handler may need more, which it finds out itself.
        answer: Answers.
        api: Whether it is for scripts.
        about: For the description of the API: its summary, and the schemas of what goes in and out.
    """

    method: str
    path: str
    right: Right
    answer: Handler
    api: bool = False
    about: Mapping[str, Any] = field(default_factory=dict)


def link(root: str, path: str, **query: object) -> str:
    """An address of the console.

    Args:
        root: Where it is mounted.
        path: Which page; parts that come from elsewhere are quoted by :func:`part`.
        query: What is behind the question mark; None and empty values are left out.
    """
    kept = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{root}{path}" + (f"?{urlencode(kept)}" if kept else "")


def part(text: str) -> str:
    """A part of a path, whatever is in it."""
    return quote(text, safe="")
