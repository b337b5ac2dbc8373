"""What operators do with the journal: look over it, list, replay, discard, pause and resume."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from blnk_relay.bell import Bells
from blnk_relay.errors import NotFound, Refused
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import LETTERS, State, StateName
from blnk_relay.journal import listing
from blnk_relay.journal.connection import reported
from blnk_relay.journal.entries import id_of
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.listing import batched
from blnk_relay.journal.status import Status, moment, statuses_flow
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import ReplayPlan, ReplayWay, plan_replay
from blnk_relay.settings import CONFIRM_LANE

#: Intents read in full in one trip while listing.
_CHUNK = 50

#: "dead|<kind>|<class>|<code>" in the counters.
_DEATH_PARTS = 4

#: Most letters of one bulk replay or discard.
MOST_AT_ONCE = 10_000

#: Most names listed where one was not known.
_MOST_NAMED = 30

#: Longest reason or note that is kept, and longest name of who gave it.
_MAX_REASON = 500
_MAX_WHO = 100


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a list is narrowed to."""

    state: StateName
    kind: str | None
    code: str | None
    since: datetime | None
    until: datetime | None
    target: str | None

    @property
    def narrow(self) -> bool:
        """Whether it is worth to look at few fields of many intents before reading some in full."""
        return any(item is not None for item in (self.kind, self.code, self.since, self.until, self.target))

    def fields(self) -> Mapping[str, str]:
        """Fields that must have a value."""
        wanted = {"state": self.state, "kind": self.kind, "code": self.code, "target": self.target}
        return {name: value for name, value in wanted.items() if value is not None}

    def those_of(self, statuses: Iterable[Status | None]) -> Iterator[Status]:
        """Those that fit; what has changed since its id was read no longer does."""
        for status in statuses:
            if status is None or status.state != self.state:
                continue
            if self.kind not in (None, status.kind) or self.code not in (None, status.code):
                continue
            if self.target not in (None, status.target):
                continue
            changed = status.updated
            if changed and ((self.since and changed < self.since) or (self.until and changed >= self.until)):
                continue
            yield status


def _expect(what: str, given: str, known: set[str]) -> None:
    """Refuse a name that is none, with the one that was meant or those that there are."""
    if given in known:
        return
    close = get_close_matches(given.lower(), {name.lower(): name for name in known}, 1)
    meant = next((name for name in known if close and name.lower() == close[0]), "")
    names = sorted(known)
    there = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "") or "none"
    raise NotFound(f"no {what} is {given!r}; " + (f"did you mean {meant!r}?" if meant else f"there are: {there}"))


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
class Change:
    """What a pause or a resume did.

    Attributes:
        changed: Whether it did anything: a pause that stands already stays as it is.
        pause: The pause that stands, or that has ended; None where only workers had shut or slowed a gate, or nobody.
    """

    changed: bool
    pause: Pause | None

    def __bool__(self) -> bool:
        """Whether it did anything."""
        return self.changed


@dataclass(frozen=True, slots=True)
class Act:
    """A pause or a resume by an operator.

    Attributes:
        at: When.
        what: ``pause`` or ``resume``.
        of: Such as ``lane refunds`` or ``target default``.
    """

    at: datetime
    what: str
    of: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class LaneDepth:
    """One lane, for one target.

    Attributes:
        due: Intents that a worker could take now.
        later: Intents that are scheduled, or wait between attempts.
        oldest_due_s: Age of the oldest due intent, in seconds since it came due; 0 when none is.
        paused: Whether the lane is paused by an operator.
        oldest_open_s: Age of the oldest intent that is due or was tried in vain, in seconds since it was accepted: no
            retry makes it younger.
        pause: Whose pause that is.
    """

    lane: str
    target: str
    due: int
    later: int
    oldest_due_s: float
    paused: bool
    oldest_open_s: float = 0.0
    pause: Pause | None = None


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

    @property
    def oldest_open_s(self) -> float:
        """Age of the oldest intent that is due or was tried in vain, in seconds since it was accepted."""
        return max((lane.oldest_open_s for lane in self.lanes), default=0.0)


def _pause(who: str | None, reason: str | None, since: str | None) -> Pause | None:
    """From fields of Redis; None where there is no pause."""
    return Pause(who or "", reason or "", moment(since)) if since else None


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
            for name in (State.WAITING, State.POSTED, State.DONE, State.DEAD, State.DISCARDED):
                pipeline.zcard(journal.key(name))
            pipeline.zrange(journal.key(State.POSTED), 0, 0, withscores=True)
            pipeline.hgetall(journal.key("counts"))
            pipeline.zcount(journal.key("alive"), now_ms - int(settings.dead_worker_s * 1000), "+inf")
            waiting, posted, done, dead, discarded, first_posted, counts, alive = pipeline.execute()
            held = self.leases()
            lanes = self._depths(sorted(queues), now_ms)
            gates = tuple(self._gates(sorted({queue.partition("|")[2] for queue in queues}), now_ms))
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
            pipeline = self._journal.client.pipeline(transaction=False)
            for worker in workers:
                pipeline.zcard(self._journal.key(f"leased:{worker}"))
            held = pipeline.execute()
        return dict(zip(workers, held, strict=True))

    def _depths(self, queues: Sequence[str], now_ms: int) -> tuple[LaneDepth, ...]:
        """One for each ``<lane>|<target>``, all in one trip."""
        journal = self._journal
        pipeline = journal.client.pipeline(transaction=False)
        for queue in queues:
            lane = queue.partition("|")[0]
            pipeline.zcount(journal.key(f"ready:{queue}"), 0, now_ms)
            pipeline.zcard(journal.key(f"ready:{queue}"))
            pipeline.zrange(journal.key(f"ready:{queue}"), 0, 0, withscores=True)
            pipeline.zrange(journal.key(f"tried:{queue}"), 0, 0, withscores=True)
            pipeline.hmget(journal.key(f"pause:{lane}"), "who", "why", "at")
        answers = iter(pipeline.execute())
        depths = []
        for queue, due, total, first, tried, paused in zip(queues, *[answers] * 5, strict=True):
            lane, _, target = queue.partition("|")
            due_s = max(0.0, (now_ms - first[0][1]) / 1000) if first else 0.0
            open_s = max(due_s, (now_ms - tried[0][1]) / 1000 if tried else 0.0)
            pause = _pause(*paused)
            depths.append(LaneDepth(lane, target, due, total - due, due_s, pause is not None, open_s, pause))
        return tuple(depths)

    def _gates(self, targets: Sequence[str], now_ms: int) -> Iterator[GateView]:
        """Those that are not simply open, all in one trip."""
        names = [(target, side) for target in targets for side in self._sides()]
        pipeline = self._journal.client.pipeline(transaction=False)
        for target, side in names:
            pipeline.hgetall(self._journal.key(f"gate:{target}:{side}"))
        for (target, side), fields in zip(names, pipeline.execute(), strict=True):
            if fields:
                since = fields.get("since")
                yield GateView(
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

    def acts(self, most: int = 20) -> tuple[Act, ...]:
        """The last pauses and resumes by operators, newest first.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        with reported():
            lines: Any = self._journal.client.lrange(self._journal.key("acts"), 0, most - 1)
        found = [json.loads(line) for line in lines]
        return tuple(Act(moment(act["at"]), act["what"], act["of"], act["who"], act["why"]) for act in found)

    def listed(
        self,
        state: StateName,
        *,
        kind: str | None = None,
        code: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        target: str | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Status]:
        """Intents of a state, newest first, read page by page as they are asked for.

        By the time at which they came into the state; ``ready``, ``sending`` and ``posted`` by when they are due, when
        their lease ends, and when the ledger is looked at next.

        Args:
            state: One of :class:`blnk_relay.intents.states.State`.
            kind: Only of this kind.
            code: Only with this code.
            since: Only what came into this state at or after this time; for ``ready`` and ``posted``: changed since.
            until: Only what came into this state before this time.
            key: Only the intent with this key or id.
            target: Only of this ledger; the one that the key belongs to.
            oldest_first: The other way round.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        wanted = _Wanted(state, kind, code, since, until, target)
        if key is not None:
            yield from wanted.those_of(self._read((id_of(target or DEFAULT_TARGET, key), key)))
            return
        for page in listing.pages(self._journal, state, target, since, until, oldest_first=oldest_first):
            ids = listing.matching(self._journal, page, wanted.fields(), since, until) if wanted.narrow else page
            for chunk in batched(ids, _CHUNK):
                yield from wanted.those_of(self._read(chunk))

    def _read(self, ids: Sequence[str]) -> list[Status | None]:
        return self._journal.drive(statuses_flow(self._journal.settings.prefix, ids))

    def check_filters(
        self,
        states: Sequence[StateName],
        *,
        kind: str | None = None,
        code: str | None = None,
        target: str | None = None,
    ) -> None:
        """Refuse what cannot match, so that a typing error does not look like an empty list.

        Args:
            states: The states that are listed.
            kind: A kind; one of another version counts as known once an intent of it was enqueued or died.
            code: A code; checked when only dead letters are listed, because any answer's code may stand elsewhere.
            target: A ledger; one that the settings no longer name counts as known while the journal has a lane of it.

        Raises:
            NotFound: There is no such kind or target, or no letter ever died of this code.
            JournalUnavailable: Redis did not answer.
        """
        journal = self._journal
        with reported():
            counts: Any = journal.client.hkeys(journal.key("counts")) if kind or code else ()
            queues: Any = journal.client.smembers(journal.key("queues")) if target else ()
        parts = [name.split("|", _DEATH_PARTS - 1) for name in counts]
        if kind is not None:
            kinds = {*KINDS, *(part[1] for part in parts if part[0] in ("accepted", "dead"))}
            _expect("kind", kind, kinds)
        if target is not None:
            _expect("target", target, {*journal.settings.ledgers, *(queue.partition("|")[2] for queue in queues)})
        if code is not None and LETTERS.issuperset(states):
            codes = {part[3] for part in parts if part[0] == "dead" and len(part) == _DEATH_PARTS}
            # The one code that letters get after their death, and uncounted.
            _expect("code among the dead letters", code, {*codes, "DEPENDENCY_CLOSED"} if codes else codes)

    def plan(self, status: Status) -> ReplayPlan:
        """What a replay of a dead letter would do."""
        if status.state != "dead":
            return ReplayPlan(ReplayWay.NO, f"it is {status.state}, not dead")
        if status.unreadable and status.kind in KINDS:
            return ReplayPlan(ReplayWay.NO, "what was recorded of it is broken: settle it by hand, then discard it")
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
        renewal = self._journal.renewal(status.id, status.generation) if fresh else None
        answer, bells, *taken = self._journal.scripts.run(
            "replay",
            status.id,
            int(self._journal.settings.deadline_s * 1000),
            "1" if fresh else "0",
            *(renewal.encoded().values() if renewal else ("", "", "")),
            self._line("replayed", who, reason or plan.why),
            f"{status.generation}|{status.dead_class}|{status.code}",
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not replayed: it has died again since it was looked at")
        if answer == "taken":
            reference = taken[0].removeprefix(f"{status.target}:")
            raise Refused(f"intent {status.id} is not replayed: reference {reference!r} is taken by an intent already")
        if answer != "replayed":
            raise Refused(f"intent {status.id} is not replayed: it is {answer}, not dead")
        self._bells.ring(bells)
        return plan

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
        if answer != State.DISCARDED:
            raise Refused(f"intent {status.id} is not discarded: it is {answer}, not dead")
        self._bells.ring(bells)

    def pause_lane(self, lane: str, *, who: str, reason: str = "") -> Change:
        """Let workers claim nothing more from a lane; what is being sent is finished.

        Args:
            lane: The lane.
            who: Who says so.
            reason: Why.

        Returns:
            Whose pause stands: this one or, unchanged, an earlier one by the same person.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer.
        """
        self._known(lane)
        return self._paused("lane", lane, who, reason)

    def resume_lane(self, lane: str, *, who: str = "", reason: str = "") -> Change:
        """Let workers claim from a lane again.

        Returns:
            Whose pause has ended.

        Raises:
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer.
        """
        self._known(lane)
        ended = self._act("resume", "lane", lane, who, reason)
        self._bells.ring([lane])
        return ended

    def pause_target(self, target: str, *, who: str, reason: str = "") -> Change:
        """Stop all requests to a target until it is resumed; nobody probes it meanwhile. See :meth:`pause_lane`.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        self._known_target(target)
        return self._paused("target", target, who, reason)

    def resume_target(self, target: str, *, who: str = "", reason: str = "") -> Change:
        """Open all gates of a target, those that workers have shut or slowed as well.

        Returns:
            Whether one was shut or slowed, and whose pause has ended.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        self._known_target(target)
        ended = self._act("resume", "target", target, who, reason)
        self._bells.ring((*self._journal.settings.lanes, CONFIRM_LANE))
        return ended

    def _paused(self, sort: str, name: str, who: str, reason: str) -> Change:
        made = self._act("pause", sort, name, who, reason)
        first = made.pause
        if made.changed or first is None or first.who == who[:_MAX_WHO]:
            return made
        why = f" ({first.reason!r})" if first.reason else ""
        raise Refused(
            f"{sort} {name} is paused already, by {first.who or 'somebody'} since {first.since:%Y-%m-%d %H:%M:%SZ}"
            f"{why}; that pause stands"
        )

    def _act(self, act: str, sort: str, name: str, who: str, reason: str) -> Change:
        # Lanes have gates of their own in a target; a human stops the whole of it.
        sides = self._sides() if act == "resume" else ("write", "read")
        changed, *first = self._journal.scripts.run(
            "pause", act, sort, name, who[:_MAX_WHO], reason[:_MAX_REASON], *(sides if sort == "target" else ())
        )
        return Change(bool(changed), _pause(*first))

    def _sides(self) -> tuple[str, ...]:
        """The gates of a target: of all its writes, of its reads, and of the writes of each lane."""
        return ("write", "read", *(f"lane:{lane}" for lane in self._journal.settings.lanes))

    def _known(self, lane: str) -> None:
        if lane not in self._journal.settings.lanes:
            raise NotFound(f"no lane {lane!r}; the settings list {', '.join(self._journal.settings.lanes)}")

    def _known_target(self, target: str) -> None:
        known = self._journal.settings.ledgers
        if target not in known:
            raise NotFound(f"no target {target!r}; the settings name {', '.join(known)}")

    def _line(self, what: str, who: str, reason: str) -> str:
        return json.dumps(
            {"at": self._journal.now_ms(), "what": what, "by": who[:_MAX_WHO], "note": reason[:_MAX_REASON]},
            ensure_ascii=False,
        )
