"""``make mutants``: puts one deliberate bug after the other into a copy of the tree, and sees whether the tests notice.

python -m tests.mutants                          all of them
python -m tests.mutants sweep-sent-last-now      by name
python -m tests.mutants --part 2/10              every tenth of them
python -m tests.mutants --part commit/10         the same, by the commit that is checked out

First the tests that are to catch them have to pass without any, or to be caught would mean nothing. Exit code 1 when a
bug was not caught, or could not be tried.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import click

from tests.mutants.copies import changed, copied
from tests.mutants.mutant import ROOT, BadPatch, Mutant, mutants
from tests.mutants.trial import End, Trial, run_seeds, run_tests, tried

#: Longest time for all tests together on the tree as it is, for each mutant that they are for.
_SOUND_S = 60.0


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
@click.option("--part", default=None, metavar="K/N", help="The Kth of N parts; commit/N for one by the commit.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1, 16), help="Tried at the same time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line for each instead of the table.")
@click.option("--list", "only_list", is_flag=True, help="Say what they break, and try none.")
def main(*, names: Sequence[str], part: str | None, jobs: int, as_json: bool, only_list: bool) -> None:
    try:
        wanted = _part_of(_named(mutants(), names), part)
    except BadPatch as error:
        raise click.ClickException(str(error)) from None
    if only_list:
        for mutant in wanted:
            click.echo(f"{mutant.name}\n    {mutant.breaks}")
        return
    if not wanted:
        click.echo("none is in this part", err=True)
        return
    with tempfile.TemporaryDirectory(prefix="blnk-relay-mutants-") as folder:
        base = copied(Path(folder) / "tree")
        _expect_sound(base, wanted)
        uncaught = 0
        with ThreadPoolExecutor(jobs) as pool:
            trials = {pool.submit(_tried, base, Path(folder) / mutant.name, mutant): mutant for mutant in wanted}
            for future in as_completed(trials):
                uncaught += future.result().end is not End.CAUGHT
                _tell(trials[future], future.result(), as_json=as_json)
    if uncaught:
        click.echo(f"{uncaught} of {len(wanted)} were not caught", err=True)
        sys.exit(1)
    click.echo(f"{len(wanted)} of {len(wanted)} were caught", err=True)


def _named(known: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    by_name = {mutant.name: mutant for mutant in known}
    strange = sorted(set(names) - set(by_name))
    if strange:
        raise click.ClickException(f"no mutant {', '.join(strange)}; --list says which there are")
    return [by_name[name] for name in names] or list(known)


def _part_of(known: Sequence[Mutant], part: str | None) -> list[Mutant]:
    """Every Nth from the Kth on, so that those about one thing, whose names begin alike, are in different parts."""
    if part is None:
        return list(known)
    which, _, number = part.partition("/")
    if not number.isdigit() or int(number) < 1 or not (which == "commit" or which.isdigit()):
        raise click.ClickException(f"--part takes K/N or commit/N, such as 2/10, not {part!r}")
    parts = int(number)
    if which == "commit":
        # A digest is as good as drawn by lot, so that after some commits all had their turn; and the same commit has
        # the same one, also in a clone without history.
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True)
        return list(known[int(commit.stdout[:12], 16) % parts :: parts])
    if not 1 <= int(which) <= parts:
        raise click.ClickException(f"--part {part}: there are the parts 1 to {parts}")
    return list(known[int(which) - 1 :: parts])


def _expect_sound(base: Path, wanted: Sequence[Mutant]) -> None:
    """All that is to catch these passes where there is no bug."""
    tests = sorted({test for mutant in wanted for test in mutant.tests})
    seeds = max(mutant.seeds for mutant in wanted)
    trials = [run_tests(base, tests, _SOUND_S * len(wanted))] if tests else []
    trials += [run_seeds(base, seeds, _SOUND_S * len(wanted))] if seeds else []
    for trial in trials:
        if trial.end is not End.SURVIVED:
            raise click.ClickException(
                "without any bug the tests do not pass, so that to be caught would mean nothing; mend them first "
                f"({trial.end} after {trial.seconds:.0f} s: {trial.by or 'no test'}).\n{trial.words}"
            )
    click.echo(f"without a bug all pass ({sum(trial.seconds for trial in trials):.1f} s)", err=True)


def _tried(base: Path, folder: Path, mutant: Mutant) -> Trial:
    try:
        return tried(changed(base, folder, mutant), mutant)
    except BadPatch as error:
        return Trial(End.BROKEN, "", 0.0, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tell(mutant: Mutant, trial: Trial, *, as_json: bool) -> None:
    if as_json:
        about = {"mutant": mutant.name, "breaks": mutant.breaks, "end": str(trial.end), "by": trial.by}
        click.echo(json.dumps({**about, "seconds": round(trial.seconds, 1), "words": trial.words[-500:]}))
        return
    click.echo(f"{trial.end:8}  {trial.seconds:5.1f} s  {mutant.name:32}  {trial.by or mutant.breaks}")
    if trial.end in (End.LATE, End.BROKEN):
        click.echo(trial.words)


if __name__ == "__main__":
    main()
