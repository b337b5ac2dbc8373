"""Virtual time and virtual processes in one thread: every actor is a greenlet, and a seed decides who runs next.

Nothing here is parallel. A greenlet runs until it touches the outside (a trip, a sleep, a wait); then the hub takes the
next event in the order of its time. A process that has crashed is never resumed; one that is frozen is resumed late.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

#: Virtual time at the begin of a run, in seconds; far from 0, where a forgotten subtraction might go unnoticed.
BEGIN_S = 1_000.0

#: What a handover between two threads of a process takes at most.
_HANDOVER_S = 0.0002


class Ended(BaseException):
    """Raised in what is resumed after its run: nothing that it does may matter any more."""


class Broken(BaseException):
    """Ends a run at once: an error that nothing is there to deal with, or something that cannot be played.

    Code under test must not go on after it, as it would after most that is an ``Exception``.
    """


class Process:
    """A process of the simulated system: it lives, freezes, dies.

    Attributes:
        name: For the story.
        alive: Whether its greenlets are resumed.
        frozen_s: Until when they are not, although it lives.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.frozen_s = 0.0

    def __repr__(self) -> str:
        return self.name


class Actor(greenlet):
    """A thread of a process."""

    process: Process
    name: str
    #: Counts its resumptions: an event that was meant for an earlier wait finds another number.
    turn: int
    #: Whether it waits for ever, for somebody to wake it.
    about: Any


class Hub:
    """The clock, and what is due.

    Args:
        seed: Of latencies and handovers.
    """

    def __init__(self, seed: int) -> None:
        self.now_s = BEGIN_S
        self.random = random.Random(seed)
        self.over = False
        self._due: list[tuple[float, int, Actor | Callable[[], None], int]] = []
        self._numbers = itertools.count()
        self._all: list[Actor] = []
        self._main = getcurrent()
        self.resumed = 0

    # -- for actors -------------------------------------------------------------------------------------------------

    def spawn(self, process: Process, run: Callable[[], Any], name: str) -> Actor:
        """Let something run in a process, a moment from now."""

        def guarded() -> None:
            try:
                run()
            except Ended:
                pass
            except Exception as error:
                raise Broken(f"{process.name} {name}: {type(error).__name__}: {error}") from error

        actor = Actor(guarded, self._main)
        actor.process, actor.name, actor.turn, actor.about = process, name, 0, None
        self._all.append(actor)
        self._at(self.now_s + self.random.random() * _HANDOVER_S, actor)
        return actor

    def sleep(self, seconds: float) -> None:
        """Let others run until then."""
        actor = current()
        self._at(self.now_s + max(seconds, 0.0), actor)
        self._leave()

    def wait(self) -> None:
        """Let others run until somebody wakes this actor."""
        self._leave()

    def wake(self, actor: Actor, seconds: float | None = None) -> None:
        """Resume one that waits, in a moment; or after a while, if nothing else resumes it before."""
        self._at(self.now_s + (self.random.random() * _HANDOVER_S if seconds is None else seconds), actor)

    def call(self, seconds: float, run: Callable[[], None]) -> None:
        """Do something after a while that belongs to no process."""
        heapq.heappush(self._due, (self.now_s + seconds, next(self._numbers), run, 0))

    def _at(self, at_s: float, actor: Actor) -> None:
        heapq.heappush(self._due, (at_s, next(self._numbers), actor, actor.turn))

    def _leave(self) -> None:
        self._main.switch()
        if self.over:
            raise Ended

    # -- for whoever runs it ----------------------------------------------------------------------------------------

    def run(self, until_s: float, stop: Callable[[], bool] = lambda: False) -> None:
        """Let what is due happen, until a time, or until it is to stop; Broken comes out of it."""
        due = self._due
        while due and due[0][0] <= until_s and not stop():
            at_s, _, what, turn = heapq.heappop(due)
            if not isinstance(what, Actor):
                self.now_s = max(self.now_s, at_s)
                what()
                continue
            if what.turn != turn or what.dead or not what.process.alive:
                continue
            if what.process.frozen_s > at_s:
                heapq.heappush(due, (what.process.frozen_s, next(self._numbers), what, turn))
                continue
            self.now_s = max(self.now_s, at_s)
            what.turn += 1
            self.resumed += 1
            what.switch()
        if not stop():
            self.now_s = max(self.now_s, until_s)

    def end(self) -> None:
        """Nothing runs any more; what has begun is unwound without a trace."""
        self.over = True
        self._due.clear()
        for actor in self._all:
            if not actor.dead and actor:
                actor.throw(Ended)
        self._all.clear()


#: The hub of the run that is under way: modules under test know no runs.
_hub: Hub | None = None


def hub() -> Hub:
    """That of the run which is under way."""
    if _hub is None:
        raise Broken("nothing is being simulated")
    return _hub


def use(one: Hub | None) -> None:
    """Begin or end a run."""
    global _hub  # noqa: PLW0603 - one at a time
    _hub = one


def current() -> Actor:
    """Whoever runs now."""
    actor = getcurrent()
    if not isinstance(actor, Actor):
        raise Broken("this waits, and nobody would resume it")
    return actor


# -- in the place of the standard library -------------------------------------------------------------------------


class Time:
    """In the place of the module ``time``."""

    @staticmethod
    def sleep(seconds: float) -> None:
        hub().sleep(seconds)

    @staticmethod
    def monotonic() -> float:
        return hub().now_s

    @staticmethod
    def clock_gettime(_: int) -> float:
        return hub().now_s


class Queue:
    """In the place of ``queue.Queue``."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._waiting: deque[Actor] = deque()

    def __class_getitem__(cls, _: Any) -> type[Queue]:
        return cls

    def put(self, item: Any) -> None:
        self._items.append(item)
        if self._waiting:
            hub().wake(self._waiting.popleft())

    def get(self, timeout: float | None = None) -> Any:
        if not self._items:
            actor = current()
            end_s = hub().now_s + (timeout or 0.0)
            while not self._items:
                left_s = end_s - hub().now_s
                if timeout is not None and left_s <= 0:
                    raise _Empty
                self._waiting.append(actor)
                if timeout is not None:
                    hub().wake(actor, left_s)
                hub().wait()
                if actor in self._waiting:
                    self._waiting.remove(actor)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        if not self._items:
            raise _Empty
        return self._items.popleft()


from queue import Empty as _Empty  # noqa: E402 - a name of the standard library's, beside what replaces the rest


class Event:
    """In the place of ``threading.Event``."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: deque[Actor] = deque()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        while self._waiting:
            hub().wake(self._waiting.popleft())

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._set:
            actor = current()
            self._waiting.append(actor)
            if timeout is not None:
                hub().wake(actor, timeout)
            hub().wait()
            if actor in self._waiting:
                self._waiting.remove(actor)
        return self._set


class Lock:
    """In the place of ``threading.Lock``. What is held across a wait is never waited for: it would be a deadlock."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True) -> bool:
        if self._held:
            assert not blocking, "a lock is held while its holder waits"
            return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Thread:
    """In the place of ``threading.Thread``."""

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...] = (), name: str = "", **_: Any) -> None:
        self._run = lambda: target(*args)
        self._name = name
        self._process = getattr(getcurrent(), "process", None)

    def start(self) -> None:
        hub().spawn(current().process if self._process is None else self._process, self._run, self._name)


class Threading:
    """In the place of the module ``threading``."""

    Event = Event
    Lock = Lock
    Thread = Thread

    @staticmethod
    def current_thread() -> Any:
        return getcurrent()
