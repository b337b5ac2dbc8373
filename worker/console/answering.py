"""From answers to bytes: templates in which everything is escaped, and errors as pages and as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from blnk_relay import JournalUnavailable, NotFound, Refused, RelayError, TooLate, __version__
from worker.cli.output import amounts, clock, plain, several, span, stamp
from worker.console import charts
from worker.console.asking import Answer, Ask, BadRequest, Broken, Data, NotAllowed, Onward, Page, Text, link, part
from worker.console.hands import Busy, TooLong
from worker.console.leads import lead
from worker.console.signin.doorkeeper import Wait
from worker.console.signin.rights import Right

HERE = Path(__file__).parent

#: The screens that every page leads to, by path and name.
SCREENS = (
    ("/", "Overview"),
    ("/problems", "Problems"),
    ("/letters", "Dead letters"),
    ("/intents", "Intents"),
    ("/find", "Find"),
    ("/lanes", "Lanes"),
    ("/jobs", "Jobs"),
    ("/workers", "Workers"),
    ("/actions", "Action log"),
    ("/journals", "Journals"),
    ("/audit", "Audit"),
    ("/doctor", "Doctor"),
)

#: Longest text that is shown whole.
_MOST = 20_000

#: What went wrong, as a status of HTTP and a title.
_FAILURES: tuple[tuple[type[RelayError], int, str], ...] = (
    (NotAllowed, 403, "Not allowed"),
    (BadRequest, 400, "That cannot be used"),
    (NotFound, 404, "Not found"),
    (Wait, 429, "Too many wrong tries"),
    (Broken, 500, "The console has failed"),
    (JournalUnavailable, 503, "The journal cannot be reached"),
    (Busy, 503, "Too much to do"),
    (TooLong, 504, "That took too long"),
    (Refused, 409, "Refused"),
    (TooLate, 409, "Too late"),
)


def shown(value: object) -> object:
    """What any expression of a template comes to: text in which nothing moves, hides or turns round."""
    return value if isinstance(value, Markup) else plain(value, most=_MOST)


def lines(text: str) -> Markup:
    """Text of several lines."""
    return Markup("\n").join(escape(plain(line, most=_MOST)) for line in text.splitlines())


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago something was."""
    return "" if moment is None else f"{span((now - moment).total_seconds())} ago"


def _version_of(folder: Path) -> str:
    """Changes with the content of the static files, so that browsers may keep them."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


class Answers:
    """Makes responses."""

    def __init__(self) -> None:
        made = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=shown,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters |= {
            "clock": clock,
            "span": span,
            "several": several,
            "amounts": amounts,
            "lines": lines,
            "stamp": stamp,
            "part": part,
        }
        made.globals |= {"Right": Right, "version": __version__, "ago": ago, "charts": charts, "lead": lead}
        made.globals["screens"] = SCREENS
        made.globals["static_version"] = _version_of(HERE / "static")
        self._templates = made

    def html(self, page: Page, root: str, **more: object) -> Response:
        """A page for somebody who was not let in yet."""

        def url(path: str, **query: object) -> str:
            return link(root, path, **query)

        values = {"ask": None, "url": url, "root": root, "said": "", "live_path": "", **more, **page.values}
        return HTMLResponse(self._templates.get_template(page.template).render(values), page.status)

    def response(self, answer: Answer, ask: Ask) -> Response:
        """A response for somebody who was."""
        match answer:
            case Page():
                return self.html(answer, ask.root, ask=ask, said=_said(ask))
            case Onward():
                if ask.session is not None:
                    ask.session.said = answer.said
                return RedirectResponse(link(ask.root, answer.path), 303)
            case Data():
                return JSONResponse(dict(answer.document), answer.status)
            case Text():
                return Response(answer.text, answer.status, media_type=answer.media_type)

    def failure(self, error: RelayError, ask: Ask | None, root: str, *, as_json: bool) -> Response:
        """What went wrong, in a sentence."""
        status, title = next(
            ((status, title) for kind, status, title in _FAILURES if isinstance(error, kind)), (400, "Refused")
        )
        values: Mapping[str, Any] = {"title": title, "message": str(error), "status": status}
        if as_json:
            response = refusal(status, type(error).__name__, str(error))
        else:
            response = self.html(Page("failure.html", values, status), root, ask=ask)
        if isinstance(error, Wait):
            response.headers["Retry-After"] = str(error.seconds)
        return response


def refusal(status: int, kind: str, message: str) -> Response:
    """An error as JSON; the same words as on the command line."""
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004
    return JSONResponse({"error": {"type": kind, "message": message, "status": status}}, status, headers)


def pretty(payload: Mapping[str, Any]) -> str:
    """A payload for people."""
    return json.dumps(payload, indent=2, ensure_ascii=False)


def _said(ask: Ask) -> str:
    """What was done before this page; once."""
    if ask.session is None or ask.partly:
        return ""
    said, ask.session.said = ask.session.said, ""
    return said
