"""When an exchange may begin and by when it must be over, held at the socket itself: no drip, no freeze gets around it.

Timeouts of sockets count anew with each byte that comes. Here every wait for the network is given what is left of the
whole, headers included, on a clock that runs while this process is stopped (:func:`steady_s`).
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from typing import Any

from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.wait import wait_for_read

from blnk_relay.journal.clock import steady_s

#: The slowest pace at which a body is sent before the exchange is given up, in bytes a second: a tenth of the slowest
#: line that anybody would put a worker behind, and half of what uploads were seen to need (200 kB/s).
SLOWEST_BYTES_S = 100_000

#: Bytes of a body that need no time of their own: the kernel's buffers take them at once.
_AT_ONCE_BYTES = 128 * 1024

#: Bytes handed over in one go: one record of TLS, which is sent within one wait.
_SLICE = 16_384

#: Records of TLS itself that are read before a request: there are two tickets, as a rule.
_MOST_RECORDS = 16

#: What a length is; not what Python takes for a number.
_LENGTH = re.compile(r"[0-9]{1,18}")

_here = threading.local()


class TooLate(Exception):
    """The request was held back: its lease would not have seen it through."""


class SpokeFirst(ConnectionError):
    """The other side said something before it was asked, or hung up, so nothing was sent."""


def sending_s(size: int) -> float:
    """Time for sending a body of so many bytes, besides the time for its answer.

    Example:
        >>> sending_s(2_000), sending_s(4 * 1024 * 1024) > 40
        (0.0, True)
    """
    return max(0, size - _AT_ONCE_BYTES) / SLOWEST_BYTES_S


class Exchange:
    """The times of one request and its answer, in the thread that makes them.

    Args:
        connect_s: Longest time for a connection: all addresses of the host, tunnel and TLS together.
        size: Bytes of the body.
        read_s: Longest time for the answer.
        start_by_s: After that no first byte may leave; on :func:`steady_s`.

    Attributes:
        start_s: When it began.
        end_s: When what is going on now has to be over: the connection, and from the first byte on the whole exchange.
        begun: The first byte of the request may have left.
        again: Its connection has answered another request before.
        surplus: More bytes came than the answer has.
        spoilt: It came to no answer.
    """

    __slots__ = ("_read_s", "_start_by_s", "again", "begun", "end_s", "size", "spoilt", "start_s", "surplus")

    def __init__(self, connect_s: float, size: int, read_s: float, start_by_s: float) -> None:
        self.size, self._read_s, self._start_by_s = size, read_s, start_by_s
        self.start_s = steady_s()
        self.end_s = self.start_s + connect_s
        self.again = self.begun = self.surplus = self.spoilt = False

    def __enter__(self) -> None:
        _here.exchange = self

    def __exit__(self, *_: object) -> None:
        _here.exchange = None

    def begin(self) -> None:
        """The first byte is about to leave. Raises TooLate."""
        now_s = steady_s()
        if now_s > self._start_by_s:
            raise TooLate
        self.begun = True
        self.end_s = now_s + sending_s(self.size) + self._read_s

    def left_s(self) -> float:
        """Seconds left for what is going on. Raises TimeoutError."""
        now_s = steady_s()
        if now_s >= self.end_s:
            raise TimeoutError("timed out")
        return self.end_s - now_s


class _Incoming(io.RawIOBase):
    """What comes in on a socket, within the time of the exchange."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, exchange
        # urllib3 has just set the time for an answer, and of a small request next to nothing of it is gone: setting it
        # again is a call to the kernel for each request.
        self._set = exchange.begun and exchange.size <= _SLICE
        self.over = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.over:
            return 0
        left_s = self._exchange.left_s()
        if not self._set:
            self._sock.settimeout(left_s)
        self._set = False
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Buffered(io.BufferedReader):
    """The same, buffered; notices what is left in the buffer when the answer has been read."""

    def __init__(self, incoming: _Incoming, exchange: Exchange) -> None:
        super().__init__(incoming)
        self._incoming, self._exchange = incoming, exchange

    def close(self) -> None:
        if not self.closed:
            self._incoming.over = True
            self._exchange.surplus = bool(self.peek(1))
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        exchange = _here.exchange
        self.fp = _Buffered(_Incoming(self.fp.detach(), sock, exchange), exchange)

    def begin(self) -> None:
        """Read the head, and see that it leaves no doubt where the answer ends (RFC 9112 §6.3)."""
        super().begin()
        length = self.headers.get("content-length")
        if length is not None:
            if not _LENGTH.fullmatch(length):
                raise HTTPException("the length of the answer is not a number")
            if "transfer-encoding" in self.headers:
                # Chunks and a length: it ends where its reader thinks, so nothing may follow it.
                self.will_close = True


class _Timed:
    """What a connection does within the time of the exchange in its thread; goes before a class of urllib3."""

    #: Whether a second request may use it.
    kept = True
    response_class = _Answer
    sock: Any
    timeout: Any
    _dns_host: str
    _used_by: Exchange | None = None
    _served: Any = None
    _head: bytes | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it may be used again: never after what was no answer, or with bytes that nobody asked for."""
        before = self._used_by
        if not self.kept or (before is not None and (before.surplus or before.spoilt)):
            return False
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return False
        return bool(super().is_connected)  # type: ignore[misc]

    def endheaders(self, *args: Any, **kwargs: Any) -> None:
        """Send the head, with the body if there is one."""
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]
        # The same connection of urllib3 may have another socket by now.
        _here.exchange.again = self._served is self.sock
        self._served = self.sock
        self._used_by = _here.exchange
        self._head = b"" if _here.exchange.size else None
        super().endheaders(*args, **kwargs)  # type: ignore[misc]

    def send(self, data: bytes) -> None:
        """Send bytes, all of them within the time."""
        exchange: Exchange = _here.exchange
        if self._used_by is not exchange:
            # The head of a tunnel.
            self.sock.settimeout(exchange.left_s())
            self.sock.sendall(data)
            return
        if self._head == b"":
            # Held back until the body is there, so that a request leaves as a whole, or not at all.
            self._head = data
            return
        view = memoryview(self._head + data if self._head else data)
        self._head = None
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.version() is None:
            # Python makes a socket without TLS of a connection that was reset before the handshake, and says nothing.
            raise ConnectionError("the connection was gone before TLS was agreed on")
        if self._has_spoken():
            raise SpokeFirst("there was something to be read before anything was asked")
        # The very last moment. The time that urllib3 has set for sending does for what the kernel takes at once.
        exchange.begin()
        self.sock.sendall(view[:_SLICE])
        for at in range(_SLICE, len(view), _SLICE):
            self.sock.settimeout(exchange.left_s())
            self.sock.sendall(view[at : at + _SLICE])

    def _has_spoken(self) -> bool:
        """Whether there is an answer, or the end, before anything was asked; records of TLS itself are neither."""
        sock = self.sock
        if not isinstance(sock, ssl.SSLSocket):
            return wait_for_read(sock, timeout=0.0)
        before = sock.gettimeout()
        sock.settimeout(0.0)
        try:
            # One record at a time, of which the first are tickets for other connections.
            for _ in range(_MOST_RECORDS):
                if not sock.pending() and not wait_for_read(sock, timeout=0.0):
                    return False
                with suppress(ssl.SSLWantReadError):
                    sock.recv(1)
                    break
        finally:
            sock.settimeout(before)
        return True

    def _new_conn(self) -> socket.socket:
        """Connect to one address of the host after another, all within the time."""
        if hasattr(self, "_socks_options"):
            self.timeout = _here.exchange.left_s()
            return super()._new_conn()  # type: ignore[misc, no-any-return]
        name, error = self._dns_host, None
        try:
            addresses = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)  # type: ignore[attr-defined]
        except OSError as problem:
            raise NameResolutionError(name, self, problem) from problem  # type: ignore[arg-type]
        try:
            for address in dict.fromkeys(str(found[4][0]) for found in addresses):
                self._dns_host = address
                self.timeout = _here.exchange.left_s()
                try:
                    return super()._new_conn()  # type: ignore[misc, no-any-return]
                except (NewConnectionError, ConnectTimeoutError) as problem:
                    error = problem
        finally:
            self._dns_host = name
        raise error or NewConnectionError(self, "the host has no address")  # type: ignore[arg-type]

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        # TLS comes next, in one wait.
        self.sock.settimeout(_here.exchange.left_s())


def timed(pool: Any, *, kept: bool) -> Any:
    """Have a pool of urllib3 make connections that keep the time of the exchange they are used in.

    Args:
        pool: Of one host.
        kept: Whether a connection may serve more than one request.
    """
    pool.ConnectionCls = type("Timed" + pool.ConnectionCls.__name__, (_Timed, pool.ConnectionCls), {"kept": kept})
    return pool
