"""What SQLite is asked for: statements, rows that it hands out, and steps that it takes for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass
class Asked:
    """All that was asked for since it was last cleared, by whatever thread.

    Attributes:
        statements: How many.
        rows: That were handed out.
        steps: Of its machine: each row that is looked at costs some, whether it is handed out or not.
    """

    statements: int = 0
    rows: int = 0
    steps: int = 0

    def clear(self) -> None:
        """Begin anew."""
        self.statements = self.rows = self.steps = 0


@contextmanager
def counted() -> Iterator[Asked]:
    """Counts what connections are asked for that are opened within the block."""
    asked, lock = Asked(), threading.Lock()

    def add(name: str) -> None:
        with lock:
            setattr(asked, name, getattr(asked, name) + 1)

    def row_of(_: Any, row: Any) -> Any:
        add("rows")
        return row

    def opened(connection: Any, _: Any) -> None:
        connection.row_factory = row_of
        connection.set_trace_callback(lambda _: add("statements"))
        connection.set_progress_handler(lambda: add("steps"), 1)

    sa.event.listen(sa.pool.Pool, "connect", opened)
    try:
        yield asked
    finally:
        sa.event.remove(sa.pool.Pool, "connect", opened)
