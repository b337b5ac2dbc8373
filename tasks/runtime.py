"""What a worker process has for one target: its journal, the way to its ledger, a name. Built after the fork."""

from __future__ import annotations

import mmap
import os
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from blnk_relay.bell import Bells
from blnk_relay.intents.decision import Dead
from blnk_relay.intents.exchange import GateChange, Request, Response
from blnk_relay.intents.found import Lookup, Record, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Policy
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.journal import Journal
from blnk_relay.settings import CONFIRM_LANE, Settings
from tasks.leases import Keeper
from tasks.meter import Meter
from tasks.pace import Pace
from tasks.posters import Posters

#: How many intents the first look of a process takes, before it is known what they cost.
FIRST_LOOKS = 50

#: How often the same thing is worth a line in the log.
SAY_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Looked:
    """What a read of the ledger brought.

    Attributes:
        rows: Rows of transactions.
        records: Of other resources.
        failed: What could not be read, each with the answer that was no success, or after which it was not asked for.
    """

    rows: tuple[Row, ...] = ()
    records: tuple[Record, ...] = ()
    failed: Mapping[Lookup, Response] = field(default_factory=dict)

    @property
    def failure(self) -> Response | None:
        """The first answer that was no success."""
        return next(iter(self.failed.values()), None)


#: How often somebody who waits looks whether the process is to stop.
_STEP_S = 0.02


class Stopping:
    """Whether a worker is to claim nothing more; one for all of its processes.

    A byte that parent and children share, because pool processes get no signal of their own when their worker is told.
    Setting it takes no lock, so it can be done in a signal's handler, whatever the thread holds that was interrupted.
    """

    _QUIET, _STOPPING = 1, 2

    def __init__(self) -> None:
        self._flag = mmap.mmap(-1, 1)
        self._ends = False

    def is_set(self) -> bool:
        """Whether this process is to claim nothing more: it ends, or the worker is to be quiet or to stop."""
        return self._ends or self._flag[0] != 0

    def end(self) -> None:
        """This process ends, of its own or of somebody's accord; that is no reason for others to stop."""
        self._ends = True

    def set(self) -> None:
        """It is to stop, from now on."""
        self._flag[0] = self._STOPPING

    def hush(self) -> None:
        """It is to be quiet: it claims nothing more, and stays."""
        self._flag[0] = self._flag[0] or self._QUIET

    @property
    def word(self) -> str:
        """``running``, ``quiet`` or ``stopping``."""
        return ("running", "quiet", "stopping")[self._flag[0]]

    def clear(self) -> None:
        """It is not: a new beginning."""
        self._flag[0] = 0
        self._ends = False

    def wait(self, timeout_s: float) -> bool:
        """Wait for so long, or until it is. Returns whether it is."""
        end_s = steady_s() + timeout_s
        while not self.is_set() and (left_s := end_s - steady_s()) > 0:
            time.sleep(min(left_s, _STEP_S))
        return self.is_set()


class Tally:
    """What each process of a worker program is at: requests under way, how often it settled, and found nothing to do.

    In memory that parent and children share, a place for each process by its id; only its own process writes to it.
    Should two ids ever meet in one place, whoever wrote last is seen, and the other counts as idle for the moment.
    """

    _PLACES, _FORM = 4096, struct.Struct("=IIQQ")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._PLACES * self._FORM.size)
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._busy = self._settled = self._idle = 0

    def after_fork(self) -> None:
        """A child begins with nothing, and must not wait for a lock that a thread of its parent's held."""
        self._begin()

    def begin(self) -> None:
        """A request begins."""
        self._add(busy=1)

    def end(self) -> None:
        """A request is over."""
        self._add(busy=-1)

    def settle(self) -> None:
        """Intents were settled, whatever they came to."""
        self._add(settled=1)

    def idle(self) -> None:
        """A loop asked for work and got none: there was nothing for it."""
        self._add(idle=1)

    def of(self, pids: Iterable[int]) -> tuple[int, int, int]:
        """Of some processes together: requests under way, how often they settled, and how often they got no work."""
        busy = settled = idle = 0
        for pid in pids:
            owner, *seen = self._FORM.unpack_from(self._memory, self._at(pid))
            if owner == pid:
                busy, settled, idle = busy + seen[0], settled + seen[1], idle + seen[2]
        return busy, settled, idle

    def _add(self, *, busy: int = 0, settled: int = 0, idle: int = 0) -> None:
        pid = os.getpid()
        with self._lock:
            self._busy, self._settled, self._idle = self._busy + busy, self._settled + settled, self._idle + idle
            self._FORM.pack_into(self._memory, self._at(pid), pid, self._busy, self._settled, self._idle)

    def _at(self, pid: int) -> int:
        return pid % self._PLACES * self._FORM.size


#: That of this worker program.
tally = Tally()


class Ledger(Protocol):
    """The way to the ledger. Both methods are bounded in time and never raise for what the network does."""

    def send(self, request: Request, request_id: str, *, start_by_s: float) -> Response:
        """Make one write.

        Args:
            request: What to write.
            request_id: For the logs of both sides.
            start_by_s: On :func:`blnk_relay.journal.clock.steady_s`: should the first byte not have left by then, it
                does not leave, and the answer is ``NOT_SENT`` with the code ``LEASE_OVER``.
        """

    def look(self, lookups: Sequence[Lookup]) -> Looked:
        """Read rows back, many values in few requests; what fails takes nothing else with it."""

    def share(self, lookup: Lookup) -> float:
        """What part of a request it takes to answer one of many such questions."""

    @property
    def ready_s(self) -> float:
        """Longest time before the first byte of a request leaves: for the credential and the connection."""

    def longest_s(self, request: Request) -> float:
        """Longest time that one write may take, :attr:`ready_s` included; it grows with what is in it."""

    def rest(self) -> None:
        """Give back the connections that nobody uses: there has been nothing to write for a while."""


class Reports(Protocol):
    """Where failures go that need a human."""

    def dead(self, entry: Entry, death: Dead) -> None:
        """A new dead letter."""

    def paused(self, target: str, side: str, change: GateChange) -> None:
        """A target was paused, or cannot be reached."""

    def opened(self, target: str, side: str, code: str, shut_s: float) -> None:
        """A side of a target that was paused is open again."""

    def found(self, target: str, lost_s: float) -> None:
        """A target can be reached again."""


@dataclass(slots=True)
class Runtime:
    """What the loops of one process share that work for one target.

    Attributes:
        target: Its name.
        journal: Its journal.
        ledger: The way to it, with connections and a credential of its own.
        worker: Name of this process in the target's journal: host, process id, and a random part.
        stopping: Set when the worker is to stop: nothing new is claimed, and what was not begun is given back.
        posters: The threads that wait for the ledger, one for each connection.
        turns: One lock for each lane, held by the loop that claims from it: a second one in the same process would only
            hold more than the connections can send.
        looking: The same for the read-back.
        rung: Lanes that a bell came for, until a loop begins on them.
        keeper: Prolongs the leases of all that this process has in hand for the target.
        pace: How fast the target answers reads.
        latency_s: How long a connection is busy with one intent, by lane.
        looks: How many intents the next look takes.
        shut: Resources that cannot be read, until when by the steady clock, and the answer that said so.
        meter: Told how long all takes; None where nobody measures.
    """

    settings: Settings
    target: str
    journal: Journal
    bells: Bells
    ledger: Ledger
    reports: Reports
    policy: Policy
    worker: str
    meter: Meter | None = None
    stopping: Stopping = field(default_factory=Stopping)
    posters: Posters = field(init=False)
    turns: Mapping[str, threading.Lock] = field(init=False)
    looking: threading.Lock = field(init=False, default_factory=threading.Lock)
    rung: set[str] = field(init=False, default_factory=set)
    keeper: Keeper = field(init=False)
    pace: Pace = field(init=False, default_factory=Pace)
    latency_s: dict[str, float] = field(init=False, default_factory=dict)
    looks: int = field(init=False, default=FIRST_LOOKS)
    shut: dict[str, tuple[float, Response]] = field(init=False, default_factory=dict)
    _said: dict[str, float] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.posters = Posters(self.settings.connections, self.target, self._rest, around=tally)
        self.turns = {lane: threading.Lock() for lane in self.settings.lanes}
        self.keeper = Keeper(self.journal, self.worker, self.settings.dead_worker_s)

    def _rest(self) -> None:
        self.ledger.rest()

    def ring(self, lanes: Iterable[str]) -> None:
        """Wake workers for some lanes of the target."""
        self.bells.ring(self.target, lanes)

    def once_in_a_while(self, what: str, every_s: float = SAY_EVERY_S) -> bool:
        """Whether something is worth a line in the log: it was not said for a while."""
        now_s = steady_s()
        if self._said.get(what, -every_s) + every_s > now_s:
            return False
        self._said[what] = now_s
        return True


_settings: Settings | None = None
_factory: Callable[[str], Runtime] | None = None
_built: dict[tuple[int, str], Runtime] = {}
_lock = threading.Lock()
_stopping = Stopping()


def worker_name() -> str:
    """A name that no other process ever had."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def install(settings: Settings, factory: Callable[[str], Runtime]) -> None:
    """Say how the runtime of a target is built; the worker does this before it hears its first bell."""
    global _factory, _settings
    _settings, _factory = settings, factory
    _built.clear()
    _stopping.clear()


def known(target: object, lane: object) -> bool:
    """Whether this worker serves a lane of a target; the read-back is one."""
    if _settings is None:
        raise RuntimeError("no runtime is installed: tasks run in a worker started with blnk-relay worker")
    return target in _settings.ledgers and lane in (*_settings.lanes, CONFIRM_LANE)


def longest_end_s() -> float:
    """How long requests may take that are under way when this worker is told to stop; 0 where there is none."""
    return 0.0 if _settings is None else _settings.lease_s + _settings.redis_timeout_s


def runtime(target: str) -> Runtime:
    """The runtime of a target in this process; a forked child builds its own, because sockets cannot be shared."""
    place = (os.getpid(), target)
    built = _built.get(place)
    if built is not None:
        return built
    with _lock:
        if place not in _built:
            if _factory is None:
                raise RuntimeError("no runtime is installed: tasks run in a worker started with blnk-relay worker")
            built = _factory(target)
            built.stopping = _stopping
            _built[place] = built
        return _built[place]


def stop() -> None:
    """Have all loops of this worker, those of its pool's processes too, claim nothing new and finish what is begun."""
    _stopping.set()


def end() -> None:
    """Have the loops of this process claim nothing new and finish what is begun; other processes go on."""
    _stopping.end()


def hush() -> None:
    """Have all loops of this worker claim nothing new and finish what is begun, and stay."""
    _stopping.hush()


def stopping() -> bool:
    """Whether this worker was told to stop, or to be quiet."""
    return _stopping.is_set()


def state_word() -> str:
    """Whether this worker is ``running``, ``quiet`` or ``stopping``."""
    return _stopping.word


def _forget() -> None:
    """A forked child must not wait for a lock that a thread of its parent's held."""
    global _lock  # noqa: PLW0603 - one for each process
    _lock = threading.Lock()
    _built.clear()
    tally.after_fork()


os.register_at_fork(after_in_child=_forget)
