"""Processes that copy a journal into history and do nothing else, to be killed at any point."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import sqlalchemy as sa

from blnk_relay import Relay, Settings
from blnk_relay.journal.journal import Journal
from worker.copier import copy_until


def tell_steps(journal: Journal, engine: Any, passed: Callable[[str], object]) -> None:
    """Be told before and after each thing that a copier says to Redis or to the database.

    Args:
        journal: What it copies.
        engine: An engine, or the class of all.
        passed: Is told which.
    """
    carry = journal._carry

    def carried(trip: Any) -> Any:
        name = getattr(trip, "name", "read")
        passed(f"before {name}")
        answer = carry(trip)
        passed(f"after {name}")
        return answer

    journal._carry = carried  # type: ignore[method-assign]
    sa.event.listen(engine, "before_cursor_execute", lambda *_: passed("before a statement"))
    sa.event.listen(engine, "after_cursor_execute", lambda *_: passed("after a statement"))
    sa.event.listen(engine, "commit", lambda *_: passed("before the commit"))


def copy(settings: Settings, last: int | None) -> None:
    """Copy until killed, as the thread of a worker does.

    Args:
        settings: Of the journal and of the database.
        last: At which step it dies; None for none.
    """
    with Relay(settings) as relay:
        if last is not None:
            steps = itertools.count()

            def die(_: str) -> None:
                if next(steps) == last:
                    os.kill(os.getpid(), signal.SIGKILL)

            tell_steps(relay.journal(), sa.Engine, die)
        copy_until(threading.Event(), relay)


@contextmanager
def copiers(settings: Settings) -> Iterator[Callable[[int | None], BaseProcess]]:
    """Starts processes that copy, each a fork of one that has all modules and no connection; none outlives the block.

    Args:
        settings: Of the journal and of the database.
    """
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([__name__, "sqlalchemy.dialects.sqlite", "psycopg"])
    started: list[BaseProcess] = []

    def another(last: int | None) -> BaseProcess:
        process = forking.Process(target=copy, args=(settings, last))
        process.start()
        started.append(process)
        return process

    try:
        yield another
    finally:
        for process in started:
            process.kill()
            process.join()
