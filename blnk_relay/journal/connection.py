"""The connection to Redis: bounded in time, with our scripts, and with errors of our own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from blnk_relay.errors import InvalidSettings, JournalUnavailable
from blnk_relay.settings import PREFIX, Settings

#: How the first line of a script begins that needs more than the common head.
_USES = "-- uses: "


@cache
def script_source(name: str) -> str:
    """The text of a script, with the head that all share and the parts that its first line asks for.

    Only those, because every run of a script pays for all that is in it.
    """
    folder = files("blnk_relay.journal") / "scripts"
    text = (folder / f"{name}.lua").read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    parts = first.removeprefix(_USES).split(", ") if first.startswith(_USES) else []
    return "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", *parts)) + text


def connect(settings: Settings) -> redis.Redis:
    """A client whose every wait is bounded.

    A dropped connection is tried once more at once, which is safe: every script either repeats without effect or
    leaves a lease that lapses. A timeout is not, so that a stuck server is reported within the timeout.

    Raises:
        InvalidSettings: The URL is none; it may hold a password, so it is not quoted.
    """
    try:
        return redis.Redis.from_url(
            settings.redis_url,
            decode_responses=True,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
            health_check_interval=0,
            client_name="blnk-relay",
        )
    except ValueError:
        raise InvalidSettings(
            f"{PREFIX}REDIS_URL is no URL of a Redis, such as redis://127.0.0.1:6379/0, rediss://… or unix://…"
        ) from None


@contextmanager
def reported() -> Iterator[None]:
    """Turn errors of Redis into ours."""
    try:
        yield
    except RedisError as error:
        raise unavailable(error) from error


def unavailable(error: RedisError) -> JournalUnavailable:
    """An error of Redis as ours; the text of the server is kept out, its kind is enough."""
    word = str(error).split(" ", 1)[0] if isinstance(error, redis.ResponseError) else ""
    return JournalUnavailable(
        f"the journal did not take it ({type(error).__name__}{' ' + word if word.isupper() else ''}): "
        "try again under the same key"
    )


class Connections:
    """Connections of the client's pool, kept between calls; for commands that are one request and one answer.

    To take one out of redis-py's pool and give it back, with its checks and counters, is a fifth of what an enqueue
    costs. What its check is for is met here by trying once more: a connection that the server has closed meanwhile.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._idle: list[Any] = []
        self._pid = os.getpid()

    def call(self, *command: str | int) -> Any:
        """Send one command and wait for its answer, both bounded by the client's timeout.

        Raises:
            RedisError: As the client would; a dropped connection was tried once more.
        """
        if self._pid != os.getpid():
            # A forked child must not speak on its parent's connections.
            self._idle, self._pid = [], os.getpid()
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._pool.get_connection()
        try:
            answer = self._exchange(connection, command)
        except RedisConnectionError:
            answer = self._exchange(connection, command)
        finally:
            self._idle.append(connection)
        return answer

    @staticmethod
    def _exchange(connection: Any, command: tuple[str | int, ...]) -> Any:
        try:
            # Packed here, because the client would look at every argument twice before it does the same.
            connection.send_packed_command([pack_command(command)])  # type: ignore[arg-type] # of any length
            return connection.read_response()
        except redis.ResponseError:
            raise
        except BaseException:
            # Whatever broke in, the next call must not take the answer to this one for its own.
            connection.disconnect()
            raise


class Scripts:
    """Runs our scripts by digest; a server that has forgotten one is taught it again."""

    def __init__(self, client: redis.Redis, prefix: str) -> None:
        self._client = client
        self._connections = Connections(client)
        self._prefix = prefix
        self._digests: dict[str, str] = {}

    def digest(self, name: str) -> str:
        """The digest of a script, loaded on first use."""
        known = self._digests.get(name)
        if known is None:
            known = self._digests[name] = str(self._client.script_load(script_source(name)))
        return known

    def run(self, name: str, *args: str | int) -> Any:
        """Run one script in one trip.

        Raises:
            JournalUnavailable: Redis did not answer in time or refused.
        """
        try:
            try:
                return self._connections.call("EVALSHA", self.digest(name), 1, self._prefix, *args)
            except NoScriptError:
                self._digests.pop(name, None)
                return self._connections.call("EVALSHA", self.digest(name), 1, self._prefix, *args)
        except RedisError as error:
            raise unavailable(error) from error

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
        with reported():
            self.digest(name)
            pipeline = self._client.pipeline(transaction=False)
            pipeline.evalsha(self.digest(name), 1, self._prefix, *args)
            for wait in waits:
                pipeline.execute_command(*wait)  # type: ignore[no-untyped-call]
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            if isinstance(answers[0], NoScriptError):
                self._digests.pop(name, None)
                return self.run_and_wait(name, waits, *args)
            if isinstance(answers[0], Exception):
                raise answers[0]
            return answers
