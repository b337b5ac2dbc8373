"""Bells: what is read of one, which broker they go to, and what they may hold up."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from blnk_relay import AsyncRelay, Settings
from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK, Bells
from tests.support.messages import message
from worker.app import make_app
from worker.broker import bell, rung_for


@pytest.mark.parametrize(
    "more",
    [
        {"args": ("eu", "transactions", {"shape": 2}, 7)},
        {"args": ("eu", "transactions"), "kwargs": {"since": 1}},
        {"args": ("eu", "transactions"), "version": 3, "x-relay": {"new": True}},
        {"args": ("eu", "transactions"), "embed": {"callbacks": [{"task": "other"}], "chain": [{}]}},
        {"args": ("eu",)},
    ],
    ids=["arguments", "keywords", "headers", "followers", "no lane"],
)
@pytest.mark.parametrize("task", [DELIVER_TASK, CONFIRM_TASK])
def test_a_bell_of_another_version_rings_for_its_target(more: dict[str, Any], task: str) -> None:
    item = message(more.pop("kwargs", None), task=task, **more)
    assert rung_for(item) == "eu"


def test_what_a_worker_is_handed_says_target_and_lane_of_the_queue_and_no_more() -> None:
    made = bell("relay.refunds", "refunds", "eu")
    assert json.loads(made["body"]) == [["eu", "refunds"], {}, {}]


@pytest.mark.parametrize(
    "item",
    [
        message(task="tasks.deliver_all", args=("eu", "transactions")),
        message(task=DELIVER_TASK, args=({"target": "eu"}, "transactions")),
        message(task=DELIVER_TASK, args=("eu", 7)),
        b"{}",
        b"\xff",
    ],
    ids=["another task", "a target that is no name", "a lane that is no name", "nothing", "no text"],
)
def test_what_cannot_be_told_for_a_bell_is_none(item: bytes) -> None:
    assert rung_for(item) is None


SETTINGS = Settings(
    redis_url="redis://ours.example.com:1/0",
    base_url="https://x.example.com",
    instance_id="i",
    token="t",  # noqa: S106
)


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_bells_and_workers_have_the_broker_of_the_settings_whatever_another_application_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images and shared environments set it for an application beside us, and Celery goes by it first."""
    monkeypatch.setenv(name, "redis://theirs.example.com:2/0")
    for app in (Bells(SETTINGS)._celery(), make_app(SETTINGS)):
        for connect in (app.connection_for_read, app.connection_for_write):
            with connect() as connection:
                assert connection.hostname == "ours.example.com"
        with app.connection_for_write("redis://asked.example.com:3/0") as connection:
            assert connection.hostname == "asked.example.com"


def test_neither_results_nor_a_loader_of_another_application_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "django-db")
    monkeypatch.setenv("CELERY_LOADER", "theirs.loaders:Loader")
    for app in (Bells(SETTINGS)._celery(), make_app(SETTINGS)):
        assert app.backend.as_uri() == "disabled://"
        assert type(app.loader).__name__ == "AppLoader"


def test_a_receipt_waits_neither_for_threads_that_the_application_has_filled_nor_for_the_broker_without_end() -> None:
    over = threading.Event()

    class Stuck(Bells):
        """A broker that takes no bell until all is over."""

        def _publish(self, *_: str) -> None:
            over.wait(20)

    async def ring_twice() -> bool:
        relay = AsyncRelay(replace(SETTINGS, redis_timeout_s=0.2, durability_timeout_s=0.1))
        relay.bells = Stuck(relay.settings)
        for _ in range(64):
            asyncio.get_running_loop().run_in_executor(None, over.wait, 20)
        try:
            await relay._ring("default", ["transactions"])
            return over.is_set()
        finally:
            over.set()
            await relay.close()
            await relay.close()
            await relay._ring("default", ["transactions"])
            await relay.close()

    assert not asyncio.run(ring_twice()), "it came back while the broker had still to answer"


@pytest.mark.parametrize("limit", [True, False])
def test_the_time_limit_of_a_task_that_enqueues_is_not_taken_for_trouble_of_the_broker(limit: bool) -> None:
    error = SoftTimeLimitExceeded() if limit else OSError("no broker")

    class Struck(Bells):
        def _publish(self, *_: str) -> None:
            raise error

        def _celery(self) -> Any:
            raise error

    bells = Struck(SETTINGS)
    if limit:
        with pytest.raises(SoftTimeLimitExceeded):
            bells.ring("default", ["transactions"])
        with pytest.raises(SoftTimeLimitExceeded):
            bells.call("theirs", "queue", {}, task_id="1")
    else:
        bells.ring("default", ["transactions"])
        assert not bells.call("theirs", "queue", {}, task_id="1")
