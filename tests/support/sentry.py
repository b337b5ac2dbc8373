"""A Sentry of our own: takes envelopes over HTTP and keeps them as they came."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class FakeSentry:
    """Listens on loopback; every envelope that arrives is kept as text.

    Args:
        status: What it answers.
        headers: More that it answers.

    Attributes:
        open: Cleared, it takes requests and answers none of them until it is set.
    """

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        envelopes: list[str] = []
        gate = self.open = threading.Event()
        gate.set()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                gate.wait(30)
                envelopes.append(body.decode())
                with suppress(ConnectionError):  # whoever sent it may have given it up
                    self._answer()

            def _answer(self) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        self.envelopes = envelopes
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def dsn(self) -> str:
        """Where to send to, as Sentry writes it."""
        return f"http://public@127.0.0.1:{self._server.server_address[1]}/1"

    def events(self) -> list[dict[str, Any]]:
        """The events of all envelopes; other items, such as sessions, are left out."""
        found = []
        for envelope in self.envelopes:
            lines = envelope.splitlines()
            found += [
                json.loads(payload)
                for header, payload in zip(lines[1::2], lines[2::2], strict=False)
                if json.loads(header).get("type") == "event"
            ]
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.open.set()
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
