"""Jobs: how far replays and discards of many letters have come, and stopping one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blnk_relay import Gathered, Job, Status
from blnk_relay.journal.jobs import goes_on
from worker.console.asking import Ask, Onward, Page, part
from worker.console.signin.rights import Right

#: Jobs that are shown.
MOST = 50


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest jobs, one for each target.

    Attributes:
        jobs: As many as are shown.
        more: Whether there are older ones.
        away: Targets whose journals could not be reached.
    """

    jobs: Sequence[Job]
    more: bool
    away: Sequence[str]


def newest(ask: Ask) -> Newest:
    """Those that go on, and those of the last month, as far as they are shown."""
    found = ask.operator.jobs(most=MOST + 1)
    return Newest(found[:MOST], len(found) > MOST, found.away)


def jobs(ask: Ask) -> Page:
    """Those that go on, and those of the last month."""
    found = newest(ask)
    return Page("jobs.html", {"jobs": found.jobs, "more": found.more, "away": found.away})


def job(ask: Ask) -> Page:
    """One job, with the first letters that it refused."""
    parts = ask.operator.job(ask.path["id"])
    about = {}
    for one in parts:
        for id_, _ in one.refusals[:MOST]:
            about[id_] = Status(id_, id_, "", one.target, "", "dead")
    over = all(one.over for one in parts) and not parts.away
    values = {"parts_of": parts, "about": about, "over": over, "away": parts.away, "still": goes_on(parts)}
    return Page("job.html", values | {"lacking": "" if ask.person.may(Right.OPERATOR) else Right.OPERATOR.value})


def stopped(ask: Ask) -> Gathered[Job]:
    """Stop it: what it has done stays done.

    Raises:
        NotFound: There is no such job.
        Refused: It is over already.
        JournalUnavailable: It could not be stopped everywhere.
    """
    ask.need(Right.OPERATOR, "to stop a job")
    return ask.operator.stop_job(ask.path["id"], who=ask.person.name, reason=ask.text("reason"))


def stop(ask: Ask) -> Onward:
    """Stop it, and look at what it has come to."""
    parts = stopped(ask)
    return Onward(f"/jobs/{part(parts[0].id)}", "Stopped: what it has done stays done.")
