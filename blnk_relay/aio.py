"""AsyncRelay: the same surface as Relay on redis.asyncio, for FastAPI and its kin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from blnk_relay.bell import Bells
from blnk_relay.errors import InvalidIntent, KeyConflict
from blnk_relay.events import Event, event_flow, finish_flow
from blnk_relay.intake import Receipt, Write, prepare, prepare_many, receipts_of
from blnk_relay.intents.intent import DEFAULT_TARGET, Intent
from blnk_relay.journal.accept import accept_flow
from blnk_relay.journal.belonging import Belonging
from blnk_relay.journal.cancel import cancel_flow
from blnk_relay.journal.connection import pool_options, reported
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Ask, Flow, Run, T, Trip
from blnk_relay.journal.holdup import holdup_flow
from blnk_relay.journal.lua import script_digest, script_source
from blnk_relay.journal.parts import PartStatus, parts_flow
from blnk_relay.journal.server import FirstUse
from blnk_relay.journal.status import Attempt, Status, find_flow, history_flow
from blnk_relay.relay import POLL_FIRST_S, POLL_MOST_S, StillOpen
from blnk_relay.settings import Settings
from blnk_relay.transport.sockets import async_connection_class


class AsyncRelay:
    """Takes payment writes off an async application's hands; every method does what its namesake in Relay does.

    Make one for each event loop. Ringing a lane goes through Celery, which is not async, so it runs in a thread; it
    happens for a few of many intents, and never holds up a receipt's recording.

    Args:
        settings: See :class:`blnk_relay.settings.Settings`.

    Example:
        ::

            async with AsyncRelay.from_env() as relay:
                receipt = await relay.enqueue(intent, key="order-42")
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.bells = Bells(settings)
        self._belonging = Belonging(settings)
        self._first_use = FirstUse(settings)
        address = settings.journal_address
        retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
        self._client = redis.asyncio.Redis.from_pool(
            redis.asyncio.BlockingConnectionPool(
                connection_class=async_connection_class(address), retry=retry, **pool_options(settings, address)
            )
        )

    @classmethod
    def from_env(cls) -> Self:
        """A relay with the settings of the environment.

        Raises:
            InvalidSettings: A variable is malformed or contradicts another.
        """
        return cls(Settings.from_env())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await asyncio.to_thread(self.bells.close)
        await self._client.aclose()

    async def enqueue(
        self,
        intent: Intent,
        *,
        key: str | None = None,
        target: str = DEFAULT_TARGET,
        lane: str | None = None,
        not_before: datetime | timedelta | None = None,
        deadline: datetime | timedelta | None = None,
        after: Sequence[str] = (),
        order_key: str | None = None,
    ) -> Receipt:
        """Record an intent durably; see :meth:`blnk_relay.Relay.enqueue`."""
        write = Write(
            intent=intent,
            key=key,
            target=target,
            lane=lane,
            not_before=not_before,
            deadline=deadline,
            after=after,
            order_key=order_key,
        )
        try:
            return (await self._accept([prepare(self.settings, write)]))[0]
        except KeyConflict as conflict:
            conflict.index = None
            raise
        except InvalidIntent as error:
            raise InvalidIntent(error.kind, error.errors) from None

    async def enqueue_many(self, writes: Iterable[Intent | Write]) -> list[Receipt]:
        """Record many intents, in few trips; see :meth:`blnk_relay.Relay.enqueue_many`."""
        batch = prepare_many(self.settings, writes)
        try:
            return batch.receipts(await self._accept(batch.entries))
        except (KeyConflict, InvalidIntent) as error:
            raise batch.placed(error) from None

    async def get(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """What has become of an intent; see :meth:`blnk_relay.Relay.get`."""
        return await self._drive(find_flow(self.settings.prefix, key, target))

    async def wait(self, key: str, timeout_s: float, *, target: str = DEFAULT_TARGET) -> Status:
        """Wait until an intent is finished; see :meth:`blnk_relay.Relay.wait`."""
        end_s = time.monotonic() + timeout_s
        pause_s = POLL_FIRST_S
        while True:
            status = await self.get(key, target=target)
            if status.finished:
                return status
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise StillOpen(status, await self._drive(holdup_flow(self.settings.prefix, status)))
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, POLL_MOST_S)

    async def cancel(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """Take an intent back that was never sent; see :meth:`blnk_relay.Relay.cancel`."""
        status, bells = await self._drive(cancel_flow(self.settings, key, target))
        await self._ring(bells)
        return status

    async def history(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[Attempt, ...]:
        """What was tried for an intent; see :meth:`blnk_relay.Relay.history`."""
        status = await self.get(key, target=target)
        return await self._drive(history_flow(self.settings.prefix, status.id))

    async def parts(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[PartStatus, ...]:
        """What legs or items have come to; see :meth:`blnk_relay.Relay.parts`."""
        return await self._drive(parts_flow(self.settings.prefix, key, target))

    async def events(self, group: str, *, consumer: str = "main", timeout_s: float = 5.0) -> AsyncIterator[Event]:
        """Final outcomes and operators' acts, as they happen; see :meth:`blnk_relay.Relay.events`."""
        while True:
            end_s = time.monotonic() + timeout_s
            batch: list[Event] = []
            while not batch and (left_s := end_s - time.monotonic()) > 0:
                batch = await self._drive(event_flow(self.settings.prefix, group, consumer, left_s))
            if not batch:
                return
            for event in batch:
                yield event
                if not await self._drive(finish_flow(group, consumer, [event])):
                    break

    # ----------------------------------------------------------------------------------------------------------------

    async def _accept(self, entries: list[NewEntry]) -> list[Receipt]:
        if self._first_use.due:
            await self._drive(self._first_use.flow())
        if due := self._belonging.due(new.entry.target for new in entries):
            await self._drive(self._belonging.flow(due))
        accepted, bells, durability = await self._drive(accept_flow(self.settings, entries))
        await self._ring(bells)
        self._first_use.weigh(durability)
        return receipts_of(entries, accepted, durability)

    async def _ring(self, lanes: Iterable[str]) -> None:
        if lanes:
            await asyncio.to_thread(self.bells.ring, lanes)

    async def _drive(self, flow: Flow[T]) -> T:
        """Carry out a flow, trip by trip."""
        answer: Any = None
        while True:
            try:
                trip = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = await self._carry(trip)

    async def _carry(self, trip: Trip) -> Any:
        with reported(trip.name if isinstance(trip, Run) else ""):
            if isinstance(trip, Ask):
                pipeline = self._client.pipeline(transaction=len(trip.commands) > 1)
                for command in trip.commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute()
            try:
                return await self._run(trip, "EVALSHA", script_digest(trip.name))
            except NoScriptError:
                return await self._run(trip, "EVAL", script_source(trip.name))

    async def _run(self, trip: Run, command: str, script: str) -> Any:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command(command, script, 1, self.settings.prefix, *trip.args)
        if trip.wait:
            pipeline.execute_command(*trip.wait)
        answers = await pipeline.execute(raise_on_error=False)
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers if trip.wait else answers[0]
