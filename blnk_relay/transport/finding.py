"""Connections that find their server first: sentinels are asked for the primary, a cluster for the owner of a slot.

From then on each is a plain connection to one server, so that pools, pipelines and WAIT work as they do anywhere. A
journal lies in one slot of a cluster. When the slot has another owner the connection is ended, and the call made once
more on one that finds anew. While the slot moves from one node to another no redirection is followed: scripts reach
keys that they do not declare, and would see half a journal on either node.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from blnk_relay.address import SENTINEL, RedisAddress
from blnk_relay.transport.sockets import (
    AsyncSocketConnection,
    AsyncTcpConnection,
    AsyncTlsConnection,
    NotWritable,
    SocketConnection,
    TcpConnection,
    TlsConnection,
    first_word,
)

Place = tuple[str, int]

#: First words of the answers of a node that has the slot, or some of it, and cannot serve it now.
_AWAY = frozenset({"ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"})

#: Longest time for finding where the connection has no timeout of its own.
_LONGEST_S = 5.0


class ServerNotFound(RedisConnectionError):
    """Whoever was asked knows of no server; the text is a sentence of ours."""


class NotACluster(redis.ResponseError):
    """The address of a cluster leads to a server that is not part of one."""


class SlotAway(redis.ResponseError):
    """The journal's slot moves between nodes, or no node serves it; the text is the first word of the answer."""


class Finder:
    """Knows whom to ask for a server, and what they answered; one for each pool, shared by its connections.

    Args:
        address: Of sentinels, or of nodes of a cluster.
        prefix: First part of the keys that are meant, with their hash tag; of no interest to sentinels.
    """

    def __init__(self, address: RedisAddress, prefix: str = "") -> None:
        self._address = address
        self._slot = key_slot(prefix.encode())
        self._order: tuple[Place, ...] = address.hosts
        self.command: tuple[str, ...] = (
            ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
            if address.asks == SENTINEL
            else ("CLUSTER", "SLOTS")
        )

    @property
    def order(self) -> tuple[Place, ...]:
        """Whom to ask, one after the other."""
        return self._order

    @property
    def options(self) -> Mapping[str, Any]:
        """What a connection to one of them is made with, besides the place and timeouts."""
        found = dict(self._address.client_options())
        for name in ("db", "host", "port"):
            found.pop(name)
        if self._address.asks == SENTINEL:
            for name in ("username", "password"):
                found.pop(name, None)
                if value := getattr(self._address, f"sentinel_{name}"):
                    found[name] = value
        return {**found, "decode_responses": True, "client_name": None}

    def read(self, asked: Place, answer: Any) -> Place | None:
        """The server, by an answer; None where it is not known to the one that was asked."""
        place: Place | None = None
        if self._address.asks == SENTINEL:
            place = (answer[0], int(answer[1])) if answer else None
        else:
            for first, last, owner, *_ in answer:
                if int(first) <= self._slot <= int(last) and owner[0] != "?":
                    # Without a name it is whom we asked.
                    place = (owner[0] or asked[0], int(owner[1]))
        if place is not None:
            self._prefer(asked)
        return place

    def moved(self, to: Place) -> None:
        """Somebody named another owner, who is to be asked first."""
        self._prefer(to)

    def distrust(self, place: Place) -> None:
        """Ask this one last: it may be cut off from the others."""
        self._order = (*(one for one in self._order if one != place), *((place,) if place in self._order else ()))

    def _prefer(self, place: Place) -> None:
        # A new tuple, because threads share it.
        self._order = (place, *(one for one in self._address.hosts if one != place))

    def none(self, last: RedisError | None, *, late: bool) -> RedisError:
        """What to raise when nobody knew a server.

        Args:
            last: What came of the last question that was not answered.
            late: Whether one of them was not answered in time.
        """
        if late:
            return RedisTimeoutError("nobody who was asked for the server answered in time")
        if last is not None:
            return last
        if self._address.asks == SENTINEL:
            return ServerNotFound("no sentinel that was asked knows a primary of that service")
        return ServerNotFound("no node that was asked knows an owner of the journal's slot")


def _refused(error: RedisError) -> RedisError:
    """What somebody who was asked answered, by its meaning."""
    return NotACluster() if "cluster support disabled" in str(error) else error


def _shares(places: tuple[Place, ...], until_s: float) -> Iterator[tuple[Place, float]]:
    """Each of those to ask, with its share of the time that is left; as much is kept for the server."""
    for index, place in enumerate(places):
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            return
        yield place, left_s / (len(places) - index + 1)


class _Finds:
    """What sync and async connections share, before a connection class of ours."""

    finder: Finder
    socket_timeout: Any
    socket_connect_timeout: Any
    host: Any
    port: Any
    _asks_with: type

    def __init__(self, *args: Any, finder: Finder, **kwargs: Any) -> None:
        self.finder = finder
        super().__init__(*args, **kwargs)
        self._longest_s: float = self.socket_connect_timeout or self.socket_timeout or _LONGEST_S

    def _met(self, error: redis.ResponseError) -> tuple[RedisError, bool]:
        """What an answer means here, and whether the connection is to be ended."""
        if self.finder.command[0] != "CLUSTER":
            return error, False
        here: Place = (self.host, self.port)
        word = first_word(error)
        if isinstance(error, redis.exceptions.MovedError):
            self.finder.moved((error.host or here[0], error.port))
            return NotWritable("MOVED"), True
        word = "ASK" if isinstance(error, redis.exceptions.AskError) else word
        if word not in _AWAY:
            return error, False
        if word == "CLUSTERDOWN":
            self.finder.distrust(here)
        return SlotAway(word), word == "CLUSTERDOWN"


class _Finding(_Finds):
    """Beside a connection class of ours."""

    def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        if self._sock is not None:  # type: ignore[attr-defined]
            return
        until_s = time.monotonic() + self._longest_s
        self.host, self.port = self._find(until_s)
        self.socket_connect_timeout = max(until_s - time.monotonic(), 0.001)
        super().connect_check_health(*args, **kwargs)  # type: ignore[misc]

    def _find(self, until_s: float) -> Place:
        last, late = None, False
        for place, share_s in _shares(self.finder.order, until_s):
            connection: Any = self._asks_with(
                host=place[0],
                port=place[1],
                socket_timeout=share_s,
                socket_connect_timeout=share_s,
                **self.finder.options,
            )
            try:
                connection.send_command(*self.finder.command)
                found = self.finder.read(place, connection.read_response())
            except RedisError as error:
                last, late = _refused(error), late or isinstance(error, RedisTimeoutError)
            else:
                if found is not None:
                    return found
            finally:
                connection.disconnect()
        raise self.finder.none(last, late=late)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            met, ended = self._met(error)
            if ended:
                self.disconnect()  # type: ignore[attr-defined]
            if met is error:
                raise
            raise met from None


class FindingTcpConnection(_Finding, TcpConnection):
    """Over TCP, to a server that is found."""

    _asks_with = TcpConnection


class FindingTlsConnection(_Finding, TlsConnection):
    """Over TCP with TLS, to a server that is found."""

    _asks_with = TlsConnection


class _AsyncFinding(_Finds):
    """The async counterpart of _Finding."""

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        if self.is_connected:  # type: ignore[attr-defined]
            return
        until_s = time.monotonic() + self._longest_s
        self.host, self.port = await self._find(until_s)
        self.socket_connect_timeout = max(until_s - time.monotonic(), 0.001)
        await super().connect_check_health(*args, **kwargs)  # type: ignore[misc]

    async def _find(self, until_s: float) -> Place:
        last, late = None, False
        for place, share_s in _shares(self.finder.order, until_s):
            connection: Any = self._asks_with(host=place[0], port=place[1], **self.finder.options)
            try:
                async with asyncio.timeout(share_s):
                    await connection.send_command(*self.finder.command)
                    found = self.finder.read(place, await connection.read_response())
            except TimeoutError:
                late = True
            except RedisError as error:
                last, late = _refused(error), late or isinstance(error, RedisTimeoutError)
            else:
                if found is not None:
                    return found
            finally:
                await connection.disconnect(nowait=True)
        raise self.finder.none(last, late=late)

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            met, ended = self._met(error)
            if ended:
                await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            if met is error:
                raise
            raise met from None


class AsyncFindingTcpConnection(_AsyncFinding, AsyncTcpConnection):
    """Over TCP, to a server that is found."""

    _asks_with = AsyncTcpConnection


class AsyncFindingTlsConnection(_AsyncFinding, AsyncTlsConnection):
    """Over TCP with TLS, to a server that is found."""

    _asks_with = AsyncTlsConnection


_CLASSES: Mapping[str, type] = {"redis": TcpConnection, "rediss": TlsConnection, "unix": SocketConnection}
_FINDING: Mapping[str, type] = {"redis": FindingTcpConnection, "rediss": FindingTlsConnection}
_ASYNC_CLASSES: Mapping[str, type] = {
    "redis": AsyncTcpConnection,
    "rediss": AsyncTlsConnection,
    "unix": AsyncSocketConnection,
}
_ASYNC_FINDING: Mapping[str, type] = {"redis": AsyncFindingTcpConnection, "rediss": AsyncFindingTlsConnection}


def connection_class(address: RedisAddress) -> type:
    """The class of connections to an address, for redis-py; one that finds needs a :class:`Finder` as ``finder``."""
    return (_FINDING if address.asks else _CLASSES)[address.scheme]


def async_connection_class(address: RedisAddress) -> type:
    """The class of connections to an address, for redis.asyncio; the same holds."""
    return (_ASYNC_FINDING if address.asks else _ASYNC_CLASSES)[address.scheme]


def finding(base: type, address: RedisAddress) -> type:
    """A careful connection class, such as kombu makes, that finds its server."""
    asks_with = TlsConnection if address.secure else TcpConnection
    return type(base.__name__, (_Finding, base), {"_asks_with": asks_with})
