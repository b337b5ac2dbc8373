"""Lanes and targets: what waits, what stands still and why, and pausing and resuming with a reason."""

from __future__ import annotations

from collections.abc import Callable

from blnk_relay import Change, Refused
from worker.cli.lanes import whose
from worker.console.asking import Ask, BadRequest, Onward, Page
from worker.console.signin.rights import Right


def lanes(ask: Ask) -> Page:
    """All lanes of all targets, and the gates that are not simply open."""
    operator = ask.operator
    overview = operator.overview()
    values = {
        "overview": overview,
        "paused_targets": {gate.target: gate for gate in overview.gates if gate.manual},
        "lanes": list(operator.settings.lanes),
        "settings": operator.settings,
        "whose": whose,
    }
    return Page("lanes.html", values)


def confirm(ask: Ask) -> Page:
    """Ask for a reason, to ``pause`` or ``resume`` a ``lane`` or a ``target``."""
    sort, name, what = _asked(ask)
    overview = ask.operator.overview()
    if sort == "lane":
        held = next((lane.pause for lane in overview.lanes if lane.lane == name and lane.pause), None)
        about = whose(held) if held else ""
        open_ = sum(lane.due + lane.later for lane in overview.lanes if lane.lane == name)
    else:
        gate = next((gate for gate in overview.gates if gate.target == name and gate.manual), None)
        about = f"by {gate.who or 'somebody'}{f': {gate.note}' if gate.note else ''}" if gate else ""
        open_ = sum(lane.due + lane.later for lane in overview.lanes if lane.target == name)
    values = {"sort": sort, "name": name, "what": what, "about": about, "open": open_}
    return Page("pause.html", values | {"lacking": "" if ask.person.may(Right.OPERATOR) else Right.OPERATOR.value})


def act(ask: Ask) -> Onward:
    """Pause or resume, and go back to the lanes."""
    sort, name, what = _asked(ask)
    return Onward("/lanes", _said(sort, name, what, changed(ask)))


def changed(ask: Ask) -> Change:
    """Pause or resume.

    Raises:
        Refused: Somebody else's pause stands.
        NotFound: There is no such lane or target.
    """
    sort, name, what = _asked(ask)
    ask.need(Right.OPERATOR, f"to {what} a {sort}")
    reason, who, operator = ask.text("reason"), ask.person.name, ask.operator
    if what == "pause" and not reason:
        raise BadRequest("say why: whoever comes next sees it")
    acts: dict[tuple[str, str], Callable[..., Change]] = {
        ("lane", "pause"): operator.pause_lane,
        ("lane", "resume"): operator.resume_lane,
        ("target", "pause"): operator.pause_target,
        ("target", "resume"): operator.resume_target,
    }
    return acts[sort, what](name, who=who, reason=reason)


def confirm_rebind(ask: Ask) -> Page:
    """Say that the ledger of a target has moved: what it was, what it would be, and what is under way there."""
    name, kept, ours = _bindings(ask)
    found = ask.operator.overview(name)
    values = {"name": name, "kept": kept, "ours": ours, "overview": found}
    return Page("rebind.html", values | {"lacking": "" if ask.person.may(Right.APPROVER) else Right.APPROVER.value})


def rebind(ask: Ask) -> Onward:
    """Say that it has moved."""
    name, _, ours = rebound(ask)
    return Onward("/lanes", f"Target {name} is {ours}.")


def rebound(ask: Ask) -> tuple[str, str, str]:
    """Say that it has moved: which target, what it was, and what it is now.

    Raises:
        NotFound: The settings name no such target.
    """
    ask.need(Right.APPROVER, "to bind a target to another address")
    name, kept, ours = _bindings(ask)
    reason = ask.text("reason")
    if not reason:
        raise BadRequest("say why: it is kept beside the target")
    if ask.text("seen") != f"{kept} {ours}":
        raise Refused("nothing was done: the journal or the settings have changed since you looked")
    ask.operator.rebind(name, who=ask.person.name, reason=reason)
    return name, kept, ours


def _bindings(ask: Ask) -> tuple[str, str, str]:
    """A target, the ledger that its journal keeps, and that of the settings."""
    name = ask.path["name"]
    journal = ask.operator.journals.of(name)
    if not journal.ledger:
        raise BadRequest(f"the settings do not say which ledger {name!r} is: set its address or its instance")
    return name, journal.recorded_ledger(), journal.ledger


def _said(sort: str, name: str, what: str, change: Change) -> str:
    if change.changed:
        was = f", paused {whose(change.pause)}" if what == "resume" and change.pause else ""
        return f"{what.capitalize()}d {sort} {name}{was}."
    if what == "pause":
        return f"Nothing to do: {sort} {name} was paused already{f', {whose(change.pause)}' if change.pause else ''}."
    return f"Nothing to do: {sort} {name} was not paused."


def _asked(ask: Ask) -> tuple[str, str, str]:
    sort, name, what = ask.path["sort"], ask.path["name"], ask.path["what"]
    if sort not in ("lane", "target") or what not in ("pause", "resume"):
        raise BadRequest("only lanes and targets are paused and resumed")
    return sort, name, what
