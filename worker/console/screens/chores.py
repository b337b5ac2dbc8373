"""What is done to journals as a whole and takes a while: each is an errand, with a right that it takes.

What is done is the Operator's, the audit's and the doctor's; here stands only what a form asks for, and what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from blnk_relay import Operator
from blnk_relay.audit import Place, nothing_to_compare
from blnk_relay.journal.audited import Audited
from blnk_relay.journal.journal import Journal
from worker.audit.opening import opened
from worker.cli.audit import PATIENCE_S, RATE, WHO, report_in_words, report_json
from worker.cli.doctor import doctor_in_words, doctor_json
from worker.cli.encryption import renewed_in_words, renewed_json, use_json
from worker.cli.history import tables_in_words, tables_json, upgraded
from worker.cli.output import several
from worker.cli.upgrade import upgraded_in_words, upgraded_json
from worker.console.asking import YES, Ask, BadRequest
from worker.console.errands import Errand, Going, Outcome
from worker.console.screens.filters import Filters
from worker.console.signin.rights import Right
from worker.doctor.checks import findings
from worker.doctor.reading import read_all
from worker.telemetry import Telemetry

Work = Callable[[Going], Outcome]

#: Most reads of the ledger a second that may be asked for here, and most beginnings of references of ours.
_MOST_RATE, _MOST_OURS = 1_000.0, 20


@dataclass(frozen=True, slots=True)
class Chore:
    """Something that is done to one journal.

    Attributes:
        right: That it takes.
        verb: What it is, after "to" and before the name of a target.
        means: What happens, for whoever has to confirm it.
        work: Does it.
        danger: Whether it is not simply looked back from.
    """

    right: Right
    verb: str
    means: str
    work: Callable[[Operator, str, str], Work]
    danger: bool = False


def _upgrade(operator: Operator, target: str, who: str) -> Work:
    def work(_: Going) -> Outcome:
        [done] = operator.upgrade(target, who=who)
        return Outcome(upgraded_in_words(done), {"journals": [upgraded_json(done)]})

    return work


def _recount(operator: Operator, target: str, who: str) -> Work:
    def work(_: Going) -> Outcome:
        counted = operator.recount(target, who=who)
        return Outcome(f"{several(counted, 'letter')} of target {target} accounted for.", {"counted": counted})

    return work


def _keys(operator: Operator, target: str, _: str) -> Work:
    def work(going: Going) -> Outcome:
        def step(number: int) -> None:
            going.step(number)
            going.go_on()

        [use] = operator.key_use(target, step=step)
        said = "Nothing needs another key than the one that is written with."
        if use.old:
            said = f"What needs another key than the one that is written with: {use.old:,}."
        return Outcome(said, {"targets": [use_json(use)]}, well=not use.lacking)

    return work


def _renew(operator: Operator, target: str, who: str) -> Work:
    def work(going: Going) -> Outcome:
        result = operator.reseal(target, who=who, stopped=lambda: going.stopped, step=going.step)
        return Outcome(
            " ".join(renewed_in_words(target, result)),
            {"targets": [{"target": target, **renewed_json(result)}]},
            well=result.whole,
            whole=result.finished,
        )

    return work


#: What is done to the journal of one target, by its name in an address.
CHORES: Mapping[str, Chore] = MappingProxyType(
    {
        "upgrade": Chore(
            Right.APPROVER,
            "upgrade the journal",
            "It is brought to the newest shape that this version knows, and everybody waits meanwhile. Producers that "
            "do not know that shape are refused from then on, so be sure that none is left; a worker that is alive and "
            "does not know it is named, and nothing is changed. One that was stopped half way goes on when this is "
            "done again.",
            _upgrade,
            danger=True,
        ),
        "recount": Chore(
            Right.OPERATOR,
            "account anew for the dead letters",
            "Each letter is looked at once more, so that Problems and narrowed lists know of all of them. Others may "
            "go on meanwhile.",
            _recount,
        ),
        "keys": Chore(
            Right.OPERATOR,
            "count what needs which encryption key",
            "Every intent that is kept is looked at, page by page, and nothing is changed. A key that nothing needs "
            "can be taken out of the settings.",
            _keys,
        ),
        "renew": Chore(
            Right.APPROVER,
            "renew the encryption",
            "All that is hidden under another key, or not at all, is put under the first key of the settings of this "
            "console; be sure that workers and producers have it. They may go on meanwhile. It may be stopped and "
            "begun again.",
            _renew,
            danger=True,
        ),
    }
)


def begin(ask: Ask, what: str, target: str) -> Errand:
    """Begin what is done to one journal.

    Raises:
        NotAllowed: It takes a right that they have not.
        NotFound: There is no such target.
        Refused: The same goes on already.
    """
    chore = chore_of(what)
    ask.need(chore.right, f"to {chore.verb}")
    ask.operator.journals.any_of(target)
    work = chore.work(ask.operator, target, ask.person.name)
    return _begun(ask, what, f"{what} of target {target}", work, target)


def chore_of(what: str) -> Chore:
    """What an address names.

    Raises:
        BadRequest: Nothing of ours.
    """
    if what not in CHORES:
        raise BadRequest(f"{what!r} is not something that is done to a journal; there are: {', '.join(CHORES)}")
    return CHORES[what]


def begin_history(ask: Ask) -> Errand:
    """Begin to bring the tables of history to the newest revision.

    Raises:
        NotAllowed: They may not.
        BadRequest: There is no database.
    """
    ask.need(Right.APPROVER, "to upgrade the database of history")
    operator, who = ask.operator, ask.person.name
    if not operator.settings.history_url:
        raise BadRequest("BLNK_RELAY_HISTORY_URL is not set, so there is no database of history")

    def work(_: Going) -> Outcome:
        made = upgraded(operator, who)
        return Outcome(tables_in_words(made), tables_json(made))

    return _begun(ask, "history", "upgrade of history", work)


def begin_doctor(ask: Ask) -> Errand:
    """Begin to check what would break the promise, with the settings and from the place of this console.

    Raises:
        NotAllowed: They may not.
        NotFound: There is no such target.
    """
    ask.need(Right.OPERATOR, "to have everything checked")
    settings, target = ask.operator.settings, ask.text("target")
    if target:
        ask.operator.journals.of(target)

    def work(_: Going) -> Outcome:
        found = findings(read_all(settings, [target] if target else list(settings.ledgers)))
        document = doctor_json(found)
        return Outcome(doctor_in_words(found), document, well=document["well"])

    return _begun(ask, "doctor", f"doctor{f' of target {target}' if target else ''}", work, target)


@dataclass(frozen=True, slots=True)
class AuditAsked:
    """What an audit is asked for.

    Attributes:
        target: Of which ledger.
        place: Where it goes on; None where it begins.
        since: What ended since.
        until: And before; None for what reads surely show.
        rate: Most reads of the ledger a second.
        ours: How references begin that are made through this journal alone.
    """

    target: str
    place: Place | None
    since: datetime
    until: datetime | None
    rate: float
    ours: tuple[str, ...]


def begin_audit(ask: Ask) -> Errand:
    """Begin to compare a journal with its ledger, or go on where that had to end.

    Raises:
        NotAllowed: They may not.
        BadRequest: What is asked for cannot be.
        OtherLedger: The journal is that of another ledger.
    """
    ask.need(Right.OPERATOR, "to audit")
    asked = _audit_asked(ask)
    journal = ask.operator.journals.of(asked.target)
    if (other := journal.foreign()) is not None:
        raise other
    work = _audit(ask.operator, journal, asked, ask.person.name)
    return _begun(ask, "audit", f"audit of target {asked.target}", work, asked.target)


def _audit(operator: Operator, journal: Journal, asked: AuditAsked, who: str) -> Work:
    settings, audited = operator.settings, Audited(journal)

    def work(going: Going) -> Outcome:
        shown = 0

        def keep(place: Place) -> None:
            nonlocal shown
            audited.keep_place(WHO, place.kept())
            compared = place.report.compared.total()
            going.step(compared - shown)
            shown = compared

        with opened(
            settings,
            journal,
            Telemetry(settings),
            rate=asked.rate,
            patience_s=PATIENCE_S,
            pause=going.pause,
            ours=asked.ours,
            keep=keep,
            say=going.say,
        ) as made:
            place = asked.place or made.audit.begin(asked.since, asked.until)
            report = operator.audit(
                asked.target, lambda: made.audit.run(place), who=who, resumed=asked.place is not None
            )
        if report.whole:
            audited.forget_place(WHO)
        stopped = f" It is not through: {report.stopped}. Its place is kept in the journal." if report.stopped else ""
        well = report.clean and (report.complete or not report.whole)
        return Outcome(report_in_words(report) + stopped, report_json(report), well=well, whole=report.whole)

    return work


def _audit_asked(ask: Ask) -> AuditAsked:
    operator = ask.operator
    names = list(operator.settings.ledgers)
    target = ask.text("target") or (names[0] if len(names) == 1 else "")
    if not target:
        raise BadRequest(f"say which ledger; the settings name {', '.join(names)}")
    # One that the settings do not name has no ledger to be asked.
    journal = operator.journals.of(target)
    place = None
    if ask.form.get("resume") in YES:
        if ask.text("since") or ask.text("until") or ask.form.get("ours"):
            raise BadRequest(
                "to go on is to go on with the times and beginnings of references that the audit began with: leave out "
                "since, until and ours"
            )
        place = kept_place(Audited(journal).place(WHO))
        if place is None:
            raise BadRequest("the journal keeps no place of an audit to go on from: begin one")
    filters = Filters.read({"since": ask.text("since"), "until": ask.text("until")})
    now = operator.now(target)
    since, until = filters.times(now)
    since = since or now - timedelta(days=1)
    if place is None and (why := nothing_to_compare(since, until, now, operator.settings.read_lag_s)):
        raise BadRequest(why)
    return AuditAsked(target, place, since, until, _rate(ask.form.get("rate")), _ours(ask.form.get("ours")))


def _rate(given: object) -> float:
    if given in (None, ""):
        return RATE
    try:
        rate = float(str(given))
    except ValueError:
        rate = 0.0
    if not 0 < rate <= _MOST_RATE:
        raise BadRequest(f"rate must be a number of reads a second, above 0 and at most {_MOST_RATE:,.0f}")
    return rate


def _ours(given: object) -> tuple[str, ...]:
    found = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
    if not all(isinstance(one, str) for one in found) or len(found) > _MOST_OURS:
        raise BadRequest(f"ours must be at most {_MOST_OURS} beginnings of references, with blanks between them")
    return tuple(found)


def kept_place(kept: Mapping[str, Any] | None) -> Place | None:
    """Where an audit had to end; None where nothing is kept, or nothing that can be gone on from."""
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        return Place.from_kept(kept)  # type: ignore[arg-type]
    return None


def _begun(ask: Ask, what: str, of: str, work: Work, target: str = "") -> Errand:
    return ask.errands.begin(what, of, work, target=target, who=ask.person.name, via=ask.operator.via)
