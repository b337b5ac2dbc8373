"""A door before a PostgreSQL that passes all on until it is told to fall silent: it is there, and says nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Longest step of a thread, so that it sees in time that all is over.
_STEP_S = 0.1


class Hush:
    """A TCP server on a port of its own, before another one on this machine.

    Args:
        port: Of the other one.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(_STEP_S)
        self.port: int = self._server.getsockname()[1]
        self._over = threading.Event()
        self._silent = threading.Event()
        self._trigger = b""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def at(self, trigger: bytes) -> None:
        """Fall silent once somebody says a text; it, and all that is said later, is never heard."""
        self._trigger = trigger

    def hush(self) -> None:
        """Fall silent now: who is connected hears nothing more, and who comes is let in and hears nothing."""
        self._silent.set()

    @property
    def is_silent(self) -> bool:
        """Whether it has fallen silent."""
        return self._silent.is_set()

    def speak(self) -> None:
        """Pass on what comes from here on; what was said meanwhile is gone, with its connection."""
        self._trigger = b""
        self._silent.clear()

    def close(self) -> None:
        """End it and all that is connected."""
        self._over.set()
        for thread in self._threads:
            thread.join(5)
        self._server.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._server.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._pass, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass(self, client: socket.socket) -> None:
        behind = socket.create_connection(("127.0.0.1", self._behind))
        with client, behind:
            back = threading.Thread(target=self._carry, args=(behind, client, False), daemon=True)
            back.start()
            self._carry(client, behind, True)
            back.join(5)

    def _carry(self, one: socket.socket, other: socket.socket, forth: bool) -> None:
        one.settimeout(_STEP_S)
        muted = False
        while not self._over.is_set():
            try:
                said = one.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not said:
                break
            if forth and self._trigger and self._trigger in said:
                self._silent.set()
            muted = muted or self._silent.is_set()
            if not muted:
                with suppress(OSError):
                    other.sendall(said)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@contextmanager
def hushing(port: int) -> Iterator[Hush]:
    """Such a door for as long as the block lasts."""
    door = Hush(port)
    try:
        yield door
    finally:
        door.close()
