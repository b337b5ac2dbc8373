"""Intents: the list, the search, and one with its life."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay import JournalUnavailable, NotFound, Operator, Status
from blnk_relay.intents.references import is_digest
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import reached
from blnk_relay.journal.parts import telling
from blnk_relay.journal.status import unknown
from blnk_relay.kinds.registry import KINDS
from worker.cli.intent import in_counts, look
from worker.cli.recalled import Recollection
from worker.console.answering import pretty
from worker.console.asking import Ask, BadRequest, Onward, Page, part
from worker.console.screens.filters import CLASSES, STATES, Filters, Listed, listed
from worker.console.signin.rights import Right

#: Rows of the ledger that are shown one by one.
MOST_ROWS = 100

#: Longest key or id that is looked for.
_MOST_KEY = 500


def intents(ask: Ask) -> Page | Onward:
    """The list; with a key or an id, the intent itself."""
    filters, unheeded = Filters.read(ask.query), ""
    if key := ask.query.get("key", "").strip():
        unheeded = _unheeded(filters)
        rows = known_as(ask.operator, key, filters.target)
        if len(rows.rows) == 1:
            said = (_perhaps_more(key, rows.away), unheeded)
            return Onward(address(rows.rows[0]), " ".join(filter(None, said)))
    else:
        rows = listed(ask.operator, filters)
    values = {"filters": filters, "listed": rows, "now": ask.operator.now(), "unheeded": unheeded}
    return Page("intents.html", values | choices(ask.operator))


def _perhaps_more(key: str, away: Sequence[str]) -> str:
    """That there may be another intent with a key where nobody could look; an id is that of one alone."""
    if not away or is_digest(key):
        return ""
    return f"There may be another with this key: {', '.join(away)} was not reached."


def _unheeded(filters: Filters) -> str:
    """That a key was looked up whatever else was asked for; empty where nothing else was."""
    names = [name for name, value in filters.query().items() if value and name != "target"]
    if not names:
        return ""
    words = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    return f"A key is looked up by itself: {words} {'were' if names[1:] else 'was'} not heeded."


def choices(operator: Operator) -> dict[str, object]:
    """What the fields of a search offer."""
    return {"states": STATES, "classes": CLASSES, "kinds": sorted(KINDS), "targets": list(operator.settings.ledgers)}


def known_as(operator: Operator, key: str, target: str) -> Listed:
    """Intents that are known under a key or an id: in a target, or in all of them where none is named.

    Returns:
        The intents, and which targets were not reached.

    Raises:
        BadRequest: It is longer than any.
        NotFound: There is none.
        JournalUnavailable: There is none where one could look, and one could not look everywhere.
    """
    if len(key) > _MOST_KEY:
        raise BadRequest(f"a key must not be longer than {_MOST_KEY} characters")
    journals = [operator.journals.any_of(name) for name in ([target] if target else operator.settings.ledgers)]
    by_itself = not target and is_digest(key)

    def look(journal: Journal) -> Status | NotFound:
        try:
            # For an id each is asked alone: the operator goes on to the others, and fails where one of them is away.
            return journal.find(key) if by_itself else found(operator, journal.target, key)
        except NotFound as error:
            return error

    answers = {journal.target: answer for journal, answer in reached(journals, look)}
    those = [one for one in answers.values() if isinstance(one, Status)]
    away = [journal.target for journal in journals if journal.target not in answers]
    if those:
        return Listed(those, away=away)
    if away:
        raise JournalUnavailable(
            f"nothing is known under {key!r} where one can look; {', '.join(away)} was not reached"
        )
    raise NotFound("; ".join(dict.fromkeys(map(str, answers.values()))))


def found(operator: Operator, target: str, key: str) -> Status:
    """An intent by its key or id, also of a target that the settings no longer name.

    Raises:
        NotFound: There is none.
    """
    if target in operator.settings.ledgers:
        return operator.get(key, target=target)
    return operator.journals.any_of(target).find(key)


def address(status: Status, what: str = "") -> str:
    """Where an intent is shown, or something is done with it."""
    return f"/intents/{part(status.target)}/{part(status.id)}" + (f"/{what}" if what else "")


def of_path(ask: Ask) -> Status:
    """The intent that an address names.

    Raises:
        NotFound: There is none.
    """
    target, id_ = ask.path["target"], ask.path["id"]
    # Never by key: one that looks like the id of another would be shown, and acted on, in its place.
    status = ask.operator.journals.any_of(target).status(id_)
    if status is None:
        raise unknown(id_, target)
    return status


def intent(ask: Ask) -> Page:
    """One intent: how it stands, its life, what is around it, and what can be done."""
    return _shown(ask, of_path(ask))


def payload(ask: Ask) -> Page:
    """The same with its payload, which is noted in the action log before there is anything to see."""
    ask.need(Right.PAYLOAD, "to look at payloads")
    status = of_path(ask)
    told = pretty(ask.operator.payload(status, who=ask.person.name, reason=ask.text("reason")))
    return _shown(ask, status, told)


def _shown(ask: Ask, status: Status, told: str = "") -> Page:
    operator = ask.operator
    past = Recollection(operator, status, look(operator, status))
    status, seen = past.status, past.seen
    rows = telling(seen.parts, MOST_ROWS)
    values = {
        "status": status,
        "attempts": seen.attempts,
        "around": seen.around,
        "plan": operator.plan(status) if status.state == "dead" else None,
        "rows": rows,
        "counts": in_counts(seen.parts),
        "more_rows": len(seen.parts) - len(rows),
        "lacking": seen.lacking,
        "payload": told,
        "past": past.told,
        "live_path": address(status),
        "now": operator.now(status.target),
        "address": address,
    }
    return Page("intent.html", values)
