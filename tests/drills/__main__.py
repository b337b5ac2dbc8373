"""``make drill``: rounds of trouble, counted. Exit code 1 when anything was lost or doubled, or said what is not true.

python -m tests.drills --rounds 5 --intents 400 --seed 1
python -m tests.drills --only moving --rounds 1 --seed 7 --log workers.log
python -m tests.drills --only promotions --rounds 1 --seed 7
python -m tests.drills --soak
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import click

from tests.drills.moving import play_moving
from tests.drills.promotions import SETTINGS, play_promotions
from tests.drills.round import Outcome, play_round

#: Columns of the tables; JSON has all numbers.
_STRUCK = (
    "accepted",
    "applied",
    "dead",
    "blocked",
    "lapsed",
    "stale",
    "kill_worker",
    "kill_all",
    "freeze",
    "storm",
    "pause_lane",
    "lost",
    "doubled",
    "seconds",
)
_MOVING = (
    "accepted",
    "applied",
    "dead",
    "blocked",
    "lapsed",
    "unavailable",
    "dripped",
    "blows",
    "stuck",
    "lost",
    "doubled",
    "untrue",
    "settling",
    "seconds",
)
_PROMOTIONS = (
    "promoter",
    "durability",
    "accepted",
    "applied",
    "dead",
    "blocked",
    "moment_lost",
    "promotions",
    "epochs",
    "forgotten",
    "unavailable",
    "killed",
    "stuck",
    "lost",
    "doubled",
    "untrue",
    "settling",
    "seconds",
)


@click.command()
@click.option("--rounds", default=None, type=click.IntRange(1), help="Of each sort; 5 with blows, 1 of the others.")
@click.option("--intents", default=None, type=click.IntRange(10, 50_000), help="In each round; 400, 350, or 200.")
@click.option("--seed", default=1, show_default=True, help="Of the first round; each further one has the next.")
@click.option("--pool", default="threads", show_default=True, type=click.Choice(["threads", "prefork"]))
@click.option("--only", default=None, type=click.Choice(["blows", "moving", "promotions"]), help="Rounds of one sort.")
@click.option("--calm", is_flag=True, help="Faults of the ledger only, no blows.")
@click.option("--soak", is_flag=True, help="20 rounds of 2,000 intents.")
@click.option("--log", "log", default=None, type=click.Path(path_type=Path), help="Keep the workers' log of the last.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def drill(
    *,
    rounds: int | None,
    intents: int | None,
    seed: int,
    pool: str,
    only: str | None,
    calm: bool,
    soak: bool,
    log: Path | None,
    as_json: bool,
) -> None:
    """Play rounds of the demo's story while everything around it is struck, and count and judge what is left.

    Rounds with blows strike workers, connections and lanes. On moving ground Redis refuses, stalls and dies as well,
    reads are slow, answers drip, and kinds, messages and code come that no worker can handle. In rounds of promotions
    Redis loses its last moments: at each durability, promoted by hand and by Sentinel, six of them for each seed.
    """
    if soak:
        rounds, intents = 20, 2_000
    outcomes: list[Outcome] = []
    if only in (None, "blows"):
        outcomes += _play(
            [
                partial(play_round, number, intents or 400, pool=pool, calm=calm)
                for number in range(seed, seed + (rounds or 5))
            ],
            () if as_json else _STRUCK,
        )
    # What is calm, or lasts for hours, is the other sort's.
    if only == "moving" or not (only or calm or soak):
        outcomes += _play(
            [
                partial(play_moving, number, intents or 350, pool=pool, keep_log=log)
                for number in range(seed, seed + (rounds or 1))
            ],
            () if as_json else _MOVING,
        )
    if only == "promotions" or not (only or calm or soak):
        outcomes += _play(
            [
                partial(play_promotions, number, setting, intents or 200, pool=pool, keep_log=log)
                for number in range(seed, seed + (rounds or 1))
                for setting in SETTINGS
            ],
            () if as_json else _PROMOTIONS,
        )
    total = {
        name: sum(outcome.numbers.get(name, 0) for outcome in outcomes)
        for name in ("accepted", "stuck", "lost", "doubled", "untrue", "violations")
    }
    document = {
        **total,
        "pool": pool,
        "rounds": [{"seed": outcome.seed, **outcome.numbers, "sentences": outcome.sentences} for outcome in outcomes],
    }
    if as_json:
        click.echo(json.dumps(document))
    else:
        click.echo(", ".join(f"{name} {number}" for name, number in total.items()))
    sys.exit(0 if all(outcome.sound for outcome in outcomes) else 1)


def _play(plays: Iterable[Callable[[], Outcome]], columns: Sequence[str]) -> list[Outcome]:
    """Play rounds, and print a line for each where there are columns."""
    outcomes = []
    if columns:
        click.echo("seed   " + " ".join(f"{name:>12}" for name in columns))
    for play in plays:
        outcome = play()
        outcomes.append(outcome)
        if columns:
            click.echo(f"{outcome.seed:<6} " + " ".join(f"{outcome.numbers[name]:>12}" for name in columns))
        for sentence in outcome.sentences[:20]:
            click.echo(f"seed {outcome.seed}: {sentence}", err=True)
    return outcomes


if __name__ == "__main__":
    drill()
