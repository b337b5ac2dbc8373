"""A console that listens, and visitors who go there by HTTP, as browsers and as scripts."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from typing import Any

import requests
from starlette.applications import Starlette
from starlette.routing import Mount

from blnk_relay.journal.journals import Journals
from tests.support.waiting import wait_until
from worker.console.app import Console
from worker.console.serving import bound, server
from worker.console.settings import ConsoleSettings
from worker.console.signin.token import digest

TOKEN = "the-token-that-was-printed"  # noqa: S105 - of a test

#: Longest wait for one answer.
WAIT_S = 30.0

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


@dataclass(frozen=True)
class House:
    """A console that listens.

    Attributes:
        url: Where.
        console: The application.
    """

    url: str
    console: Console

    def visitor(self, **headers: str) -> Visitor:
        """Somebody who comes by for the first time."""
        return Visitor(self.url, headers)

    def let_in(self) -> Visitor:
        """Somebody who has signed in with the printed token."""
        visitor = self.visitor()
        answer = visitor.post("/signin", token=TOKEN)
        assert answer.status_code == 303, answer.text
        return visitor


@dataclass
class Visitor:
    """One browser, which keeps its cookies and follows nothing by itself."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update(self.headers)

    def get(self, path: str, **headers: str) -> requests.Response:
        """Ask for a page."""
        return self.session.get(self.url + path, headers=headers, allow_redirects=False, timeout=WAIT_S)

    def page(self, path: str) -> str:
        """The text of a page that there is, as somebody reads it who sees no tags."""
        answer = self.get(path)
        assert answer.status_code == 200, f"{answer.status_code} {readable(answer.text)}"
        return readable(answer.text)

    def form_token(self) -> str:
        """What stands in this visitor's forms."""
        found = _FORM_TOKEN.search(self.get("/").text)
        assert found, "no form on the page"
        return unescape(found[1])

    def post(self, path: str, headers: Mapping[str, str] | None = None, **fields: str) -> requests.Response:
        """Send a form just as it is given, from a page of the console."""
        return self.session.post(
            self.url + path,
            data=fields,
            headers={"Origin": "/".join(self.url.split("/")[:3]), "Sec-Fetch-Site": "same-origin", **(headers or {})},
            allow_redirects=False,
            timeout=WAIT_S,
        )

    def fill(self, path: str, **fields: str) -> requests.Response:
        """Load a page, fill in its form and send it to the same address."""
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', self.get(path).text))
        return self.post(path, **{name: unescape(value) for name, value in hidden.items()} | fields)

    def said(self, answer: requests.Response) -> str:
        """What the page says to which an answer sends somebody on."""
        assert answer.status_code == 303, f"{answer.status_code} {readable(answer.text)}"
        return self.page(answer.headers["Location"])


def readable(html: str) -> str:
    """A page without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@contextmanager
def listening(
    journals: Journals, settings: ConsoleSettings | None = None, *, holder: str = "ann", below: str = "", **options: Any
) -> Iterator[House]:
    """A console that listens on a free port for as long as the block runs; below a path, in another application."""
    ours = settings or ConsoleSettings(port=0)
    console = Console(journals, ours, printed=digest(TOKEN), holder=holder, **options)
    socket = bound(ours)
    application = Starlette(routes=[Mount(below, console)]) if below else console
    running = server(application, ours)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: running.started, WAIT_S, "the console to listen")
        yield House(f"http://127.0.0.1:{socket.getsockname()[1]}{below}", console)
    finally:
        running.should_exit = True
        thread.join(WAIT_S)
        console.close()
        socket.close()
        assert not thread.is_alive()
