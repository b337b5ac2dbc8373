"""``doctor``: whether anything would break the promise, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from worker.cli import exits
from worker.cli.forms import chosen
from worker.cli.options import example, json_option
from worker.cli.output import emit, painted, plain, say, several, table
from worker.cli.starting import uncollected

if TYPE_CHECKING:
    from worker.doctor.findings import Finding

#: What stands before a finding.
_MARKS = {"ok": "  ok", "warning": "WARN", "failure": "FAIL", "unknown": "   ?"}


@click.command(
    "doctor",
    short_help="Check what would break the promise, and say how to mend it.",
    epilog=example("blnk-relay doctor", "blnk-relay doctor --target eu --json"),
)
@click.option("--target", help="Only this ledger, its journal and its Redis.")
@json_option
def doctor(target: str | None, as_json: bool) -> None:
    """Check Redis, journals, ledgers, broker and settings, and say what would break the promise and how to mend it.

    Changes nothing. Run it with the environment of a worker, where a worker runs. Exit codes: 0 nothing would break the
    promise, 1 something would, 2 bad settings, 3 something could not be looked at.
    """
    with uncollected():
        from blnk_relay import Settings
        from worker.doctor.checks import findings
        from worker.doctor.findings import exit_code
        from worker.doctor.reading import read_all

    settings = Settings.from_env()
    if target is not None and target not in settings.ledgers:
        raise exits.BadInput(f"the settings do not name a target {target!r}; they name {', '.join(settings.ledgers)}.")
    found = findings(read_all(settings, [target] if target else list(settings.ledgers)))
    code = exit_code(found)
    if as_json:
        emit(doctor_json(found))
    else:
        _show(found)
    exits.leave(code)


def _show(found: tuple[Finding, ...]) -> None:
    if chosen().form in ("csv", "wide"):
        columns = ("level", "check", "of", "saw", "why", "mend", "see")
        rows = [(one.level, one.check, one.of, one.saw, one.why or "", one.mend or "", one.link or "") for one in found]
        table(columns, rows, name="findings")
        return
    for finding in found:
        say(f"{painted(_MARKS[finding.level])}  {finding.check:<12} {plain(finding.of)}: {plain(finding.saw)}")
        for label, text in (("why", finding.why), ("mend", finding.mend), ("see", finding.link)):
            if text:
                say(f"      {label:<12} {plain(text)}")
    say()
    say(doctor_in_words(found))


def doctor_in_words(found: tuple[Finding, ...]) -> str:
    """How many checks there were, and what they came to.

    Args:
        found: What was found.
    """
    counts = {mark: sum(finding.level == mark for finding in found) for mark in _MARKS}
    return (
        f"{several(len(found), 'check')}: {counts['failure']} would break the promise, {counts['warning']} to look at, "
        f"{counts['unknown']} could not be looked at."
    )


def doctor_json(found: tuple[Finding, ...]) -> dict[str, Any]:
    """What was found, for programs.

    Args:
        found: What was found.
    """
    from worker.doctor.findings import exit_code

    code = exit_code(found)
    return {"well": code == exits.OK, "exit_code": code, "findings": [asdict(finding) for finding in found]}
