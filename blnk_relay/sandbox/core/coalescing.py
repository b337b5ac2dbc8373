"""The tasks of Core's queue that may be applied together."""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import Protocol

from blnk_relay.sandbox.books.rows import Txn

#: Tasks that one batch takes along.
_BATCH = 100


class WaitingTask(Protocol):
    """A task as others find it, to take it along."""

    txn: Txn
    scopes: tuple[tuple[str, ...], ...]

    def finish(self) -> None:
        """Never try again."""


class WaitingTasks:
    """The tasks that may be applied together with others: by pair, source and destination."""

    def __init__(self) -> None:
        self._by_scope: defaultdict[tuple[str, ...], dict[WaitingTask, None]] = defaultdict(dict)

    def add(self, task: WaitingTask) -> None:
        """Let a task be found by others."""
        for scope in task.scopes:
            self._by_scope[scope][task] = None

    def remove(self, task: WaitingTask) -> None:
        """Let it be found no more; harmless when it was not."""
        for scope in task.scopes:
            tasks = self._by_scope.get(scope)
            if tasks is not None:
                tasks.pop(task, None)
                if not tasks:
                    del self._by_scope[scope]

    def with_same_balances(self, task: WaitingTask) -> list[WaitingTask]:
        """Tasks on the same pair, else the same source, else the same destination; oldest first."""
        for scope in task.scopes:
            # Bounded before it is copied: thousands may wait on a busy balance.
            others = list(islice((other for other in self._by_scope.get(scope, ()) if other is not task), _BATCH))
            if others:
                return others
        return []
