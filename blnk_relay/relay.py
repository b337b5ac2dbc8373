"""Relay: what an application holds. It validates, records, rings, and tells what became of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from blnk_relay.bell import Bells
from blnk_relay.errors import InvalidIntent, KeyConflict, RelayError
from blnk_relay.intake import Receipt, Write, placed, prepare, prepare_many, receipts_of, split_by_target
from blnk_relay.intents.intent import DEFAULT_TARGET, Intent
from blnk_relay.journal.entries import NewEntry
from blnk_relay.journal.events import Event, Events
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals
from blnk_relay.journal.parts import PartStatus
from blnk_relay.journal.status import Attempt, Status
from blnk_relay.settings import Settings

#: Pauses between two looks at the journal while waiting: the first, and the longest.
POLL_FIRST_S = 0.01
POLL_MOST_S = 0.25


class StillOpen(RelayError, TimeoutError):
    """The intent was not finished within the time given to ``wait``; it goes on all the same.

    Attributes:
        status: What was known last.
        why: What keeps it, in words.
    """

    def __init__(self, status: Status, why: str = "") -> None:
        self.status = status
        self.why = why
        named = f"intent {status.id}{f' (key {status.key!r})' if status.key else ''}"
        super().__init__(f"{named} is still {status.state}{': ' + why if why else ''}")


class Relay:
    """Takes payment writes off an application's hands.

    Safe to share between threads; make one for each process, after it has forked.

    Args:
        settings: See :class:`blnk_relay.settings.Settings`.

    Example:
        ::

            relay = Relay.from_env()
            receipt = relay.enqueue(
                transaction(source="@bank", destination="@alice", currency="EUR", amount="10.50", description="Top-up"),
                key="order-42",
            )
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.journals = Journals(settings)
        self.bells = Bells(settings)

    @classmethod
    def from_env(cls) -> Self:
        """A relay with the settings of the environment.

        Raises:
            InvalidSettings: A variable is malformed or contradicts another.
        """
        return cls(Settings.from_env())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def journal(self, target: str = DEFAULT_TARGET) -> Journal:
        """The journal of a target.

        Raises:
            NotFound: The settings name no such target.
        """
        return self.journals.of(target)

    def close(self) -> None:
        """Give the connections back."""
        self.bells.close()
        self.journals.close()

    def enqueue(
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
        """Record an intent durably; workers do the rest.

        Args:
            intent: From a builder such as :func:`blnk_relay.transaction`.
            key: The idempotency key, unique for ever within its target; the intent's natural key when None. The same
                key with the same payload gives the first receipt again. Never the id of another intent.
            target: The ledger that it is for; the settings name them.
            lane: One of the settings' lanes; that of the kind when None.
            not_before: Not to be sent earlier than this; a time with an offset, or a span from now.
            deadline: When to give up and tell a human; a time with an offset, or a span from now. Left out, it is
                the settings' time after ``not_before``.
            after: Keys of intents of the same target that have to be done first. If one of them dies, this one waits;
                if a human discards it, this one becomes a dead letter.
            order_key: Intents that share it are sent strictly one at a time, in accept order; a dead letter among them
                holds those behind it.

        Returns:
            The receipt.

        Raises:
            InvalidIntent: The key, the target, the lane or a time is not valid, the amount is beyond the settings'
                limit, the target has no read that could prove the outcome, or it would wait for an intent that was
                never enqueued, or was cancelled or discarded.
            KeyConflict: The key, or the reference, belongs to another intent.
            OtherLedger: The settings mean another ledger by this target than the journal was used for so far.
            JournalUnavailable: Redis did not answer within its timeout, is full (:class:`JournalFull`), or did not
                reach the durability that strict settings ask for (:class:`NotDurable`). Enqueue again under the same
                key.
        """
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
            return self._accept([prepare(self.settings, write)])[0]
        except KeyConflict as conflict:
            conflict.index = None
            raise
        except InvalidIntent as error:
            raise InvalidIntent(error.kind, error.errors) from None

    def enqueue_many(self, writes: Iterable[Intent | Write]) -> list[Receipt]:
        """Record many intents, in few trips; all are validated before the first is written.

        Args:
            writes: Intents with natural keys, or :class:`Write` values with options; at most MAX_BATCH.

        Returns:
            One receipt for each, in order.

        Raises:
            InvalidIntent: One is not valid; ``index`` says which. Nothing was recorded.
            DuplicateInBatch: A key or a reference stands twice; ``positions`` says where. Nothing was recorded.
            KeyConflict: A key belongs to another intent; ``index`` says which. Nothing was recorded, unless somebody
                else enqueued that key during the call.
            JournalUnavailable: Redis did not answer. Some may be recorded: enqueue all again under the same keys.
        """
        batch = prepare_many(self.settings, writes)
        try:
            return batch.receipts(self._accept(batch.entries))
        except (KeyConflict, InvalidIntent) as error:
            raise batch.placed(error) from None

    def get(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """What has become of an intent.

        Args:
            key: Its key, or its id.
            target: The ledger that the key belongs to.

        Raises:
            NotFound: No intent is known under it.
            JournalUnavailable: Redis did not answer.
        """
        return self.journals.find(key, target)

    def wait(self, key: str, timeout_s: float, *, target: str = DEFAULT_TARGET) -> Status:
        """Wait until an intent is finished: done, dead, cancelled or discarded.

        Args:
            key: Its key, or its id.
            target: The ledger that the key belongs to.
            timeout_s: Longest wait in seconds.

        Raises:
            StillOpen: It was not finished in time; it goes on all the same.
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        end_s = time.monotonic() + timeout_s
        pause_s = POLL_FIRST_S
        while True:
            status = self.get(key, target=target)
            if status.finished:
                return status
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise StillOpen(status, self.journals.of(status.target).holdup(status))
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, POLL_MOST_S)

    def cancel(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """Take an intent back that was never sent.

        Args:
            key: Its key, or its id.
            target: The ledger that the key belongs to.

        Returns:
            Its status, now ``cancelled``.

        Raises:
            TooLate: It is being sent, may have been sent, or is finished.
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        journal = self.journals.holding(key, target)
        status, bells = journal.cancel(key)
        self.bells.ring(journal.target, bells)
        return status

    def history(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[Attempt, ...]:
        """What was tried for an intent, oldest first; at most the last 20 lines.

        Raises:
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        status = self.get(key, target=target)
        return self.journals.of(status.target).history(status.id)

    def parts(self, key: str, *, target: str = DEFAULT_TARGET) -> tuple[PartStatus, ...]:
        """What the legs of a split, or the items or holds of a bulk, have come to, in the order they were given in.

        Args:
            key: Its key, or its id.
            target: The ledger that the key belongs to.

        Returns:
            One for each, up to 10,000; empty for an intent of a kind without parts.

        Raises:
            NotFound: No intent is known under the key, or it was trimmed.
            JournalUnavailable: Redis did not answer.
        """
        return self.journals.holding(key, target).parts(key)

    def events(
        self, group: str, *, target: str = DEFAULT_TARGET, consumer: str = "main", timeout_s: float = 5.0
    ) -> Iterator[Event]:
        """Final outcomes and operators' acts of a target, as they happen: at least once, in order for each intent.

        That order holds for several readers of a group as well: they share the intents, and nobody gets an event while
        another reader has an earlier one of the same intent. Only who is silent for a minute over one event loses it,
        and all that it holds, to others.

        Args:
            group: Every group sees every event, from the oldest that the stream still holds; its position is kept.
            target: The ledger whose events; each has a stream of its own.
            consumer: Readers of one group share its events; two at once need two names. Keep the name over a restart:
                what was not finished under it comes first.
            timeout_s: End after a silence of so many seconds.

        Yields:
            Events; each counts as dealt with when the next one is asked for.

        Raises:
            Refused: The name of the group, or of the consumer, cannot be sent to Redis.
            JournalUnavailable: Redis did not answer.

        Example:
            ::

                for event in relay.events("mailer"):
                    print(event.key, event.event, event.detail)
        """
        return Events(self.journals.of(target), group, consumer).follow(timeout_s)

    # ----------------------------------------------------------------------------------------------------------------

    def _accept(self, entries: list[NewEntry]) -> list[Receipt]:
        if len(entries) == 1:
            return self._record(entries[0].entry.target, entries)
        by_target = split_by_target(entries)
        if len(by_target) == 1:
            return self._record(entries[0].entry.target, entries)
        # Of several journals each is asked before anything is written to the first.
        for target, positions in by_target.items():
            with placed(positions):
                self.journals.of(target).check([entries[position] for position in positions])
        receipts: dict[int, Receipt] = {}
        for target, positions in by_target.items():
            with placed(positions):
                recorded = self._record(target, [entries[position] for position in positions])
            receipts.update(zip(positions, recorded, strict=True))
        return [receipts[position] for position in range(len(entries))]

    def _record(self, target: str, entries: list[NewEntry]) -> list[Receipt]:
        journal = self.journals.of(target)
        accepted, bells, durability = journal.enqueue(entries)
        self.bells.ring(target, bells)
        self.journals.note((target,))
        journal.weigh(durability)
        return receipts_of(entries, accepted, durability)
