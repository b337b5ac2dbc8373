"""Outcomes that come back: a journal's stream of final events, read by a consumer group.

At least once, and in order for each intent: an event is handed to nobody while an earlier one of the same intent is in
another reader's hands, and whoever comes back after a crash first gets what it had not finished. Several readers of a
group share the intents that way. What can be promised ends where a reader is silent for a minute over one event, frozen
or slow: its events go to others then, and if it wakes up, that one event may be dealt with twice, the second time after
later ones. The stream is capped (``BLNK_RELAY_EVENTS_MAX``): a reader that falls further behind than that misses
events, and learns what became of an intent from the journal itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, cast

from blnk_relay.errors import Refused
from blnk_relay.intents.dead_class import DeadClassName
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.states import EventName
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.status import moment
from blnk_relay.settings import Settings
from blnk_relay.text import text_problem

if TYPE_CHECKING:
    from blnk_relay.journal.async_journal import AsyncJournal

#: Events read in one trip.
_BATCH = 100

#: A reader that neither finished an event nor asked for more in this time is gone, and others get what it held.
_GONE_MS = 60_000

#: Longest wait of the server in one trip, in seconds, and the part that it may have of the socket's own timeout, which
#: has to last for the way there and back as well.
_BLOCK_S = 1.0
_BLOCK_PART = 0.5

#: Shorter waits are none: to Redis, a wait of 0 is one without end.
_LEAST_BLOCK_S = 0.002


@dataclass(frozen=True, slots=True)
class Event:
    """One final outcome, or an operator's act.

    Attributes:
        event_id: Position in the stream; the same when an event is delivered again.
        at: When.
        intent_id: Id of the intent.
        key: Its key; empty once it was trimmed.
        kind: Its kind.
        event: ``done``, ``dead``, ``cancelled`` or ``discarded``.
        detail: With ``done`` the outcome, with ``dead`` the class.
        target: The ledger that the key belongs to.
    """

    event_id: str
    at: datetime
    intent_id: str
    key: str
    kind: str
    event: EventName
    detail: OutcomeName | DeadClassName
    target: str


def event_flow(prefix: str, target: str, group: str, consumer: str, timeout_s: float) -> Flow[list[Event]]:
    """Events that a group has not finished yet, oldest first; waits for the first one.

    Args:
        prefix: Of the journal's keys.
        target: Whose journal it is.
        group: Name of the group; its position is kept by Redis.
        consumer: Name of this reader within the group.
        timeout_s: Longest wait in seconds; 0 looks once.
    """
    ask = Run("follow", (group, consumer, _BATCH, _GONE_MS))
    entries, behind = yield ask
    if not entries and timeout_s >= _LEAST_BLOCK_S:
        yield Ask((("XREAD", "COUNT", 1, "BLOCK", int(timeout_s * 1000), "STREAMS", f"{prefix}events", behind),))
        entries, behind = yield ask
    if not entries:
        return []
    events = [(id_, dict(zip(fields[::2], fields[1::2], strict=True))) for id_, fields in entries]
    found = yield Run("statuses", ("state", *(fields["id"] for _, fields in events)))
    return [_event(id_, target, fields, body) for (id_, fields), (_, body, *_) in zip(events, found, strict=True)]


def _event(id_: str, target: str, fields: Mapping[str, str], recorded: str) -> Event:
    try:
        key = str(json.loads(recorded)["key"])
    except (ValueError, TypeError, KeyError):
        # Trimmed, or broken: that one outcome can be told all the same.
        key = ""
    return Event(
        event_id=id_,
        at=moment(id_.partition("-")[0]),
        intent_id=fields["id"],
        key=key,
        kind=fields["kind"],
        event=cast("EventName", fields["event"]),
        detail=cast("OutcomeName | DeadClassName", fields["detail"]),
        target=target,
    )


def trip_s(settings: Settings, left_s: float) -> float:
    """How long one trip may wait for an event, in seconds; a wait that is longer goes over several.

    Args:
        settings: How long Redis may take to answer.
        left_s: What is left of the whole wait.
    """
    return max(0.0, min(left_s, _BLOCK_S, settings.redis_timeout_s * _BLOCK_PART))


def finish_flow(group: str, consumer: str, events: Sequence[Event], *, leave: bool = False) -> Flow[bool]:
    """Say that events were dealt with; those that were not come again. Returns whether all were still this reader's."""
    [kept] = yield Run("finish", (group, consumer, "1" if leave else "0", *(event.event_id for event in events)))
    return bool(kept)


def _check_names(group: str, consumer: str) -> None:
    """See that a group and a reader can be named so.

    Raises:
        Refused: One cannot.
    """
    for what, name in (("group", group), ("consumer", consumer)):
        if problem := text_problem(name) if isinstance(name, str) else f"Must be a string, not {type(name).__name__}.":
            raise Refused(f"no events are read: {what}: {problem}")


class Events:
    """Reads events for one consumer group; every group sees every event.

    Args:
        journal: The journal of the target.
        group: Name of the group; its position is kept by Redis.
        consumer: Name of this reader within the group; readers of one group share the events. Two at once need two
            names; one that was restarted keeps its own, and gets first what it had not finished.
    """

    def __init__(self, journal: Journal, group: str, consumer: str) -> None:
        _check_names(group, consumer)
        self._journal = journal
        self._group = group
        self._consumer = consumer

    def read(self, timeout_s: float) -> list[Event]:
        """Events that this group has not finished yet, oldest first; waits for the first one.

        Args:
            timeout_s: Longest wait in seconds; 0 looks once.

        Returns:
            At most a hundred; empty when none came. Call :meth:`finish` with them, or they come again.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        end_s = time.monotonic() + timeout_s
        journal = self._journal
        while True:
            left_s = end_s - time.monotonic()
            batch = self._journal.drive(
                event_flow(
                    journal.prefix, journal.target, self._group, self._consumer, trip_s(journal.settings, left_s)
                )
            )
            if batch or left_s <= 0:
                return batch

    def finish(self, events: Sequence[Event]) -> bool:
        """Say that events were dealt with.

        Returns:
            Whether all were still this reader's. If not, it was silent for so long that others got what it held: leave
            the rest of the batch alone, and read again.

        Raises:
            JournalUnavailable: Redis did not answer; the events come again.
        """
        return self._journal.drive(finish_flow(self._group, self._consumer, events))

    def leave(self) -> None:
        """Say that this reader goes: others get what it has not finished at once, and its name is forgotten.

        Raises:
            JournalUnavailable: Redis did not answer; then others get it after a minute.
        """
        self._journal.drive(finish_flow(self._group, self._consumer, (), leave=True))

    def follow(self, timeout_s: float) -> Iterator[Event]:
        """Events one by one, each finished when the next one is asked for; ends after a silence of ``timeout_s``."""
        while batch := self.read(timeout_s):
            for event in batch:
                yield event
                if not self.finish([event]):
                    break


class AsyncEvents:
    """The same for an event loop; every method does what its namesake in :class:`Events` does."""

    def __init__(self, journal: AsyncJournal, group: str, consumer: str) -> None:
        _check_names(group, consumer)
        self._journal = journal
        self._group = group
        self._consumer = consumer

    async def read(self, timeout_s: float) -> list[Event]:
        """Events that this group has not finished yet, oldest first; waits for the first one."""
        end_s = time.monotonic() + timeout_s
        journal = self._journal
        while True:
            left_s = end_s - time.monotonic()
            batch = await self._journal.drive(
                event_flow(
                    journal.prefix, journal.target, self._group, self._consumer, trip_s(journal.settings, left_s)
                )
            )
            if batch or left_s <= 0:
                return batch

    async def finish(self, events: Sequence[Event]) -> bool:
        """Say that events were dealt with. Returns whether all were still this reader's."""
        return await self._journal.drive(finish_flow(self._group, self._consumer, events))

    async def follow(self, timeout_s: float) -> AsyncIterator[Event]:
        """Events one by one, each finished when the next one is asked for; ends after a silence of ``timeout_s``."""
        while batch := await self.read(timeout_s):
            for event in batch:
                yield event
                if not await self.finish([event]):
                    break
