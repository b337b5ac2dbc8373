"""``make drill``: everything that the promise has to outlive, counted; one line of JSON for each drill.

python -m tests.drills --list
python -m tests.drills --only kills --only freezes --seed 7 --log logs
python -m tests.drills --quick
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from tests.drills.report import Terms
from tests.drills.table import DRILLS

#: Drills at a time: each has servers, workers and a ledger of its own, and much of it is waiting.
_ABREAST = 2

#: Characters of each end of what a drill that failed has said.
_END = 2_000

#: What has not come back by then is ended.
_LIMIT_S = 400.0

#: Figures that are added up in the last line.
_ADDED = ("accepted", "settled", "lost", "doubled", "stuck", "untrue", "violations")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(DRILLS)), help="This one; may be given several times.")
@click.option("--list", "listed", is_flag=True, help="Say which drills there are, and what each does.")
@click.option("--seed", default=1, show_default=True, help="Of stories, faults and blows.")
@click.option(
    "--rounds", default=1, show_default=True, type=click.IntRange(1), help="Each further one has the next seed."
)
@click.option("--quick", is_flag=True, help="A short set in its short form; with --only, the short form of these.")
@click.option("--pool", default="threads", show_default=True, type=click.Choice(["threads", "prefork"]))
@click.option("--abreast", default=_ABREAST, show_default=True, type=click.IntRange(1, 8), help="Drills at a time.")
@click.option("--log", default=None, type=click.Path(path_type=Path), help="A folder for the logs of the workers.")
@click.option(
    "--alone", is_flag=True, hidden=True, help="Play the one drill here, rather than in a process of its own."
)
def drill(
    *,
    only: tuple[str, ...],
    listed: bool,
    seed: int,
    rounds: int,
    quick: bool,
    pool: str,
    abreast: int,
    log: Path | None,
    alone: bool,
) -> None:
    """Play drills, print a line for each and a last one with the totals.

    Exit code 1 unless all are sound: nothing lost, doubled, stuck or untrue, books that add up, every blow fallen as
    often as it had to. What docs/guarantees.md names for a durability is no loss.
    """
    if listed:
        for name, one in DRILLS.items():
            click.echo(f"{name:16} {one.about}")
        return
    terms = Terms(seed, quick, pool, log)
    names = list(only) or [name for name, one in DRILLS.items() if one.soon or not quick]
    if alone:
        (name,) = names
        report = DRILLS[name].play(terms)
        click.echo(report.line())
        sys.exit(0 if report.sound else 1)
    start_s = time.monotonic()
    documents = []
    for document in _played([(name, seed + number) for number in range(rounds) for name in names], terms, abreast):
        click.echo(json.dumps(document))
        documents.append(document)
    unsound = [f"{document['drill']} {document['seed']}" for document in documents if not document["sound"]]
    total: dict[str, Any] = {
        "drill": "all",
        "played": sum("skipped" not in document for document in documents),
        "skipped": sum("skipped" in document for document in documents),
        "unsound": unsound,
        **{name: sum(document.get(name, 0) for document in documents) for name in _ADDED},
        "events": sum(sum(document.get("events", {}).values()) for document in documents),
        "seconds": round(time.monotonic() - start_s, 1),
    }
    click.echo(json.dumps(total))
    sys.exit(1 if unsound else 0)


def _played(drills: Sequence[tuple[str, int]], terms: Terms, abreast: int) -> Iterator[Mapping[str, Any]]:
    """Play each in a process of its own; yields their documents as they come."""
    with ThreadPoolExecutor(abreast) as pool:
        for future in as_completed([pool.submit(_apart, name, seed, terms) for name, seed in drills]):
            yield future.result()


def _both_ends(text: str) -> str:
    """The beginning and the end of a long text: the first of errors that followed from each other, and the last."""
    return text if len(text) <= 2 * _END else f"{text[:_END]} … {text[-_END:]}"


def _apart(name: str, seed: int, terms: Terms) -> Mapping[str, Any]:
    """Play one in a process of its own, and end all that it leaves behind."""
    command = [sys.executable, "-m", "tests.drills", "--alone", "--only", name, "--seed", str(seed)]
    command += ["--pool", terms.pool, *(["--quick"] if terms.quick else [])]
    command += ["--log", str(terms.log)] if terms.log else []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=_LIMIT_S)
        why = f"failed: it ended with {process.returncode}: {_both_ends(err.strip())}"
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        why = f"stuck: it had not come back after {_LIMIT_S:g} s"
    with suppress(ValueError, IndexError):
        document: dict[str, Any] = json.loads(out.splitlines()[-1])
        return document
    return {"drill": name, "seed": seed, "sound": False, "sentences": [why], "wrong": 1}


if __name__ == "__main__":
    drill()
