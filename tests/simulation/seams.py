"""Where the simulator takes the place of something: every name that is replaced, in one list."""

from __future__ import annotations

import importlib
import logging
import random as _random
import uuid as _uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from blnk_relay.journal.carrying import carry
from tests.simulation import clockwork

#: What the code under test draws: jitter, names.
random = _random.Random()

#: Loggers of the project; what they call an error is one.
_LOGGERS = ("tasks", "blnk_relay", "worker")


def _uuid4() -> _uuid.UUID:
    return _uuid.UUID(int=random.getrandbits(128), version=4)


def _seams() -> list[tuple[str, str, Any]]:
    from tests.simulation.ledger_side import SimWire
    from tests.simulation.parties import SimBells, SimLine

    return [
        ("blnk_relay.journal.clock", "time", clockwork.Time),
        ("tasks.deliver", "time", clockwork.Time),
        ("tasks.leases", "time", clockwork.Time),
        ("tasks.runtime", "time", clockwork.Time),
        ("tasks.loops", "monotonic", clockwork.Time.monotonic),
        ("worker.sweeper", "time", clockwork.Time),
        ("tasks.deliver", "Queue", clockwork.Queue),
        ("tasks.posters", "Queue", clockwork.Queue),
        ("tasks.posters", "threading", clockwork.Threading),
        ("tasks.leases", "threading", clockwork.Threading),
        ("tasks.loops", "threading", clockwork.Threading),
        ("tasks.runtime", "threading", clockwork.Threading),
        ("blnk_relay.journal.journals", "Line", SimLine),
        ("blnk_relay.relay", "Bells", SimBells),
        ("worker.ledger.proxy", "Wire", SimWire),
        ("worker.carriers", "time", clockwork.Time),
        ("worker.carriers", "threading", clockwork.Threading),
        # What there are of letters in a run would be one page, and a job is to be met amid its letters.
        ("worker.carriers", "carry", lambda journal, worker, **rest: carry(journal, worker, 1, **rest)),
        ("blnk_relay.journal.hands.many", "new_id", lambda: f"{random.getrandbits(40):010x}"),
        ("blnk_relay.journal.claimed", "random", random),
        ("blnk_relay.sandbox.ids", "uuid", SimpleNamespace(uuid4=_uuid4)),
        # Each look of an idle loop costs a trip. So what befalls a loop that lingers is rarely played here.
        ("tasks.deliver", "LINGER_S", 0.003),
        ("tasks.deliver", "_SLOW_WAIT_S", 2.0),
    ]


#: What is logged as an error and is none of ours: a server or a ledger that has to be seen to.
_FOR_OPERATORS = ("writes that the ledger could not tell from a repeat are not sent", "of this journal is the ledger")


class _Complaints(logging.Handler):
    """Ends the run in which something is logged as an error: whoever logged it goes on and tries again."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            told += f" ({type(record.exc_info[1]).__name__}: {record.exc_info[1]})"
        # What is unwound after its run may say what it likes.
        if not clockwork.hub().over and not any(known in told for known in _FOR_OPERATORS):
            raise clockwork.Broken(f"{record.name}: {told}")


_complaints = _Complaints()


@contextmanager
def replaced() -> Iterator[None]:
    """Everything in its place, and at the end everything as it was."""
    before: list[tuple[Any, str, Any]] = []
    deliver = importlib.import_module("tasks.deliver").Delivery
    sent = deliver._sent

    def named(self: Any, claimed: Any, *rest: Any) -> Any:
        actor = clockwork.current()
        actor.about = claimed.entry.id
        try:
            return sent(self, claimed, *rest)
        finally:
            actor.about = None

    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger(name).addHandler(_complaints)
        logging.getLogger(name).propagate = False
    try:
        for module_name, name, instead in _seams():
            module = importlib.import_module(module_name)
            before.append((module, name, getattr(module, name)))
            setattr(module, name, instead)
        deliver._sent = named
        yield
    finally:
        deliver._sent = sent
        for module, name, was in reversed(before):
            setattr(module, name, was)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
            logging.getLogger(name).removeHandler(_complaints)
            logging.getLogger(name).propagate = True
