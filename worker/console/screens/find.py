"""Find: where is the payment with this reference, this id, this amount, this destination; and where was looked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from blnk_relay import FindResult
from blnk_relay.money import exact_decimal
from worker.cli.find import FOUND_STATES
from worker.console.asking import Ask, BadRequest, Page
from worker.console.screens.filters import PAGE, Filters, now_of
from worker.console.screens.intents import choices

#: Longest value that is looked for.
_MOST_TEXT = 300

#: So much of an amount that is none is told.
_MOST_SHOWN = 40

#: Fields that are looked for as they are given.
_TEXTS = ("reference", "ledger_id", "currency", "source", "destination", "outcome")


def asked(ask: Ask) -> tuple[dict[str, str], FindResult | None]:
    """What is looked for, as it stands in the address, and what was found; nothing where nothing is asked for.

    Raises:
        BadRequest: A value cannot be.
    """
    query = {name: value.strip() for name, value in ask.query.items()}
    if any(len(value) > _MOST_TEXT for value in query.values()):
        raise BadRequest(f"what is looked for must not be longer than {_MOST_TEXT} characters")
    filters = Filters.read({name: value for name, value in query.items() if name != "state"})
    wanted: dict[str, Any] = {name: query.get(name, "") for name in _TEXTS}
    wanted |= {name: getattr(filters, name) for name in ("kind", "dead_class", "code")}
    wanted["target"] = filters.target or None
    wanted |= {"state": query.get("state", ""), "amount": _amount(query.get("amount", "")), "meta": _meta(query)}
    if wanted["state"] and wanted["state"] not in FOUND_STATES:
        raise BadRequest(f"{wanted['state']!r} is not a state here; there are: {', '.join(FOUND_STATES)}")
    text, given = query.get("text", ""), {name: value for name, value in wanted.items() if value not in ("", None, {})}
    if not text and not filters.since and not filters.until and not given.keys() - {"target"}:
        return query, None
    wanted["until"] = filters.until_at()
    wanted["since"] = filters.since_at(now_of(ask.operator, filters.target or None)) if filters.since else None
    return query, ask.operator.find(text=text, most=PAGE, **wanted)


def find(ask: Ask) -> Page:
    """The search, and what it found."""
    query, result = asked(ask)
    values = {"query": query, "result": result, "found_states": FOUND_STATES}
    return Page("find.html", values | choices(ask.operator))


def _amount(text: str) -> Decimal | None:
    if not text:
        return None
    try:
        return exact_decimal(text)
    except ValueError as error:
        raise BadRequest(f"{text[:_MOST_SHOWN]!r} is not an amount such as 25.00: {str(error).rstrip('.')}") from None


def _meta(query: dict[str, str]) -> dict[str, str]:
    text = query.get("meta", "")
    if not text:
        return {}
    name, between, value = text.partition("=")
    if not between or not name:
        raise BadRequest("a value of meta_data must have the form name=value, such as order=1001")
    return {name.removeprefix("meta_data."): value}
