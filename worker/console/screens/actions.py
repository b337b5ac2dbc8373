"""The log of actions: who did what, from where, why, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from blnk_relay import Action, Operator
from blnk_relay.journal.actions import Place
from worker.cli.log import WHAT, result_of
from worker.console.asking import Ask, BadRequest, Page
from worker.console.screens.filters import PAGE, Filters, now_or_here

#: Longest name that is asked for.
_MOST_WHO = 100


@dataclass(frozen=True, slots=True)
class Told:
    """One page of the log.

    Attributes:
        rows: What was done, newest first.
        after: Behind which of them the next page begins; empty where there is none.
        away: Targets whose journals could not be reached: of these it has no more than history does.
        unread: Why history could not be asked for what is older than the journals keep; empty where nothing is missing.
    """

    rows: Sequence[Action]
    after: str = ""
    away: Sequence[str] = ()
    unread: str = ""


def told(ask: Ask) -> tuple[Filters, str, str, Told]:
    """What is asked for, and one page of it."""
    filters, who, what = Filters.read(ask.query), ask.query.get("who", "").strip(), ask.query.get("what", "")
    if len(who) > _MOST_WHO:
        raise BadRequest(f"who must not be longer than {_MOST_WHO} characters")
    if wrong := [one for one in _several(what) if one not in WHAT]:
        raise BadRequest(f"{wrong[0]!r} is not something that an operator does; there are: {', '.join(WHAT)}")
    if filters.target:
        ask.operator.check_filters((), target=filters.target)
    return filters, who, what, _page(ask.operator, filters, who, what)


def _several(what: str) -> tuple[str, ...]:
    """Of which sorts, where several stand with commas between them."""
    return tuple(dict.fromkeys(name for name in map(str.strip, what.split(",")) if name))


def _page(operator: Operator, filters: Filters, who: str, what: str) -> Told:
    try:
        after = Place.read(filters.after) if filters.after else None
    except ValueError as error:
        raise BadRequest(f"after: {error}") from None
    since, until = filters.times(now_or_here(operator, filters.target))
    found = operator.log(
        since=since,
        until=until,
        who=who or None,
        what=_several(what) or None,
        target=filters.target or None,
        most=PAGE + 1,
        after=after,
    )
    rows = found.actions[:PAGE]
    return Told(rows, str(rows[-1].place) if len(found.actions) > PAGE else "", found.away, found.unread)


def actions(ask: Ask) -> Page:
    """The log of actions."""
    filters, who, what, page = told(ask)
    settings = ask.operator.settings
    values = {"filters": filters, "who": who, "what": what, "page": page, "sorts": WHAT, "result_of": result_of}
    values["history"] = bool(settings.history_url) and not page.unread
    return Page("actions.html", values | {"targets": list(settings.ledgers)})
