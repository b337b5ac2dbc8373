"""What an audit tells of holds that were settled and of payments that were given back: of what, and in which words.

A difference is asserted by its sort, by what it is about, and by the values that it names: they are all that whoever
has to put it right is given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import ALICE, BANK, payment, progress, row, txn
from kindbook import entry_of
from test_evidence import HELD, HOLD_ROW, compared, letter, past, told

from blnk_relay import commit_hold, commit_holds, refund, void_hold, void_holds
from blnk_relay.families.hold_item import Item
from blnk_relay.intents.decision import Done
from blnk_relay.intents.evidence import Part, Past
from blnk_relay.intents.found import Found, Row
from blnk_relay.kinds.registry import KINDS
from tests.support.specimens import NOW_MS, POLICY

HOLD, CHILD, OTHER = txn(7), txn(8), txn(9)
SECOND_HOLD = row(17, "order_43", "INFLIGHT")


def child(number: int = 8, amount: int | None = 400, status: str = "APPLIED", **changes: Any) -> Row:
    """What was made below the hold."""
    return row(number, f"ref_{number}", status, **({"parent": HOLD, "precise_amount": amount} | changes))


def batch(*items: Item, holds: Any = ("order_42", "order_43"), state: str = "done", **changes: Any) -> Past:
    """A commit of both holds, and what was recorded of each."""
    memo = {"items": [item.packed() for item in items]} if items else {}
    return past(commit_holds(list(holds)), state, of="b", memo=memo, **changes)


# -- whose a row below a hold is --------------------------------------------------------------------------------------


def test_nobody_is_accused_of_what_a_batch_that_was_not_read_back_has_made():
    # Nothing names the row: it is one of those below the hold, and nobody can tell which.
    believed = batch(Item(HOLD), Item(txn(17)), parts=(Part("open"), Part("open")))
    whole = child(amount=1050)
    assert told(HELD, HOLD_ROW, whole, others=[believed]) == []
    assert told(believed, HOLD_ROW, SECOND_HOLD, whole) == []
    # More than there was to commit is told all the same.
    assert told(believed, HOLD_ROW, SECOND_HOLD, whole, child(9)) == [("twice", "order_42")]


def test_nobody_is_accused_of_what_an_item_may_have_made_of_which_nobody_can_tell():
    made, unknown, refused = Part("applied", CHILD), Part("unknown"), Part("refused")
    its = child(9, parent=txn(17))
    items = (Item(HOLD, child=CHILD), Item(txn(17)))
    partial = batch(*items, state="dead", dead_class="partial", code="ITEMS_UNKNOWN", parts=(made, unknown))
    shown = (SECOND_HOLD, its, HOLD_ROW, child())
    second = past(payment(inflight=True, reference="order_43"), outcome="held", transaction_id=txn(17), of="s")
    assert told(second, *shown, others=[partial]) == []
    # One that was refused made nothing, so somebody else did.
    refused_one = replace(partial, code="ITEMS_REFUSED", parts=(made, refused))
    assert told(second, *shown, others=[refused_one]) == [("twice", "order_43")]


@pytest.mark.parametrize(
    ("intent", "status"),
    [(commit_holds(["order_42", "order_43"]), "APPLIED"), (void_holds(["order_42", "order_43"]), "VOID")],
)
def test_what_a_batch_found_after_a_loss_is_known_as_its_own(intent, status):
    # Nothing was recorded of its holds, so only its parts say what it came to.
    shown = [HOLD_ROW, SECOND_HOLD, child(8, 1050, status), child(18, 1050, status, parent=txn(17))]
    now = progress(lost_ms=NOW_MS - 600_000, tail_ms=NOW_MS - 700_000, sent=True, looking=True)
    decided = KINDS[intent.kind].decide(entry_of(intent), now, Found(shown), POLICY)
    assert isinstance(decided, Done)
    assert decided.note is not None
    parts = tuple(Part(*text.split(" ")) for _, text in sorted(decided.note.parts.items()))
    it = past(intent, of="b", memo=decided.note.memo, parts=parts)
    assert told(it, *shown) == []
    assert told(HELD, *shown, others=[it]) == []
    # It is there, and as it was asked for, as far as that is known.
    assert told(it, *shown[:3]) == [("missing", "order_43")]
    (gone,) = compared(it, shown[:3])
    assert gone.shows == f"no row {txn(18)} below the hold"
    (other,) = compared(it, [*shown[:3], replace(shown[3], status="REJECTED")])
    assert (other.sort, other.shows) == ("other", f"{txn(18)}: status: asked {shown[3].status}, has REJECTED")


def test_an_item_of_which_nobody_could_tell_can_be_told_by_the_one_row_that_fits():
    parts = (Part("applied", CHILD), Part("unknown"))
    items = (Item(HOLD, child=CHILD), Item(txn(17)))
    it = batch(*items, state="dead", dead_class="partial", code="ITEMS_UNKNOWN", parts=parts)
    whole = child(amount=1050)
    its = child(9, 1050, parent=txn(17))
    assert told(it, HOLD_ROW, whole, SECOND_HOLD) == []
    (one,) = compared(it, [HOLD_ROW, whole, SECOND_HOLD, its])
    assert (one.sort, one.reference, one.shows) == ("happened", "order_43", f"{OTHER} (APPLIED 1050)")
    assert "discard the letter" in one.advice
    assert told(replace(it, state="discarded"), HOLD_ROW, whole, SECOND_HOLD, its) == []


# -- letters that can be told by now ----------------------------------------------------------------------------------

OPEN = {"row": HOLD, "before": "0", "left": "1050"}


def unknown(amount: int | None, **memo: str) -> Past:
    """A letter of a commit of which nobody can tell."""
    intent = commit_hold("order_42", precise_amount=amount) if amount else commit_hold("order_42")
    return letter(intent, "unknown", memo=OPEN | memo)


@pytest.mark.parametrize(
    ("it", "shown", "happened"),
    [
        # All that remained is told by no less than that.
        (unknown(None), [child(8, 1050)], 8),
        (unknown(None), [child(8, 400)], None),
        (unknown(None, before="400", left="650"), [child(8, 400), child(9, 650)], 9),
        (unknown(None, before="400", left="650"), [child(8, 400)], None),
        # A part by one of its amount, and by none that was there before it was sent.
        (unknown(400), [child(8, 400)], 8),
        (unknown(400), [child(8, 300)], None),
        (unknown(400), [child(8, 400), child(9, 300)], 8),
        (unknown(400), [child(8, 400), child(9, 400)], None),
        (unknown(400, before="400"), [child(8, 400)], None),
        (unknown(400, before="400"), [child(8, 400), child(9, 300)], None),
        (unknown(400, before="400"), [child(8, 400), child(9, 400)], 9),
        (unknown(400, before="700"), [child(6, 300), child(8, 400), child(9, 400)], 9),
        # Where the amount of one cannot be read, it is not believed to be this one.
        (unknown(400), [child(8, None)], None),
        # A void is told by any.
        (letter(void_hold("order_42"), "unknown", memo=OPEN), [child(8, 650, "VOID")], 8),
        (letter(void_hold("order_42"), "unknown", memo=OPEN | {"before": "400"}), [child(8, 650, "VOID")], 8),
        (letter(void_hold("order_42"), "unknown", memo=OPEN), [child(8, 1050)], None),
        (unknown(None), [child(8, 1050, "VOID")], None),
    ],
)
def test_a_letter_that_nobody_could_tell_is_told_by_the_one_row_that_can_only_be_its_own(it, shown, happened):
    told_ = [(str(one.sort), one.reference, one.shows) for one in compared(it, [HOLD_ROW, *shown])]
    its = next((one for one in shown if one.transaction_id == txn(happened or 0)), None)
    words = f"{txn(happened)} ({its.status} {its.precise_amount})" if its and happened else ""
    assert told_ == ([("happened", "order_42", words)] if words else [])


# -- what stands otherwise --------------------------------------------------------------------------------------------

QUEUED_HOLD = replace(HOLD_ROW, parent=txn(1))


def test_a_hold_that_expired_meanwhile_is_voided_below_its_queued_row():
    it = past(void_hold("order_42"), outcome="voided", transaction_id=CHILD, parent_id=HOLD, memo=OPEN)
    expired = child(8, 1050, "VOID", parent=txn(1))
    assert told(it, QUEUED_HOLD, expired) == []
    # But not below any other row, nor does a commit stand there.
    for shown in (
        (QUEUED_HOLD, replace(expired, parent=OTHER)),
        (QUEUED_HOLD, replace(expired, parent="")),
        (HOLD_ROW, expired),
        (HOLD_ROW, replace(expired, parent="")),
    ):
        assert told(it, *shown) == [("other", "order_42")]
    committed = past(commit_hold("order_42"), outcome="applied", transaction_id=CHILD, parent_id=HOLD, memo=OPEN)
    assert told(committed, QUEUED_HOLD, replace(expired, status="APPLIED")) == [("other", "order_42")]


# -- refunds ----------------------------------------------------------------------------------------------------------

ROW = txn(2)
REFERENCE = f"{ROW}_refund"
PAID = row(2, "order_42_q", "APPLIED", parent=txn(1))
BACK = row(8, f"{REFERENCE}_q", "APPLIED", source=ALICE, destination=BANK)


def given_back(**changes: Any) -> Past:
    """A refund that is done."""
    known = {"outcome": "refunded", "transaction_id": CHILD, "parent_id": ROW, "memo": {"row": ROW, "amount": "1050"}}
    return past(refund("order_42"), **(known | changes))


def test_a_refund_that_the_ledger_still_has_in_its_queue_is_not_said_to_be_nowhere():
    believed = given_back(outcome="accepted", transaction_id="")
    (one,) = compared(believed, [PAID, row(18, REFERENCE, "QUEUED", source=ALICE, destination=BANK)])
    assert (one.sort, one.reference, one.shows) == ("missing", REFERENCE, f"{txn(18)}, still QUEUED")


def test_what_stands_in_the_place_of_a_refund_and_is_none_is_not_told_as_one():
    unknown_ = letter(refund("order_42"), "unknown", "VANISHED", memo={"row": ROW, "amount": "1050"})
    (one,) = compared(unknown_, [PAID, BACK])
    assert (one.sort, one.reference, one.shows) == ("happened", REFERENCE, f"{CHILD} (APPLIED)")
    part = replace(BACK, precise_amount=100)
    for shown in ([PAID, part], [part]):
        (one,) = compared(unknown_, shown)
        assert (one.sort, one.reference) == ("strange", REFERENCE)
        assert one.shows == f"another transaction: {CHILD} (APPLIED): precise_amount: asked 1050, has 100"
    # The letter that names it itself is true.
    assert told(replace(unknown_, code="REFERENCE_CONFLICT"), PAID, part) == []
