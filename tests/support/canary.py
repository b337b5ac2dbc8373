"""A ledger between the worker and a sandbox that fails in a chosen way, and says back all that it was sent.

Each path is a target with a token of its own, by which a request is known. Reads go on to the sandbox, unless the path
is one of reads; of writes the path makes what it says. Whatever can hold a text in an answer holds what was sent.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
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
        form: ``json``, ``html``, ``hang``, ``reset``, ``cut``, ``crash`` (the kind's code, before it sends), ``judge``
            (after) or ``broken`` (what the journal holds is no JSON).
        stops: Whether such an answer stops the others, so that not all kinds get there.
    """

    status: int = 0
    code: str = ""
    form: str = "json"
    stops: bool = False

    @property
    def sent(self) -> bool:
        """Whether requests leave."""
        return self.form not in ("crash", "broken")


#: Every way in which an answer is judged differently, and every way in which there is none.
PATHS: Mapping[str, Path] = {
    "refused": Path(400, "TXN_VALIDATION_ERROR"),
    "codeless": Path(400),
    "token": Path(401, stops=True),
    "scope": Path(403, stops=True),
    "absent": Path(404),
    "conflict": Path(409),
    "unprocessed": Path(422),
    "slowed": Path(429, stops=True),
    "failed": Path(500),
    "gateway": Path(502),
    "away": Path(503, stops=True),
    "late": Path(504),
    "nonsense": Path(200),
    "page": Path(500, form="html"),
    "moved": Path(302),
    "silent": Path(form="hang"),
    "reset": Path(form="reset"),
    "cut": Path(200, form="cut"),
    "crash": Path(form="crash"),
    "judge": Path(500, form="judge"),
    "broken": Path(form="broken"),
}


class EchoingLedger:
    """Listens on this machine; keeps every write that it got, by the request id that it carried.

    Args:
        upstream: Where what is not played with goes.
        token: The token there.
        paths: The path of each token of ours.
    """

    def __init__(self, upstream: str, token: str, paths: Mapping[str, tuple[str, Path]]) -> None:
        written: dict[str, tuple[str, bytes]] = {}
        self.written = written
        self.over = over = threading.Event()
        address = urlsplit(upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                given = self.headers.get("Authorization", "").removeprefix("Bearer ")
                name, path = paths.get(given, ("", None))
                reads = self.command == "GET" or re.search("/(filter|search|lookup)", self.path)
                if path is None or reads:
                    self._forward(body)
                    return
                sent = self.path.encode() + b"\n" + body
                written[self.headers["X-Request-Id"]] = (name, sent)
                self._play(path, sent.decode("utf-8", "replace"))

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _do  # noqa: N815 - the library's names

            def _forward(self, body: bytes) -> None:
                connection = http.client.HTTPConnection(address, timeout=10)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                connection.request(self.command, self.path, body, headers | {"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                self._answer(answer.status, answer.read(), answer.getheader("Content-Type", "application/json"))
                connection.close()

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
                    "error_detail": {**told, "code": path.code or sent[:60]},
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
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


def _header(text: str) -> str:
    return "".join(char if 32 < ord(char) < 127 else "_" for char in text)[:2_000]


def fail_in(form: str, raising: Callable[[Any], str]) -> Callable[[Any, Any], Any]:
    """Wraps code of a kind: for targets whose path says so it raises what an intent holds.

    Args:
        form: ``crash`` or ``judge``.
        raising: The text of the exception, of the intent.
    """

    def wrapped(function: Any) -> Any:
        def failing(entry: Any, *args: Any) -> Any:
            if PATHS.get(entry.target, PATHS["refused"]).form == form:
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
