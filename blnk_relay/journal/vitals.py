"""What a server and a journal say of themselves, for whoever looks whether all is well; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from redis.exceptions import RedisError, ResponseError

from blnk_relay.address import RedisAddress
from blnk_relay.errors import OtherShape
from blnk_relay.journal.connection import connect, unavailable
from blnk_relay.journal.flows import Ask, Flow, Run
from blnk_relay.journal.fresh import Fresh, fresh_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.lag import HistoryLag, lag_commands, lag_rest_flow
from blnk_relay.journal.locked import NO_LETTERS, Locked, LockedLetters, locked_flow, locked_letters_flow
from blnk_relay.journal.overview import Overview, overview_flow
from blnk_relay.journal.rates import Sample, samples_flow
from blnk_relay.journal.shape import Program, program_of
from blnk_relay.journal.workers import WorkerView, workers_flow
from blnk_relay.settings import Settings

#: Options of the server that matter to a journal and that INFO does not tell.
_OPTIONS = ("appendfsync", "save", "maxmemory-policy", "min-replicas-to-write")

#: For how long letters count as new.
NEW_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica by the word of its primary.

    Attributes:
        online: Whether it follows, rather than being filled.
        lag_s: Seconds since it was last heard of.
        behind: Bytes that it has not said to have.
    """

    online: bool
    lag_s: int
    behind: int


@dataclass(frozen=True, slots=True)
class ServerVitals:
    """What a Redis says of itself.

    Attributes:
        variable: The setting that leads to it.
        info: INFO, as texts; empty where we may not ask.
        options: Some options of its configuration; None where we may not ask.
        replicas: Those that follow it.
        ahead_s: How far its clock is ahead of that of this machine; None where it did not tell.
        trip_s: How long it took to ask, which that is only as exact as.
        failure: Why nothing could be read; empty where it could.
    """

    variable: str
    info: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] | None = None
    replicas: tuple[Replica, ...] = ()
    ahead_s: float | None = None
    trip_s: float = 0.0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class JournalVitals:
    """What a journal says of itself.

    Attributes:
        target: Whose it is.
        meant: The ledger that the settings mean by the target; empty where they do not say.
        ledger: The one that it belongs to; empty for none yet.
        shape: That is noted in it; empty where nothing was recorded yet.
        epoch: The name of its epoch; empty before any work.
        lost_s: Seconds since it may have lost its last moments; None for never.
        skew_s: What its time differs by from that of its server, after a step.
        steps: How often a step was taken off.
        programs: Worker programs that are alive.
        new_letters: Dead letters of the last hour that nobody has dealt with.
        fresh: What most of them died of, most first; the others are in the number alone.
        overview: Depths, ages, gates; None where its shape is unknown.
        now_ms: The time of the journal; 0 where it was not asked.
        workers: Worker programs, also those that died lately.
        samples: Counters of the last hour, newest first.
        history: How far it is copied into history; None where it was not asked.
        locked: Intents in front of its lanes whose encryption key this process does not have.
        locked_letters: The same of its dead letters, the oldest and the newest of them.
        uncounted: Dead letters that no cause accounts for, or that are accounted for and gone; None where it was not
            asked, because that costs a command for each cause.
        failure: Why nothing could be read; empty where it could.
    """

    target: str
    meant: str = ""
    ledger: str = ""
    shape: str = ""
    epoch: str = ""
    lost_s: float | None = None
    skew_s: float = 0.0
    steps: int = 0
    programs: tuple[Program, ...] = ()
    new_letters: int = 0
    fresh: tuple[Fresh, ...] = ()
    overview: Overview | None = None
    now_ms: int = 0
    workers: tuple[WorkerView, ...] = ()
    samples: tuple[Sample, ...] = ()
    history: HistoryLag | None = None
    locked: tuple[Locked, ...] = ()
    locked_letters: LockedLetters = NO_LETTERS
    uncounted: int | None = None
    failure: str = ""

    @property
    def unread(self) -> bool:
        """Whether nobody knows what is in it: it does not answer, or means something that this version does not know.

        One that was never used has no shape, and nothing in it.
        """
        return bool(self.failure) or (bool(self.shape) and self.overview is None)


def server_vitals(settings: Settings, address: RedisAddress, target: str = "") -> ServerVitals:
    """Ask a server; each wait is bounded by the timeout of the settings.

    Args:
        settings: The bounds.
        address: Where it is.
        target: Whose journal is there, by which a node of a cluster is found; empty for the broker.
    """
    client = connect(settings, address, settings.prefix(target) if target else "")
    try:
        client.ping()
        told: Any = _or_nothing(client.info)
        before_s = time.time()
        clock: Any = _or_nothing(client.time)
        after_s = time.time()
        options: Any = _or_nothing(lambda: client.config_get(*_OPTIONS))
    except RedisError as error:
        return ServerVitals(address.variable, failure=str(unavailable(error, "", address.variable)))
    finally:
        client.close()
    info = told or {}
    return ServerVitals(
        variable=address.variable,
        info={name: str(value) for name, value in info.items() if not isinstance(value, dict)},
        options=None if options is None else {str(name): str(value) for name, value in options.items()},
        replicas=_replicas(info),
        ahead_s=None if clock is None else clock[0] + clock[1] / 1_000_000 - (before_s + after_s) / 2,
        trip_s=after_s - before_s,
    )


def _or_nothing(ask: Any) -> Any:
    """What the server answers; None where it does not let us ask, or does not know what that is."""
    try:
        return ask()
    except ResponseError:
        return None


def _replicas(info: Mapping[str, Any]) -> tuple[Replica, ...]:
    offset = int(info.get("master_repl_offset", 0))
    those = [value for name, value in info.items() if name.startswith("slave") and isinstance(value, dict)]
    return tuple(
        Replica(
            online=one.get("state") == "online",
            lag_s=int(one.get("lag", 0)),
            behind=max(0, offset - int(one.get("offset", offset))),
        )
        for one in those
    )


def journal_vitals(journal: Journal) -> JournalVitals:
    """What a journal says of itself, as far as its shape is known here.

    Raises:
        JournalUnavailable: Redis did not answer.
    """
    found = journal.drive(_ground_flow(journal.settings.prefix(journal.target), journal.target, journal.ledger))
    if not found.shape:
        # Nothing was ever recorded, and whoever looks must not be the first.
        return found
    try:
        return journal.drive(_rest_flow(journal.settings, found, journal.seal.keys().names))
    except OtherShape:
        return found


def uncounted_letters(journal: Journal) -> int:
    """How many dead letters no cause accounts for; a command for each cause.

    Raises:
        JournalUnavailable: Redis did not answer.
    """
    from blnk_relay.journal.causes import uncounted_flow

    return journal.drive(uncounted_flow(journal.prefix))


def _ground_flow(prefix: str, target: str, meant: str) -> Flow[JournalVitals]:
    """What means the same whatever the shape."""
    ground, ledger = yield Ask(
        (
            ("HMGET", f"{prefix}ground", "shape", "epoch", "skew", "steps"),
            ("HGET", f"{prefix}ledger", "is"),
        ),
        whole=False,
    )
    shape, epoch, skew, steps = ground
    return JournalVitals(
        target=target,
        meant=meant,
        ledger=ledger or "",
        shape=shape or "",
        epoch=epoch or "",
        skew_s=float(skew or 0) / 1000,
        steps=int(steps or 0),
    )


def _rest_flow(settings: Settings, found: JournalVitals, held: Sequence[str]) -> Flow[JournalVitals]:
    prefix = settings.prefix(found.target)
    now_ms, _ = yield Run("now", ())
    overview, alive = yield from overview_flow(settings, found.target)
    lost, *copied = yield Ask((("HGET", f"{prefix}ground", "lost"), *lag_commands(prefix)), whole=False)
    new_letters, fresh = yield from fresh_flow(prefix, now_ms - NEW_MS)
    history = yield from lag_rest_flow(settings, found.target, now_ms, copied)
    workers = yield from workers_flow(settings, found.target)
    samples = yield from samples_flow(prefix)
    locked = yield from locked_flow(prefix, [depth.lane for depth in overview.lanes], held, now_ms)
    letters = yield from locked_letters_flow(prefix, held, overview.dead)
    return replace(
        found,
        now_ms=now_ms,
        workers=workers,
        samples=samples,
        lost_s=(now_ms - int(float(lost))) / 1000 if lost else None,
        programs=tuple(sorted(map(program_of, alive))),
        new_letters=new_letters,
        fresh=fresh,
        overview=overview,
        history=history,
        locked=locked,
        locked_letters=letters,
    )
