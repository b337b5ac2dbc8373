"""A fast HTTP server that plays the ledger in benchmarks: the same for every contestant, and cheap.

It answers POST /proxy/transactions with a queued 201 after a settable latency, keeps the two rows that a real ledger
would (the queued parent and its applied child, contract §3.4 S1), and answers the Filters API from them. It notes
when each reference came and when its outcome was first read back, by CLOCK_MONOTONIC, which all processes of a
machine share. It is one loop over epoll, because it shares two cores with what is measured: asyncio would take twice
the time for a request.

Run: python -m tests.bench.server --latency-ms 0      (prints its port)
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import sys
import time
from array import array
from collections import deque

#: One request of a contestant or of the harness; what is larger is somebody's mistake.
MAX_REQUEST_BYTES = 1 << 20

_RECEIVE_BYTES = 1 << 16
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_PAGE = re.compile(rb"[?&]page=(\d+)")

#: Id in the answer to a post: of the queued parent, which proves nothing.
_QUEUED = (
    b'{"transaction_id":"txn_%036d","parent_transaction":"","reference":"%s","status":"QUEUED","precise_amount":%d,'
    b'"precision":%d,"currency":"%s","source":"%s","destination":"%s","description":"%s","skip_queue":false,'
    b'"inflight":false,"allow_overdraft":false,"created_at":"2026-11-20T10:00:00.000000Z"}'
)

#: Columns of a row as reads show them.
_ROW = (
    b'{"transaction_id":"txn_%036d","parent_transaction":"%s","reference":"%s%s","status":"%s","amount":10.5,'
    b'"amount_string":"10.5","precise_amount":%d,"precision":%d,"rate":1,"currency":"%s","source":"%s",'
    b'"destination":"%s","description":"%s","hash":"","allow_overdraft":false,"overdraft_limit":0,"inflight":false,'
    b'"skip_queue":false,"atomic":false,"created_at":"2026-11-20T10:00:00.000000Z",'
    b'"effective_date":"0001-01-01T00:00:00Z","scheduled_for":"0001-01-01T00:00:00Z","meta_data":{}}'
)


class Transaction:
    """What is kept of one reference."""

    __slots__ = ("amount", "currency", "description", "destination", "number", "precision", "shown", "source")

    def __init__(self, sent: dict[str, object], number: int) -> None:
        self.number = number
        self.amount = sent["precise_amount"]
        self.precision = sent["precision"]
        self.currency = str(sent["currency"]).encode()
        self.source = str(sent["source"])
        self.destination = str(sent["destination"])
        self.description = str(sent["description"]).encode()
        self.shown = False

    def answer(self, reference: bytes) -> bytes:
        """The body of the 201."""
        values = (self.amount, self.precision, self.currency, self.source.encode(), self.destination.encode())
        return _QUEUED % (self.number * 2, reference, *values, self.description)

    def row(self, reference: bytes, *, child: bool) -> bytes:
        """The queued parent, or its applied child."""
        parent = b"txn_%036d" % (self.number * 2) if child else b""
        ending, status = (b"_q", b"APPLIED") if child else (b"", b"QUEUED")
        sides = (_balance_id(self.source).encode(), _balance_id(self.destination).encode())
        values = (self.amount, self.precision, self.currency, *sides, self.description)
        return _ROW % (self.number * 2 + child, parent, reference, ending, status, *values)


def _balance_id(side: str) -> str:
    return f"bln_{side[1:]:0>36}" if side.startswith("@") else side


class Ledger:
    """The rows, and what is counted."""

    def __init__(self) -> None:
        self.transactions: dict[str, Transaction] = {}
        self.posts = self.looks = self.connections = 0
        #: When each reference came first, and when its outcome was first read back, in the order of their coming.
        self.arrived_s = array("d")
        self.shown_s = array("d")

    def answer(self, path: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Status line and body for a request."""
        if path.startswith(b"/proxy/transactions"):
            return b"201 Created", self._post(json.loads(body))
        if path.startswith(b"/transactions/filter"):
            self.looks += 1
            page = _PAGE.search(path)
            return b"200 OK", self._rows(json.loads(body)) if page is None or page[1] == b"1" else _NO_ROWS
        if path.startswith(b"/balances/filter"):
            return b"200 OK", _balances(json.loads(body))
        if path == b"/counts":
            return b"200 OK", json.dumps(self._counts()).encode()
        if path == b"/times":
            times = {"arrived": list(self.arrived_s), "shown": list(self.shown_s)}
            return b"200 OK", json.dumps({"references": list(self.transactions), **times}).encode()
        return b"404 Not Found", b"{}"

    def _counts(self) -> dict[str, float]:
        return {
            "posts": self.posts,
            "distinct": len(self.transactions),
            "shown": len(self.shown_s),
            "looks": self.looks,
            "connections": self.connections,
        }

    def _post(self, sent: dict[str, object]) -> bytes:
        reference = str(sent["reference"])
        self.posts += 1
        known = self.transactions.get(reference)
        if known is None:
            self.arrived_s.append(time.monotonic())
            known = self.transactions[reference] = Transaction(sent, len(self.transactions))
        return known.answer(reference.encode())

    def _rows(self, asked: dict[str, list[dict[str, list[str]]]]) -> bytes:
        rows = []
        for value in asked["filters"][0]["values"]:
            reference = value.removesuffix("_q")
            known = self.transactions.get(reference)
            if known is not None:
                child = value.endswith("_q")
                rows.append(known.row(reference.encode(), child=child))
                if child and not known.shown:
                    known.shown = True
                    self.shown_s.append(time.monotonic())
        return b'{"data":[%s],"total":%d,"stats":{},"total_is_estimate":false}' % (b",".join(rows), len(rows))


_NO_ROWS = b'{"data":[],"total":0,"stats":{},"total_is_estimate":false}'


def _balances(asked: dict[str, list[dict[str, list[str]]]]) -> bytes:
    data = [
        {"balance_id": _balance_id(side), "indicator": side, "currency": "EUR"}
        for side in asked["filters"][0]["values"]
    ]
    return json.dumps({"data": data, "total": len(data)}).encode()


class Server:
    """One loop that accepts, reads, answers at once or when the latency is over."""

    def __init__(self, port: int, latency_s: float) -> None:
        self._latency_s = latency_s
        self._ledger = Ledger()
        self._poll = select.epoll()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._poll.register(self._listener, select.EPOLLIN)
        self._open: dict[int, tuple[socket.socket, bytearray]] = {}
        # The latency is the same for all, so answers fall due in the order in which they were made.
        self._due: deque[tuple[float, int, socket.socket, bytes]] = deque()
        self.port = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until killed."""
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else -1
            for number, _ in self._poll.poll(wait_s):
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._read(number)
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                _, number, connection, answer = self._due.popleft()
                self._write(number, connection, answer)

    def _accept(self) -> None:
        # Blocking, for it is only read when there is something, and answers fit the send buffer or wait a moment.
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open[connection.fileno()] = (connection, bytearray())
        self._poll.register(connection, select.EPOLLIN)
        self._ledger.connections += 1

    def _read(self, number: int) -> None:
        connection, buffer = self._open[number]
        try:
            data = connection.recv(_RECEIVE_BYTES)
        except OSError:
            data = b""
        if not data or len(buffer) > MAX_REQUEST_BYTES:
            self._close(number)
            return
        buffer += data
        while (end := buffer.find(_HEAD_END)) >= 0:
            length = _LENGTH.search(buffer, 0, end)
            whole = end + len(_HEAD_END) + (int(length[1]) if length else 0)
            if len(buffer) < whole:
                return
            path = bytes(buffer[: buffer.index(b"\r\n")]).split(b" ", 2)[1]
            body = bytes(buffer[end + len(_HEAD_END) : whole])
            del buffer[:whole]
            status, answer = self._ledger.answer(path, body)
            head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            self._answer(number, connection, path, head % (status, len(answer)) + answer)

    def _answer(self, number: int, connection: socket.socket, path: bytes, answer: bytes) -> None:
        if self._latency_s and not path.startswith((b"/counts", b"/times")):
            self._due.append((time.monotonic() + self._latency_s, number, connection, answer))
        else:
            self._write(number, connection, answer)

    def _write(self, number: int, connection: socket.socket, answer: bytes) -> None:
        known = self._open.get(number)
        if known is None or known[0] is not connection:
            return  # it hung up while it waited, and its number may be another's by now
        try:
            connection.sendall(answer)
        except OSError:
            self._close(number)

    def _close(self, number: int) -> None:
        connection, _ = self._open.pop(number)
        self._poll.unregister(number)
        connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    server = Server(options.port, options.latency_ms / 1000)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    server.run()
