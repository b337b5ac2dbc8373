"""Trouble that lasts is told now and then, and not each time."""

from __future__ import annotations

import logging

import worker.complaints
from worker.complaints import Complaints


def test_the_same_is_told_once_a_minute_with_how_often_it_came(caplog, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(worker.complaints.time, "monotonic", lambda: now_s[0])
    complaints = Complaints(logging.getLogger("trouble"))
    for _ in range(5):
        complaints.say("the journal is away")
    complaints.say("something else")
    now_s[0] += 61
    complaints.say("the journal is away")
    complaints.say("the journal is away")
    assert caplog.messages == [
        "the journal is away",
        "something else",
        "the journal is away; 4 times more since it was last said",
    ]


def test_what_is_remembered_has_a_bound(caplog):
    complaints = Complaints(logging.getLogger("trouble"))
    for number in range(1_000):
        complaints.say(f"trouble {number}")
    assert len(complaints._told) <= 50
    assert len(caplog.messages) == 1_000
