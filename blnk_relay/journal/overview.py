"""Journals at a glance: depths, ages, gates and counters, as values and as the flow that reads them of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from blnk_relay.journal.at_once import Command, at_once_flow
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.status import moment
from blnk_relay.settings import Settings


@dataclass(frozen=True, slots=True)
class Pause:
    """An operator's pause of a lane or a target.

    Attributes:
        who: Who said so.
        reason: Why.
        since: When.
    """

    who: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """One lane, for one target.

    Attributes:
        due: Intents that a worker could take now.
        later: Intents that are scheduled, or wait between attempts.
        oldest_due_s: Age of the oldest due intent, in seconds since it came due; 0 when none is.
        paused: Whether the lane is paused by an operator.
        oldest_open_s: Age of the oldest intent that is due, in the hands of a worker, or sent and not seen yet, in
            seconds since it was accepted: no retry makes it younger. Of one that was not to be sent before a time,
            since that.
        pause: Whose pause that is.
        late: How many of these are older than ``BLNK_RELAY_LATE_S``, at least.
        oldest_open: The id of the one that :attr:`oldest_open_s` is about; empty where there is none.
    """

    lane: str
    target: str
    due: int
    later: int
    oldest_due_s: float
    paused: bool
    oldest_open_s: float = 0.0
    pause: Pause | None = None
    late: int = 0
    oldest_open: str = ""


@dataclass(frozen=True, slots=True)
class GateView:
    """One side (``write``, ``read`` or ``lane:<lane>``) of a target that is not simply open.

    Attributes:
        state: ``paused``, ``unreachable`` or ``slowed``.
        since: When the trouble began.
        note: In words; of an operator's pause the reason.
        who: The operator who paused it.
        lasting_s: Seconds since then.
    """

    target: str
    side: str
    state: str
    code: str
    since: datetime | None
    manual: bool
    note: str
    rate: int
    who: str = ""
    lasting_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Overview:
    """Some journals at a glance.

    Attributes:
        lanes: Every lane for every target, also those that the settings no longer name.
        waiting: Intents that wait for others.
        sending: Intents in the hands of workers, to be sent.
        posted: Intents that were sent, and are looked for at the ledger.
        oldest_posted_s: For how long the most overdue look is due, in seconds; 0 when none is.
        done: Finished intents that are still kept; those that were cancelled among them.
        dead: Dead letters.
        discarded: Dead letters that a human has closed.
        workers: Worker programs that gave a sign of life.
        gates: Sides of targets that are not simply open.
        counts: Counters since the beginning, by name.
        away: Targets whose journal could not be read; nothing of them is in the other figures.
        oldest_waiting_s: Age of the oldest intent that waits for others, in seconds since it was accepted.
        late_waiting: How many of these are older than ``BLNK_RELAY_LATE_S``.
        oldest_waiting: The id of the oldest of these; empty where none waits.
    """

    lanes: tuple[LaneDepth, ...]
    waiting: int
    sending: int
    posted: int
    oldest_posted_s: float
    done: int
    dead: int
    discarded: int
    workers: int
    gates: tuple[GateView, ...]
    counts: dict[str, int]
    away: tuple[str, ...] = ()
    oldest_waiting_s: float = 0.0
    late_waiting: int = 0
    oldest_waiting: str = ""

    @property
    def open(self) -> int:
        """Intents that are not finished."""
        return self.waiting + self.sending + self.posted + sum(lane.due + lane.later for lane in self.lanes)

    @property
    def oldest_open_s(self) -> float:
        """Age of the oldest open intent, in seconds since it was accepted; see :attr:`LaneDepth.oldest_open_s`."""
        return max((self.oldest_waiting_s, *(lane.oldest_open_s for lane in self.lanes)))

    @property
    def late(self) -> int:
        """How many are open that were accepted longer ago than ``BLNK_RELAY_LATE_S``, at least."""
        return self.late_waiting + sum(lane.late for lane in self.lanes)


def pause_of(who: str | None, reason: str | None, since: str | None) -> Pause | None:
    """From fields of Redis; None where there is no pause."""
    return Pause(who or "", reason or "", moment(since)) if since else None


def merged(parts: Sequence[tuple[Overview, Collection[str]]]) -> Overview:
    """One overview of several journals.

    Args:
        parts: Of each journal its overview, and the names of its worker programs, which may serve several.
    """
    counts: Counter[str] = Counter()
    for one, _ in parts:
        counts.update(one.counts)
    seen = [one for one, _ in parts]
    longest = max(seen, key=lambda one: one.oldest_waiting_s, default=None)
    return Overview(
        lanes=tuple(lane for one in seen for lane in one.lanes),
        waiting=sum(one.waiting for one in seen),
        sending=sum(one.sending for one in seen),
        posted=sum(one.posted for one in seen),
        oldest_posted_s=max((one.oldest_posted_s for one in seen), default=0.0),
        done=sum(one.done for one in seen),
        dead=sum(one.dead for one in seen),
        discarded=sum(one.discarded for one in seen),
        workers=len({name for _, names in parts for name in names}),
        gates=tuple(gate for one in seen for gate in one.gates),
        counts=dict(sorted(counts.items())),
        oldest_waiting_s=longest.oldest_waiting_s if longest else 0.0,
        late_waiting=sum(one.late_waiting for one in seen),
        oldest_waiting=longest.oldest_waiting if longest else "",
    )


def overview_flow(settings: Settings, target: str) -> Flow[tuple[Overview, Collection[str]]]:
    """Read depths, ages, gates and counters of one journal, and which worker programs are alive."""
    prefix = settings.prefix(target)
    now_ms, _ = yield Run("now", ())
    late_ms = now_ms - int(settings.late_s * 1000)
    ours = settings.lanes if target in settings.ledgers else ()

    def asked(lanes: Sequence[str], workers: Sequence[str]) -> Iterator[Command]:
        yield from _depth_commands(prefix, lanes, now_ms, late_ms)
        yield from (("ZCARD", f"{prefix}leased:{worker}") for worker in workers)
        yield from (("ZCARD", f"{prefix}{name}") for name in ("waiting", "posted", "done", "dead", "discarded"))
        yield "ZRANGE", f"{prefix}posted", 0, 0, "WITHSCORES"
        yield "HGETALL", f"{prefix}counts"
        yield "ZRANGEBYSCORE", f"{prefix}alive", now_ms - int(settings.dead_worker_s * 1000), "+inf"
        yield "ZRANGE", f"{prefix}waiting", 0, 0, "WITHSCORES"
        yield "ZCOUNT", f"{prefix}waiting", "-inf", late_ms

    # Lanes of the settings stand there from the start, so that a pause is seen before their first intent.
    lanes, workers, answers = yield from at_once_flow(prefix, asked, ours)
    depths = _depths(target, lanes, answers, now_ms)
    sending = sum(next(answers) for _ in workers)
    waiting, posted, done, dead, discarded, first_posted, counts, alive, first_waiting, late_waiting = answers
    gates = yield from gates_flow(settings, target, now_ms)
    overview = Overview(
        lanes=depths,
        waiting=waiting,
        sending=sending,
        posted=posted,
        oldest_posted_s=max(0.0, (now_ms - first_posted[0][1]) / 1000) if first_posted else 0.0,
        done=done,
        dead=dead,
        discarded=discarded,
        workers=len(alive),
        gates=gates,
        counts={name: int(value) for name, value in sorted(counts.items())},
        oldest_waiting_s=max(0.0, (now_ms - first_waiting[0][1]) / 1000) if first_waiting else 0.0,
        late_waiting=late_waiting,
        oldest_waiting=first_waiting[0][0] if first_waiting else "",
    )
    return overview, alive


def leases_flow(prefix: str) -> Flow[dict[str, int]]:
    """Intents in the hands of each worker, by its name."""
    [workers] = yield Ask((("ZRANGE", f"{prefix}workers", 0, -1),))
    if not workers:
        return {}
    held = yield Ask(tuple(("ZCARD", f"{prefix}leased:{worker}") for worker in workers), whole=False)
    return dict(zip(workers, held, strict=True))


def _depth_commands(prefix: str, lanes: Sequence[str], now_ms: int, late_ms: int) -> Iterator[Command]:
    """Seven for each lane; see :func:`_depths`."""
    for lane in lanes:
        yield ("ZCOUNT", f"{prefix}ready:{lane}", 0, now_ms)
        yield ("ZCARD", f"{prefix}ready:{lane}")
        yield ("ZRANGE", f"{prefix}ready:{lane}", 0, 0, "WITHSCORES")
        yield ("ZRANGE", f"{prefix}tried:{lane}", 0, 0, "WITHSCORES")
        yield ("HMGET", f"{prefix}pause:{lane}", "who", "why", "at")
        yield ("ZCOUNT", f"{prefix}ready:{lane}", "-inf", late_ms)
        yield ("ZCOUNT", f"{prefix}tried:{lane}", "-inf", late_ms)


def _depths(target: str, lanes: Sequence[str], answers: Iterator[Any], now_ms: int) -> tuple[LaneDepth, ...]:
    """One for each lane, from the next answers."""
    depths = []
    for lane in lanes:
        due, total, first, tried, paused, late_ready, late_tried = islice(answers, 7)
        due_s = max(0.0, (now_ms - first[0][1]) / 1000) if first else 0.0
        tried_s = max(0.0, (now_ms - tried[0][1]) / 1000) if tried else 0.0
        open_s, oldest = (tried_s, tried) if tried_s > due_s else (due_s, first)
        oldest_id = oldest[0][0] if open_s else ""
        pause = pause_of(*paused)
        # One that is due for long may have been tried before, or not.
        late = max(late_ready, late_tried)
        paused_ = pause is not None
        depths.append(LaneDepth(lane, target, due, total - due, due_s, paused_, open_s, pause, late, oldest_id))
    return tuple(depths)


def gates_flow(settings: Settings, target: str, now_ms: int) -> Flow[tuple[GateView, ...]]:
    """The gates that are not simply open, all in one trip."""
    sides = sides_of(settings)
    found = yield Ask(tuple(("HGETALL", f"{settings.prefix(target)}gate:{side}") for side in sides), whole=False)
    return tuple(_gate(target, side, fields, now_ms) for side, fields in zip(sides, found, strict=True) if fields)


def _gate(target: str, side: str, fields: Mapping[str, str], now_ms: int) -> GateView:
    since = fields.get("since")
    return GateView(
        target=target,
        side=side,
        state=fields.get("state", "slowed"),
        code=fields.get("code", ""),
        since=moment(since) if since else None,
        manual=fields.get("manual") == "1",
        note=fields.get("note", ""),
        rate=int(float(fields.get("rate", 0))),
        who=fields.get("who", ""),
        lasting_s=max(0.0, (now_ms - int(since)) / 1000) if since else 0.0,
    )


def sides_of(settings: Settings) -> tuple[str, ...]:
    """The gates of a target: of all its writes, of its reads, and of the writes of each lane."""
    return ("write", "read", *(f"lane:{lane}" for lane in settings.lanes))
