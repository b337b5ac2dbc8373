"""``dead summary``: what letters died of, how many there are of each, what they are worth, what a replay would do."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.cli.access import opened
from worker.cli.options import NO_CODE, Who, example, filter_options, json_option, login_name
from worker.cli.output import amounts, emit, plain, remark, remark_away, say, several, stamp, table, tell
from worker.cli.spans import times_at

if TYPE_CHECKING:
    from blnk_relay import Cause, Causes


@click.command(
    "summary", epilog=example("blnk-relay dead summary", "blnk-relay dead summary --class unknown --since 12h")
)
@filter_options
@click.option("--recount", is_flag=True, help="Look at each letter once more, where some are not accounted for.")
@click.option(
    "--who", type=Who(), default=login_name, help="With --recount: who says so; kept.  [default: your login name]"
)
@json_option
def dead_summary(
    *,
    kind: str | None,
    code: str | None,
    target: str | None,
    dead_class: str | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    recount: bool,
    who: str,
    as_json: bool,
) -> None:
    """Show dead letters by what they died of: how many, since when, what they are worth, who waits, what to do."""
    with opened(once=True) as access:
        access.operator.check_filters(("dead",), kind=kind, code=code, target=target)
        if recount:
            access.operator.recount(target, who=who)
        now = access.operator.now(target)
        begin, end = times_at(since, until, now)
        found = access.operator.causes(
            kind=kind,
            code=code,
            dead_class=dead_class,
            target=target,
            since=begin,
            until=end,
        )
    if as_json:
        emit(causes_json(found))
        return
    show(found)


def show(found: Causes) -> None:
    """Causes for people.

    Args:
        found: Them.
    """
    if not found.causes:
        say("There are no dead letters.")
    else:
        targets = len({cause.target for cause in found.causes} - {"default"}) > 0
        # Kind and what a replay does stand below as well.
        columns = (">letters", "class", "code", "??kind", "first", "last", "worth", "?a replay")
        rows = [_row(cause, targets=targets) for cause in found.causes]
        table(("target", *columns) if targets else columns, rows)
        for cause in found.causes:
            at = f" at {cause.target}" if targets else ""
            tell(f"{plain(cause.code or 'no code')} ({plain(cause.kind)}){plain(at)}: {_who(cause)}")
            refused = " is refused" if cause.way.value == "no" else ""
            tell(f"A replay{refused}: {plain(cause.why)}.", "  ")
            say(f"  blnk-relay dead list {_narrowed(cause, targets=targets)}")
    if found.uncounted:
        remark(f"{several(found.uncounted, 'letter')} not accounted for: blnk-relay dead summary --recount")
    remark_away(found.away)


def _row(cause: Cause, *, targets: bool) -> tuple[object, ...]:
    ways = {"same": "same reference", "fresh": "new reference", "no": "is refused"}
    row = (
        f"{cause.count:,}",
        cause.dead_class,
        cause.code,
        cause.kind,
        cause.first,
        cause.last,
        worth(cause),
        ways[cause.way.value],
    )
    return (cause.target, *row) if targets else row


def _narrowed(cause: Cause, *, targets: bool) -> str:
    """The letters of a cause as options that a shell takes."""
    named = {"class": cause.dead_class, "code": cause.code or NO_CODE, "kind": cause.kind}
    if targets:
        named["target"] = cause.target
    return " ".join(f"--{name} {shlex.quote(plain(value))}" for name, value in named.items() if value)


def worth(cause: Cause) -> str:
    """What the letters of a cause are worth, as far as that is known.

    Args:
        cause: Which.
    """
    if not cause.summed:
        return "not known"
    sums = amounts(cause.sums)
    return sums if cause.summed == cause.count else f"{sums} (of {cause.summed:,})"


def _who(cause: Cause) -> str:
    """Whose letters they are."""
    keys = f"the oldest are {', '.join(plain(key) for key in cause.some_keys)}" if cause.some_keys else ""
    orders = ", ".join(f"{plain(order)} ({number:,})" for order, number in cause.some_orders)
    return "; ".join(filter(None, (keys, f"{several(cause.orders, 'order')}, most of {orders}" if orders else "")))


def causes_json(found: Causes) -> dict[str, Any]:
    """Causes for programs.

    Args:
        found: Them.
    """
    return {
        "causes": [
            {
                "target": cause.target,
                "kind": cause.kind,
                "class": cause.dead_class,
                "code": cause.code,
                "count": cause.count,
                "first": stamp(cause.first),
                "last": stamp(cause.last),
                "way": cause.way.value,
                "why": cause.why,
                "sums": {currency: f"{total:f}" for currency, total in cause.sums.items()},
                "summed": cause.summed,
                "orders": cause.orders,
                "some_orders": [{"order": order, "count": number} for order, number in cause.some_orders],
                "some_keys": list(cause.some_keys),
            }
            for cause in found.causes
        ],
        "uncounted": found.uncounted,
        "away": list(found.away),
    }
