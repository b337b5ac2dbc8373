"""Putting an audit together: a journal, and a paced way to its ledger that heeds the gate of its reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from blnk_relay.audit import Audit, Place, Stopped
from blnk_relay.journal.audited import Audited
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.overview import GateView
from blnk_relay.settings import Settings
from tasks.runtime import Reports
from worker.ledger.ledgers import credentials_of
from worker.ledger.paced import PacedProxy, PacedReader, Turns

#: How often the gate of the reads is looked at.
_GATE_EVERY_S = 1.0

#: While a target's reads are slowed, an audit takes this part of what is let through.
_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Opened:
    """An audit that can be run, and what it reads from the journal."""

    audit: Audit
    journal: Audited


class Gate:
    """Lets a read through when its turn has come and the target's reads are not shut.

    Args:
        turns: At what pace.
        view: What is with the gate of the target's reads.
        pause: Waits so many seconds, and says whether to end.
        patience_s: Longest wait at a shut gate.
        say: Told what is waited for, once each time.
        clock: Seconds of a steady clock.
    """

    def __init__(
        self,
        turns: Turns,
        view: Callable[[], GateView | None],
        pause: Callable[[float], bool],
        *,
        patience_s: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = steady_s,
    ) -> None:
        self._turns = turns
        self._view = view
        self._pause = pause
        self._patience_s = patience_s
        self._say = say
        self._clock = clock
        self._seen_s = float("-inf")
        self._at_most: float | None = None

    def wait(self) -> None:
        """Wait for the turn of one read.

        Raises:
            Stopped: The gate stayed shut for too long, or it is to end.
        """
        if self._clock() - self._seen_s >= _GATE_EVERY_S:
            self._look()
        self._turns.take(self._at_most)

    def _look(self) -> None:
        began_s, told = self._clock(), False
        while True:
            gate = self._view()
            self._seen_s = self._clock()
            if gate is None or gate.state == "slowed":
                self._at_most = None if gate is None else max(1.0, gate.rate * _SHARE)
                return
            why = f"reads of target {gate.target} are {gate.state}" + (f" ({gate.code})" if gate.code else "")
            if self._clock() - began_s >= self._patience_s:
                raise Stopped(f"{why}: go on with it once they are let through")
            if not told:
                self._say(f"{why}: waiting")
                told = True
            if self._pause(_GATE_EVERY_S):
                raise Stopped("it was told to stop")


@contextmanager
def opened(
    settings: Settings,
    journal: Journal,
    reports: Reports,
    *,
    rate: float,
    patience_s: float,
    pause: Callable[[float], bool],
    ours: Sequence[str] = (),
    keep: Callable[[Place], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
    each_second: Callable[[], None] = lambda: None,
) -> Iterator[Opened]:
    """An audit of one target, with connections of its own.

    Args:
        settings: The settings; they name the target.
        journal: Its journal.
        reports: Told of a target that is paused because its token could not be refreshed.
        rate: Requests to the ledger a second, at most.
        patience_s: Longest wait while its reads are paused, or it cannot be reached.
        pause: Waits so many seconds, and says whether to end.
        ours: How references begin that nobody but users of this journal makes.
        keep: Called with the place after each batch.
        say: Told what is waited for.
        each_second: Called about so often while it reads the ledger or the journal; may raise to end it.

    Raises:
        InvalidSettings: An address or a credential is missing.
    """
    target, audited = settings.ledgers[journal.target], Audited(journal)

    def view() -> GateView | None:
        each_second()
        return audited.read_gate()

    gate = Gate(Turns(rate, pause), view, pause, patience_s=patience_s, say=say)
    proxy = PacedProxy(gate.wait, settings, target, credentials_of(settings, target, journal, reports))
    reader = PacedReader(proxy, target.confirm_route, lambda: pause(0.0))
    try:
        yield Opened(
            Audit(
                audited,
                reader,
                read_lag_s=settings.read_lag_s,
                retention_s=settings.retention_s,
                key_retention_s=settings.key_retention_s,
                ours=ours,
                keep=keep,
                pause=pause,
                stay=each_second,
            ),
            audited,
        )
    finally:
        reader.close()
