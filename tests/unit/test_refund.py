"""Refunds, from what the ledger may show (contract §3.4 S9 and S10, §3.9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import (
    DAY,
    HOUR,
    MINUTE,
    NOW_MS,
    POLICY,
    SECOND,
    Showing,
    decided,
    entry_of,
    progress,
    queued_and,
    row,
    sent,
    settled_by,
    txn,
)

from blnk_relay import refund
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup
from blnk_relay.intents.rows import family
from blnk_relay.kinds import refund as kind

BY_REFERENCE = refund("order_42")
PAID = queued_and("APPLIED")  # Rows 1 (queued) and 2 (applied).
MEMO = {"row": txn(2), "amount": "1050"}
SEND = Send(memo=MEMO, exclusive=txn(2))

#: S9: the refund in queue mode; S10: made by somebody in skip mode; S3: the fallback shape of a queued one.
S9_QUEUED = row(3, txn(2) + "_refund", "QUEUED", parent=txn(2))
S9_APPLIED = row(4, txn(2) + "_refund_q", "APPLIED", parent=txn(3))
S10 = row(3, txn(2) + "_refund", "APPLIED", parent=txn(2))


def ours(ago_ms=SECOND, **changes: Any):
    """A refund of ours that may have taken effect."""
    return sent(ago_ms, memo=MEMO, **changes)


def accepted(ago_ms=SECOND, sends=1, **changes: Any):
    return ours(ago_ms, accepted=True, sends=sends, **changes)


def dead(decision):
    return (decision.dead_class, decision.code)


# -- before anything is sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "intent", [BY_REFERENCE, refund(txn(1)), refund(txn(2))], ids=["reference", "queued parent", "applied row"]
)
def test_a_refund_is_for_the_applied_row_however_the_payment_was_named(intent):
    assert decided(intent, progress(), *PAID) == SEND


def test_what_stands_under_the_refunds_own_reference_is_read_before_every_send_even_the_first():
    ledger = Showing(PAID)
    assert settled_by(BY_REFERENCE, progress(), ledger) == SEND
    assert ledger.asked == [*family("order_42"), *family(txn(2) + "_refund")]


def test_a_payment_made_in_skip_mode_is_refunded_by_its_own_row():
    assert decided(BY_REFERENCE, progress(), row(7, "order_42", "APPLIED")) == Send(
        memo={"row": txn(7), "amount": "1050"}, exclusive=txn(7)
    )


@pytest.mark.parametrize(
    "rows", [(S9_QUEUED,), (S9_QUEUED, S9_APPLIED), (S9_APPLIED,), (S10,)], ids=["queued", "S9", "child alone", "S10"]
)
def test_what_somebody_else_refunded_is_never_refunded_again(rows):
    assert dead(decided(BY_REFERENCE, progress(), *PAID, *rows)) == (DeadClass.REFUSED, "ALREADY_REFUNDED")


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (queued_and("REJECTED"), "NOT_REFUNDABLE"),
        ([row(1, "order_42", "REJECTED")], "NOT_REFUNDABLE"),
        ([row(1, "order_42", "VOID")], "NOT_REFUNDABLE"),
    ],
)
def test_what_never_moved_money_cannot_be_given_back(rows, code):
    assert dead(decided(BY_REFERENCE, progress(), *rows)) == (DeadClass.REFUSED, code)


@pytest.mark.parametrize(
    ("rows", "waits_ms", "code"),
    [
        ((), 15 * MINUTE, "TRANSACTION_NOT_FOUND"),
        ((row(1, "order_42", "QUEUED"),), 5 * HOUR, "NOT_REFUNDABLE"),
        ((row(1, "order_42", "SCHEDULED"),), 5 * HOUR, "NOT_REFUNDABLE"),
        (queued_and("INFLIGHT"), 5 * HOUR, "NOT_REFUNDABLE"),
    ],
    ids=["nothing", "queued", "scheduled", "an open hold"],
)
def test_what_is_not_applied_yet_is_waited_for(rows, waits_ms, code):
    early = decided(BY_REFERENCE, progress(since_ms=NOW_MS - waits_ms + SECOND), *rows)
    assert isinstance(early, Again)
    assert not early.counted
    assert dead(decided(BY_REFERENCE, progress(since_ms=NOW_MS - waits_ms), *rows)) == (DeadClass.REFUSED, code)


# -- holds ---------------------------------------------------------------------------------------------------------


def commits(*amounts: int, void=False):
    """A hold of 1050 (row 2), its commits (rows 10, 11 …), and perhaps its void."""
    children = [row(10 + number, f"ref_{number}", "APPLIED", parent=txn(2), precise_amount=amount)
                for number, amount in enumerate(amounts)]  # fmt: skip
    return (*queued_and("INFLIGHT"), *children, *([row(20, "ref_v", "VOID", parent=txn(2))] if void else []))


def test_a_committed_hold_is_refunded_through_the_row_of_its_commit():
    ledger = Showing(commits(1050))
    assert settled_by(BY_REFERENCE, progress(), ledger) == Send(
        memo={"row": txn(10), "amount": "1050"}, exclusive=txn(10)
    )
    assert ledger.asked[2:] == [Lookup("transactions", "parent_transaction", txn(2)), *family(txn(10) + "_refund")]


def test_a_hold_that_was_committed_in_part_and_then_voided_is_refunded_through_that_part():
    assert decided(BY_REFERENCE, progress(), *commits(400, void=True)).exclusive == txn(10)


def test_a_hold_that_is_still_open_may_have_more_to_give_back_than_is_seen():
    # Refunding the one commit that is visible, and calling the payment refunded, would keep the rest.
    assert isinstance(decided(BY_REFERENCE, progress(), *commits(400)), Again)
    late = decided(BY_REFERENCE, progress(since_ms=NOW_MS - MINUTE), *commits(400))
    assert dead(late) == (DeadClass.REFUSED, "PARTLY_COMMITTED")
    assert txn(10) in late.message
    assert decided(refund(txn(10)), progress(), *commits(400)).exclusive == txn(10)


def test_a_hold_that_was_committed_in_parts_is_refunded_part_by_part():
    refused = decided(BY_REFERENCE, progress(), *commits(400, 650))
    assert dead(refused) == (DeadClass.REFUSED, "SEVERAL_COMMITS")
    assert txn(10) in refused.message
    assert txn(11) in refused.message


# -- after it was sent ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "decision"),
    [
        ((S9_QUEUED, S9_APPLIED), Done("refunded", txn(4), txn(2))),
        ((S9_APPLIED,), Done("refunded", txn(4), txn(2))),
        ((S10,), Done("refunded", txn(3), txn(2))),
    ],
    ids=["S9", "child alone", "S3"],
)
@pytest.mark.parametrize("now", [ours(), accepted(), ours(DAY, refuse=True), ours(9 * DAY, deadline_ms=NOW_MS - 1)])
def test_an_applied_refund_is_done_with_its_real_id(rows, decision, now):
    assert decided(BY_REFERENCE, now, *rows) == decision


def test_once_sent_only_the_row_it_was_sent_for_counts():
    ledger = Showing((*commits(400, 650), row(3, txn(10) + "_refund", "APPLIED", parent=txn(10))))
    now = sent(memo={"row": txn(10)})
    assert settled_by(BY_REFERENCE, now, ledger) == Done("refunded", txn(3), txn(10))
    assert ledger.asked == list(family(txn(10) + "_refund"))


def test_a_rejected_refund_is_told_as_one():
    rejected = row(4, txn(2) + "_refund_q", "REJECTED", parent=txn(3), rejection="transaction exceeds overdraft limit")
    assert dead(decided(BY_REFERENCE, accepted(), S9_QUEUED, rejected)) == (DeadClass.REJECTED, "TXN_OVERDRAFT_LIMIT")


def test_a_refund_that_only_became_a_hold_is_not_done():
    held = row(4, txn(2) + "_refund_q", "INFLIGHT", parent=txn(3))
    assert dead(decided(BY_REFERENCE, accepted(), S9_QUEUED, held)) == (DeadClass.PARTIAL, "REFUND_HELD")


def test_a_queued_refund_is_waited_for_as_long_as_it_may_be_applied():
    assert isinstance(decided(BY_REFERENCE, accepted(4 * HOUR), S9_QUEUED), Look)
    assert dead(decided(BY_REFERENCE, accepted(5 * HOUR), S9_QUEUED)) == (DeadClass.UNKNOWN, "STUCK_QUEUED")


@pytest.mark.parametrize("now", [ours, accepted])
def test_a_refund_is_not_repeated_while_the_ledger_may_apply_it_unseen(now):
    # Recorded as an applied child of the payment (S3), which shows nothing before it is applied, it would be reversed.
    assert isinstance(decided(BY_REFERENCE, now(15 * MINUTE - SECOND), *PAID), Look)
    assert decided(BY_REFERENCE, now(15 * MINUTE), *PAID) == SEND


def test_a_refused_refund_is_final_once_the_ledger_cannot_apply_it_any_more():
    assert decided(BY_REFERENCE, ours(14 * MINUTE, refuse=True, code="X"), *PAID).refuse
    assert decided(BY_REFERENCE, ours(15 * MINUTE, refuse=True, code="X", message="why"), *PAID) == Dead(
        DeadClass.REFUSED, "X", "why"
    )


def test_a_refund_refused_at_first_is_final_at_once():
    now = progress(looking=True, refuse=True, code="GEN_BAD_REQUEST", message="why")
    assert decided(BY_REFERENCE, now, *PAID) == Dead(DeadClass.REFUSED, "GEN_BAD_REQUEST", "why")


def test_what_the_ledger_calls_refunded_already_is_looked_for_until_it_is_seen():
    # It was probably by our own first attempt, so "refused" would make somebody refund it by hand.
    told = {"refuse": True, "code": "GEN_CONFLICT"}
    assert isinstance(decided(BY_REFERENCE, ours(HOUR, **told), *PAID), Look)
    assert decided(BY_REFERENCE, ours(HOUR, **told), *PAID, S10) == Done("refunded", txn(3), txn(2))
    assert dead(decided(BY_REFERENCE, ours(6 * HOUR, **told), *PAID)) == (DeadClass.UNKNOWN, "UNDECIDED")


def test_a_refund_of_a_refund_is_refused_with_the_words_for_a_second_one():
    """Ledgers since 0.15.4 do none, so what they say does not mean that there is one to look for."""
    intent = refund(txn(4))
    send = decided(intent, progress(), S9_APPLIED)
    assert isinstance(send, Send)
    told = {"refuse": True, "code": "TXN_ALREADY_REFUNDED", "message": "why"}
    early, late = (sent(ago, memo=dict(send.memo), **told) for ago in (14 * MINUTE, 15 * MINUTE))
    assert isinstance(decided(intent, early, S9_APPLIED), Look)
    assert decided(intent, late, S9_APPLIED) == Dead(DeadClass.REFUSED, "TXN_ALREADY_REFUNDED", "why")
    # What older ones did is shown, and done; of what is no refund, and in other words, it is looked for as before.
    again = row(5, txn(4) + "_refund_q", "APPLIED", parent=txn(4))
    assert decided(intent, late, S9_APPLIED, again) == Done("refunded", txn(5), txn(4))
    assert isinstance(decided(BY_REFERENCE, ours(15 * MINUTE, **told), *PAID), Look)
    assert isinstance(decided(intent, replace(late, code="GEN_CONFLICT"), S9_APPLIED), Look)


def test_refunds_that_vanish_again_and_again_go_to_a_human():
    assert isinstance(decided(BY_REFERENCE, accepted(MINUTE, sends=8), *PAID), Look)
    assert dead(decided(BY_REFERENCE, accepted(HOUR, sends=8), *PAID)) == (DeadClass.UNKNOWN, "VANISHED")


def test_past_its_deadline_no_refund_is_sent():
    assert dead(decided(BY_REFERENCE, progress(deadline_ms=NOW_MS), *PAID)) == (DeadClass.REFUSED, "EXPIRED")
    assert isinstance(decided(BY_REFERENCE, ours(MINUTE, deadline_ms=NOW_MS), *PAID), Look), "the ledger may be at it"
    assert dead(decided(BY_REFERENCE, ours(HOUR, deadline_ms=NOW_MS), *PAID)) == (DeadClass.UNKNOWN, "EXPIRED")


def test_a_refund_is_always_asked_for_in_queue_mode_and_by_the_applied_row():
    request = kind.request(entry_of(BY_REFERENCE), progress(memo=MEMO), POLICY)
    assert (request.method, request.path, request.sync) == ("POST", f"/refund-transaction/{txn(2)}", False)
    assert request.body == {"skip_queue": False}


# -- what is no refund ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["APPLIED", "REJECTED"])
@pytest.mark.parametrize("suffix", ["_refund", "_refund_q"])
def test_what_has_another_amount_is_not_taken_for_the_refund_that_was_sent(suffix, status):
    """The ledger refunds in full or not at all (contract §3.9): so this is none, whoever made it."""
    other = row(3, txn(2) + suffix, status, parent=txn(2), precise_amount=50)
    decision = decided(BY_REFERENCE, accepted(), *PAID, other)
    assert dead(decision) == (DeadClass.UNKNOWN, "REFERENCE_CONFLICT")
    assert "asked 1050, has 50" in decision.message
    assert txn(3) in decision.message


def test_what_has_another_amount_is_not_called_a_refund_by_somebody_else():
    other = row(3, txn(2) + "_refund", "APPLIED", parent=txn(2), precise_amount=50)
    decision = settled_by(BY_REFERENCE, progress(), Showing((*PAID, other)))
    assert dead(decision) == (DeadClass.REFUSED, "REFERENCE_CONFLICT")
    assert "asked 1050, has 50" in decision.message


def test_a_refund_whose_amount_was_not_recorded_when_it_was_sent_is_believed():
    """By an older worker of a rolling deployment."""
    now = sent(SECOND, memo={"row": txn(2)}, accepted=True, sends=1)
    assert decided(BY_REFERENCE, now, *PAID, S9_QUEUED, S9_APPLIED) == Done("refunded", txn(4), txn(2))


@pytest.mark.parametrize(
    "shown",
    [(), (row(1, "order_42", "QUEUED", created_at="2020-01-01T00:00:00Z"),), (row(2, "order_42_q", "INFLIGHT"),)],
    ids=["nothing", "queued", "held"],
)
def test_just_after_a_loss_a_read_may_be_older_than_what_was_refunded_in_lost_moments(shown):
    old = {"memo": {}, "lost_ms": NOW_MS - HOUR, "created_ms": NOW_MS - 24 * HOUR, "since_ms": NOW_MS - 24 * HOUR}
    assert isinstance(decided(BY_REFERENCE, sent(SECOND, **old), *shown), Look)
    later = decided(BY_REFERENCE, sent(HOUR, **old), *shown)
    assert isinstance(later, Dead)
    assert later.dead_class is DeadClass.REFUSED
