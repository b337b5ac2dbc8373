"""What is read of a bell: its target and its lane, and nothing that another version may say besides."""

from __future__ import annotations

import json
from typing import Any

import pytest

from blnk_relay.bell import CONFIRM_TASK, DELIVER_TASK
from tests.support.messages import message
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
