"""Lanes: what goes first where one worker serves several."""

from __future__ import annotations

from blnk_relay import Relay, Write
from tasks.deliver import MOST_IN_HAND
from tests.support.counting import wait_for_all
from tests.support.payments import payment
from tests.support.stages import slow
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

BACKLOG = 60
URGENT = 5
CONNECTIONS = 4


def test_a_priority_lane_overtakes_the_backlog_of_another_on_the_way_to_the_connections():
    settings = {
        "lanes": ("urgent", "transactions"),
        "routes": ("transaction=transactions",),
        "priority_lanes": ("urgent",),
        "connections": CONNECTIONS,
        "confirm": "accepted",
    }
    with Stage(settings=settings, faults=slow(0.1)) as stage, Relay(stage.settings) as relay:
        stage.start_worker()
        backlog = relay.enqueue_many([Write(intent=payment(f"plain-{number}")) for number in range(BACKLOG)])
        # All connections are at work, and more is in the worker's hands than they can take.
        wait_until(lambda: len(posted(stage)) > CONNECTIONS, 20, "the first of the backlog to arrive")
        before = len(posted(stage))
        urgent = relay.enqueue_many(
            [Write(intent=payment(f"urgent-{number}"), lane="urgent") for number in range(URGENT)]
        )
        wait_for_all(relay, [*backlog, *urgent], 60)
        arrived = posted(stage)
    places = [place for place, reference in enumerate(arrived) if reference.startswith("urgent-")]
    assert len(arrived) == BACKLOG + URGENT
    assert len(places) == URGENT
    # Without priority they would come behind all that the worker had in hand, four times as far back.
    in_hand = CONNECTIONS * MOST_IN_HAND
    assert min(places) - before < in_hand // 2, f"urgent ones came at {places}, when {before} of the backlog had"
    assert max(places) - min(places) < URGENT + CONNECTIONS, "little comes between two of them"


def posted(stage: Stage) -> list[str]:
    """References of the writes that came to the ledger, in order of arrival."""
    seen = stage.sandbox.requests_seen()
    return [request.identity for request in seen if request.method == "POST" and request.path.startswith("/proxy/")]
