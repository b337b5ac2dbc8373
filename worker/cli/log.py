"""``log``: who did what, from where, why, and what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from worker.cli.access import opened
from worker.cli.as_json import action_json
from worker.cli.options import example, json_option
from worker.cli.output import emit, remark, remark_away, say, table
from worker.cli.spans import Since
from worker.cli.starting import uncollected

if TYPE_CHECKING:
    from blnk_relay import Action

#: What an operator does, as it is asked for; the library's :class:`blnk_relay.Action` says the same.
WHAT = (
    "pause",
    "resume",
    "replay",
    "discard",
    "cancel",
    "rebind",
    "view",
    "renew keys",
    "upgrade",
    "recount",
    "audit",
    "history upgrade",
    "history off",
    "stop errand",
    "quiet",
    "stop",
    "begin",
    "stop job",
    "end",
)


@click.command(
    "log",
    short_help="Show who did what, from where, and why.",
    epilog=example("blnk-relay log --since 12h", "blnk-relay log --what replay --what discard --who mila"),
)
@click.option("--since", type=Since(), help="Only since: 12h, 3d, or RFC 3339.")
@click.option("--until", type=Since(), help="Only before: 1h (ago), or RFC 3339.")
@click.option("--who", help="Only by this person.")
@click.option("--what", multiple=True, type=click.Choice(WHAT), help="Only this; again for more.")
@click.option("--target", help="Only in the journal of this ledger.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="Most actions to show.")
@json_option
def log(
    *,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    who: str | None,
    what: tuple[str, ...],
    target: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what operators did, newest first: pauses, replays, discards, views of payloads and all else.

    What was done to many letters at once is one line with how many they were.
    """
    with opened(once=True) as access:
        if target is not None:
            access.operator.check_filters((), target=target)
        begin, end = access.times(target, since, until)
        # Most of it is the import of SQLAlchemy, where there is a history that has to be asked.
        with uncollected():
            found = access.operator.log(
                since=begin,
                until=end,
                who=who,
                what=what or None,
                target=target,
                most=limit + 1,
            )
    shown, more = found.actions[:limit], len(found.actions) > limit
    if as_json:
        rows = [action_json(action) for action in shown]
        emit({"actions": rows, "more": more, "away": list(found.away), "unread": found.unread})
        return
    if shown:
        table(("at", "who", "from", "what", "of", "result", "why"), [_row(action) for action in shown])
    else:
        names = "" if who is None else " Names are compared as they were given, each letter of them."
        say(f"Nobody did anything that this asks for.{names}")
    remark_away(found.away, history=bool(access.settings.history_url) and not found.unread)
    if found.unread:
        remark(f"What is older than the journals keep was not read: {found.unread}.")
    if more:
        say(f"There are more than {limit:,}: narrow it by --since, --who or --what, or raise --limit.")


def _row(action: Action) -> tuple[object, ...]:
    several = len(action.targets) > 1 or action.targets[0] not in ("", "default")
    of = f"{action.of} ({', '.join(action.targets)})" if several and not action.of.startswith("lane") else action.of
    return action.at, action.who, action.via, action.what, of, result_of(action), action.reason


def result_of(action: Action) -> str:
    """What came of an action, in words.

    Args:
        action: Which.
    """
    if action.results:
        return ", ".join(f"{number:,} {result}" for result, number in sorted(action.results.items()))
    return action.result if action.count <= 1 else f"{action.count:,} {action.result}"
