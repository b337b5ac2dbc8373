"""Outcomes that come back: the journal's stream of final events, read by a consumer group.

At least once, and in order for each intent. The stream is capped (``BLNK_RELAY_EVENTS_MAX``): a reader that falls
further behind than that misses events, and learns what became of an intent from the journal itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import redis

from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.reading import moment

#: Events read in one trip.
_BATCH = 100

#: An event that was handed to a reader which did not come back for more is handed to another one after this.
_ABANDONED_MS = 60_000

#: Longest wait of the server in one trip; it has to end before the socket's own timeout does.
_BLOCK_MS = 1_000


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
    """

    event_id: str
    at: datetime
    intent_id: str
    key: str
    kind: str
    event: str
    detail: str


class Events:
    """Reads events for one consumer group; every group sees every event.

    Args:
        journal: The journal.
        group: Name of the group; its position is kept by Redis.
        consumer: Name of this reader within the group; readers of one group share the events.
    """

    def __init__(self, journal: Journal, group: str, consumer: str) -> None:
        self._journal = journal
        self._stream = journal.key("events")
        self._group = group
        self._consumer = consumer
        self._ready = False

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
        with reported():
            self._open()
            entries = self._abandoned()
            while not entries:
                left_ms = int((end_s - time.monotonic()) * 1000)
                block_ms = max(0, min(_BLOCK_MS, left_ms))
                answer: Any = self._journal.client.xreadgroup(
                    self._group, self._consumer, {self._stream: ">"}, count=_BATCH, block=block_ms or None
                )
                entries = answer[0][1] if answer else []
                if left_ms <= 0:
                    break
            return self._events(entries)

    def finish(self, events: list[Event]) -> None:
        """Say that events were dealt with.

        Raises:
            JournalUnavailable: Redis did not answer; the events come again.
        """
        if events:
            with reported():
                self._journal.client.xack(self._stream, self._group, *(event.event_id for event in events))

    def _open(self) -> None:
        if self._ready:
            return
        try:
            self._journal.client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._ready = True

    def _abandoned(self) -> list[tuple[str, dict[str, str]]]:
        answer: Any = self._journal.client.xautoclaim(
            self._stream, self._group, self._consumer, min_idle_time=_ABANDONED_MS, count=_BATCH
        )
        return [(id_, fields) for id_, fields in answer[1] if fields]

    def _events(self, entries: list[tuple[str, dict[str, str]]]) -> list[Event]:
        if not entries:
            return []
        bodies: Any = self._journal.client.mget([self._journal.key(f"body:{fields['id']}") for _, fields in entries])
        return [
            Event(
                event_id=id_,
                at=moment(id_.partition("-")[0]),
                intent_id=fields["id"],
                key=json.loads(body)["key"] if body else "",
                kind=fields["kind"],
                event=fields["event"],
                detail=fields["detail"],
            )
            for (id_, fields), body in zip(entries, bodies, strict=True)
        ]


def follow(events: Events, timeout_s: float) -> Iterator[Event]:
    """Events one by one, each finished when the next one is asked for; ends after a silence of ``timeout_s``."""
    while batch := events.read(timeout_s):
        for event in batch:
            yield event
            events.finish([event])
