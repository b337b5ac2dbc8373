"""Ours: ``relay.enqueue`` and ``blnk-relay worker``, as an application and an operator would use them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import redis

from blnk_relay import Relay, Settings, transaction
from blnk_relay.intents.intent import DEFAULT_TARGET
from tests.bench.contestants.contestant import Place, python
from tests.bench.payload import payment, reference_of
from worker.demo.stage import as_environment


@dataclass(frozen=True, slots=True)
class Ours:
    """Worker processes with the threads pool, as we recommend, and the default number of connections."""

    label: str = "blnk-relay"
    confirm: str = "accepted"
    processes: int = 2
    pool: str = "threads"
    connections: int = 16
    producer: str = "tests.bench.contestants.relay"
    takes_many: bool = True

    def settings(self, place: Place) -> Settings:
        """Those of its workers and producers; everything else is the default."""
        return Settings(
            redis_url=place.broker_url,
            base_url=place.ledger_url,
            instance_id="inst_bench",
            token="blnk_bench",  # noqa: S106 - the server of the benchmark asks nobody
            confirm=self.confirm,
            connections=self.connections,
        )

    def environment(self, place: Place) -> dict[str, str]:
        """Environment of its processes."""
        return {**place.environment(), **as_environment(self.settings(place))}

    def workers(self) -> list[list[str]]:
        """Commands of its workers."""
        return [python("-m", "worker.process", self.pool) for _ in range(self.processes)]

    def unsettled(self, place: Place, count: int) -> int:
        """Intents that the journal does not count as done."""
        settings = self.settings(place)
        with redis.Redis.from_url(settings.redis_url, socket_timeout=settings.redis_timeout_s) as client:
            done: int = client.zcard(f"{settings.prefix(DEFAULT_TARGET)}done")
        return count - done


@cache
def _relay() -> Relay:
    return Relay.from_env()


def enqueue(number: int) -> None:
    """Build, validate and enqueue one payment."""
    _relay().enqueue(transaction(reference=reference_of(number), **payment(number)))


def enqueue_all(numbers: Iterable[int]) -> None:
    """The same for many in one call."""
    _relay().enqueue_many(transaction(reference=reference_of(number), **payment(number)) for number in numbers)


def close() -> None:
    """Give the connections back."""
    _relay().close()
