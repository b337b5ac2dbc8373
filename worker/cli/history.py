"""``history``: the database into which is copied what is over."""

from __future__ import annotations

from dataclasses import asdict

import click

from worker.cli.access import opened
from worker.cli.exits import BadInput
from worker.cli.group import Commands
from worker.cli.options import Reason, answer_option, example, json_option, who_option
from worker.cli.output import emit, fields, plain, say, several, span, table


@click.group("history", cls=Commands, short_help="Look after the database of history.")
def history() -> None:
    """Look after the database into which workers copy what is over (BLNK_RELAY_HISTORY_URL)."""


@history.command("upgrade", epilog=example("blnk-relay history upgrade"))
@answer_option
def upgrade_(as_json: bool) -> None:
    """Make the tables of history, or bring them to what this version knows. Safe to repeat."""
    from blnk_relay import Settings
    from worker.copier import database_of

    settings = Settings.from_env()
    _needs_url(settings.history_url)
    database = database_of(settings)
    try:
        from blnk_relay.history.upgrading import upgrade

        before, after = upgrade(database)
    finally:
        database.close()
    if as_json:
        emit({"database": database.shown, "before": before, "after": after, "changed": before != after})
    elif before == after:
        say(plain(f"Nothing to do: {database.shown} has revision {after}."))
    else:
        say(plain(f"{database.shown} has revision {after} now; it had {before or 'none'}."))


@history.command("status", epilog=example("blnk-relay history status", "blnk-relay history status --json"))
@click.option("--target", help="Only of this ledger.")
@json_option
def status_(target: str | None, as_json: bool) -> None:
    """Show how far the journals are copied, and what stands in the database."""
    from blnk_relay import HistoryUnavailable
    from worker.copier import database_of

    with opened() as access:
        lags = access.operator.history_lag(target)
        settings = access.settings
    where = revision = trouble = ""
    counts: dict[str, int] = {}
    if settings.history_url:
        database = database_of(settings)
        try:
            where, revision = database.shown, database.revision()
            database.id()
            counts = database.counts()
        except HistoryUnavailable as error:
            trouble = str(error)
        finally:
            database.close()
    if as_json:
        emit(
            {
                "database": where,
                "revision": revision,
                "trouble": trouble,
                "rows": counts,
                "journals": [asdict(lag) for lag in lags],
            }
        )
        return
    fields(
        [
            ("database", where or "none: BLNK_RELAY_HISTORY_URL is not set"),
            ("revision", revision),
            ("trouble", trouble),
            *((f"rows of {name}", f"{number:,}") for name, number in counts.items()),
        ]
    )
    say()
    rows = [
        (
            lag.target,
            "on" if lag.on else "off",
            f"{lag.uncopied:,}",
            span(lag.oldest_s),
            f"{lag.walking:,}",
            f"{lag.held:,}",
            "never" if lag.seen_s is None else f"{span(lag.seen_s)} ago",
            lag.trouble + (f" for {span(lag.trouble_s)}" if lag.trouble else ""),
        )
        for lag in lags
    ]
    table(("target", "history", ">not copied", ">for", ">to walk", ">held", "last look", "trouble"), rows)


@history.command("off", epilog=example('blnk-relay history off --reason "no longer wanted"'))
@click.option("--target", help="Only of this ledger.")
@click.option("--reason", required=True, type=Reason(), help="Why; kept.")
@click.option("--force", is_flag=True, help="Also where a worker copied a moment ago.")
@who_option
@answer_option
def off(*, target: str | None, reason: str, force: bool, who: str, as_json: bool) -> None:
    """Let nothing wait for history any more before it is trimmed; what was copied stays.

    Take BLNK_RELAY_HISTORY_URL out of the settings of all workers first: one that has it switches history on again.
    """
    with opened() as access:
        left = access.operator.history_off(target, who=who, reason=reason, forced=force)
    if as_json:
        emit({"targets": [{"target": name, "not_copied": number} for name, number in left.items()]})
        return
    for name, number in left.items():
        say(f"History of target {name} is off; {several(number, 'intent')} were not copied.")


def _needs_url(url: str) -> None:
    if not url:
        raise BadInput("BLNK_RELAY_HISTORY_URL is not set, so there is no database of history.")
