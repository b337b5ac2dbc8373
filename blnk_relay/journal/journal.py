"""The transitions that producers and workers make, one script and one trip each."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import redis

from blnk_relay.errors import InvalidIntent, JournalUnavailable, KeyConflict
from blnk_relay.intents.model import Entry, GateAction, Send
from blnk_relay.journal.connection import Scripts, connect, reported
from blnk_relay.journal.records import Claimed, NewEntry, Settlement, claimed_of, entry_of, id_of
from blnk_relay.settings import Settings

#: Intents accepted in one script call: a few milliseconds of Redis's time.
ACCEPT_CHUNK = 200

#: States of an intent that a machine is still at.
OPEN = frozenset({"waiting", "ready", "sending", "posted"})

#: Work handled in one sweep.
SWEEP_MOST = 500

#: Due intents in a lane from which a second worker is called in.
CALL_IN_BACKLOG = 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one accepted intent."""

    id: str
    created: bool


@dataclass(frozen=True, slots=True)
class Claims:
    """What a worker got.

    Attributes:
        items: Intents.
        bells: Lanes that somebody has to ring.
        next_ms: With looks: milliseconds until the next one is due, -1 for none.
        buried: Intents that became dead letters instead, because every worker that claimed them died.
    """

    items: tuple[Claimed, ...]
    bells: tuple[str, ...]
    next_ms: int = -1
    buried: tuple[Entry, ...] = ()


def steady_s() -> float:
    """Seconds of a clock that also runs while the machine sleeps, so that a lease cannot outlive its time."""
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Journal:
    """The record of all intents on Redis.

    Args:
        settings: Where Redis is, and the numbers.
        client: A client to use instead of one made from the settings; it must decode responses.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer within its timeout.
    """

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self.settings = settings
        self.client = client if client is not None else connect(settings)
        self.scripts = Scripts(self.client, settings.prefix)

    def key(self, name: str) -> str:
        """A key of ours on Redis."""
        return self.settings.prefix + name

    # -- accepting -----------------------------------------------------------------------------------------------

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
        chunks = [entries[at : at + ACCEPT_CHUNK] for at in range(0, len(entries), ACCEPT_CHUNK)]
        if len(chunks) > 1:
            # What stands in this very batch is there by the time that it is needed.
            batch = {new.entry.id for new in entries}
            for number, chunk in enumerate(chunks):
                outside = [replace(new, after_ids=tuple(set(new.after_ids) - batch)) for new in chunk]
                self._answers(self.scripts.run("accept", "check", *_arguments(outside)), chunk, number * ACCEPT_CHUNK)
        accepted: list[Accepted] = []
        bells: set[str] = set()
        durability = "memory"
        for number, chunk in enumerate(chunks):
            arguments = ("write", *_arguments(chunk))
            if number == len(chunks) - 1 and self.settings.durability != "memory":
                raw, durability = self._accept_durably(arguments)
            else:
                raw = self.scripts.run("accept", *arguments)
            accepted += self._answers(raw, chunk, number * ACCEPT_CHUNK)
            bells.update(raw[1])
        return accepted, tuple(sorted(bells)), durability

    def _accept_durably(self, arguments: tuple[str | int, ...]) -> tuple[Any, str]:
        timeout_ms = int(self.settings.durability_timeout_s * 1000)
        kind, _, replicas = self.settings.durability.partition(":")
        if kind == "fsync":
            raw, waited = self.scripts.run_and_wait("accept", ("WAITAOF", 1, 0, timeout_ms), *arguments)
            reached = not isinstance(waited, Exception) and waited[0] >= 1
            return raw, "fsync" if reached else "memory"
        raw, waited = self.scripts.run_and_wait("accept", ("WAIT", int(replicas), timeout_ms), *arguments)
        if isinstance(waited, Exception) or not waited:
            return raw, "memory"
        return raw, f"replicated:{waited}"

    def conflicts(self, entries: Sequence[NewEntry]) -> list[KeyConflict]:
        """Those whose key or reference belongs to another recorded intent; changes nothing.

        Args:
            entries: At most ACCEPT_CHUNK.

        Returns:
            What :meth:`accept` would raise, one for each of them, with its ``index``.
        """
        raw = self.scripts.run("accept", "check", *_arguments(entries))
        return [
            _conflict(entries[position].entry.key, answer, position)
            for position, answer in enumerate(raw[2])
            if answer[0] == "conflict"
        ]

    @staticmethod
    def _answers(raw: Any, chunk: Sequence[NewEntry], offset: int) -> list[Accepted]:
        accepted = []
        for position, answer in enumerate(raw[2]):
            if answer[0] == "conflict":
                raise _conflict(chunk[position].entry.key, answer, offset + position)
            if answer[0] in ("missing", "closed"):
                raise _forlorn(chunk[position], answer, offset + position)
            accepted.append(Accepted(answer[1], answer[0] == "created"))
        return accepted

    # -- working -------------------------------------------------------------------------------------------------

    def claim(self, lane: str, worker: str, most: int, *, leave: bool = False) -> Claims:
        """Take due intents of a lane under leases; with ``most=0`` a sign of life, with ``leave`` a farewell."""
        settings = self.settings
        asked_at = steady_s()
        now_ms, bells, items, buried = self.scripts.run(
            "claim",
            lane,
            worker,
            most,
            int(settings.lease_s * 1000),
            settings.max_lapses,
            settings.events_max,
            "1" if leave else "0",
            CALL_IN_BACKLOG,
        )
        lease_end_s = asked_at + settings.lease_s
        return Claims(
            tuple(claimed_of(item, now_ms, lease_end_s) for item in items), tuple(bells), buried=_buried(buried)
        )

    def take(self, worker: str, most: int, lease_s: float, *, leave: bool = False) -> Claims:
        """Take posted intents whose look at the ledger is due."""
        now_ms, bells, next_ms, items, buried = self.scripts.run(
            "take",
            worker,
            most,
            int(lease_s * 1000),
            self.settings.max_lapses,
            self.settings.events_max,
            "1" if leave else "0",
        )
        return Claims(tuple(claimed_of(item, now_ms, 0.0) for item in items), tuple(bells), next_ms, _buried(buried))

    def record(self, sends: Sequence[tuple[Claimed, Send]]) -> list[str]:
        """Record memos before sending, and make each intent the only writer of its row.

        Args:
            sends: Each intent with the decision to send it.

        Returns:
            For each ``ok``, ``stale``, ``busy`` or ``lagging``; only what is ``ok`` may be sent.
        """
        arguments: list[str] = []
        for claimed, send in sends:
            row = f"{claimed.entry.target}:{send.exclusive}" if send.exclusive else ""
            arguments += [claimed.entry.id, claimed.token, json.dumps(send.memo or {}), row, ",".join(send.seen)]
        answers: list[str] = self.scripts.run("record", *arguments)
        return answers

    def settle(self, worker: str, settlements: Sequence[Settlement], healthy: Sequence[str]) -> tuple[str, ...]:
        """Record verdicts, all in one trip.

        Args:
            worker: Who had them.
            settlements: The verdicts; stale ones change nothing.
            healthy: Gates (``<target>:<side>``) whose side has just answered well.

        Returns:
            Lanes to ring.
        """
        if not settlements:
            return ()
        encoded = [settlement.encoded() for settlement in settlements]
        bells, _stale = self.scripts.run("settle", worker, self.settings.events_max, ",".join(healthy), *encoded)
        return tuple(bells)

    def sweep(self) -> tuple[bool, tuple[str, ...]]:
        """Sweep, if nobody else has just done so.

        Returns:
            Whether this call swept, and lanes to ring.
        """
        settings = self.settings
        swept, bells, _lapsed, _trimmed = self.scripts.run(
            "sweep",
            int(settings.sweep_s * 900),
            int(settings.dead_worker_s * 1000),
            int(settings.retention_s * 1000),
            SWEEP_MOST,
        )
        return bool(swept), tuple(bells)

    def is_open(self, target: str, reference: str) -> bool:
        """Whether an intent with this reference is recorded and not finished."""
        with reported():
            owner: Any = self.client.get(self.key(f"ref:{target}:{reference}"))
            state: Any = self.client.hget(self.key(f"intent:{owner or id_of(target, reference)}"), "state")
        return state in OPEN

    def change_gate(
        self, target: str, side: str, action: GateAction, code: str, wait_s: float, *, note: str = ""
    ) -> bool:
        """Pause or slow one side (``write`` or ``read``) of a target by a worker's word. Returns whether it is news."""
        answer = self.scripts.run("gate", f"{target}:{side}", action, code, int(wait_s * 1000), "0", note)
        return bool(answer[0])

    def now_ms(self) -> int:
        """The clock of Redis."""
        with reported():
            seconds, micros = self.client.time()
            return int(seconds) * 1000 + int(micros) // 1000

    def check_server(self) -> list[str]:
        """Warnings about a server that could lose or evict the journal; empty when all is well.

        Raises:
            JournalUnavailable: The server cannot be reached at all.
        """
        warnings = []
        with reported():
            info = self.client.info("memory")
            if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
                warnings.append(
                    f"maxmemory-policy is {info['maxmemory_policy']}: Redis may evict intents; set it to noeviction"
                )
            if not self.client.info("persistence").get("aof_enabled"):
                warnings.append("the append-only file is off: a restart of Redis loses intents; set appendonly yes")
        return warnings

    def close(self) -> None:
        """Give the connections back."""
        try:
            self.client.close()
        except redis.RedisError as error:
            raise JournalUnavailable("the connection could not be closed") from error


def _conflict(key: str, answer: Sequence[str], index: int) -> KeyConflict:
    """One answer of accept.lua as an error."""
    _, id_, kind, state, created = answer
    conflict = KeyConflict(key, id_, kind, state, int(created))
    conflict.index = index
    return conflict


def _buried(pairs: Sequence[Sequence[str]]) -> tuple[Entry, ...]:
    return tuple(entry_of(id_, body) for id_, body in pairs)


def _forlorn(new: NewEntry, answer: Sequence[str], index: int) -> InvalidIntent:
    """What it would wait for is unknown, or will never be done."""
    key = new.entry.after[new.after_ids.index(answer[1])]
    what = (
        "was never enqueued: enqueue it first, or in the same batch" if answer[0] == "missing" else f"was {answer[3]}"
    )
    return InvalidIntent(new.entry.kind, {"after": [f"{key!r} {what}."]}, index)


def _arguments(entries: Sequence[NewEntry]) -> list[str | int]:
    arguments: list[str | int] = []
    for new in entries:
        entry = new.entry
        arguments += [
            entry.id,
            new.fingerprint,
            new.body,
            entry.kind,
            entry.target,
            entry.lane,
            "\n".join(entry.orders),
            new.not_before,
            new.deadline,
            new.twin,
            new.claimed_reference,
            ",".join(new.after_ids),
        ]
    return arguments
