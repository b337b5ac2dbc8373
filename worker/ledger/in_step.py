"""Whether a refusal on a kept connection was said to the request that went before it, or to an earlier one.

A refusal names nothing of what was asked. Where a server, or what stands before it, has answered an earlier request of
the connection twice, the second answer may come after ours has left, and no byte of it tells. But a server answers in
the order in which it was asked (RFC 9112 §9.3.2): so one request more is made on the same connection, and its answer
has to be the next and the last thing that comes. It is a HEAD, whose answer has no body, and asks to be the last one:
an answer of ours that was still on its way has a body, or another answer behind it.
"""

from __future__ import annotations

import re
import socket
from typing import Any

from worker.ledger.deadlines import Exchange

#: Longest head of an answer that is read.
_MOST_BYTES = 65_536

_HEAD = re.compile(rb"HTTP/1\.[01] ([2-5][0-9]{2})[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n")


def is_in_step(connection: Any, target: str, host: str, exchange: Exchange) -> bool:
    """Ask once more on a connection that has just answered, and see that nothing but that answer comes.

    Never raises: whatever goes wrong, or takes longer than is left of the exchange, has shown nothing.

    Args:
        connection: Of urllib3, whose last answer has been read to its end; it is not used again.
        target: What a request line has to name.
        host: Of the ``Host`` header.
        exchange: Whose time is left for it.
    """
    sock: socket.socket | None = connection.sock
    if sock is None:
        # It was closed with the answer, so nothing more can be learned from it.
        return False
    try:
        sock.settimeout(exchange.left_s())
        sock.sendall(f"HEAD {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        got = b""
        while len(got) < _MOST_BYTES:
            sock.settimeout(exchange.left_s())
            more = sock.recv(_MOST_BYTES)
            if not more:
                return _HEAD.fullmatch(got) is not None
            got += more
            if (head := _HEAD.match(got)) is not None and head.end() < len(got):
                return False
    except OSError:
        return False
    return False
