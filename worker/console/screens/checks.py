"""Looking whether all is as it should be: audits of a journal against its ledger, and the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blnk_relay.journal.audited import Audited
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import reached
from blnk_relay.journal.status import moment
from worker.audit.rolling import WHO as WORKERS
from worker.cli.audit import RATE, WHO
from worker.console.asking import Ask, Onward, Page
from worker.console.screens import chores
from worker.console.screens.errands import address
from worker.console.signin.rights import Right

#: Audits that are shown: the newest of this console.
_MOST_ERRANDS = 10


@dataclass(frozen=True, slots=True)
class Audits:
    """What the journal of a target keeps of its audits.

    Attributes:
        target: Which.
        stopped: Where an operator's audit had to end and can go on: how many intents it had compared; else None.
        going: How many intents the workers' own has compared so far, where one is under way; else None.
        found: How many differences it has found so far.
        over: When the last one of theirs came to its end.
        away: Whether nobody can tell.
    """

    target: str
    stopped: int | None = None
    going: int | None = None
    found: int = 0
    over: datetime | None = None
    away: bool = False


def audits_of(ask: Ask) -> list[Audits]:
    """What each journal keeps of its audits.

    Raises:
        JournalUnavailable: None can be reached.
    """

    def read(journal: Journal) -> Audits:
        audited = Audited(journal)
        return _audits(journal.target, audited.place(WHO), audited.place(WORKERS))

    those = [ask.operator.journals.of(name) for name in ask.operator.settings.ledgers]
    found = {journal.target: one for journal, one in reached(those, read)}
    return [found.get(name) or Audits(name, away=True) for name in ask.operator.settings.ledgers]


def _audits(target: str, operators: Mapping[str, Any] | None, workers: Mapping[str, Any] | None) -> Audits:
    mine, theirs = chores.kept_place(operators), chores.kept_place(workers)
    over_ms = (workers or {}).get("over_ms")
    return Audits(
        target,
        stopped=None if mine is None else mine.report.compared.total(),
        going=None if theirs is None else theirs.report.compared.total(),
        found=0 if theirs is None else theirs.report.found.total(),
        over=moment(over_ms) if isinstance(over_ms, int) else None,
    )


def audits(ask: Ask) -> Page:
    """Begin an audit, go on with one, and what the last ones found."""
    settings = ask.operator.settings
    values = {
        "audits": audits_of(ask),
        "targets": list(settings.ledgers),
        "window_s": settings.audit_window_s,
        "rate": RATE,
        "errands": [one for one in ask.errands.all() if one.what == "audit"][:_MOST_ERRANDS],
    }
    return Page("audits.html", values | {"lacking": _lacking(ask)})


def begin_audit(ask: Ask) -> Onward:
    """Begin it, and look how far it has come."""
    return Onward(address(chores.begin_audit(ask)), "Begun.")


def doctor(ask: Ask) -> Page:
    """Have everything checked, and what the last check came to."""
    last = ask.errands.last("doctor")
    values = {"last": last, "document": last.document if last else {}, "targets": list(ask.operator.settings.ledgers)}
    return Page("doctor.html", values | {"lacking": _lacking(ask)})


def begin_doctor(ask: Ask) -> Onward:
    """Begin it, and look how far it has come."""
    return Onward(address(chores.begin_doctor(ask)), "Begun.")


def _lacking(ask: Ask) -> str:
    return "" if ask.person.may(Right.OPERATOR) else Right.OPERATOR.value
