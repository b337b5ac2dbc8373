"""All journals of a process: one for each target, with a prefix and a hash slot of its own, and by setting a Redis.

Nothing crosses targets: keys, references, orders, what waits for what, pauses and clocks belong to one journal. Those
on one Redis share its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from blnk_relay.address import RedisAddress
from blnk_relay.errors import JournalUnavailable, NotFound
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.references import is_digest
from blnk_relay.journal.async_journal import AsyncJournal, async_client
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.status import Status
from blnk_relay.journal.way import Way
from blnk_relay.settings import Settings


class Journals:
    """The journals of all targets, made when they are used first. Threads share them.

    Args:
        settings: Names the targets, and says where their journals are.

    Example:
        ::

            journals = Journals(Settings.from_env())
            journals.of("eu").find("order-42")
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, Journal] = {}
        self._ways: list[tuple[RedisAddress, str, Way]] = []
        self._noted: set[str] = set()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Journal]:
        """Those of the settings' targets."""
        return iter([self._journal(name) for name in self.settings.ledgers])

    def of(self, target: str) -> Journal:
        """The journal of a target.

        Raises:
            NotFound: The settings name no such target.
        """
        known = self._known.get(target)
        if known is not None and target in self.settings.ledgers:
            return known
        check_target(self.settings, target)
        return self._journal(target)

    def any_of(self, target: str) -> Journal:
        """The journal of a target, also of one that the settings no longer name.

        Raises:
            NotFound: No journal of such a target was ever used.
        """
        if target not in self.settings.ledgers and target not in self.unnamed():
            check_target(self.settings, target)
        return self._journal(target)

    def everywhere(self) -> list[Journal]:
        """Those of the settings' targets, and those of others that were ever used on the same servers."""
        return [*self, *(self._journal(name) for name in self.unnamed())]

    def unnamed(self) -> list[str]:
        """Targets that the settings do not name and that have a journal on a Redis of the settings.

        Raises:
            JournalUnavailable: None of the servers answered.
        """
        found: set[str] = set()
        failure: JournalUnavailable | None = None
        answered = False
        for way in self._index_ways():
            try:
                with reported():
                    names: Any = way.client.smembers(index_key(self.settings))
                found.update(names)
                answered = True
            except JournalUnavailable as error:
                failure = error
        if failure is not None and not answered:
            raise failure
        return sorted(found - self.settings.ledgers.keys())

    def note(self, targets: Iterable[str]) -> None:
        """Note that targets have journals, so that work for them is seen by whoever does not know their names.

        Once for each in a process; what cannot be noted now is noted the next time.
        """
        for target in targets:
            if target in self._noted:
                continue
            with suppress(JournalUnavailable), reported():
                way = self._way(self.settings.journal_address(target), index_prefix(self.settings))
                way.client.sadd(index_key(self.settings), target)
                self._noted.add(target)

    def forget_noted(self) -> None:
        """Note everything once more when it is next used: a Redis may have lost it."""
        self._noted.clear()

    def find(self, key_or_id: str, target: str = DEFAULT_TARGET) -> Status:
        """What is known under a key of a target, or under an id, whatever its target.

        Raises:
            NotFound: Nothing is known under either.
            JournalUnavailable: Redis did not answer.
        """
        try:
            return self.of(target).find(key_or_id)
        except NotFound:
            for name in others(self.settings, key_or_id, target):
                status = self._journal(name).status(key_or_id)
                if status is not None:
                    return status
            raise

    def holding(self, key_or_id: str, target: str = DEFAULT_TARGET) -> Journal:
        """The journal in which a key of a target, or an id, is to be looked for.

        Raises:
            NotFound: Nothing is known under it, or there is no such target.
            JournalUnavailable: Redis did not answer.
        """
        return self._journal(self.find(key_or_id, target).target) if is_digest(key_or_id) else self.of(target)

    def close(self) -> None:
        """Give the connections back."""
        for _, _, way in self._ways:
            way.close()

    def _journal(self, target: str) -> Journal:
        with self._lock:
            if target not in self._known:
                address, prefix = self.settings.journal_address(target), self.settings.prefix(target)
                self._known[target] = Journal(self.settings, target, self._way_to(address, prefix))
            return self._known[target]

    def _index_ways(self) -> list[Way]:
        addresses: list[RedisAddress] = []
        for name in self.settings.ledgers:
            address = self.settings.journal_address(name)
            if address not in addresses:
                addresses.append(address)
        return [self._way(address, index_prefix(self.settings)) for address in addresses]

    def _way(self, address: RedisAddress, prefix: str) -> Way:
        with self._lock:
            return self._way_to(address, prefix)

    def _way_to(self, address: RedisAddress, prefix: str) -> Way:
        slot = prefix if address.is_cluster else ""
        for known_address, known_slot, way in self._ways:
            if (known_address, known_slot) == (address, slot):
                return way
        way = Way(self.settings, address)
        self._ways.append((address, slot, way))
        return way


class AsyncJournals:
    """The journals of all targets for an event loop; see :class:`Journals`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, AsyncJournal] = {}
        self._clients: list[tuple[RedisAddress, str, Any]] = []
        self._noted: set[str] = set()

    def of(self, target: str) -> AsyncJournal:
        """The journal of a target.

        Raises:
            NotFound: The settings name no such target.
        """
        check_target(self.settings, target)
        if target not in self._known:
            client = self._client(self.settings.journal_address(target), self.settings.prefix(target))
            self._known[target] = AsyncJournal(self.settings, target, client)
        return self._known[target]

    async def note(self, targets: Iterable[str]) -> None:
        """Note that targets have journals; see :meth:`Journals.note`."""
        for target in targets:
            if target in self._noted:
                continue
            with suppress(JournalUnavailable), reported():
                client = self._client(self.settings.journal_address(target), index_prefix(self.settings))
                await client.sadd(index_key(self.settings), target)
                self._noted.add(target)

    async def find(self, key_or_id: str, target: str = DEFAULT_TARGET) -> Status:
        """What is known under a key of a target, or under an id; see :meth:`Journals.find`."""
        try:
            return await self.of(target).find(key_or_id)
        except NotFound:
            for name in others(self.settings, key_or_id, target):
                status = await self.of(name).status(key_or_id)
                if status is not None:
                    return status
            raise

    async def holding(self, key_or_id: str, target: str = DEFAULT_TARGET) -> AsyncJournal:
        """The journal in which a key of a target, or an id, is to be looked for; see :meth:`Journals.holding`."""
        return self.of((await self.find(key_or_id, target)).target) if is_digest(key_or_id) else self.of(target)

    async def close(self) -> None:
        """Give the connections back."""
        for _, _, client in self._clients:
            await client.aclose()

    def _client(self, address: RedisAddress, prefix: str) -> Any:
        slot = prefix if address.is_cluster else ""
        for known_address, known_slot, client in self._clients:
            if (known_address, known_slot) == (address, slot):
                return client
        client = async_client(self.settings, address)
        self._clients.append((address, slot, client))
        return client


def others(settings: Settings, key_or_id: str, target: str) -> list[str]:
    """Other targets in whose journals an id may be found: it says nothing of its target, while a key belongs to one."""
    return [name for name in settings.ledgers if name != target] if is_digest(key_or_id) else []


def check_target(settings: Settings, target: str) -> None:
    """See that a target is one of the settings'.

    Raises:
        NotFound: It is not.
    """
    if target not in settings.ledgers:
        raise NotFound(f"no target {target!r}; the settings name {', '.join(settings.ledgers)}")


def index_prefix(settings: Settings) -> str:
    """Of the one key that belongs to no journal."""
    return f"{{{settings.namespace}:v1}}:"


def index_key(settings: Settings) -> str:
    """The set of all targets that have a journal on a server."""
    prefix = index_prefix(settings)
    return f"{prefix}targets"
