"""What producers do with the journal: accept, take back, look; and how its trips are made. Workers do more: Journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.errors import KeyConflict
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.journal.accept import Accepted, accept_flow, conflicts_flow
from blnk_relay.journal.cancel import cancel_flow
from blnk_relay.journal.connection import reported
from blnk_relay.journal.enqueue import Enqueuing, ledger_meant
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.flows import Flow, Run, T, Trip
from blnk_relay.journal.holdup import holdup_flow
from blnk_relay.journal.line import Line
from blnk_relay.journal.lua import Scripts
from blnk_relay.journal.parts import PartStatus, parts_flow
from blnk_relay.journal.seal import Seal
from blnk_relay.journal.status import Attempt, Status, find_flow, history_flow, payload_flow, status_flow
from blnk_relay.settings import Settings


class Producing:
    """The half of :class:`~blnk_relay.journal.journal.Journal` that producers use.

    Args:
        settings: Where Redis is, and the numbers.
        target: Whose journal it is.
        line: The connections to its Redis; those of its own when None.
    """

    def __init__(self, settings: Settings, target: str = DEFAULT_TARGET, line: Line | None = None) -> None:
        self.settings = settings
        self.target = target
        self.prefix = settings.prefix(target)
        self._line = line or Line(settings, settings.journal_address(target), self.prefix)
        self.client = self._line.client
        #: The setting that says where its Redis is, for messages.
        self.address = self._line.address
        self.variable = self.address.variable
        self.scripts = Scripts(self.client, self._line.connections, self.prefix, self.variable)
        #: The ledger that the settings mean by the target; empty where they do not say.
        self.ledger = ledger_meant(settings, target)
        #: Hides and shows what its intents keep.
        self.seal = Seal(target, settings.keyring(target))
        self._enqueuing = Enqueuing(settings, target, self._line.address, self.seal)

    def accept(self, entries: Sequence[NewEntry]) -> tuple[list[Accepted], tuple[str, ...], str]:
        """Record intents; those of one call of up to ACCEPT_CHUNK all together or not at all.

        Args:
            entries: Intents with distinct keys.

        Returns:
            One answer for each, the lanes to ring, and the durability reached.

        Raises:
            InvalidIntent: One would wait for what was never enqueued, was cancelled or was discarded. Nothing was
                recorded.
            KeyConflict: A key or a reference belongs to another intent; its ``index`` says which. Nothing was
                recorded, unless the conflict arose during the call, in which case earlier intents may have been:
                enqueueing them again is safe.
        """
        return self.drive(accept_flow(self.settings, self.ledger, entries, self.seal))

    def enqueue(self, entries: Sequence[NewEntry]) -> tuple[list[Accepted], tuple[str, ...], str]:
        """Record what a producer enqueues: :meth:`accept`, once it is known that its server can keep a journal.

        Raises:
            UnsuitableServer: The server cannot keep a journal.
            OtherLedger: The settings mean another ledger by the target than the journal was used for so far.
        """
        return self.drive(self._enqueuing.flow(entries))

    def check(self, entries: Sequence[NewEntry]) -> None:
        """Raise what :meth:`enqueue` would because of what stands in the journal, and change nothing."""
        self.drive(self._enqueuing.check_flow(entries))

    def weigh(self, durability: str) -> None:
        """Compare the durability that receipts have reached with that of the settings.

        Raises:
            NotDurable: It is less, and the settings are strict about it.
        """
        self._enqueuing.weigh(durability)

    def conflicts(self, entries: Sequence[NewEntry]) -> list[KeyConflict]:
        """Those whose key or reference belongs to another recorded intent; changes nothing.

        Args:
            entries: At most ACCEPT_CHUNK.

        Returns:
            What :meth:`accept` would raise, one for each of them, with its ``index``.

        Raises:
            OtherLedger: The settings mean another ledger by the target than the journal was used for so far.
        """
        return self.drive(conflicts_flow(self.ledger, entries, self.seal))

    def cancel(self, key_or_id: str) -> tuple[Status, list[str]]:
        """Take an intent back that was never sent; see :meth:`blnk_relay.Relay.cancel`.

        Returns:
            The status afterwards, and lanes to ring.
        """
        return self.drive(cancel_flow(self.settings, self.seal, self.target, key_or_id))

    def find(self, key_or_id: str) -> Status:
        """What is known under a key, or under an id.

        Raises:
            NotFound: Nothing is known under either.
        """
        return self.drive(find_flow(self.prefix, self.seal, self.target, key_or_id))

    def status(self, id_: str) -> Status | None:
        """What is known of an intent, or None."""
        return self.drive(status_flow(self.prefix, self.seal, self.target, id_))

    def payload(self, id_: str) -> Mapping[str, Any]:
        """The canonical payload of an intent. It holds personal data: show it to operators, log it nowhere.

        Raises:
            NotFound: The intent is unknown, or trimmed, or what was recorded of it is broken.
            EncryptionKeyMissing: It is encrypted under a key that is not at hand.
        """
        return self.drive(payload_flow(self.prefix, self.seal, id_))

    def history(self, id_: str) -> tuple[Attempt, ...]:
        """The log of an intent, oldest line first; at most the last 20."""
        return self.drive(history_flow(self.prefix, id_))

    def parts(self, key_or_id: str) -> tuple[PartStatus, ...]:
        """What the legs or items of an intent have come to; see :meth:`blnk_relay.Relay.parts`."""
        return self.drive(parts_flow(self.prefix, self.seal, self.target, key_or_id))

    def holdup(self, status: Status) -> str:
        """What keeps an open intent, as the second half of a sentence."""
        return self.drive(holdup_flow(self.prefix, status))

    def key(self, name: str) -> str:
        """A key of ours on Redis."""
        return self.prefix + name

    def drive(self, flow: Flow[T]) -> T:
        """Carry out a flow, trip by trip."""
        answer: Any = None
        while True:
            try:
                trip = flow.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = self._carry(trip)

    def _carry(self, trip: Trip) -> Any:
        if isinstance(trip, Run):
            if trip.wait:
                return self.scripts.run_and_wait(trip.name, [trip.wait], *trip.args)
            return self.scripts.run(trip.name, *trip.args)
        with reported(variable=self.variable):
            pipeline = self.client.pipeline(transaction=trip.whole and len(trip.commands) > 1)
            for command in trip.commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def close(self) -> None:
        """Give the connections back, those that others share as well."""
        self._line.close()
