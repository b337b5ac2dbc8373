"""``make simulate``: seeds played, and one JSON line at the end. Exit code 1 where one of them breaks the promise.

python -m tests.simulation --seeds 10000
python -m tests.simulation --start 791 --seeds 1 --story
python -m tests.simulation --every-prefix
"""

from __future__ import annotations

import json
import os
import sys

import click

from tests.simulation.plan import plan_of
from tests.simulation.prefixes import resumed, run_of
from tests.simulation.runs import Tally, explained, playing, simulate
from tests.simulation.stories import STORIES

#: Failures that are made small and told, the others are named.
MOST_EXPLAINED = 3

#: Seeds between two words about how far it is.
_SAY_EVERY = 2500


def _prefixes(seed: int) -> bool:
    """Every prefix of every story, the longest too. Returns whether one of them breaks the promise."""
    prefixes = 0
    broken: dict[str, list[str]] = {}
    with playing() as one:
        for story in STORIES:
            for cut, ended in resumed(run_of(story, seed), one):
                prefixes += 1
                if ended.problems:
                    broken[f"{story} at {cut}"] = ended.problems
            click.echo(f"{story}: {prefixes} prefixes so far, {len(broken)} broken", err=True)
    click.echo(json.dumps({"stories": len(STORIES), "prefixes": prefixes, "broken": broken}))
    return bool(broken)


@click.command()
@click.option("--seeds", default=2000, show_default=True, help="How many.")
@click.option("--start", default=1, show_default=True, help="The first of them.")
@click.option("--processes", default=min(os.cpu_count() or 1, 8), show_default=True, help="Played side by side.")
@click.option("--story", is_flag=True, help="Print the story of the first seed, and nothing else.")
@click.option("--every-prefix", is_flag=True, help="Of every story, go on from every prefix of its writes instead.")
def main(seeds: int, start: int, processes: int, story: bool, every_prefix: bool) -> None:
    """Play whole runs of the relay under seeded trouble, and hold each against the promise."""
    if every_prefix:
        sys.exit(_prefixes(start))
    if story:
        with playing() as one:
            plan = plan_of(start)
            ended = one(plan, told=True)
        click.echo("\n".join([*plan.told(), *ended.story, *(f"!!! {problem}" for problem in ended.problems)]))
        sys.exit(bool(ended.problems))
    said = 0

    def say(tally: Tally) -> None:
        nonlocal said
        if tally.seeds - said >= _SAY_EVERY:
            said = tally.seeds
            click.echo(f"{tally.seeds} of {seeds}, {len(tally.failed)} failed, {tally.seconds:.0f} s", err=True)

    tally = simulate(range(start, start + seeds), processes, say)
    for seed in sorted(tally.failed)[:MOST_EXPLAINED]:
        click.echo("\n".join(explained(plan_of(seed))), err=True)
    for seed in sorted(tally.failed)[MOST_EXPLAINED:]:
        click.echo(f"seed {seed}: {tally.failed[seed][0]}", err=True)
    click.echo(json.dumps(tally.line()))
    sys.exit(bool(tally.failed))


if __name__ == "__main__":
    main()
