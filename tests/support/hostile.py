"""A server that does with each of its connections what a test tells it to, down to the byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self


class HostileServer:
    """A listener on this machine.

    Args:
        plays: What is done with each connection, in a thread of its own; the last one is done with all that follow.
        receive_bytes: Size of the receive buffer, 0 for the system's.
        tls: What it shows of itself, where it speaks TLS. It never says that it has come to the end.
    """

    def __init__(
        self, *plays: Callable[[socket.socket], None], receive_bytes: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self._plays = list(plays)
        self._tls = tls
        self.connections = 0
        self._server = socket.socket()
        if receive_bytes:
            self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self._server.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            play = self._plays.pop(0) if len(self._plays) > 1 else self._plays[0]
            self.connections += 1
            threading.Thread(target=self._play, args=(play, connection), daemon=True).start()

    def _play(self, play: Callable[[socket.socket], None], connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                play(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                play(secured)


def read_request(connection: socket.socket) -> bytes:
    """One whole request, by its Content-Length; what has come where the other side hangs up."""
    got = b""
    while b"\r\n\r\n" not in got:
        if not (more := connection.recv(65_536)):
            return got
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0 and (more := connection.recv(65_536)):
        got, missing = got + more, missing - len(more)
    return got


def answer(body: bytes = b'{"ok": true}', status: str = "200 OK") -> bytes:
    """A whole answer that keeps the connection."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def dripping(pieces: Iterable[bytes], every_s: float = 0.05) -> Callable[[socket.socket], None]:
    """Read a request, then send one piece after another, each long before a timeout of its own would strike."""

    def play(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(every_s)

    return play


def answering(*answers: bytes) -> Callable[[socket.socket], None]:
    """Answer one request after another of a connection; then keep it open and say nothing."""

    def play(connection: socket.socket) -> None:
        for one in answers:
            read_request(connection)
            connection.sendall(one)
        read_request(connection)
        connection.recv(1)

    return play
