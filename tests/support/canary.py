"""A ledger between the worker and a sandbox that fails in a chosen way, and says back all that it was sent.

Each path is a target with a credential of its own, by which a request is known. Reads go on to the sandbox; of writes
the path makes what it says. Whatever can hold a text in an answer holds what was sent, the credential as well.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Path:
    """One way to fail.

    Attributes:
        status: Of the answer; 0 where there is none.
        code: Of the answer; empty: what was sent.
        form: ``json``, ``html``, ``hang``, ``reset``, ``cut``, ``done`` (all is, but who asked is not told), ``tls``
            (no certificate to be believed), ``crash`` (the kind's code, before it sends), ``judge`` (after), ``killed``
            (the worker, before it sends) or ``broken`` (what the journal holds is not what was recorded).
        once: Whether such an answer stops the others: the same again is refused, so that each gets there in its turn.
        proxied: Whether an HTTP proxy stands in between, which asks for a password of its own.
        login: ``key``; ``client`` of OAuth, or ``refused``: one whose refresh is.
        sealed: Whether what the journal holds is encrypted.
        tells: Events that are told because of it.
        letters: Class of the letters that come of it; empty where that differs.
    """

    status: int = 0
    code: str = ""
    form: str = "json"
    once: bool = False
    proxied: bool = False
    login: str = "key"
    sealed: bool = False
    tells: tuple[str, ...] = ()
    letters: str = ""

    @property
    def sent(self) -> bool:
        """Whether requests leave."""
        return self.form not in ("tls", "crash", "broken", "killed") and self.login != "refused"


#: The name under which the ledger is only known to the proxy of ``proxied`` paths.
BEHIND_PROXY = "http://ledger.example"

#: References in the body of a write.
_REFERENCE = re.compile(rb'"reference": ?"([^"]+)"')

#: Every way in which an answer is judged differently, and every way in which there is none.
PATHS: Mapping[str, Path] = {
    "refused": Path(400, "TXN_VALIDATION_ERROR", letters="refused"),
    "rejected": Path(500, form="done", letters="rejected"),
    "partial": Path(500, form="done", once=True, letters="partial"),
    "codeless": Path(400),
    "token": Path(401, once=True, tells=("paused", "resumed")),
    # What may not be written opens again by a write that may, and there is none here.
    "scope": Path(403, once=True, tells=("paused",)),
    "absent": Path(404),
    "conflict": Path(409),
    "unprocessed": Path(422),
    "slowed": Path(429, once=True),
    "failed": Path(500),
    "gateway": Path(502),
    "away": Path(503, once=True),
    "late": Path(504),
    "nonsense": Path(200),
    "page": Path(500, form="html"),
    "moved": Path(302),
    "silent": Path(form="hang"),
    "reset": Path(form="reset"),
    "cut": Path(200, form="cut"),
    "egress": Path(407, proxied=True),
    "tls": Path(form="tls", tells=("unreachable",)),
    "client": Path(400, login="client"),
    "login": Path(400, login="refused", tells=("token_refused",)),
    "sealed": Path(400, "TXN_VALIDATION_ERROR", sealed=True, letters="refused"),
    "crash": Path(form="crash", tells=("intent_failed",)),
    "judge": Path(500, form="judge", tells=("answer_unjudged",)),
    "broken": Path(form="broken", tells=("intent_failed",)),
    "tampered": Path(form="broken", sealed=True, tells=("intent_unverified",)),
    "killed": Path(form="killed", tells=("dead_letter",), letters="unknown"),
}


@dataclass(frozen=True)
class Login:
    """Who comes by a path, and with what.

    Attributes:
        name: Of the path.
        token: API key, or access token.
        client: Id of an OAuth client; its secret; the refresh tokens before and after.
    """

    name: str
    token: str
    client: str = ""
    secret: str = ""
    refresh: str = ""
    next_refresh: str = ""

    @property
    def secrets(self) -> set[str]:
        """What nobody must see."""
        return {self.token, self.secret, self.refresh, self.next_refresh} - {""}


class EchoingLedger:
    """Listens on this machine; keeps every write that it got, by the request id that it carried.

    Args:
        upstream: Where what is not played with goes.
        token: The token there.
        logins: Who comes.
    """

    def __init__(self, upstream: str, token: str, logins: Iterable[Login]) -> None:
        written: dict[str, tuple[str, bytes]] = {}
        self.written = written
        by_token = {login.token: login.name for login in logins}
        by_client = {login.client: login for login in logins if login.client}
        #: Ids of clients that asked for tokens.
        self.asked: set[str] = set()
        asked = self.asked
        seen: set[tuple[str, bytes]] = set()
        self.over = over = threading.Event()
        address = urlsplit(upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = self.headers.get("Authorization", "")
                shown = self.headers.get("Proxy-Authorization", "")
                self.path = self.path.removeprefix(BEHIND_PROXY)
                if self.path.endswith("/oauth/token"):
                    self._log_in(given, body)
                    return
                name = by_token.get(given.removeprefix("Bearer "))
                if name is None or self.command == "GET" or re.search("/(filter|search|lookup)", self.path):
                    self._forward(body)
                    return
                sent, path = self.path.encode() + b"\n" + body, PATHS[name]
                # What is left of a bulk is another request, whose items are known.
                items = {(name, item) for item in _REFERENCE.findall(body)} or {(name, sent)}
                if path.once and items <= seen:
                    path = PATHS["refused"]
                else:
                    written[self.headers["X-Request-Id"]] = (name, sent)
                seen.update(items)
                if path.form == "done":
                    self._ask(body).read()
                pair = base64.b64decode(shown.removeprefix("Basic ")).decode()
                # A code is the end of it, where what was shown stands whole.
                self._play(path, "\n".join(filter(None, (sent.decode("utf-8", "replace"), shown, pair, given))))

            def _log_in(self, given: str, body: bytes) -> None:
                pair = base64.b64decode(given.removeprefix("Basic ")).decode()
                login = by_client[pair.partition(":")[0]]
                asked.add(login.client)
                if PATHS[login.name].login == "client":
                    answer = {"access_token": login.token, "refresh_token": login.next_refresh, "expires_in": 3600}
                    self._answer(200, json.dumps(answer).encode())
                    return
                sent = f"{body.decode()}\n{given}\n{pair}"
                answer = {"error": sent, "error_description": sent, "access_token": sent, "message": sent}
                self._answer(400, json.dumps(answer).encode(), "", Path(400), sent)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do  # noqa: N815 - the library's names

            def _ask(self, body: bytes) -> http.client.HTTPResponse:
                connection = http.client.HTTPConnection(address, timeout=10)
                own = ("host", "content-length", "authorization", "proxy-authorization", "connection")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in own}
                headers |= {"Authorization": f"Bearer {token}", "Connection": "close"}
                connection.request(self.command, self.path, body, headers)
                return connection.getresponse()

            def _forward(self, body: bytes) -> None:
                answer = self._ask(body)
                self._answer(answer.status, answer.read(), answer.getheader("Content-Type", "application/json"))

            def _play(self, path: Path, sent: str) -> None:
                if path.form == "hang":
                    over.wait(30)
                if path.form in ("hang", "reset"):
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                told: dict[str, Any] = dict.fromkeys(("message", "id", "status", "reference", "detail"), sent)
                whole = {
                    **told,
                    "error": sent,
                    "errors": [sent],
                    "error_detail": {**told, "code": path.code or sent[-60:]},
                    "data": [told],
                }
                text = f"<html>{sent}</html>" if path.form == "html" else json.dumps(whole)
                self._answer(path.status, text.encode(), "text/html" if path.form == "html" else "", path, sent)

            def _answer(
                self, status: int, body: bytes, content_type: str = "", path: Path | None = None, sent: str = ""
            ) -> None:
                with contextlib.suppress(OSError):
                    self.send_response_only(status, None if path is None else _header(sent))
                    self.send_header("Content-Type", content_type or "application/json")
                    if path is not None:
                        for name in ("X-Request-Id", "Location", "Server", "WWW-Authenticate", "Set-Cookie"):
                            self.send_header(name, _header(sent))
                    if path is not None and path.form == "cut":
                        self.send_header("Content-Length", str(len(body) + 10))
                        self.end_headers()
                        self.wfile.write(body)
                        self.close_connection = True
                        return
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some paths are about."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _header(text: str) -> str:
    return "".join(char if 32 < ord(char) < 127 else "_" for char in text)[:2_000]


def fail_in(form: str, raising: Callable[[Any], str]) -> Callable[[Any, Any], Any]:
    """Wraps code of a kind: for targets whose path says so it raises what an intent holds.

    Args:
        form: ``crash``, ``judge`` or ``killed``.
        raising: The text of the exception, of the intent.
    """

    def wrapped(function: Any) -> Any:
        def failing(entry: Any, *args: Any) -> Any:
            its = PATHS.get(entry.target, PATHS["refused"]).form
            if its == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if its == form:
                try:
                    {}[raising(entry)]
                except KeyError as error:
                    raise ValueError(f"cannot take {raising(entry)}") from error
            return function(entry, *args)

        return failing

    return wrapped  # type: ignore[return-value]


def main() -> int:
    """A worker whose kinds fail as their targets say."""
    from blnk_relay import Settings
    from blnk_relay.kinds.registry import KINDS
    from worker.process import run_worker

    for kind in KINDS.values():
        for name, form in (("request", "crash"), ("judge", "judge")):
            wrap: Any = fail_in(form, lambda entry: f"{entry.payload} {entry.key} {entry.reference}")
            object.__setattr__(kind, name, wrap(getattr(kind, name)))
    return run_worker(Settings.from_env())


if __name__ == "__main__":
    raise SystemExit(main())
