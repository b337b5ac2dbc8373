"""A fixed address whose other end can be moved, as a load balancer or a floating address before a Redis is."""

from __future__ import annotations

import selectors
import socket
import threading


class Forwarder:
    """Forwards TCP connections to a port of this machine.

    Connections that there are stay with the server that they were made to, which is what makes a failover hard to see.

    Args:
        target: The port that new connections go to; may be changed at any time.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._cutting = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._cutting.is_set():
                self._cutting.clear()
                for key in list(self._selector.get_map().values()):
                    if key.fileobj is not self._listening:
                        self._selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
            for key, _ in self._selector.select(0.05):
                if key.fileobj is self._listening:
                    self._accept()
                else:
                    self._pass_on(key.fileobj, key.data)

    def _accept(self) -> None:
        near, _ = self._listening.accept()
        try:
            far = socket.create_connection(("127.0.0.1", self.target), 5)
        except OSError:
            near.close()
            return
        self._selector.register(near, selectors.EVENT_READ, far)
        self._selector.register(far, selectors.EVENT_READ, near)

    def _pass_on(self, source: socket.socket, destination: socket.socket) -> None:
        if source.fileno() < 0:
            return
        try:
            data = source.recv(65536)
            if data:
                destination.sendall(data)
                return
        except OSError:
            pass
        for one in (source, destination):
            self._selector.unregister(one)
            one.close()

    def cut(self) -> None:
        """Break every connection that there is; new ones are taken."""
        self._cutting.set()

    def stop(self) -> None:
        """Close everything."""
        self._stopping.set()
        self._thread.join(5)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()
