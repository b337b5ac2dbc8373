"""Sentry: new dead letters and paused targets, by what they are and by release; never a payload, a name or a token.

One event a minute for each group, with a count: the first goes out at once, those that follow are counted and sent when
the minute is over, and what is still counted when the process ends is sent then.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from celery import signals

from blnk_relay._version import __version__
from blnk_relay.audit import Finding
from blnk_relay.errors import OtherShape
from blnk_relay.intents.decision import Dead
from blnk_relay.intents.exchange import GateAction, GateChange
from blnk_relay.intents.intent import Entry
from blnk_relay.journal.fresh import named
from blnk_relay.journal.journal import HEALED_S
from blnk_relay.log import (
    BACK,
    DEAD_LETTER,
    DIFFERENCE,
    HEALED,
    MORE_DEAD,
    NO_DSN,
    NOT_SENT_TO_SENTRY,
    OTHER_SHAPE,
    PAUSED,
    RESUMED,
    UNREACHABLE,
    code_shown,
    tell,
)
from blnk_relay.settings import Settings
from tasks.reports import about
from worker.folds import Folded, Folding, Report

#: Longest wait for what is on its way to Sentry when a process ends.
_FAREWELL_S = 2.0

#: Reports to be logged rather than sent: that Sentry did not get one.
_LOST = "not sent to Sentry"

_RELEASE = f"blnk-relay@{__version__}"

_log = logging.getLogger(__name__)


class Telemetry:
    """Tells a human, by log and, when a DSN is set, by Sentry."""

    def __init__(self, settings: Settings) -> None:
        self._sender = _sender_of(settings.sentry_dsn) if settings.sentry_dsn else None

    def dead(self, entry: Entry, death: Dead) -> None:
        """A new dead letter; the ledger's own message may hold names, so it stays in the journal."""
        tell(_log, DEAD_LETTER, about(entry), class_=death.dead_class, code=death.code)
        code = code_shown(death.code)
        self._tell(_dead(entry.target, entry.kind, death.dead_class, code, {"intent": entry.id}))

    def more_dead(self, target: str, cause: str, count: int) -> None:
        """So many new dead letters of a cause, too many to be told one by one."""
        kind, dead_class, code = named(cause)
        code = code_shown(code)
        tell(_log, MORE_DEAD, target=target, kind=kind, class_=dead_class, code=code, count=count)
        self._tell(_dead(target, kind, dead_class, code), count)

    def paused(self, target: str, side: str, change: GateChange) -> None:
        """A target was paused, or cannot be reached."""
        if change.action is GateAction.LOST:
            why = change.note or change.code
            tell(_log, UNREACHABLE, target=target, side=side, code=change.code, why=why)
        else:
            tell(_log, PAUSED, target=target, side=side, code=change.code)
        code = code_shown(change.code)
        self._tell(
            Report(
                ("paused", target, side, code),
                f"target paused: {target} {side} {code}",
                {"target": target, "side": side, "code": code},
            )
        )

    def found(self, target: str, lost_s: float) -> None:
        """A target can be reached again."""
        tell(_log, BACK, target=target, seconds=round(lost_s))
        self._tell(
            Report(
                ("back", target),
                f"target can be reached again: {target}",
                {"target": target},
                {"seconds": str(round(lost_s))},
                "info",
            )
        )

    def opened(self, target: str, side: str, code: str, shut_s: float) -> None:
        """A side of a target that was paused is open again."""
        code = code_shown(code)
        tell(_log, RESUMED, target=target, side=side, code=code, seconds=round(shut_s))
        self._tell(
            Report(
                ("resumed", target, side, code),
                f"target open again: {target} {side} {code}",
                {"target": target, "side": side, "code": code},
                {"seconds": str(round(shut_s))},
                "info",
            )
        )

    def healed(self, target: str, cause: str) -> None:
        """Of a cause of dead letters there are none any more."""
        kind, dead_class, code = named(cause)
        code = code_shown(code)
        tell(_log, HEALED, target=target, kind=kind, class_=dead_class, code=code, seconds=round(HEALED_S))
        self._tell(
            Report(
                ("over", target, kind, dead_class, code),
                f"no dead letters left: {kind} {dead_class} {code}",
                {"kind": kind, "class": dead_class, "code": code, "target": target},
                level="info",
            )
        )

    def outdated(self, error: OtherShape) -> None:
        """This worker does not know the shape of a journal, and leaves it alone."""
        tell(_log, OTHER_SHAPE, target=error.target, why=error)
        if ">" in error.found:
            # Soon over, as a rule; and whoever began it is there.
            return
        self._tell(
            Report(
                ("outdated", error.target, error.found),
                f"worker of another version: {__version__} does not know shape {error.found} of target {error.target}",
                {"target": error.target, "shape": error.found},
            )
        )

    def different(self, finding: Finding) -> None:
        """An audit found that the ledger is not what the journal says; what exactly, the command says to operators."""
        kind = finding.kind or "no intent"
        tell(_log, DIFFERENCE, target=finding.target, kind=kind, sort=finding.sort, intent=finding.intent or "none")
        self._tell(
            Report(
                ("audit", finding.target, finding.kind, finding.sort),
                f"audit: {kind} {finding.sort}",
                {"target": finding.target, "kind": finding.kind, "sort": finding.sort},
                {"intent": finding.intent},
            )
        )

    def _tell(self, report: Report, count: int = 1) -> None:
        if self._sender is not None:
            self._sender.tell(report, count)


def _dead(target: str, kind: str, dead_class: str, code: str, extra: Mapping[str, str] | None = None) -> Report:
    """That there is a new dead letter: the same for all that are alike, so that they are folded."""
    return Report(
        ("dead", target, kind, dead_class, code),
        f"dead letter: {kind} {dead_class} {code}",
        {"kind": kind, "class": dead_class, "code": code, "target": target},
        extra or {},
    )


class _Sender:
    """Sends reports for one process, from as many threads as there are."""

    def __init__(self, dsn: str, folding: Folding | None = None) -> None:
        self._client = _client(dsn, self._lost)
        self._folding = folding or Folding()
        self._changed = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def tell(self, report: Report, count: int = 1) -> None:
        """Send it, or count it for later."""
        with self._changed:
            first = self._folding.add(report, time.monotonic(), count)
            self._start()
            self._changed.notify()
        if first is not None:
            self._send([first])

    def _start(self) -> None:
        if self._thread is not None or self._closed:
            return
        thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the next report, or the end, tries again
            return
        self._thread = thread

    def close(self) -> None:
        """Send what is still counted, and wait for all that is on its way, but not for long."""
        with self._changed:
            self._closed = True
            rest = self._folding.rest()
            self._changed.notify()
        self._send(rest)
        self._client.close(timeout=_FAREWELL_S)
        with self._changed:
            rest = self._folding.rest()
        self._send(rest)

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                next_s = self._folding.next_s()
                self._changed.wait(None if next_s is None else max(0.0, next_s - time.monotonic()))
                due = self._folding.due(time.monotonic())
            self._send(due)

    def _send(self, reports: Iterable[Folded]) -> None:
        for folded in reports:
            report, count = folded.report, folded.count
            if report.fingerprint[0] == _LOST:
                tell(_log, NOT_SENT_TO_SENTRY, count=count, why=report.message)
                continue
            self._client.capture_event(
                {
                    "level": report.level,
                    "message": report.message + (f" ({count} times)" if count > 1 else ""),
                    # What a new release does again is news.
                    "fingerprint": [*report.fingerprint, _RELEASE],
                    "tags": dict(report.tags),
                    "extra": {**report.extra, "count": count},
                }
            )

    def _lost(self, reason: str, count: int) -> None:
        """Sentry will not get so many reports: its queue is full, it cannot be reached, it refuses."""
        self.tell(Report((_LOST, reason), reason), count)


def _count_of(envelope: Any) -> int:
    """How many reports an envelope tells of; 0 where it tells of something else."""
    event = envelope.get_event()
    return 0 if event is None else int(event.get("extra", {}).get("count", 1))


def _client(dsn: str, lost: Any) -> Any:
    """A client of our own beside the global one, so that nothing but our events goes through it."""
    import sentry_sdk
    from sentry_sdk.transport import HttpTransport

    class Transport(HttpTransport):
        """Says what it drops, and what became of nothing when it ends; the library only counts that for itself."""

        def __init__(self, options: Any) -> None:
            super().__init__(options)
            # Envelopes with reports that were handed over, until it is known what became of them.
            self._under_way: dict[int, Any] = {}
            self._sending: Any = None

        def capture_envelope(self, envelope: Any) -> None:
            if _count_of(envelope):
                self._under_way[id(envelope)] = envelope
            super().capture_envelope(envelope)

        def _send_envelope(self, envelope: Any) -> None:
            # One thread of the library's sends all of them.
            self._sending = envelope
            try:
                super()._send_envelope(envelope)
            except Exception:
                # For one, an answer that it cannot read.
                self._lose(envelope, "send_failed")
                raise
            self._under_way.pop(id(envelope), None)

        def record_lost_event(self, reason: str, data_category: Any = None, item: Any = None, **rest: Any) -> None:
            super().record_lost_event(reason, data_category, item, **rest)
            for envelope in list(self._under_way.values()) if item is not None else ():
                if item in envelope.items:
                    self._lose(envelope, reason)

        def on_dropped_event(self, reason: str) -> None:
            super().on_dropped_event(reason)
            # The one case in which Sentry keeps the count itself, and that reaches no other hook.
            if reason == "status_429":
                self._lose(self._sending, reason)

        def kill(self) -> None:
            super().kill()
            for envelope in list(self._under_way.values()):
                self._lose(envelope, "no_answer")

        def _lose(self, envelope: Any, reason: str) -> None:
            # Once: what is given up may fail later.
            if self._under_way.pop(id(envelope), None) is not None:
                lost(reason, _count_of(envelope))

    # That it tries to connect again is no news beside what comes of it, and not worth three lines a report.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    return sentry_sdk.Client(
        dsn=dsn,
        transport=Transport,
        release=_RELEASE,
        environment=os.environ.get("SENTRY_ENVIRONMENT") or None,
        # Local variables and request bodies hold money and names; our own events carry all that is needed.
        include_local_variables=False,
        max_request_body_size="never",
        auto_enabling_integrations=False,
        default_integrations=False,
    )


# Several parts of a process report (its loops, its sweepers), and all of them fold into one.
_senders: dict[str, _Sender] = {}
_senders_lock = threading.Lock()


def _sender_of(dsn: str) -> _Sender | None:
    """The sender of this process; None where the DSN is none: that must not stop the posting."""
    with _senders_lock:
        if dsn not in _senders:
            try:
                _senders[dsn] = _Sender(dsn)
            except ValueError:
                tell(_log, NO_DSN)
                return None
        return _senders[dsn]


def _forget() -> None:
    """A forked child has no thread of its parent's, and the lock may have been held by one."""
    global _senders_lock  # noqa: PLW0603 - one for each process
    _senders_lock = threading.Lock()
    _senders.clear()


@signals.worker_process_shutdown.connect
def close(**_: Any) -> None:
    """Send what is still counted; called when a process of a worker ends, forked children of a pool included."""
    with _senders_lock:
        senders = list(_senders.values())
        _senders.clear()
    for sender in senders:
        sender.close()


os.register_at_fork(after_in_child=_forget)
atexit.register(close)
