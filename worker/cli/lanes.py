"""Commands about lanes and targets: ``lanes``, ``pause``, ``resume``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from worker.cli.access import opened
from worker.cli.as_json import action_json, lane_json, pause_json
from worker.cli.options import Reason, answer_option, example, json_option, who_option
from worker.cli.output import clock, emit, plain, remark_away, say, table

if TYPE_CHECKING:
    from blnk_relay import GateView, LaneDepth, Pause, Settings

_COLUMNS = ("lane", "target", ">due", "?>later", ">oldest", "note")

#: Pauses and resumes that are told of, and those of them that are shown to people; 'log' has all.
_MOST_ACTS, _SHOWN_ACTS = 20, 5


@click.command(
    "lanes", short_help="Show how many intents wait in each lane of each target.", epilog=example("blnk-relay lanes")
)
@json_option
def lanes(as_json: bool) -> None:
    """Show how many intents wait in each lane, which lanes are paused, by whom and why, and who paused and resumed."""
    with opened(once=True) as access:
        overview, settings = access.operator.overview(), access.settings
        acts = access.operator.actions(what=("pause", "resume"), most=_MOST_ACTS)
    if as_json:
        shown = [lane_json(lane, settings) for lane in overview.lanes]
        emit({"lanes": shown, "acts": [action_json(act) for act in acts], "away": list(overview.away)})
        return
    table(*lane_rows(overview.lanes, overview.gates, settings), name="lanes", main=True)
    rows = [(act.at, act.what, act.of, act.who, act.reason) for act in acts[:_SHOWN_ACTS]]
    table(("at", "act", "of", "who", "why"), rows, title="Last pauses and resumes", name="acts", unless_empty=True)
    remark_away(overview.away)


def lane_rows(
    depths: Sequence[LaneDepth], gates: Sequence[GateView], settings: Settings
) -> tuple[Sequence[str], list[tuple[object, ...]]]:
    """Columns and rows of the table of lanes."""
    stopped = {gate.target: gate for gate in gates if gate.manual}
    return _COLUMNS, [
        (
            depth.lane,
            depth.target,
            f"{depth.due:,}",
            f"{depth.later:,}",
            timedelta(seconds=depth.oldest_open_s),
            _note(depth, stopped.get(depth.target), settings),
        )
        for depth in depths
    ]


def _note(depth: LaneDepth, gate: GateView | None, settings: Settings) -> str:
    notes = []
    if depth.pause is not None:
        notes.append(f"paused {whose(depth.pause)}")
    if gate is not None:
        notes.append(f"target paused by {gate.who or 'somebody'}")
    if depth.target not in settings.ledgers:
        notes.append("not in BLNK_RELAY_TARGETS: nobody with these settings serves it")
    elif depth.lane not in settings.lanes:
        notes.append("not in BLNK_RELAY_LANES: nobody serves it")
    return "; ".join(notes)


def whose(pause: Pause) -> str:
    """Who paused, since when and why."""
    why = f": {pause.reason}" if pause.reason else ""
    return f"by {pause.who or 'somebody'} since {clock(pause.since)}{why}"


@click.command(
    "pause", epilog=example("blnk-relay pause refunds --reason 'audit'", "blnk-relay pause --target default")
)
@click.argument("lane", required=False)
@click.option("--target", help="Stop all requests to a target instead, reads included.")
@click.option("--reason", type=Reason(), default="", help="Why; shown in lanes and status.")
@who_option
@answer_option
def pause(lane: str | None, target: str | None, reason: str, who: str, as_json: bool) -> None:
    """Stop claiming from a LANE, for all targets, or stop all requests to a target.

    What is being sent is finished. Enqueuing goes on. What somebody else has paused stays paused by them: a second
    pause is refused and says whose it is.
    """
    _one_of(lane, target)
    with opened() as access:
        if target is not None:
            made = access.operator.pause_target(target, who=who, reason=reason)
        else:
            made = access.operator.pause_lane(lane or "", who=who, reason=reason)
    if as_json:
        document = {"lane": lane, "target": target, "paused": True, "changed": made.changed}
        emit(document | pause_json(made.pause))
        return
    name = f"target {target}" if lane is None else f"lane {lane}"
    go_on = f"Go on with: blnk-relay resume {lane or f'--target {target}'}"
    if not made.changed and made.pause is not None:
        say(f"Nothing to do: {name} is paused already, {plain(whose(made.pause))}. {go_on}")
        return
    say(f"Paused {name}. {go_on}")


@click.command("resume", epilog=example("blnk-relay resume refunds", "blnk-relay resume --target default"))
@click.argument("lane", required=False)
@click.option("--target", help="Open the gates of a target instead.")
@click.option("--reason", type=Reason(), default="", help="Why; kept with who did it.")
@who_option
@answer_option
def resume(lane: str | None, target: str | None, reason: str, who: str, as_json: bool) -> None:
    """Let workers claim from a LANE again, for all targets, or send to a target again, whoever paused it."""
    _one_of(lane, target)
    with opened() as access:
        if target is not None:
            ended = access.operator.resume_target(target, who=who, reason=reason)
        else:
            ended = access.operator.resume_lane(lane or "", who=who, reason=reason)
    if as_json:
        document = {"lane": lane, "target": target, "resumed": ended.changed, "who": who, "reason": reason}
        emit(document | {"pause": None if ended.pause is None else pause_json(ended.pause)})
        return
    name = f"target {target}" if lane is None else f"lane {lane}"
    if not ended.changed:
        say(f"Nothing to resume: {name} was not paused.")
    elif ended.pause is None:
        say(f"Resumed {name}, which workers had stopped or slowed.")
    else:
        say(f"Resumed {name}, paused {plain(whose(ended.pause))}.")


def _one_of(lane: str | None, target: str | None) -> None:
    if (lane is None) == (target is None):
        raise click.UsageError("Name one of LANE and --target.", click.get_current_context())
