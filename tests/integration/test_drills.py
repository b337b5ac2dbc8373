"""A drill finds what is wrong: books and a journal that were tampered with are told apart from those that hold."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.request import Request, urlopen

import pytest

from blnk_relay import Write
from tests.drills import scene as scenes
from tests.drills.report import Terms
from tests.drills.scene import Scene
from tests.support.payments import payment, poor
from tests.support.waiting import wait_until

#: What somebody pays behind the relay's back.
FOREIGN = {
    "source": "@world",
    "destination": "@shop",
    "currency": "EUR",
    "precise_amount": 100,
    "precision": 100,
    "description": "By hand",
    "allow_overdraft": True,
    "reference": "",
}


def post(scene: Scene, reference: str) -> None:
    """A payment past the relay."""
    options = scene.stage.sandbox.options
    request = Request(  # noqa: S310 - the sandbox of the scene
        f"{scene.stage.sandbox.url}/proxy/transactions?instance_id={options.instance_id}",
        json.dumps({**FOREIGN, "reference": reference}).encode(),
        {"Authorization": f"Bearer {options.token}", "Content-Type": "application/json"},
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 201


def told(scene: Scene, *writes: Write) -> list[str]:
    """Have writes judged with the story; returns their ids."""
    receipts = scene.relay.enqueue_many(list(writes))
    scene.teller.receipts.update((receipt.key, receipt) for receipt in receipts)
    return [receipt.id for receipt in receipts]


def falsify(scene: Scene, id_: str, **fields: Any) -> None:
    journal = scene.relay.journal()
    journal.client.hset(journal.key(f"intent:{id_}"), mapping=fields)


@pytest.mark.long
def test_a_drill_tells_what_is_lost_doubled_stuck_and_untrue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "LIMIT_S", 12.0)
    with Scene("tampered", Terms(seed=3), intents=20, workers=1) as scene:
        for _ in scene.blows(1):
            scene.struck("blow")
        scene.calm()
        refused, lost, stuck = told(
            scene,
            Write(intent=poor("poor-one.")),
            Write(intent=payment("never-sent."), not_before=timedelta(hours=1)),
            Write(intent=payment("never-due."), not_before=timedelta(hours=1)),
        )
        wait_until(lambda: scene.relay.get(refused).state == "dead", 20, "the letter")
        falsify(scene, refused, **{"class": "unknown", "code": "LAPSED_TOO_OFTEN"})
        falsify(scene, lost, state="done", outcome="applied", txn="txn_of_nobody")
        post(scene, "by-hand")
        report = scene.report({"blow": 1, "never": 1})
    assert not report.sound
    assert (report.lost, report.doubled, report.stuck, report.untrue) == (1, 1, 1, 1)
    for beginning, names in {
        "idle: never": "1 times",
        "lost: ": "never-sent.",
        "doubled: ": "by-hand",
        "stuck: ": "never-due.",
        "untrue: ": "poor-one.",
    }.items():
        (sentence,) = [one for one in report.sentences if one.startswith(beginning)]
        assert names in sentence
    assert report.settled == report.accepted - 1
    assert stuck
