"""Connections to Redis, for redis-py and for kombu: safe from signals, and not kept to a server that takes no writes.

Two things are done otherwise than by their base classes. hiredis packs an ``int`` or a ``float`` with
``PyObject_Repr``, which runs pending signal handlers, and goes on with a null pointer when one of them raises: a soft
time limit or Ctrl-C ends the process with a segmentation fault. So numbers become text before hiredis sees them. And a
server that says it takes no writes may have been replaced behind its address by one that does: the connection is ended,
and the call made once more on a new one, by the rules for a connection that dropped.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from hiredis import pack_command
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError

#: First words of the answers with which a server says that it does not take writes, or no longer. None of them has done
#: anything, so what met them may be sent again.
_TAKES_NO_WRITES = ("READONLY", "MASTERDOWN", "NOREPLICAS", "MISCONF", "UNBLOCKED")


class NotWritable(RedisConnectionError):
    """The server said that it does not take writes; the connection to it was ended."""


def packed(command: tuple[Any, ...]) -> bytes:
    """One command in Redis's protocol.

    Args:
        command: Text and bytes as they are, numbers by their digits.

    Raises:
        DataError: It holds something else.
    """
    safe: Any = tuple([str(part) if type(part) in (int, float) else part for part in command])
    try:
        return bytes(pack_command(safe))
    except TypeError as error:
        raise DataError(str(error)) from None


class _Packer:
    """How redis-py has its commands packed."""

    def pack(self, *command: Any) -> list[bytes]:
        # The name of a command may be several words, which the server expects as so many arguments.
        name = command[0].encode() if isinstance(command[0], str) else command[0]
        rest = (bytes(part) if isinstance(part, (bytearray, memoryview)) else part for part in command[1:])
        return [packed((*name.split(), *rest))]


def first_word(error: redis.RedisError) -> str:
    """The code that an answer of the server begins with, such as ``READONLY``; empty where there is none."""
    code: str = getattr(error, "status_code", None) or str(error).split(" ", 1)[0]
    return code if code.isupper() else ""


class _Careful:
    """What all of them share, beside a connection class of redis-py."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("command_packer", _Packer())
        super().__init__(*args, **kwargs)

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            if (word := first_word(error)) in _TAKES_NO_WRITES:
                self.disconnect()  # type: ignore[attr-defined]
                raise NotWritable(word) from None
            raise


class TcpConnection(_Careful, redis.Connection):
    """Over TCP."""


class TlsConnection(_Careful, redis.SSLConnection):
    """Over TCP with TLS."""


class SocketConnection(_Careful, redis.UnixDomainSocketConnection):
    """Over a socket file."""


def careful(base: type) -> type:
    """A connection class made as careful as ours; for those that a client makes by itself."""
    return type(base.__name__, (_Careful, base), {})


class _AsyncCareful:
    """The async counterpart of _Careful; redis-py packs its commands in Python, which signals do not harm."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except redis.ResponseError as error:
            if (word := first_word(error)) in _TAKES_NO_WRITES:
                await self.disconnect(nowait=True)  # type: ignore[attr-defined]
                raise NotWritable(word) from None
            raise


class AsyncTcpConnection(_AsyncCareful, redis.asyncio.Connection):
    """Over TCP."""


class AsyncTlsConnection(_AsyncCareful, redis.asyncio.SSLConnection):
    """Over TCP with TLS."""


class AsyncSocketConnection(_AsyncCareful, redis.asyncio.UnixDomainSocketConnection):
    """Over a socket file."""
