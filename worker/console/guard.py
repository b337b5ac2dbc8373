"""What every request has to pass and every response carries: hosts, sizes, and the headers that browsers obey."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.console.answering import refusal
from worker.console.hands import where_of
from worker.console.settings import LOOPBACK_NAMES, ConsoleSettings

#: Nothing is loaded but from here, nothing runs that stands in a page, and nobody puts us into a frame.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": then browsers would send forms from nowhere, and Origin could not be compared.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Robots-Tag": "noindex, nofollow",
}

#: Two years; only where browsers come by TLS.
_TLS_ONLY = "max-age=63072000"

#: Longest path with its query.
_MOST_TARGET = 8_192


_LOG = logging.getLogger("blnk_relay.console")

#: What is asked for by machines, which know us by an address alone: it shows nothing that a page could misuse.
LIVE, READY, METRICS = BARE = ("/healthz", "/readyz", "/metrics")


def carried(settings: ConsoleSettings) -> Mapping[str, str]:
    """The headers of every answer that nobody may keep."""
    secure = {"Strict-Transport-Security": _TLS_ONLY} if settings.secure else {}
    return {**HEADERS, "Cache-Control": "no-store", **secure}


class Guard:
    """Around all of the console.

    Args:
        app: The console.
        settings: Which hosts it is known by.
    """

    def __init__(self, app: ASGIApp, settings: ConsoleSettings) -> None:
        self._app = app
        self._headers = carried(settings)
        own = urlsplit(settings.url).hostname if settings.url else None
        self._hosts = frozenset({own} if own else {name.strip("[]") for name in LOOPBACK_NAMES})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # Their addresses change with their content.
        kept = scope["path"].removeprefix(scope.get("root_path", "")).startswith("/static/")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                if kept and message["status"] in (200, 304):
                    headers["Cache-Control"] = "max-age=3600"
            await send(message)

        if problem := self._problem(scope):
            await problem(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except Exception as error:  # noqa: BLE001 - it was answered; a server would print what it says, of whomever
            _LOG.error("the console failed: %s", where_of(error))

    def _problem(self, scope: Scope) -> Response | None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))

        def said(status: int, kind: str, sentence: str) -> Response:
            return refusal(status, kind, sentence) if path.startswith("/api/") else PlainTextResponse(sentence, status)

        if len(scope.get("raw_path") or b"") + len(scope.get("query_string", b"")) > _MOST_TARGET:
            return said(414, "TooLongAddress", "The address is too long.")
        if path in BARE:
            return None
        hosts = Headers(scope=scope).getlist("host")
        # A page elsewhere may have its name lead to this machine; it cannot change the host that a browser names.
        if len(hosts) != 1 or not self._ours(hosts[0]):
            known = "This console is not known by that host; BLNK_RELAY_CONSOLE_URL says by which."
            return said(421, "OtherHost", known)
        return None

    def _ours(self, host: str) -> bool:
        try:
            return urlsplit(f"//{host}").hostname in self._hosts
        except ValueError:
            return False


def same_origin(headers: Headers, settings: ConsoleSettings) -> bool:
    """Whether a page of ours sends something, as far as the browser says where it comes from."""
    site = headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    given = urlsplit(origin)
    if settings.url:
        own = urlsplit(settings.url)
        return (given.scheme, given.netloc.lower()) == (own.scheme, own.netloc.lower())
    return given.scheme in ("http", "https") and given.netloc.lower() == headers.get("host", "").lower()
