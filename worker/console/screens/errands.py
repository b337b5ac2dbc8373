"""Errands: how far one has come and what came of it, and having one stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blnk_relay import Refused
from worker.console.asking import Ask, Onward, Page, part
from worker.console.errands import Errand
from worker.console.signin.rights import Person, Right

#: Those that can be stopped where they are; the others are soon over.
STOPPABLE = frozenset({"audit", "keys", "renew"})

#: What of a finding of an audit may quote a payload.
_VALUES = ("says", "shows")

_KEPT_BACK = "not shown without the right to payloads"


def errand(ask: Ask) -> Page:
    """One errand: how far it has come, and what came of it."""
    found = ask.errands.get(ask.path["id"])
    may_stop = found.what in STOPPABLE and not found.over and ask.person.may(Right.OPERATOR)
    return Page("errand.html", {"errand": found, "document": document_of(found, ask.person), "may_stop": may_stop})


def stop(ask: Ask) -> Onward:
    """Have it end where it is."""
    found = stopped(ask)
    return Onward(address(found), "Told to stop: it ends as soon as it can.")


def stopped(ask: Ask) -> Errand:
    """Have it end where it is.

    Raises:
        NotFound: There is no such errand.
        Refused: It is over already, or cannot be stopped.
        JournalUnavailable: It was told to stop, and that could not be noted.
    """
    ask.need(Right.OPERATOR, "to stop an errand")
    found = ask.errands.get(ask.path["id"])
    if found.what not in STOPPABLE and not found.over:
        raise Refused(f"{found.of} cannot be stopped half way; it is soon over")
    told = ask.errands.stop(found.id)
    ask.operator.note_stopped(found.of, found.target, who=ask.person.name)
    return told


def address(found: Errand) -> str:
    """Where an errand is shown."""
    return f"/errands/{part(found.id)}"


def document_of(found: Errand, person: Person) -> Mapping[str, Any]:
    """What came of it, as far as somebody may see it.

    Args:
        found: The errand.
        person: Who looks: differences may quote payloads.
    """
    if found.what != "audit" or person.may(Right.PAYLOAD):
        return found.document
    first = [{**one, **dict.fromkeys(_VALUES, _KEPT_BACK)} for one in found.document.get("first", ())]
    return {**found.document, "first": first} if found.document else {}
