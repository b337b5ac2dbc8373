"""Workers that are started as Celery people start theirs: ``celery -A worker.main worker``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from celery.concurrency.solo import TaskPool

from blnk_relay import Relay
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.cli import exits
from worker.demo.stage import Stage, _clean_environment, as_environment


@contextmanager
def celery(stage: Stage, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A worker of Celery's own command, with the settings of the stage."""
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "worker.main", "worker", *options],
        env={**_clean_environment(), **as_environment(stage.settings), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=30)


class Foreign(TaskPool):  # type: ignore[misc]
    """A pool of somebody else's, as gevent's would be."""


@pytest.mark.parametrize("pool", ["threads", pytest.param("prefork", marks=pytest.mark.long)])
def test_it_serves_all_lanes_and_the_read_back_unless_it_is_told_which(stage, pool):
    with Relay(stage.settings) as relay, celery(stage, "--pool", pool):
        relay.enqueue(payment("by-hand."))
        assert relay.wait("by-hand.", timeout_s=40).outcome == "applied"


def test_a_pool_that_is_none_of_ours_is_refused(stage):
    with celery(
        stage, "--pool", "custom", CELERY_CUSTOM_WORKER_POOL="tests.integration.test_celery_by_hand:Foreign"
    ) as running:
        wait_until(lambda: running.poll() is not None, 20)
        assert running.stderr is not None
        assert "unknown pool" in running.stderr.read()
        assert running.returncode == exits.BAD_INPUT
