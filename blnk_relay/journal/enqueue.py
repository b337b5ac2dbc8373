"""What a producer's enqueueing says to Redis, as a flow: who keeps the journal, and then the intents."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.address import RedisAddress
from blnk_relay.journal.accept import Accepted, accept_flow, check_flow, too_many_awaited
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.server import FirstUse
from blnk_relay.settings import Settings


class Enqueuing:
    """Remembers for one journal that its server was looked at already.

    Args:
        settings: What is asked of the server, and which ledgers are meant.
        target: Whose journal it is.
        address: Where it is.
        seal: Hides what is not to be read.
    """

    def __init__(self, settings: Settings, target: str, address: RedisAddress, seal: Seal) -> None:
        self._seal = seal
        self._settings = settings
        self._ledger = ledger_meant(settings, target)
        self._first_use = FirstUse(settings, address)

    def flow(self, entries: Sequence[NewEntry]) -> Flow[tuple[list[Accepted], tuple[str, ...], str]]:
        """See :meth:`blnk_relay.journal.journal.Journal.enqueue`."""
        if self._first_use.due:
            yield from self._first_use.flow()
        return (yield from accept_flow(self._settings, self._ledger, entries, self._seal))

    def check_flow(self, entries: Sequence[NewEntry]) -> Flow[None]:
        """See :meth:`blnk_relay.journal.journal.Journal.check`."""
        too_many_awaited(entries)
        if self._first_use.due:
            yield from self._first_use.flow()
        yield from check_flow(self._ledger, entries, self._seal)

    def weigh(self, durability: str) -> None:
        """See :meth:`blnk_relay.journal.journal.Journal.weigh`."""
        self._first_use.weigh(durability)


def ledger_meant(settings: Settings, target: str) -> str:
    """The ledger that the settings mean by a target; empty where they do not say: a producer needs only its name."""
    known = settings.ledgers.get(target)
    return "" if known is None else known.ledger
