"""All numbers of the settings at once at one end of what they may be: payments come to the same ends as ever."""

from __future__ import annotations

from typing import Any

import pytest

from blnk_relay import Relay, Write, commit_hold, refund
from blnk_relay.settings import bounds_of, read_from_env
from tests.support.payments import payment, poor
from worker.demo.stage import Stage

pytestmark = pytest.mark.long

#: Numbers, by their names; whole ones and others.
NUMBERS = {item.name: type(item.default) for item in read_from_env() if type(item.default) in (int, float)}

#: Ends that mean another outcome, or none while somebody waits.
MEANT = {
    "redis_timeout_s": "nothing on this machine is answered within a millisecond",
    "connect_timeout_s": "nor is a ledger",
    "read_timeout_s": "the same",
    "sync_read_timeout_s": "the same",
    "deadline_s": "everything would be too late",
    "stuck_horizon_s": "it would be held that a ledger has forgotten what it has just been given",
    "retention_s": "what is over would be gone before it could be asked for",
    "key_retention_s": "follows from that",
    "audit_window_s": "what is compared has to be there",
    "max_precise_amount": "a cent is no payment here",
    "metrics_port": "of a machine, not of payments",
}
MEANT_MOST = {
    "confirm_first_s": "nobody looks for ten years",
    "sweep_s": "a bell may be lost, and nobody would ring it again",
    "metrics_port": MEANT["metrics_port"],
}

#: What has to leave room for something else.
LEAST: dict[str, Any] = {"lease_s": 8.0, "stalled_s": 9.0, "dead_worker_s": 0.003}
MOST: dict[str, Any] = {
    "durability_timeout_s": 3_599.0,
    "slice_s": 1_000.0,
    "lease_s": 300_000_000.0,
    "retention_s": 300_000_000.0,
    "audit_window_s": 300_000_000.0,
    "read_lag_s": 200_000_000.0,
}


def at_end(number: int, but: dict[str, str], instead: dict[str, Any]) -> dict[str, Any]:
    return {name: kind(bounds_of(name)[number]) for name, kind in NUMBERS.items() if name not in but} | instead


@pytest.mark.parametrize("given", [at_end(0, MEANT, LEAST), at_end(1, MEANT_MOST, MOST)], ids=["the least", "the most"])
def test_payments_come_to_their_ends_whatever_the_numbers_are(given):
    with Stage(settings=given) as stage:
        stage.start_worker()
        with Relay(stage.settings) as relay:
            hold = payment("hold", inflight=True)
            relay.enqueue_many([payment("paid"), hold, poor("too-poor")])
            relay.enqueue(commit_hold("hold"), key="settled")
            relay.enqueue_many([Write(intent=refund("paid"), after=["paid"])])
            ends = {
                key: relay.wait(key, timeout_s=30).outcome
                for key in ("paid", "hold", "settled", "too-poor", "refund:paid")
            }
        assert ends == {
            "paid": "applied",
            "hold": "held",
            "settled": "applied",
            "too-poor": "",
            "refund:paid": "refunded",
        }
        assert stage.sandbox.books().violations() == []
