"""Relay: what an application holds. It validates, records, rings, and tells what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from types import TracebackType
from typing import Self

from blnk_relay.bell import Bells
from blnk_relay.errors import DuplicateInBatch, InvalidIntent, KeyConflict, NotFound, RelayError, TooLate
from blnk_relay.events import Event, Events, follow
from blnk_relay.intents.model import Intent
from blnk_relay.intents.references import data_api_problem, key_problem
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.reading import Attempt, Status, find, history_of
from blnk_relay.journal.records import NewEntry, new_entry
from blnk_relay.settings import Settings

#: Most intents in one call of ``enqueue_many``; beyond it a file should be cut into parts.
MAX_BATCH = 100_000

_POLL_FIRST_S = 0.01
_POLL_MOST_S = 0.25


class StillOpen(RelayError, TimeoutError):
    """The intent was not finished within the time given to ``wait``; it goes on all the same.

    Attributes:
        status: What was known last.
    """

    def __init__(self, status: Status) -> None:
        self.status = status
        super().__init__(f"intent {status.id} is still {status.state}")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The promise: this intent ends as exactly one outcome in the ledger or one dead letter.

    Attributes:
        id: Id of the intent in the journal.
        key: Its idempotency key.
        reference: What the ledger will know it by; empty where the ledger chooses.
        created: False when the same intent had been accepted before.
        durability: What was reached: ``memory``, ``fsync`` or ``replicated:N``.
    """

    id: str
    key: str
    reference: str
    created: bool
    durability: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """An intent with the options of :meth:`Relay.enqueue`, for :meth:`Relay.enqueue_many`."""

    intent: Intent
    key: str | None = None
    lane: str | None = None
    not_before: datetime | timedelta | None = None
    deadline: datetime | timedelta | None = None
    after: Sequence[str] = ()
    order_key: str | None = None


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
        self.journal = Journal(settings)
        self._bells = Bells(settings)

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

    def close(self) -> None:
        """Give the connections back."""
        self._bells.close()
        self.journal.close()

    def enqueue(
        self,
        intent: Intent,
        *,
        key: str | None = None,
        lane: str | None = None,
        not_before: datetime | timedelta | None = None,
        deadline: datetime | timedelta | None = None,
        after: Sequence[str] = (),
        order_key: str | None = None,
    ) -> Receipt:
        """Record an intent durably; workers do the rest.

        Args:
            intent: From a builder such as :func:`blnk_relay.transaction`.
            key: The idempotency key, unique for ever; the intent's natural key when None. The same key with the same
                payload gives the first receipt again.
            lane: One of the settings' lanes; that of the kind when None.
            not_before: Not to be sent earlier than this; a time with an offset, or a span from now.
            deadline: When to give up and tell a human; a time with an offset, or a span from now. Left out, it is
                the settings' time after ``not_before``.
            after: Keys of intents that have to be done first. If one of them dies, this one waits; if a human discards
                it, this one becomes a dead letter.
            order_key: Intents that share it are sent strictly one at a time, in accept order; a dead letter among them
                holds those behind it.

        Returns:
            The receipt.

        Raises:
            InvalidIntent: The key, the lane or a time is not valid, the amount is beyond the settings' limit, or it
                would wait for an intent that was never enqueued, or was cancelled or discarded.
            KeyConflict: The key, or the reference, belongs to another intent.
            JournalUnavailable: Redis did not answer within its timeout. Enqueue again under the same key.
        """
        write = Write(
            intent=intent,
            key=key,
            lane=lane,
            not_before=not_before,
            deadline=deadline,
            after=after,
            order_key=order_key,
        )
        try:
            return self._accept([self.prepare(write)])[0]
        except KeyConflict as conflict:
            conflict.index = None
            raise
        except InvalidIntent as error:
            raise InvalidIntent(error.kind, error.errors) from None

    def prepare(self, write: Write) -> NewEntry:
        """Check an intent and its options as :meth:`enqueue` does, and record nothing.

        Args:
            write: The intent with its options.

        Returns:
            What would be recorded; :meth:`Journal.conflicts` says whether its key is free.

        Raises:
            InvalidIntent: The key, the lane or a time is not valid, or the amount is beyond the settings' limit.
        """
        intent, settings = write.intent, self.settings
        key = intent.natural_key if write.key is None else write.key
        errors: dict[str, list[str]] = {}
        if key is None:
            errors["key"] = ["Is needed: an idempotency key of yours, unique for ever, such as your order's id."]
        elif not isinstance(key, str) or (problem := key_problem(key)):
            errors["key"] = [problem if isinstance(key, str) and problem else "Must be a string."]
        lane = settings.route(intent.kind) if write.lane is None else write.lane
        if lane not in settings.lanes:
            errors["lane"] = [f"Unknown lane; the settings list {', '.join(settings.lanes)}."]
        if intent.payload.get("precise_amount", 0) > settings.max_precise_amount:
            errors["amount"] = [
                f"Is above {settings.max_precise_amount} minor units, which the way to the ledger may not keep exact "
                "(BLNK_RELAY_MAX_PRECISE_AMOUNT)."
            ]
        not_before = _moment(write.not_before, "+0", "not_before", errors)
        deadline = _moment(write.deadline, _later(not_before, int(settings.deadline_s * 1000)), "deadline", errors)
        if not errors and _contradict(write):
            errors["deadline"] = ["Must lie after not_before, or it would never be sent."]
        if any(not isinstance(other, str) or key_problem(other) for other in write.after) or key in write.after:
            errors["after"] = ["Must be keys of other intents."]
        if write.order_key is not None and (key_problem(write.order_key) or "\n" in write.order_key):
            errors["order_key"] = ["Must be a text of one line, not blank."]
        if errors or key is None:
            raise InvalidIntent(intent.kind, errors)
        new = new_entry(
            intent,
            key,
            lane,
            not_before=not_before,
            deadline=deadline,
            mark=settings.meta_key,
            after=write.after,
            order_key=write.order_key,
        )
        if settings.confirm_route == "data" and new.entry.reference:
            problem = data_api_problem(new.entry.reference)
            if problem:
                raise InvalidIntent(intent.kind, {"reference": [problem]})
        return new

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
        entries: list[NewEntry] = []
        seen: dict[str, int] = {}
        for index, item in enumerate(writes):
            if index >= MAX_BATCH:
                raise InvalidIntent("batch", {"_schema": [f"At most {MAX_BATCH} intents go into one call."]}, index)
            try:
                new = self.prepare(item if isinstance(item, Write) else Write(intent=item))
            except InvalidIntent as error:
                raise error.at(index) from None
            for name in {new.entry.id, new.claimed_reference} - {""}:
                if name in seen:
                    raise DuplicateInBatch(new.entry.kind, new.entry.key, seen[name], index)
                seen[name] = index
            entries.append(new)
        if not entries:
            return []
        order = in_dependency_order(entries)
        try:
            receipts = self._accept([entries[index] for index in order])
        except KeyConflict as conflict:
            conflict.index = order[conflict.index or 0]
            raise
        except InvalidIntent as error:
            raise error.at(order[error.index or 0]) from None
        placed = dict(zip(order, receipts, strict=True))
        return [placed[index] for index in range(len(entries))]

    def get(self, key: str) -> Status:
        """What has become of an intent.

        Args:
            key: Its key, or its id.

        Raises:
            NotFound: No intent is known under it.
            JournalUnavailable: Redis did not answer.
        """
        return find(self.journal, key)

    def wait(self, key: str, timeout_s: float) -> Status:
        """Wait until an intent is finished: done, dead, cancelled or discarded.

        Args:
            key: Its key, or its id.
            timeout_s: Longest wait in seconds.

        Raises:
            StillOpen: It was not finished in time; it goes on all the same.
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        end_s = time.monotonic() + timeout_s
        pause_s = _POLL_FIRST_S
        while True:
            status = self.get(key)
            if status.finished:
                return status
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                raise StillOpen(status)
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _POLL_MOST_S)

    def cancel(self, key: str) -> Status:
        """Take an intent back that was never sent.

        Args:
            key: Its key, or its id.

        Returns:
            Its status, now ``cancelled``.

        Raises:
            TooLate: It is being sent, may have been sent, or is finished.
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        status = self.get(key)
        line = json.dumps({"at": self.journal.now_ms(), "what": "cancelled"})
        state, bells = self.journal.scripts.run("cancel", status.id, line, self.settings.events_max)
        if state == "":
            raise NotFound(f"no intent is known under {key!r}")
        if state != "cancelled":
            raise TooLate(f"intent {status.id} is {state}: only what was never sent can be cancelled")
        self._bells.ring(bells)
        return self.get(status.id)

    def history(self, key: str) -> tuple[Attempt, ...]:
        """What was tried for an intent, oldest first; at most the last 20 lines.

        Raises:
            NotFound: No intent is known under the key.
            JournalUnavailable: Redis did not answer.
        """
        return history_of(self.journal, self.get(key).id)

    def events(self, group: str, *, consumer: str = "main", timeout_s: float = 5.0) -> Iterator[Event]:
        """Final outcomes and operators' acts, as they happen: at least once, in order for each intent.

        Args:
            group: Every group sees every event, from the oldest that the stream still holds; its position is kept.
            consumer: Readers of one group share its events; each needs a name of its own.
            timeout_s: End after a silence of so many seconds.

        Yields:
            Events; each counts as dealt with when the next one is asked for.

        Raises:
            JournalUnavailable: Redis did not answer.

        Example:
            ::

                for event in relay.events("mailer"):
                    print(event.key, event.event, event.detail)
        """
        return follow(Events(self.journal, group, consumer), timeout_s)

    # ----------------------------------------------------------------------------------------------------------------

    def _accept(self, entries: list[NewEntry]) -> list[Receipt]:
        accepted, bells, durability = self.journal.accept(entries)
        self._bells.ring(bells)
        return [
            Receipt(answer.id, new.entry.key, new.entry.reference, answer.created, durability)
            for new, answer in zip(entries, accepted, strict=True)
        ]


def in_dependency_order(entries: Sequence[NewEntry]) -> list[int]:
    """Positions of a batch in an order in which nothing stands before what it waits for; otherwise as given.

    Raises:
        InvalidIntent: They wait for each other in a circle; ``index`` says where.
    """
    if not any(new.after_ids for new in entries):
        return list(range(len(entries)))
    position = {new.entry.id: index for index, new in enumerate(entries)}
    sorter = TopologicalSorter[int]()
    for index, new in enumerate(entries):
        sorter.add(index, *(position[id_] for id_ in new.after_ids if id_ in position))
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[int] = error.args[1]
        keys = " → ".join(repr(entries[index].entry.key) for index in reversed(circle))
        kind = entries[circle[0]].entry.kind
        raise InvalidIntent(kind, {"after": [f"They wait in a circle: {keys}."]}, circle[0]) from None
    # The earliest that may go is taken first, so that nothing moves without need: accept order means something.
    ordered: list[int] = []
    free = list(sorter.get_ready())
    heapify(free)
    while free:
        index = heappop(free)
        ordered.append(index)
        sorter.done(index)
        for following in sorter.get_ready():
            heappush(free, following)
    return ordered


def _later(not_before: str, deadline_ms: int) -> str:
    """The deadline where none is given: so long after the intent may first be sent, not after it was accepted."""
    if not_before.startswith("+"):
        return f"+{int(not_before[1:]) + deadline_ms}"
    # The clock of this host is good enough to tell a time long past, which nothing should be counted from.
    return str(int(not_before) + deadline_ms) if int(not_before) > time.time() * 1000 else f"+{deadline_ms}"


def _contradict(write: Write) -> bool:
    """Whether a deadline cannot be met; judged by the two alone, so that a repeat is judged as the first was."""
    start, end = write.not_before, write.deadline
    if isinstance(start, timedelta) and isinstance(end, timedelta):
        return end <= start
    return isinstance(start, datetime) and isinstance(end, datetime) and end <= start


def _moment(given: datetime | timedelta | None, default: str, name: str, errors: dict[str, list[str]]) -> str:
    """A time as the journal takes it: milliseconds since 1970, or from the moment of acceptance."""
    if given is None:
        return default
    if isinstance(given, timedelta):
        if given < timedelta(0):
            errors[name] = ["Must not lie in the past."]
        return f"+{int(given.total_seconds() * 1000)}"
    if not isinstance(given, datetime) or given.tzinfo is None:
        errors[name] = ["Must be a datetime with an offset from UTC, or a timedelta."]
        return default
    return str(int(given.timestamp() * 1000))
