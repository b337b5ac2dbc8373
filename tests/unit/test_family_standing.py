"""What an audit tells of movements of money: of one, of the legs of a split, of the items of a bulk, and of holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from casebook import ALICE, BANK, SOMEBODY, payment, row, txn
from kindbook import entry_of
from test_evidence import SPLIT, bulk, compared, legs, letter, past, split, told

from blnk_relay import Leg, split_transaction
from blnk_relay.intents.evidence import Part

FIRST, SECOND = row(11, "fee-1_q", "APPLIED"), row(12, "fee-2_q", "APPLIED")
SALE = entry_of(SPLIT).reference


# -- letters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noted", ["open", "missing", "rejected", "queued", "undone", "refused"])
@pytest.mark.parametrize(
    ("state", "changes", "advice"),
    [
        ("dead", {"dead_class": "refused", "code": "SOME_CODE"}, "discard the letter, saying so"),
        ("dead", {"dead_class": "unknown", "code": "STUCK_QUEUED"}, "replay the letter, which finds it"),
        ("cancelled", {"outcome": "cancelled"}, "taken back"),
    ],
)
def test_an_item_that_is_no_outcome_and_happened_is_told_whatever_was_noted_of_it(noted, state, changes, advice):
    it = bulk(state, Part(noted), Part(noted), **changes)
    assert told(it) == []
    assert told(it, replace(FIRST, status="REJECTED")) == []
    (one,) = compared(it, [FIRST])
    assert (one.sort, one.reference) == ("happened", "fee-1")
    assert advice in one.advice
    assert told(it, replace(FIRST, precise_amount=1)) == [("strange", "fee-1")]


def test_a_letter_that_names_a_conflict_is_believed_of_that_item_and_not_of_what_happened_as_asked():
    it = bulk("dead", Part("conflict", txn(11)), Part("missing"), dead_class="unknown", code="REFERENCE_CONFLICT")
    other = replace(FIRST, precise_amount=1)
    assert told(it, other) == []
    assert told(it, other, SECOND) == [("happened", "fee-2")]
    refused = letter(payment(), "unknown", "TXN_DUPLICATE_REFERENCE")
    assert told(refused, row(2, "order_42_q", "APPLIED", precise_amount=1)) == []
    assert told(refused, row(2, "order_42_q", "APPLIED")) == [("happened", "order_42")]


def test_a_split_that_was_refused_because_its_reference_exists_may_have_made_just_that():
    refused = letter(SPLIT, "refused", "TXN_DUPLICATE_REFERENCE")
    first, second = legs()
    assert told(refused, first, second) == [("happened", SALE)]
    assert told(refused, first, replace(second, precise_amount=51)) == []


# -- more than was asked for -----------------------------------------------------------------------------------------


def test_an_item_is_there_twice_only_where_it_stands_under_its_own_reference_as_well():
    another = row(13, "fee-1.r2_q", "APPLIED")
    parts = (Part("applied", txn(11)), Part("queued"))
    stuck = bulk("dead", *parts, dead_class="unknown", code="STUCK_QUEUED")
    assert told(stuck, FIRST, another) == [("twice", "fee-1")]
    partial = bulk("dead", Part("missing"), Part("applied", txn(12)), dead_class="partial", code="ITEMS_MISSING")
    assert told(partial, another, SECOND) == [("happened", "fee-1")]


def test_a_leg_too_many_that_was_given_back_is_no_difference_any_more():
    surplus = replace(legs()[1], transaction_id=txn(13), reference=f"{SALE}-3")
    back = row(14, f"{txn(13)}_refund_q", "APPLIED")
    assert told(split(), *legs(), surplus) == [("twice", SALE)]
    assert told(split(), *legs(), surplus, back) == []


def test_of_a_row_with_another_status_all_else_that_differs_is_told():
    it = past(payment(source="@inflight-fees"), transaction_id=txn(2))
    (one,) = compared(it, [row(2, "order_42_q", "INFLIGHT", source="@other")])
    assert one.shows == "status: asked APPLIED, has INFLIGHT; source: asked @inflight-fees, has @other"


# -- holds ------------------------------------------------------------------------------------------------------------


def test_a_leg_that_the_ledger_voided_itself_was_settled_by_nobody_else():
    intent = split_transaction(
        source=BANK,
        destinations=[Leg(ALICE, precise_amount=1000), Leg(SOMEBODY, precise_amount=30), Leg("@fees", left=True)],
        currency="EUR",
        amount="10.50",
        description="Sale",
        reference="sale",
        inflight=True,
    )
    first, second = (replace(one, status="INFLIGHT") for one in legs(intent))
    second = replace(second, precise_amount=30)
    parts = (Part("undone", txn(11)), Part("held", txn(12)), Part("missing"))
    it = letter(intent, "partial", "ROLLBACK_INCOMPLETE", parts=parts)
    void = row(15, "ref_15", "VOID", parent=txn(11))
    assert told(it, first, void, second) == []
    assert told(it, first, void, second, replace(void, transaction_id=txn(16), parent=txn(12))) == [
        ("twice", second.reference)
    ]


# -- the legs of a split ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inflight", "says"), [(False, "applied"), (True, "held")])
def test_where_nobody_waited_to_see_each_leg_all_of_them_are_to_stand(inflight, says):
    intent = replace(SPLIT, payload={**SPLIT.payload, **({"inflight": True} if inflight else {})})
    it = past(intent, outcome="accepted", parts=(Part("open"), Part("open")))
    first, second = (replace(one, status="INFLIGHT" if inflight else "APPLIED") for one in legs(intent))
    assert told(it, first, second) == []
    (one,) = compared(it, [first])
    assert (one.sort, one.reference, one.says) == ("missing", f"leg 2 of {SALE}", says)
