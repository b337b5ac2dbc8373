"""A fixed address before a ledger, which can let answers through byte by byte."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress

#: Longest time in which one end of a connection says nothing, before it counts as left behind.
_SILENCE_S = 120.0


class Drip:
    """Forwards TCP connections to a port of this machine, answers as they come or drop by drop.

    Attributes:
        target: The port that new connections go to.
        share: Of the answers, how many drip.

    Args:
        seed: Decides which, and how slowly.
        longest_s: What the slowest answer takes; each is as likely to take any time below.
    """

    def __init__(self, seed: int, longest_s: float) -> None:
        self.target = 0
        self.share = 0.0
        self.dripped = 0
        self._rng = random.Random(seed)
        self._longest_s = longest_s
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="drip", daemon=True).start()

    @property
    def url(self) -> str:
        """Its address, without TLS."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._stopping.is_set():
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self.target), 5)
                except OSError:
                    near.close()
                    continue
                for one in (near, far):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    one.settimeout(_SILENCE_S)
                    self._open.add(one)
                for source, destination, drips in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass_on, args=(source, destination, drips), daemon=True).start()

    def _pass_on(self, source: socket.socket, destination: socket.socket, drips: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if drips and self._rng.random() < self.share:
                    self.dripped += 1
                    pause_s = self._rng.uniform(0, self._longest_s) / len(data)
                    for byte in data:
                        destination.sendall(bytes([byte]))
                        if self._stopping.wait(pause_s):
                            return
                else:
                    destination.sendall(data)
        for one in (source, destination):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
            self._open.discard(one)

    def stop(self) -> None:
        """Close everything."""
        self._stopping.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in list(self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
