"""The sweeper: part of every worker, so that there is no scheduler to keep alive.

A sweep of a journal says when the next thing is due there that no bell tells of, and nobody looks before, unless a bell
is heard for it: whatever begins to wait in a journal, or will be due, rings. A bell may be lost, so there is a slow
round besides. It is the slower the more targets there are, so that those with nothing to do cost a few commands a
second in all; one alone is looked at with every sweep.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from celery import bootsteps

from blnk_relay.bell import queue_of
from blnk_relay.errors import JournalUnavailable, OtherShape
from blnk_relay.intents.steps import EXPIRED
from blnk_relay.journal.actions import Entry
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import by_server
from blnk_relay.log import ACTED, JOURNAL_AWAY, JOURNAL_BACK, LEFT_BEHIND, OTHER_LEDGER, SWEEP_FAILED, UNNAMED, tell
from blnk_relay.settings import CONFIRM_LANE, Settings
from blnk_relay.transport.queues import BROKER_ERRORS
from tasks.reports import tell_dead
from worker.carriers import Carriers
from worker.complaints import Complaints
from worker.outcome_task import Callbacks
from worker.presence import Presence, processes_of, stop_listening
from worker.shared import Shared
from worker.watch import Bellwatch

#: Targets with nothing to do that one worker looks at in a second, at most.
IDLE_LOOKS = 4.0

#: Longest time between two looks at one of them, however many there are: what a lost bell costs.
MOST_IDLE_S = 30.0

#: The time that a worker takes for its first look at all of them.
FIRST_ROUND_S = 2.0

#: How often it is looked for targets that the settings do not name.
_UNNAMED_EVERY_S = 60.0

#: What operators do that changes what workers do, and its name in their log; who is to stop says so itself.
ACTS: Mapping[str, str] = {
    "pause": "pause",
    "resume": "resume",
    "rebind": "rebind",
    "begin": "begin a job",
    "stop job": "stop a job",
    "end": "end of a job",
}

_log = logging.getLogger(__name__)


def idle_s(targets: int, sweep_s: float) -> float:
    """Seconds between two looks at a journal in which nothing is due.

    Args:
        targets: How many targets the worker has.
        sweep_s: The shortest time between two.

    Example:
        >>> idle_s(1, 1.0), idle_s(100, 1.0)
        (1.0, 25.0)
    """
    return min(max(sweep_s, targets / IDLE_LOOKS), max(sweep_s, MOST_IDLE_S))


class Sweeper(bootsteps.StartStopStep):
    """Sweeps the journals now and then, in threads of its own: it must go on when the event loop does not.

    One thread for each Redis, so that one that hangs holds up the journals of no other.
    """

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        self._parent = parent
        self._shared: Shared = parent.app.conf.blnk_relay
        self._settings = self._shared.settings
        self._presence = Presence(
            self._settings,
            pool=_pool_of(parent),
            lanes=_lanes_of(parent, self._settings),
            processes=lambda: processes_of(parent),
            leave=self._leave,
            stop_listening=lambda: stop_listening(parent),
        )
        self._shared.presence = self._presence
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._carriers: list[Carriers] = []

    def start(self, _parent: Any) -> None:
        """Begin, once the worker's pool is up."""
        for number, targets in enumerate(by_server(self._settings)):
            carriers = Carriers(self._shared)
            self._carriers.append(carriers)
            self._begin(f"sweeper-{number}", lambda targets=targets, carriers=carriers: self._sweep(targets, carriers))
            self._begin(f"carrier-{number}", lambda carriers=carriers: carriers.run(self._stop))
            self._begin(f"unnamed-{number}", lambda targets=targets: self._look_for_unnamed(targets))
        self._begin("bellwatch", self._watch)

    def _leave(self) -> None:
        # Its exit code is that of one that was told. Celery's own, started by hand, has a code of its own.
        if (leave := getattr(self._parent, "leave", None)) is not None:
            leave()

    def _begin(self, name: str, run: Any) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, _parent: Any) -> None:
        """End within the timeout of one trip to the journal."""
        self._stop.set()
        for carriers in self._carriers:
            carriers.wake()
        end_s = time.monotonic() + self._settings.redis_timeout_s * 2
        for thread in self._threads:
            thread.join(max(0.0, end_s - time.monotonic()))

    def _sweep(self, targets: Sequence[str], carriers: Carriers) -> None:
        """Sweep until told to stop; no error ends this thread, for nobody would notice."""
        complaints = Complaints(_log)
        wait_s = idle_s(len(self._settings.ledgers), self._settings.sweep_s)
        rounds = [
            Round(
                self._shared,
                target,
                self._presence.program.sign,
                wait_s,
                (number + 1) / len(targets),
                presence=self._presence,
                carriers=carriers,
            )
            for number, target in enumerate(targets)
        ]
        while not self._stop.wait(self._pause_s(rounds)):
            for round_ in rounds:
                if self._stop.is_set():
                    break
                if not round_.is_due(time.monotonic()):
                    continue
                try:
                    round_.sweep()
                except Exception as error:  # noqa: BLE001 - whatever it is, the next sweep is due in a moment
                    _complain(complaints, "sweep", error, round_.target)
                    self._presence.missed(round_.target, type(error).__name__)
        for round_ in rounds:
            with suppress(Exception):
                round_.close()

    def _pause_s(self, rounds: Sequence[Round]) -> float:
        """Until the next one is due; those due a moment later come along. It is looked for bells meanwhile."""
        soonest_s = min((round_.due_s for round_ in rounds), default=float("inf")) - time.monotonic()
        sweep_s: float = self._settings.sweep_s
        return min(max(soonest_s, sweep_s / 20), sweep_s)

    def _look_for_unnamed(self, targets: Sequence[str]) -> None:
        """Now and then, in a thread of its own: it is not urgent, and takes as long as it takes."""
        complaints, unnamed = Complaints(_log), Unnamed(self._shared, targets)
        pause_s = self._settings.sweep_s
        while not self._stop.wait(pause_s):
            pause_s = _UNNAMED_EVERY_S
            try:
                unnamed.look()
            except Exception as error:  # noqa: BLE001 - the next look is due in a while
                _complain(complaints, "targets that the settings do not name could not be looked for", error)

    def _watch(self) -> None:
        complaints = Complaints(_log)
        watch = Bellwatch(self._parent, self._settings)
        while not self._stop.wait(self._settings.sweep_s):
            try:
                watch.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next look is due in a moment
                _complain(complaints, "the queues of bells could not be looked at", error)
        with suppress(Exception):
            watch.close()


def _pool_of(parent: Any) -> str:
    """``threads``, ``prefork`` or ``solo``, of one of Celery's workers."""
    module = str(getattr(parent.pool_cls, "__module__", "")).rpartition(".")[2]
    return "threads" if module == "thread" else module


def _lanes_of(parent: Any, settings: Settings) -> list[str]:
    """The lanes whose bells one of Celery's workers hears."""
    heard = set(parent.app.amqp.queues.consume_from)
    return [lane for lane in settings.lanes if queue_of(settings, lane) in heard]


def _complain(complaints: Complaints, what: str, error: Exception, target: str = "") -> None:
    """Say it now and then; what no server explains with the places in the code that it came through."""
    if isinstance(error, JournalUnavailable):
        complaints.say(SWEEP_FAILED, target=target, why=f"{what}: {error}", error=type(error).__name__)
    elif isinstance(error, BROKER_ERRORS):
        complaints.say(SWEEP_FAILED, target=target, why=what, error=type(error).__name__)
    else:
        complaints.say(SWEEP_FAILED, target=target, why=what, failed=error)


class Round:
    """Sweeps one journal.

    Args:
        shared: The journals and the bells of this process.
        target: Whose journal.
        program: What the worker program says of itself in the journal, in short.
        idle_s: Seconds between two sweeps when nothing is due.
        phase: Its place among the others, above 0 and up to 1, so that they do not come all at once ever after.
        presence: The worker program as it shows itself at length, and learns what is wanted of it.
        carriers: Who carries out jobs; nobody when None.

    Attributes:
        due_s: When the next sweep is due, by the monotonic clock.
        target: Whose journal it is.
    """

    def __init__(
        self,
        shared: Shared,
        target: str,
        program: str,
        idle_s: float,
        phase: float,
        *,
        presence: Presence | None = None,
        carriers: Carriers | None = None,
    ) -> None:
        self._shared = shared
        self._carriers = carriers
        self._settings = shared.settings
        self.target = target
        self._program = program
        self._presence = presence
        self._idle_s = idle_s
        self._journal: Journal = shared.relay.journal(target)
        self._callbacks = Callbacks(self._settings, self._journal, shared.relay.bells)
        self._foreign = ""
        self._unknown = ""
        #: The last action of operators that was told of, or that was there before this worker.
        self._acted = ""
        #: Since when the journal does not answer, by the monotonic clock.
        self._away_s: float | None = None
        #: When something will be due that no bell tells of, by the monotonic clock.
        self._next_s = float("inf")
        # The first one soon: whoever was here before may have left what is due, and has nobody to tell.
        self.due_s = time.monotonic() + min(idle_s, FIRST_ROUND_S) * phase
        self._wait_s = idle_s * phase

    def is_due(self, now_s: float) -> bool:
        """Whether it is time for the next sweep, or a bell was heard since the last one."""
        return self.due_s <= now_s or self.target in self._shared.heard

    def sweep(self) -> None:
        """Sweep, if nobody else has just done so; in any case give a sign of life, and note when to come again."""
        # Should this fail, it is tried again soon.
        self.due_s = time.monotonic() + self._settings.sweep_s
        presence = self._presence
        # Before, so that what is heard meanwhile is looked for once more.
        self._shared.heard.discard(self.target)
        try:
            found = self._journal.sweep(self._program, self._idle_s, presence.sign() if presence else "", self._acted)
        except OtherShape as error:
            self._disown_shape(error)
            if presence:
                presence.missed(self.target, "it has a shape that this version does not know")
            return
        except JournalUnavailable as error:
            if presence:
                presence.missed(self.target, type(error).__name__)
            if self._away_s is None:
                self._away_s = time.monotonic()
                tell(_log, JOURNAL_AWAY, target=self.target, why=error)
            return
        self._back()
        if presence:
            presence.heard(self.target, found.wish, found.due)
        self._unknown = ""
        self._shared.relay.bells.ring(self.target, found.bells)
        reports = self._shared.reports
        for entry, death in (*((entry, EXPIRED) for entry in found.expired), *found.untold):
            tell_dead(reports, entry, death)
        for cause, number in found.beyond.items():
            reports.more_dead(self.target, cause, number)
        for cause in found.healed:
            reports.healed(self.target, cause)
        if found.swept:
            self._tell_acts(found.acts)
            if self._carriers is not None:
                self._carriers.look(self.target)
            self._callbacks.run()
            self._disown()
        next_s = float("inf") if found.next_s is None else found.next_s
        self._next_s = time.monotonic() + next_s
        self.due_s = time.monotonic() + max(min(next_s, self._wait_s), self._settings.sweep_s)
        self._wait_s = self._idle_s

    def _tell_acts(self, acts: Sequence[Entry]) -> None:
        """Say what operators did that changes what workers do; what was before this one came is no news."""
        for act in acts if self._acted else ():
            if act.what in ACTS:
                sort, _, name = act.of.partition(" ")
                tell(_log, ACTED, target=self.target, act=ACTS[act.what], lane=name if sort == "lane" else "")
        if acts:
            self._acted = acts[-1].id
        elif not self._acted:
            self._acted = "0-0"

    def close(self) -> None:
        """Say farewell; and where something is due before others come round to look, have one of them come now."""
        self._journal.farewell(self._program)
        if self._settings.sweep_s < self._idle_s and self._next_s < time.monotonic() + self._idle_s:
            self._shared.relay.bells.ring(self.target, [CONFIRM_LANE])

    def _back(self) -> None:
        """Say that the journal answers again, if it did not."""
        if self._away_s is not None:
            tell(_log, JOURNAL_BACK, target=self.target, seconds=round(time.monotonic() - self._away_s))
            self._away_s = None

    def _disown(self) -> None:
        """Say that the target is another ledger for this worker than for the journal; once."""
        other = self._journal.foreign()
        told = "" if other is None else str(other)
        if told and told != self._foreign:
            tell(_log, OTHER_LEDGER, target=self.target, why=told)
        self._foreign = told

    def _disown_shape(self, error: OtherShape) -> None:
        """Say that the journal is not for this version, once; others see to it, until this worker is replaced."""
        if error.found != self._unknown:
            self._shared.reports.outdated(error)
        self._unknown = error.found


class Unnamed:
    """Warns of targets that this worker does not know and for which intents wait; once for each.

    Args:
        shared: The journals of this process.
        targets: Those whose journals are on the Redis that is looked at.
    """

    def __init__(self, shared: Shared, targets: Sequence[str]) -> None:
        self._journals = shared.relay.journals
        self.targets = targets
        self._known: set[str] = set()
        self._left: set[str] = set()

    def look(self) -> None:
        """Look; and note once more the targets that are known here, in case that was lost."""
        self._journals.note_again(self.targets)
        others = self._journals.unnamed_beside(self.targets[0])
        waiting = {journal.target for journal in others if journal.has_open()}
        for target in sorted(waiting - self._known):
            tell(_log, UNNAMED, target=repr(target))
        self._known = waiting
        left = {journal.target: journal for journal in self._journals.left_beside(self.targets[0])}
        waiting = {target for target, journal in left.items() if journal.has_open()}
        for target in sorted(waiting - self._left):
            tell(
                _log,
                LEFT_BEHIND,
                target=repr(target),
                variable=left[target].variable,
                now=self._journals.of(target).variable,
            )
        self._left = waiting
