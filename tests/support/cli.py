"""Running blnk-relay in tests: in this process or as one of its own, and dead letters made without a ledger."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from blnk_relay import Relay, Write, transaction
from blnk_relay.journal.settlement import Settlement
from worker.cli.commands import cli
from worker.cli.deferred import loaded

ROOT = Path(__file__).resolve().parents[2]

#: Longest wait for another process; far above what any needs.
WAIT_S = 30.0

FUNDS = "TXN_INSUFFICIENT_FUNDS"

#: The description must not be seen anywhere unless payloads are asked for.
PAYLOAD = {"source": "@bank", "destination": "@alice", "currency": "EUR", "amount": "10.50", "description": "Sekret"}


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out + self.err
        document = json.loads(self.out)
        assert isinstance(document, dict)
        return document


def run(*arguments: str, stdin: str | bytes | None = None) -> Ran:
    """Run a command in this process."""
    result = CliRunner().invoke(cli, arguments, input=stdin, catch_exceptions=False)
    return Ran(result.exit_code, result.stdout, result.stderr)


@contextmanager
def process(*arguments: str, env_of: Mapping[str, str] = os.environ, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a command as a process of its own, which does not outlive the test."""
    environment = {**env_of, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "worker.cli", *arguments]
    with subprocess.Popen(command, env=environment, **options) as running:
        try:
            yield running
        finally:
            if running.poll() is None:  # a test has failed
                running.kill()


def line(key: str, **changes: Any) -> dict[str, Any]:
    """A good line of a file of intents."""
    return {"kind": "transaction", "key": key, "payload": dict(PAYLOAD)} | changes


def payment(**changes: Any) -> Any:
    """The intent of such a line."""
    return transaction(**(PAYLOAD | changes))


def die(relay: Relay, dead_class: str, code: str, *, lane: str = "transactions", log: str = "", **fields: str) -> None:
    """Make dead letters of whatever is due in a lane, as a worker would."""
    claims = relay.journal().claim(lane, "tester", 1000)
    fields |= {"class": dead_class, "code": code, "message": "The ledger said no."}
    relay.journal().settle(
        "tester", [Settlement(item, "sending", "dead", fields=fields, log=log) for item in claims.items], ()
    )


def letters(relay: Relay, *keys: str, dead_class: str = "rejected", code: str = FUNDS) -> None:
    """Enqueue payments and make dead letters of them."""
    relay.enqueue_many([Write(intent=payment(), key=key) for key in keys])
    die(relay, dead_class, code)


def count(relay: Relay, name: str) -> int:
    """Members of one of the journal's sorted sets."""
    return int(relay.journal().client.zcard(relay.journal().key(name)))


def commands(node: Any = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The names of all commands."""
    for name, command in ((name, loaded(command)) for name, command in node.commands.items()):
        if hasattr(command, "commands"):
            if command.invoke_without_command:
                yield (*path, name)
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


def section(name: str) -> str:
    """What docs/cli.md says about a command."""
    parts = re.split(r"^## (.+)$", (ROOT / "docs" / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found[name]


def names(document: Any) -> Iterator[str]:
    """All field names of a document, except in objects whose names are data."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield name
            if name not in ("counts", "ways", "codes", "results", "sums", "reasons"):
                yield from names(value)
    elif isinstance(document, list):
        for item in document:
            yield from names(item)
