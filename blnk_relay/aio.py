"""AsyncRelay: the same surface as Relay for an event loop, for FastAPI and its kin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from blnk_relay.bell import Bells
from blnk_relay.errors import InvalidIntent, KeyConflict
from blnk_relay.intake import Receipt, Write, placed, prepare, prepare_many, receipts_of, split_by_target
from blnk_relay.intents.intent import DEFAULT_TARGET, Intent
from blnk_relay.journal.async_journal import AsyncJournal
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.events import AsyncEvents, Event
from blnk_relay.journal.journals import AsyncJournals
from blnk_relay.journal.parts import PartStatus
from blnk_relay.journal.status import Attempt, Status
from blnk_relay.relay import POLL_FIRST_S, POLL_MOST_S, StillOpen
from blnk_relay.settings import Settings

#: Threads that ring: bells are few, and bounded in time.
_RINGERS = 4


class AsyncRelay:
    """Takes payment writes off an async application's hands; every method does what its namesake in Relay does.

    Make one for each event loop. Ringing a lane goes through Celery, which is not async, so it runs in a thread of
    its own; it happens for a few of many intents, and is waited for no longer than Redis.

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
        self.journals = AsyncJournals(settings)
        # Of its own: those of the event loop may all be busy with what the application gave them.
        self._ringers = ThreadPoolExecutor(_RINGERS, "blnk-relay-bell")

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

    def journal(self, target: str = DEFAULT_TARGET) -> AsyncJournal:
        """The journal of a target.

        Raises:
            NotFound: The settings name no such target.
        """
        return self.journals.of(target)

    async def close(self) -> None:
        """Give the connections back."""
        # Whoever closes it twice, or rings once more, finds new threads: they are begun when they are needed.
        ringers, self._ringers = self._ringers, ThreadPoolExecutor(_RINGERS, "blnk-relay-bell")
        await asyncio.get_running_loop().run_in_executor(ringers, self.bells.close)
        ringers.shutdown(wait=False)
        await self.journals.close()

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
        return await self.journals.find(key, target)

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
                raise StillOpen(status, await self.journals.of(status.target).holdup(status))
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, POLL_MOST_S)

    async def cancel(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """Take an intent back that was never sent; see :meth:`blnk_relay.Relay.cancel`."""
        journal = await self.journals.holding(key, target)
        status, bells = await journal.cancel(key)
        await self._ring(journal.target, bells)
        return status

    async def history(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[Attempt, ...]:
        """What was tried for an intent; see :meth:`blnk_relay.Relay.history`."""
        status = await self.get(key, target=target)
        return await self.journals.of(status.target).history(status.id)

    async def parts(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[PartStatus, ...]:
        """What legs or items have come to; see :meth:`blnk_relay.Relay.parts`."""
        return await (await self.journals.holding(key, target)).parts(key)

    async def events(
        self, group: str, *, target: str = DEFAULT_TARGET, consumer: str = "main", timeout_s: float = 5.0
    ) -> AsyncIterator[Event]:
        """Final outcomes and operators' acts, as they happen; see :meth:`blnk_relay.Relay.events`."""
        async for event in AsyncEvents(self.journals.of(target), group, consumer).follow(timeout_s):
            yield event

    # ----------------------------------------------------------------------------------------------------------------

    async def _accept(self, entries: list[NewEntry]) -> list[Receipt]:
        by_target = split_by_target(entries)
        if len(by_target) == 1:
            return await self._record(next(iter(by_target)), entries)
        for target, positions in by_target.items():
            with placed(positions):
                await self.journals.of(target).check([entries[position] for position in positions])
        receipts: dict[int, Receipt] = {}
        for target, positions in by_target.items():
            with placed(positions):
                recorded = await self._record(target, [entries[position] for position in positions])
            receipts.update(zip(positions, recorded, strict=True))
        return [receipts[position] for position in range(len(entries))]

    async def _record(self, target: str, entries: list[NewEntry]) -> list[Receipt]:
        journal = self.journals.of(target)
        accepted, bells, durability = await journal.enqueue(entries)
        await self._ring(target, bells)
        await self.journals.note((target,))
        journal.weigh(durability)
        return receipts_of(entries, accepted, durability)

    async def _ring(self, target: str, lanes: Sequence[str]) -> None:
        """Ring lanes, and wait no longer for it than for Redis: what is recorded is done without it."""
        if lanes:
            ringing = asyncio.get_running_loop().run_in_executor(self._ringers, self.bells.ring, target, lanes)
            await asyncio.wait([ringing], timeout=self.settings.redis_timeout_s)
