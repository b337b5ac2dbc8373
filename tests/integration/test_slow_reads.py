"""A ledger that answers reads late: nothing that is well is buried, stalled or blamed for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from blnk_relay import Receipt, Relay, Write, create_identity, refund, tokenize_identity
from blnk_relay.sandbox import Faults
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from tests.support.counting import assert_exactly_once, states, wait_for_all
from tests.support.payments import payment
from tests.support.waiting import wait_until
from worker.demo.stage import Stage

#: A lease ends several times while a batch is read.
PACE: dict[str, Any] = {
    "connect_timeout_s": 0.5,
    "read_timeout_s": 4.0,
    "sync_read_timeout_s": 1.0,
    "lease_s": 7.0,
    "dead_worker_s": 2.0,
    "sweep_s": 0.5,
    "confirm_max_s": 0.5,
    "read_lag_s": 1.0,
    "quiet_s": 0.5,
    "horizon_s": 6.0,
    "max_lapses": 3,
}
WAIT_S = 90.0


class SlowReads(Faults):
    """Every read is answered late, those of a resource or all.

    Args:
        seconds: How late.
        path: What stands in the paths that it is about.
    """

    def __init__(self, seconds: float, path: str = "") -> None:
        self._fault = Fault.of("delay_after", seconds)
        self._path = path

    def decide(self, subject: Subject) -> Fault | None:
        """The same for each."""
        return self._fault if subject.read and self._path in subject.path else None


class Failing(Faults):
    """Reads of one resource fail.

    Args:
        fault: How.
        path: What stands in their paths.
    """

    def __init__(self, fault: str, path: str) -> None:
        self._fault = Fault.of(fault)
        self._path = path

    def decide(self, subject: Subject) -> Fault | None:
        """The same for each."""
        return self._fault if subject.read and self._path in subject.path else None


def ends(relay: Relay, receipts: Sequence[Receipt]) -> Counter[str]:
    """How often each end was come to."""
    return Counter(
        status.outcome or f"{status.dead_class} {status.code}"
        for status in (relay.get(receipt.id) for receipt in receipts)
    )


def counted(relay: Relay, name: str) -> int:
    """A counter of the journal."""
    value: Any = relay.journal().client.hget(relay.journal().key("counts"), name)
    return int(value or 0)


@pytest.mark.parametrize(
    ("route", "seconds", "number"),
    [
        ("core", 0.05, 150),
        ("filters", 0.05, 300),
        pytest.param("filters", 3.0, 300, marks=pytest.mark.long),
    ],
)
def test_healthy_workers_bury_nothing_that_is_slow_to_read(make_stage, route, seconds, number) -> None:
    stage: Stage = make_stage(settings={**PACE, "confirm_route": route}, faults=SlowReads(seconds))
    with Relay(stage.settings) as relay:
        receipts = relay.enqueue_many([Write(intent=payment(f"slow-{at}")) for at in range(number)])
        for _ in range(2):
            stage.start_worker()
        wait_for_all(relay, receipts, WAIT_S)
        assert ends(relay, receipts) == {"applied": number}
        assert_exactly_once(relay, receipts, stage.sandbox)


def test_what_has_to_be_read_before_it_is_sent_is_sent_however_slow_the_reads_are(make_stage) -> None:
    """Each of these asks a question of its own, and all of them together for longer than a lease."""
    stage: Stage = make_stage(settings=PACE)
    with Relay(stage.settings) as relay:
        stage.start_worker()
        people = [
            Write(intent=create_identity(first_name=f"P{at}", email_address=f"p{at}@example.org"), key=f"person-{at}")
            for at in range(96)
        ]
        receipts = relay.enqueue_many(people)
        wait_for_all(relay, receipts, 30)
        stage.sandbox.set_faults(SlowReads(0.4))
        ids = [relay.get(receipt.id).transaction_id for receipt in receipts]
        tokens = relay.enqueue_many(
            [Write(intent=tokenize_identity(id_, ["email_address"]), key=f"token-{at}") for at, id_ in enumerate(ids)]
        )
        wait_for_all(relay, tokens, WAIT_S)
        assert set(states(relay, tokens)) == {"done"}
        assert counted(relay, "given_back") == 0


def test_refunds_go_out_though_each_is_read_for_again_and_again(make_stage) -> None:
    stage: Stage = make_stage(settings={**PACE, "confirm_route": "core"})
    with Relay(stage.settings) as relay:
        stage.start_worker()
        paid = relay.enqueue_many([Write(intent=payment(f"paid-{at}")) for at in range(60)])
        wait_for_all(relay, paid, 30)
        stage.sandbox.set_faults(SlowReads(0.15))
        refunds = relay.enqueue_many([Write(intent=refund(f"paid-{at}")) for at in range(60)])
        wait_for_all(relay, refunds, WAIT_S)
        assert ends(relay, refunds) == {"refunded": 60}
        assert counted(relay, "given_back") == 0
        assert_exactly_once(relay, [*paid, *refunds], stage.sandbox)


def test_what_is_read_for_until_its_deadline_has_passed_is_not_sent(make_stage) -> None:
    """It was in time as it was claimed, and no longer when all was read that it needs."""
    stage: Stage = make_stage(settings={**PACE, "confirm_route": "core"})
    with Relay(stage.settings) as relay:
        stage.start_worker()
        paid = relay.enqueue_many([Write(intent=payment(f"paid-{at}")) for at in range(2)])
        wait_for_all(relay, paid, 30)
        stage.sandbox.set_faults(SlowReads(0.6))
        receipts = relay.enqueue_many(
            [
                Write(intent=refund("paid-0"), deadline=timedelta(seconds=1)),
                Write(intent=refund("paid-1"), deadline=timedelta(seconds=60)),
            ]
        )
        wait_for_all(relay, receipts, 30)
        assert ends(relay, receipts) == {"refused EXPIRED": 1, "refunded": 1}
        assert_exactly_once(relay, [*paid, receipts[1]], stage.sandbox)


@pytest.mark.parametrize("fault", ["500_no_effect", "403"])
def test_a_read_that_fails_blocks_only_what_needs_it(make_stage, fault) -> None:
    """Tokens are read by a route of their own; payments and refunds have nothing to do with it."""
    stage: Stage = make_stage(settings=PACE)
    with Relay(stage.settings) as relay:
        stage.start_worker()
        person = Write(intent=create_identity(first_name="P", email_address="p@example.org"), key="person")
        first = relay.enqueue_many([person, Write(intent=payment("paid"))])
        wait_for_all(relay, first, 30)
        id_ = relay.get("person").transaction_id
        stage.sandbox.set_faults(Failing(fault, "/tokenized-fields"))
        (token,) = relay.enqueue_many([Write(intent=tokenize_identity(id_, ["email_address"]), key="token")])
        others = relay.enqueue_many(
            [*(Write(intent=payment(f"other-{at}")) for at in range(20)), Write(intent=refund("paid"))]
        )
        wait_for_all(relay, others, 30)
        assert set(states(relay, others)) == {"done"}
        wait_until(lambda: states(relay, [token]) == ["ready"], 30, "it to be given back between two tries")
        lines = [attempt for attempt in relay.history("token") if "tokenized-fields could not be read" in attempt.note]
        assert lines
        assert lines[-1].status == int(fault[:3])
        gates = relay.journal().client.keys(relay.journal().key("gate:*"))
        assert gates == [], "reads of the whole target go on"
        stage.sandbox.set_faults(Faults.none())
        wait_for_all(relay, [token], 30)
        assert states(relay, [token]) == ["done"]
