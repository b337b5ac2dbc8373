"""Readings of all journals, shared by all who ask at about the same time; a Redis that is away holds nobody up."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from time import monotonic

from blnk_relay.errors import JournalUnavailable, OtherShape
from blnk_relay.journal.journals import Journals, by_server
from blnk_relay.journal.readings import Reading, reading_of
from blnk_relay.log import METRICS_UNREAD, tell

#: How old a reading may be: whoever asks again within that time is told the same.
FRESH_S = 2.0

#: Longest wait for a reading; Prometheus waits ten seconds for all of it unless told otherwise.
PATIENCE_S = 2.5

_log = logging.getLogger(__name__)


class Readings:
    """The latest reading of each journal.

    Args:
        journals: Those that are read; only targets that the settings name.
        fresh_s: How old a reading may be.
        patience_s: Longest wait for one.
    """

    def __init__(self, journals: Journals, fresh_s: float = FRESH_S, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        read = journals.of
        self._servers = [
            _Server(targets, lambda target: reading_of(read(target)), fresh_s)
            for targets in by_server(journals.settings)
        ]

    def latest(self) -> dict[str, Reading | None]:
        """A reading of each target; None where its journal could not be read in time."""
        end_s = monotonic() + self._patience_s
        for server in self._servers:
            server.begin()
        found: dict[str, Reading | None] = {}
        for server in self._servers:
            found |= server.outcome(end_s)
        return found


class Onward:
    """The counters of one journal as this process tells them: none goes back. Used by one thread at a time.

    A Redis that has lost its last moments has lower counters than were told. To Prometheus that is a counter that has
    begun anew, and has come to its whole value since: a failover without ten receipts would show as a million. So what
    was lost is told on, and each further one beside it, for as long as the process lives.

    Example:
        >>> onward = Onward()
        >>> [onward.of({"done": value})["done"] for value in (7, 9, 8, 9)]
        [7, 9, 9, 10]
    """

    def __init__(self) -> None:
        self._last: Mapping[str, int] = {}
        self._lost: dict[str, int] = {}

    def of(self, counts: Mapping[str, int]) -> dict[str, int]:
        """What is told when a journal has these."""
        for name, last in self._last.items():
            if (fell := last - counts.get(name, 0)) > 0:
                self._lost[name] = self._lost.get(name, 0) + fell
        self._last = dict(counts)
        return {name: counts.get(name, 0) + self._lost.get(name, 0) for name in {**counts, **self._lost}}


class _Server:
    """The journals on one Redis, read by one thread at a time."""

    def __init__(self, targets: Sequence[str], read: Callable[[str], Reading], fresh_s: float) -> None:
        self._targets = targets
        self._read = read
        self._fresh_s = fresh_s
        self._changed = threading.Condition()
        self._reading = False
        self._read_s = float("-inf")
        self._found: dict[str, Reading | None] = {}
        self._onward = {target: Onward() for target in targets}

    def begin(self) -> None:
        """Have it read, unless that was done a moment ago or is being done."""
        with self._changed:
            if self._reading or self._is_fresh():
                return
            self._reading = True
        try:
            threading.Thread(target=self._run, name=f"reading {self._targets[0]}", daemon=True).start()
        except RuntimeError as error:
            tell(_log, METRICS_UNREAD, failed=error)
            with self._changed:
                self._reading = False

    def outcome(self, end_s: float) -> dict[str, Reading | None]:
        """What was found, if it is found in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_fresh() or not self._reading, max(0.0, end_s - monotonic()))
            found = self._found if self._is_fresh() else {}
            return {target: found.get(target) for target in self._targets}

    def _is_fresh(self) -> bool:
        return monotonic() - self._read_s < self._fresh_s

    def _run(self) -> None:
        found: dict[str, Reading | None] = {}
        try:
            for target in self._targets:
                # Of a shape that this version does not know: the others may be known.
                with suppress(OtherShape):
                    seen = self._read(target)
                    counts = self._onward[target].of(seen.overview.counts)
                    found[target] = replace(seen, overview=replace(seen.overview, counts=counts))
        except JournalUnavailable:
            # Whoever works here says so in the log; what was read before it counts.
            pass
        except Exception as error:  # noqa: BLE001 - whatever it is, the next one who asks tries again
            tell(_log, METRICS_UNREAD, failed=error)
        with self._changed:
            self._found, self._read_s, self._reading = found, monotonic(), False
            self._changed.notify_all()
