"""How long each command takes on a journal of some size: as a process, its start included, and without the start.

The journal is filled past the scripts (tests/support/bulk.py), in the layout that they leave. Timings are reported, and
nothing is asserted. The processor time of the process stands beside its time on the clock: on a busy machine only the
former tells anything. With --history, also what is answered by a database that ``python -m tests.bench.history --keep``
has filled.

Run: python -m tests.bench.commands [--open N] [--finished N] [--dead N] [--history URL] [--rounds N] [--json FILE]
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
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa
from click.testing import CliRunner

from blnk_relay import Relay, Settings
from blnk_relay.history import schema
from blnk_relay.history.database import Database
from tests.support.bulk import Fill, fill
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
    ("encryption", "keys"),
    ("history", "status"),
    ("find", "open-1"),
    ("find", "--amount", "10.50"),
    ("find", "--destination", "@alice"),
)

#: The same, of what stands in history as tests/bench/history.py fills it, of which one in the middle.
OF_HISTORY = (
    "find order-{middle}",
    "find --id txn_{middle:026d}",
    "find --amount 2500",
    "find --destination @wallet-50000",
    "find --meta order={middle}",
    "find --code TXN_INSUFFICIENT_FUNDS",
    "find --currency EUR",
)

#: A few letters of a code of their own, and those the oldest: the worst that a search for a code can meet.
_RARE = 3


def measured(lines: Sequence[Sequence[str]], rounds: int, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The best of some rounds for each line, in milliseconds."""
    for line in lines:
        clock, cpu, inside = [], [], []
        for _ in range(rounds):
            before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            subprocess.run(
                [sys.executable, "-m", "worker.cli", *line], env=environment, capture_output=True, check=True
            )
            clock.append(time.monotonic() - start_s)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            start_s = time.monotonic()
            CliRunner().invoke(cli, line, catch_exceptions=False)
            inside.append(time.monotonic() - start_s)
        best = {"process_ms": min(clock), "processor_ms": min(cpu), "without_start_ms": min(inside)}
        yield {"line": " ".join(line), **{name: round(value * 1000) for name, value in best.items()}}


def of_history(url: str) -> list[tuple[str, ...]]:
    """The lines about history, with the number of one in the middle of what stands there."""
    database = Database(url)
    with database.reading() as connection:
        number = connection.scalar(sa.select(sa.func.count()).select_from(schema.intents))
    database.close()
    return [tuple(line.format(middle=int(number or 0) // 2).split()) for line in OF_HISTORY]


def main() -> int:
    """Fill, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commands", description=__doc__.partition("\n")[0])
    parser.add_argument("--open", type=int, default=100_000, help="open intents (default 100000)")
    parser.add_argument("--finished", type=int, default=100_000, help="finished ones still kept (default 100000)")
    parser.add_argument("--dead", type=int, default=10_000, help="dead letters (default 10000)")
    parser.add_argument("--history", metavar="URL", help="a database that tests.bench.history has filled and kept")
    parser.add_argument("--rounds", type=int, default=5, help="of each line; the best counts (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    given = parser.parse_args()
    # Nothing is kept: it is a matter of reading, and to write a million takes as long as the disk.
    server = start_valkey({"appendonly": "no"})
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        os.environ["BLNK_RELAY_REDIS_URL"] = url
        lines = [*LINES]
        if given.history:
            os.environ["BLNK_RELAY_HISTORY_URL"] = given.history
            lines += of_history(given.history)
        began_s = time.monotonic()
        with Relay(Settings(redis_url=url)) as relay:
            fill(
                relay,
                Fill("dead", "rare", _RARE, code="RARE"),
                Fill("dead", "dead", given.dead),
                Fill("done", "done", given.finished),
                Fill("open", "open", given.open),
            )
        with redis.Redis(port=server.port) as client:
            memory = client.info("memory")["used_memory"]
        facts = {
            "open": given.open,
            "finished": given.finished,
            "dead": given.dead,
            "filled_in_s": round(time.monotonic() - began_s, 1),
            "bytes_an_intent": round(memory / (given.open + given.finished + given.dead + _RARE)),
            "load": os.getloadavg()[0],
        }
        print(json.dumps(facts), flush=True)
        rows = []
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for row in measured(lines, given.rounds, environment):
            rows.append(row)
            told = (
                "{line:45} {process_ms:6} ms, {processor_ms:6} ms of a processor, {without_start_ms:6} ms without start"
            )
            print(told.format(**row), flush=True)
        if given.json is not None:
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps({**facts, "lines": rows}, indent=1) + "\n", encoding="utf-8")
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
