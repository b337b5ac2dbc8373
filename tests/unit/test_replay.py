"""Which dead letters may live again, and how (contract §3.2: a new reference by a human's word only)."""

from __future__ import annotations

import pytest

from blnk_relay.intents.decision import DeadClass
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import ReplayWay, plan_replay

FRESH, SAME, NO = ReplayWay.FRESH, ReplayWay.SAME, ReplayWay.NO


@pytest.mark.parametrize(
    ("kind", "dead_class", "code", "way"),
    [
        ("transaction", "refused", "GEN_MALFORMED_REQUEST", SAME),
        ("transaction", "refused", "TXN_INSUFFICIENT_FUNDS", SAME),
        ("transaction", "refused", "EXPIRED", SAME),
        ("transaction", "unknown", "VANISHED", SAME),
        ("transaction", "unknown", "STUCK_QUEUED", SAME),
        ("transaction", "unknown", "EXPIRED", SAME),
        ("transaction", "unknown", "LAPSED_TOO_OFTEN", SAME),
        # The ledger recorded a refusal of the reference: only a fresh one can ever be applied.
        ("transaction", "rejected", "TXN_INSUFFICIENT_FUNDS", FRESH),
        ("transaction", "rejected", "TXN_REJECTED", FRESH),
        # Somebody else's transaction stands there; a fresh reference would make ours a second time, or not at all.
        ("transaction", "unknown", "REFERENCE_CONFLICT", NO),
        ("transaction", "refused", "REFERENCE_CONFLICT", NO),
        ("refund", "refused", "TRANSACTION_NOT_FOUND", SAME),
        ("refund", "refused", "ALREADY_REFUNDED", SAME),
        ("refund", "unknown", "UNDECIDED", SAME),
        ("refund", "rejected", "TXN_REJECTED", NO),
        ("refund", "partial", "REFUND_HELD", NO),
        ("inflight.commit", "refused", "HOLD_NOT_FOUND", SAME),
        ("inflight.commit", "unknown", "UNDECIDED", SAME),
        ("inflight.commit", "unknown", "HOLD_CHANGED", NO),
        ("transaction", "refused", "DEPENDENCY_CLOSED", NO),
        ("transaction", "unknown", "DEPENDENCY_CLOSED", NO),
        ("inflight.void", "refused", "TXN_ALREADY_VOIDED", SAME),
    ],
)
def test_how_a_dead_letter_is_replayed(kind, dead_class, code, way):
    assert plan_replay(kind, dead_class, code).way is way


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dead_class", DeadClass)
def test_every_plan_says_why(kind, dead_class):
    plan = plan_replay(kind, dead_class, "ANY")
    assert plan.why
    ours_to_choose = kind in ("transaction", "transaction.split", "transaction.bulk")
    assert (plan.way is FRESH) == (ours_to_choose and dead_class is DeadClass.REJECTED)


@pytest.mark.parametrize("dead_class", DeadClass)
def test_a_kind_of_a_newer_version_is_left_to_that_version(dead_class):
    plan = plan_replay("transaction.later", dead_class, "ANY")
    assert plan.way is NO
    assert ("does not know kind 'transaction.later'" in plan.why) == (dead_class is not DeadClass.INVALID)


@pytest.mark.parametrize("code", ["DEPENDENCY_CLOSED", "LINK_EMPTY"])
def test_what_may_have_been_sent_is_not_to_be_enqueued_again_when_what_it_waited_for_is_gone(code):
    assert "enqueue" in plan_replay("transaction", "refused", code).why
    told = plan_replay("transaction", "unknown", code)
    assert told.way is NO
    assert "enqueue" not in told.why
    assert "see at the ledger" in told.why


def test_a_batch_that_was_taken_back_is_sent_again_with_each_item_under_a_new_reference():
    plan = plan_replay("transaction.bulk", "rejected", "ROLLED_BACK")
    assert plan.way is FRESH
    assert "each item under a new reference" in plan.why
