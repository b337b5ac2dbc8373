"""``find``: where is the payment with this reference, this id, this amount, this destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.as_json import intent_json
from worker.cli.intent import handle
from worker.cli.options import CLASSES, example, json_option, limit_option
from worker.cli.output import emit, plain, table, tell
from worker.cli.spans import Since
from worker.cli.starting import uncollected

if TYPE_CHECKING:
    from blnk_relay import FindResult, Operator

#: States that are told apart here.
FOUND_STATES = ("open", "done", "dead", "discarded", "cancelled")


class Amount(click.ParamType[Decimal]):
    """``--amount``: a decimal number."""

    name = "amount"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Read it, or fail with a sentence."""
        from blnk_relay.money import exact_decimal

        try:
            return exact_decimal(str(value))
        except ValueError as error:
            self.fail(f"{value!r} is not an amount such as 25.00: {error}", param, ctx)


class Meta(click.ParamType[tuple[str, str]]):
    """``--meta``: a name of ``meta_data`` and its value."""

    name = "name=value"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Read it, or fail with a sentence."""
        if isinstance(value, tuple):
            return value
        name, between, text = str(value).partition("=")
        if not between or not name:
            self.fail(f"{value!r} must have the form name=value, such as order=1001.", param, ctx)
        return name.removeprefix("meta_data."), text


@click.command(
    "find",
    short_help="Find intents by reference, id, amount, ends, metadata and more.",
    epilog=example(
        "blnk-relay find order-42",
        "blnk-relay find --destination @wallet-alice --amount 25.00 --currency EUR --since 7d",
        "blnk-relay find --meta order=1001",
        "blnk-relay find --class unknown --since 2d",
    ),
)
@click.argument("text", required=False)
@click.option("--key", default="", help="Its key, or its id in the journal.")
@click.option("--reference", default="", help="A reference of any generation; also of what it acts on.")
@click.option("--id", "ledger_id", default="", help="An id of the ledger, such as txn_…, bln_… or idt_….")
@click.option("--amount", type=Amount(), help="In units of the currency.")
@click.option("--precise-amount", type=int, help="In minor units.")
@click.option("--currency", default="", help="Currency.")
@click.option("--source", default="", help="Balance that it comes from.")
@click.option("--destination", default="", help="Balance that it goes to.")
@click.option("--meta", multiple=True, type=Meta(), help="A value of meta_data; again for more.")
@click.option("--kind", default="", help="Only of this kind; see 'blnk-relay kinds'.")
@click.option("--state", default="", type=click.Choice(("", *FOUND_STATES)), help="Only in this state.")
@click.option("--outcome", default="", help="Only with this outcome, such as applied.")
@click.option(
    "--class", "dead_class", default="", type=click.Choice(("", *CLASSES)), help="Only dead letters of this class."
)
@click.option("--code", default="", help="Only with this code, such as TXN_INSUFFICIENT_FUNDS.")
@click.option("--since", type=Since(), help="Only what ended, or changed last, since: 2h, 3d, or RFC 3339.")
@click.option("--until", type=Since(), help="Only what did before.")
@click.option("--target", help="Only of this ledger.")
@limit_option
@json_option
def find(
    *,
    text: str | None,
    meta: tuple[tuple[str, str], ...],
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    target: str | None,
    limit: int,
    as_json: bool,
    **asked: Any,
) -> None:
    """Find intents over history, open ones and dead letters, and say where was looked.

    TEXT is a key, a reference or an id: each is looked for. All options that are given have to hold.
    """
    with opened(once=True) as access:
        begin, end = access.times(target, since, until)
        asked |= {"meta": dict(meta), "target": target, "since": begin, "until": end}
        # Most of it is the import of SQLAlchemy and its first statement, where there is a history.
        with uncollected():
            result = access.operator.find(text=text or "", most=limit, **asked)
        hints = () if result.found else hints_for(access.operator, target, asked)
    if as_json:
        emit(found_json(result, hints))
    else:
        _show(result, hints)
    if not result.found and len(result.unread) == len(result.looked):
        exits.leave(exits.UNAVAILABLE)


def hints_for(operator: Operator, target: str | None, asked: Mapping[str, Any]) -> Sequence[str]:
    """Why nothing may have been found under names that are mistyped.

    Args:
        operator: Knows the names.
        target: Whose intents were asked for; None for all.
        asked: What was asked for, by the names of the options.

    Raises:
        NotFound: There is no such kind.
    """
    from blnk_relay import JournalUnavailable, NotFound
    from blnk_relay.intents.outcomes import OUTCOMES

    hints = []
    if asked["outcome"] and asked["outcome"] not in OUTCOMES:
        hints.append(f"No outcome is called {asked['outcome']!r}; there are {', '.join(OUTCOMES)}.")
    if asked["currency"] != asked["currency"].upper():
        hints.append(f"Currencies are compared as they were given: perhaps {asked['currency'].upper()!r} is meant.")
    with suppress(JournalUnavailable):
        if asked["kind"]:
            operator.check_filters((), kind=asked["kind"], target=target)
        if asked["code"]:
            # Not of letters alone: the code of any answer may stand in an intent.
            try:
                operator.check_filters(("dead",), code=asked["code"], target=target)
            except NotFound as error:
                hints.append(f"Perhaps the code is mistyped: {error}")
    return hints


def found_json(result: FindResult, hints: Sequence[str]) -> dict[str, Any]:
    """As JSON."""
    return {
        "intents": [intent_json(one.status) | {"where": one.where} for one in result.found],
        "more": result.more,
        "looked": [
            {"place": one.place, "whole": one.whole, "told": one.told, "read": one.read} for one in result.looked
        ],
        "hints": list(hints),
    }


def _show(result: FindResult, hints: Sequence[str]) -> None:
    rows = []
    for one in result.found:
        status = one.status
        came = " ".join(filter(None, (status.outcome or status.dead_class, status.code)))
        rows.append(
            (
                handle(status), status.kind, status.state, came,
                status.reference if status.reference != status.key else "", status.transaction_id,
                status.updated, one.where,
            )
        )  # fmt: skip
    if rows:
        table(("key", "kind", "state", "came to", "reference", "transaction", "changed", "where"), rows)
        if result.more:
            tell("There are more: narrow it, or raise --limit.")
    elif places := result.unread:
        tell(plain(f"Nothing was found, but it may be where nobody could look: {', '.join(places)}."))
    else:
        tell("Nothing was found.")
    for hint in hints:
        tell(plain(hint))
    for place in result.looked:
        tell(plain(f"{'Looked' if place.read else 'Not looked'} in {place.place}: {place.told}."))
