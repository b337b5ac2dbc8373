"""Dead letters: the list, and replaying, discarding and cancelling one, each confirmed and with a reason."""

from __future__ import annotations

from dataclasses import replace

from blnk_relay import Refused, Status
from blnk_relay.replay import PERHAPS_REPLAYED
from worker.cli.output import clock, stamp
from worker.console.asking import Ask, BadRequest, NotAllowed, Onward, Page
from worker.console.screens.filters import Filters, listed
from worker.console.screens.intents import address, choices, of_path
from worker.console.signin.rights import Right


def letters(ask: Ask) -> Page:
    """Dead letters, those that died last first."""
    # They are of one state, whatever an address has.
    filters = replace(Filters.read(ask.query), states=())
    found = listed(ask.operator, filters, ("dead",))
    plans = [ask.operator.plan(status) for status in found.rows]
    values = {"filters": filters, "listed": found, "plans": plans, "now": ask.operator.now(), "address": address}
    return Page("letters.html", values | choices(ask.operator))


def seen(status: Status) -> str:
    """What a form notes of an intent, so that nobody acts on another than they looked at."""
    perhaps = " perhaps replayed" if status.perhaps_replayed else ""
    return f"{status.state} {status.generation} {stamp(status.updated)}{perhaps}"


def confirm(ask: Ask) -> Page:
    """Ask once more, with what would happen: to ``replay``, ``discard`` or ``cancel``."""
    status, what = of_path(ask), ask.path["what"]
    _check_what(what)
    plan = ask.operator.plan(status) if what == "replay" else None
    values = {"status": status, "what": what, "plan": plan, "seen": seen(status), "address": address}
    values["perhaps_replayed"] = PERHAPS_REPLAYED
    return Page("confirm.html", values | {"lacking": lacking(ask, status, what)})


def lacking(ask: Ask, status: Status, what: str) -> str:
    """The right that somebody lacks for an act; empty where they may."""
    needed = needed_for(status, what)
    return "" if ask.person.may(needed) else needed.value


def needed_for(status: Status, what: str) -> Right:
    """Which right an act on one intent takes."""
    if what == "discard" or (what == "replay" and status.dead_class == "unknown"):
        return Right.APPROVER
    return Right.OPERATOR


def act(ask: Ask) -> Onward:
    """Do it, and go on to the intent."""
    status, said = done(ask)
    return Onward(address(status), said)


def done(ask: Ask, *, unseen: bool = False) -> tuple[Status, str]:
    """Do it, if the intent is still what was looked at: the intent as it was, and what was done, as a sentence.

    Args:
        ask: What is asked for.
        unseen: Whether it may be left out what was looked at.

    Raises:
        NotAllowed: It takes a right that they have not.
        Refused: The intent has changed, or it would double.
    """
    status, what = of_path(ask), ask.path["what"]
    _check_what(what)
    if right := lacking(ask, status, what):
        of = " of class unknown" if what == "replay" else ""
        raise NotAllowed(f"to {what} a letter{of} takes the right {right!r}, which {ask.person.name} does not have")
    looked_at = ask.text("seen")
    if looked_at != seen(status) and not (unseen and not looked_at):
        raise Refused(f"nothing was done: {_what_happened(ask, status)}")
    reason, who = ask.text("reason"), ask.person.name
    if not reason:
        raise BadRequest("say why: the reason stays with it")
    match what:
        case "replay":
            plan = ask.operator.replay(status, who=who, reason=reason)
            said = f"Replayed: {plan.why}."
        case "discard":
            ask.operator.discard(status, who=who, reason=reason)
            said = "Discarded: closed for good, and what waits behind it goes on."
        case _:
            ask.operator.cancel(status, who=who, reason=reason)
            said = "Cancelled: it was taken back before it was sent."
    return status, said


def _check_what(what: str) -> None:
    if what not in ("replay", "discard", "cancel"):
        raise BadRequest(f"{what!r} is not something that can be done with an intent")


def _what_happened(ask: Ask, status: Status) -> str:
    """That an intent is not what somebody looked at any more, and by whom, as far as its log says."""
    acts = [one for one in ask.operator.history(status) if one.what in ("replayed", "discarded", "cancelled")]
    last = f"; the last act was {acts[-1].worker or 'somebody'}'s, who has {acts[-1].what} it" if acts else ""
    return f"it has changed since you looked: it is {status.state} since {clock(status.updated)}{last}"
