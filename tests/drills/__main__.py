"""``make drill``: rounds of trouble, counted. Exit code 1 when anything was lost or doubled.

python -m tests.drills --rounds 5 --intents 400 --seed 1
python -m tests.drills --soak
"""

from __future__ import annotations

import json
import sys

import click

from tests.drills.round import Outcome, play_round

#: Columns of the table; JSON has all numbers.
_COLUMNS = (
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


@click.command()
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--intents", default=400, show_default=True, type=click.IntRange(10, 50_000), help="In each round.")
@click.option("--seed", default=1, show_default=True, help="Of the first round; each further one has the next.")
@click.option("--pool", default="threads", show_default=True, type=click.Choice(["threads", "prefork"]))
@click.option("--calm", is_flag=True, help="Faults of the ledger only, no blows.")
@click.option("--soak", is_flag=True, help="20 rounds of 2,000 intents.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def drill(*, rounds: int, intents: int, seed: int, pool: str, calm: bool, soak: bool, as_json: bool) -> None:
    """Play rounds of the demo's story while workers, connections and lanes are struck, and count what is left."""
    if soak:
        rounds, intents = 20, 2_000
    outcomes: list[Outcome] = []
    if not as_json:
        click.echo("seed   " + " ".join(f"{name:>11}" for name in _COLUMNS))
    for number in range(rounds):
        outcome = play_round(seed + number, intents, pool=pool, calm=calm)
        outcomes.append(outcome)
        if not as_json:
            click.echo(f"{outcome.seed:<6} " + " ".join(f"{outcome.numbers[name]:>11}" for name in _COLUMNS))
        for sentence in outcome.sentences[:20]:
            click.echo(f"seed {outcome.seed}: {sentence}", err=True)
    total = {
        name: sum(outcome.numbers[name] for outcome in outcomes)
        for name in ("accepted", "lost", "doubled", "violations")
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


if __name__ == "__main__":
    drill()
