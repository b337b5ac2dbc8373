"""Commands that only look: ``show``, ``list``, ``status``, ``kinds``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from worker.cli.access import opened
from worker.cli.as_json import attempt_json, deaths, intent_json, kind_json, overview_json
from worker.cli.options import (
    example,
    filter_options,
    json_option,
    limit_option,
    payload_option,
    target_option,
    who_option,
)
from worker.cli.output import clock, emit, fields, plain, say, several, span, table
from worker.cli.spans import since_at

if TYPE_CHECKING:
    from blnk_relay import Attempt, Overview, Settings, StateName, Status
    from blnk_relay.catalogue.facts import EndFacts, Facts
    from worker.cli.access import Access

#: All states; like the next, they stand in the library too, which takes its time to load.
STATES: tuple[StateName, ...] = ("waiting", "ready", "sending", "posted", "done", "cancelled", "dead", "discarded")

#: What ``list`` shows when no state is named: whatever is not over, and what waits for a human.
UNFINISHED: tuple[StateName, ...] = ("waiting", "ready", "sending", "posted", "dead")

#: Most rows of the table of deaths in ``status``; all of them are in its JSON.
_MOST_DEATHS = 20


@click.command("show", epilog=example("blnk-relay show order-42", "blnk-relay show order-42 --json | jq .intent.state"))
@click.argument("key")
@target_option
@payload_option
@who_option
@json_option
def show(key: str, target: str, with_payload: bool, who: str, as_json: bool) -> None:
    """Show what has become of one intent, and what was tried for it.

    KEY is its idempotency key, or its id.
    """
    with opened() as access:
        status = access.operator.get(key, target=target)
        attempts = access.operator.history(status)
        payload = access.operator.payload(status, who=who) if with_payload else None
    if as_json:
        document: dict[str, Any] = {
            "intent": intent_json(status),
            "attempts": [attempt_json(attempt) for attempt in attempts],
        }
        emit(document if payload is None else document | {"payload": payload})
        return
    show_intent(status, attempts, payload)


def show_intent(status: Status, attempts: Sequence[Attempt], payload: Mapping[str, Any] | None) -> None:
    """One intent for people."""
    from blnk_relay.intents.intent import DEFAULT_TARGET

    fields(
        [
            ("key", status.key),
            ("id", status.id),
            ("kind", status.kind),
            ("target", status.target if status.target != DEFAULT_TARGET else ""),
            ("lane", status.lane),
            ("state", status.state),
            ("outcome", status.outcome),
            ("reference", status.reference),
            ("transaction", status.transaction_id),
            ("parent", status.parent_id),
            ("dead class", status.dead_class),
            ("code", status.code),
            ("message", status.message),
            ("attempts", status.attempts),
            ("accepted", clock(status.created)),
            ("changed", clock(status.updated)),
            ("deadline", "" if status.finished else clock(status.deadline)),
            ("waits for", ", ".join(status.waits_for)),
            ("blocks", several(status.blocks, "intent") if status.blocks else ""),
            ("encrypted", encrypted(status)),
            ("unreadable", "what was recorded of it is lost or broken" if status.unreadable else ""),
        ]
    )
    say()
    if attempts:
        rows = [
            (
                clock(attempt.at) + (f" to {clock(attempt.last)}" if attempt.last else ""),
                attempt.what + (f", {attempt.count:,} times" if attempt.count > 1 else ""),
                " ".join(str(part) for part in (attempt.status, attempt.code) if part),
                f"{attempt.latency_ms} ms" if attempt.latency_ms else "",
                attempt.note,
                attempt.worker,
            )
            for attempt in attempts
        ]
        table(("at", "what", "answer", ">took", "what followed", "by"), rows)
    if payload is not None:
        for line in json.dumps(payload, indent=2, ensure_ascii=False).splitlines():
            say(plain(line, most=10_000))


def encrypted(status: Status) -> str:
    """What an intent is encrypted with, in words."""
    if not status.encrypted:
        return ""
    lacking = f", and this process does not have {', '.join(status.locked)}" if len(status.locked) > 0 else ""
    if status.locked == status.encrypted:
        lacking = ", which this process does not have"
    return f"with key {', '.join(status.encrypted)}{lacking}"


@click.command("list", epilog=example("blnk-relay list --state posted --kind transaction --since 15m"))
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Repeat for several.")
@filter_options
@limit_option
@json_option
def list_(
    *,
    states: tuple[StateName, ...],
    kind: str | None,
    code: str | None,
    target: str | None,
    since: datetime | timedelta | None,
    limit: int,
    as_json: bool,
) -> None:
    """List intents by state, newest first.

    Without --state: everything that is not over, and dead letters.
    """
    asked = states or UNFINISHED
    with opened() as access:
        found = listed(access, asked, kind=kind, code=code, target=target, since=since, most=limit + 1)
        nobody = "" if found or code is None else never(access, code)
    listing(found, limit, "intents", as_json=as_json, nobody=nobody)


def listed(
    access: Access,
    states: Sequence[StateName],
    *,
    kind: str | None,
    code: str | None,
    target: str | None,
    since: datetime | timedelta | None,
    most: int,
) -> list[Status]:
    """Up to ``most`` intents of some states, the newest of all of them first.

    Raises:
        NotFound: A filter cannot match anything.
    """
    access.operator.check_filters(states, kind=kind, code=code, target=target)
    start = since_at(since, access.operator.now(target))
    found: list[Status] = []
    for state in states:
        those = access.operator.listed(state, kind=kind, code=code, target=target, since=start)
        found += islice(those, most)
        if len(states) > 1:
            found.sort(key=lambda status: status.updated.timestamp() if status.updated else 0.0, reverse=True)
            del found[most:]
    return found


def never(access: Access, code: str) -> str:
    """Why nothing was found under a code, when no letter ever died of it; else empty."""
    from blnk_relay import NotFound

    try:
        access.operator.check_filters(("dead",), code=code)
    except NotFound as error:
        return str(error)
    return ""


def listing(found: Sequence[Status], limit: int, name: str, *, as_json: bool, nobody: str = "") -> None:
    """Print a list that may hold one more than the limit, which says that there are more.

    Args:
        found: The list.
        limit: Most to show.
        name: Of the list in JSON.
        as_json: For programs.
        nobody: What to say to people of an empty list.
    """
    shown, more = found[:limit], len(found) > limit
    if as_json:
        emit({name: [intent_json(status) for status in shown], "more": more})
        return
    rows = [
        (
            status.key or status.id,
            status.kind,
            status.state,
            " ".join(filter(None, (status.outcome or status.dead_class, status.code))),
            status.attempts,
            clock(status.updated),
        )
        for status in shown
    ]
    table(("key", "kind", "state", "outcome", ">attempts", "changed"), rows)
    if nobody:
        say(plain(f"Nothing is listed: {nobody}."))
        return
    say(several(len(shown), "intent") + (f"; there are more: raise --limit above {limit}" if more else ""))


@click.command(
    "status",
    short_help="Show the journals at a glance.",
    epilog=example("blnk-relay status", "blnk-relay status --json | jq .dead"),
)
@json_option
def status_(as_json: bool) -> None:
    """Show the journals of all targets at a glance: depths, ages, dead letters, gates and workers."""
    with opened() as access:
        overview, settings = access.operator.overview(), access.settings
    if as_json:
        emit(overview_json(overview, settings))
        return
    show_overview(overview, settings)


def show_overview(overview: Overview, settings: Settings) -> None:
    """The journals for people."""
    from worker.cli.lanes import lane_rows

    fields(
        [
            ("open", several(overview.open, "intent")),
            ("oldest of them", span(overview.oldest_open_s)),
            ("waiting for a turn", f"{overview.waiting:,}"),
            ("being sent", f"{overview.sending:,}"),
            ("posted, unconfirmed", f"{overview.posted:,}"),
            ("longest overdue look", span(overview.oldest_posted_s)),
            ("dead letters", f"{overview.dead:,}"),
            ("discarded", f"{overview.discarded:,}"),
            ("done, still kept", f"{overview.done:,}"),
            ("workers", f"{overview.workers:,}"),
            ("out of reach", f"{', '.join(overview.away)}: not in these figures" if overview.away else ""),
        ]
    )
    say()
    table(*lane_rows(overview.lanes, overview.gates, settings))
    if overview.gates:
        rows = [
            (
                gate.target,
                gate.side,
                gate.state + (f" by {gate.who or 'hand'}" if gate.manual else ""),
                gate.code,
                f"{gate.rate}/s" if gate.rate else "",
                clock(gate.since),
                span(gate.lasting_s),
                gate.note,
            )
            for gate in overview.gates
        ]
        columns = ("target", "side", "gate", "code", ">rate", "since", ">for", "note")
        table(columns, rows, title="Gates that are not open")
    if died := deaths(overview.counts):
        deathbed = [(death["kind"], death["dead_class"], death["code"], f"{death['count']:,}") for death in died]
        table(("kind", "class", "code", ">letters"), deathbed[:_MOST_DEATHS], title="Dead letters ever, by code")


@click.command(
    "kinds",
    short_help="List the kinds of writes, or tell of one.",
    epilog=example("blnk-relay kinds", "blnk-relay kinds refund"),
)
@click.argument("name", required=False)
@json_option
def kinds(name: str | None, as_json: bool) -> None:
    """List the kinds of writes, their routes at the ledger, and their lanes.

    With NAME, tell of one: its fields, what has to be seen before it counts as done, how it can end as a dead letter
    that needs judgement, and an example.
    """
    from blnk_relay import Settings
    from blnk_relay.catalogue.facts import COMMON_ENDS, ends_of, facts_of
    from blnk_relay.kinds.registry import KINDS

    settings = Settings.from_env()
    if name is not None and name not in KINDS:
        raise click.UsageError(f"unknown kind {plain(name)!r}; the kinds are {', '.join(KINDS)}")
    chosen = KINDS.values() if name is None else (KINDS[name],)
    if as_json:
        facts = [(facts_of(kind), ends_of(kind, COMMON_ENDS)) for kind in chosen]
        emit({"kinds": [kind_json(one, common, settings.route(one.kind)) for one, common in facts]})
    elif name is None:
        rows = [
            (kind.name, f"{kind.method} {kind.path}", settings.route(kind.name), kind.summary)
            for kind in KINDS.values()
        ]
        table(("kind", "route", "lane", "what it does"), rows)
    else:
        _tell(facts_of(KINDS[name]), ends_of(KINDS[name], COMMON_ENDS), settings.route(name))


#: Where a page of docs/kinds names its source; whoever reads a terminal has no use for it.
_CITED = re.compile(r" \((?:contract|decisions?|findings?|measured)\b[^()]*\)")


def _uncited(text: str) -> str:
    return _CITED.sub("", text)


def _tell(facts: Facts, common: Sequence[EndFacts], lane: str) -> None:
    """One kind, for people; its page in docs/kinds says the same."""
    fields(
        (
            ("kind", facts.kind),
            ("what it does", _uncited(facts.summary)),
            ("route", f"{facts.method} {facts.path}"),
            ("lane", lane),
            ("setting", f"{facts.setting} has to be on" if facts.setting else ""),
            ("key", _uncited(facts.key)),
            ("reference", _uncited(facts.reference)),
            ("confirmed by", _uncited(facts.confirmed)),
        )
    )
    say()
    rows = [
        (field.name, "yes" if field.required else "", field.takes, field.limits, _uncited(field.meaning))
        for field in facts.fields
    ]
    table(("field", "needed", "takes", "limits", "meaning"), rows, title="Fields")
    ends = [
        (end.end.dead_class, end.end.code, _uncited(end.end.why), _uncited(end.why)) for end in (*facts.ends, *common)
    ]
    table(("class", "code", "why", "replay"), ends, title="Ends that need judgement")
    say(f"As a line of a file: {facts.line}")
