"""Commands that only look: ``show``, ``list``, ``status``, ``kinds``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.as_json import deaths, glance_json, intent_json, kind_json
from worker.cli.forms import chosen
from worker.cli.intent import check_reason, handle, look, seen_json, show_intent
from worker.cli.interrupt import Stop
from worker.cli.options import (
    example,
    filter_options,
    json_option,
    limit_option,
    oldest_option,
    payload_option,
    payload_reason_option,
    target_option,
    who_option,
    whole_option,
)
from worker.cli.output import (
    WIDTH,
    clock,
    emit,
    fields,
    on_screen,
    painted,
    plain,
    progress,
    remark_away,
    say,
    say_lines,
    several,
    span,
    table,
    tell,
    width,
)
from worker.cli.recalled import Recollection
from worker.cli.spans import times_at

if TYPE_CHECKING:
    from blnk_relay import Glance, ListBound, Rates, Settings, StateName, Status, Verdict
    from blnk_relay.catalogue.facts import EndFacts, Facts
    from worker.cli.access import Access

#: All states; like the next, they stand in the library too, which takes its time to load.
STATES: tuple[StateName, ...] = ("waiting", "ready", "sending", "posted", "done", "cancelled", "dead", "discarded")

#: What ``list`` shows when no state is named: whatever is not over, and what waits for a human.
UNFINISHED: tuple[StateName, ...] = ("waiting", "ready", "sending", "posted", "dead")

#: What stands before what belongs to a verdict.
_INDENT = " " * 10

#: Columns of the sort of a verdict, in front of since when it is.
_SORT = 20

#: How often a command that waits looks whether it is to end.
_STEP_S = 0.05
#: Columns of a list of intents; of a narrow line the key, the state and the outcome are left.
_LISTED = (
    "key",
    "?kind",
    "state",
    "outcome",
    "???>attempts",
    "??changed",
    "+target",
    "+lane",
    "+id",
    "+reference",
    "+transaction",
    "+accepted",
    "+message",
)

#: Most rows of the table of deaths in ``status``; all of them are in its JSON.
_MOST_DEATHS = 20

_GATES = ("target", "side", "gate", "code", "?>rate", "since", "?>for", "note")
_DEATHS = ("kind", "class", "code", ">letters")
_VERDICTS = ("severity", "sort", "target", "lane", "since", ">count", "what", "means", "remedy")


@click.command(
    "show",
    short_help="Show what has become of one intent, and what keeps it.",
    epilog=example(
        "blnk-relay show order-42",
        "blnk-relay show order-42 --json | jq .intent.state",
        "blnk-relay show order-42 --payload --reason 'ticket 4711'",
    ),
)
@click.argument("key")
@target_option
@payload_option
@payload_reason_option
@who_option
@json_option
def show(*, key: str, target: str, with_payload: bool, reason: str, who: str, as_json: bool) -> None:
    """Show what has become of one intent: what it waits for, what waits for it, and what was tried.

    KEY is its idempotency key, or its id, which the lists of what waits name as well. Of a split or a bulk the rows of
    the ledger are shown as they were last read; where there are many, the unusual ones and some of the others.
    """
    check_reason(reason, with_payload=with_payload)
    with opened() as access:
        status = _known(access, key, target)
        past = Recollection(access.operator, status, look(access.operator, status))
        status, seen = past.status, past.seen
        payload = access.operator.payload(status, who=who, reason=reason) if with_payload else None
    if as_json:
        document = seen_json(status, seen) | past.json()
        emit(document if payload is None else document | {"payload": payload})
        return
    show_intent(status, seen, payload)
    past.say()


def _known(access: Access, key: str, target: str) -> Status:
    """What is known under a key; where nothing is, the sentence says where else it might be."""
    from blnk_relay import NotFound
    from blnk_relay.intents.references import is_digest

    try:
        return access.operator.get(key, target=target)
    except NotFound as error:
        others = [name for name in access.settings.ledgers if name != target]
        # An id was looked for in all of them.
        if not others or target not in access.settings.ledgers or is_digest(key):
            raise
        raise NotFound(f"{error}; that is at target {target}: --target names another ({', '.join(others)})") from None


@click.command("list", epilog=example("blnk-relay list --state posted --kind transaction --since 15m"))
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Repeat for several.")
@filter_options
@oldest_option
@whole_option
@limit_option
@json_option
def list_(
    *,
    states: tuple[StateName, ...],
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
    """List intents by state, newest first.

    Without --state: everything that is not over, and dead letters. With --oldest those that were accepted, or died,
    longest ago. What is open has no index by kind, code or time:
    after some that do not fit the list ends, and says how far it looked; --whole looks to the end.
    """
    asked = states or UNFINISHED
    with opened(once=True) as access:
        span = (since, until)
        found, bound = listed(
            access, asked, dead_class, kind=kind, code=code, target=target, span=span, most=limit + 1, whole=whole,
            oldest=oldest,
        )  # fmt: skip
        nobody = "" if found or bound.cut or bound.away or code is None else never(access, code)
    listing(found, limit, "intents", as_json=as_json, nobody=nobody, bound=bound, oldest=oldest)


def listed(
    access: Access,
    states: Sequence[StateName],
    dead_class: str | None,
    *,
    kind: str | None,
    code: str | None,
    target: str | None,
    span: tuple[datetime | timedelta | None, datetime | timedelta | None],
    most: int,
    whole: bool,
    oldest: bool,
) -> tuple[list[Status], ListBound]:
    """Up to ``most`` intents of some states: the newest of all of them first, or those of longest ago.

    Returns:
        The intents; and where it did not look to the end, and which journals could not be reached.

    Raises:
        NotFound: A filter cannot match anything.
    """
    from blnk_relay import ListBound

    access.operator.check_filters(states, kind=kind, code=code, target=target)
    now = access.operator.now(target)
    since, until = times_at(*span, now)
    with progress("looking through the intents", None) if whole else nullcontext(lambda _: None) as step:
        bound = ListBound(most=None, step=step) if whole else ListBound()
        found = access.operator.listed_together(
            states, most=most, kind=kind, code=code, dead_class=dead_class, target=target, since=since, until=until,
            oldest_first=oldest, bound=bound,
        )  # fmt: skip
    return found, bound


def never(access: Access, code: str) -> str:
    """Why nothing was found under a code, when no letter ever died of it; else empty."""
    from blnk_relay import NotFound

    try:
        access.operator.check_filters(("dead",), code=code)
    except NotFound as error:
        return str(error)
    return ""


def listing(
    found: Sequence[Status],
    limit: int,
    name: str,
    *,
    as_json: bool,
    nobody: str = "",
    bound: ListBound,
    oldest: bool = False,
) -> None:
    """Print a list that may hold one more than the limit, which says that there are more.

    Args:
        found: The list.
        limit: Most to show.
        name: Of the list in JSON.
        as_json: For programs.
        nobody: What to say to people of an empty list.
        bound: Where it did not look to the end, and which journals could not be reached.
        oldest: Whether it begins at the other end.
    """
    shown, more = found[:limit], len(found) > limit
    if as_json:
        ended = [
            {"state": one.state, "target": one.target, "looked": one.looked, "there": one.there} for one in bound.cut
        ]
        emit({name: [intent_json(status) for status in shown], "more": more, "cut": ended, "away": bound.away})
        return
    rows = [
        (
            handle(status),
            status.kind,
            status.state,
            " ".join(filter(None, (status.outcome or status.dead_class, status.code))),
            status.attempts,
            status.updated,
            status.target,
            status.lane,
            status.id,
            status.reference,
            status.transaction_id,
            status.created,
            status.message,
        )
        for status in shown
    ]
    table(_LISTED, rows, name=name)
    remark_away(bound.away)
    if nobody:
        say(plain(f"Nothing is listed: {nobody}."))
        return
    say(several(len(shown), "intent") + (f"; there are more: raise --limit above {limit}" if more else ""))
    for one in bound.cut:
        say(
            plain(
                f"Not looked to the end: of {one.there:,} that are {one.state} at target {one.target} only the "
                f"{'oldest' if oldest else 'newest'} {one.looked:,} were looked at. --whole looks at all."
            )
        )


@click.command(
    "status",
    short_help="Show what is wrong, and the journals at a glance.",
    epilog=example("blnk-relay status", "blnk-relay status --check --json | jq .verdicts", "blnk-relay status --watch"),
)
@click.option(
    "--check", is_flag=True, help="End with 1 where anything is critical or a warning; a notice does not count."
)
@click.option("--watch", is_flag=True, help="Show it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.5, 3600),
    default=2.0,
    show_default=True,
    help="Seconds between two looks of --watch.",
)
@json_option
def status_(*, check: bool, watch: bool, interval: float, as_json: bool) -> None:
    """Show what is wrong, worst first, and the journals of all targets at a glance.

    What is wrong comes with since when, how many, what it means and what to do. Below: depths, ages, rates, dead
    letters, gates and workers.
    """
    if watch and (as_json or check):
        raise click.UsageError("--watch goes with neither --json nor --check.")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal; run 'blnk-relay status' now and then instead.")
    with opened() as access:
        glance = access.operator.glance()
        if watch:
            _watch(access, glance, interval)
            return
    _check_reached(glance)
    if as_json:
        emit(glance_json(glance, access.settings))
    else:
        show_glance(glance, access.settings)
    if not glance.known:
        exits.leave(exits.UNAVAILABLE)
    if check and not glance.well:
        exits.leave(exits.PARTLY)


def _check_reached(glance: Glance) -> None:
    """Where no journal answered there is nothing to show, and the sentence is that of any command."""
    from blnk_relay import JournalUnavailable

    unreached = [verdict.what for verdict in glance.verdicts if verdict.sort == "journal-away"]
    if unreached and len(unreached) == len(glance.overview.away) and not glance.known:
        raise JournalUnavailable(unreached[0])


def _watch(access: Access, glance: Glance, interval_s: float) -> None:
    """Draw it over itself until Ctrl-C, or until nobody is left to look."""
    with Stop() as stop:
        while not stop.asked:
            click.clear()
            # What is worst comes first, and must not have scrolled away.
            with on_screen():
                say(f"Every {interval_s:g} s; Ctrl-C ends.  {datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}")
                say()
                show_glance(glance, access.settings)
            end_s = monotonic() + interval_s
            while not stop.asked and monotonic() < end_s:
                sleep(min(_STEP_S, max(0.0, end_s - monotonic())))
            if not stop.asked:
                glance = access.operator.glance()


def show_glance(glance: Glance, settings: Settings) -> None:
    """What is wrong, and the journals, for people; as CSV what is wrong is the last of the tables."""
    show_verdicts(glance.verdicts)
    show_overview(glance, settings)
    if chosen().form == "csv":
        rows = [
            (str(one.severity), one.sort, one.target, one.lane, one.since, one.count, one.what, one.means, one.remedy)
            for one in glance.verdicts
        ]
        table(_VERDICTS, rows, name="verdicts")


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """What is wrong, for people; one that is about a target names it."""
    if not verdicts:
        say("Nothing is wrong.")
    for verdict in verdicts:
        since = f"since {clock(verdict.since)}" if verdict.since else ""
        severity = painted(str(verdict.severity).upper(), 8)
        if since and len(_INDENT) + _SORT + len(since) > width():
            say_lines([f"{severity}  {verdict.sort}", f"{_INDENT}{since}"])
        else:
            say(f"{severity}  {verdict.sort:<{_SORT}}{since}".rstrip())
        where = " ".join(filter(None, (verdict.target, verdict.lane)))
        for sentence in (f"{where}: {verdict.what}" if where else verdict.what, verdict.means):
            tell(plain(sentence), _INDENT, piped=WIDTH)
        remedy = f"> {plain(verdict.remedy)}"
        if "blnk-relay " in remedy:
            # As it is, so that it can be copied.
            say(f"{_INDENT}{remedy}")
        else:
            tell(remedy, _INDENT)
    say()


def show_overview(glance: Glance, settings: Settings) -> None:
    """The journals for people; a figure that nobody could read is a dash."""
    from worker.cli.lanes import lane_rows

    overview, rates = glance.overview, glance.rates
    figures = [
        ("open", several(overview.open, "intent")),
        ("oldest of them", f"{span(overview.oldest_open_s)} since it was accepted" if overview.open else "-"),
        ("in and out", in_and_out(rates)),
        ("empty in", emptying(rates)),
        ("waiting for a turn", f"{overview.waiting:,}"),
        ("being sent", f"{overview.sending:,}"),
        ("posted, unconfirmed", f"{overview.posted:,}"),
        ("longest overdue look", span(overview.oldest_posted_s)),
        ("dead letters", f"{overview.dead:,}"),
        ("discarded", f"{overview.discarded:,}"),
        ("done, still kept", f"{overview.done:,}"),
        ("workers", f"{overview.workers:,}"),
    ]
    if not glance.known:
        figures = [(name, "-") for name, value in figures if value]
    away = f"{', '.join(overview.away)}: not in these figures" if overview.away else ""
    fields([*figures, ("out of reach", away)])
    say()
    table(*lane_rows(overview.lanes, overview.gates, settings), name="lanes", main=True)
    gates = [
        (
            gate.target,
            gate.side,
            gate.state + (f" by {gate.who or 'hand'}" if gate.manual else ""),
            gate.code,
            f"{gate.rate}/s" if gate.rate else "",
            gate.since,
            timedelta(seconds=gate.lasting_s),
            gate.note,
        )
        for gate in overview.gates
    ]
    table(_GATES, gates, title="Gates that are not open", name="gates", unless_empty=True)
    died = [(d["kind"], d["dead_class"], d["code"], f"{d['count']:,}") for d in deaths(overview.counts)]
    table(_DEATHS, died[:_MOST_DEATHS], title="Dead letters ever, by code", name="deaths", unless_empty=True)


def in_and_out(rates: Rates) -> str:
    """Rates for people; empty where nobody knows them yet."""
    return "; ".join(f"{rate.accepted:,.1f}/s and {rate.ended:,.1f}/s over {rate.minutes} min" for rate in rates.spans)


def emptying(rates: Rates) -> str:
    """When nothing will be open, for people."""
    if not rates.open or not rates.spans:
        return ""
    return "it does not shrink" if rates.empty_s is None else span(rates.empty_s)


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
    from blnk_relay.kinds.registry import KINDS

    settings = Settings.from_env()
    if name is not None and name not in KINDS:
        raise click.UsageError(f"unknown kind {plain(name)!r}; the kinds are {', '.join(KINDS)}")
    if name is None and not as_json:
        rows = [
            (kind.name, f"{kind.method} {kind.path}", settings.route(kind.name), kind.summary)
            for kind in KINDS.values()
        ]
        table(("kind", "?route", "??lane", "what it does"), rows)
        return
    from blnk_relay.catalogue.facts import COMMON_ENDS, ends_of, facts_of

    asked = KINDS.values() if name is None else (KINDS[name],)
    if as_json:
        facts = [(facts_of(kind), ends_of(kind, COMMON_ENDS)) for kind in asked]
        emit({"kinds": [kind_json(one, common, settings.route(one.kind)) for one, common in facts]})
    elif name is not None:
        _tell(facts_of(KINDS[name]), ends_of(KINDS[name], COMMON_ENDS), settings.route(name))


#: Where a page of docs/kinds names its source; whoever reads a terminal has no use for it.
_CITED = re.compile(r" \((?:contract|decisions?|findings?|measured)\b[^()]*\)")

#: Where it leads on to another page: of which a terminal has the name.
_LINKED = re.compile(r"\[[^\]]*\]\(\.\./([^)]+)\)")


def uncited(text: str) -> str:
    """A text without what only a page of docs/kinds has a use for."""
    return _LINKED.sub(r"docs/\1", _CITED.sub("", text))


def _tell(facts: Facts, common: Sequence[EndFacts], lane: str) -> None:
    """One kind, for people; its page in docs/kinds says the same."""
    fields(
        (
            ("kind", facts.kind),
            ("what it does", uncited(facts.summary)),
            ("route", f"{facts.method} {facts.path}"),
            ("lane", lane),
            ("setting", f"{facts.setting} has to be on" if facts.setting else ""),
            ("key", uncited(facts.key)),
            ("reference", uncited(facts.reference)),
            ("confirmed by", uncited(facts.confirmed)),
        )
    )
    say()
    rows = [
        (field.name, "yes" if field.required else "", field.takes, field.limits, uncited(field.meaning))
        for field in facts.fields
    ]
    table(("field", "needed", "takes", "?limits", "meaning"), rows, title="Fields", main=True)
    ends = [
        (end.end.dead_class, end.end.code, uncited(end.end.why), uncited(end.why)) for end in (*facts.ends, *common)
    ]
    table(("class", "code", "why", "replay"), ends, title="Ends that need judgement", name="ends")
    say(f"As a line of a file: {facts.line}")
