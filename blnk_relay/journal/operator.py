"""What operators do with the journal: look over it, list, replay, discard, pause and resume."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blnk_relay.bell import Bells
from blnk_relay.errors import NotFound, Refused
from blnk_relay.intents.model import DEFAULT_TARGET
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.replaying import ReplayPlan, ReplayWay, plan_replay
from blnk_relay.journal.connection import reported
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.reading import Status, by_id, moment
from blnk_relay.journal.records import id_of
from blnk_relay.settings import CONFIRM_LANE

#: States that can be listed; ``sending`` is spread over the workers, ``ready`` over the lanes.
STATES = ("waiting", "ready", "sending", "posted", "done", "cancelled", "dead", "discarded")

#: Ids read in one trip while listing.
_PAGE = 200

#: Most letters of one bulk replay or discard.
MOST_AT_ONCE = 10_000

#: Longest reason or note that is kept.
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """One lane, for one target.

    Attributes:
        due: Intents that a worker could take now.
        later: Intents that are scheduled, or wait between attempts.
        oldest_due_s: Age of the oldest due intent, in seconds since it came due; 0 when none is.
        paused: Whether the lane is paused by an operator.
    """

    lane: str
    target: str
    due: int
    later: int
    oldest_due_s: float
    paused: bool


@dataclass(frozen=True, slots=True)
class GateView:
    """One side (``write`` or ``read``) of a target that is not simply open."""

    target: str
    side: str
    state: str
    code: str
    since: datetime | None
    manual: bool
    note: str
    rate: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The journal at a glance."""

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

    @property
    def open(self) -> int:
        """Intents that are not finished."""
        return self.waiting + self.sending + self.posted + sum(lane.due + lane.later for lane in self.lanes)


class Operator:
    """An operator's hands on the journal.

    Args:
        journal: The journal.
        bells: To wake workers after a replay or a discard.
    """

    def __init__(self, journal: Journal, bells: Bells) -> None:
        self._journal = journal
        self._bells = bells

    def overview(self) -> Overview:
        """Depths, ages, gates and counters.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        journal, client = self._journal, self._journal.client
        now_ms = journal.now_ms()
        with reported():
            used: Any = client.smembers(journal.key("queues"))
            # Lanes of the settings stand there from the start, so that a pause is seen before their first intent.
            settings = journal.settings
            queues = {*used, *(f"{lane}|{target}" for lane in settings.lanes for target in settings.ledgers)}
            pipeline = client.pipeline(transaction=False)
            for name in ("waiting", "posted", "done", "dead", "discarded"):
                pipeline.zcard(journal.key(name))
            pipeline.zrange(journal.key("posted"), 0, 0, withscores=True)
            pipeline.hgetall(journal.key("counts"))
            pipeline.zcount(journal.key("alive"), now_ms - int(settings.dead_worker_s * 1000), "+inf")
            waiting, posted, done, dead, discarded, first_posted, counts, alive = pipeline.execute()
            held = self.leases()
            lanes = tuple(self._depth(queue, now_ms) for queue in sorted(queues))
            gates = tuple(self._gates(sorted({queue.partition("|")[2] for queue in queues})))
        return Overview(
            lanes=lanes,
            waiting=waiting,
            sending=sum(held.values()),
            posted=posted,
            oldest_posted_s=max(0.0, (now_ms - first_posted[0][1]) / 1000) if first_posted else 0.0,
            done=done,
            dead=dead,
            discarded=discarded,
            workers=alive,
            gates=gates,
            counts={name: int(value) for name, value in sorted(counts.items())},
        )

    def leases(self) -> dict[str, int]:
        """Intents in the hands of each worker, by its name (host, process id and a random part)."""
        with reported():
            workers: Any = self._journal.client.zrange(self._journal.key("workers"), 0, -1)
            held: Any = [self._journal.client.zcard(self._journal.key(f"leased:{worker}")) for worker in workers]
        return dict(zip(workers, held, strict=True))

    def _depth(self, queue: str, now_ms: int) -> LaneDepth:
        journal, client = self._journal, self._journal.client
        lane, _, target = queue.partition("|")
        pipeline = client.pipeline(transaction=False)
        pipeline.zcount(journal.key(f"ready:{queue}"), 0, now_ms)
        pipeline.zcard(journal.key(f"ready:{queue}"))
        pipeline.zrange(journal.key(f"ready:{queue}"), 0, 0, withscores=True)
        pipeline.exists(journal.key(f"pause:{lane}"))
        due, total, first, paused = pipeline.execute()
        oldest_s = max(0.0, (now_ms - first[0][1]) / 1000) if first else 0.0
        return LaneDepth(lane, target, due, total - due, oldest_s, bool(paused))

    def _gates(self, targets: Sequence[str]) -> Iterator[GateView]:
        for target in targets:
            for side in ("write", "read"):
                fields: Any = self._journal.client.hgetall(self._journal.key(f"gate:{target}:{side}"))
                if fields:
                    yield GateView(
                        target=target,
                        side=side,
                        state=fields.get("state", "slowed"),
                        code=fields.get("code", ""),
                        since=moment(fields["since"]) if "since" in fields else None,
                        manual=fields.get("manual") == "1",
                        note=fields.get("note", ""),
                        rate=int(float(fields.get("rate", 0))),
                    )

    def listed(
        self,
        state: str,
        *,
        kind: str | None = None,
        code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        target: str | None = None,
    ) -> Iterator[Status]:
        """Intents of a state, oldest first, page by page.

        Args:
            state: One of STATES.
            kind: Only of this kind.
            code: Only with this code.
            since: Only what came into this state at or after this time; for ``ready`` and ``posted``: changed since.
            until: Only what came into this state before this time.
            key: Only the intent with this key or id.
            target: Only of this ledger; the one that the key belongs to.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        for id_ in self._ids(state, key, target or DEFAULT_TARGET):
            status = by_id(self._journal, id_)
            if status is None or status.state != state:
                continue
            if kind not in (None, status.kind) or code not in (None, status.code):
                continue
            if target not in (None, status.target):
                continue
            changed = status.updated
            if changed is not None and ((since and changed < since) or (until and changed >= until)):
                continue
            yield status

    def _ids(self, state: str, key: str | None, target: str) -> Iterator[str]:
        journal, client = self._journal, self._journal.client
        if key is not None:
            yield from (id_of(target, key), key)
            return
        with reported():
            if state == "ready":
                queues: Any = client.smembers(journal.key("queues"))
                names = [f"ready:{queue}" for queue in sorted(queues)]
            elif state == "sending":
                workers: Any = client.zrange(journal.key("workers"), 0, -1)
                names = [f"leased:{worker}" for worker in workers]
            else:
                names = ["done" if state == "cancelled" else state]
        for name in names:
            yield from self._in_order(name)

    def _in_order(self, name: str) -> Iterator[str]:
        """Ids of a sorted set, page by page by their scores, so that what leaves it meanwhile shifts none past us."""
        score, at_score = float("-inf"), set[str]()
        while True:
            with reported():
                page: Any = self._journal.client.zrange(
                    self._journal.key(name),
                    score,
                    "+inf",
                    byscore=True,
                    offset=0,
                    num=_PAGE + len(at_score),
                    withscores=True,
                )
            fresh = [(id_, at) for id_, at in page if at > score or id_ not in at_score]
            if not fresh:
                return
            for id_, at in fresh:
                if at > score:
                    score, at_score = at, set()
                at_score.add(id_)
                yield id_

    def plan(self, status: Status) -> ReplayPlan:
        """What a replay of a dead letter would do."""
        if status.state != "dead":
            return ReplayPlan(ReplayWay.NO, f"it is {status.state}, not dead")
        return plan_replay(status.kind, status.dead_class, status.code)

    def replay(self, status: Status, *, who: str, reason: str = "") -> ReplayPlan:
        """Give a dead letter a new life. Nothing is sent before the ledger was asked, where it may have been sent.

        Args:
            status: The dead letter.
            who: Who says so.
            reason: Why; kept in its log.

        Returns:
            What was done.

        Raises:
            Refused: It would double, or could never end otherwise; the message says why.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        plan = self.plan(status)
        if plan.way is ReplayWay.NO:
            raise Refused(f"intent {status.id} is not replayed: {plan.why}")
        fresh = plan.way is ReplayWay.FRESH
        base = self._base_reference(status)
        reference = of_generation(base, status.generation + 1) if fresh else ""
        answer, bells = self._journal.scripts.run(
            "replay",
            status.id,
            int(self._journal.settings.deadline_s * 1000),
            "1" if fresh else "0",
            f"{status.target}:{reference}" if fresh else "",
            id_of(status.target, reference) if fresh else "",
            self._line("replayed", who, reason or plan.why),
            f"{status.generation}|{status.dead_class}|{status.code}",
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not replayed: it has died again since it was looked at")
        if answer == "taken":
            raise Refused(f"intent {status.id} is not replayed: reference {reference!r} belongs to another intent")
        if answer != "replayed":
            raise Refused(f"intent {status.id} is not replayed: it is {answer}, not dead")
        self._bells.ring(bells)
        return plan

    @staticmethod
    def _base_reference(status: Status) -> str:
        suffix = f".r{status.generation + 1}"
        return status.reference.removesuffix(suffix) if status.generation else status.reference

    def discard(self, status: Status, *, who: str, reason: str) -> None:
        """Close a dead letter by a human's word; what waited behind it goes on.

        Args:
            status: The dead letter.
            who: Who says so.
            reason: Why; kept for ever.

        Raises:
            Refused: There is no reason, or it is not dead.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        if not reason.strip():
            raise Refused("a dead letter is only discarded with a reason")
        line = self._line("discarded", who, reason)
        answer, bells = self._journal.scripts.run("discard", status.id, line, self._journal.settings.events_max)
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer != "discarded":
            raise Refused(f"intent {status.id} is not discarded: it is {answer}, not dead")
        self._bells.ring(bells)

    def pause_lane(self, lane: str, *, who: str, reason: str = "") -> None:
        """Let workers claim nothing more from a lane; what is being sent is finished.

        Raises:
            NotFound: The settings list no such lane.
        """
        self._known(lane)
        with reported():
            self._journal.client.hset(
                self._journal.key(f"pause:{lane}"),
                mapping={"who": who[:_MAX_REASON], "why": reason[:_MAX_REASON], "at": self._journal.now_ms()},
            )

    def resume_lane(self, lane: str) -> bool:
        """Let workers claim from a lane again. Returns whether it was paused.

        Raises:
            NotFound: The settings list no such lane.
        """
        self._known(lane)
        with reported():
            resumed = bool(self._journal.client.delete(self._journal.key(f"pause:{lane}")))
        self._bells.ring([lane])
        return resumed

    def pause_target(self, target: str, *, who: str, reason: str = "") -> None:
        """Stop all requests to a target until it is resumed; nobody probes it meanwhile.

        Raises:
            NotFound: There is no such target.
        """
        self._known_target(target)
        for side in ("write", "read"):
            note = f"{who}: {reason}"[:_MAX_REASON]
            self._journal.scripts.run("gate", f"{target}:{side}", "pause", "OPERATOR", 0, "1", note)

    def resume_target(self, target: str) -> bool:
        """Open both gates of a target. Returns whether one was shut or slowed.

        Raises:
            NotFound: There is no such target.
        """
        self._known_target(target)
        opened = False
        for side in ("write", "read"):
            opened |= bool(self._journal.scripts.run("gate", f"{target}:{side}", "open", "", 0, "1", "")[0])
        self._bells.ring((*self._journal.settings.lanes, CONFIRM_LANE))
        return opened

    def _known(self, lane: str) -> None:
        if lane not in self._journal.settings.lanes:
            raise NotFound(f"no lane {lane!r}; the settings list {', '.join(self._journal.settings.lanes)}")

    def _known_target(self, target: str) -> None:
        known = self._journal.settings.ledgers
        if target not in known:
            raise NotFound(f"no target {target!r}; the settings name {', '.join(known)}")

    def _line(self, what: str, who: str, reason: str) -> str:
        return json.dumps(
            {"at": self._journal.now_ms(), "what": what, "by": who[:100], "note": reason[:_MAX_REASON]},
            ensure_ascii=False,
        )
