"""Payments and holds, from what the ledger may show of them (contract §3.1 to §3.5, §4.1)."""

from __future__ import annotations

from typing import Any

import pytest
from casebook import (
    ALICE,
    BANK,
    DAY,
    HOUR,
    MINUTE,
    NOW_MS,
    POLICY,
    SECOND,
    SOMEBODY,
    Showing,
    balance,
    decided,
    entry_of,
    payment,
    progress,
    queued_and,
    row,
    sent,
    settled_by,
    txn,
)

from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup
from blnk_relay.intents.rows import family
from blnk_relay.kinds import transaction as kind
from blnk_relay.replay import ReplayWay, plan_replay

NO_MONEY = "failed to apply transaction to balances: insufficient funds in source balance"
TOMORROW = "2027-01-16T08:00:00Z"  # One day after NOW_MS.
TOMORROW_MS = NOW_MS + DAY


def accepted(ago_ms=SECOND, sends=1, **changes: Any):
    """One that was answered with a 2xx so long ago."""
    return sent(ago_ms, accepted=True, sends=sends, **changes)


def test_a_new_one_is_sent_at_once_and_nothing_is_read():
    ledger = Showing()
    assert settled_by(payment(), progress(), ledger) == Send()
    assert ledger.asked == []


@pytest.mark.parametrize("now", [sent(), sent(looking=False), progress(looking=True)])
def test_whatever_may_have_been_sent_is_looked_up_before_it_is_sent_again(now):
    ledger = Showing()
    settled_by(payment(), now, ledger)
    assert ledger.asked[:2] == list(family("order_42"))


# -- decided (S1, S2, S3, S6) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "rows", "decision"),
    [
        (payment(), queued_and("APPLIED"), Done("applied", txn(2), txn(1))),
        (payment(inflight=True), queued_and("INFLIGHT"), Done("held", txn(2), txn(1))),
        (payment(skip_queue=True), [row(2, "order_42", "APPLIED")], Done("applied", txn(2))),
        (payment(skip_queue=True, inflight=True), [row(2, "order_42", "INFLIGHT")], Done("held", txn(2))),
        (payment(), [row(1, "order_42", "APPLIED")], Done("applied", txn(1))),
        (payment(), [row(2, "order_42_q", "APPLIED", parent=txn(1))], Done("applied", txn(2), txn(1))),
        (
            payment(scheduled_for=TOMORROW),
            [row(1, "order_42", "SCHEDULED"), row(2, "order_42_q", "APPLIED", parent=txn(1))],
            Done("applied", txn(2), txn(1)),
        ),
        (
            payment(),
            queued_and("REJECTED", rejection=NO_MONEY),
            Dead(DeadClass.REJECTED, "TXN_INSUFFICIENT_FUNDS", NO_MONEY),
        ),
        (payment(), [row(1, "order_42", "REJECTED")], Dead(DeadClass.REJECTED, "TXN_REJECTED", "Rejected.")),
        (payment(inflight=True), queued_and("REJECTED"), Dead(DeadClass.REJECTED, "TXN_REJECTED", "Rejected.")),
    ],
    ids=["S1", "S1 hold", "S2", "S2 hold", "S3", "child alone", "S6", "S1 rejected", "S3 rejected", "hold rejected"],
)
@pytest.mark.parametrize("now", [sent(), accepted(), sent(DAY, refuse=True), sent(20 * DAY), progress(looking=True)])
def test_a_final_row_decides_at_any_time(intent, rows, decision, now):
    assert decided(intent, now, *rows) == decision


def test_an_outcome_after_the_deadline_is_still_an_outcome():
    now = accepted(deadline_ms=NOW_MS - 1)
    assert decided(payment(), now, *queued_and("APPLIED")) == Done("applied", txn(2), txn(1))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"precise_amount": 1051}, "precise_amount"),
        ({"currency": "USD"}, "currency"),
        ({"source": SOMEBODY}, "source"),
        ({"destination": SOMEBODY}, "destination"),
    ],
)
@pytest.mark.parametrize("status", ["APPLIED", "REJECTED"])
@pytest.mark.parametrize(
    ("now", "dead_class"), [(sent(), DeadClass.UNKNOWN), (progress(looking=True), DeadClass.REFUSED)]
)
def test_other_content_under_our_reference_is_a_conflict_and_never_done(changes, field, status, now, dead_class):
    dead = decided(payment(), now, *queued_and(status, **changes))
    assert (dead.dead_class, dead.code) == (dead_class, "REFERENCE_CONFLICT")
    assert f"reference: {field}: asked {payment().payload[field]}, has {changes[field]}." in dead.message


@pytest.mark.parametrize(("inflight", "status"), [(True, "APPLIED"), (False, "INFLIGHT")])
def test_a_hold_in_the_place_of_a_payment_is_a_conflict(inflight, status):
    dead = decided(payment(inflight=inflight), sent(), *queued_and(status))
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "REFERENCE_CONFLICT")


def test_balances_of_indicators_are_read_before_the_outcome_is_believed():
    intent = payment(source="@bank", destination="@alice")
    ours = [balance(BANK, "@bank", "EUR"), balance(ALICE, "@alice", "EUR")]
    ledger = Showing(queued_and("APPLIED"), ours)
    assert settled_by(intent, sent(), ledger) == Done("applied", txn(2), txn(1))
    assert ledger.asked[2:] == [Lookup("balances", "indicator", "@bank"), Lookup("balances", "indicator", "@alice")]

    others = [balance(BANK, "@bank", "EUR"), balance(SOMEBODY, "@alice", "EUR")]
    assert decided(intent, sent(), *queued_and("APPLIED"), balances=others).code == "REFERENCE_CONFLICT"


# -- undecided -----------------------------------------------------------------------------------------------------


def test_a_queued_row_is_waited_for_with_growing_pauses_until_the_ledger_cannot_apply_it_any_more():
    queued = row(1, "order_42", "QUEUED")
    pauses = [decided(payment(), accepted(ago), queued) for ago in (0, SECOND, MINUTE, HOUR, 4 * HOUR)]
    assert all(isinstance(pause, Look) and not pause.refuse for pause in pauses)
    assert [pause.in_s for pause in pauses] == [0.3, 0.6, 36.0, 60.0, 60.0]
    dead = decided(payment(), accepted(5 * HOUR), queued)
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "STUCK_QUEUED")
    assert "never send it under another reference" in dead.message


def test_a_queued_row_counts_from_the_lapsed_lease_where_no_send_was_logged():
    # Accepted two days ago and not to be sent before today: that is no reason to call its row stuck.
    now = progress(sent=True, looking=True, since_ms=NOW_MS - 2 * DAY, last_sent_ms=NOW_MS - SECOND)
    assert isinstance(decided(payment(), now, row(1, "order_42", "QUEUED")), Look)


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [
        (NOW_MS, Look),
        (TOMORROW_MS, Look),
        (TOMORROW_MS + 14 * MINUTE, Look),
        (TOMORROW_MS + 15 * MINUTE, Dead),
    ],
)
def test_a_scheduled_row_is_waited_for_until_a_quarter_of_an_hour_after_its_time(now_ms, expected):
    now = progress(
        now_ms=now_ms, since_ms=NOW_MS - SECOND, sent=True, looking=True, accepted=True, first_sent_ms=NOW_MS - SECOND,
        last_sent_ms=NOW_MS - SECOND, memo={"watched": [now_ms, max(0, now_ms - TOMORROW_MS)]},
    )  # fmt: skip
    decision = decided(payment(scheduled_for=TOMORROW), now, row(1, "order_42", "SCHEDULED"))
    assert isinstance(decision, expected)
    if expected is Dead:
        assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "STUCK_SCHEDULED")


@pytest.mark.parametrize(
    "other",
    [row(1, "order_4", "APPLIED"), row(1, "order_42_q_q", "APPLIED"), row(1, "order_42.r2", "APPLIED")],
)
def test_rows_of_others_decide_nothing(other):
    assert decided(payment(), sent(), other) == Send()


def test_an_ambiguous_send_that_left_nothing_is_repeated_at_once_under_the_same_reference():
    assert decided(payment(), sent()) == Send()


def test_an_accepted_send_is_given_the_read_lag_before_it_is_repeated():
    assert isinstance(decided(payment(), accepted(29 * SECOND)), Look)
    assert decided(payment(), accepted(30 * SECOND)) == Send()


def test_three_vanished_sends_are_followed_by_one_in_skip_mode_which_tells_the_reason():
    assert decided(payment(), accepted(MINUTE, sends=2)) == Send()
    assert decided(payment(), accepted(MINUTE, sends=3)) == Send(memo={"probe": True})


def test_a_scheduled_one_is_never_sent_in_skip_mode_which_would_apply_it_at_once():
    assert decided(payment(scheduled_for=TOMORROW), accepted(MINUTE, sends=5)) == Send()


def test_requests_that_were_never_accepted_do_not_make_it_a_vanished_one():
    # An outage of the ledger with working reads: many ambiguous attempts, no row.
    assert decided(payment(), sent(MINUTE, attempts=20, sends=0)) == Send()


def test_what_vanishes_again_and_again_goes_to_a_human_once_the_ledger_has_given_up_too():
    assert isinstance(decided(payment(), accepted(14 * MINUTE, sends=8)), Look)
    dead = decided(payment(), accepted(15 * MINUTE, sends=8))
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "VANISHED")


def test_past_its_deadline_nothing_is_sent_any_more():
    dead = decided(payment(), sent(HOUR, deadline_ms=NOW_MS))
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "EXPIRED")
    dead = decided(payment(), progress(deadline_ms=NOW_MS))
    assert (dead.dead_class, dead.code) == (DeadClass.REFUSED, "EXPIRED")


# -- refused, if it is not there -----------------------------------------------------------------------------------


def refused(ago_ms, code="TXN_NOT_FOUND", **changes: Any):
    return sent(ago_ms, refuse=True, code=code, message="why", **changes)


def test_a_clear_no_to_what_was_never_sent_before_is_final_after_one_look():
    now = progress(looking=True, refuse=True, code="TXN_INSUFFICIENT_FUNDS", message="why")
    assert decided(payment(skip_queue=True), now) == Dead(DeadClass.REFUSED, "TXN_INSUFFICIENT_FUNDS", "why")


def test_a_skip_mode_refusal_is_final_once_no_earlier_try_can_come_after_it():
    intent = payment(skip_queue=True)
    quiet_ms = int(POLICY.quiet_s * 1000)
    assert decided(intent, refused(quiet_ms - 1)).refuse
    assert decided(intent, refused(quiet_ms)) == Dead(DeadClass.REFUSED, "TXN_NOT_FOUND", "why")


def test_what_the_ledger_was_handed_is_not_called_refused_while_the_ledger_retries_it_unseen():
    # Measured: for 9 to 13 minutes nothing is visible, and then it may be applied after all.
    decision = decided(payment(), refused(14 * MINUTE))
    assert isinstance(decision, Look)
    assert decision.refuse
    assert decided(payment(), refused(15 * MINUTE)) == Dead(DeadClass.REFUSED, "TXN_NOT_FOUND", "why")


def test_what_shows_up_meanwhile_is_an_outcome_all_the_same():
    assert decided(payment(), refused(10 * MINUTE), *queued_and("APPLIED")) == Done("applied", txn(2), txn(1))


def test_a_reference_that_exists_and_is_never_shown_is_not_called_refused():
    dead = decided(payment(), refused(HOUR, code="TXN_DUPLICATE_REFERENCE"))
    assert (dead.dead_class, dead.code) == (DeadClass.UNKNOWN, "TXN_DUPLICATE_REFERENCE")


# -- the request ---------------------------------------------------------------------------------------------------


def body(intent, now=None):
    return kind.request(entry_of(intent), now or progress(), POLICY)


def test_a_request_always_carries_reference_precision_and_the_precise_amount():
    request = body(payment(meta_data={"order": 42}))
    assert (request.method, request.path, request.route, request.sync) == (
        "POST",
        "/transactions",
        "transaction",
        False,
    )
    assert request.body == {
        "reference": "order_42",
        "precise_amount": 1050,
        "precision": 100,
        "currency": "EUR",
        "source": BANK,
        "destination": ALICE,
        "description": "Top-up",
        "meta_data": {"order": 42},
        "skip_queue": False,
    }


def test_the_reference_stays_the_same_until_an_operator_gives_it_a_new_life():
    assert body(payment(), sent(attempts=20)).body["reference"] == "order_42"
    assert body(payment(), progress(generation=1)).body["reference"] == "order_42.r2"


def test_a_new_life_is_looked_for_under_its_own_reference():
    assert decided(payment(), sent(generation=1), *queued_and("REJECTED")) == Send()
    applied = queued_and("APPLIED", "order_42.r2")
    assert decided(payment(), sent(generation=1), *applied) == Done("applied", txn(2), txn(1))


@pytest.mark.parametrize(
    ("intent", "now", "sync"),
    [
        (payment(), progress(), False),
        (payment(skip_queue=True), progress(), True),
        (payment(), sent(memo={"probe": True}), True),
    ],
)
def test_skip_mode_is_asked_for_or_used_to_probe(intent, now, sync):
    request = body(intent, now)
    assert (request.sync, request.body["skip_queue"]) == (sync, sync)


@pytest.mark.parametrize(("limit", "number"), [("10", 10), ("9.995", 9.995), ("1e2", 100.0), ("0.0000001", 1e-07)])
def test_an_overdraft_limit_is_a_number_there_and_exact_here(limit, number):
    intent = payment(skip_queue=True, overdraft_limit=limit, precision=10**7)
    assert isinstance(intent.payload["overdraft_limit"], str)
    assert body(intent).body["overdraft_limit"] == number


@pytest.mark.parametrize("name", ["inflight_expiry_date", "inflight_commit_date"])
def test_a_hold_is_not_done_where_the_ledger_says_that_its_dates_were_not_noted(name):
    """It notes them after it made the hold, and shows them nowhere."""
    intent = payment(skip_queue=True, inflight=True, **{name: "2027-03-01T00:00:00Z"})
    hold = row(1, "order_42", "INFLIGHT")
    told = {"code": "TXN_VALIDATION_ERROR", "message": "failed to queue inflight expiry: connection refused"}
    decision = decided(intent, sent(**told), hold)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.PARTIAL, "DATES_NOT_KNOWN")
    assert "TXN_VALIDATION_ERROR: failed to queue inflight expiry" in decision.message
    assert plan_replay("transaction", "partial", "DATES_NOT_KNOWN").way is ReplayWay.NO
    held = Done("held", hold.transaction_id)
    assert decided(intent, sent(accepted=True), hold) == held
    # Whatever settled it, it is over.
    for status in ("VOID", "APPLIED"):
        assert decided(intent, sent(**told), hold, row(2, "settled", status, parent=hold.transaction_id)) == held
    assert decided(intent, sent(code="NO_ANSWER"), hold) == held
    assert decided(payment(skip_queue=True, inflight=True), sent(**told), hold) == held
