"""All journals of a process: one for each target, with a prefix and a hash slot of its own, and by setting a Redis.

Nothing crosses targets: keys, references, orders, what waits for what, pauses and clocks belong to one journal. Those
on one Redis share its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from blnk_relay.address import RedisAddress
from blnk_relay.errors import JournalUnavailable, NotFound
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.references import is_digest
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.line import Line
from blnk_relay.journal.status import Status, check_key
from blnk_relay.settings import Settings

if TYPE_CHECKING:
    from blnk_relay.journal.async_journal import AsyncJournal

S = TypeVar("S")
T = TypeVar("T")

#: After a target could not be noted, producers do not try again for this long: in a cluster the set may be on a node
#: that is away while their journals are not, and workers note their targets anyway.
_NOTE_PAUSE_S = 60.0

#: Servers that are asked side by side whether they answer.
_SIDE_BY_SIDE = 16


@dataclass(slots=True)
class _Asked:
    """What is known of servers by now, by their clients: that they answer, or what was said of those that do not."""

    heard: set[object] = field(default_factory=set)
    silent: dict[object, JournalUnavailable] = field(default_factory=dict)


#: None outside of :func:`asked_once`.
_ASKED: ContextVar[_Asked | None] = ContextVar("_ASKED", default=None)


class _Connected(Generic[T]):
    """Connections to several servers, made once for each; in a cluster each hash slot counts as one."""

    def __init__(self, make: Callable[[RedisAddress, str], T]) -> None:
        self._make = make
        self._known: list[tuple[RedisAddress, str, T]] = []

    @property
    def all(self) -> list[T]:
        """Those that were made."""
        return [made for _, _, made in self._known]

    def to(self, address: RedisAddress, prefix: str) -> T:
        """Those to a server, for keys that begin so."""
        slot = prefix if address.is_cluster else ""
        for known_address, known_slot, made in self._known:
            if (known_address, known_slot) == (address, slot):
                return made
        made = self._make(address, prefix)
        self._known.append((address, slot, made))
        return made


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
        self._lines = _Connected(lambda address, prefix: Line(settings, address, prefix))
        self._noted: set[str] = set()
        self._note_after_s = float("-inf")
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
            NotFound: No journal of such a target was ever used on a Redis of the settings.
        """
        if target in self.settings.ledgers:
            return self._journal(target)
        for journal in self._unnamed():
            if journal.target == target:
                return journal
        raise no_target(self.settings, target)

    def everywhere(self) -> list[Journal]:
        """Those of the settings' targets, and those of others that were ever used on the same servers.

        Where nobody can tell of the others now, the named ones are to be had all the same.
        """
        unnamed: list[Journal] = []
        with suppress(JournalUnavailable):
            unnamed = self._unnamed()
        return [*self, *unnamed]

    def unnamed(self) -> list[str]:
        """Targets that the settings do not name and that have a journal on a Redis of the settings.

        Raises:
            JournalUnavailable: None of the servers answered.
        """
        return [journal.target for journal in self._unnamed()]

    def unnamed_beside(self, target: str) -> list[Journal]:
        """Journals of such targets on the Redis that keeps the journal of this one.

        Raises:
            JournalUnavailable: It did not answer.
        """
        return self._unnamed_on(self._index(target))

    def left_beside(self, target: str) -> list[Journal]:
        """Journals on the Redis of this target's that the settings have elsewhere: from before an address was changed.

        Raises:
            JournalUnavailable: It did not answer, or the Redis on which one of them is now did not.
        """
        index = self._index(target)
        moved = [
            Journal(self.settings, name, self._line(index.address, self.settings.prefix(name)))
            for name in sorted(self._noted_on(index) & self.settings.ledgers.keys())
            if self.settings.journal_address(name) != index.address
        ]
        # Two addresses may lead to one Redis.
        return [journal for journal in moved if journal.epoch() != self.of(journal.target).epoch()]

    def _index(self, target: str) -> Line:
        """The line to where it is noted which targets have journals on the Redis of this one's."""
        return self._line(self.settings.journal_address(target), index_prefix(self.settings))

    def _noted_on(self, index: Line) -> set[str]:
        with reported(variable=index.address.variable):
            names: Any = index.client.smembers(index_key(self.settings))
        return set(names)

    def _unnamed_on(self, index: Line) -> list[Journal]:
        names = self._noted_on(index) - self.settings.ledgers.keys()
        return [self._journal(name, index.address) for name in sorted(names)]

    def _unnamed(self) -> list[Journal]:
        read = reached((self._index(targets[0]) for targets in by_server(self.settings)), self._unnamed_on)
        return list({journal.target: journal for _, found in reversed(read) for journal in found}.values())

    def note(self, targets: Iterable[str]) -> None:
        """Note that targets have journals, so that work for them is seen by whoever does not know their names.

        Once for each in a process; what cannot be noted now is noted some time later, and nobody waits for that.
        """
        for target in targets:
            if target not in self._noted:
                if self._note_after_s > steady_s():
                    return
                try:
                    self.note_again((target,))
                except JournalUnavailable:
                    self._note_after_s = steady_s() + _NOTE_PAUSE_S

    def note_again(self, targets: Sequence[str]) -> None:
        """Note targets whose journals are on one Redis, whether that was done before or not.

        Raises:
            JournalUnavailable: It did not answer.
        """
        line = self._index(targets[0])
        with reported(variable=line.address.variable):
            line.client.sadd(index_key(self.settings), *targets)
        self._noted.update(targets)

    def find(self, key_or_id: str, target: str = DEFAULT_TARGET) -> Status:
        """What is known under a key of a target, or under an id, whatever its target.

        Raises:
            NotFound: Nothing is known under either.
            JournalUnavailable: Redis did not answer.
        """
        check_key(key_or_id)
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
        check_key(key_or_id)
        return self._journal(self.find(key_or_id, target).target) if is_digest(key_or_id) else self.of(target)

    def close(self) -> None:
        """Give the connections back."""
        with ExitStack() as stack:
            for line in self._lines.all:
                # All of them, also where one cannot be closed.
                stack.callback(line.close)

    def _journal(self, target: str, address: RedisAddress | None = None) -> Journal:
        place = address or self.settings.journal_address(target)
        with self._lock:
            if target not in self._known:
                line = self._lines.to(place, self.settings.prefix(target))
                self._known[target] = Journal(self.settings, target, line)
            return self._known[target]

    def _line(self, address: RedisAddress, prefix: str) -> Line:
        with self._lock:
            return self._lines.to(address, prefix)


class AsyncJournals:
    """The journals of all targets for an event loop; see :class:`Journals`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._known: dict[str, AsyncJournal] = {}
        # Here and below, because an event loop's half of the client takes a while to import.
        from blnk_relay.journal.async_journal import OneLoop, async_client

        self._loop = OneLoop()

        self._clients = _Connected(lambda address, prefix: async_client(settings, address, prefix))
        self._noted: set[str] = set()
        self._note_after_s = float("-inf")

    def of(self, target: str) -> AsyncJournal:
        """The journal of a target.

        Raises:
            NotFound: The settings name no such target.
        """
        check_target(self.settings, target)
        if target not in self._known:
            from blnk_relay.journal.async_journal import AsyncJournal

            client = self._clients.to(self.settings.journal_address(target), self.settings.prefix(target))
            self._known[target] = AsyncJournal(self.settings, target, client, self._loop)
        return self._known[target]

    async def note(self, targets: Iterable[str]) -> None:
        """Note that targets have journals; see :meth:`Journals.note`."""
        for target in targets:
            if target in self._noted or self._note_after_s > steady_s():
                continue
            try:
                address = self.settings.journal_address(target)
                with reported(variable=address.variable):
                    client = self._clients.to(address, index_prefix(self.settings))
                    await client.sadd(index_key(self.settings), target)
                    self._noted.add(target)
            except JournalUnavailable:
                self._note_after_s = steady_s() + _NOTE_PAUSE_S

    async def find(self, key_or_id: str, target: str = DEFAULT_TARGET) -> Status:
        """What is known under a key of a target, or under an id; see :meth:`Journals.find`."""
        check_key(key_or_id)
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
        check_key(key_or_id)
        return self.of((await self.find(key_or_id, target)).target) if is_digest(key_or_id) else self.of(target)

    async def close(self) -> None:
        """Give the connections back."""
        async with AsyncExitStack() as stack:
            for client in self._clients.all:
                stack.push_async_callback(client.aclose)
            stack.callback(self._loop.leave)


def by_server(settings: Settings) -> list[list[str]]:
    """Targets by the Redis that keeps their journals."""
    found: list[tuple[RedisAddress, list[str]]] = []
    for target in settings.ledgers:
        address = settings.journal_address(target)
        names = next((names for known, names in found if known == address), None)
        if names is None:
            found.append((address, [target]))
        else:
            names.append(target)
    return [names for _, names in found]


def others(settings: Settings, key_or_id: str, target: str) -> list[str]:
    """Other targets in whose journals an id may be found: it says nothing of its target, while a key belongs to one."""
    return [name for name in settings.ledgers if name != target] if is_digest(key_or_id) else []


def check_target(settings: Settings, target: str) -> None:
    """See that a target is one of the settings'.

    Raises:
        NotFound: It is not.
    """
    if target not in settings.ledgers:
        raise no_target(settings, target)


def no_target(settings: Settings, target: str) -> NotFound:
    """That there is no such target."""
    return NotFound(f"no target {target!r}; the settings name {', '.join(settings.ledgers)}")


@contextmanager
def asked_once() -> Iterator[None]:
    """Ask a server that does not answer once for all that is read of several journals within, and not once a read.

    Of several servers it is found out side by side which of them are silent, so they are waited for at the same time.
    For one answer, for which somebody waits, and for all that is within it: the next one asks again. What one journal
    alone is asked for, and what is changed there, is tried whatever is known.
    """
    if _ASKED.get() is not None:
        yield
        return
    token = _ASKED.set(_Asked())
    try:
        yield
    finally:
        _ASKED.reset(token)


def _silent(those: Iterable[object]) -> dict[object, JournalUnavailable]:
    """What is known of servers that are silent; of those that are about to be asked it is found out, where it pays."""
    known = _ASKED.get()
    if known is None:
        return {}
    servers = {one.client: one for one in those if isinstance(one, Journal | Line)}
    unknown = [one for client, one in servers.items() if client not in known.heard and client not in known.silent]
    if len(unknown) > 1:
        with ThreadPoolExecutor(min(len(unknown), _SIDE_BY_SIDE)) as threads:
            for one, error in zip(unknown, threads.map(_silence, unknown), strict=True):
                if error is None:
                    known.heard.add(one.client)
                else:
                    known.silent[one.client] = error
    return known.silent


def _silence(one: Journal | Line) -> JournalUnavailable | None:
    """What is to be said of a server that cannot be reached; None for one that can, whatever it says."""
    try:
        with reported(variable=one.variable if isinstance(one, Journal) else one.address.variable):
            one.client.ping()
    except JournalUnavailable as error:
        return error if is_silent(error) else None
    return None


def silent_among(journals: Iterable[Journal]) -> Mapping[object, JournalUnavailable]:
    """What is to be said of servers that are silent, by the clients of journals; see :func:`asked_once`."""
    return _silent(journals)


def asked_of(journal: Journal, read: Callable[[Journal], T]) -> T:
    """What is read of one journal for an answer that others make as well; a silent server is asked once for all that.

    Raises:
        JournalUnavailable: Redis did not answer, or did not a moment before.
    """
    silent = _silent([journal])
    if journal.client in silent:
        raise silent[journal.client]
    try:
        return read(journal)
    except JournalUnavailable as error:
        if is_silent(error):
            silent[journal.client] = error
        raise


def reached(those: Iterable[S], read: Callable[[S], T]) -> list[tuple[S, T]]:
    """What is read from each of several that can be reached; a server that does not answer is asked once for all.

    Raises:
        JournalUnavailable: None can be.
    """
    return list(_reached(those, read))


def first_reached(those: Iterable[S], read: Callable[[S], T]) -> T:
    """What is read from the first of several that can be reached.

    Raises:
        JournalUnavailable: None can be.
    """
    return next(found for _, found in _reached(those, read))


def _reached(those: Iterable[S], read: Callable[[S], T]) -> Iterator[tuple[S, T]]:
    failure: JournalUnavailable | None = None
    some = False
    those = list(those)
    silent = _silent(those)
    for one in those:
        # Journals on one server share its client; of anything else nobody knows what answers for it.
        server = one.client if isinstance(one, Journal | Line) else None
        if server in silent:
            failure = silent[server]
            continue
        try:
            found = read(one)
        except JournalUnavailable as error:
            failure = error
            if server is not None and is_silent(error):
                silent[server] = error
        else:
            some = True
            yield one, found
    if failure is not None and not some:
        raise failure


def as_far_as_reached(
    those: Sequence[tuple[Journal, Iterator[T]]], merge: Callable[[list[Iterator[T]]], Iterable[T]], away: list[str]
) -> Iterator[T]:
    """What is read bit by bit from several journals at once, as far as they can be reached.

    Args:
        those: The journals, each with what is read from it.
        merge: Makes one of them.
        away: Is told the targets of those that could not be reached, or not to the end.

    Raises:
        JournalUnavailable: None can be; when its end is come to.
    """
    silent = _silent(journal for journal, _ in those)
    failures: list[JournalUnavailable] = []

    def as_far(journal: Journal, found: Iterator[T]) -> Iterator[T]:
        try:
            if journal.client not in silent:
                yield from found
                return
            failures.append(silent[journal.client])
        except JournalUnavailable as error:
            failures.append(error)
            if is_silent(error):
                silent[journal.client] = error
        away.append(journal.target)

    yield from merge([as_far(journal, found) for journal, found in those])
    if failures and len(away) == len(those):
        raise failures[-1]


def is_silent(error: JournalUnavailable) -> bool:
    """Whether it is the server that cannot be reached, and not one journal there that cannot be read."""
    return isinstance(error.__cause__, RedisConnectionError | RedisTimeoutError)


def index_prefix(settings: Settings) -> str:
    """Of the one key that belongs to no journal."""
    return f"{{{settings.namespace}:v1}}:"


def index_key(settings: Settings) -> str:
    """The set of all targets that have a journal on a server."""
    prefix = index_prefix(settings)
    return f"{prefix}targets"
