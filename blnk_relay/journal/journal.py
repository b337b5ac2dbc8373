"""The transitions that producers and workers make, one script and one trip each."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from blnk_relay.errors import JournalUnavailable, KeyConflict
from blnk_relay.intents.model import Entry, GateAction, Send
from blnk_relay.journal.accepting import Accepted, accept_flow, arguments_of, conflicts_in
from blnk_relay.journal.connection import Scripts, connect, reported
from blnk_relay.journal.files import unpacked
from blnk_relay.journal.records import Claimed, NewEntry, Settlement, claimed_of, entry_of, id_of
from blnk_relay.journal.trips import Flow, Run, T, Trip
from blnk_relay.settings import Settings

#: States of an intent that a machine is still at.
OPEN = frozenset({"waiting", "ready", "sending", "posted"})

#: Work handled in one sweep.
SWEEP_MOST = 500

#: Due intents in a lane from which a second worker is called in.
CALL_IN_BACKLOG = 64


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
        #: Claims and looks are only for ledgers that there is a way to.
        self._targets = ",".join(settings.ledgers)

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
        return self.drive(accept_flow(self.settings, entries))

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
                return self.scripts.run_and_wait(trip.name, trip.wait, *trip.args)
            return self.scripts.run(trip.name, *trip.args)
        with reported():
            # Several in one transaction, so that an intent which is being trimmed is seen whole or not at all.
            pipeline = self.client.pipeline(transaction=len(trip.commands) > 1)
            for command in trip.commands:
                pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
            return pipeline.execute()

    def conflicts(self, entries: Sequence[NewEntry]) -> list[KeyConflict]:
        """Those whose key or reference belongs to another recorded intent; changes nothing.

        Args:
            entries: At most ACCEPT_CHUNK.

        Returns:
            What :meth:`accept` would raise, one for each of them, with its ``index``.
        """
        return conflicts_in(self.scripts.run("accept", "check", *arguments_of(entries)), entries)

    # -- working -------------------------------------------------------------------------------------------------

    def claim(self, lane: str, worker: str, most: int, *, leave: bool = False) -> Claims:
        """Take due intents of a lane, of known targets, under leases.

        With ``most=0`` it is a sign of life, with ``leave`` a farewell.
        """
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
            self._targets,
        )
        lease_end_s = asked_at + settings.lease_s
        return Claims(
            tuple(claimed_of(item, now_ms, lease_end_s) for item in items), tuple(bells), buried=_buried(buried)
        )

    def take(self, worker: str, most: int, lease_s: float, *, leave: bool = False) -> Claims:
        """Take posted intents of known targets whose look at the ledger is due."""
        now_ms, bells, next_ms, items, buried = self.scripts.run(
            "take",
            worker,
            most,
            int(lease_s * 1000),
            self.settings.max_lapses,
            self.settings.events_max,
            "1" if leave else "0",
            self._targets,
        )
        return Claims(tuple(claimed_of(item, now_ms, 0.0) for item in items), tuple(bells), next_ms, _buried(buried))

    def record(self, sends: Sequence[tuple[Claimed, Send]]) -> list[str]:
        """Record memos before sending, and make each intent the only writer of its rows: of all of them, or of none.

        Args:
            sends: Each intent with the decision to send it.

        Returns:
            For each ``ok``, ``stale``, ``busy`` or ``lagging``; only what is ``ok`` may be sent.
        """
        arguments: list[str] = []
        for claimed, send in sends:
            rows = (send.exclusive,) if isinstance(send.exclusive, str) else send.exclusive
            locks = ",".join(f"{claimed.entry.target}:{row}" for row in rows if row)
            arguments += [claimed.entry.id, claimed.token, json.dumps(send.memo or {}), locks, ",".join(send.seen)]
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

    def sweep(self, program: str = "") -> tuple[bool, tuple[str, ...], tuple[Entry, ...]]:
        """Sweep, if nobody else has just done so; also a sign of life of the worker program.

        Args:
            program: Its name; empty for none.

        Returns:
            Whether this call swept, lanes to ring, and intents whose deadline passed while they waited for others: they
            are dead letters now.
        """
        settings = self.settings
        swept, bells, expired = self.scripts.run(
            "sweep",
            int(settings.sweep_s * 900),
            int(settings.dead_worker_s * 1000),
            int(settings.retention_s * 1000),
            SWEEP_MOST,
            settings.events_max,
            program,
        )
        return bool(swept), tuple(bells), _buried(expired)

    def farewell(self, program: str) -> None:
        """A worker program ends; without this it counts as alive until it was silent for DEAD_WORKER_S."""
        with reported():
            self.client.zrem(self.key("alive"), program)

    def strays(self) -> list[str]:
        """Targets that the settings do not name and that have intents ready: nobody with these settings takes them."""
        with reported():
            queues: Any = self.client.smembers(self.key("queues"))
            unknown = sorted(queue for queue in queues if queue.partition("|")[2] not in self.settings.ledgers)
            waiting = [queue for queue in unknown if self.client.zcard(self.key(f"ready:{queue}"))]
        return sorted({queue.partition("|")[2] for queue in waiting})

    def file(self, id_: str, size: int) -> bytes | None:
        """The file that was kept beside an intent; None when it is not there whole.

        Args:
            id_: Id of the intent.
            size: Its size in bytes.
        """
        with reported():
            text: Any = self.client.get(self.key(f"file:{id_}"))
        try:
            content = unpacked(text, size) if text else b""
        except ValueError:
            return None
        return content if len(content) == size else None

    def is_open(self, target: str, reference: str) -> bool:
        """Whether an intent with this reference is recorded and not finished."""
        return self._ended(target, reference)[0] in OPEN

    def is_fresh(self, target: str, reference: str, within_s: float) -> bool:
        """Whether an intent with this reference was done so many seconds ago, or fewer."""
        state, at_ms = self._ended(target, reference)
        return state == "done" and self.now_ms() - at_ms <= within_s * 1000

    def _ended(self, target: str, reference: str) -> tuple[str, int]:
        """State of the intent with a reference, empty for none, and when it came to that."""
        with reported():
            owner: Any = self.client.get(self.key(f"ref:{target}:{reference}"))
            found: Any = self.client.hmget(
                self.key(f"intent:{owner or id_of(target, reference)}"), ["state", "updated"]
            )
        return found[0] or "", int(found[1] or 0)

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


def _buried(pairs: Sequence[Sequence[str]]) -> tuple[Entry, ...]:
    return tuple(entry_of(id_, body) for id_, body in pairs)
