"""Plan, confirm, run: how one command acts on many dead letters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.intent import handle
from worker.cli.interrupt import Stop
from worker.cli.options import reason_given
from worker.cli.output import amounts, emit, plain, progress, remark, say, several, table, tell
from worker.cli.scope import FIRST, NO, Found, died

if TYPE_CHECKING:
    from blnk_relay import ManyPlan, Planned, Status
    from worker.cli.access import Access


#: Most letters that are acted on at once, at the terminal; more are a job. blnk_relay.journal.jobs says the same.
FROM_A_JOB = 100


@dataclass(frozen=True, slots=True)
class Act:
    """What is done with each letter.

    Attributes:
        command: As it is typed: ``dead replay``.
        verb: For questions: ``Replay``.
        past: For results: ``Replayed``.
        ways: What each way means, for people.
        reason: Why, as far as that is known.
        who: Who says so.
        run: Does it for a reason; raises Refused or NotFound for a letter that has changed since the plan.
    """

    command: str
    verb: str
    past: str
    ways: Sequence[tuple[str, str]]
    reason: str
    who: str
    run: Callable[[Status, str], None]


@dataclass(slots=True)
class Result:
    """What became of a plan.

    Attributes:
        ran: Whether it was carried out at all.
        done: Letters acted on.
        refused: Letters that were refused, by the plan or when their turn came.
        left: Letters of the plan that were not come to.
        stopped: The exit code that ended the run early, or 0.
        job: Name of the job that carries it out; empty where it was done at once.
        alive: Whether a worker is alive that could.
    """

    refused: int
    left: int
    ran: bool = False
    done: int = 0
    stopped: int = 0
    job: str = ""
    alive: bool = True
    errors: list[dict[str, str]] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """What the process ends with."""
        if self.stopped:
            return self.stopped
        if self.job or not self.refused:
            return exits.OK
        return exits.PARTLY if self.done else exits.REFUSED

    def refuse(self, letter: Planned, message: str) -> None:
        """Count a letter that was refused when its turn came; the first ones are listed."""
        self.refused += 1
        if len(self.errors) < FIRST:
            self.errors.append({"id": letter.status.id, "key": letter.status.key, "message": message})

    def as_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "ran": self.ran,
            "done": self.done,
            "refused": self.refused,
            "left": self.left,
            "errors": self.errors,
            "job": self.job,
        }


def carry_out(access: Access, found: Found, act: Act, *, only_plan: bool, yes: bool, as_json: bool) -> None:
    """Show a plan, ask, run it, and say what became of it. Always ends the command."""
    plan = found.plan
    result = Result(refused=plan.ways[NO], left=len(plan.letters))
    if not as_json:
        _show(found, act)
    if only_plan:
        _finish(found, act, result, exits.OK, as_json=as_json)
    if plan.letters:
        if not yes and not sys.stdin.isatty():
            remark(f"Error: nothing was changed: without a terminal to ask on, {act.command} needs --yes (or --plan).")
            _finish(found, act, result, exits.BAD_INPUT, as_json=as_json)
        if not act.reason.strip() and not sys.stdin.isatty():
            remark(f"Error: nothing was changed: {act.command} needs --reason; it is kept.")
            _finish(found, act, result, exits.BAD_INPUT, as_json=as_json)
        if not yes and not click.confirm(f"{act.verb} {several(len(plan.letters), 'dead letter')}?", err=True):
            remark("Nothing was changed.")
            _finish(found, act, result, exits.INTERRUPTED, as_json=as_json)
        reason = reason_given(act.reason, act.command)
        if len(plan.letters) > FROM_A_JOB:
            _begin(access, plan, act, reason, result)
        else:
            _run(plan, act, reason, result)
    _finish(found, act, result, result.exit_code, as_json=as_json)


def _begin(access: Access, plan: ManyPlan, act: Act, reason: str, result: Result) -> None:
    """Hand many letters to workers, as a job that goes on without this terminal."""
    result.job = access.operator.begin(plan, who=act.who, reason=reason)
    result.alive = access.operator.overview().workers > 0


def _run(plan: ManyPlan, act: Act, reason: str, result: Result) -> None:
    from blnk_relay import JournalUnavailable, NotFound, Refused

    result.ran = True
    with Stop() as stop, progress(f"{act.command}", len(plan.letters)) as step:
        for letter in plan.letters:
            if stop.asked:
                result.stopped = exits.INTERRUPTED
                break
            try:
                # A plan may be minutes old: what has been touched since, which was not part of what was confirmed, is
                # refused.
                act.run(letter.status, reason)
                result.done += 1
            except (Refused, NotFound) as error:
                result.refuse(letter, str(error))
            except JournalUnavailable as error:
                remark(f"Error: {error}")
                result.stopped = exits.UNAVAILABLE
                break
            except Exception as error:  # noqa: BLE001 - one letter must not touch its neighbours
                result.refuse(letter, f"{act.command} failed on it ({type(error).__name__}); the others go on")
            result.left -= 1
            step(1)


def _finish(found: Found, act: Act, result: Result, code: int, *, as_json: bool) -> None:
    if as_json:
        emit(found.as_json() | result.as_json())
        exits.leave(code)
    plan, arguments = found.plan, found.arguments()
    for error in result.errors:
        remark(f"refused {plain(error['key'])}: {plain(error['message'])}")
    if result.job:
        tell(f"Job {result.job} has begun, and goes on without this terminal: {several(len(plan.letters), 'letter')}.")
        say(f"  blnk-relay jobs show {result.job} --follow")
        say(f"  blnk-relay jobs stop {result.job}")
        if not result.alive:
            remark("No worker is alive: it goes on once one is.")
    if result.ran:
        say(f"{act.past} {result.done:,}, refused {result.refused:,}, left {result.left:,}.")
    if result.ran and (result.left or plan.more):
        tell("Go on with what is left, and leave alone what dies again meanwhile:")
        say(f"  blnk-relay {act.command} {arguments}")
    elif plan.letters and not result.ran and not result.job and found.scope.until is not None:
        say(f"To act on exactly these: blnk-relay {act.command} {arguments}")
    exits.leave(code)


def _show(found: Found, act: Act) -> None:
    plan = found.plan
    if not plan.ways:
        say("No dead letter is in this scope.")
        return
    numbers = {**plan.ways, NO: plan.ways[NO] - plan.strangers, "": plan.strangers}
    every = (*act.ways, ("", "left alone: not a dead letter"))
    ways = [(f"{number:,}", text) for way, text in every if (number := numbers.get(way, 0))]
    table((">letters", "what happens"), ways, name="ways")
    left = [(f"{number:,}", why) for why, number in plan.reasons.most_common(FIRST)]
    table((">left alone", "why"), left, name="reasons", unless_empty=True)
    codes = [(f"{number:,}", code) for code, number in plan.codes.most_common(FIRST)]
    table((">letters", "code"), codes, name="codes")
    rows = [
        (handle(letter.status), letter.status.dead_class, letter.status.code, died(letter.status), letter.why)
        for letter in plan.first
    ]
    table(("key", "?class", "code", "??died", "plan"), rows, name="letters", main=True)
    doubtful = sum(letter.status.perhaps_replayed for letter in plan.letters)
    if doubtful and act.verb == "Discard":
        from blnk_relay.replay import PERHAPS_REPLAYED

        tell(f"Of {several(doubtful, 'letter')} in this scope: {PERHAPS_REPLAYED}.")
    if plan.more:
        tell(f"Cut at --max {found.most:,}: there are more in this scope.")
    if plan.summed:
        known = "" if plan.summed == len(plan.letters) else f", as far as it is known ({plan.summed:,})"
        say(f"Worth {amounts(plan.sums)}{known}.")
