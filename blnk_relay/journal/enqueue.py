"""What a producer's enqueueing says to Redis, as a flow: who keeps the journal, whose it is, and then the intents."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.journal.accept import Accepted, accept_flow
from blnk_relay.journal.belonging import Belonging
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Flow
from blnk_relay.journal.server import FirstUse
from blnk_relay.settings import Settings


class Enqueuing:
    """Remembers for one journal what was looked at already: the server at first use, targets now and then.

    Args:
        settings: What is asked of the server, and which ledgers are meant.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._belonging = Belonging(settings)
        self._first_use = FirstUse(settings)

    def flow(self, entries: Sequence[NewEntry]) -> Flow[tuple[list[Accepted], tuple[str, ...], str]]:
        """See :meth:`blnk_relay.journal.journal.Journal.enqueue`."""
        if self._first_use.due:
            yield from self._first_use.flow()
        if due := self._belonging.due(new.entry.target for new in entries):
            yield from self._belonging.flow(due)
        return (yield from accept_flow(self._settings, entries))

    def weigh(self, durability: str) -> None:
        """See :meth:`blnk_relay.journal.journal.Journal.weigh`."""
        self._first_use.weigh(durability)
