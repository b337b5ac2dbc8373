"""What an operator does with many dead letters at once: jobs, which workers carry out."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from blnk_relay.errors import JournalUnavailable, NotFound, Refused
from blnk_relay.journal.actions import MAX_REASON, MAX_WHO, check_reason, told
from blnk_relay.journal.gathered import Gathered
from blnk_relay.journal.hands.letters import Letters
from blnk_relay.journal.jobs import (
    CHUNK,
    MOST_OF_A_JOB,
    Job,
    JobName,
    ManyPlan,
    add_worth,
    cache_of,
    items,
    job_flow,
    jobs_flow,
    letters_in_words,
    new_id,
    planned,
    stopped_in_part,
    unseen,
)
from blnk_relay.journal.journals import reached
from blnk_relay.journal.status import Status
from blnk_relay.replay import ReplayWay
from blnk_relay.settings import CONFIRM_LANE


class Many(Letters):
    """Plans, begins, shows and stops jobs."""

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
        step: Callable[[int], None] = lambda _: None,
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
            step: Told how many letters more were looked at.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.causes import sums_of
        from blnk_relay.journal.listing import Listing
        from blnk_relay.journal.narrowing import Wanted

        words = letters_in_words(kind=kind, code=code, dead_class=dead_class, since=since, until=until, target=target)
        wanted = Wanted("dead", kind, code, since, until, dead_class)
        plan = ManyPlan(what, of or words)
        parts = [Listing(journal).letters(wanted, step) for journal in self._journals(target)]
        judged = cache_of(self.plan)
        minor: Counter[str] = Counter()
        for _, status, worth in heapq.merge(*parts, key=lambda found: (found[0], found[1].id)):
            letter = planned(status, what, judged)
            if not plan.add(letter, most):
                break
            if letter.way != ReplayWay.NO:
                plan.summed += add_worth(minor, worth)
        plan.sums = sums_of({name: str(number) for name, number in minor.items()})
        return plan

    def plan_these(self, what: JobName, letters: Iterable[Status], *, of: str, most: int = MOST_OF_A_JOB) -> ManyPlan:
        """The same for letters that are at hand; no more of them are asked for than the plan has room for.

        Args:
            what: ``replay`` or ``discard``.
            letters: The letters, as they were looked at.
            of: What it is about, in words, for the log.
            most: Letters to act on at most; the first are taken.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        plan = ManyPlan(what, of)
        for status in letters:
            if not plan.add(planned(status, what, self.plan), most):
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
            JournalUnavailable: Redis did not answer, or has lost what was planned a moment before; the parts of targets
                before that one have begun.
        """
        from blnk_relay.journal.flows import batched

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
        targets = tuple(dict.fromkeys(letter.status.target for letter in plan.letters))
        about = {"what": plan.what, "of": plan.of, "who": who[:MAX_WHO], "via": self.via, "reason": reason[:MAX_REASON]}
        about |= {"line": line, "ends": ends, "targets": ",".join(targets)}
        fields = [text for pair in about.items() for text in pair]
        for target in targets:
            run = self._journal(target).scripts.run
            run("job", "plan", id_, *fields)
            letters = [letter for letter in plan.letters if letter.status.target == target]
            noted = 0
            for some in batched(items(letters), CHUNK):
                noted = run("job", "add", id_, *some)
            self._check_kept(target, id_, noted == len(letters))
        for target in targets:
            self._check_kept(target, id_, bool(self._journal(target).scripts.run("job", "begin", id_, begins)))
            # Whoever hears this sweeps, and looks for jobs.
            self._bells.ring(target, [CONFIRM_LANE])
        return id_

    @staticmethod
    def _check_kept(target: str, id_: str, kept: bool) -> None:
        """Refuse to say that a job has begun of which Redis has lost some, as with another server in its place."""
        if not kept:
            raise JournalUnavailable(
                f"the Redis of target {target!r} has lost what was planned of job {id_}: look at the "
                "jobs that have begun, and plan what is left once more"
            )

    def jobs(self, target: str | None = None, most: int = 100) -> Gathered[Job]:
        """Jobs that run, and those that are over for no longer than a month, newest first; one for each target.

        Args:
            target: Only in the journal of this ledger.
            most: Of each journal at most.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        parts = self._of_each(lambda journal: journal.drive(jobs_flow(journal.prefix, journal.target, most)), target)
        found = sorted((job for some in parts for job in some), key=lambda job: job.begun, reverse=True)
        return Gathered(found, parts.away)

    def job(self, id_: str) -> Gathered[Job]:
        """One job: its part in the journal of each target that it is about.

        Raises:
            NotFound: There is no such job, or not any more.
            JournalUnavailable: No Redis answered, or none that knows the job; where one did, ``away`` names the
                targets where it may go on unseen.
        """
        parts = self._of_each(
            lambda journal: (journal.target, journal.drive(job_flow(journal.prefix, journal.target, id_)))
        )
        found = [job for _, job in parts if job is not None]
        if not found and parts.away:
            raise JournalUnavailable(f"no job is known under {id_!r}; nothing is known of {', '.join(parts.away)}")
        if not found:
            raise NotFound(f"no job is known under {id_!r}")
        return Gathered(found, unseen(found, [target for target, _ in parts], parts.away))

    def stop_job(self, id_: str, *, who: str, reason: str = "") -> Gathered[Job]:
        """Stop a job: what it has done stays done, and what it has not come to is left alone.

        Where a journal does not answer it is stopped in the others all the same, and then raised.

        Args:
            id_: Which.
            who: Who says so.
            reason: Why.

        Returns:
            What it has come to.

        Raises:
            NotFound: There is no such job.
            Refused: It is over already.
            JournalUnavailable: A journal did not answer that has a part of it, or may have one: the message says
                where it is stopped and where it goes on. To ask again stops the rest; so does a worker that sees, in a
                journal that was told, that it is to be stopped.
        """
        parts = self.job(id_)
        action = self._told("stop job", f"{parts[0].what} {id_}", who=who, reason=reason, mark=f"stop {id_}")
        asked = reached(parts, lambda part: self._journal(part.target).scripts.run("job", "stop", id_, action))
        told = {part.target for part, _ in asked}
        if untold := (*(part.target for part in parts if part.target not in told), *parts.away):
            stopped = {part.target for part, now in asked if now or part.state == "stopped"}
            raise JournalUnavailable(stopped_in_part(id_, sorted(stopped), sorted(told - stopped), untold))
        now = self.job(id_)
        if not any(stopped for _, stopped in asked):
            raise Refused(f"job {id_} is not stopped: it is {now[0].state} already")
        return now
