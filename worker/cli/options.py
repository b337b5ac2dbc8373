"""Options that several commands share, and the form of their help."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from worker.cli.forms import FORMS, Form, chosen
from worker.cli.spans import Since

#: Longest reason; blnk_relay.journal.actions would cut it there.
MOST_REASON = 500

#: Classes of dead letters; blnk_relay.DeadClassName says the same.
CLASSES = ("refused", "rejected", "unknown", "partial", "invalid")

#: What is given for the code of letters that have none, on a command line and in an address, where an empty one is no
#: condition.
NO_CODE = "-"

Function = TypeVar("Function", bound=Callable[..., Any])


def _form(ctx: click.Context, param: click.Parameter, value: Form | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        _choose(ctx, param, value)


def _json(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value and not ctx.resilient_parsing:
        _choose(ctx, param, "json")
    return chosen().form == "json"


def _choose(ctx: click.Context, param: click.Parameter, form: Form) -> None:
    made = chosen()
    if made.form not in ("fit", form):
        raise click.BadParameter(f"cannot be {form} and {made.form} at once.", ctx, param)
    made.form = form


def _table(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    if chosen().form != "csv":
        raise click.BadParameter("goes with -o csv, which prints one table.", ctx, param)
    chosen().table = value


def json_option(function: Function) -> Function:
    """How a command prints what it shows: ``-o wide|json|csv``, and ``--json`` for ``-o json``; hands on ``as_json``.

    The tables of the command come out in that form by themselves (:mod:`worker.cli.output`).
    """
    for option in (
        click.option(
            "--table",
            expose_value=False,
            callback=_table,
            metavar="TABLE",
            help="With -o csv: another table of the command, by number or name.",
        ),
        click.option("--json", "as_json", is_flag=True, callback=_json, help="The same as -o json."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(FORMS),
            expose_value=False,
            is_eager=True,
            callback=_form,
            help="All columns without folding, one JSON object (docs/cli.md), or one table as CSV.",
        ),
    ):
        function = option(function)
    return function


def answer_option(function: Function) -> Function:
    """``-o json`` and ``--json`` for a command that shows no table: it does something, and says so."""
    for option in (
        click.option("--json", "as_json", is_flag=True, callback=_json, help="The same as -o json."),
        click.option(
            "-o",
            "--output",
            type=click.Choice(["json"]),
            expose_value=False,
            is_eager=True,
            callback=_form,
            help="Print one JSON object (docs/cli.md).",
        ),
    ):
        function = option(function)
    return function


def _payload(ctx: click.Context, param: click.Parameter, value: bool) -> bool:
    if value and chosen().form == "csv":
        raise click.BadParameter("does not fit into a table: give it with -o json, or without -o.", ctx, param)
    return value


payload_option = click.option(
    "--payload",
    "with_payload",
    is_flag=True,
    callback=_payload,
    help="Show the payload: personal data. Who looks is noted in the log.",
)


def payload_reason_option(function: Function) -> Function:
    """``--reason`` of a look at a payload, which may be given."""
    return click.option(
        "--reason", type=Reason(), default="", help="Why you look at the payload; kept. Goes with --payload."
    )(function)


target_option = click.option(
    "--target", default="default", show_default=True, help="The ledger that the key belongs to."
)

limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most intents to list."
)


whole_option = click.option(
    "--whole", is_flag=True, help="Look at all, however many there are; shows how far it is at a terminal."
)


oldest_option = click.option(
    "--oldest",
    is_flag=True,
    help="The other way round: first what came into its state first, or has been due for longest.",
)


def filter_options(function: Function) -> Function:
    """``--kind``, ``--class``, ``--code``, ``--target``, ``--since``, ``--until``; several narrow each other down."""
    for option in (
        click.option("--target", help="Only of this ledger; BLNK_RELAY_TARGETS names them."),
        click.option("--until", type=Since(), help="Only what came into this state before: 15m (ago), or RFC 3339."),
        click.option("--since", type=Since(), help="Only what came into this state since: 2h, 3d, or RFC 3339."),
        click.option(
            "--code",
            callback=lambda _ctx, _param, value: "" if value == NO_CODE else value,
            help="Only with this code, such as TXN_INSUFFICIENT_FUNDS; - for none.",
        ),
        click.option("--class", "dead_class", type=click.Choice(CLASSES), help="Only letters of this class."),
        click.option("--kind", help="Only of this kind; see 'blnk-relay kinds'."),
    ):
        function = option(function)
    return function


def reason_option(function: Function) -> Function:
    """``--reason`` of what is not done without one; see :func:`reason_given`."""
    return click.option("--reason", type=Reason(), default="", help="Why; kept, and asked for when it is not given.")(
        function
    )


def who_option(function: Function) -> Function:
    """``--who``: whose word it is."""
    return click.option("--who", type=Who(), default=login_name, help="Who says so; kept.  [default: your login name]")(
        function
    )


def reason_given(reason: str, command: str) -> str:
    """A reason that says something: as it was given, or asked for at a terminal.

    Raises:
        click.UsageError: There is none, and nobody to ask.
    """
    if not reason.strip() and sys.stdin.isatty():
        reason = click.prompt("Why?", err=True, type=Reason())
    if not reason.strip():
        raise click.UsageError(f"{command} needs --reason; it is kept.", click.get_current_context())
    return reason


class Who(click.ParamType[str]):
    """A name that stands for somebody."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it, or fail with a sentence."""
        if not str(value).strip():
            self.fail("must name somebody: it is kept with what is done.", param, ctx)
        return str(value)


class Reason(click.ParamType[str]):
    """Words that are kept whole or not at all."""

    name = "text"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it, or fail with a sentence."""
        text = str(value)
        if len(text) > MOST_REASON:
            self.fail(f"must not be longer than {MOST_REASON} characters.", param, ctx)
        return text


def login_name() -> str:
    """The name of whoever runs the command; a container may know only a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def example(*lines: str) -> str:
    """The end of a command's help; the first line keeps click from joining the others."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])
