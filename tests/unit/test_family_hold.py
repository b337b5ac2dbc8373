"""What settling one hold rests on: which answers are believed, what letters say, what is told after a loss.

What the ledger shows of holds, and what is done then, is in test_inflight.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import kindbook
import pytest
from casebook import DAY, HOUR, MINUTE, NOW_MS, POLICY, SECOND, decided, entry_of, progress, queued_and, row, sent, txn

from blnk_relay import commit_hold, commit_holds, void_hold
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Response, Verdict
from blnk_relay.kinds.registry import KINDS

COMMIT, VOID = commit_hold("order_42"), void_hold("order_42")
PART = commit_hold("order_42", precise_amount=300)
ALL = pytest.mark.parametrize("intent", [COMMIT, VOID, PART], ids=["commit", "void", "part"])

#: Rows 1 (queued) and 2 (the hold, 1000 minor units).
HELD = queued_and("INFLIGHT", precise_amount=1000)

#: 400 of them were committed before it was sent.
MEMO = {"row": txn(2), "before": "400", "left": "600"}

UNBELIEVING = replace(POLICY, confirm=False)


def child(number: int, amount: int, status: str = "APPLIED", parent: str = txn(2), **changes: Any):
    return row(number, f"ref_{number}", status, parent=parent, precise_amount=amount, **changes)


# -- which 200 is believed -------------------------------------------------------------------------------------------


def answered(intent, policy=POLICY, memo=MEMO, **changes: Any) -> Verdict:
    """What the answer of the ledger means that the hold was settled as asked, but for some of its fields."""
    part = intent.payload.get("precise_amount")
    body = {
        "transaction_id": txn(9),
        "status": "VOID" if intent.kind == VOID.kind else "APPLIED",
        "parent_transaction": txn(2),
        "precise_amount": part or 600,
    } | changes
    entry, now, kind = entry_of(intent, "a-key"), progress(memo=memo), KINDS[intent.kind]
    response = Response(status=200, body={name: value for name, value in body.items() if value is not None})
    return kind.judge(entry, now, kind.request(entry, now, policy), response, policy)


def believed(outcome: str) -> Verdict:
    return Verdict(Done(outcome, txn(9), txn(2)), acted=True, accepted=True)


@pytest.mark.parametrize(
    ("intent", "outcome"), [(COMMIT, "applied"), (VOID, "voided")], ids=["all that remains", "void"]
)
@pytest.mark.parametrize("amount", [600, "600", None])
def test_the_child_in_the_answer_is_the_outcome_of_what_settles_all_that_remains(intent, outcome, amount):
    assert answered(intent, precise_amount=amount) == believed(outcome)


def test_what_recorded_nothing_of_the_rest_believes_any_amount_of_it():
    """As earlier versions recorded it."""
    assert answered(COMMIT, memo={"row": txn(2), "before": "400"}, precise_amount=77) == believed("applied")


@pytest.mark.parametrize("amount", [300, "300"])
def test_the_answer_to_a_part_is_only_believed_where_nobody_looks(amount):
    assert answered(PART, UNBELIEVING, precise_amount=amount) == believed("applied")
    # A gateway may have made two of it, and shows one.
    told = answered(PART, precise_amount=amount)
    assert isinstance(told.decision, Look)
    assert (told.acted, told.accepted) == (True, True)


@pytest.mark.parametrize("policy", [POLICY, UNBELIEVING], ids=["looked at", "believed"])
@pytest.mark.parametrize(
    ("intent", "changes"),
    [
        (COMMIT, {"transaction_id": "order_42"}),
        (COMMIT, {"transaction_id": None}),
        (COMMIT, {"transaction_id": 9}),
        (COMMIT, {"status": "VOID"}),
        (COMMIT, {"status": "INFLIGHT"}),
        (VOID, {"status": "APPLIED"}),
        (COMMIT, {"parent_transaction": txn(1)}),
        (VOID, {"parent_transaction": None}),
        # Of an earlier part, or of a repeat that found less.
        (COMMIT, {"precise_amount": 400}),
        (VOID, {"precise_amount": 601}),
        (COMMIT, {"precise_amount": "much"}),
        (PART, {"precise_amount": 600}),
        (PART, {"precise_amount": None}),
        (PART, {"status": "VOID"}),
        (PART, {"parent_transaction": txn(1)}),
    ],
)
def test_an_answer_that_is_not_about_this_proves_nothing_and_is_looked_for(intent, changes, policy):
    """A page of somebody in between, or the answer to another request."""
    verdict = answered(intent, policy, **changes)
    assert isinstance(verdict.decision, Look)
    assert (verdict.acted, verdict.accepted) == (True, False)


def test_whatever_stands_in_the_record_is_one_step_of_the_path():
    kind = KINDS[COMMIT.kind]
    request = kind.request(entry_of(COMMIT), progress(memo={"row": "txn_a/b?c"}), POLICY)
    assert request.path == "/transactions/inflight/txn_a%2Fb%3Fc"


# -- what letters say, and how long is waited for a hold -------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("rows", "code", "told"),
    [
        ((), "HOLD_NOT_FOUND", "The ledger shows no such hold."),
        ([row(1, "order_42", "QUEUED")], "TXN_NOT_INFLIGHT", "The hold is still QUEUED."),
        ([row(1, "order_42", "SCHEDULED")], "TXN_NOT_INFLIGHT", "The hold is still SCHEDULED."),
        (queued_and("APPLIED"), "TXN_NOT_INFLIGHT", "The transaction is APPLIED, not a hold."),
        ([row(2, "order_42", "VOID")], "TXN_NOT_INFLIGHT", "The transaction is VOID, not a hold."),
        (queued_and("REJECTED"), "HOLD_REJECTED", "The ledger rejected the hold, so there is nothing to settle."),
        (
            queued_and("INFLIGHT", precise_amount=None),
            "AMOUNT_UNREADABLE",
            "The ledger shows the hold or its commits without amounts that can be read.",
        ),
    ],
    ids=["nowhere", "queued", "scheduled", "applied", "void", "rejected", "unreadable"],
)
def test_a_letter_says_what_the_ledger_shows_in_the_place_of_an_open_hold(intent, rows, code, told):
    assert decided(intent, progress(since_ms=NOW_MS - DAY), *rows) == Dead(DeadClass.REFUSED, code, told)


@ALL
@pytest.mark.parametrize(
    "rows", [(), [row(1, "order_42", "QUEUED")], queued_and("INFLIGHT", precise_amount=None)], ids=len
)
@pytest.mark.parametrize(
    ("age_ms", "in_s"), [(0, POLICY.confirm_first_s), (10 * SECOND, 6.0), (14 * MINUTE, POLICY.confirm_max_s)]
)
def test_what_is_waited_for_is_looked_for_less_and_less_often_and_counts_as_no_try(intent, rows, age_ms, in_s):
    assert decided(intent, progress(since_ms=NOW_MS - age_ms), *rows) == Again(in_s, counted=False)


@ALL
def test_a_hold_that_is_younger_than_the_intent_is_given_its_own_hours(intent):
    """Who waited for it in the lane for a day has not seen it queued for a day."""
    made_at = datetime.fromtimestamp((NOW_MS - HOUR) / 1000, UTC).isoformat()
    now = progress(since_ms=NOW_MS - DAY)
    assert isinstance(decided(intent, now, row(1, "order_42", "QUEUED", created_at=made_at)), Again)
    assert isinstance(decided(intent, now, row(1, "order_42", "QUEUED", created_at="")), Dead)


@ALL
def test_what_was_read_for_others_settles_no_hold(intent):
    """Workers read for many at once: rows without a parent are no children of a hold that has none."""
    held = row(2, "order_42", "INFLIGHT", precise_amount=1000)
    shown = (held, row(7, "another", "VOID"), row(8, "a_third", "APPLIED", precise_amount=1000))
    assert isinstance(kindbook.decided(intent, progress(), *shown), Send)


@ALL
def test_amounts_that_cannot_be_read_are_waited_for_as_long_as_the_ledger_may_try(intent):
    unreadable = queued_and("INFLIGHT", precise_amount=None)
    horizon_ms = int(POLICY.horizon_s * 1000)
    assert isinstance(decided(intent, progress(since_ms=NOW_MS - horizon_ms + 1), *unreadable), Again)
    assert isinstance(decided(intent, progress(since_ms=NOW_MS - horizon_ms), *unreadable), Dead)


# -- after a loss ----------------------------------------------------------------------------------------------------

#: It was accepted, and the moments in which it may have been sent are lost.
LOST_MS = NOW_MS - HOUR


def lost(**changes: Any):
    """It may have been sent in lost moments, whose last was an hour ago, and nothing is recorded of that."""
    return sent(HOUR, **({"memo": {}, "lost_ms": LOST_MS, "created_ms": NOW_MS - DAY} | changes))


def at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def test_a_part_that_may_be_one_of_the_commits_is_sent_only_if_each_is_anothers_and_else_the_letter_names_them():
    shown = [child(10, 300), child(11, 200), child(12, 300)]
    send = decided(PART, lost(), *HELD, *(replace(one, created_at=at(NOW_MS - 2 * HOUR)) for one in shown))
    assert isinstance(send, Send)
    assert send.perhaps_ours == (txn(10), txn(12))
    assert send.seen == (txn(10), txn(11), txn(12))
    letter = send.otherwise
    assert (letter.dead_class, letter.code) == (DeadClass.UNKNOWN, "MOMENT_LOST")
    assert f"{txn(10)}, {txn(12)}." in letter.message
    assert txn(11) not in letter.message


@pytest.mark.parametrize("intent", [COMMIT, VOID, PART], ids=["commit", "void", "part"])
def test_where_nothing_can_be_it_a_send_has_no_other_end(intent):
    send = decided(intent, lost(), *HELD, child(11, 200))
    assert (send.perhaps_ours, send.otherwise) == ((), None)


@pytest.mark.parametrize(
    ("made_at", "perhaps"),
    [
        ("", True),
        ("no time", True),
        # The limit itself, to the millisecond, and one before it: five minutes before it was accepted.
        (at(NOW_MS - 2 * HOUR - 5 * MINUTE), True),
        (at(NOW_MS - 2 * HOUR - 5 * MINUTE - 1), False),
        (at(1), False),
    ],
)
def test_a_commit_of_which_nobody_knows_when_it_was_made_may_be_it(made_at, perhaps):
    now = lost(created_ms=NOW_MS - 2 * HOUR)
    decision = decided(PART, now, *HELD, child(10, 300, created_at=made_at))
    assert bool(decision.perhaps_ours) is perhaps


@pytest.mark.parametrize(("created_ms", "perhaps"), [(LOST_MS - 5 * MINUTE, True), (LOST_MS - 5 * MINUTE - 1, False)])
def test_what_was_accepted_within_five_minutes_of_a_loss_may_have_been_accepted_in_it_before(created_ms, perhaps):
    now = lost(created_ms=created_ms, tail_ms=NOW_MS - DAY)
    decision = decided(PART, now, *HELD, child(10, 300, created_at=at(NOW_MS - 5 * HOUR)))
    assert bool(decision.perhaps_ours) is perhaps


def test_a_refusal_is_not_believed_while_a_commit_may_be_this_very_part():
    """One worker was refused; what another did, who thought it dead, is lost with the record."""
    refused = lost(refuse=True, code="GEN_VALIDATION_ERROR", message="why")
    made = child(10, 300, created_at=at(NOW_MS - 2 * HOUR))
    decision = decided(PART, refused, *HELD, made)
    assert isinstance(decision, Send), "the journal knows whether that commit is another's"
    assert decision.perhaps_ours == (txn(10),)
    # Where none can be it, no more is to be known.
    for others in ((), (child(10, 299),), (child(10, 300, created_at=at(NOW_MS - 9 * DAY)),)):
        assert decided(PART, refused, *HELD, *others) == Dead(DeadClass.REFUSED, "GEN_VALIDATION_ERROR", "why")


@ALL
@pytest.mark.parametrize("rows", [(), queued_and("REJECTED")[:1]], ids=["nothing", "queued"])
def test_a_hold_that_is_not_shown_just_after_a_loss_refuses_nothing(intent, rows):
    """It was there if it was sent, so a read that lacks it may be older than what is lost."""
    just_now = lost(since_ms=NOW_MS - DAY, last_sent_ms=NOW_MS - int(POLICY.read_lag_s * 1000) + 1)
    assert isinstance(decided(intent, just_now, *rows), Look)
    fresh = replace(just_now, last_sent_ms=NOW_MS - int(POLICY.read_lag_s * 1000))
    assert decided(intent, fresh, *rows).dead_class is DeadClass.REFUSED


# -- parts, by sums --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lost_ms", "code"), [(0, "HOLD_CHANGED"), (LOST_MS, "MOMENT_LOST")])
def test_a_sum_that_grew_by_the_part_in_other_pieces_is_not_that_part(lost_ms, code):
    """Commits of 100 and of 200 are no commit of 300: whether ours is still to come nobody knows."""
    now = sent(HOUR, memo={"row": txn(2), "before": "0", "left": "1000"}, lost_ms=lost_ms)
    decision = decided(PART, now, *HELD, child(10, 100), child(11, 200))
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, code)


#: A commit of its amount from before a part was sent, and that amount in two pieces since.
OLDER = child(10, 300, created_at=at(NOW_MS - 2 * HOUR))
PIECES = [child(11, 100, created_at=at(NOW_MS - HOUR)), child(12, 200, created_at=at(NOW_MS - HOUR))]


@pytest.mark.parametrize("lost_ms", [0, LOST_MS])
def test_an_older_commit_of_the_same_amount_does_not_make_it_that_part(lost_ms):
    now = sent(HOUR, memo={"row": txn(2), "before": "300", "left": "700"}, lost_ms=lost_ms)
    decision = decided(PART, now, *HELD, OLDER, *PIECES)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "MOMENT_LOST" if lost_ms else "HOLD_CHANGED")
    # The same amount once more is it.
    assert decided(PART, now, *HELD, OLDER, child(13, 300, created_at=at(NOW_MS - HOUR))) == Done(
        "applied", txn(13), txn(2)
    )


@pytest.mark.parametrize("behind_ms", [0, MINUTE, 5 * MINUTE])
def test_a_part_is_found_though_the_node_that_made_it_has_a_clock_that_is_behind(behind_ms):
    """Two of 200 were there before it, made by another node a moment ago."""
    now = sent(HOUR, memo={"row": txn(2), "before": "400", "left": "600"})
    before = [child(number, 200, created_at=at(NOW_MS - HOUR)) for number in (11, 12)]
    ours = child(13, 300, created_at=at(NOW_MS - HOUR - behind_ms))
    assert decided(PART, now, *HELD, *before, ours) == Done("applied", txn(13), txn(2))


def test_a_time_that_cannot_be_read_says_nothing_of_a_commit():
    now = sent(HOUR, memo={"row": txn(2), "before": "300", "left": "700"})
    assert isinstance(decided(PART, now, *HELD, child(10, 300, created_at="once"), *PIECES), Done)


def test_an_older_commit_of_the_same_amount_makes_no_hold_of_many_done():
    now = sent(HOUR, memo={"items": [[txn(2), "300", "sq", "", ""]]})
    decision = decided(commit_holds([PART]), now, *HELD, OLDER, *PIECES)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "ITEMS_UNKNOWN")
