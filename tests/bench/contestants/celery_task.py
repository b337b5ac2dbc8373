"""The peer: one Celery task per post, as users write it.

A kept-alive session per process, JSON, late acknowledgement so that a killed worker repeats its task, prefetch of one
so that it holds no others, results ignored. Nothing is slowed down on purpose, nothing tuned that users leave alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from celery import Celery

from tests.bench.contestants.contestant import BROKER, LEDGER, Place, python
from tests.bench.payload import payment, reference_of

app = Celery("bench", broker=os.environ.get(BROKER, ""))
app.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
)

# Connections are opened at the first request, which is after the fork, so each process has its own.
session = requests.Session()
session.headers["Authorization"] = "Bearer blnk_bench"
session.params = {"instance_id": "inst_bench"}


@app.task
def post(body: dict[str, Any]) -> None:
    """Post one payment."""
    answer = session.post(f"{os.environ[LEDGER]}/proxy/transactions", json=body, timeout=(5, 10))
    answer.raise_for_status()


@dataclass(frozen=True, slots=True)
class CeleryTask:
    """Celery's own worker with its default pool."""

    label: str = "Celery task per post"
    processes: int = 2
    producer: str = "tests.bench.contestants.celery_task"
    takes_many: bool = False

    def environment(self, place: Place) -> Mapping[str, str]:
        """Environment of its processes."""
        return place.environment()

    def workers(self) -> list[list[str]]:
        """Commands of its workers."""
        options = ("--pool=prefork", f"--concurrency={self.processes}", "--loglevel=WARNING")
        return [python("-m", "celery", "--app", self.producer, "--quiet", "worker", *options)]

    def unsettled(self, place: Place, count: int) -> int:  # noqa: ARG002
        """It keeps no books."""
        return 0


def enqueue(number: int) -> None:
    """Send one task."""
    post.delay({"reference": reference_of(number), **payment(number)})


def close() -> None:
    """Give the connections back."""
    app.close()
