"""Telling a story to a ledger: requests in order, with what came back for each.

A story never branches on an answer, so two ledgers hear the same one; what has not come yet is waited for, and only
the last answer of a wait is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import requests

#: Longest wait for what a ledger does by itself.
PATIENCE_S = 15.0

#: Between two looks of a wait.
PAUSE_S = 0.1

#: Longest wait for one answer: a Core waits three seconds for a lock.
ANSWER_S = 20.0

KEY_HEADER = "X-Blnk-Key"

#: Stands for an id where a ledger gave none, so that the story goes on.
NO_ID = "none_00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Exchange:
    """One request and what came back.

    Attributes:
        name: What the story calls it; unique in it.
        asked: Method and path.
        sent: The body.
        status: HTTP status; 0 where a story tells what our own code made of the answers.
        kind: Content type, without its parameters.
        location: Where a redirect leads.
        body: As received.
        loose: The order of the rows in it means nothing.
    """

    name: str
    asked: str
    sent: str
    status: int
    kind: str
    location: str
    body: str
    loose: bool = False


@dataclass
class Answer:
    """What a story may use of an answer."""

    status: int
    raw: bytes
    whole: requests.Response

    @property
    def document(self) -> Any:
        """The body as JSON; None when it is none."""
        try:
            return json.loads(self.raw)
        except ValueError:
            return None

    def id(self, *path: str | int) -> str:
        """An id in the body, by its path; :data:`NO_ID` when it is not there."""
        value = self.document
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return NO_ID
        return value if isinstance(value, str) else NO_ID


@dataclass
class Teller:
    """Tells one story to one ledger.

    Args:
        url: Base URL.
        key: Its master key.
        scene: A word that nothing else in that ledger uses.
    """

    url: str
    key: str
    scene: str
    heard: list[Exchange] = field(default_factory=list)
    #: Requests of each name so far, for numbers after it.
    counts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = requests.Session()
        # Nothing in the surroundings is to change a request.
        self.http.trust_env = False

    def name(self, word: str) -> str:
        """A reference, an indicator or a text of this scene alone."""
        return f"{word}.{self.scene}"

    def ask(
        self,
        name: str,
        asked: str,
        body: Any = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        files: Any = None,
        form: Mapping[str, str] | None = None,
        loose: bool = False,
    ) -> Answer:
        """Make one request.

        Args:
            name: What the story calls it.
            asked: Method and path, with its query.
            body: Bytes as they are, anything else as JSON; None for none.
            headers: Instead of the usual ones; None leaves one out.
            files: Parts of an upload.
            form: Its fields.
            loose: The order of the rows in the answer means nothing.
        """
        method, _, path = asked.partition(" ")
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given: dict[str, str | None] = {KEY_HEADER: self.key}
        if files is None:
            given["Content-Type"] = "application/json"
        whole = self.http.request(
            method,
            self.url + path,
            data=form if files is not None else sent or None,
            files=files,
            headers={**given, **(headers or {})},
            timeout=ANSWER_S,
            allow_redirects=False,
        )
        self.keep(name, asked, sent.decode(errors="replace"), whole, loose=loose)
        return Answer(whole.status_code, whole.content, whole)

    def keep(self, name: str, asked: str, sent: str, whole: requests.Response, *, loose: bool = False) -> None:
        """Write down what came back."""
        kind = whole.headers.get("Content-Type", "").partition(";")[0]
        location = whole.headers.get("Location", "")
        self._add(Exchange(name, asked, sent, whole.status_code, kind, location, whole.content.decode(), loose))

    def conclude(self, name: str, sentence: Mapping[str, Any]) -> None:
        """Write down what our own code made of it all."""
        self._add(Exchange(name, "", "", 0, "", "", json.dumps(sentence)))

    def until(
        self, name: str, asked: str, body: Any = None, *, holds: Callable[[Any], Any], loose: bool = False
    ) -> Answer:
        """Ask again and again until something holds of the document that comes back, or patience ends."""
        for answer in self.tries(lambda: self.ask(name, asked, body, loose=loose)):
            if answer.document is not None and holds(answer.document):
                return answer
        self.conclude(f"{name} was waited for in vain", {})
        return answer

    def tries(self, attempt: Callable[[], Any]) -> Iterator[Any]:
        """Attempt something, and again until the caller is content or patience ends; only the last one is kept."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            heard, counts = len(self.heard), dict(self.counts)
            yield attempt()
            if time.monotonic() > give_up:
                return
            del self.heard[heard:]
            self.counts = counts
            time.sleep(PAUSE_S)

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Ask without writing it down."""
        heard, counts = len(self.heard), dict(self.counts)
        yield
        del self.heard[heard:]
        self.counts = counts

    def _add(self, exchange: Exchange) -> None:
        count = self.counts[exchange.name] = self.counts.get(exchange.name, 0) + 1
        name = exchange.name if count == 1 else f"{exchange.name} {count}"
        self.heard.append(Exchange(**{**vars(exchange), "name": name}))


Telling = Callable[[Teller], None]


@dataclass(frozen=True)
class Story:
    """A named story.

    Attributes:
        name: ``area/subject``.
        tell: Tells it.
        blind: Ids are not told apart, and the numbers of legs neither: a Core deals them out at random.
        luck: Steps with the status that each has but for bad luck, after which the story is told anew: before 0.15.4
            one refund of a hundred in skip mode is answered 409 although it was made (findings part 15).
    """

    name: str
    tell: Telling
    blind: bool = False
    luck: Mapping[str, int] = field(default_factory=dict, hash=False)

    def unlucky(self, heard: Sequence[Exchange]) -> bool:
        """Whether a step ended otherwise than it mostly does."""
        return any(self.luck.get(one.name, one.status) != one.status for one in heard)


def row_is(status: str) -> Callable[[Any], bool]:
    """Whether a document is a row, or is about one row, of a status."""
    return lambda document: isinstance(document, dict) and document.get("status") == status
