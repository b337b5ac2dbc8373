"""``upgrade``: the operator's word that nobody is left who does not know the newest shape of a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker.cli.access import opened
from worker.cli.options import answer_option, example, who_option
from worker.cli.output import emit, say, several

if TYPE_CHECKING:
    from blnk_relay import Upgraded


@click.command(
    "upgrade",
    short_help="Bring journals to the newest shape, once older versions are gone.",
    epilog=example("blnk-relay upgrade", "blnk-relay upgrade --target eu"),
)
@click.option("--target", help="The journal of this ledger only.")
@who_option
@answer_option
def upgrade(target: str | None, who: str, as_json: bool) -> None:
    """Bring journals to the newest shape that this version knows.

    Run it once all producers and workers are of this version, or of one that knows that shape; until then newer ones
    work with the older shape beside the others. A worker that is alive and does not know it is named, and nothing is
    changed. While it goes on everybody waits. One that was stopped half way goes on when it is run again.
    """
    with opened() as access:
        done = access.operator.upgrade(target, who=who)
    if as_json:
        emit({"journals": [upgraded_json(one) for one in done]})
        return
    for one in done:
        if one.changed:
            say(upgraded_in_words(one))
    same = [one for one in done if not one.changed]
    if same:
        say(f"Nothing to do for {several(len(same), 'journal')}: shape {same[0].after} is the newest.")


def upgraded_in_words(one: Upgraded) -> str:
    """What an upgrade has done with one journal.

    Args:
        one: Which.
    """
    if not one.changed:
        return f"Nothing to do for the journal of target {one.target}: shape {one.after} is the newest."
    return f"The journal of target {one.target} has shape {one.after} now; it had {one.before}."


def upgraded_json(one: Upgraded) -> dict[str, Any]:
    """The same for programs.

    Args:
        one: Which.
    """
    return {"target": one.target, "before": one.before, "after": one.after, "changed": one.changed}
