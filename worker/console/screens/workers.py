"""Workers: which are alive, what they hold, which died, and having one stop gently."""

from __future__ import annotations

from datetime import UTC, datetime

from blnk_relay import Gathered, NotFound, Refused, WorkerView
from blnk_relay.journal.workers import called
from worker.console.asking import YES, Ask, BadRequest, Onward, Page
from worker.console.signin.rights import Right

#: Longest name of a worker that is taken.
_MOST_NAME = 200

_WORDS = {"quiet": "be quiet", "stop": "stop"}


def workers(ask: Ask) -> Page:
    """All that are alive, and those that died within half a day."""
    found = ask.operator.workers()
    versions = sorted({worker.version or "older" for worker in found if worker.alive})
    now = ask.operator.now()
    started = {
        worker.name: datetime.fromtimestamp(worker.sign.started_ms / 1000, UTC)
        for worker in found
        if worker.sign.started_ms
    }
    values = {"found": found, "versions": versions, "now": now, "started": started, "away": found.away}
    return Page("workers.html", values | {"told": sum(worker.can_be_told for worker in found)})


def confirm(ask: Ask) -> Page:
    """Ask once more before one, or all, are told to be quiet or to stop."""
    what, name, everybody = _what(ask), ask.query.get("name", "")[:_MOST_NAME], ask.query.get("all") in YES
    found = [
        one for one in ask.operator.workers() if one.alive and (one.can_be_told if everybody else one.name == name)
    ]
    if not found:
        raise NotFound("no worker that is alive can be told" if everybody else f"no worker is called {name!r}")
    values = {"what": what, "word": _WORDS[what], "found": found, "everybody": everybody}
    return Page("wish.html", values | {"lacking": "" if ask.person.may(Right.OPERATOR) else Right.OPERATOR.value})


def act(ask: Ask) -> Onward:
    """Tell it."""
    names = ", ".join(worker.name for worker in told(ask))
    return Onward("/workers", f"Told {names} to {_WORDS[_what(ask)]}; it learns of it within a sweep or so.")


def told(ask: Ask) -> Gathered[WorkerView]:
    """Tell a worker, or all, to be quiet or to stop.

    Raises:
        NotFound: None that is alive is called so.
        Refused: It is too old to be told, or there are not as many as were typed.
    """
    what, name, reason = _what(ask), ask.text("name", _MOST_NAME), ask.text("reason")
    ask.need(Right.OPERATOR, "to stop a worker")
    everybody = ask.form.get("all") in YES
    if bool(name) == everybody or not reason:
        raise BadRequest("say which worker and why: whoever starts it again will ask")
    alive = [one for one in ask.operator.workers() if one.alive]
    # By how a name begins several would be told, and nobody has typed how many.
    names = [one.name for one in called(alive, name)]
    if not names and not everybody:
        raise NotFound(f"no worker that is alive is called {name!r}: give its whole name, or host:pid")
    if everybody:
        typed = ask.number("count", "workers")
        names = [one.name for one in alive if one.can_be_told]
        if typed != len(names):
            raise Refused(f"nobody was told: you typed {typed}, and there are {len(names)} now; look again")
    tell = ask.operator.quiet if what == "quiet" else ask.operator.stop
    return tell(*names, who=ask.person.name, reason=reason)


def _what(ask: Ask) -> str:
    what = ask.path["what"]
    if what not in _WORDS:
        raise BadRequest("a worker can be told to be quiet or to stop")
    return what
