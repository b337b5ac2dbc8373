"""``audit``: compare the journal with the ledger by reading both."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.access import opened
from worker.cli.interrupt import Stop
from worker.cli.options import example, json_option, who_option
from worker.cli.output import clock, emit, plain, progress, remark, say, several, stamp, table
from worker.cli.spans import Since, Time, since_at

if TYPE_CHECKING:
    from blnk_relay import Settings
    from blnk_relay.audit import Place, Report
    from blnk_relay.journal.audited import Audited
    from blnk_relay.journal.journal import Journal

#: Reads a second that hurt no ledger that can be used at all.
RATE = 5.0

#: Longest wait for reads that are paused, before the place is kept and the audit ends.
PATIENCE_S = 60.0

#: Under which an operator's audits keep their place in a journal.
WHO = "operator"

#: What to do where a file cannot keep a place.
_ELSEWHERE = "Name a file in a folder that is there, can be written to and has room, or leave out --place."

_DIFFERENCES = ("difference", "intent", "id", "reference", "the journal says", "the ledger shows", "what to do")

#: Within this a wait between two reads sees that somebody wants it to end.
_NOTICE_S = 0.1

#: Characters of a file that keeps a place, at most.
_MOST_KEPT = 10_000_000


@click.command(
    "audit",
    short_help="Compare the journal with the ledger, by reading both.",
    epilog=example("blnk-relay audit --since 1d", "blnk-relay audit --resume --json | jq .differences"),
)
@click.option("--since", type=Since(), help="What ended since: 2h, 3d, or RFC 3339.  [default: 1d]")
@click.option("--until", type=Time(), help="And before then.  [default: what reads surely show]")
@click.option("--target", help="The ledger; needed where there are several.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1000, min_open=True),
    default=RATE,
    show_default=True,
    help="Most reads of the ledger a second.",
)
@click.option(
    "--ours",
    multiple=True,
    metavar="TEXT",
    help="References that begin so are made through this journal alone; again for more, '*' for all.",
)
@click.option("--resume", is_flag=True, help="Go on where the last audit of this target had to end.")
@click.option(
    "--place", "path", type=click.Path(dir_okay=False), help="Keep the place in this file.  [default: the journal]"
)
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=PATIENCE_S,
    show_default=True,
    help="Seconds to wait while reads are paused.",
)
@who_option
@json_option
def audit(
    *,
    since: datetime | timedelta | None,
    until: datetime | None,
    target: str | None,
    rate: float,
    ours: tuple[str, ...],
    resume: bool,
    path: str | None,
    patience: float,
    who: str,
    as_json: bool,
) -> None:
    """Compare the journal with the ledger: each outcome is there once and as was asked for, and nothing besides.

    It reads, and changes neither. What differs is listed with what the journal says, what the ledger shows, and what to
    do (docs/production.md). Exit codes: 0 nothing differs, 1 something does, 6 nothing does in what could be read, and
    not all could.
    """
    from blnk_relay.audit import Stopped, nothing_to_compare
    from worker.audit.opening import opened as opened_audit
    from worker.telemetry import Telemetry

    if resume and (since is not None or until is not None or ours):
        raise click.UsageError(
            "--resume goes on with the times and beginnings of references that the audit began with: "
            "leave out --since, --until, --ours."
        )
    keeper = _Keeper(path)
    keeper.check()
    with opened() as access, keeper.told_of(), Stop() as stop:
        journal = access.operator.journals.of(_target(access.settings, target))
        now = access.operator.now(journal.target)
        begin = since_at(timedelta(days=1) if since is None else since, now) or now
        if not resume and (why := nothing_to_compare(begin, until, now, access.settings.read_lag_s)):
            raise click.UsageError(f"{why}.")
        if (other := journal.foreign()) is not None:
            raise other
        keeper.again = f" --target {journal.target}" if len(access.settings.ledgers) > 1 else ""
        with (
            opened_audit(
                access.settings,
                journal,
                Telemetry(access.settings),
                rate=rate,
                patience_s=patience,
                pause=_pause(stop),
                ours=ours,
                keep=lambda place: keeper.keep(made.journal, place),
                say=remark,
                each_second=_ending(stop),
            ) as made,
            progress("comparing", None) as step,
        ):
            keeper.step = step
            place = keeper.place(made.journal) if resume else made.audit.begin(begin, until)
            try:
                report = access.operator.audit(journal.target, lambda: made.audit.run(place), who=who, resumed=resume)
            except Stopped as stopped:
                # The place at which it begins could not be kept, so nothing was read yet.
                raise exits.BadInput(f"nothing was compared: {stopped}. {_ELSEWHERE}") from None
            if report.whole:
                keeper.forget(made.journal)
    if as_json:
        emit(report_json(report))
    else:
        show_report(report, journal)
    if report.stopped:
        remark(f"It is not through: {report.stopped}. {keeper.how_to_go_on()}")
    if stop.asked and report.stopped:
        exits.leave(exits.INTERRUPTED)
    exits.leave(exits.DIFFERENT if not report.clean else exits.OK if report.complete else exits.UNREAD)


def _target(settings: Settings, target: str | None) -> str:
    if target is None and len(settings.ledgers) > 1:
        raise click.UsageError(f"--target is needed: the settings name {', '.join(settings.ledgers)}.")
    return next(iter(settings.ledgers)) if target is None else target


def _pause(stop: Stop) -> Callable[[float], bool]:
    """Waits so many seconds, and says whether to end; a Ctrl-C ends the wait, too."""

    def pause(seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while not stop.asked and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _NOTICE_S))
        return stop.asked

    return pause


def _ending(stop: Stop) -> Callable[[], None]:
    """Ends an audit that somebody has interrupted, where it waits for nothing."""
    from blnk_relay.audit import Stopped

    def look() -> None:
        if stop.asked:
            raise Stopped("it was told to stop")

    return look


class _Keeper:
    """Keeps the place of an audit: in the journal, or in a file.

    Attributes:
        step: Told how many intents more were compared.
        again: What has to be given besides to go on.
    """

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._kept = False
        self._shown = 0
        self.step: Any = lambda _: None
        self.again = ""

    @property
    def _where(self) -> str:
        return "the journal" if self._path is None else f"the file {plain(self._path)}"

    def how_to_go_on(self) -> str:
        """Where the place is kept, and how to go on from it."""
        place = f" --place {plain(self._path)}" if self._path is not None else ""
        return f"Its place is kept in {self._where}; go on with --resume{self.again}{place}."

    @contextmanager
    def told_of(self) -> Iterator[None]:
        """Whoever interrupts the block at once is told how to go on, where that is possible."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            if self._kept:
                remark(f"The audit is not through. {self.how_to_go_on()}")
            raise

    def check(self) -> None:
        """Try whether the place can be kept, before anything is asked of anybody.

        Raises:
            BadInput: It cannot.
        """
        if self._path is None:
            return
        try:
            half = _half(self._path)
            half.touch()
            half.unlink()
        except (OSError, ValueError) as error:
            raise exits.BadInput(f"{self._unkept(error)}. {_ELSEWHERE}") from None

    def keep(self, journal: Audited, place: Place) -> None:
        """Keep a place; what was kept before stays where that fails.

        Raises:
            Stopped: It cannot be kept in its file.
        """
        from blnk_relay.audit import Stopped

        if self._path is None:
            journal.keep_place(WHO, place.kept())
        else:
            half = _half(self._path)
            try:
                # Whole or not at all.
                half.write_text(json.dumps(place.kept()), encoding="utf-8")
                half.replace(self._path)
            except OSError as error:
                with suppress(OSError):
                    half.unlink()
                raise Stopped(self._unkept(error)) from None
        self._kept = True
        compared = place.report.compared.total()
        self.step(compared - self._shown)
        self._shown = compared

    def place(self, journal: Audited) -> Place:
        """What was kept.

        Raises:
            BadInput: Nothing is, or it is no place of this target.
        """
        from blnk_relay.audit import Place

        kept: Any = journal.place(WHO)
        if self._path is not None:
            try:
                text = self._path.read_text(encoding="utf-8")
                kept = json.loads(text) if len(text) <= _MOST_KEPT else None
            except (FileNotFoundError, ValueError):
                kept = None
            except OSError as error:
                raise exits.BadInput(
                    f"{self._where}, in which the place of an audit is kept, cannot be read "
                    f"({error.strerror or error}): see to who may read it, or begin with --since."
                ) from None
        try:
            place = Place.from_kept(kept)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise exits.BadInput(
                f"{self._where} keeps no place of an audit to go on from: begin with --since."
            ) from None
        if place.report.target != journal.target:
            raise exits.BadInput(f"{self._where} keeps the place of an audit of target {plain(place.report.target)!r}.")
        self._shown = place.report.compared.total()
        self._kept = True
        return place

    def forget(self, journal: Audited) -> None:
        self._kept = False
        if self._path is None:
            journal.forget_place(WHO)
        else:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                remark(f"The audit is through; {self._where} cannot be removed ({error.strerror or error}): remove it.")

    def _unkept(self, error: OSError | ValueError) -> str:
        why = error.strerror if isinstance(error, OSError) else None
        return f"the place of the audit cannot be kept in {self._where} ({why or error})"


def _half(path: Path) -> Path:
    """Where a place is written before it takes that of the one before.

    Raises:
        ValueError: The path names nothing.
    """
    return path.with_name(path.name + ".part")


def report_json(report: Report) -> dict[str, Any]:
    """What an audit found."""
    from dataclasses import asdict

    from blnk_relay.journal.status import moment

    return {
        "target": report.target,
        "since": stamp(moment(report.since_ms)),
        "until": stamp(moment(report.until_ms)),
        "whole": report.whole,
        "stopped": report.stopped,
        "compared": dict(report.compared),
        "differences": report.found.total(),
        "by_sort": dict(report.found),
        "first": [asdict(one) for one in report.findings],
        "not_looked_at": dict(report.unread),
        "trimmed": report.trimmed,
        "rows": report.rows,
        "others": report.others,
        "reads": report.reads,
    }


def show_report(report: Report, journal: Journal) -> None:
    """What an audit found, for people."""
    rows = [
        (
            one.sort,
            f"{one.kind} {one.key or one.intent}" if one.intent else "none that the journal knows",
            one.intent,
            one.reference,
            one.says,
            one.shows,
            one.advice,
        )
        for one in report.findings
    ]
    table(_DIFFERENCES, rows, name="differences", main=True, unless_empty=True, blocks=True)
    found = report.found.total()
    if found > len(report.findings):
        say(f"The first {len(report.findings)} of {found:,} differences.")
    unread = [(reason, f"{number:,}") for reason, number in report.unread.most_common()]
    table(("not looked at", ">intents"), unread, name="not looked at", unless_empty=True)
    if report.trimmed:
        hours = journal.settings.retention_s / 3600
        say(
            f"{several(report.trimmed, 'intent')} that ended long ago can no longer be compared: the journal keeps "
            f"what is finished for {hours:g} hours (BLNK_RELAY_RETENTION_S), and of the rest their keys alone."
        )
    say(report_in_words(report))


def report_in_words(report: Report) -> str:
    """How much was compared, and how much differs.

    Args:
        report: What an audit found.
    """
    from blnk_relay.journal.status import moment

    times = f"{clock(moment(report.since_ms))} to {clock(moment(report.until_ms))}"
    compared = several(report.compared.total(), "intent")
    return (
        f"Target {report.target}, {times}: {compared} compared, {several(report.rows, 'row')} of the ledger looked "
        f"through ({report.others:,} of others), {several(report.reads, 'read')}; "
        f"{several(report.found.total(), 'difference')}."
    )
