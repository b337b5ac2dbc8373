"""``target``: whose each journal is, and the deliberate way to say that a ledger has moved."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.options import answer_option, example, json_option, reason_given, reason_option, who_option
from worker.cli.output import emit, remark, say, table

if TYPE_CHECKING:
    from blnk_relay import Operator

_COLUMNS = ("target", "the journal says", "the settings say", "note")


@click.group("target", short_help="Whose each journal is: the ledger that each target stands for.")
def target_() -> None:
    """Whose each journal is: the ledger that each target stands for."""


@target_.command("list", epilog=example("blnk-relay target list"))
@json_option
def target_list(as_json: bool) -> None:
    """Show the ledger of each target, as it was first used and as the settings have it now."""
    with opened() as access:
        rows = ledgers_of(access.operator)
    if as_json:
        emit({"targets": [{"target": name, "recorded": kept, "settings": ours} for name, kept, ours in rows]})
        return
    table(
        _COLUMNS,
        [(name, kept or "not used yet", ours or "nothing", ledger_note(kept, ours)) for name, kept, ours in rows],
    )


def ledgers_of(operator: Operator) -> list[tuple[str, str, str]]:
    """For each target its name, the ledger that its journal keeps, and that of the settings.

    Args:
        operator: Looks.
    """
    return [
        (name, operator.journals.of(name).recorded_ledger(), target.ledger)
        for name, target in sorted(operator.settings.ledgers.items())
    ]


def ledger_note(kept: str, ours: str) -> str:
    """What is wrong with them; empty where nothing is."""
    return "another ledger: nothing is sent" if kept and ours and kept != ours else ""


@target_.command(
    "rebind", epilog=example("blnk-relay target rebind eu --reason 'moved behind the new gateway, ticket 4711' --yes")
)
@click.argument("target")
@reason_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@who_option
@answer_option
def target_rebind(target: str, reason: str, yes: bool, who: str, as_json: bool) -> None:
    """Say that the ledger of TARGET has moved to the address that the settings name now.

    Only for the same ledger, with the same books: what was begun there is looked for at the new address, and what is
    not found is sent again. For another ledger use another name, or another namespace.
    """
    reason = reason_given(reason, "target rebind")
    with opened() as access:
        if target not in access.settings.ledgers:
            raise exits.BadInput(
                f"the settings do not name a target {target!r}; they name {', '.join(access.settings.ledgers)}."
            )
        journal = access.operator.journals.of(target)
        kept, ours = journal.recorded_ledger(), journal.ledger
        if not ours:
            raise exits.BadInput(
                f"the settings do not say which ledger {target!r} is: set its address or its instance."
            )
        changed = kept not in ("", ours)
        if changed:
            overview = access.operator.overview(target)
            remark(f"Target {target} is now      {kept}")
            remark(f"It would become  {ours}")
            remark(
                f"{overview.open:,} intents are open, {overview.sending + overview.posted:,} of them are being sent or "
                "looked up; what the new address does not show is sent there."
            )
            if not yes and not sys.stdin.isatty():
                remark("Error: nothing was changed: without a terminal to ask on, target rebind needs --yes.")
                exits.leave(exits.BAD_INPUT)
            if not yes and not click.confirm("Is it the same ledger, with the same books?", err=True):
                exits.leave(exits.INTERRUPTED)
        access.operator.rebind(target, who=who, reason=reason)
    if as_json:
        emit({"target": target, "was": kept, "is": ours, "changed": changed})
        return
    say(f"Target {target} is {ours}." if changed else f"Nothing to change: target {target} is {ours} already.")
