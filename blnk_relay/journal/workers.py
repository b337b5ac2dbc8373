"""Worker programs: what they say of themselves with each sign of life, who died, and what an operator wants of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from blnk_relay.journal.actions import MAX_REASON, MAX_WHO, told
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.pauses import Word
from blnk_relay.journal.shape import program_of
from blnk_relay.journal.status import moment
from blnk_relay.settings import Settings

#: Worker programs and fallen processes that are read of one journal.
MOST = 1_000

#: Names of one kind, such as targets, that a sign of life carries.
MOST_NAMES = 50

#: Processes of one worker program that a sign of life carries.
MOST_PROCESSES = 200

#: How many letters a name, a host or a version may have.
_MOST_TEXT = 120

#: Host and process id, as far as somebody has typed it.
_PLACE = re.compile(r"[^:]+:[0-9]+")

#: States of a worker program that claims nothing new.
LEAVING = ("quiet", "stopping")


@dataclass(frozen=True, slots=True)
class Sign:
    """What a worker program says of itself.

    Attributes:
        version: Of its package.
        shape: The newest shape of a journal that it knows.
        lanes: That it serves.
        targets: The same.
        pool: ``threads``, ``prefork`` or ``solo``.
        connections: How many requests it may make at a time, to all its ledgers together.
        busy: How many of these it makes now.
        processes: Ids of the processes that take intents for it.
        started_ms: When it began, in ms since 1970, by the clock of its machine.
        memory: Bytes that all its processes occupy; 0 where nobody can tell.
        state: ``running``, ``quiet`` or ``stopping``.
        unwell: Why it makes no progress; empty where it does, or has nothing to do.
    """

    version: str = ""
    shape: int = 0
    lanes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    pool: str = ""
    connections: int = 0
    busy: int = 0
    processes: tuple[int, ...] = ()
    started_ms: int = 0
    memory: int = 0
    state: str = "running"
    unwell: str = ""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker program, as the journals know it.

    Attributes:
        name: Host, process id and a random part, with colons between them.
        host: Where it runs.
        pid: Its process id there.
        version: Of its package; empty where it does not say.
        shape: The newest shape of a journal that it knows.
        state: ``running``, ``quiet`` (claims nothing new), ``stopping`` (the same, and leaves), or ``dead``.
        seen: When it was last heard of, or said that it would be heard of again.
        journals: Targets in whose journals it gave a sign of life.
        sign: What it says of itself; of one that is too old to say anything all of it is empty.
        in_hand: Intents under its leases.
        held: Intents that it, or a process of it, held when it died.
        held_ids: The first of them.
        wish: What an operator wants of it: ``quiet`` or ``stop``; empty for nothing.
        who: Who wants that.
        reason: Why.
    """

    name: str
    host: str
    pid: int
    version: str
    shape: int
    state: str
    seen: datetime
    journals: tuple[str, ...]
    sign: Sign = Sign()
    in_hand: int = 0
    held: int = 0
    held_ids: tuple[str, ...] = ()
    wish: str = ""
    who: str = ""
    reason: str = ""

    @property
    def alive(self) -> bool:
        """Whether it gave a sign of life lately."""
        return self.state != "dead"

    @property
    def place(self) -> str:
        """Host and process id."""
        return f"{self.host}:{self.pid}"

    @property
    def can_be_told(self) -> bool:
        """Whether it can be told to be quiet or to stop: it is alive, and not too old to read that."""
        return self.alive and bool(self.sign.pool)


def sign_of(sign: Sign) -> str:
    """A sign as it stands in a journal; no longer than is bearable, however many targets there are.

    Example:
        >>> read_sign(sign_of(Sign(lanes=("refunds",), busy=3))).busy
        3
    """
    return json.dumps(
        {
            "version": sign.version[:_MOST_TEXT],
            "shape": sign.shape,
            "lanes": [lane[:_MOST_TEXT] for lane in sign.lanes[:MOST_NAMES]],
            "targets": [target[:_MOST_TEXT] for target in sign.targets[:MOST_NAMES]],
            "pool": sign.pool,
            "connections": sign.connections,
            "busy": sign.busy,
            "processes": sign.processes[:MOST_PROCESSES],
            "started": sign.started_ms,
            "memory": sign.memory,
            "state": sign.state,
            "unwell": sign.unwell[:_MOST_TEXT],
        }
    )


def read_sign(text: str) -> Sign:
    """A sign of any version; what cannot be read is left out."""
    try:
        says = json.loads(text)
    except ValueError:
        return Sign()
    if not isinstance(says, dict):
        return Sign()
    return Sign(
        version=str(says.get("version", "")),
        shape=int(says.get("shape", 0)),
        lanes=tuple(map(str, says.get("lanes", ()))),
        targets=tuple(map(str, says.get("targets", ()))),
        pool=str(says.get("pool", "")),
        connections=int(says.get("connections", 0)),
        busy=int(says.get("busy", 0)),
        processes=tuple(int(pid) for pid in says.get("processes", ())),
        started_ms=int(says.get("started", 0)),
        memory=int(says.get("memory", 0)),
        state=str(says.get("state", "running")),
        unwell=str(says.get("unwell", "")),
    )


def place_of(name: str) -> tuple[str, int]:
    """Host and process id out of a name.

    Example:
        >>> place_of("web-1:42:a1b2c3")
        ('web-1', 42)
    """
    host, _, rest = name.partition(":")
    pid = rest.partition(":")[0]
    return host, int(pid) if pid.isdigit() else 0


def workers_flow(settings: Settings, target: str) -> Flow[tuple[WorkerView, ...]]:
    """The worker programs of one journal, in a number of trips that depends on nothing; the dead ones of half a day."""
    prefix = settings.prefix(target)
    now_ms, _ = yield Run("now", ())
    dead_ms = now_ms - int(settings.dead_worker_s * 1000)
    signs, alive, holding = yield Ask(
        (
            ("ZREVRANGE", f"{prefix}signs", 0, MOST - 1, "WITHSCORES"),
            ("ZRANGEBYSCORE", f"{prefix}alive", dead_ms, "+inf", "WITHSCORES", "LIMIT", 0, MOST),
            ("ZRANGE", f"{prefix}workers", 0, MOST - 1),
        ),
        whole=False,
    )
    records, held = [], []
    if signs or holding:
        answers = yield Ask(
            (
                *(("HGETALL", f"{prefix}worker:{name}") for name, _ in signs),
                *(("ZCARD", f"{prefix}leased:{name}") for name in holding),
            ),
            whole=False,
        )
        records, held = answers[: len(signs)], answers[len(signs) :]
    found = [(str(name), float(at), fields) for (name, at), fields in zip(signs, records, strict=True)]
    return seen_in(target, found, alive, dict(zip(holding, held, strict=True)), dead_ms)


def seen_in(
    target: str,
    signs: Sequence[tuple[str, float, Mapping[str, str]]],
    alive: Sequence[Sequence[Any]],
    holding: Mapping[str, int],
    dead_ms: float,
) -> tuple[WorkerView, ...]:
    """Worker programs out of what stands in a journal. Pure.

    Args:
        target: Whose journal.
        signs: Of each that is told of: its name, when it was to be heard of again, and the fields of its record.
        alive: Signs of life as all versions give them, each with the same time.
        holding: Intents in the hands of each process.
        dead_ms: Whoever was to be heard of before this is dead.
    """
    programs = {program_of(str(sign)).name: (program_of(str(sign)), float(at)) for sign, at in alive}
    views: dict[str, WorkerView] = {}
    for name, at, fields in signs:
        if "sign" in fields:
            sign = read_sign(fields["sign"])
            state = sign.state if at >= dead_ms else "dead"
            views[name] = _view(
                name,
                target,
                at,
                version=sign.version,
                shape=sign.shape,
                state=state,
                sign=sign,
                wish=fields.get("wish", ""),
                who=fields.get("who", ""),
                reason=fields.get("why", ""),
            )
    for name, (program, at) in programs.items():
        if name not in views:
            views[name] = _view(name, target, at, version=program.version, shape=program.shape, state="running")
    owners = {(view.host, pid): view.name for view in views.values() for pid in (view.pid, *view.sign.processes)}
    for process, number in holding.items():
        name = owners.get(place_of(process), "")
        if name:
            views[name] = replace(views[name], in_hand=views[name].in_hand + number)
    for process, at, fields in signs:
        if "fell" not in fields:
            continue
        name = owners.get(place_of(process), "")
        view = views.get(name) or _view(process, target, at, version="", shape=0, state="dead")
        ids = (*view.held_ids, *fields.get("ids", "").split())
        views[view.name] = replace(view, held=view.held + int(fields.get("held", 0)), held_ids=ids)
    return tuple(views.values())


def _view(name: str, target: str, at_ms: float, **fields: Any) -> WorkerView:
    host, pid = place_of(name)
    return WorkerView(name=name, host=host, pid=pid, seen=moment(int(at_ms)), journals=(target,), **fields)


def together(parts: Sequence[Sequence[WorkerView]]) -> tuple[WorkerView, ...]:
    """Those of several journals, each once; those that are alive first, and by name. Pure.

    Of one that serves several, what it said last counts; what it holds, or held, is added up. A process that fell
    before its program had given a sign in that journal belongs to the program that has given one in another.
    """
    views = [view for part in parts for view in part]
    owners = {(view.host, pid): view.name for view in views if view.version for pid in (view.pid, *view.sign.processes)}
    found: dict[str, WorkerView] = {}
    for view in views:
        name = view.name if view.version else owners.get((view.host, view.pid), view.name)
        known = found.get(name)
        if known is None:
            found[name] = replace(view, name=name)
            continue
        first, last = sorted((known, view), key=lambda one: (bool(one.version), one.seen))
        wish = known if known.wish == "stop" or not view.wish else view
        found[name] = replace(
            last,
            name=name,
            version=last.version or first.version,
            shape=last.shape or first.shape,
            # One Redis may be away from it while others are not.
            state=last.state if last.alive or not first.alive else first.state,
            journals=tuple(sorted({*known.journals, *view.journals})),
            in_hand=known.in_hand + view.in_hand,
            held=known.held + view.held,
            held_ids=(*known.held_ids, *view.held_ids),
            wish=wish.wish,
            who=wish.who,
            reason=wish.reason,
        )
    return tuple(sorted(found.values(), key=lambda view: (not view.alive, view.name)))


def chosen(views: Sequence[WorkerView], wanted: str) -> tuple[WorkerView, ...]:
    """Those that a name means: the whole of it, host and process id, or how it begins. Pure.

    Args:
        views: All of them.
        wanted: The name.
    """
    exact = called(views, wanted)
    # A process id is often how another one begins, so that half of one means nobody.
    if exact or _PLACE.fullmatch(wanted):
        return exact
    return tuple(view for view in views if view.name.startswith(wanted))


def called(views: Sequence[WorkerView], name: str) -> tuple[WorkerView, ...]:
    """Those with just this name, or host and process id. Pure."""
    return tuple(view for view in views if name in (view.name, view.place))


def serving(views: Iterable[WorkerView], lane: str) -> int:
    """How many of them take from a lane. Pure; one that is too old to say what it serves may serve anything."""
    running = (view.sign for view in views if view.state == "running")
    return sum(lane in sign.lanes or not sign.pool for sign in running)


def wish_flow(settings: Settings, name: str, wish: str, word: Word) -> Flow[bool]:
    """Tell a worker program, in one journal, what an operator wants of it.

    Args:
        settings: After which silence it is dead.
        name: Its name.
        wish: ``quiet`` or ``stop``.
        word: Whose word it is.

    Returns:
        Whether that is news to it.
    """
    action = told(wish, f"worker {name}", who=word.who, via=word.via, reason=word.reason, mark=word.mark)
    dead_ms = int(settings.dead_worker_s * 1000)
    [news] = yield Run("wish", (name, wish, word.who[:MAX_WHO], word.reason[:MAX_REASON], dead_ms, action))
    return bool(news)
