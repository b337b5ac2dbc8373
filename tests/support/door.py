"""A door before a server: shut, its port refuses every connection; open, it lets bytes through both ways."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_CHUNK = 65_536


class Door:
    """A port of its own before another one.

    Attributes:
        leads_to: That other one.

    Args:
        port: Where it leads to, on loopback.
    """

    def __init__(self, port: int) -> None:
        self.leads_to = port
        self._through: list[socket.socket] = []
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._kept = self._bound(0)
        self.port: int = self._kept.getsockname()[1]

    @staticmethod
    def _bound(port: int) -> socket.socket:
        """A port that nobody else can take, and that refuses as long as nobody listens."""
        kept = socket.socket()
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", port))
        return kept

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let everybody through."""
        self._kept.listen(128)
        self._listening = self._kept
        threading.Thread(target=self._serve, args=(self._kept,), daemon=True).start()

    def shut(self) -> None:
        """Refuse everybody, and cut what is open."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
            with self._lock:
                for one in self._through:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                    one.close()
                self._through.clear()
            self._kept = self._bound(self.port)

    def close(self) -> None:
        """Give the port back."""
        self.shut()
        self._kept.close()

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                one, _ = listening.accept()
                other = socket.create_connection(("127.0.0.1", self.leads_to), 5)
            except OSError:
                return
            other.settimeout(None)
            with self._lock:
                self._through += [one, other]
            for pair in ((one, other), (other, one)):
                threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(_CHUNK):
                other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)
