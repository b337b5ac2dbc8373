"""The state of one imitated Core: options, clock, books and what waits in its queues.

State only; what happens to it stands in the other modules of this floor, one for each part of contract §3.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Protocol

from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.clock import Clock, Scheduled
from blnk_relay.sandbox.core.coalescing import WaitingTasks
from blnk_relay.sandbox.core.grants import OAuthGrants
from blnk_relay.sandbox.options import Options

#: Retries of a failing background task before it is rejected or archived (contract §3.1).
MAX_RETRIES = 5


class RollBack(Protocol):
    """Undoes what a batch or a split has done so far; see :mod:`blnk_relay.sandbox.core.rollback`."""

    def __call__(self, core: Core, parent_id: str, *, inflight: bool) -> str:
        """Refund or void everything under an id; returns how a client is told."""


class Core:
    """One imitated instance.

    Args:
        options: What it is like; may be replaced while it runs.
        roll_back: How it undoes an atomic batch: posting ends in it, and it ends in postings.
    """

    def __init__(self, options: Options, roll_back: RollBack) -> None:
        self.roll_back = roll_back
        self.options = options
        self.clock = Clock(manual=options.manual_clock)
        self.books = LiveBooks(max_rows=options.max_rows, now_ns=self.clock.now_ns)
        self.random = random.Random(options.seed)
        #: Tokens that Cloud's edge gave out (contract §1.3).
        self.oauth = OAuthGrants()
        #: Between the 201 and the stored row: lost when the process stops (contract §3.3).
        self.unstored: dict[int, Scheduled] = {}
        #: Other work in memory that a stop loses, and how many transactions each stands for.
        self.in_memory: dict[Scheduled, int] = {}
        #: Batches running behind a 202 (contract §2.4).
        self.async_batches = 0
        #: What waits in Core's Redis: tasks, their retries, dates of holds. Lost with it (contract §14.5).
        self.queued: set[Scheduled] = set()
        #: Tasks in Core's queue that may be applied together.
        self.waiting = WaitingTasks()
        #: Queued commits and voids by the id they were asked for; archived ones stay (contract §3.8).
        self.actions: dict[str, str] = {}
        #: Monitors of balances and hooks, by id: kept and shown, never called.
        self.monitors: dict[str, dict[str, Any]] = {}
        self.hooks: dict[str, dict[str, Any]] = {}

    def retry_delay_s(self, retried: int) -> float:
        """How long a failed background task waits before its next try (contract §3.1)."""
        jitter = self.random.randrange(30) * (retried + 1)
        return float(retried**4 + 15 + jitter) * self.options.retry_scale

    def call_in_memory(self, seconds: float, callback: Callable[[], object], *, transactions: int = 0) -> None:
        """Run a callback later, unless the process stops before.

        Args:
            seconds: On this core's clock.
            callback: What to do.
            transactions: How many are lost with it.
        """

        def run() -> None:
            self.in_memory.pop(scheduled, None)
            callback()

        scheduled = self.clock.call_in(seconds, run)
        self.in_memory[scheduled] = transactions

    def call_in_queue(self, seconds: float, callback: Callable[[], object]) -> None:
        """Run a callback later, unless Core's Redis loses it before: a stop of Core does not.

        Args:
            seconds: On this core's clock; what is past runs at the next opportunity.
            callback: What to do.
        """

        def run() -> None:
            self.queued.discard(scheduled)
            callback()

        scheduled = self.clock.call_in(seconds, run)
        self.queued.add(scheduled)

    def lose_queue(self) -> int:
        """Lose Core's Redis (contract §14.5).

        Rows left QUEUED wait for recovery; those left SCHEDULED, and holds with dates, wait for ever.

        Returns:
            How many tasks and dates were lost.
        """
        lost = len(self.queued)
        for scheduled in self.queued:
            scheduled.cancel()
        self.queued.clear()
        self.waiting = WaitingTasks()
        self.actions.clear()
        return lost

    def crash(self) -> int:
        """Stop and start the process: what was answered but not stored is gone (contract §3.3).

        Returns:
            How many transactions were lost.
        """
        lost = len(self.unstored) + sum(self.in_memory.values())
        for scheduled in (*self.unstored.values(), *self.in_memory):
            scheduled.cancel()
        self.unstored.clear()
        self.in_memory.clear()
        self.async_batches = 0
        return lost
