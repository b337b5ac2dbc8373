"""What a contestant is: how its workers are started, and how its producer is."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[3]

#: Where contestants find the servers of a run.
BROKER = "BENCH_BROKER_URL"
LEDGER = "BENCH_LEDGER_URL"


@dataclass(frozen=True, slots=True)
class Place:
    """The servers of one run."""

    broker_url: str
    ledger_url: str

    def environment(self) -> dict[str, str]:
        """That of the harness without any settings of ours, and the servers."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("BLNK_RELAY_")}
        return {**ours, BROKER: self.broker_url, LEDGER: self.ledger_url, "PYTHONPATH": str(ROOT)}


class Contestant(Protocol):
    """A way to get posts to the ledger."""

    @property
    def label(self) -> str:
        """For the table."""

    @property
    def producer(self) -> str:
        """Module with ``enqueue(number)`` and ``close()``, and ``enqueue_all(numbers)`` if it takes many at once."""

    @property
    def takes_many(self) -> bool:
        """Whether many can be enqueued in one call."""

    def environment(self, place: Place) -> Mapping[str, str]:
        """Environment of its processes."""

    def workers(self) -> list[list[str]]:
        """Commands of its workers."""

    def unsettled(self, place: Place, count: int) -> int:
        """How many of so many intents its own books still have open, once the ledger has seen them all."""


def python(*arguments: str) -> list[str]:
    """A command for the interpreter that runs the benchmark."""
    return [sys.executable, *arguments]
