"""Errands: what takes longer than anybody waits for a page goes on in a thread of the console's, and is looked at.

They are kept in this process alone. Whatever ends the console breaks off what goes on, and all of it may be: who asks
for the same once more takes it up again, or begins anew.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from blnk_relay import NotFound, Refused, RelayError
from worker.console.hands import where_of

#: Errands that go on at a time, and that are remembered; the oldest that are over make room.
MOST_AT_ONCE, MOST_KEPT = 4, 50

#: Longest wait for all of them, once the console ends.
_END_S = 5.0

_LOG = logging.getLogger("blnk_relay.console")


class BrokenOff(Exception):
    """An errand was told to end, and can do so anywhere."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an errand.

    Attributes:
        said: A sentence.
        document: The same as the command line prints with ``--json``.
        well: Whether there is nothing to be done about it.
        whole: Whether it came to its end; else it was broken off.
    """

    said: str
    document: Mapping[str, Any] = field(default_factory=dict)
    well: bool = True
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand as it stands.

    Attributes:
        id: Its name.
        what: ``audit``, ``doctor``, ``upgrade``, ``recount``, ``keys``, ``renew`` or ``history``.
        of: What it is about, in words.
        target: Whose journal; empty for all.
        who: Who began it.
        via: From where.
        begun: When.
        state: ``running``, ``done``, ``stopped`` or ``failed``.
        steps: How much it has looked at.
        said: Its last word: what it waits for, or what came of it.
        document: What came of it, for programs.
        well: Whether there is nothing to be done about it.
        ended: When it was over.
    """

    id: str
    what: str
    of: str
    target: str
    who: str
    via: str
    begun: datetime
    state: str = "running"
    steps: int = 0
    said: str = ""
    document: Mapping[str, Any] = field(default_factory=dict)
    well: bool = True
    ended: datetime | None = None

    @property
    def over(self) -> bool:
        """Whether nothing goes on any more."""
        return self.state != "running"


class Going:
    """What an errand learns, and tells, while it goes on."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._stop = threading.Event()
        self._steps = 0

    @property
    def stopped(self) -> bool:
        """Whether it is to end."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Have it end."""
        self._stop.set()

    def pause(self, for_s: float) -> bool:
        """Wait so long, and say whether to end."""
        return self._stop.wait(for_s)

    def go_on(self) -> None:
        """Go on, unless it is to end.

        Raises:
            BrokenOff: It is.
        """
        if self.stopped:
            raise BrokenOff

    def step(self, number: int) -> None:
        """It has looked at so many more."""
        self._steps += number
        self._tell(steps=self._steps)

    def say(self, text: str) -> None:
        """Say what it waits for."""
        self._tell(said=text)


class Errands:
    """Those of one console."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Errand] = OrderedDict()
        self._going: dict[str, tuple[Going, threading.Thread]] = {}

    def begin(self, what: str, of: str, work: Callable[[Going], Outcome], *, target: str, who: str, via: str) -> Errand:
        """Begin one.

        Args:
            what: Of which sort.
            of: What it is about, in words.
            work: Does it.
            target: Whose journal; empty for all.
            who: Who asks for it.
            via: From where.

        Raises:
            Refused: The same goes on already, or too much does.
        """
        made = Errand(secrets.token_hex(4), what, of, target, who, via, datetime.now(UTC))
        going = Going(lambda **change: self._change(made.id, **change))
        thread = threading.Thread(target=self._run, args=(made, going, work), name=f"errand-{what}", daemon=True)
        with self._lock:
            running = [self._kept[id_] for id_ in self._going]
            for one in running:
                if one.what == what and (one.target == target or "" in (one.target, target)):
                    raise Refused(f"{one.of} goes on already, begun by {one.who or 'somebody'}: see errand {one.id}")
            if len(running) >= MOST_AT_ONCE:
                raise Refused(f"{len(running)} errands go on already; wait until one is over, or stop one")
            # First, for there may be no thread to be had; it can tell nothing before it is noted.
            thread.start()
            self._kept[made.id] = made
            self._going[made.id] = going, thread
            for id_ in [id_ for id_ in self._kept if id_ not in self._going]:
                if len(self._kept) > MOST_KEPT:
                    del self._kept[id_]
        return made

    def all(self) -> tuple[Errand, ...]:
        """Those that go on and those that are remembered, the newest first."""
        with self._lock:
            return tuple(reversed(self._kept.values()))

    def last(self, what: str, target: str | None = None) -> Errand | None:
        """The newest of a sort, and of a target where one is named."""
        return next((one for one in self.all() if one.what == what and target in (None, one.target)), None)

    def get(self, id_: str) -> Errand:
        """One of them.

        Raises:
            NotFound: There is none, or it is forgotten.
        """
        with self._lock:
            if id_ not in self._kept:
                raise NotFound(f"this console knows of no errand {id_!r}; it forgets old ones, and all when it ends")
            return self._kept[id_]

    def stop(self, id_: str) -> Errand:
        """Have one end where it is.

        Raises:
            NotFound: There is none.
            Refused: It is over already.
        """
        found = self.get(id_)
        with self._lock:
            if id_ not in self._going:
                raise Refused(f"{found.of} is over already: it is {found.state}")
            self._going[id_][0].stop()
        return found

    def close(self) -> None:
        """Have all of them end, and wait a moment for it."""
        with self._lock:
            going = list(self._going.values())
        for one, _ in going:
            one.stop()
        for _, thread in going:
            thread.join(_END_S / len(going))

    def _run(self, made: Errand, going: Going, work: Callable[[Going], Outcome]) -> None:
        try:
            came = work(going)
            end: dict[str, Any] = {"state": "done" if came.whole else "stopped", "said": came.said}
            end |= {"document": came.document, "well": came.well}
        except BrokenOff:
            end = {"state": "stopped", "said": "It was stopped before its end."}
        except RelayError as error:
            end = {"state": "failed", "said": str(error), "well": False}
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is shown more than that
            _LOG.error("the console failed at the errand %s: %s", made.what, where_of(error))
            end = {"state": "failed", "said": "it has failed; the console's log says where", "well": False}
        with self._lock:
            self._kept[made.id] = replace(self._kept[made.id], **end, ended=datetime.now(UTC))
            del self._going[made.id]

    def _change(self, id_: str, **change: Any) -> None:
        with self._lock:
            self._kept[id_] = replace(self._kept[id_], **change)
