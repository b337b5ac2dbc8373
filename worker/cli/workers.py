"""``workers``: which are alive, and how to have one stop gently. ``health``: whether those of this machine are well."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.as_json import worker_json
from worker.cli.options import Reason, answer_option, example, json_option, who_option
from worker.cli.output import clock, emit, plain, remark, remark_away, say, several, table, tell

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from blnk_relay import Settings, WorkerView

#: Bytes of a megabyte, as memory is counted.
_MB = 1024 * 1024


@click.group(
    "workers",
    invoke_without_command=True,
    short_help="Show which workers are alive, and tell them to be quiet or to stop.",
    epilog=example("blnk-relay workers", "blnk-relay workers stop web-1:42 --reason 'host is replaced'"),
)
@json_option
@click.pass_context
def workers(ctx: click.Context, as_json: bool) -> None:
    """Show which workers are alive, and which left without a farewell within the last twelve hours.

    With quiet or stop, tell some of them what to do; it reaches them through the journal, within a sweep or so.
    """
    if ctx.invoked_subcommand is not None:
        return
    with opened(once=True) as access:
        found, now, settings = access.operator.workers(), access.operator.now(), access.settings
    if as_json:
        emit({"workers": [worker_json(worker) for worker in found], "away": list(found.away)})
        return
    show_workers(found, now, settings)
    remark_away(found.away)


def show_workers(found: Sequence[WorkerView], now: datetime, settings: Settings) -> None:
    """Workers for people."""
    if not found:
        say("No worker is alive, and none died within the last twelve hours. Start one: blnk-relay worker")
        return
    table(
        ("worker", "state", "version", "?lanes", "?targets", "???pool", "??>busy", ">in hand", "??>MB", ">up"),
        [_row(worker, now, settings) for worker in found],
    )
    for worker in found:
        for sentence in _remarks(worker):
            tell(plain(sentence))
    alive = [worker for worker in found if worker.alive]
    versions = sorted({worker.version or "of before" for worker in alive})
    say(
        f"{several(len(alive), 'worker')} alive" + (f", of versions {', '.join(versions)}" if len(versions) > 1 else "")
    )


def _row(worker: WorkerView, now: datetime, settings: Settings) -> tuple[object, ...]:
    sign = worker.sign
    up_s = now.timestamp() - sign.started_ms / 1000 if sign.started_ms and worker.alive else 0.0
    return (
        worker.name,
        worker.state,
        worker.version,
        _named(sign.lanes, settings.lanes),
        _named(worker.journals, tuple(settings.ledgers)),
        sign.pool + (f" {len(sign.processes) - 1}" if sign.pool == "prefork" and worker.alive else ""),
        f"{sign.busy} of {sign.connections}" if sign.connections and worker.alive else "",
        f"{worker.in_hand:,}" if worker.alive else "",
        f"{sign.memory / _MB:,.0f}" if sign.memory else "",
        timedelta(seconds=up_s) if up_s > 0 else "",
    )


def _named(some: Sequence[str], every: Sequence[str]) -> str:
    """Their names, unless they are all there are."""
    return "all" if len(every) > 1 and set(some) >= set(every) else ", ".join(some)


def _remarks(worker: WorkerView) -> list[str]:
    """What a row has no room for."""
    told: list[str] = []
    if not worker.alive:
        held = f", holding {several(worker.held, 'intent')}" if worker.held else ", with empty hands"
        first = f"; the first are {', '.join(worker.held_ids[:3])}" if worker.held_ids else ""
        looked = "; they are looked up at the ledger before anything else" if worker.held else ""
        told.append(f"{worker.name} fell silent at {clock(worker.seen)}{held}{first}{looked}")
    elif worker.held:
        told.append(f"{worker.name} has lost a process that held {several(worker.held, 'intent')}; they are looked up")
    if worker.alive and worker.sign.unwell:
        told.append(f"{worker.name} is not well: {worker.sign.unwell}")
    if worker.wish:
        why = f" ({worker.reason})" if worker.reason else ""
        told.append(f"{worker.name} was told to {_WORDS[worker.wish]} by {worker.who or 'somebody'}{why}")
    return told


_WORDS = {"quiet": "be quiet", "stop": "stop"}


def _wishing(function: Callable[..., None]) -> Callable[..., None]:
    """What ``quiet`` and ``stop`` take."""
    for option in (
        answer_option,
        who_option,
        click.option("--reason", type=Reason(), default="", help="Why; kept."),
        click.option("--all", "everybody", is_flag=True, help="All that are alive."),
        click.argument("names", nargs=-1, metavar="[NAME]..."),
    ):
        function = option(function)
    return function


@workers.command("quiet", epilog=example("blnk-relay workers quiet web-1:42 --reason 'host is replaced'"))
@_wishing
def quiet(names: tuple[str, ...], *, everybody: bool, reason: str, who: str, as_json: bool) -> None:
    """Have workers claim nothing new, finish what they have in hand, and stay until they are stopped.

    NAME is that of a worker, host:pid, or how names begin. A worker that is quiet does not become busy again: stop it.
    """
    _tell("quiet", names, everybody=everybody, reason=reason, who=who, as_json=as_json)


@workers.command(
    "stop",
    epilog=example("blnk-relay workers stop web-1:42 --reason 'host is replaced'", "blnk-relay workers stop --all"),
)
@_wishing
def stop(names: tuple[str, ...], *, everybody: bool, reason: str, who: str, as_json: bool) -> None:
    """Have workers claim nothing new, finish what they have in hand, and leave, as SIGTERM would.

    NAME is that of a worker, host:pid, or how names begin. A supervisor that restarts whatever ends starts another one.
    """
    _tell("stop", names, everybody=everybody, reason=reason, who=who, as_json=as_json)


def _tell(wish: str, names: Sequence[str], *, everybody: bool, reason: str, who: str, as_json: bool) -> None:
    if bool(names) == everybody:
        raise click.UsageError("name workers as 'blnk-relay workers' shows them, or give --all; not both.")
    with opened() as access:
        act = access.operator.quiet if wish == "quiet" else access.operator.stop
        if everybody:
            names = [worker.name for worker in access.operator.workers() if worker.can_be_told]
        told = act(*names, who=who, reason=reason)
    if as_json:
        emit({"told": wish, "workers": [worker_json(worker) for worker in told], "away": list(told.away)})
        return
    for worker in told:
        say(f"Told {plain(worker.name)} to {_WORDS[wish]}.")
    say(f"{several(len(told), 'worker')} told; see 'blnk-relay workers'.")
    remark_away(told.away)


@click.command(
    "health",
    short_help="Say whether the worker of this container is well.",
    epilog=example("blnk-relay health", "blnk-relay health --ready --json"),
)
@click.option("--name", default="", help="Of this worker, as 'blnk-relay workers' shows it.  [default: this host's]")
@click.option("--ready", is_flag=True, help="Ask whether it takes work, rather than whether it should go on.")
@answer_option
def health(name: str, ready: bool, as_json: bool) -> None:
    """Say whether the workers of this host are well; for a container, in which there is one.

    A worker that has work and finishes nothing is not well (BLNK_RELAY_STALLED_S), says so, and after as long again
    ends with 70. Exit codes: 0 well, 1 not well, or with --ready not ready. Where the journal cannot be reached nobody
    can tell: 0, because another worker would not reach it either, and with --ready 4.
    """
    from blnk_relay import JournalUnavailable

    with opened() as access:
        try:
            found = access.operator.health(name)
        except JournalUnavailable as error:
            if ready:
                raise
            remark(f"Nobody can tell: {error}")
            if as_json:
                emit({"live": None, "ready": False, "why": [str(error)]})
            return
    if as_json:
        emit({"live": found.live, "ready": found.ready, "why": list(found.why)})
    else:
        say("well" if found.live else "not well")
        for sentence in found.why:
            say(plain(sentence))
    exits.leave(exits.OK if (found.ready if ready else found.live) else exits.PARTLY)
