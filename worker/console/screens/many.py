"""Replaying and discarding many letters: a plan, a reason, the number typed, and a job that workers carry out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from blnk_relay import ManyPlan, Refused
from blnk_relay.replay import PERHAPS_REPLAYED
from worker.cli.output import several, stamp
from worker.console.asking import YES, Ask, BadRequest, NotAllowed, Onward, Page, part
from worker.console.screens.filters import Filters
from worker.console.signin.rights import Right

#: Most letters of one plan: it is looked at while somebody waits. More go by the command line, or by a narrower scope.
MOST = 10_000

#: Letters that are looked at one by one before anything is shown; of more the first page shows what is counted.
AT_ONCE = 2_000


def plan(ask: Ask, given: Mapping[str, Any]) -> tuple[str, ManyPlan]:
    """What a replay or a discard of the letters that are asked for would do; changes nothing.

    Args:
        ask: What is asked for.
        given: Which letters: what stands behind the question mark, or in a form.

    Raises:
        BadRequest: Nothing says which letters.
    """
    asked = asked_for(ask, given)
    return asked.what, made(ask, asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be done, and with which letters.

    Attributes:
        what: ``replay`` or ``discard``.
        filters: Which, their times as they were seen when it was asked: the letters are the same ones, however long it
            takes to look at each. What dies from then on was not looked at, and is left alone.
        since: Those times.
        until: Those times.
    """

    what: Literal["replay", "discard"]
    filters: Filters
    since: datetime | None
    until: datetime

    @property
    def narrowed(self) -> dict[str, Any]:
        """As an operator's hands take it."""
        filters = self.filters
        narrowed = {"kind": filters.kind, "dead_class": filters.dead_class, "target": filters.target}
        return {name: text or None for name, text in narrowed.items()} | {
            "code": filters.named_code,
            "since": self.since,
            "until": self.until,
        }


def asked_for(ask: Ask, given: Mapping[str, Any]) -> Asked:
    """What is to be done, and with which letters.

    Raises:
        BadRequest: Nothing says which letters.
    """
    what = ask.path["what"]
    if what not in ("replay", "discard"):
        raise BadRequest("dead letters are replayed or discarded")
    filters = Filters.read(given)
    if not (given.get("all") in YES or filters.scope):
        raise BadRequest("say which letters: a kind, a code, a class, a target, a time, or all of them")
    kind, code, target = filters.kind or None, filters.named_code, filters.target or None
    ask.operator.check_filters(("dead",), kind=kind, code=code, target=target)
    now = ask.operator.now(target)
    since, until = filters.times(now)
    until = until or now + timedelta(milliseconds=1)
    seen = replace(filters, since=stamp(since) or "", until=stamp(until) or "")
    return Asked("replay" if what == "replay" else "discard", seen, since, until)


def made(ask: Ask, asked: Asked) -> ManyPlan:
    """The plan of letters that died until then."""
    return ask.operator.plan_many(asked.what, **asked.narrowed, most=MOST)


def needed_for(ask: Ask, what: str, found: ManyPlan) -> tuple[Right, str]:
    """Which right a plan takes, and what for."""
    if what == "discard":
        return Right.APPROVER, "to discard dead letters"
    if any(letter.status.dead_class == "unknown" for letter in found.letters):
        return Right.APPROVER, "to replay letters of class unknown"
    if len(found.letters) > ask.settings.most_at_once:
        return Right.APPROVER, f"to replay more than {ask.settings.most_at_once} letters at once"
    return Right.OPERATOR, "to replay dead letters"


def confirm(ask: Ask) -> Page:
    """The plan, and what has to be typed to have it carried out.

    Of very many letters the page comes at once, with what is counted of their causes, and asks for the plan itself.
    """
    asked = asked_for(ask, ask.query)
    if ask.query.get("whole") not in YES and (first := at_first(ask, asked)) is not None:
        return first
    found = made(ask, asked)
    right, why = needed_for(ask, asked.what, found)
    values = {
        "what": asked.what,
        "filters": asked.filters,
        "plan": found,
        "everything": ask.query.get("all") in YES,
        "lacking": "" if ask.person.may(right) else right.value,
        "why": why,
        "workers": ask.operator.overview().workers,
        "perhaps_replayed": PERHAPS_REPLAYED,
    }
    return Page("many.html", values)


def at_first(ask: Ask, asked: Asked) -> Page | None:
    """What is counted of very many letters; None where they are few, or not all of them are counted by their cause."""
    counted = ask.operator.causes(**asked.narrowed)
    count = sum(cause.count for cause in counted.causes)
    if count <= AT_ONCE or counted.uncounted or counted.away:
        return None
    query = asked.filters.query(whole="yes")
    if ask.query.get("all") in YES:
        query["all"] = "yes"
    values = {"what": asked.what, "causes": counted.causes, "count": count, "most": MOST, "whole": query}
    return Page("many_counted.html", values)


def begun(ask: Ask) -> tuple[str, ManyPlan]:
    """Have a plan carried out: the name of the job, and what was planned.

    Raises:
        NotAllowed: It takes a right that they have not.
        BadRequest: The number that was typed is not a number, or there is no reason.
        Refused: The plan has another number of letters now.
    """
    what, found = plan(ask, ask.form)
    right, why = needed_for(ask, what, found)
    if not ask.person.may(right):
        raise NotAllowed(f"{why} takes the right {right.value!r}, which {ask.person.name} does not have")
    typed, reason = ask.number("count", "letters"), ask.text("reason")
    if not reason:
        raise BadRequest("say why: the reason stays with each letter")
    if typed != len(found.letters):
        there = several(len(found.letters), "letter")
        raise Refused(f"nothing was done: you typed {typed}, and there are {there} now; look again")
    return ask.operator.begin(found, who=ask.person.name, reason=reason), found


def act(ask: Ask) -> Onward:
    """Have it carried out, and go to the job."""
    job, found = begun(ask)
    return Onward(f"/jobs/{part(job)}", f"Begun: {found.what} of {several(len(found.letters), 'letter')}.")
