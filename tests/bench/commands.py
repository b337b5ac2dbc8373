"""How long each command takes on a journal of some size: as a process, its start included, and without the start.

The journal is filled by the real scripts (accept, claim, settle), so its layout is what it is; that takes some minutes
for a hundred thousand intents. Timings are reported, and nothing is asserted. The processor time of the process stands
beside its time on the clock: on a busy machine only the former tells anything.

Run: python -m tests.bench.commands [--open N] [--finished N] [--dead N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
from click.testing import CliRunner

from blnk_relay import Relay, Settings, Write, transaction
from blnk_relay.journal.entries import Settlement
from worker.cli.commands import cli
from worker.demo.valkey import start_valkey

#: Command lines that look: what is asked of a journal at three in the morning.
LINES = (
    ("--help",),
    ("completion", "bash"),
    ("kinds",),
    ("status",),
    ("lanes",),
    ("target", "list"),
    ("show", "open-1"),
    ("dead", "show", "dead-1"),
    ("list",),
    ("list", "--state", "done"),
    ("list", "--state", "ready", "--kind", "refund"),
    ("dead", "list"),
    ("dead", "list", "--code", "RARE"),
    ("dead", "replay", "--key", "dead-1", "--plan"),
)

_CHUNK = 1_000


def fill(relay: Relay, name: str, number: int) -> None:
    """Enqueue so many, and bring them to where they belong: ``open`` ones stay, others are settled."""
    journal = relay.journal()
    for at in range(0, number, _CHUNK):
        keys = [f"{name}-{one}" for one in range(at + 1, min(number, at + _CHUNK) + 1)]
        relay.enqueue_many([Write(intent=_payment(key), key=key) for key in keys])
        if name == "open":
            continue
        left = len(keys)
        while left:
            claimed = journal.claim("transactions", "bench", 500).items
            left -= len(claimed)
            journal.settle("bench", [_settlement(item, name, rare=at == 0) for item in claimed], ())


def _payment(key: str) -> Any:
    return transaction(
        source="@bank", destination="@alice", currency="EUR", amount="10.50", description=f"Top-up {key}"
    )


def _settlement(item: Any, name: str, *, rare: bool) -> Settlement:
    if name == "dead":
        # A few of a code of their own, and those the oldest: the worst that a search for a code can meet.
        code = "RARE" if rare and item.entry.key.endswith("-7") else "TXN_INSUFFICIENT_FUNDS"
        fields = {"class": "rejected", "code": code, "message": "The ledger said no."}
        return Settlement(item, "sending", "dead", fields=fields)
    return Settlement(item, "sending", "done", fields={"outcome": "applied", "txn": f"txn_{item.entry.id}"})


def measured(rounds: int, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The best of some rounds for each line, in milliseconds."""
    for line in LINES:
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


def main() -> int:
    """Fill, measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commands", description=__doc__.partition("\n")[0])
    parser.add_argument("--open", type=int, default=100_000, help="open intents (default 100000)")
    parser.add_argument("--finished", type=int, default=100_000, help="finished ones still kept (default 100000)")
    parser.add_argument("--dead", type=int, default=10_000, help="dead letters (default 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each line; the best counts (default 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    given = parser.parse_args()
    server = start_valkey()
    try:
        url = f"redis://127.0.0.1:{server.port}/0"
        os.environ["BLNK_RELAY_REDIS_URL"] = url
        began_s = time.monotonic()
        with Relay(Settings(redis_url=url)) as relay:
            for name, number in (("dead", given.dead), ("done", given.finished), ("open", given.open)):
                fill(relay, name, number)
        with redis.Redis(port=server.port) as client:
            memory = client.info("memory")["used_memory"]
        facts = {
            "open": given.open,
            "finished": given.finished,
            "dead": given.dead,
            "filled_in_s": round(time.monotonic() - began_s, 1),
            "bytes_an_intent": round(memory / max(1, given.open + given.finished + given.dead)),
            "load": os.getloadavg()[0],
        }
        print(json.dumps(facts), flush=True)
        rows = []
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        for row in measured(given.rounds, environment):
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
