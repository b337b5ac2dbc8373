"""Connections: how long one may say nothing, how many there are, and what even those are told who come no further."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import h11
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Connections that are served at a time, streams among them.
MOST_CONNECTIONS = 400

#: How long the head of a request may take: from the beginning of a connection, and from the end of each answer.
HEAD_S = 10.0

#: How long what somebody still sends is thrown away who was told that it is no request.
LINGER_S = 2.0


class Wire(H11Protocol):
    """One connection.

    Args:
        *args: Of uvicorn's own.
        headers: What every answer carries.
        most: Connections at which the next request is told so.
        **kwargs: Of uvicorn's own.
    """

    def __init__(self, *args: Any, headers: Mapping[str, str], most: int = MOST_CONNECTIONS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers = headers
        self._most = most
        self._whole = self.app
        self._silent: asyncio.TimerHandle | None = None
        self._deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the head of the first request."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        super().connection_lost(exc)
        self._hear()

    def data_received(self, data: bytes) -> None:
        """Take in what has come, unless nothing more is listened to."""
        if not self._deaf:
            super().data_received(data)

    def handle_events(self) -> None:
        """Take in what has come."""
        full = max(len(self.connections), len(self.tasks)) >= self._most
        self.app = self._busy if full else self._whole
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the head of the next request."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Say that what came is no request of HTTP; the connection ends.

        Not at once: a connection that is closed with something unread is reset, and a reset takes the answer from who
        still sends. A request in whose middle it came ends as it does where a connection is lost, and one that has an
        answer gets no other.
        """
        self._deaf = True
        self._hear()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close"), *self._headers.items()]
        for event in (
            h11.Response(status_code=400, headers=headers, reason="Bad Request"),
            h11.Data(data=f"{msg}\n".encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.write_eof()
        self._silent = self.loop.call_later(LINGER_S, self.transport.close)

    async def _busy(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {**self._headers, "Connection": "close", "Retry-After": "5"}
        await PlainTextResponse("Too many connections; try again in a moment.\n", 503, headers)(scope, receive, send)

    def _watch(self) -> None:
        """Let a connection end on which nothing is under way; drops of a head keep it no longer."""
        if self._deaf:
            # Its end is set.
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._hear()
        elif self._silent is None and not self.transport.is_closing():
            self._silent = self.loop.call_later(HEAD_S, self.transport.close)

    def _hear(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None
