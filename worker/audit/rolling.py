"""The audit that workers make by themselves: of what ended lately, again and again, one worker at a time for a target.

Off unless a setting says how far back it looks. A difference is told once, however often it is found again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from blnk_relay.audit import Finding, Place, Report, Stopped
from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.audited import KEPT_MS, Audited
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.status import moment
from blnk_relay.log import AUDIT_STUCK, AUDIT_UNREAD, DIFFERENCES, tell
from blnk_relay.settings import Settings
from tasks.runtime import worker_name
from worker.audit.opening import opened
from worker.complaints import Complaints
from worker.telemetry import Telemetry
from worker.threads import ThreadStep

#: Under which workers keep the place of an audit in a journal.
WHO = "worker"

#: For how long nobody else audits a target, unless it is prolonged; and how often it is.
_TURN_S, _PROLONG_S = 60.0, 10.0

#: Longest wait while the reads of a target are shut; the next round goes on from there.
_PATIENCE_S = 60.0

#: How many audits a window of time sees.
_ROUNDS = 24

#: Why nobody can tell of some. What was trimmed is counted for all times.
_TOO_LATE = "at most: they were trimmed before they could be compared"

#: Shortest and longest time between two looks whether an audit is due.
_LEAST_S, _MOST_S = 0.2, 60.0

_log = logging.getLogger(__name__)


class Auditor(ThreadStep):
    """Audits the targets of a worker one after the other, if that is switched on."""

    thread_name = "auditor"

    def _is_on(self) -> bool:
        return self._settings.audit_window_s > 0

    def _run(self) -> None:
        complaints = Complaints(_log)
        rounds = [
            Rolling(self._settings, self._shared.relay.journal(target), self._shared.reports, self._stop.wait)
            for target in self._settings.ledgers
        ]
        wait_s = _LEAST_S
        while not self._stop.wait(wait_s):
            for rolling in rounds:
                try:
                    report = rolling.go_on()
                    if report is not None and report.stopped and not self._stop.is_set():
                        complaints.say(AUDIT_STUCK, target=rolling.target, why=report.stopped)
                except Exception as error:  # noqa: BLE001 - whatever it is, the next round is due in a while
                    away = isinstance(error, JournalUnavailable)
                    why = str(error) if away else type(error).__name__
                    complaints.say(AUDIT_STUCK, target=rolling.target, why=why, failed=None if away else error)
                if self._stop.is_set():
                    return
            wait_s = min(max(self._settings.audit_window_s / _ROUNDS / 10, _LEAST_S), _MOST_S)


class Rolling:
    """Audits one target whenever that is due.

    Args:
        settings: How far back, and at what rate.
        journal: That of the target.
        reports: Where differences are told.
        pause: Waits so many seconds, and says whether to end.
    """

    def __init__(
        self, settings: Settings, journal: Journal, reports: Telemetry, pause: Callable[[float], bool]
    ) -> None:
        self.target = journal.target
        self._settings = settings
        self._journal = journal
        self._audited = Audited(journal)
        self._reports = reports
        self._pause = pause
        self._worker = worker_name()
        self._prolonged_s = float("-inf")
        self._told = 0

    def go_on(self) -> Report | None:
        """Audit, where that is due and nobody else is at it; from where the last one had to end, if it had to.

        Returns:
            What was found; None where nothing was to be done.
        """
        due = self._is_due(self._audited.place(WHO))
        if not due or self._journal.foreign() is not None or not self._prolong():
            return None
        try:
            # Whoever had the turn before may have come further, or to the end.
            kept = self._audited.place(WHO)
            return self._audit(kept) if self._is_due(kept) else None
        finally:
            self._audited.turn(self._worker, 0)

    def _is_due(self, kept: dict[str, Any] | None) -> bool:
        over_ms = (kept or {}).get("over_ms")
        if not isinstance(over_ms, int):
            return True
        return self._audited.now_ms() >= over_ms + self._settings.audit_window_s * 1000 / _ROUNDS

    def _audit(self, kept: dict[str, Any] | None) -> Report:
        settings = self._settings
        with opened(
            settings,
            self._journal,
            self._reports,
            rate=settings.audit_rate,
            patience_s=_PATIENCE_S,
            pause=self._pause,
            ours=settings.audit_ours,
            keep=self._keep,
            each_second=self._stay,
        ) as made:
            place = _place(kept)
            if place is None:
                now = moment(self._audited.now_ms())
                place = made.audit.begin(now - timedelta(seconds=settings.audit_window_s))
            self._told = 0
            report = made.audit.run(place)
        self._tell(report)
        if report.whole:
            self._audited.keep_place(WHO, {"over_ms": self._audited.now_ms()})
            self._sum_up(report)
        return report

    def _keep(self, place: Place) -> None:
        self._audited.keep_place(WHO, place.kept())
        self._tell(place.report)

    def _prolong(self) -> bool:
        mine = self._audited.turn(self._worker, _TURN_S)
        self._prolonged_s = time.monotonic()
        return mine

    def _stay(self) -> None:
        """Keep the turn.

        Raises:
            Stopped: Somebody else has it by now.
        """
        if time.monotonic() - self._prolonged_s >= _PROLONG_S and not self._prolong():
            raise Stopped("another worker audits this target by now")

    def _tell(self, report: Report) -> None:
        """Tell of those that were never told; of those beyond what a report holds their number only."""
        new: list[Finding] = report.findings[self._told :]
        self._told = len(report.findings)
        first = self._audited.first_told([one.digest for one in new], KEPT_MS / 1000)
        for one in new:
            if one.digest in first:
                self._reports.different(one)

    def _sum_up(self, report: Report) -> None:
        found = report.found.total()
        if found > len(report.findings):
            tell(_log, DIFFERENCES, target=self.target, count=found)
        for reason, number in report.unread.most_common(5):
            tell(_log, AUDIT_UNREAD, target=self.target, count=number, why=reason)
        if report.trimmed:
            tell(_log, AUDIT_UNREAD, target=self.target, count=report.trimmed, why=_TOO_LATE)


def _place(kept: dict[str, Any] | None) -> Place | None:
    """Where an audit had to end; None where a new one begins."""
    if kept is None or "over_ms" in kept:
        return None
    try:
        return Place.from_kept(kept)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
