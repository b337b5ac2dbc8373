"""``make fidelity CORE=http://…``: the book of requests, told to a running Core and to the sandbox, and what differs.

python -m tests.fidelity --core http://127.0.0.1:5001 --version 0.15.3
python -m tests.fidelity --core http://127.0.0.1:5001 --story 'refund/*' --json

The Core's master key is in ``BLNK_CORE_KEY``. Exit code 1 when something differs that is not in ``differences.toml``.
Many rows and records are written into that Core, which therefore has to be one for tests.
"""

from __future__ import annotations

import json
import os
import sys
from fnmatch import fnmatchcase

import click

from blnk_relay.sandbox import Options, Sandbox
from blnk_relay.sandbox.options import CORE_VERSIONS
from tests.fidelity import recordings
from tests.fidelity.book import the_book
from tests.fidelity.comparing import Verdict, judged, known_differences
from tests.fidelity.playing import AT_ONCE, play

#: Where the Core's master key comes from: a command line is seen by every process.
KEY_VARIABLE = "BLNK_CORE_KEY"


@click.command()
@click.option("--core", "url", required=True, help="Base URL of a running Core for tests; it is written to.")
@click.option(
    "--version",
    default=Options().core_version,
    show_default=True,
    type=click.Choice(CORE_VERSIONS),
    help="Which release it is, and the sandbox plays.",
)
@click.option("--story", "pattern", default="*", help="Only stories of these names, as a shell's pattern.")
@click.option("--at-once", default=AT_ONCE, show_default=True, type=click.IntRange(1, 64), help="Stories at a time.")
@click.option("--record", is_flag=True, help="Keep what the Core said as the recording of this release.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def fidelity(*, url: str, version: str, pattern: str, at_once: int, record: bool, as_json: bool) -> None:
    """Tell a running Core and the sandbox the same stories, and compare status, code and shape of each answer."""
    stories = [story for story in the_book() if fnmatchcase(story.name, pattern)]
    if not stories:
        raise click.UsageError(f"no story is called {pattern!r}")
    core = play(url, os.environ.get(KEY_VARIABLE, Options().core_key), stories, at_once=at_once)
    with Sandbox(Options(core_version=version)) as sandbox:  # type: ignore[arg-type]
        ours = play(sandbox.url, sandbox.options.core_key, stories, at_once=at_once)
    if record:
        recordings.keep(core, version)
    verdict = judged(core, ours, known_differences(version))
    requests = sum("asked" in line for lines in core.values() for line in lines)
    click.echo(_as_json(verdict, requests) if as_json else _as_lines(verdict, requests, version))
    sys.exit(1 if verdict.unknown else 0)


def _as_lines(verdict: Verdict, requests: int, version: str) -> str:
    lines = [str(difference) for difference in verdict.unknown]
    lines += [f"{difference}\n    known:   {reason.reason}" for difference, reason in verdict.known]
    lines += [f"listed, and seen no more: {known}" for known in verdict.stale]
    counts = f"{len(verdict.unknown)} unknown, {len(verdict.known)} known, {len(verdict.stale)} listed and seen no more"
    return "\n".join([*lines, f"{requests} answers of a Core and of the sandbox as {version} compared: {counts}"])


def _as_json(verdict: Verdict, requests: int) -> str:
    return json.dumps(
        {
            "answers": requests,
            "unknown": [vars(difference) for difference in verdict.unknown],
            "known": [{**vars(difference), "reason": reason.reason} for difference, reason in verdict.known],
            "stale": [str(known) for known in verdict.stale],
        }
    )


if __name__ == "__main__":
    fidelity()
