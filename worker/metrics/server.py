"""A small HTTP server beside the work of a worker: three paths, few requests at a time, and no trouble of its own.

What it cannot do, it says in the log; posting goes on. It runs in the first process of a worker, whatever the pool.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from blnk_relay.journal.health import Health
from blnk_relay.log import METRICS_AWAY
from worker.complaints import Complaints
from worker.metrics.exposition import Answer, Exposition
from worker.threads import ThreadStep

#: Requests that are answered at a time; others are turned away.
MOST_AT_ONCE = 16

#: Of these, who wait for what Redis says; the rest is for supervisors, who are told without it.
MOST_WAITING = 8

#: Longest wait for a request to arrive whole, and for its answer to be taken.
REQUEST_S = 5.0

#: How often it is tried to get a port that somebody else has: the worker before this one, as a rule.
AGAIN_S = 2.0

_log = logging.getLogger(__name__)


#: Before there is anything to be told.
_BEGINNING = Health(live=True, ready=False, why=("it has just begun",))


class _Handler(BaseHTTPRequestHandler):
    timeout = REQUEST_S
    server_version = "blnk-relay"
    sys_version = ""
    server: Server

    def do_GET(self) -> None:
        self.server.has_arrived(self.connection)
        answer = self.server.answer(self.path)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, *_: Any) -> None:
        """Nobody wants a line a scrape."""


class Server(ThreadingHTTPServer):
    """Listens, and answers a few at a time.

    Args:
        address: Host or address, and port.
        exposition: What is answered.

    Raises:
        OSError: It cannot listen there.
    """

    daemon_threads = True
    #: How often it is looked whether to stop.
    timeout = 0.2
    # Who comes while so many wait to be taken tries again a second later.
    request_queue_size = 2 * MOST_AT_ONCE
    # Some versions of Python would let two workers have one port, and the kernel choose between them at each scrape.
    allow_reuse_port = False
    # Whoever is being answered when the worker ends has had it.
    block_on_close = False

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        self.exposition = exposition
        self._room = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._waiting = threading.BoundedSemaphore(MOST_WAITING)
        self._arriving: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without asking for the name of this machine, which may take long where there are no names."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def serve_until(self, stop: threading.Event) -> None:
        """Answer until told to stop."""
        while not stop.is_set():
            self.handle_request()
            self._end_late()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection."""
        try:
            return super().get_request()
        except OSError:
            # No file is left for it, as a rule: it waits on, and to try at once again would take all of a processor.
            time.sleep(self.timeout)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread, if there is room for one."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._lock:
            self._arriving[request] = time.monotonic() + REQUEST_S
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._over(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """In that thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._over(request)

    def answer(self, path: str) -> Answer:
        """What is answered to a path."""
        if not path.startswith("/metrics"):
            return self.exposition.answer(path)
        if not self._waiting.acquire(blocking=False):
            return Answer(503, "text/plain; charset=utf-8", b"Too many ask for metrics at once; ask again.\n")
        try:
            return self.exposition.answer(path)
        finally:
            self._waiting.release()

    def has_arrived(self, request: socket.socket) -> None:
        """All of a request is there; its answer has limits of its own."""
        with self._lock:
            self._arriving.pop(request, None)

    def _over(self, request: socket.socket) -> None:
        self.has_arrived(request)
        self._room.release()

    def _end_late(self) -> None:
        """End what has not arrived in time: by itself the library waits so long for each bit of it."""
        now_s = time.monotonic()
        with self._lock:
            for request, end_s in self._arriving.items():
                if end_s <= now_s:
                    with suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: Any) -> None:
        """Who asked has gone away, or asks nonsense: that is no trouble of the worker's."""


class Front(ThreadStep):
    """Serves the metrics and the health of a worker, if a port is set; while somebody else has it, it tries again."""

    thread_name = "metrics"

    def _is_on(self) -> bool:
        return self._settings.metrics_port > 0

    def _longest_end_s(self) -> float:
        """So long that the port is free for the next one."""
        return REQUEST_S

    def _health(self) -> Health:
        presence = self._shared.presence
        return _BEGINNING if presence is None else presence.health()

    def _run(self) -> None:
        settings, complaints = self._settings, Complaints(_log)
        place = (settings.metrics_address, settings.metrics_port)
        exposition = Exposition(self._shared.relay.journals, self._shared.meter, self._health)
        while not self._stop.is_set():
            try:
                server = Server(place, exposition)
            except OSError as error:
                where, why = f"{place[0]} port {place[1]}", error.strerror or type(error).__name__
                complaints.say(METRICS_AWAY, why=where, error=why)
                self._stop.wait(AGAIN_S)
                continue
            # A process of the pool that is forked later must not keep the port.
            os.register_at_fork(after_in_child=server.socket.close)
            with server:
                server.serve_until(self._stop)
