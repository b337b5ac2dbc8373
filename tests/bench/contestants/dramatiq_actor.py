"""A second peer, for information: one Dramatiq message per post, with its default middleware and threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dramatiq
import requests
from dramatiq.brokers.redis import RedisBroker

from tests.bench.contestants.contestant import BROKER, LEDGER, Place, python
from tests.bench.payload import payment, reference_of

broker = RedisBroker(url=os.environ.get(BROKER, "redis://127.0.0.1:0/0"))  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)

# A session must not be shared between threads.
_own = threading.local()


def _session() -> requests.Session:
    if not hasattr(_own, "session"):
        _own.session = requests.Session()
        _own.session.headers["Authorization"] = "Bearer blnk_bench"
        _own.session.params = {"instance_id": "inst_bench"}
    session: requests.Session = _own.session
    return session


@dramatiq.actor
def post(body: dict[str, Any]) -> None:
    """Post one payment."""
    answer = _session().post(f"{os.environ[LEDGER]}/proxy/transactions", json=body, timeout=(5, 10))
    answer.raise_for_status()


@dataclass(frozen=True, slots=True)
class DramatiqActor:
    """Dramatiq's own worker: processes, each with its default of eight threads."""

    label: str = "Dramatiq actor per post"
    processes: int = 2
    threads: int = 8
    producer: str = "tests.bench.contestants.dramatiq_actor"
    takes_many: bool = False

    def environment(self, place: Place) -> Mapping[str, str]:
        """Environment of its processes."""
        return place.environment()

    def workers(self) -> list[list[str]]:
        """Commands of its workers."""
        options = ("--processes", str(self.processes), "--threads", str(self.threads))
        return [python("-m", "dramatiq", self.producer, *options)]

    def unsettled(self, place: Place, count: int) -> int:  # noqa: ARG002
        """It keeps no books."""
        return 0


def enqueue(number: int) -> None:
    """Send one message."""
    post.send({"reference": reference_of(number), **payment(number)})


def close() -> None:
    """Give the connections back."""
    broker.close()
