"""``history``: the database into which is copied what is over."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import click

from worker.cli.access import opened
from worker.cli.group import Commands
from worker.cli.options import Reason, answer_option, example, json_option, who_option
from worker.cli.output import emit, fields, plain, remark_away, say, several, span, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blnk_relay import Gathered, Operator, Settings
    from blnk_relay.journal.lag import HistoryLag


@click.group("history", cls=Commands, short_help="Look after the database of history.")
def history() -> None:
    """Look after the database into which workers copy what is over (BLNK_RELAY_HISTORY_URL)."""


@history.command("upgrade", epilog=example("blnk-relay history upgrade"))
@who_option
@answer_option
def upgrade_(who: str, as_json: bool) -> None:
    """Make the tables of history, or bring them to what this version knows. Safe to repeat."""
    with opened() as access:
        done = upgraded(access.operator, who)
    if as_json:
        emit(tables_json(done))
    else:
        say(plain(tables_in_words(done)))


@dataclass(frozen=True, slots=True)
class TablesUpgraded:
    """What became of the tables of history.

    Attributes:
        where: The address of the database, without secrets.
        before: The revision that they had; empty for none.
        after: The one that they have.
        noted: Whether that stands in the log of actions.
    """

    where: str
    before: str
    after: str
    noted: bool


def upgraded(operator: Operator, who: str) -> TablesUpgraded:
    """Bring the tables to the newest revision.

    Args:
        operator: Its settings name the database.
        who: Who says so.

    Raises:
        InvalidSettings: They name none, or what it needs is not installed.
        HistoryUnavailable: It cannot be reached.
    """
    from blnk_relay import InvalidSettings
    from blnk_relay.history.opening import database_of

    if not operator.settings.history_url:
        raise InvalidSettings("BLNK_RELAY_HISTORY_URL is not set, so there is no database of history.")
    database = database_of(operator.settings)
    try:
        from blnk_relay.history.upgrading import upgrade

        return TablesUpgraded(database.shown, *operator.upgrade_history(lambda: upgrade(database), who=who))
    finally:
        database.close()


def tables_in_words(done: TablesUpgraded) -> str:
    """What became of the tables of history."""
    if done.before == done.after:
        return f"Nothing to do: {done.where} has revision {done.after}."
    told = f"{done.where} has revision {done.after} now; it had {done.before or 'none'}."
    return told if done.noted else f"{told} That is not in the action log: no journal could be reached."


def tables_json(done: TablesUpgraded) -> dict[str, Any]:
    """The same for programs."""
    changed = done.before != done.after
    return {"database": done.where, "before": done.before, "after": done.after, "changed": changed}


@history.command("status", epilog=example("blnk-relay history status", "blnk-relay history status --json"))
@click.option("--target", help="Only of this ledger.")
@json_option
def status_(target: str | None, as_json: bool) -> None:
    """Show how far the journals are copied, and what stands in the database."""
    with opened(once=True) as access:
        lags = access.operator.history_lag(target)
        kept = kept_of(access.settings)
    if as_json:
        emit(history_json(kept, lags))
        return
    fields(
        [
            ("database", kept.where or "none: BLNK_RELAY_HISTORY_URL is not set"),
            ("revision", kept.revision),
            ("trouble", kept.trouble),
            *((f"rows of {name}", f"{number:,}") for name, number in kept.rows.items()),
        ]
    )
    say()
    table(("target", "history", ">not copied", ">for", ">to walk", ">held", "last look", "trouble"), lag_rows(lags))
    remark_away(lags.away)


@dataclass(frozen=True, slots=True)
class Kept:
    """The database of history as it is found.

    Attributes:
        where: Its address without secrets; empty where the settings name none.
        revision: Of its tables.
        trouble: Why it cannot be used.
        rows: How many each table has.
    """

    where: str = ""
    revision: str = ""
    trouble: str = ""
    rows: dict[str, int] = field(default_factory=dict)


def kept_of(settings: Settings) -> Kept:
    """Look at the database that the settings name.

    Args:
        settings: They may name none.

    Raises:
        InvalidSettings: What it needs is not installed.
    """
    from blnk_relay import HistoryUnavailable
    from blnk_relay.history.opening import database_of

    if not settings.history_url:
        return Kept()
    database = database_of(settings)
    revision = ""
    try:
        revision = database.revision()
        database.id()
        return Kept(database.shown, revision, rows=database.counts())
    except HistoryUnavailable as error:
        return Kept(database.shown, revision, trouble=str(error))
    finally:
        database.close()


def lag_rows(lags: Sequence[HistoryLag]) -> list[tuple[str, ...]]:
    """How far journals are copied, as rows of a table.

    Args:
        lags: Of each.
    """
    return [
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


def history_json(kept: Kept, lags: Gathered[HistoryLag]) -> dict[str, Any]:
    """The database and how far the journals are copied, for programs.

    Args:
        kept: The database.
        lags: The journals.
    """
    return {
        "database": kept.where,
        "revision": kept.revision,
        "trouble": kept.trouble,
        "rows": kept.rows,
        "journals": [asdict(lag) for lag in lags],
        "away": list(lags.away),
    }


@history.command("off", epilog=example('blnk-relay history off --reason "no longer wanted"'))
@click.option("--target", help="Only of this ledger.")
@click.option("--reason", required=True, type=Reason(), help="Why; kept.")
@click.option("--force", is_flag=True, help="Also where a worker copied a moment ago.")
@click.option("--adopt", is_flag=True, help="Then go on with what a journal that was lost has copied.")
@who_option
@answer_option
def off(*, target: str | None, reason: str, force: bool, adopt: bool, who: str, as_json: bool) -> None:
    """Let nothing wait for history any more before it is trimmed; what was copied stays.

    Take BLNK_RELAY_HISTORY_URL out of the settings of all workers first: one that has it switches history on again.
    With --adopt that is wanted: this journal has taken the place of one that was lost as a whole.
    """
    with opened() as access:
        left = access.operator.history_off(target, who=who, reason=reason, forced=force, adopt=adopt)
    if as_json:
        emit({"targets": [{"target": name, "not_copied": number} for name, number in left.items()]})
        return
    for name, number in left.items():
        say(off_in_words(name, number))


def off_in_words(target: str, left: int) -> str:
    """That history of a target is off."""
    return f"History of target {target} is off; {several(left, 'intent')} were not copied."
