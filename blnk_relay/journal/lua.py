"""The scripts on Redis: their sources, and running them over connections of their own."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from queue import Empty, Queue
from typing import Any

import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from blnk_relay.journal import shape
from blnk_relay.journal.connection import reported
from blnk_relay.transport.sockets import packed

#: How the first line of a script begins that needs more than the common head.
_USES = "-- uses: "

#: Lets a script write above ``maxmemory``: what workers and operators do is what makes room again. It has to be the
#: very first line, and needs Redis 7. Accepting has none, so that it is what a full server refuses first.
_ALLOW_OOM = "#!lua flags=allow-oom\n"
_REFUSED_WHEN_FULL = frozenset({"accept"})

#: Those that stand alone, without the head that all others share: what the server says of itself is no matter of the
#: journal's shape, and an upgrade goes on where everybody else is refused.
_ALONE = frozenset({"server", "upgrade"})


@cache
def script_source(name: str) -> str:
    """The text of a script, with its flags, the head that all share and the parts that its first line asks for.

    Only those, because every run of a script pays for all that is in it.
    """
    folder = files("blnk_relay.journal") / "scripts"
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    if name in _ALONE or name in shape.STEPS.values():
        return _ALLOW_OOM + text
    first = text.partition("\n")[0]
    parts = first.removeprefix(_USES).split(", ") if first.startswith(_USES) else []
    before = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", *parts))
    known = f"local OLDEST_SHAPE, NEWEST_SHAPE = {shape.OLDEST}, {shape.NEWEST}\n"
    return ("" if name in _REFUSED_WHEN_FULL else _ALLOW_OOM) + known + before + text


class Connections:
    """Connections of their own, kept between calls; for commands that are one request and one answer.

    To take one out of redis-py's pool and give it back, with its checks and counters, is a fifth of what an enqueue
    costs. What its check is for is met here by trying once more: a connection that the server has closed meanwhile.

    Args:
        client: Whose server they speak to.
        most: How many there may be.
        timeout_s: Longest wait for one when all are in use.
    """

    def __init__(self, client: redis.Redis, most: int, timeout_s: float) -> None:
        self._pool: Any = client.connection_pool
        self._most = most
        self._timeout_s = timeout_s
        self._begin()

    def _begin(self) -> None:
        self._idle: Queue[Any] = Queue()
        self._made = 0
        self._making = threading.Lock()
        self._pid = os.getpid()

    def call(self, *command: str | int) -> Any:
        """Send one command and wait for its answer, both bounded by the client's timeout.

        Raises:
            RedisError: As the client would; a dropped connection was tried once more.
        """
        if self._pid != os.getpid():
            # A forked child must not speak on its parent's connections.
            self._begin()
        connection = self._one()
        try:
            return self._exchange(connection, command)
        except RedisConnectionError:
            return self._exchange(connection, command)
        finally:
            self._idle.put(connection)

    def _one(self) -> Any:
        """One that is idle, or another one while there are not too many, or the first that is given back."""
        with suppress(Empty):
            return self._idle.get_nowait()
        with self._making:
            if self._made < self._most:
                connection = self._pool.connection_class(**self._pool.connection_kwargs)
                self._made += 1
                return connection
        try:
            return self._idle.get(timeout=self._timeout_s)
        except Empty:
            raise RedisConnectionError("all connections are in use") from None

    @staticmethod
    def _exchange(connection: Any, command: tuple[str | int, ...]) -> Any:
        try:
            # Packed here, because the client would look at every argument twice before it does the same.
            connection.send_packed_command([packed(command)])
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            # Whatever broke in, the next call must not take the answer to this one for its own.
            connection.disconnect()
            raise

    def close(self) -> None:
        """End those that are idle."""
        with suppress(Empty):
            while True:
                self._idle.get_nowait().disconnect()


@cache
def script_digest(name: str) -> str:
    """What a server knows a script by."""
    return hashlib.sha1(script_source(name).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """Runs our scripts by digest, for one journal.

    A server that does not know one is given its text in the place of the digest. To load it there first would take
    another connection, which may lead to another server by now.

    Args:
        client: For what is more than one command.
        connections: For what is one; to the same server.
        prefix: Of the journal's keys.
        variable: The setting that says where the server is, for messages.
    """

    def __init__(self, client: redis.Redis, connections: Connections, prefix: str, variable: str) -> None:
        self._client = client
        self._connections = connections
        self._prefix = prefix
        self._variable = variable

    def run(self, name: str, *args: str | int) -> Any:
        """Run one script in one trip.

        Raises:
            JournalUnavailable: Redis did not answer in time or refused.
        """
        with reported(name, self._variable):
            try:
                return self._connections.call("EVALSHA", script_digest(name), "1", self._prefix, *args)
            except NoScriptError:
                return self._connections.call("EVAL", script_source(name), "1", self._prefix, *args)

    def run_and_wait(self, name: str, waits: Sequence[tuple[str | int, ...]], *args: str | int) -> list[Any]:
        """Run one script, and WAIT or WAITAOF for it on the same connection, in one trip.

        Args:
            name: The script.
            waits: One such command, or several, each bounded by a timeout of its own.
            *args: Its arguments.

        Returns:
            What the script returned, and what each wait returned: an exception where the server does not know the
            command or has no append-only file.
        """
        with reported(name, self._variable):
            try:
                return self._pipe(("EVALSHA", script_digest(name), "1", self._prefix, *args), waits)
            except NoScriptError:
                return self._pipe(("EVAL", script_source(name), "1", self._prefix, *args), waits)

    def _pipe(self, command: tuple[str | int, ...], waits: Sequence[tuple[str | int, ...]]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for one in (command, *waits):
            pipeline.execute_command(*one)  # type: ignore[no-untyped-call]
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers
