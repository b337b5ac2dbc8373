"""Commands about lanes and targets: ``lanes``, ``pause``, ``resume``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from worker.cli.opening import opened
from worker.cli.options import Reason, example, json_option, who_option
from worker.cli.output import emit, say, span, table
from worker.cli.shapes import lane_shape

if TYPE_CHECKING:
    from blnk_relay import Settings
    from blnk_relay.journal.operator import LaneDepth

_COLUMNS = ("lane", "target", ">due", ">later", ">oldest due", "note")


@click.command("lanes", short_help="Show how many intents wait in each lane.", epilog=example("blnk-relay lanes"))
@json_option
def lanes(as_json: bool) -> None:
    """Show how many intents wait in each lane, and which lanes are paused."""
    with opened() as desk:
        overview, settings = desk.operator.overview(), desk.settings
    if as_json:
        emit({"lanes": [lane_shape(lane, settings) for lane in overview.lanes]})
        return
    table(*lane_rows(overview.lanes, settings))


def lane_rows(depths: Sequence[LaneDepth], settings: Settings) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    """Columns and rows of the table of lanes."""
    return _COLUMNS, [
        (
            depth.lane,
            depth.target,
            f"{depth.due:,}",
            f"{depth.later:,}",
            span(depth.oldest_due_s),
            _note(depth, settings),
        )
        for depth in depths
    ]


def _note(depth: LaneDepth, settings: Settings) -> str:
    if depth.paused:
        return "paused"
    if depth.target not in settings.ledgers:
        return "not in BLNK_RELAY_TARGETS: nobody with these settings serves it"
    return "" if depth.lane in settings.lanes else "not in BLNK_RELAY_LANES: nobody serves it"


@click.command(
    "pause", epilog=example("blnk-relay pause refunds --reason 'audit'", "blnk-relay pause --target default")
)
@click.argument("lane", required=False)
@click.option("--target", help="Stop all requests to a target instead, reads included.")
@click.option("--reason", type=Reason(), default="", help="Why; shown with a paused target.")
@who_option
@json_option
def pause(lane: str | None, target: str | None, reason: str, who: str, as_json: bool) -> None:
    """Stop claiming from a LANE, or stop all requests to a target.

    What is being sent is finished. Enqueuing goes on.
    """
    _one_of(lane, target)
    with opened() as desk:
        if target is not None:
            desk.operator.pause_target(target, who=who, reason=reason)
        elif lane is not None:
            desk.operator.pause_lane(lane, who=who, reason=reason)
    if as_json:
        emit({"lane": lane, "target": target, "paused": True, "who": who, "reason": reason})
        return
    name = f"target {target}" if lane is None else f"lane {lane}"
    say(f"Paused {name}. Go on with: blnk-relay resume {lane or f'--target {target}'}")


@click.command("resume", epilog=example("blnk-relay resume refunds", "blnk-relay resume --target default"))
@click.argument("lane", required=False)
@click.option("--target", help="Open the gates of a target instead.")
@json_option
def resume(lane: str | None, target: str | None, as_json: bool) -> None:
    """Let workers claim from a LANE again, or send to a target again."""
    _one_of(lane, target)
    resumed = False
    with opened() as desk:
        if target is not None:
            resumed = desk.operator.resume_target(target)
        elif lane is not None:
            resumed = desk.operator.resume_lane(lane)
    if as_json:
        emit({"lane": lane, "target": target, "resumed": resumed})
        return
    name = f"target {target}" if lane is None else f"lane {lane}"
    say(f"Resumed {name}." if resumed else f"Nothing to resume: {name} was not paused.")


def _one_of(lane: str | None, target: str | None) -> None:
    if (lane is None) == (target is None):
        raise click.UsageError("Name one of LANE and --target.", click.get_current_context())
