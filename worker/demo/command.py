"""``blnk-relay demo``: shows the play, prints the statement, and exits with 1 if a payment was lost or doubled."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from worker.demo.ending import unwound
from worker.demo.play import Result, Scene, play
from worker.demo.stage import Stage
from worker.demo.story import tell

#: Faults of the demo's ledger: all that need no human and no long waits. A full queue would stop everything for 30 s.
LEFT_OUT = frozenset({"503_backpressure"})

#: Between two lines where no terminal looks on.
_LINE_S = 2.0


@click.command("demo", short_help="Play payments over a ledger that misbehaves, and count them.")
@click.option(
    "--intents", default=1_000, show_default=True, type=click.IntRange(10, 50_000), help="Intents to enqueue."
)
@click.option("--seed", type=int, default=None, help="Makes a run repeatable; drawn and printed when left out.")
@click.option(
    "--fault-rate", default=0.1, show_default=True, type=click.FloatRange(0, 0.5), help="Share of requests hit."
)
@click.option("--pool", default="threads", show_default=True, type=click.Choice(["threads", "prefork"]))
@click.option("--kill/--no-kill", default=True, show_default=True, help="SIGKILL a worker half-way.")
@click.option("--stay", is_flag=True, help="Then keep all of it open, with the console, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the statement.")
def demo_command(
    *, intents: int, seed: int | None, fault_rate: float, pool: str, kill: bool, stay: bool, as_json: bool
) -> None:
    r"""Play payments over a ledger that misbehaves, and count them.

    Starts an embedded Valkey, a sandbox ledger with faults, and two workers; enqueues a shop's month, which uses every
    kind of write; kills a worker with SIGKILL; and proves from the ledger's own books that nothing was lost or doubled.

    \b
    accepted = applied + held + voided + refunded + created + updated + tokenized + uploaded + started + deleted
               + dead + blocked; rejected is one class of dead.
    Exit code: 0 when nothing was lost or doubled, else 1.

    \b
    Example:
      blnk-relay demo --intents 2000 --seed 7 --json
      blnk-relay demo --stay
    """
    if stay and as_json:
        raise click.UsageError("--stay is for people, and --json ends with its one object: give one of them.")
    from blnk_relay.sandbox import DEFAULT_KINDS, Faults

    chosen = random.randrange(10_000) if seed is None else seed
    kinds = [kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT]
    with unwound(), Stage(faults=Faults.seeded(chosen, fault_rate, kinds=kinds), pool=pool) as stage:
        if as_json:
            result = play(stage, tell(intents, chosen), lambda _: None, kill=kill)
        else:
            console = Console()
            console.print(f"[bold]blnk-relay demo[/bold], seed {chosen}, {fault_rate:.0%} of all requests go wrong")
            with _audience(console) as show:
                result = play(stage, tell(intents, chosen), show, kill=kill)
        if as_json:
            click.echo(json.dumps({"seed": chosen, "intents": intents, **result.numbers}))
        else:
            _statement(console, result)
        for sentence in (*result.proof.lost, *result.proof.doubled, *result.violations)[:20]:
            click.echo(sentence, err=True)
        if stay:
            _stay(stage)
    sys.exit(0 if result.sound else 1)


def _stay(stage: Stage) -> None:
    """Keep the stage open, with a worker and the console, until somebody has seen enough."""
    stage.start_worker()
    with stage.console() as console, suppress(KeyboardInterrupt):
        click.echo("The ledger, a worker and the console stay until Ctrl-C.")
        console.wait()


@contextmanager
def _audience(console: Console) -> Iterator[Any]:
    """Live progress on a terminal, else a line now and then."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            yield lambda scene: live.update(_picture(scene))
        return
    last_s, last_title = 0.0, ""

    def line(scene: Scene) -> None:
        nonlocal last_s, last_title
        if scene.title != last_title or time.monotonic() - last_s >= _LINE_S:
            last_s, last_title = time.monotonic(), scene.title
            overview = scene.overview
            finished = overview.done + overview.dead
            console.print(f"  {scene.title}: {finished} of {scene.total} finished, {overview.dead} dead letters")

    yield line


def _picture(scene: Scene) -> Table:
    overview = scene.overview
    table = Table(title=scene.title, title_justify="left", show_header=False, box=None)
    ready = sum(lane.due + lane.later for lane in overview.lanes)
    finished = overview.done + overview.dead
    width = 40
    filled = width * finished // max(1, scene.total)
    table.add_row("", f"[green]{'█' * filled}[/green]{'░' * (width - filled)} {finished} of {scene.total}")
    table.add_row("ready", str(ready))
    table.add_row("waiting for their turn", str(overview.waiting))
    table.add_row("being sent", str(overview.sending))
    table.add_row("posted, to be confirmed", str(overview.posted))
    table.add_row("done", str(overview.done))
    table.add_row("dead letters", str(overview.dead))
    table.add_row("retried", str(overview.counts.get("retried", 0)))
    for gate in overview.gates:
        table.add_row(f"{gate.side} gate", f"{gate.state} by {gate.code}")
    return table


#: Rows of the statement: number, and what it means.
_ROWS = (
    ("accepted", "receipts given"),
    ("applied", "payments, batches and commits in the books"),
    ("held", "holds in the books"),
    ("voided", "holds released"),
    ("refunded", "payments given back"),
    ("created", "ledgers, balances, identities and matching rules"),
    ("updated", "identities, links, metadata and matching rules"),
    ("tokenized", "identities whose personal data became tokens"),
    ("uploaded", "bank statements"),
    ("started", "reconciliations"),
    ("deleted", "matching rules"),
    ("rejected", "refused by the ledger for lack of funds; dead letters"),
    ("dead", "dead letters of all classes"),
    ("blocked", "waiting behind a dead letter"),
    ("refused_at_the_door", "invalid, never accepted"),
    ("duplicates_refused", "enqueued twice, accepted once"),
    ("faults", "requests that the ledger was made to spoil"),
    ("retried", "requests sent again"),
    ("looked_up", "unclear outcomes settled by reading the ledger"),
    ("lapsed", "leases taken from the killed worker"),
    ("workers_killed", "with SIGKILL"),
)


def _statement(console: Console, result: Result) -> None:
    numbers = result.numbers
    table = Table(title="Statement", title_justify="left", box=None, show_header=False)
    table.add_column(justify="right", style="bold")
    table.add_column()
    table.add_column(style="dim")
    for name, meaning in _ROWS:
        table.add_row(str(numbers[name]), name.replace("_", " "), meaning)
        if name == "dead":
            for dead_class, number in numbers["dead_by_class"].items():
                if number:
                    table.add_row("", f"  {dead_class} {number}", "")
    console.print(table)
    proof = result.proof
    console.print(
        f"Proof from the ledger's books: {proof.effects} effects, {proof.explained} of them accounted for by intents, "
        f"Σ per currency {'is 0' if not result.violations else 'is broken'}."
    )
    style = "bold green" if result.sound else "bold red"
    console.print(f"[{style}]lost {numbers['lost']}, doubled {numbers['doubled']}[/{style}], {numbers['seconds']} s")
