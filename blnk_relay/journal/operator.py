"""What operators do with the journals: look over them, list, replay, discard, pause and resume."""

from __future__ import annotations

import heapq
import json
import socket
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from blnk_relay.bell import Bells
from blnk_relay.errors import NotFound, Refused
from blnk_relay.intents.intent import DEFAULT_TARGET
from blnk_relay.intents.states import StateName
from blnk_relay.journal.actions import (
    MAX_REASON,
    MAX_WHO,
    Action,
    Asked,
    Together,
    Via,
    as_actions,
    check_reason,
    kinds_of,
    new_mark,
    newest_first,
    told,
    wanted_flow,
)
from blnk_relay.journal.around import Around, around_flow
from blnk_relay.journal.cancel import cancel_flow
from blnk_relay.journal.causes import Causes, Window, causes_flow, sums_of
from blnk_relay.journal.causes import together as by_cause
from blnk_relay.journal.copying import HistoryLag, off_flow
from blnk_relay.journal.finding import Asking, FindResult, Question, find
from blnk_relay.journal.glance import Glance, glance_of, read_facts
from blnk_relay.journal.health import Health, health_of
from blnk_relay.journal.jobs import (
    CHUNK,
    MOST_OF_A_JOB,
    Job,
    JobName,
    ManyPlan,
    items,
    job_flow,
    jobs_flow,
    life_of,
    new_id,
    way_of,
    worth_flow,
)
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals, reached
from blnk_relay.journal.listing import MOST_MISSED, ListBound, Listing, Wanted, batched, check_filters, expect
from blnk_relay.journal.overview import Overview, leases_flow, merged, overview_flow
from blnk_relay.journal.parts import PartStatus
from blnk_relay.journal.pauses import Change, Word, pause_flow, resume_flow
from blnk_relay.journal.rates import Rates, by_minute, merged_rates, rates_of, sample_now, samples_flow
from blnk_relay.journal.resealing import KeyUse, Resealed, key_use, reseal
from blnk_relay.journal.status import Attempt, Status, moment
from blnk_relay.journal.upgrade import Upgraded, upgrade_flow
from blnk_relay.journal.verdicts import Verdict
from blnk_relay.journal.workers import WorkerView, chosen, together, wish_flow, workers_flow
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import ReplayPlan, ReplayWay, plan_replay
from blnk_relay.settings import CONFIRM_LANE, Settings

T = TypeVar("T")


class Operator:
    """An operator's hands on the journals: look over them, list, replay and discard dead letters, pause and resume.

    All methods raise :class:`~blnk_relay.errors.JournalUnavailable` when Redis does not answer within its timeout.

    Args:
        journals: Those of all targets, such as a relay's (``relay.journals``). They stay their owner's to close.
        bells: To wake workers after a replay, a discard or a resume; bells of its own when None.
        via: From where it acts, for the log of actions.

    Example:
        ::

            with Operator.from_env() as operator:
                for letter in operator.listed("dead", code="TXN_INSUFFICIENT_FUNDS"):
                    print(letter.key, operator.plan(letter).why)
    """

    def __init__(self, journals: Journals, bells: Bells | None = None, via: Via = "library") -> None:
        self.journals = journals
        self.settings = journals.settings
        self.via = via
        self._bells = bells or Bells(journals.settings)
        self._closing: list[Callable[[], None]] = [] if bells else [self._bells.close]

    @classmethod
    def from_env(cls, via: Via = "library") -> Self:
        """An operator with journals by the settings of the environment, which are closed with it.

        Args:
            via: From where it acts, for the log of actions.

        Raises:
            InvalidSettings: A variable is malformed or contradicts another.
        """
        made = cls(Journals(Settings.from_env()), via=via)
        made._closing.append(made.journals.close)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections that are its own."""
        for close in self._closing:
            close()

    def get(self, key: str, *, target: str = DEFAULT_TARGET) -> Status:
        """What has become of an intent; see :meth:`blnk_relay.Relay.get`.

        Raises:
            NotFound: No intent is known under the key.
        """
        return self.journals.find(key, target)

    def current(self, status: Status) -> Status | None:
        """What has become of an intent since; None for one that is gone."""
        return self._journal(status.target).status(status.id)

    def history(self, status: Status) -> tuple[Attempt, ...]:
        """What was tried for an intent, oldest first; at most the last 20 lines."""
        return self._journal(status.target).history(status.id)

    def around(self, status: Status) -> Around:
        """What an intent waits for, what waits for it, and what keeps it; in few trips, however much that is.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        journal = self._journal(status.target)
        return journal.drive(around_flow(journal.prefix, journal.seal, status))

    def parts(self, status: Status) -> tuple[PartStatus, ...]:
        """The legs of a split or the items of a bulk, as the ledger showed them last; see :meth:`Relay.parts`.

        Raises:
            NotFound: The intent is gone.
            JournalUnavailable: Redis did not answer.
        """
        return self._journal(status.target).parts(status.id)

    def payload(self, status: Status, *, who: str, reason: str = "") -> Mapping[str, Any]:
        """The canonical payload of an intent. It holds personal data: show it to operators, log it nowhere.

        That somebody looks is noted in the log of actions, before there is anything to see.

        Args:
            status: The intent.
            who: Who looks.
            reason: Why.

        Raises:
            NotFound: The intent was trimmed, or what was recorded of it is broken.
            JournalUnavailable: Redis did not answer, or takes no writes.
        """
        journal = self._journal(status.target)
        self._note(journal, "view", f"payload of {status.key or status.id}", who=who, reason=reason, count=1)
        return journal.payload(status.id)

    def now(self, target: str | None = None) -> datetime:
        """The time of a target's journal, which all times of its intents and letters come from.

        Args:
            target: Which; the first of the settings when None.
        """
        return moment(self._journal(target).now_ms())

    def overview(self, target: str | None = None) -> Overview:
        """Depths, ages, gates and counters.

        Args:
            target: Of this one only; of all when None, also of those that the settings no longer name.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        parts = self._of_each(lambda journal: journal.drive(overview_flow(self.settings, journal.target)), target)
        answered = {journal.target for journal, _ in parts}
        away = tuple(journal.target for journal in self._journals(target) if journal.target not in answered)
        return replace(merged([part for _, part in parts]), away=away)

    def upgrade(self, target: str | None = None, *, who: str = "") -> tuple[Upgraded, ...]:
        """Bring journals to the newest shape that this version knows, one after the other; others wait meanwhile.

        Say so once nobody is left who does not know it: workers that are alive are looked at, and older producers are
        refused from then on. To ask again goes on with what was stopped half way, and changes nothing else.

        Args:
            target: That of this one only; of all when None, also of those that the settings no longer name.
            who: Who says so.

        Raises:
            Refused: A worker program is alive that does not know that shape.
            OtherShape: A journal has a shape that this version does not know.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        made = []
        for journal in self._journals(target):
            done = journal.drive(upgrade_flow(self.settings, journal.target))
            made.append(done)
            if done.changed:
                result = f"shape {done.after}, was {done.before}"
                self._note(journal, "upgrade", f"target {journal.target}", who=who, result=result)
        return tuple(made)

    def leases(self) -> dict[str, int]:
        """Intents in the hands of each worker, by its name (host, process id and a random part)."""
        held: Counter[str] = Counter()
        for _, part in self._of_each(lambda journal: journal.drive(leases_flow(journal.prefix))):
            held.update(part)
        return dict(held)

    def actions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        who: str | None = None,
        what: str | Collection[str] | None = None,
        target: str | None = None,
        most: int = 100,
    ) -> tuple[Action, ...]:
        """What operators did, newest first: one action however many letters and journals it was about.

        Each journal keeps some ten thousand entries, whatever else happens in it.

        Args:
            since: Only at or after this time.
            until: Only before this time.
            who: Only by this person.
            what: Only of this sort, or of these; see :class:`Action`.
            target: Only in the journal of this ledger.
            most: How many at most.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        asked = Asked(since, until, who, kinds_of(what))
        found = self._of_each(
            lambda journal: journal.drive(wanted_flow(journal.prefix, journal.target, asked, most)), target
        )
        return as_actions(newest_first(entries for _, entries in found), most)

    def listed(
        self,
        state: StateName,
        *,
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        target: str | None = None,
        oldest_first: bool = False,
        bound: ListBound | None = None,
    ) -> Iterator[Status]:
        """Intents of a state, newest first, read page by page as they are asked for.

        By the time at which they came into the state; ``ready``, ``sending`` and ``posted`` by when they are due, when
        their lease ends, and when the ledger is looked at next.

        Args:
            state: One of :class:`blnk_relay.intents.states.State`.
            kind: Only of this kind.
            code: Only with this code.
            dead_class: Only letters of this class.
            since: Only what came into this state at or after this time; for ``ready`` and ``posted``: changed since.
            until: Only what came into this state before this time.
            key: Only the intent with this key or id.
            target: Only of this ledger.
            oldest_first: The other way round.
            bound: How far to look for those that fit, where somebody waits for the answer; to the end when None.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        wanted = Wanted(state, kind, code, since, until, dead_class)
        bound = bound or ListBound(most=None)
        those = [
            Listing(journal).listed(wanted, key=key, oldest_first=oldest_first, bound=bound)
            for journal in self._journals(target)
        ]
        merged_ = heapq.merge(*those, key=lambda found: found[0], reverse=not oldest_first)
        return (status for _, status in merged_)

    def check_filters(
        self,
        states: Sequence[StateName],
        *,
        kind: str | None = None,
        code: str | None = None,
        target: str | None = None,
    ) -> None:
        """Refuse what cannot match, so that a typing error does not look like an empty list.

        Args:
            states: The states that are listed.
            kind: A kind; one of another version counts as known once an intent of it was enqueued or died.
            code: A code; checked when only dead letters are listed, because any answer's code may stand elsewhere.
            target: A ledger; one that the settings no longer name counts as known while there is a journal of it.

        Raises:
            NotFound: There is no such kind or target, or no letter ever died of this code.
            JournalUnavailable: Redis did not answer.
        """
        if target is not None and target not in self.settings.ledgers:
            expect("target", target, {*self.settings.ledgers, *self.journals.unnamed()})
        if kind is not None or code is not None:
            known = [Listing(journal).known() for journal in self._journals(target)]
            check_filters(known, states, kind=kind, code=code)

    def causes(
        self,
        *,
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        target: str | None = None,
    ) -> Causes:
        """Dead letters by what they died of, in a few commands a cause however many letters there are.

        Args:
            kind: Only of this kind.
            code: Only with this code.
            dead_class: Only of this class.
            since: Only what died at or after this time.
            until: Only what died before this time.
            target: Only of this ledger.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        window = Window(kind, dead_class, code, since, until)
        parts = self._of_each(
            lambda journal: journal.drive(causes_flow(journal.prefix, journal.seal, journal.target, window)), target
        )
        answered = {journal.target for journal, _ in parts}
        away = tuple(journal.target for journal in self._journals(target) if journal.target not in answered)
        return by_cause([part for _, part in parts], away)

    def recount(self, target: str | None = None) -> int:
        """Make anew what is kept of letters by their cause; others may go on meanwhile.

        Needed where a version before has left letters that no cause accounts for, or what was kept is lost. It looks at
        each letter once. Until it has come to its end, lists of letters that are narrowed look at each as well.

        Args:
            target: Of this ledger only; of all when None.

        Returns:
            How many letters are accounted for.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer; to ask again begins anew.
        """
        number = 0
        for journal in self._journals(target):
            counted = journal.scripts.run("recount", "drop")
            for ids in Listing(journal).ids("dead"):
                counted = journal.scripts.run("recount", "join", *ids)
            number += counted
        return number

    def codes(self, target: str | None = None) -> tuple[str, ...]:
        """Codes that letters ever died of, from the counters.

        Args:
            target: Of this one only; of all when None.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        known = self._of_each(lambda journal: Listing(journal).known(), target)
        return tuple(sorted({code for _, one in known for code in one.codes}))

    def plan(self, status: Status) -> ReplayPlan:
        """What a replay of a dead letter would do."""
        if status.state != "dead":
            return ReplayPlan(ReplayWay.NO, f"it is {status.state}, not dead")
        if status.unreadable and status.kind in KINDS:
            return ReplayPlan(ReplayWay.NO, "what was recorded of it is broken: settle it by hand, then discard it")
        plan = plan_replay(status.kind, status.dead_class, status.code)
        if plan.way is ReplayWay.FRESH and status.locked and KINDS[status.kind].renewed is not None:
            return ReplayPlan(
                ReplayWay.NO,
                f"its payload, in which new references would stand, is encrypted with key {status.locked[0]}, which "
                "this process does not have",
            )
        return plan

    def replay(self, status: Status, *, who: str, reason: str, together: Together | None = None) -> ReplayPlan:
        """Give a dead letter a new life. Nothing is sent before the ledger was asked, where it may have been sent.

        Args:
            status: The dead letter, as it was looked at: one that has changed since is left alone.
            who: Who says so.
            reason: Why; kept in its log.
            together: What it has in common with others that are one action with it in the log.

        Returns:
            What was done.

        Raises:
            Refused: It would double, or could never end otherwise, or there is no reason; the message says why.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        check_reason(reason, "replayed")
        plan = self.plan(status)
        if plan.way is ReplayWay.NO:
            raise Refused(f"intent {status.id} is not replayed: {plan.why}")
        fresh = plan.way is ReplayWay.FRESH
        journal = self._journal(status.target)
        renewal = journal.renewal(status.id, status.generation) if fresh else None
        answer, bells, *taken = journal.scripts.run(
            "replay",
            status.id,
            int(self.settings.deadline_s * 1000),
            "1" if fresh else "0",
            *(renewal.encoded().values() if renewal else ("", "", "", "")),
            _line("replayed", journal, who, reason),
            life_of(status),
            self._of_letter("replay", status, together, who=who, reason=reason),
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not replayed: it has changed since it was looked at: look again")
        if answer == "taken":
            raise Refused(f"intent {status.id} is not replayed: reference {taken[0]!r} is taken by an intent already")
        if answer != "replayed":
            raise Refused(f"intent {status.id} is not replayed: it is {answer}, not dead")
        self._bells.ring(status.target, bells)
        return plan

    def discard(self, status: Status, *, who: str, reason: str, together: Together | None = None) -> None:
        """Close a dead letter by a human's word; what waited behind it goes on.

        Args:
            status: The dead letter, as it was looked at: one that has changed since is left alone.
            who: Who says so.
            reason: Why; kept for ever.
            together: What it has in common with others that are one action with it in the log.

        Raises:
            Refused: There is no reason, or it is not dead, or has died again since.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        check_reason(reason, "discarded")
        journal = self._journal(status.target)
        answer, bells = journal.scripts.run(
            "discard",
            status.id,
            _line("discarded", journal, who, reason),
            self.settings.events_max,
            life_of(status) if status.state == "dead" else "",
            self._of_letter("discard", status, together, who=who, reason=reason),
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not discarded: it has changed since it was looked at: look again")
        if answer != "closed":
            raise Refused(f"intent {status.id} is not discarded: it is {answer}, not dead")
        self._bells.ring(status.target, bells)

    def worth(self, statuses: Sequence[Status]) -> tuple[dict[str, Decimal], int]:
        """What some dead letters are worth together, by currency, and of how many of them that is known.

        Args:
            statuses: The letters.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        ids: dict[str, list[str]] = {}
        for status in statuses:
            ids.setdefault(status.target, []).append(status.id)
        minor, summed = Counter[str](), 0
        for target, some in ids.items():
            journal = self._journal(target)
            of_one, number = journal.drive(worth_flow(journal.prefix, some))
            minor.update(of_one)
            summed += number
        return sums_of({name: str(number) for name, number in minor.items()}), summed

    def plan_many(
        self,
        what: JobName,
        *,
        of: str = "",
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        target: str | None = None,
        most: int = MOST_OF_A_JOB,
    ) -> ManyPlan:
        """What a replay or a discard of many dead letters would do; looks at each of them, and changes nothing.

        Args:
            what: ``replay`` or ``discard``.
            of: What it is about, in words, for the log; the filters when empty.
            kind: Only letters of this kind.
            code: Only with this code.
            dead_class: Only of this class.
            since: Only those that died at or after this time.
            until: Only those that died before this time.
            target: Only of this ledger.
            most: Letters to act on at most; the oldest come first.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        asked = {"kind": kind, "class": dead_class, "code": code, "since": since, "until": until, "target": target}
        words = " ".join(f"{name}={value}" for name, value in asked.items() if value is not None)
        plan = ManyPlan(what, of or f"letters {words or 'of all causes'}")
        found = self.listed(
            "dead",
            kind=kind,
            code=code,
            dead_class=dead_class,
            since=since,
            until=until,
            target=target,
            oldest_first=True,
        )
        for status in found:
            if not plan.add(way_of(self.plan(status), status, what), most):
                break
        plan.sums, plan.summed = self.worth([letter.status for letter in plan.letters])
        return plan

    def begin(self, plan: ManyPlan, *, who: str, reason: str) -> str:
        """Begin a job: what was planned is carried out by workers, without whoever began it.

        A letter that has changed since it was planned is left alone. Where the letters are of several targets, the job
        has a part in each journal.

        Args:
            plan: What is to be done.
            who: Who says so.
            reason: Why; kept in the log of each letter.

        Returns:
            The name of the job.

        Raises:
            Refused: There is no reason, or nothing to do, or too much for one job.
            JournalUnavailable: Redis did not answer; the parts of targets before that one have begun.
        """
        check_reason(reason, "replayed" if plan.what == "replay" else "discarded")
        if not plan.letters:
            raise Refused("no job is begun: there is nothing in its plan that could be done")
        if len(plan.letters) > MOST_OF_A_JOB:
            raise Refused(f"no job is begun: its plan has {len(plan.letters):,} letters, of at most {MOST_OF_A_JOB:,}")
        id_ = new_id()
        word = {"by": who[:MAX_WHO], "note": reason[:MAX_REASON]}
        line = json.dumps({"what": "replayed" if plan.what == "replay" else "discarded", **word}, ensure_ascii=False)
        ends = told("end", f"{plan.what} {id_}: {plan.of}", who=who, via="worker", reason=reason, mark=f"end {id_}")
        begins = self._told("begin", f"{plan.what} {id_}: {plan.of}", who=who, reason=reason, mark=f"begin {id_}")
        about = {"what": plan.what, "of": plan.of, "who": who[:MAX_WHO], "via": self.via, "reason": reason[:MAX_REASON]}
        fields = [text for pair in {**about, "line": line, "ends": ends}.items() for text in pair]
        targets = dict.fromkeys(letter.status.target for letter in plan.letters)
        for target in targets:
            run = self._journal(target).scripts.run
            run("job", "plan", id_, *fields)
            for some in batched(items([letter for letter in plan.letters if letter.status.target == target]), CHUNK):
                run("job", "add", id_, *some)
        for target in targets:
            self._journal(target).scripts.run("job", "begin", id_, begins)
            # Whoever hears this sweeps, and looks for jobs.
            self._bells.ring(target, [CONFIRM_LANE])
        return id_

    def jobs(self, target: str | None = None, most: int = 100) -> tuple[Job, ...]:
        """Jobs that run, and those that are over for no longer than a month, newest first; one for each target.

        Args:
            target: Only in the journal of this ledger.
            most: Of each journal at most.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        parts = self._of_each(lambda journal: journal.drive(jobs_flow(journal.prefix, journal.target, most)), target)
        return tuple(sorted((job for _, some in parts for job in some), key=lambda job: job.begun, reverse=True))

    def job(self, id_: str) -> tuple[Job, ...]:
        """One job: its part in the journal of each target that it is about.

        Raises:
            NotFound: There is no such job, or not any more.
            JournalUnavailable: No Redis answered.
        """
        parts = self._of_each(lambda journal: journal.drive(job_flow(journal.prefix, journal.target, id_)))
        found = tuple(job for _, job in parts if job is not None)
        if not found:
            raise NotFound(f"no job is known under {id_!r}")
        return found

    def stop_job(self, id_: str, *, who: str, reason: str = "") -> tuple[Job, ...]:
        """Stop a job: what it has done stays done, and what it has not come to is left alone.

        Args:
            id_: Which.
            who: Who says so.
            reason: Why.

        Returns:
            What it has come to.

        Raises:
            NotFound: There is no such job.
            Refused: It is over already.
            JournalUnavailable: No Redis answered.
        """
        parts = self.job(id_)
        action = self._told("stop job", f"{parts[0].what} {id_}", who=who, reason=reason, mark=f"stop {id_}")
        stopped = [self._journal(part.target).scripts.run("job", "stop", id_, action) for part in parts]
        if not any(stopped):
            raise Refused(f"job {id_} is not stopped: it is {parts[0].state} already")
        return self.job(id_)

    def cancel(self, status: Status, *, who: str, reason: str = "") -> Status:
        """Take an intent back that was never sent; see :meth:`blnk_relay.Relay.cancel`.

        Args:
            status: The intent.
            who: Who says so.
            reason: Why; kept in its log.

        Raises:
            TooLate: It may have been sent, or is over.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        journal = self._journal(status.target)
        line = _line("cancelled", journal, who, reason)
        action = self._told("cancel", f"intent {status.key or status.id}", who=who, reason=reason)
        flow = cancel_flow(self.settings, journal.seal, status.target, status.id, line=line, action=action)
        after, bells = journal.drive(flow)
        self._bells.ring(status.target, bells)
        return after

    def rebind(self, target: str, *, who: str, reason: str) -> None:
        """Say that the ledger of a target has moved to the address that the settings name now.

        Args:
            target: Which.
            who: Who says so.
            reason: Why; kept beside it until the next time.

        Raises:
            Refused: There is no reason.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        if not reason.strip():
            raise Refused("a target is only bound to another address with a reason")
        journal = self.journals.of(target)
        action = self._told("rebind", f"target {target} to {journal.ledger}", who=who, reason=reason)
        journal.rebind(journal.ledger, who=who, reason=reason, action=action)

    def key_use(
        self, target: str | None = None, *, whole: bool = True, step: Callable[[int], None] = lambda _: None
    ) -> tuple[KeyUse, ...]:
        """What each journal needs which encryption key for; looks at each intent that is kept.

        Args:
            target: Of this one only; of all when None.
            whole: False to look at some of the intents only, where somebody waits; :attr:`KeyUse.left` says how many
                were left.
            step: Told how many intents more were looked at.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        most = None if whole else MOST_MISSED
        return tuple(key_use(journal, most, step) for journal in self._journals(target))

    def reseal(
        self,
        target: str,
        *,
        who: str = "",
        stopped: Callable[[], bool] = lambda: False,
        step: Callable[[int], None] = lambda _: None,
    ) -> Resealed:
        """Put all that a journal hides, and all that it should, under the encryption key that is written with.

        To be done after keys were set, and after another key has become the first; workers may go on meanwhile. It may
        be broken off, and begun again, at any time.

        Args:
            target: Whose journal.
            who: Who says so.
            stopped: Whether to end early.
            step: Told how many intents more were looked at.

        Raises:
            Refused: There is no key to write with.
            EncryptionKeyMissing: The secret of its fingerprints, or its tokens, are under a key that is not at hand.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer; what was done stays done.
        """
        journal, of = self._journal(target), f"target {target}"
        if journal.seal.keys().first is not None:
            self._note(journal, "renew keys", of, who=who, result="begun")
        done = reseal(journal, stopped=stopped, step=step)
        result = "done" if done.finished else "broken off"
        self._note(journal, "renew keys", of, who=who, result=result, count=done.done)
        return done

    def pause_lane(self, lane: str, *, who: str, reason: str = "") -> Change:
        """Let workers claim nothing more from a lane, for whatever target; what is being sent is finished.

        Args:
            lane: The lane.
            who: Who says so.
            reason: Why.

        Returns:
            Whose pause stands: this one or, unchanged, an earlier one by the same person.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer; the targets before the one that it keeps are paused.
        """
        self._known(lane)
        made: list[Change] = []
        word = Word(who, reason, self.via, mark=new_mark())
        refused: Refused | None = None
        for journal in self._journals(None):
            try:
                made.append(journal.drive(pause_flow("lane", lane, word)))
            except Refused as error:
                refused = refused or error
        if refused is not None and not any(made):
            raise refused
        return _together(made)

    def resume_lane(self, lane: str, *, who: str = "", reason: str = "") -> Change:
        """Let workers claim from a lane again.

        Returns:
            Whose pause has ended.

        Raises:
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer.
        """
        self._known(lane)
        ended, word = [], Word(who, reason, self.via, mark=new_mark())
        for journal in self._journals(None):
            ended.append(journal.drive(resume_flow(self.settings, "lane", lane, word)))
            self._bells.ring(journal.target, [lane])
        return _together(ended)

    def pause_target(self, target: str, *, who: str, reason: str = "") -> Change:
        """Stop all requests to a target until it is resumed; nobody probes it meanwhile. See :meth:`pause_lane`.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        return self.journals.of(target).drive(pause_flow("target", target, Word(who, reason, self.via)))

    def resume_target(self, target: str, *, who: str = "", reason: str = "") -> Change:
        """Open all gates of a target, those that workers have shut or slowed as well.

        Returns:
            Whether one was shut or slowed, and whose pause has ended.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        word = Word(who, reason, self.via)
        ended = self.journals.of(target).drive(resume_flow(self.settings, "target", target, word))
        self._bells.ring(target, (*self.settings.lanes, CONFIRM_LANE))
        return ended

    def glance(self, target: str | None = None) -> Glance:
        """What is wrong, how much there is, how fast it goes and who works, all of one moment.

        Args:
            target: Of this one only; of all when None, also of those that the settings no longer name.

        Raises:
            NotFound: There is no such target.
        """
        return glance_of(read_facts(self.settings, self._journals(target)))

    def verdicts(self, target: str | None = None) -> tuple[Verdict, ...]:
        """What is wrong, worst first; see :meth:`glance`."""
        return self.glance(target).verdicts

    def rates(self, target: str | None = None) -> Rates:
        """How many intents came and went a second over 1, 5 and 60 minutes, and when none will be open.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """

        def read(journal: Journal) -> Rates:
            overview, _ = journal.drive(overview_flow(self.settings, journal.target))
            now = sample_now(journal.now_ms(), overview.counts)
            return rates_of(now, journal.drive(samples_flow(journal.prefix)), overview.open)

        return merged_rates([rates for _, rates in self._of_each(read, target)])

    def hour(self, target: str | None = None) -> tuple[tuple[float, float], ...]:
        """How many intents came and went a second in each minute of the last hour, the oldest first: for a chart.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        read = self._of_each(lambda journal: (journal.now_ms(), journal.drive(samples_flow(journal.prefix))), target)
        # Samples are a minute apart: no clock of a journal is so far from another.
        return by_minute([samples for _, (_, samples) in read], max(now_ms for _, (now_ms, _) in read))

    def workers(self, target: str | None = None) -> tuple[WorkerView, ...]:
        """Worker programs with what they say of themselves, those that are alive first; the dead ones of half a day.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        read = self._of_each(lambda journal: journal.drive(workers_flow(self.settings, journal.target)), target)
        return together([found for _, found in read])

    def quiet(self, *names: str, who: str, reason: str = "") -> tuple[WorkerView, ...]:
        """Have workers claim nothing new, finish what they have in hand, and stay; each learns it within a sweep or so.

        Args:
            *names: Of each its name, host and process id (``host:pid``), or how its name begins.
            who: Who says so.
            reason: Why.

        Returns:
            Those that are meant and alive, as they were; those that were told before are among them.

        Raises:
            NotFound: No worker that is alive has such a name.
            Refused: One is too old to be told.
            JournalUnavailable: No Redis answered.
        """
        return self._wish("quiet", names, who, reason)

    def stop(self, *names: str, who: str, reason: str = "") -> tuple[WorkerView, ...]:
        """The same, and have them leave once that is done: with exit code 0, whatever starts others in their place."""
        return self._wish("stop", names, who, reason)

    def _wish(self, wish: str, names: Sequence[str], who: str, reason: str) -> tuple[WorkerView, ...]:
        alive = tuple(worker for worker in self.workers() if worker.alive)
        meant: dict[str, WorkerView] = {}
        for name in names:
            those = chosen(alive, name)
            if not those:
                raise NotFound(f"no worker that is alive is called {name!r}, or so at the beginning")
            meant.update({worker.name: worker for worker in those})
        older = [worker.name for worker in meant.values() if not worker.can_be_told]
        if older:
            raise Refused(f"{', '.join(older)} cannot be told: too old. Send it SIGTERM where it runs; nobody was told")
        for worker in meant.values():
            word = Word(who, reason, self.via, new_mark())
            those_journals = [self.journals.any_of(target) for target in worker.journals]
            reached(those_journals, lambda journal: journal.drive(wish_flow(self.settings, worker.name, wish, word)))  # noqa: B023
        return tuple(meant.values())

    def health(self, name: str = "") -> Health:
        """Whether the workers of this host, or one, are well; for the supervisor of a container.

        Args:
            name: Of a worker, as :meth:`quiet` takes it; those of this host when empty.

        Raises:
            JournalUnavailable: No Redis answered, so that nobody can tell.
        """
        host = socket.gethostname()
        workers = self.workers()
        mine = chosen(workers, name) if name else tuple(worker for worker in workers if worker.host == host)
        return health_of(mine, f"under the name {name!r}" if name else f"on {host}")

    # -- history -----------------------------------------------------------------------------------------------------

    def find(self, *, most: int = 100, **asked: Unpack[Asking]) -> FindResult:
        """Intents by what is known of them, over history and journals alike; all that is given has to hold.

        Args:
            most: Intents at most, the newest.
            **asked: What is looked for, by the names of :class:`Question`.

        Returns:
            What was found, and where it was looked: without a history, or with it away, some of the newest that a
            journal keeps are read where it has no index.

        Raises:
            Refused: Nothing is asked for.
            NotFound: There is no such target.
        """
        question = Question(**asked)
        return find(self._journals(question.target), question, most)

    def history_lag(self, target: str | None = None) -> tuple[HistoryLag, ...]:
        """How far each journal that can be reached is copied into history.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        return tuple(lag for _, lag in self._of_each(lambda journal: journal.history_lag(), target))

    def history_off(self, target: str | None = None, *, who: str, reason: str, forced: bool = False) -> dict[str, int]:
        """Let nothing wait for history any more before it is trimmed; what was copied stays.

        Args:
            target: Of this one only; of all when None.
            who: Who says so.
            reason: Why.
            forced: Also where a worker has looked a moment ago, which switches it on again if it goes on.

        Returns:
            For each target how many intents were not copied.

        Raises:
            Refused: A worker still copies.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        left = {}
        for journal in self._journals(target):
            is_off, number = journal.drive(off_flow(forced=forced))
            if not is_off:
                raise Refused(
                    f"history of target {journal.target!r} is not switched off: a worker copied a moment ago, and "
                    "would switch it on again. Take BLNK_RELAY_HISTORY_URL out of the settings of all workers first"
                )
            self._note(journal, "history off", f"target {journal.target}", who=who, reason=reason, count=number)
            left[journal.target] = number
        return left

    def _told(self, what: str, of: str, *, who: str, reason: str = "", mark: str = "") -> str:
        """An action as the scripts take it."""
        return told(what, of, who=who, via=self.via, reason=reason, mark=mark)

    def _of_letter(self, what: str, status: Status, together: Together | None, *, who: str, reason: str) -> str:
        """The same of one letter."""
        of = f"letter {status.key or status.id}" if together is None else together.of
        return self._told(what, of, who=who, reason=reason, mark="" if together is None else together.mark)

    def _note(
        self, journal: Journal, what: str, of: str, *, who: str, reason: str = "", result: str = "done", count: int = 0
    ) -> None:
        """Note an action that no script does as a whole."""
        journal.scripts.run("note", self._told(what, of, who=who, reason=reason), result, count)

    def _known(self, lane: str) -> None:
        if lane not in self.settings.lanes:
            raise NotFound(f"no lane {lane!r}; the settings list {', '.join(self.settings.lanes)}")

    def _journal(self, target: str | None) -> Journal:
        return self.journals.any_of(target or next(iter(self.settings.ledgers)))

    def _of_each(self, read: Callable[[Journal], T], target: str | None = None) -> list[tuple[Journal, T]]:
        """What is read from each journal that can be reached.

        Raises:
            JournalUnavailable: None can be.
        """
        return reached(self._journals(target), read)

    def _journals(self, target: str | None) -> list[Journal]:
        return self.journals.everywhere() if target is None else [self.journals.any_of(target)]


def _together(changes: Sequence[Change]) -> Change:
    """What was done in several journals, as one: whether anything, and the first pause that stood or stands."""
    return Change(any(changes), next((change.pause for change in changes if change.pause is not None), None))


def _line(what: str, journal: Journal, who: str, reason: str) -> str:
    return json.dumps(
        {"at": journal.now_ms(), "what": what, "by": who[:MAX_WHO], "note": reason[:MAX_REASON]}, ensure_ascii=False
    )
