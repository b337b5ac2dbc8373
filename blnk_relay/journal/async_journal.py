"""The journal for an event loop: what applications do with it, over the same flows as :class:`Journal`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from blnk_relay.address import RedisAddress
from blnk_relay.errors import OtherLoop
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.accept import Accepted
from blnk_relay.journal.cancel import cancel_flow
from blnk_relay.journal.connection import pool_options, reported
from blnk_relay.journal.enqueue import Enqueuing
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Ask, Flow, Run, T, Trip
from blnk_relay.journal.holdup import holdup_flow
from blnk_relay.journal.lua import script_digest, script_source
from blnk_relay.journal.parts import PartStatus, parts_flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Attempt, Status, find_flow, history_flow, status_flow
from blnk_relay.settings import Settings
from blnk_relay.transport.finding import async_connection_class


def async_client(settings: Settings, address: RedisAddress, prefix: str) -> redis.asyncio.Redis:
    """A client whose every wait is bounded; a burst of calls waits for its connections."""
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    return redis.asyncio.Redis.from_pool(
        redis.asyncio.BlockingConnectionPool(
            connection_class=async_connection_class(address), retry=retry, **pool_options(settings, address, prefix)
        )
    )


class OneLoop:
    """The event loop in which connections are used: each belongs to the one in which it was made."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """See that it is the one that runs.

        Raises:
            OtherLoop: It is another one.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise OtherLoop(
                "this AsyncRelay has its connections in another event loop: make one AsyncRelay for each loop, or "
                "close it in one before the next one uses it"
            )

    def leave(self) -> None:
        """Its connections were closed: any loop may use it next."""
        self._loop = None


class AsyncJournal:
    """The record of all intents for one ledger, on Redis; every method does what its namesake in :class:`Journal` does.

    Make one for each event loop.

    Args:
        settings: Where Redis is, and the numbers.
        target: Whose journal it is.
        client: To its Redis; one of its own when None.
        loop: The event loop of that client, which journals that share it share as well; its own when None.
    """

    def __init__(
        self,
        settings: Settings,
        target: str = DEFAULT_TARGET,
        client: redis.asyncio.Redis | None = None,
        loop: OneLoop | None = None,
    ) -> None:
        self.settings = settings
        self.target = target
        self.prefix = settings.prefix(target)
        address = settings.journal_address(target)
        self._variable = address.variable
        #: Hides and shows what its intents keep.
        self.seal = Seal(target, settings.keyring(target))
        self._enqueuing = Enqueuing(settings, target, address, self.seal)
        self._loop = loop or OneLoop()
        self._client = client or async_client(settings, address, self.prefix)

    async def enqueue(self, entries: Sequence[NewEntry]) -> tuple[list[Accepted], tuple[str, ...], str]:
        """Record what a producer enqueues; see :meth:`Journal.enqueue`."""
        return await self.drive(self._enqueuing.flow(entries))

    def weigh(self, durability: str) -> None:
        """Compare the durability that receipts have reached with that of the settings; see :meth:`Journal.weigh`."""
        self._enqueuing.weigh(durability)

    async def cancel(self, key_or_id: str) -> tuple[Status, list[str]]:
        """Take an intent back that was never sent; see :meth:`Journal.cancel`."""
        return await self.drive(cancel_flow(self.settings, self.seal, self.target, key_or_id))

    async def find(self, key_or_id: str) -> Status:
        """What is known under a key, or under an id; see :meth:`Journal.find`."""
        return await self.drive(find_flow(self.prefix, self.seal, self.target, key_or_id))

    async def status(self, id_: str) -> Status | None:
        """What is known of an intent, or None; see :meth:`Journal.status`."""
        return await self.drive(status_flow(self.prefix, self.seal, self.target, id_))

    async def history(self, id_: str) -> tuple[Attempt, ...]:
        """The log of an intent; see :meth:`Journal.history`."""
        return await self.drive(history_flow(self.prefix, id_))

    async def parts(self, key_or_id: str) -> tuple[PartStatus, ...]:
        """What the legs or items of an intent have come to; see :meth:`Journal.parts`."""
        return await self.drive(parts_flow(self.prefix, self.seal, self.target, key_or_id))

    async def holdup(self, status: Status) -> str:
        """What keeps an open intent; see :meth:`Journal.holdup`."""
        return await self.drive(holdup_flow(self.prefix, status))

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()
        self._loop.leave()

    async def check(self, entries: Sequence[NewEntry]) -> None:
        """Raise what enqueueing would because of what stands in the journal; see :meth:`Journal.check`."""
        await self.drive(self._enqueuing.check_flow(entries))

    async def drive(self, flow: Flow[T]) -> T:
        """Carry out a flow, trip by trip.

        Raises:
            OtherLoop: It was used in another event loop before.
        """
        self._loop.check()
        answer: Any = None
        while True:
            try:
                trip = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = await self._carry(trip)

    async def _carry(self, trip: Trip) -> Any:
        with reported(trip.name if isinstance(trip, Run) else "", self._variable):
            if isinstance(trip, Ask):
                pipeline = self._client.pipeline(transaction=trip.whole and len(trip.commands) > 1)
                for command in trip.commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute()
            try:
                return await self._run(trip, "EVALSHA", script_digest(trip.name))
            except NoScriptError:
                return await self._run(trip, "EVAL", script_source(trip.name))

    async def _run(self, trip: Run, command: str, script: str) -> Any:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command(command, script, 1, self.prefix, *trip.args)
        if trip.wait:
            pipeline.execute_command(*trip.wait)
        answers = await pipeline.execute(raise_on_error=False)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers if trip.wait else answers[0]
