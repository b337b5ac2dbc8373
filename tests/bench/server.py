"""A fast HTTP server that plays the ledger in benchmarks: the same for every contestant, and cheap enough not to matter.

It answers POST /proxy/transactions with a queued 201 after a settable latency, keeps one row a reference, and answers
the Filters API from them. It counts what it received, so that losses and doubles can be counted too.

Run: python tests/bench/server.py --latency-ms 0      (prints its port)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

ROWS: dict[str, dict[str, Any]] = {}
COUNTS = {"posts": 0, "distinct": 0, "looks": 0, "connections": 0}
FIRST_POST_S: list[float] = []


class Ledger(asyncio.Protocol):
    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        COUNTS["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end]
            at = head.lower().find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            path = head.split(b" ", 2)[1]
            status, answer = self._answer(path, body)
            payload = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
                status,
                len(answer),
                answer,
            )
            if self._latency_s and path.startswith(b"/proxy"):
                asyncio.get_running_loop().call_later(self._latency_s, self._write, payload)
            else:
                self._write(payload)

    def _write(self, payload: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(payload)

    def _answer(self, path: bytes, body: bytes) -> tuple[bytes, bytes]:
        if path.startswith(b"/proxy/transactions"):
            sent = json.loads(body)
            reference = sent["reference"]
            COUNTS["posts"] += 1
            if len(FIRST_POST_S) < 2_000:
                FIRST_POST_S.append(asyncio.get_running_loop().time())
            if reference not in ROWS:
                COUNTS["distinct"] += 1
                ROWS[reference] = {
                    "transaction_id": f"txn_{COUNTS['distinct']:036d}",
                    "precise_amount": sent["precise_amount"],
                    "currency": sent["currency"],
                    "status": "APPLIED",
                }
            return b"201 Created", (
                b'{"transaction_id":"txn_00000000-0000-0000-0000-000000000000","reference":"%s","status":"QUEUED",'
                b'"precise_amount":%d}' % (reference.encode(), sent["precise_amount"])
            )
        if path.startswith(b"/transactions/filter"):
            COUNTS["looks"] += 1
            data = []
            for item in json.loads(body)["filters"]:
                for value in item.get("values") or [item.get("value")]:
                    row = ROWS.get(value.removesuffix("_q")) if value.endswith("_q") else None
                    if row is not None:
                        data.append({**row, "reference": value, "parent_transaction": "txn_parent"})
            return b"200 OK", json.dumps({"data": data, "total": len(data)}).encode()
        if path.startswith(b"/balances/filter"):
            return b"200 OK", b'{"data":[],"total":0}'
        if path == b"/counts":
            return b"200 OK", json.dumps({**COUNTS, "at_s": FIRST_POST_S}).encode()
        if path == b"/reset":
            ROWS.clear()
            FIRST_POST_S.clear()
            for name in COUNTS:
                COUNTS[name] = 0
            return b"200 OK", b"{}"
        return b"404 Not Found", b"{}"


async def serve(port: int, latency_s: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Ledger(latency_s), "127.0.0.1", port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.latency_ms / 1000))
