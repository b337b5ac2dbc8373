"""The HTTP side: sockets, waits and connections that end badly. Decides nothing.

The only module that knows aiohttp.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from yarl import URL

from blnk_relay.sandbox import admin
from blnk_relay.sandbox.edge import upstream
from blnk_relay.sandbox.edge.exchange import Exchange
from blnk_relay.sandbox.faults.kinds import Delivery
from blnk_relay.sandbox.http.answers import Answer
from blnk_relay.sandbox.http.request import WireRequest
from blnk_relay.sandbox.instance import Instance
from blnk_relay.sandbox.options import MAX_BODY_BYTES

#: No fault delays an answer longer than this, whatever it asks for.
MAX_WAIT_S = 120.0

#: What is read and thrown away of a body that is too large, before the answer; then the client is cut off.
_MAX_DRAINED_BYTES = 64 * 1024 * 1024


#: A Core behind the edge is given up after this.
_UPSTREAM_TIMEOUT_S = 60.0

#: Connections to it.
_UPSTREAM_CONNECTIONS = 100


class Application:
    """Serves one instance over HTTP.

    Args:
        instance: Whom to serve.
        upstream_url: Base URL of a running Core that does the work; None for the imitated one.
    """

    def __init__(self, instance: Instance, upstream_url: str | None = None) -> None:
        self.instance = instance
        self._upstream_url = None if upstream_url is None else upstream_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.ServerRunner | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which the system chooses for 0."""
        if self._upstream_url is not None:
            self.instance.work_elsewhere()
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_UPSTREAM_TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=_UPSTREAM_CONNECTIONS),
                auto_decompress=True,
            )
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None), shutdown_timeout=1.0, handle_signals=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, backlog=1024)
        await site.start()
        self.instance.core.clock.on_earlier = self.wake
        self.wake()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Close every connection and forget what waits."""
        self._closing.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    def wake(self) -> None:
        """Arm the timer for the next thing that falls due on the instance's clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wait_s = self.instance.core.clock.seconds_to_next()
        if wait_s is not None and not self._closing.is_set():
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._run_due)

    def _run_due(self) -> None:
        self.instance.core.clock.run_due()
        self.wake()

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(incoming)
        except ConnectionResetError:
            # The client left in the middle, killed perhaps: there is nobody to answer, and nothing to report.
            return web.Response()

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = WireRequest(
            method=incoming.method,
            path=incoming.path,
            query=dict(incoming.query),
            headers={name.lower(): value for name, value in incoming.headers.items()},
            body=await _bounded_body(incoming, self._body_limit(incoming)),
        )
        if request.path.startswith(admin.PREFIX):
            answer = admin.handle(self.instance, request)
            self.wake()
            return _response(answer)
        edge = self.instance.edge
        exchange = edge.open(request)
        await self._wait(exchange.wait_before_s)
        answer = edge.act(exchange) if self._session is None else await self._ask(self._session, exchange)
        await self._wait(exchange.wait_after_s)
        edge.close(exchange, answer)
        return await _deliver(incoming, exchange, answer)

    async def _ask(self, session: aiohttp.ClientSession, exchange: Exchange) -> Answer:
        """Have the Core behind the edge do its work."""
        edge = self.instance.edge
        asked = upstream.plan(edge, exchange)
        if isinstance(asked, Answer):
            return edge.after(exchange, asked)
        url = URL(f"{self._upstream_url}{asked.path}", encoded=True)
        try:
            async with session.request(
                asked.method, url, headers=asked.headers, data=asked.body or None, allow_redirects=False
            ) as came:
                answer = upstream.arrived(came.status, came.headers, await came.read())
        except (aiohttp.ClientError, TimeoutError):
            return edge.after(exchange, upstream.unreachable())
        return edge.after(exchange, upstream.received(self.instance.core.options, asked, answer))

    def _body_limit(self, incoming: web.BaseRequest) -> int:
        multipart = incoming.content_type.startswith("multipart/")
        return self.instance.core.options.max_upload_bytes if multipart else MAX_BODY_BYTES

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        try:
            await asyncio.wait_for(self._closing.wait(), min(seconds, MAX_WAIT_S))
        except TimeoutError:
            return


async def _bounded_body(incoming: web.BaseRequest, limit: int) -> bytes:
    """The body, or just more than the limit of one that is too large."""
    if not incoming.body_exists:
        return b""
    chunks: list[bytes] = []
    size = 0
    async for chunk in incoming.content.iter_any():
        if size <= limit:
            chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_DRAINED_BYTES:
            break
    return b"".join(chunks)


def _response(answer: Answer) -> web.Response:
    headers: Mapping[str, str] = answer.headers
    return web.Response(status=answer.status, body=answer.body, headers=headers)


async def _deliver(incoming: web.BaseRequest, exchange: Exchange, answer: Answer) -> web.StreamResponse:
    if exchange.delivery is Delivery.SEND:
        return _response(answer)
    transport = incoming.transport
    response = web.StreamResponse(status=answer.status or 200, headers=dict(answer.headers))
    if exchange.delivery is Delivery.TRUNCATE and transport is not None:
        # More is promised than comes, as when a gateway dies half-way.
        response.content_length = len(answer.body) or 1
        await response.prepare(incoming)
        await response.write(answer.body[: len(answer.body) // 2])
        transport.close()
    elif transport is not None:
        transport.abort()
    return response
