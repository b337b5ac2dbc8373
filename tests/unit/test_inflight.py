"""Commits and voids of holds, from what the ledger may show (contract §3.4 S7, S8 and S13, §3.8, §4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
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

from blnk_relay import commit_hold, void_hold
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup
from blnk_relay.intents.rows import family
from blnk_relay.kinds.registry import KINDS

COMMIT = commit_hold("order_42")
VOID = void_hold("order_42")
PART = commit_hold("order_42", precise_amount=300)
ALL = pytest.mark.parametrize("intent", [COMMIT, VOID, PART], ids=["commit", "void", "part"])

HELD = queued_and("INFLIGHT", precise_amount=1000)  # Rows 1 (queued) and 2 (the hold, 1000).


def child(number, amount, status="APPLIED", parent=2, **changes: Any):
    return row(number, f"ref_{number}", status, parent=txn(parent), precise_amount=amount, **changes)


def voided(number=20, amount=1000, parent=2):
    return child(number, amount, "VOID", parent)


def send(*seen: int, before=0):
    return Send(
        memo={"row": txn(2), "before": str(before), "left": str(1000 - before)},
        exclusive=txn(2),
        seen=tuple(txn(number) for number in seen),
    )


def ours(ago_ms=SECOND, before=0, **changes: Any):
    """A commit or void of ours that may have taken effect, when so much had been committed before."""
    memo = {"row": txn(2), "before": str(before), "left": str(1000 - before)}
    return sent(ago_ms, memo=memo, **changes)


def refused(ago_ms, code, **changes: Any):
    return ours(ago_ms, refuse=True, code=code, message="why", **changes)


def dead(decision):
    return (decision.dead_class, decision.code)


# -- which row -----------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("name", ["order_42", txn(1), txn(2)], ids=["reference", "queued parent", "hold"])
def test_a_hold_is_settled_by_the_row_that_is_inflight_however_it_was_named(intent, name):
    named = type(intent)(intent.kind, dict(intent.payload, hold=name), "key", order_key="x")
    assert decided(named, progress(), *HELD) == send()


@ALL
def test_hold_and_children_are_read_before_every_send(intent):
    ledger = Showing(HELD)
    assert settled_by(intent, progress(), ledger) == send()
    # A hold that expired by itself was voided under its queued parent (S13).
    assert ledger.asked == [
        *family("order_42"),
        Lookup("transactions", "parent_transaction", txn(2)),
        Lookup("transactions", "parent_transaction", txn(1)),
    ]


@ALL
def test_a_hold_made_in_skip_mode_has_no_parent_to_read(intent):
    ledger = Showing([row(2, "order_42", "INFLIGHT", precise_amount=1000)])
    assert settled_by(intent, progress(), ledger) == send()
    assert ledger.asked == [*family("order_42"), Lookup("transactions", "parent_transaction", txn(2))]


@ALL
def test_an_item_of_a_batch_is_not_voided_by_its_batch(intent):
    held = row(2, "order_42", "INFLIGHT", precise_amount=1000, parent="bulk_1")
    ledger = Showing([held])
    assert settled_by(intent, progress(), ledger) == send()
    assert Lookup("transactions", "parent_transaction", "bulk_1") not in ledger.asked


@ALL
@pytest.mark.parametrize(
    ("rows", "waits_ms", "code"),
    [
        ((), 15 * MINUTE, "HOLD_NOT_FOUND"),
        ((row(1, "order_42", "QUEUED"),), 5 * HOUR, "TXN_NOT_INFLIGHT"),
        ((row(1, "order_42", "SCHEDULED"),), 5 * HOUR, "TXN_NOT_INFLIGHT"),
    ],
    ids=["nothing", "queued", "scheduled"],
)
def test_a_hold_that_is_not_there_yet_is_waited_for_and_the_queued_row_never_used(intent, rows, waits_ms, code):
    early = decided(intent, progress(since_ms=NOW_MS - waits_ms + SECOND), *rows)
    assert isinstance(early, Again)
    assert not early.counted
    assert dead(decided(intent, progress(since_ms=NOW_MS - waits_ms), *rows)) == (DeadClass.REFUSED, code)


@ALL
@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (queued_and("APPLIED"), "TXN_NOT_INFLIGHT"),
        ([row(2, "order_42", "VOID")], "TXN_NOT_INFLIGHT"),
        (queued_and("REJECTED"), "HOLD_REJECTED"),
    ],
)
def test_what_is_no_hold_cannot_be_settled(intent, rows, code):
    assert dead(decided(intent, progress(), *rows)) == (DeadClass.REFUSED, code)


@ALL
@pytest.mark.parametrize("rows", [(), (row(1, "order_42", "QUEUED"),), queued_and("REJECTED")])
def test_once_sent_a_hold_that_is_not_shown_is_read_lag_and_never_a_no(intent, rows):
    assert isinstance(decided(intent, ours(HOUR), *rows), Look)
    assert dead(decided(intent, ours(6 * HOUR), *rows)) == (DeadClass.UNKNOWN, "UNDECIDED")


# -- void ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(), (child(10, 400),), send(10, before=400)),
        (progress(), (voided(),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        (progress(), (voided(parent=1),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        (progress(), (child(10, 1000),), (DeadClass.REFUSED, "TXN_ALREADY_COMMITTED")),
        (progress(), (child(10, 400), child(11, 600)), (DeadClass.REFUSED, "TXN_ALREADY_COMMITTED")),
        (ours(), (), send()),
        (ours(), (child(10, 400),), send(10)),
        (ours(), (voided(),), Done("voided", txn(20), txn(2))),
        (ours(), (child(10, 400), voided(amount=600)), Done("voided", txn(20), txn(2))),
        (ours(), (voided(parent=1),), Done("voided", txn(20), txn(2))),
        (ours(), (child(10, 1000),), (DeadClass.REFUSED, "TXN_ALREADY_COMMITTED")),
    ],
)
def test_a_void_is_settled_by_the_children_of_the_hold(now, rows, expected):
    decision = decided(VOID, now, *HELD, *rows)
    assert (dead(decision) if isinstance(expected, tuple) else decision) == expected


# -- commit of all that remains ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (progress(), (child(10, 400),), send(10, before=400)),
        (progress(), (child(10, 1000),), (DeadClass.REFUSED, "TXN_ALREADY_COMMITTED")),
        (progress(), (voided(),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        (progress(), (voided(parent=1),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        (progress(), (child(10, 400), voided(amount=600)), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        (ours(), (), send()),
        (ours(), (child(10, 1000),), Done("applied", txn(10), txn(2))),
        (ours(before=400), (child(10, 400), child(11, 600)), Done("applied", txn(11), txn(2))),
        (ours(before=400), (child(10, 400),), send(10, before=400)),
        (ours(), (voided(),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
    ],
)
def test_a_full_commit_is_settled_by_the_children_of_the_hold(now, rows, expected):
    decision = decided(COMMIT, now, *HELD, *rows)
    assert (dead(decision) if isinstance(expected, tuple) else decision) == expected


# -- partial commits: by sums, recorded before sending -------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((), send()),
        ((child(10, 300),), send(10, before=300)),
        ((child(10, 300), child(11, 400)), send(10, 11, before=700)),
        ((child(10, 701),), (DeadClass.REFUSED, "TXN_COMMIT_AMOUNT_EXCEEDED")),
        ((child(10, 1000),), (DeadClass.REFUSED, "TXN_COMMIT_AMOUNT_EXCEEDED")),
        ((voided(),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        ((child(10, 300), voided(amount=700)), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
        ((voided(parent=1),), (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")),
    ],
)
def test_the_sum_of_the_commits_is_recorded_before_a_part_is_sent(rows, expected):
    decision = decided(PART, progress(), *HELD, *rows)
    assert (dead(decision) if isinstance(expected, tuple) else decision) == expected


@pytest.mark.parametrize("quiet_ms", [SECOND, 59 * SECOND, HOUR, 10 * HOUR])
@pytest.mark.parametrize(
    ("before", "rows", "done"),
    [
        (0, (child(10, 300),), 10),
        (300, (child(10, 300), child(11, 300)), 11),
        (700, (child(10, 300), child(11, 400), child(12, 300)), 12),
        # Voided afterwards: what was committed stays committed.
        (0, (child(10, 300), voided(amount=700)), 10),
    ],
)
def test_a_part_is_done_when_the_sum_has_grown_by_exactly_that_part(before, rows, done, quiet_ms):
    assert decided(PART, ours(quiet_ms, before=before), *HELD, *rows) == Done("applied", txn(done), txn(2))


def test_a_part_is_only_sent_again_after_a_long_silence_with_the_sum_unchanged():
    before = (child(10, 300),)
    assert isinstance(decided(PART, ours(59 * SECOND, before=300), *HELD, *before), Look)
    assert decided(PART, ours(60 * SECOND, before=300), *HELD, *before) == send(10, before=300)


def test_a_part_that_was_answered_with_a_commit_is_never_sent_again_however_long_it_is_not_shown():
    before = (child(10, 300),)
    for quiet_ms in (60 * SECOND, HOUR, 4 * HOUR):
        assert isinstance(decided(PART, ours(quiet_ms, before=300, accepted=True), *HELD, *before), Look)
    assert dead(decided(PART, ours(6 * HOUR, before=300, accepted=True), *HELD, *before))[1] == "UNDECIDED"


def test_a_part_that_a_gateway_made_twice_is_found_out():
    twice = (child(10, 300), child(11, 300))
    decision = decided(PART, ours(SECOND, before=0, accepted=True), *HELD, *twice)
    assert dead(decision) == (DeadClass.UNKNOWN, "HOLD_CHANGED")


def test_the_sum_first_recorded_is_kept_for_every_further_send():
    again = decided(PART, ours(MINUTE, before=300), *HELD, child(10, 300))
    assert again.memo == {"row": txn(2), "before": "300", "left": "700"}


@pytest.mark.parametrize(
    "rows", [(child(10, 299),), (child(10, 301),), (child(10, 300), child(11, 1)), (child(10, 600),)]
)
def test_a_sum_that_changed_otherwise_can_be_told_by_nobody(rows):
    for quiet_ms in (SECOND, HOUR):
        decision = decided(PART, ours(quiet_ms), *HELD, *rows)
        assert dead(decision) == (DeadClass.UNKNOWN, "HOLD_CHANGED")


@pytest.mark.parametrize(
    ("rows", "named"), [((child(10, 300), child(11, 1)), (10,)), ((child(10, 299), child(11, 100)), (10, 11))]
)
def test_a_sum_that_changed_in_lost_moments_is_not_laid_on_somebody_else(rows, named):
    """Both may be ours: this part, and one that was sent after it."""
    decision = decided(PART, replace(ours(HOUR), lost_ms=NOW_MS - HOUR), *HELD, *rows)
    assert dead(decision) == (DeadClass.UNKNOWN, "MOMENT_LOST")
    assert "somebody else" not in decision.message
    assert [number for number in (10, 11) if txn(number) in decision.message] == list(named)


def test_a_sum_below_the_recorded_one_is_an_old_read_because_commits_are_never_taken_back():
    assert isinstance(decided(PART, ours(HOUR, before=300), *HELD), Look)
    assert dead(decided(PART, ours(6 * HOUR, before=300), *HELD)) == (DeadClass.UNKNOWN, "UNDECIDED")


def test_a_part_that_did_not_happen_before_the_void_is_refused():
    decision = decided(PART, ours(HOUR, before=300), *HELD, child(10, 300), voided(amount=700))
    assert dead(decision) == (DeadClass.REFUSED, "TXN_ALREADY_VOIDED")
    early = decided(PART, ours(SECOND, before=300), *HELD, child(10, 300), voided(amount=700))
    assert isinstance(early, Look), "not before it is sure that the read is fresh"


@pytest.mark.parametrize(
    ("created_ago_ms", "tail_ago_ms", "made_ago_ms", "perhaps"),
    [
        (2 * HOUR, 3 * HOUR, 2 * HOUR + 4 * MINUTE, True),  # The clocks of the ledger and of the journal may differ.
        (2 * HOUR, 3 * HOUR, 2 * HOUR + 6 * MINUTE, False),
        (HOUR + 4 * MINUTE, DAY, DAY + 4 * MINUTE, True),  # It may have been accepted in the lost moments already,
        (HOUR - SECOND, DAY, DAY + 4 * MINUTE, True),  # also if it was accepted after them; a backup may be days old.
        (HOUR - SECOND, DAY, DAY + 6 * MINUTE, False),
        (HOUR - SECOND, None, 9 * DAY, True),  # Nobody knows how many they are.
    ],
)
def test_a_commit_is_too_old_to_be_a_part_of_lost_moments_if_it_is_older_than_its_acceptance_or_than_they(
    created_ago_ms, tail_ago_ms, made_ago_ms, perhaps
):
    tail_ms = 0 if tail_ago_ms is None else NOW_MS - tail_ago_ms
    made_at = datetime.fromtimestamp((NOW_MS - made_ago_ms) / 1000, UTC).isoformat()
    now = sent(HOUR, memo={}, lost_ms=NOW_MS - HOUR, tail_ms=tail_ms, created_ms=NOW_MS - created_ago_ms)
    decision = decided(PART, now, *HELD, child(10, 300, created_at=made_at))
    assert decision.perhaps_ours == ((txn(10),) if perhaps else ())


def test_big_sums_stay_exact():
    big = 10**30
    held = queued_and("INFLIGHT", precise_amount=2 * big)
    part = commit_hold("order_42", precise_amount=big)
    assert decided(part, ours(before=big - 1), *held, child(10, big - 1), child(11, big)) == Done(
        "applied", txn(11), txn(2)
    )


# -- amounts that cannot be read -----------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    "rows", [(*HELD, child(10, None)), queued_and("INFLIGHT", precise_amount=None)], ids=["a commit", "the hold"]
)
def test_an_amount_that_cannot_be_read_never_counts_as_nothing(intent, rows):
    # Nothing was tried, so nothing is counted.
    assert decided(intent, progress(since_ms=NOW_MS), *rows) == Again(POLICY.confirm_first_s, counted=False)
    given_up = decided(intent, progress(since_ms=NOW_MS - HOUR), *rows)
    assert dead(given_up) == (DeadClass.REFUSED, "AMOUNT_UNREADABLE")
    assert "amounts that can be read" in given_up.message
    assert isinstance(decided(intent, ours(HOUR), *rows), Look)
    assert dead(decided(intent, ours(6 * HOUR), *rows)) == (DeadClass.UNKNOWN, "UNDECIDED")


# -- refused, if it is not there -----------------------------------------------------------------------------------


@ALL
def test_a_clear_no_to_what_was_never_sent_before_is_final(intent):
    now = replace(progress(), refuse=True, code="GEN_BAD_REQUEST", message="why")
    assert decided(intent, now, *HELD) == Dead(DeadClass.REFUSED, "GEN_BAD_REQUEST", "why")


@ALL
def test_a_clear_no_after_an_ambiguous_attempt_is_final_once_that_one_can_come_no_more(intent):
    quiet_ms = int(POLICY.quiet_s * 1000)
    assert isinstance(decided(intent, refused(quiet_ms - 1, "GEN_BAD_REQUEST"), *HELD), Look)
    late = refused(quiet_ms, "GEN_BAD_REQUEST")
    assert decided(intent, late, *HELD) == Dead(DeadClass.REFUSED, "GEN_BAD_REQUEST", "why")


@ALL
@pytest.mark.parametrize("code", ["TXN_ALREADY_COMMITTED", "TXN_ALREADY_VOIDED", "TXN_COMMIT_AMOUNT_EXCEEDED"])
def test_a_read_that_shows_a_settled_hold_as_open_is_old_and_refuses_nothing(intent, code):
    # Our own first attempt may be what settled it: "refused" would make somebody do it a second time.
    assert isinstance(decided(intent, refused(HOUR, code), *HELD), Look)
    assert dead(decided(intent, refused(6 * HOUR, code), *HELD)) == (DeadClass.UNKNOWN, "UNDECIDED")


def test_a_settled_hold_is_ours_when_it_shows_what_we_asked_for():
    assert decided(COMMIT, refused(HOUR, "TXN_ALREADY_COMMITTED"), *HELD, child(10, 1000)).outcome == "applied"
    assert decided(VOID, refused(HOUR, "TXN_ALREADY_VOIDED"), *HELD, voided()).outcome == "voided"
    assert decided(PART, refused(HOUR, "TXN_ALREADY_VOIDED"), *HELD, child(10, 300), voided()).outcome == "applied"


@ALL
def test_past_its_deadline_nothing_is_sent(intent):
    assert dead(decided(intent, progress(deadline_ms=NOW_MS), *HELD)) == (DeadClass.REFUSED, "EXPIRED")
    assert dead(decided(intent, ours(HOUR, deadline_ms=NOW_MS), *HELD)) == (DeadClass.UNKNOWN, "EXPIRED")


# -- the request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "body"),
    [
        (COMMIT, {"status": "commit", "skip_queue": True}),
        (PART, {"status": "commit", "skip_queue": True, "precise_amount": 300}),
        (VOID, {"status": "void", "skip_queue": True}),
    ],
)
def test_a_hold_is_settled_in_skip_mode_and_by_precise_amount_only(intent, body):
    request = KINDS[intent.kind].request(entry_of(intent, "a-key"), ours(), POLICY)
    assert (request.method, request.path, request.sync) == ("PUT", f"/transactions/inflight/{txn(2)}", True)
    assert request.body == body
