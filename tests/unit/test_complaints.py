"""Trouble that lasts is told now and then, and not each time."""

from __future__ import annotations

import logging

import worker.complaints
from blnk_relay.log import AT_RISK, BROKER_AWAY, SWEEP_FAILED
from worker.complaints import Complaints


def test_the_same_is_told_once_a_minute_with_how_often_it_came(caplog, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(worker.complaints.time, "monotonic", lambda: now_s[0])
    complaints = Complaints(logging.getLogger("trouble"))
    for _ in range(5):
        complaints.say(SWEEP_FAILED, why="sweep", error="JournalUnavailable")
    complaints.say(BROKER_AWAY, error="ConnectionError")
    now_s[0] += 61
    complaints.say(SWEEP_FAILED, why="sweep", error="JournalUnavailable")
    complaints.say(SWEEP_FAILED, why="sweep", error="JournalUnavailable")
    assert caplog.messages == [
        "sweep (JournalUnavailable)",
        "the broker cannot be listened to (ConnectionError)",
        "sweep (JournalUnavailable); 4 times more since it was last said",
    ]


def test_what_is_remembered_has_a_bound(caplog):
    complaints = Complaints(logging.getLogger("trouble"))
    for number in range(1_000):
        complaints.say(AT_RISK, why=f"trouble {number}")
    assert len(complaints._told) <= 50
    assert len(caplog.messages) == 1_000
