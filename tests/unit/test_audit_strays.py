"""What a row is that stands in a place of an intent's and that no intent asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import payment, row, txn
from kindbook import entry_of

from blnk_relay import Leg, bulk_transactions, refund, split_transaction
from blnk_relay.audit import strays
from blnk_relay.audit.knowing import Knowing
from blnk_relay.intents.evidence import Difference, Part, Past, Sort
from blnk_relay.intents.found import Row
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.references import split_reference
from tests.support.specimens import NOW_MS

DATE = "2030-01-01T00:00:00Z"
HOLD = row(2, "order_42", "INFLIGHT")
PAID = row(2, "order_42_q", "APPLIED", parent=txn(1))
COMMIT = row(3, "ref_00000000-0000-4000-8000-000000000003", "APPLIED", parent=txn(2))
VOID = replace(COMMIT, status="VOID")
REFUND = row(4, f"{txn(2)}_refund", "APPLIED", parent=txn(2))


def past(intent: Intent, state: str = "done", **changes: Any) -> Past:
    given: dict[str, Any] = {"transaction_id": txn(2), "ended_ms": NOW_MS, "accepted_ms": NOW_MS - 1000}
    return Past(entry_of(intent), state, **(given | changes))  # type: ignore[arg-type]


def held(**dates: str) -> Past:
    return past(payment(inflight=True, skip_queue=bool(dates) or None, **dates), outcome="held")


def sort(it: Past, made: Row, over: Row, since_ms: int = NOW_MS + 1, until_ms: int = NOW_MS + 2) -> Sort | None:
    """What it is; the intent ended before the time that is looked at, unless another one is given."""
    one: Difference | None = strays.below(it, made, over, since_ms, until_ms)
    assert one is None or (one.says and one.shows and one.advice)
    return None if one is None else one.sort


def test_what_is_settled_of_a_hold_of_ours_is_told_unless_its_evidence_has():
    assert sort(held(), COMMIT, HOLD) is sort(held(), VOID, HOLD) is Sort.TWICE
    assert sort(held(), COMMIT, HOLD, NOW_MS, NOW_MS + 1) is None
    # What was voided below the queued row, no evidence looks for.
    assert sort(held(), VOID, replace(HOLD, status="QUEUED"), NOW_MS, NOW_MS + 1) is Sort.TWICE


@pytest.mark.parametrize("ended_in_time", [True, False])
def test_what_the_ledger_makes_by_itself_is_no_difference_and_all_else_is(ended_in_time):
    times = (NOW_MS, NOW_MS + 1) if ended_in_time else (NOW_MS + 1, NOW_MS + 2)
    expires, commits = held(inflight_expiry_date=DATE), held(inflight_commit_date=DATE)
    assert sort(expires, VOID, HOLD, *times) is sort(commits, COMMIT, HOLD, *times) is None
    assert sort(expires, COMMIT, HOLD, *times) is sort(commits, VOID, HOLD, *times) is Sort.TWICE


def test_a_refund_of_what_stands_is_strange():
    assert sort(past(payment()), REFUND, PAID) is Sort.STRANGE
    assert sort(past(payment()), REFUND, PAID, NOW_MS, NOW_MS + 1) is Sort.STRANGE
    # Not so of what was never an outcome, for a human may have given it back.
    assert sort(past(payment(), "dead", dead_class="rejected", transaction_id=""), REFUND, PAID) is None


def test_what_the_ledger_took_back_before_it_was_renewed_is_nobody_s():
    renewed = past(payment(), generation=1, transaction_id=txn(9))
    assert sort(renewed, REFUND, PAID) is None
    again = replace(PAID, transaction_id=txn(9), reference="order_42.r2_q")
    assert sort(renewed, replace(REFUND, reference=f"{txn(9)}_refund"), again) is Sort.STRANGE


def test_of_what_came_about_in_part_each_part_is_judged_by_itself():
    bulk = bulk_transactions([payment(reference="one"), payment(reference="two")])
    parts = (Part("applied", txn(2)), Part("missing"))
    partial = past(bulk, "dead", dead_class="partial", code="ITEMS_MISSING", transaction_id="", parts=parts)
    assert sort(partial, REFUND, replace(PAID, reference="one_q")) is Sort.STRANGE
    assert sort(partial, REFUND, replace(PAID, transaction_id=txn(8), reference="two_q")) is None
    # Whoever has closed the letter may have given it back first.
    assert sort(replace(partial, state="discarded"), REFUND, replace(PAID, reference="one_q")) is None


def test_items_have_dates_of_their_own():
    dated = payment(reference="one", skip_queue=True, inflight=True, inflight_expiry_date=DATE)
    other = payment(reference="two", skip_queue=True, inflight=True)
    bulk = past(bulk_transactions([dated, other], inflight=True, skip_queue=True), transaction_id="bulk_1")
    assert sort(bulk, VOID, replace(HOLD, reference="one")) is None
    assert sort(bulk, VOID, replace(HOLD, reference="two")) is Sort.TWICE


def test_a_split_has_its_legs_and_no_more():
    legs = [Leg("@a", precise_amount=300), Leg("@b", precise_amount=700)]
    intent = split_transaction(
        source="@world", destinations=legs, precise_amount=1000, precision=100, currency="EUR", description="Shares",
        reference="sale",
    )  # fmt: skip
    it, name = past(intent), split_reference("sale")
    told = {
        suffix: strays.of_split(it, row(5, name + suffix, "APPLIED"))
        for suffix in ("-1", "-2", "-3", "-4", "", "_1", "_1_q", "-1_q")
    }
    # Evidence looks at one more than there are by itself.
    assert {suffix for suffix, one in told.items() if one is None} == {"-1", "-2", "-3"}
    assert {one.sort for one in told.values() if one is not None} == {Sort.TWICE}
    assert strays.of_split(it, row(5, name + "_1", "QUEUED")) is None


class Holding:
    """A journal that holds these."""

    def __init__(self, *pasts: Past) -> None:
        self._pasts = {one.entry.id: one for one in pasts}

    def ids(self, state, _since, _until):
        found = [(id_, 0.0) for id_, one in self._pasts.items() if one.state == state]
        yield from [found] if found else []

    def perhaps_sent(self, **_: object):
        return iter(())

    def of_kinds(self, ids, _kinds, **_: object):
        return ids

    def pasts(self, ids):
        return {id_: self._pasts[id_] for id_ in ids}


def test_a_refund_that_was_believed_unread_may_be_any_below_its_row():
    believed = past(refund(txn(2)), outcome="accepted", transaction_id="", memo={"row": txn(2)})
    read_back = replace(believed, transaction_id=txn(9))
    for it, nobodys in ((believed, False), (read_back, True)):
        knowing = Knowing(Holding(it))
        knowing.refresh()
        assert knowing.is_nobodys(REFUND, txn(2)) is nobodys
    assert not knowing.is_nobodys(replace(REFUND, transaction_id=txn(9)), txn(2))
