"""Starting a worker process, and how it ends."""

from __future__ import annotations

import atexit
import logging
import os
import signal
import socket
import sys
from typing import Any

from celery import signals
from celery.apps.worker import Worker as CeleryWorker
from celery.exceptions import WorkerTerminate

from blnk_relay._version import __version__
from blnk_relay.errors import JournalUnavailable, OtherLedger
from blnk_relay.journal.journals import Journals, by_server
from blnk_relay.log import AT_RISK, JOURNAL_AWAY, OTHER_LEDGER, START, STOP, tell
from blnk_relay.settings import Settings
from blnk_relay.targets import told_twice
from worker import logs
from worker.app import make_app, worker_options
from worker.watch import FAILED, end_with

_log = logging.getLogger(__name__)

#: The exit code of a worker that was told to stop at once (SIGQUIT), and did not wait for what it had in hand.
CUT = 128 + signal.SIGQUIT

#: What a worker says whose settings leave the durability open.
UNCHOSEN = (
    "BLNK_RELAY_DURABILITY is not set, so a receipt is given as soon as it is in the memory of Redis: a failover or a "
    "power cut can lose the last receipts, and then a write that is enqueued again under its old key may be made twice "
    "where the ledger cannot tell (docs/guarantees.md). Set it to fsync or replicated:N, or to memory if that is what "
    "you want."
)


class Worker(CeleryWorker):
    """Celery's worker; remembers why it ends.

    Attributes:
        told: It was told to stop, or to begin anew.
        again: It was told to begin anew, and nothing else.
        cut: It was told to stop at once, and did not wait for what it had in hand.
    """

    told = False
    again = False
    cut = False
    _at_terminal = False

    def install_platform_tweaks(self, worker: Any) -> None:
        """Take SIGHUP as daemons do: finish what is in hand, and begin anew with the settings of the day.

        Celery's own way runs the new program while the old one is being taken apart, and under prefork nobody is left.
        """
        super().install_platform_tweaks(worker)
        # Looked at now: of a terminal that is gone nobody can say any more that it was one.
        self._at_terminal = any(map(os.isatty, range(3)))
        signal.signal(signal.SIGHUP, self._begin_anew)
        # See begin_anew.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])

    @property
    def code(self) -> int:
        """The exit code: 0 only where it was told to stop and has finished what it held."""
        return FAILED if not self.told else CUT if self.cut else 0

    def start(self) -> None:
        """Run until it is told to stop; remembers where that was so urgent that nothing was waited for."""
        try:
            super().start()
        except WorkerTerminate:
            # By a signal more, while it already stopped at once.
            self.cut = True

    def terminate(self, in_sighandler: bool = False) -> None:
        """Celery's cold shutdown, by SIGQUIT."""
        self.cut = True
        super().terminate(in_sighandler)

    def leave(self, *, anew: bool = False) -> None:
        """Note that it was told to stop, or to begin anew; whoever was told to stop, before or after, only stops."""
        self.again = anew and (self.again or not self.told)
        self.told = True

    def _begin_anew(self, *_: Any) -> None:
        # At a terminal it means that the terminal is gone.
        self.leave(anew=not self._at_terminal)
        end_with(0)


def begin_anew() -> None:
    """Run the same program in the same process, so that whoever watches over it sees no end."""
    # It would end by a second one before it knows what that means; so that one waits until it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])
    # What has a folder or something to tell gives it back at the end of a program, of which there is none here.
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to have them run
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command line


def fill_standard_files() -> None:
    """Have stdin, stdout and stderr lead nowhere where whoever started this process has closed them.

    Else their numbers go to the next things that are opened, so that what a library writes to stderr goes to a server.
    And before it forks a process of the prefork pool, Celery flushes both streams, and starts none where one is None.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - as it takes it
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def check_journals(journals: Journals) -> list[OtherLedger]:
    """Look at all journals, and at each server once: say what could be lost, who is away, and whose journal it is not.

    Raises:
        InvalidSettings: A server cannot be used at all.
    """
    foreign: list[OtherLedger] = []
    for targets in by_server(journals.settings):
        try:
            for warning in journals.of(targets[0]).check_server():
                tell(_log, AT_RISK, why=warning)
            foreign += [other for target in targets if (other := journals.of(target).foreign()) is not None]
        except JournalUnavailable as error:
            tell(_log, JOURNAL_AWAY, target=", ".join(targets), why=error)
    for other in foreign:
        tell(_log, OTHER_LEDGER, why=other, target=other.target)
    return foreign


def run_worker(settings: Settings, *, lanes: tuple[str, ...] = (), pool: str = "threads", concurrency: int = 0) -> int:
    """Run a worker until it is told to stop.

    Args:
        settings: The settings.
        lanes: Lanes to serve; all when empty.
        pool: ``threads`` (recommended: it stops within two seconds), ``prefork`` or ``solo``.
        concurrency: Processes of the prefork pool; 0 for one a lane and one for the read-back.

    Returns:
        The exit code: 0 when it was told to stop, CUT when it was to do so at once, FAILED when it could not go on and
        should be started again.

    Raises:
        InvalidSettings: Something is missing or contradicts.
        OtherLedger: The journal of every target belongs to another ledger than the settings name.
    """
    fill_standard_files()
    logs.begin(settings)
    served = lanes or settings.lanes
    options = worker_options(
        settings,
        served,
        pool,
        concurrency or len(served) + 1,
        f"blnk-relay-{os.getpid()}@{socket.gethostname()}",
    )
    app = make_app(settings, options["concurrency"] if pool == "prefork" else 0)
    journals = app.conf.blnk_relay.relay.journals
    if not settings.durability_chosen:
        tell(_log, AT_RISK, why=UNCHOSEN)
    for sentence in told_twice(settings.ledgers.values()):
        tell(_log, AT_RISK, why=sentence)
    foreign = check_journals(journals)
    if foreign and len(foreign) == len(settings.ledgers):
        raise foreign[0]
    worker = Worker(app=app, **options)

    def told(**_: Any) -> None:
        worker.leave()

    signals.worker_shutting_down.connect(told)
    lanes_told, targets_told = ", ".join(served), ", ".join(settings.ledgers)
    tell(_log, START, version=__version__, lanes=lanes_told, targets=targets_told, pool=pool)
    worker.start()
    tell(_log, STOP, exit=worker.code)
    logs.flush()
    # From here on nothing is in hand, and nobody would look any more at what a handler noted.
    for sort in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(sort, signal.SIG_DFL)
    if worker.again and not worker.cut:
        begin_anew()
    return worker.code


if __name__ == "__main__":
    sys.exit(run_worker(Settings.from_env(), pool=sys.argv[1] if len(sys.argv) > 1 else "threads"))
