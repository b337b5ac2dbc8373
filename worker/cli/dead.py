"""Commands about dead letters: ``dead list``, ``dead show``, ``dead replay``, ``dead discard``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from worker.cli.access import opened
from worker.cli.intent import check_reason, look, seen_json, show_intent
from worker.cli.letters import Act, carry_out
from worker.cli.options import (
    Function,
    example,
    filter_options,
    json_option,
    limit_option,
    oldest_option,
    payload_option,
    payload_reason_option,
    reason_option,
    target_option,
    who_option,
    whole_option,
)
from worker.cli.output import emit, plain, tell
from worker.cli.scope import MOST_AT_A_TIME, NO, Scope, look_through, scope_options
from worker.cli.show import listed, listing
from worker.cli.summary import dead_summary

if TYPE_CHECKING:
    from blnk_relay import Status

#: Most letters of one bulk command; blnk_relay.journal.jobs.MOST_OF_A_JOB says the same.
MOST_AT_ONCE = 100_000

_REPLAY_WAYS = (
    ("same", "sent under the same reference; what may have been sent is looked up first"),
    ("fresh", "sent under a new reference: the ledger has recorded a refusal of the old one"),
    (NO, "left alone: a replay could double it, or could never end otherwise"),
)

_DISCARD_WAYS = (("discard", "closed for good; what waits behind them goes on"),)


@click.group("dead", short_help="Look at, replay and discard dead letters.")
def dead() -> None:
    """Dead letters: intents that wait for a human. They never go away by themselves."""


@dead.command("list", epilog=example("blnk-relay dead list --code TXN_INSUFFICIENT_FUNDS --since 2h"))
@filter_options
@oldest_option
@whole_option
@limit_option
@json_option
def dead_list(
    *,
    kind: str | None,
    code: str | None,
    target: str | None,
    dead_class: str | None,
    since: datetime | timedelta | None,
    until: datetime | timedelta | None,
    oldest: bool,
    whole: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List dead letters, those that died last first.

    Letters that no cause accounts for ('dead summary' says so) are looked at one by one: --whole looks to the end.
    """
    with opened(once=True) as access:
        span = (since, until)
        found, bound = listed(
            access, ("dead",), dead_class, kind=kind, code=code, target=target, span=span, most=limit + 1, whole=whole,
            oldest=oldest,
        )  # fmt: skip
    listing(found, limit, "letters", as_json=as_json, bound=bound, oldest=oldest)


@dead.command("show", epilog=example("blnk-relay dead show order-42"))
@click.argument("key")
@target_option
@payload_option
@payload_reason_option
@who_option
@json_option
def dead_show(*, key: str, target: str, with_payload: bool, reason: str, who: str, as_json: bool) -> None:
    """Show one dead letter: why it died, what was tried, what waits behind it, and what a replay would do.

    KEY is its idempotency key, or its id.
    """
    from blnk_relay import NotFound

    check_reason(reason, with_payload=with_payload)
    with opened() as access:
        status = access.operator.get(key, target=target)
        if status.state != "dead":
            raise NotFound(f"no dead letter under {key!r}: the intent is {status.state}; see blnk-relay show")
        seen = look(access.operator, status)
        payload = access.operator.payload(status, who=who, reason=reason) if with_payload else None
        replay_plan = access.operator.plan(status)
    if as_json:
        document = seen_json(status, seen) | {"replay": {"way": replay_plan.way.value, "why": replay_plan.why}}
        emit(document if payload is None else document | {"payload": payload})
        return
    show_intent(status, seen, payload)
    may = "would not be carried out" if replay_plan.way.value == NO else "would be carried out"
    tell(f"A replay {may}: {plain(replay_plan.why)}.")


def run_options(function: Function) -> Function:
    """What replay and discard have in common besides their scope."""
    for option in (
        json_option,
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--plan", "only_plan", is_flag=True, help="Show what would happen, and stop."),
        click.option(
            "--max",
            "most",
            type=click.IntRange(1, MOST_AT_ONCE),
            default=MOST_AT_A_TIME,
            show_default=True,
            help="Most letters to act on.",
        ),
        who_option,
    ):
        function = option(function)
    return function


@dead.command(
    "replay",
    epilog=example(
        "blnk-relay dead replay --code TXN_INSUFFICIENT_FUNDS --since 2h --plan",
        "blnk-relay dead replay --key order-42 --reason 'the wallet was filled' --yes",
    ),
)
@scope_options
@reason_option
@run_options
def dead_replay(*, scope: Scope, reason: str, who: str, most: int, only_plan: bool, yes: bool, as_json: bool) -> None:
    """Give dead letters a new life: plan, confirm, run.

    Needs a scope: --key, or --class, --code, --kind, --since and --until (all that are given must hold), or --all; and
    a reason. What may have been sent is looked up at the ledger before anything is sent again.
    """
    from blnk_relay import Together

    together = Together(scope.words())
    with opened() as access:

        def run(status: Status, reason: str) -> None:
            access.operator.replay(status, who=who, reason=reason, together=together)

        act = Act("dead replay", "Replay", "Replayed", _REPLAY_WAYS, reason, who, run)
        found = look_through(access, scope, most, "replay")
        carry_out(access, found, act, only_plan=only_plan, yes=yes, as_json=as_json)


@dead.command(
    "discard",
    epilog=example("blnk-relay dead discard --key order-42 --reason 'paid by hand, ticket 1234' --yes"),
)
@scope_options
@reason_option
@run_options
def dead_discard(*, scope: Scope, reason: str, who: str, most: int, only_plan: bool, yes: bool, as_json: bool) -> None:
    """Close dead letters for good: plan, confirm, run. What waits behind them goes on.

    Needs a scope as 'dead replay' does, and a reason.
    """
    from blnk_relay import Together

    together = Together(scope.words())
    with opened() as access:

        def run(status: Status, reason: str) -> None:
            access.operator.discard(status, who=who, reason=reason, together=together)

        act = Act("dead discard", "Discard", "Discarded", _DISCARD_WAYS, reason, who, run)
        found = look_through(access, scope, most, "discard")
        carry_out(access, found, act, only_plan=only_plan, yes=yes, as_json=as_json)


dead.add_command(dead_summary)
