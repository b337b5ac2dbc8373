"""How long each command takes on a journal of some size: as a process, its start included, and without the start.

The journal is filled past the scripts (tests/support/bulk.py), in the layout that they leave. Timings are reported, and
nothing is asserted. The processor time of the process stands beside its time on the clock: on a busy machine only the
former tells anything. With --history, also what is answered by a database that ``python -m tests.bench.history --keep``
has filled.

With --screens, the console's screens on the same ground; with --journal, a journal that was filled before.

Run: python -m tests.bench.commands [--open N] [--finished N] [--dead N] [--journal URL] [--history URL]
     [--screens] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import redis
import sqlalchemy as sa
from click.testing import CliRunner

from blnk_relay import Operator, Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from blnk_relay.sandbox import Options, Sandbox
from tests.bench import screens
from tests.support.bulk import FUNDS, Fill, fill
from worker.cli.commands import cli
from worker.demo.valkey import start_valkey

#: Command lines that look: what is asked of a journal at three in the morning.
LINES = (
    ("--help",),
    ("completion", "bash"),
    ("kinds",),
    ("status",),
    ("status", "--json"),
    ("workers",),
    ("lanes",),
    ("target", "list"),
    ("jobs",),
    ("log",),
    ("show", "open-1"),
    ("dead", "show", "dead-1"),
    ("dead", "summary"),
    ("list",),
    ("list", "--limit", "10"),
    ("list", "--state", "done"),
    ("list", "--state", "cancelled"),
    ("list", "--state", "ready", "--kind", "refund"),
    ("list", "--kind", "refund"),
    ("dead", "list"),
    ("dead", "list", "--code", "RARE"),
    ("dead", "replay", "--key", "dead-1", "--plan"),
    ("dead", "replay", "--code", "RARE", "--plan"),
    ("dead", "replay", "--code", FUNDS, "--plan"),
    ("dead", "discard", "--code", FUNDS, "--plan"),
    ("dead", "replay", "--code", FUNDS, "--plan", "--max", "20000"),
    ("doctor",),
    ("encryption", "keys"),
    ("history", "status"),
    ("find", "open-1"),
    ("find", "--amount", "10.50"),
    ("find", "--destination", "@alice"),
    ("find", "--class", "rejected"),
    ("find", "--state", "open"),
    ("find", "--since", "12h"),
    ("find", "nothing"),
)

#: The same, of what stands in history as tests/bench/history.py fills it, of which one in the middle.
OF_HISTORY = (
    "find order-{middle}",
    "find --id txn_{middle:026d}",
    "find --amount 2500",
    "find --source @world --destination @wallet-50000",
    "find --meta order={middle}",
    "find --code TXN_INSUFFICIENT_FUNDS",
    "find --class rejected",
    "find --currency EUR",
)

#: A ledger for what asks one.
_LEDGER = Options()

#: What else but 0 a command may end with: nothing is kept here, which would break the promise.
_ENDS = {"doctor": (0, 1)}

#: How a line, and a screen, is told of.
_TOLD = (
    "{line:45} {process_ms:6} ms, best {best_ms:6} ms, {processor_ms:6} ms of a processor, "
    "{without_start_ms:6} ms without start"
)
_SEEN = "{screen:60} {median_ms:6} ms, worst {worst_ms} ms, first {first_ms} ms, {processor_ms} ms of a processor"

#: A few letters of a code of their own, and those the oldest: the worst that a search for a code can meet.
_RARE = 3


def measured(lines: Sequence[Sequence[str]], rounds: int, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The median of some rounds for each line, in milliseconds, and the best: it says more on a busy machine."""
    for line in lines:
        clock, cpu, inside = [], [], []
        for _ in range(rounds):
            before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            ran = subprocess.run(
                [sys.executable, "-m", "worker.cli", *line], env=environment, capture_output=True, check=False
            )
            if ran.returncode not in _ENDS.get(line[0], (0,)):
                raise RuntimeError(f"{' '.join(line)} ended with {ran.returncode}: {ran.stderr.decode()}")
            clock.append(time.monotonic() - start_s)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            start_s = time.monotonic()
            CliRunner().invoke(cli, line, catch_exceptions=False)
            inside.append(time.monotonic() - start_s)
        best = {
            "process_ms": median(clock),
            "best_ms": min(clock),
            "processor_ms": min(cpu),
            "without_start_ms": median(inside[1:]),
        }
        yield {"line": " ".join(line), **{name: round(value * 1000) for name, value in best.items()}}


def of_history(url: str) -> int:
    """The number of an intent in the middle of what stands there."""
    database = Database(url)
    with database.reading() as connection:
        number = connection.scalar(sa.select(sa.func.count()).select_from(schema.intents))
    database.close()
    return int(number or 0) // 2


@contextmanager
def ground(url: str | None, given: argparse.Namespace) -> Iterator[str]:
    """The address of a journal: one that is there, or one of our own that is filled, and gone afterwards."""
    if url is not None:
        yield url
        return
    # Nothing is kept: it is a matter of reading, and to write a million takes as long as the disk.
    server = start_valkey({"appendonly": "no"})
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        with Relay(Settings(redis_url=url)) as relay:
            fill(
                relay,
                Fill("dead", "rare", _RARE, code="RARE"),
                Fill("dead", "dead", given.dead),
                Fill("done", "done", given.finished),
                Fill("open", "open", given.open),
            )
        yield url
    finally:
        server.stop()


def main() -> int:
    """Fill, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commands", description=__doc__.partition("\n")[0])
    parser.add_argument("--open", type=int, default=100_000, help="open intents (default 100000)")
    parser.add_argument("--finished", type=int, default=100_000, help="finished ones still kept (default 100000)")
    parser.add_argument("--dead", type=int, default=10_000, help="dead letters (default 10000)")
    parser.add_argument("--journal", metavar="URL", help="a Redis that was filled before, in place of our own")
    parser.add_argument("--history", metavar="URL", help="a database that tests.bench.history has filled and kept")
    parser.add_argument("--screens", action="store_true", help="the console's screens as well")
    parser.add_argument("--rounds", type=int, default=7, help="of each line and screen (default 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    given = parser.parse_args()
    began_s = time.monotonic()
    with ground(given.journal, given) as url, Sandbox(_LEDGER) as ledger:
        os.environ["BLNK_RELAY_REDIS_URL"] = url
        os.environ["BLNK_RELAY_BASE_URL"] = ledger.url
        os.environ["BLNK_RELAY_INSTANCE_ID"], os.environ["BLNK_RELAY_TOKEN"] = _LEDGER.instance_id, _LEDGER.token
        with redis.Redis.from_url(url) as client:
            memory = client.info("memory")["used_memory"]
        with Operator.from_env() as operator:
            seen = operator.overview()
        facts: dict[str, Any] = {
            "open": seen.open,
            "finished": seen.done,
            "dead": seen.dead,
            "ready_in_s": round(time.monotonic() - began_s, 1),
            "bytes_an_intent": round(memory / max(1, seen.open + seen.done + seen.dead)),
            "processors": os.cpu_count(),
            "load": os.getloadavg(),
        }
        lines = [*LINES]
        middle = 0
        if given.history:
            os.environ["BLNK_RELAY_HISTORY_URL"] = given.history
            middle = of_history(given.history)
            lines += [tuple(line.format(middle=middle).split()) for line in OF_HISTORY]
            facts["in_history"] = middle * 2
        print(json.dumps(facts), flush=True)
        rows = []
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for row in measured(lines, given.rounds, environment):
            rows.append(row)
            print(_TOLD.format(**row), flush=True)
        looks = []
        if given.screens:
            for look in screens.measured(Settings.from_env(), given.rounds, middle):
                looks.append(look)
                print(_SEEN.format(**look), flush=True)
        facts["load_after"] = os.getloadavg()
        print(json.dumps(facts), flush=True)
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            document = {**facts, "lines": rows, "screens": looks}
            given.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
