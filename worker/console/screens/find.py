"""Find: where is the payment with this reference, this id, this amount, this destination; and where was looked."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from blnk_relay import FindResult
from blnk_relay.money import exact_decimal
from worker.cli.find import FOUND_STATES, hints_for
from worker.console.asking import Ask, BadRequest, Page
from worker.console.screens.filters import PAGE, Filters, now_or_here
from worker.console.screens.intents import choices

#: Longest value that is looked for.
_MOST_TEXT = 300

#: So much of an amount that is none is told.
_MOST_SHOWN = 40

#: Most values of meta_data that are asked for at once.
_MOST_METAS = 10

#: Fields that are looked for as they are given.
_TEXTS = ("key", "reference", "ledger_id", "currency", "source", "destination", "outcome")


def asked(ask: Ask) -> tuple[dict[str, str], FindResult | None, Sequence[str]]:
    """What is looked for, as it stands in the address, and what was found; nothing where nothing is asked for.

    Returns:
        What is looked for, what was found, and what may be mistyped where that is nothing.

    Raises:
        BadRequest: A value cannot be.
        NotFound: There is no such kind.
    """
    query = {name: value.strip() for name, value in ask.query.items()}
    if any(len(value) > _MOST_TEXT for value in query.values()):
        raise BadRequest(f"what is looked for must not be longer than {_MOST_TEXT} characters")
    filters = Filters.read({name: value for name, value in query.items() if name != "state"})
    wanted: dict[str, Any] = {name: query.get(name, "") for name in _TEXTS}
    wanted |= {name: getattr(filters, name) for name in ("kind", "dead_class", "code")}
    wanted["target"] = filters.target or None
    wanted |= {"state": query.get("state", ""), "amount": _amount(query.get("amount", ""))}
    wanted |= {"precise_amount": _precise(query.get("precise_amount", "")), "meta": _meta(metas(ask))}
    if wanted["state"] and wanted["state"] not in FOUND_STATES:
        raise BadRequest(f"{wanted['state']!r} is not a state here; there are: {', '.join(FOUND_STATES)}")
    text, given = query.get("text", ""), {name: value for name, value in wanted.items() if value not in ("", None, {})}
    if not text and not filters.since and not filters.until and not given.keys() - {"target"}:
        return query, None, ()
    if filters.since or filters.until:
        wanted["since"], wanted["until"] = filters.times(now_or_here(ask.operator, filters.target))
    result = ask.operator.find(text=text, most=PAGE, **wanted)
    return query, result, () if result.found else hints_for(ask.operator, wanted["target"], wanted)


def find(ask: Ask) -> Page:
    """The search, and what it found."""
    query, result, hints = asked(ask)
    values = {"query": query, "metas": metas(ask), "result": result, "hints": hints, "found_states": FOUND_STATES}
    return Page("find.html", values | choices(ask.operator))


def _amount(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        return exact_decimal(text)
    except ValueError as error:
        raise BadRequest(f"{text[:_MOST_SHOWN]!r} is not an amount such as 25.00: {str(error).rstrip('.')}") from None


def _precise(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise BadRequest(f"{text!r} is not an amount in minor units such as 2500")
    return int(text)


def metas(ask: Ask) -> list[str]:
    """Values of meta_data that are asked for, as they were written."""
    given = [value.strip() for name, value in ask.pairs if name == "meta" and value.strip()]
    if len(given) > _MOST_METAS or any(len(value) > _MOST_TEXT for value in given):
        raise BadRequest(f"at most {_MOST_METAS} values of meta_data can be asked for, of {_MOST_TEXT} characters each")
    return given


def _meta(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, between, value = text.partition("=")
        if not between or not name:
            raise BadRequest("a value of meta_data must have the form name=value, such as order=1001")
        found[name.removeprefix("meta_data.")] = value
    return found
