"""``jobs``: replays and discards of many letters, which workers carry out without the terminal that began them."""

from __future__ import annotations

import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.interrupt import Stop
from worker.cli.options import Reason, answer_option, example, json_option, limit_option, who_option
from worker.cli.output import (
    amounts,
    clock,
    emit,
    fields,
    plain,
    progress,
    remark,
    remark_away,
    say,
    several,
    stamp,
    table,
)

if TYPE_CHECKING:
    from blnk_relay import Gathered, Job

#: Time between two looks at a job that is followed.
_LOOK_S = 0.5


@click.group(
    "jobs",
    invoke_without_command=True,
    short_help="Replays and discards of many letters, and how far they have come.",
    epilog=example("blnk-relay jobs", "blnk-relay jobs show 5f0c2a91"),
)
@limit_option
@json_option
@click.pass_context
def jobs(context: click.Context, limit: int, as_json: bool) -> None:
    """Show replays and discards of many letters: those that go on, and those of the last month that are over."""
    if context.invoked_subcommand is not None:
        return
    with opened(once=True) as access:
        found = access.operator.jobs(most=limit + 1)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        emit({"jobs": [job_json(job) for job in shown], "more": more, "away": list(found.away)})
        return
    if shown:
        columns = ("job", "target", "what", "state", ">done", ">refused", ">left", "begun", "who", "why")
        table(columns, [_row(job) for job in shown])
    else:
        say("There are no jobs.")
    if more:
        say(f"There are more than {limit:,}: raise --limit.")
    remark_away(found.away)


def _row(job: Job) -> tuple[object, ...]:
    done, refused, left = (f"{number:,}" for number in (job.done, job.refused, job.left))
    return job.id, job.target, job.what, job.state, done, refused, left, job.begun, job.who, job.reason


@jobs.command("show", epilog=example("blnk-relay jobs show 5f0c2a91", "blnk-relay jobs show 5f0c2a91 --follow"))
@click.argument("job")
@click.option("--follow", is_flag=True, help="Wait until it is over; Ctrl-C ends the waiting, not the job.")
@json_option
def jobs_show(job: str, follow: bool, as_json: bool) -> None:
    """Show how far a JOB has come, what it has done, and which letters it refused."""
    code = exits.OK
    with opened() as access:
        found = access.operator.job(job)
        if follow:
            with Stop() as stop, progress(f"job {job}", sum(part.total for part in found)) as step:
                seen = 0
                while not stop.asked:
                    come = sum(part.done + part.refused for part in found)
                    step(come - seen)
                    seen = come
                    if all(part.over for part in found) and not found.away:
                        break
                    time.sleep(_LOOK_S)
                    found = access.operator.job(job)
                code = exits.INTERRUPTED if stop.asked else exits.OK
    if as_json:
        emit({"job": job, "parts": [job_json(part) for part in found], "away": list(found.away)})
    else:
        show(found)
    exits.leave(code)


@jobs.command("stop", epilog=example("blnk-relay jobs stop 5f0c2a91 --reason 'the wrong bank'"))
@click.argument("job")
@click.option("--reason", type=Reason(), default="", help="Why; kept.")
@who_option
@answer_option
def jobs_stop(job: str, reason: str, who: str, as_json: bool) -> None:
    """Stop a JOB: what it has done stays done, and what it has not come to is left alone."""
    with opened() as access:
        found = access.operator.stop_job(job, who=who, reason=reason)
    if as_json:
        emit({"job": job, "parts": [job_json(part) for part in found], "away": list(found.away)})
        return
    show(found)


def show(parts: Gathered[Job]) -> None:
    """A job for people.

    Args:
        parts: Its part for each target.
    """
    from blnk_relay.journal.jobs import goes_on

    for part in parts:
        sums = amounts(part.sums)
        known = "" if part.summed == part.done else f" (of {part.summed:,})"
        fields(
            [
                ("job", part.id),
                ("target", part.target if part.target != "default" or len(parts) > 1 else ""),
                ("what", f"{part.what} {several(part.total, 'letter')}: {part.of}"),
                ("who", f"{part.who}, from {part.via}"),
                ("why", part.reason),
                ("state", part.state),
                ("done", f"{part.done:,}"),
                ("refused", f"{part.refused:,}"),
                ("left", f"{part.left:,}"),
                ("worth", f"{sums}{known}" if sums else ""),
                ("begun", clock(part.begun)),
                ("ended", clock(part.ended)),
            ]
        )
        say()
        if part.reasons:
            rows = [(f"{number:,}", why) for why, number in Counter(part.reasons).most_common()]
            table((">refused", "why"), rows)
        for letter, why in part.refusals:
            say(f"refused {plain(letter)}: {plain(why)}")
    if still := goes_on(parts):
        remark(f"It was stopped elsewhere and goes on in {', '.join(still)}: blnk-relay jobs stop {parts[0].id}")
    remark_away(parts.away)


def job_json(job: Job) -> dict[str, Any]:
    """One job, or the part of it for one target.

    Args:
        job: Which.
    """

    def plainly(total: Decimal) -> str:
        return f"{total:f}"

    return {
        "id": job.id,
        "target": job.target,
        "what": job.what,
        "of": job.of,
        "who": job.who,
        "via": job.via,
        "reason": job.reason,
        "state": job.state,
        "targets": list(job.targets),
        "total": job.total,
        "done": job.done,
        "refused": job.refused,
        "left": job.left,
        "reasons": dict(job.reasons),
        "sums": {currency: plainly(total) for currency, total in job.sums.items()},
        "summed": job.summed,
        "begun": stamp(job.begun),
        "ended": stamp(job.ended),
        "refusals": [{"id": letter, "why": why} for letter, why in job.refusals],
    }
