"""What an audit tells of holds that were settled and of payments that were given back: of what, and in which words.

A difference is asserted by its sort, by what it is about, and by the values that it names: they are all that whoever
has to put it right is given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import ALICE, BANK, SOMEBODY, payment, progress, row, txn
from kindbook import entry_of
from test_evidence import HELD, HOLD_ROW, compared, known_of, letter, past, told

from blnk_relay import commit_hold, commit_holds, refund, void_hold, void_holds
from blnk_relay.families.hold_item import Item
from blnk_relay.families.settled import settling
from blnk_relay.intents.decision import Done
from blnk_relay.intents.evidence import Part, Past
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.rows import made_ms
from blnk_relay.kinds import inflight_commit, inflight_void
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
        (unknown(1, before="1"), [child(8, 1)], None),
        # Where the amount of one cannot be read, it is not believed to be this one.
        (unknown(400), [child(8, None)], None),
        (unknown(400, before="1"), [child(8, None), child(9, 400)], None),
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

# What each kind is when it is done: all that remained of the hold, a part of it, what was released of it.
ALL = past(commit_hold("order_42"), outcome="applied", transaction_id=CHILD, parent_id=HOLD, memo=OPEN)
PART = past(
    commit_hold("order_42", precise_amount=400), outcome="applied", transaction_id=CHILD, parent_id=HOLD, memo=OPEN
)
VOIDED = past(void_hold("order_42"), outcome="voided", transaction_id=CHILD, parent_id=HOLD, memo=OPEN)


def test_what_is_asked_of_the_ledger_is_the_hold_what_was_made_and_all_that_stands_below():
    evidence = KINDS["inflight.commit"].evidence
    made, hold = Lookup("transactions", "transaction_id", CHILD), Lookup("transactions", "transaction_id", HOLD)
    below = Lookup("transactions", "parent_transaction", HOLD)
    assert evidence.lookups(PART, Found()) == (made, hold, below)
    assert evidence.lookups(PART, Found(asked=[made, below])) == (hold,)
    # Where nothing was recorded, the journal knows the hold by what was found.
    assert evidence.lookups(replace(PART, memo={}), Found()) == (made, hold, below)
    assert evidence.lookups(replace(PART, transaction_id=""), Found()) == (hold, below)
    assert evidence.lookups(replace(PART, parent_id="", memo={}), Found()) == (made,)
    assert evidence.lookups(letter(commit_hold("order_42"), "refused"), Found()) == ()


@pytest.mark.parametrize(
    "it", [PART, ALL, VOIDED, batch(Item(HOLD, child=CHILD), Item(txn(17)), parts=(Part("open"),) * 2)]
)
def test_what_settles_holds_has_the_evidence_of_its_action(it):
    kinds = {
        "inflight.commit": settling(inflight_commit.ACTION),
        "inflight.void": settling(inflight_void.ACTION),
        "inflight.bulk_commit": settling(inflight_commit.ACTION, lambda payload: payload["items"]),
    }
    evidence, known = kinds[it.entry.kind], known_of(it)
    asked = evidence.lookups(it, Found())
    assert Lookup("transactions", "parent_transaction", HOLD) in asked
    assert {(one.parent, one.child) for one in evidence.below(it)} >= {(HOLD, CHILD)}
    # What it was not asked for is no child of its own, whichever it is.
    (other,) = evidence.differences(it, Found([HOLD_ROW, child(8, 1050, "REJECTED")]), known)[:1]
    assert other.shows.startswith(f"{CHILD}: status: asked {'VOID' if it is VOIDED else 'APPLIED'}, has REJECTED")


def test_what_is_asked_for_a_batch_is_asked_once():
    evidence = KINDS["inflight.bulk_commit"].evidence
    it = batch(Item(HOLD, child=CHILD), Item(HOLD), parts=(Part("applied", CHILD), Part("applied", OTHER)))
    assert [(one.field, one.value) for one in evidence.lookups(it, Found())] == [
        ("transaction_id", CHILD),
        ("transaction_id", HOLD),
        ("parent_transaction", HOLD),
        ("transaction_id", OTHER),
    ]
    assert evidence.lookups(batch(state="dead", dead_class="refused"), Found()) == ()


@pytest.mark.parametrize(
    ("it", "made", "shows"),
    [
        (PART, child(8, 400), ""),
        (PART, child(8, 399), "precise_amount: asked 400, has 399"),
        (ALL, child(8, 1050), ""),
        (ALL, child(8, 400), "precise_amount: asked 1050, has 400"),
        (VOIDED, child(8, 1050, "VOID"), ""),
        (VOIDED, child(8, 400, "VOID"), "precise_amount: asked 1050, has 400"),
        (VOIDED, child(8, 1050), "status: asked VOID, has APPLIED"),
        (PART, child(8, 400, "VOID"), "status: asked APPLIED, has VOID"),
        (PART, child(parent=OTHER), f"hold: asked {HOLD}, has {OTHER}"),
        (PART, child(parent=""), f"hold: asked {HOLD}, has none"),
        (PART, child(currency="USD"), "currency: the hold has EUR, this USD"),
        (PART, child(source=SOMEBODY), f"source: the hold has {BANK}, this {SOMEBODY}"),
        (PART, child(destination=SOMEBODY), f"destination: the hold has {ALICE}, this {SOMEBODY}"),
        (
            PART,
            child(8, 1, "REJECTED", currency="USD"),
            "status: asked APPLIED, has REJECTED; precise_amount: asked 400, has 1; "
            "currency: the hold has EUR, this USD",
        ),
        # What a ledger does not show is not otherwise.
        (PART, child(8, None), ""),
        (PART, child(currency="", source="", destination=""), ""),
        # Of an amount that was not recorded, or not as a number, nothing can be said.
        (replace(ALL, memo={"row": HOLD}), child(8, 400), ""),
        (replace(ALL, memo=OPEN | {"left": "all"}), child(8, 400), "precise_amount: asked 1050, has 400"),
        (replace(ALL, memo={"row": HOLD, "left": "all"}), child(8, 400), ""),
        (replace(ALL, memo={"row": HOLD, "left": 1050}), child(8, 400), "precise_amount: asked 1050, has 400"),
        (replace(ALL, memo={"row": HOLD, "before": "650"}), child(8, 400), ""),
        (replace(ALL, memo={"row": HOLD, "before": "600"}), child(8, 400), "precise_amount: asked 450, has 400"),
        # Of a hold that is not known nothing is compared, but what was made of it is.
        (replace(PART, memo={}, parent_id=""), child(parent=OTHER), ""),
        (replace(PART, memo={}, parent_id=""), child(8, 399, parent=OTHER), "precise_amount: asked 400, has 399"),
    ],
)
def test_of_what_was_made_of_a_hold_it_is_told_in_what_it_is_otherwise(it, made, shows):
    differences = compared(it, [HOLD_ROW, made])
    assert [one.shows for one in differences] == ([f"{CHILD}: {shows}"] if shows else [])
    assert {(one.sort, one.reference, one.says) for one in differences} <= {("other", "order_42", it.told)}


def test_what_the_ledger_does_not_show_of_a_hold_is_no_difference():
    # Not the hold itself: what was made can only be compared with what was asked for.
    assert told(PART, child(currency="USD", source=SOMEBODY)) == []
    assert told(PART, child(8, 399)) == [("other", "order_42")]
    # Its amount: what remained of it is not known.
    hold = replace(HOLD_ROW, precise_amount=None)
    assert told(replace(ALL, memo={"row": HOLD, "before": "0"}), hold, child(8, 400)) == []
    # Its ends.
    assert told(PART, replace(HOLD_ROW, currency="", source="", destination=""), child()) == []


def test_what_was_made_of_a_hold_and_is_not_there_is_told_by_both_of_their_names():
    (gone,) = compared(PART, [HOLD_ROW])
    assert (gone.sort, gone.reference, gone.shows) == ("missing", "order_42", f"no row {CHILD} below {HOLD}")
    assert gone.says == f"done (applied) as {CHILD}"
    # What was done without a row to show for it is not missed.
    assert told(replace(PART, transaction_id=""), HOLD_ROW) == []


def strange_of(it: Past, *shown: Row, others: tuple[Past, ...] = (), since_ms: int = 0) -> list[str]:
    """What is told of the commits of a hold, besides what is told of what was made of it."""
    differences = compared(it, shown, others, since_ms)
    assert {(one.sort, one.reference, one.says) for one in differences} <= {
        ("twice", "order_42", "what was committed of this hold")
    }
    return [one.shows for one in differences]


def test_commits_that_nobody_asked_for_are_told_by_their_ids_and_amounts():
    assert strange_of(PART, HOLD_ROW, child()) == []
    assert strange_of(PART, HOLD_ROW, child(), child(9, 300)) == [
        f"committed by no intent of the journal: {OTHER} of 300; 700 of 1050 in all"
    ]
    many = [child(number, 100) for number in range(11, 15)]
    assert strange_of(PART, HOLD_ROW, child(), *many) == [
        f"committed by no intent of the journal: {txn(11)} of 100, {txn(12)} of 100, {txn(13)} of 100 and 1 more; "
        "800 of 1050 in all"
    ]
    # That it is more than there was is told with it.
    assert strange_of(PART, HOLD_ROW, child(), child(9, 700)) == [
        f"committed by no intent of the journal: {OTHER} of 700; 1100 of 1050 in all"
    ]
    # What was released, or refused, was not committed.
    assert strange_of(PART, HOLD_ROW, child(), child(9, 650, "VOID"), child(10, 900, "REJECTED")) == []
    assert strange_of(VOIDED, HOLD_ROW, child(8, 1050, "VOID"), child(9, 300)) == [
        f"committed by no intent of the journal: {OTHER} of 300; 300 of 1050 in all"
    ]
    # Nor is a hold judged that the ledger does not show.
    assert strange_of(PART, child(), child(9, 300)) == []


def test_commits_that_may_be_of_ours_are_told_only_where_they_are_too_much():
    another = past(commit_hold("order_42", precise_amount=300), of="a", transaction_id=OTHER, memo=OPEN)
    under_way = replace(another, state="sending", outcome="", transaction_id="")
    for others in ((another,), (under_way,)):
        assert strange_of(PART, HOLD_ROW, child(), child(9, 650), others=others) == []
        assert strange_of(PART, HOLD_ROW, child(), child(9, 651), others=others) == ["1051 committed of 1050 held"]
        # A sum that cannot be read is not too much.
        assert strange_of(PART, HOLD_ROW, child(), child(9, None), others=others) == []
        unread = replace(HOLD_ROW, precise_amount=None)
        assert strange_of(PART, unread, child(), child(9, 651), others=others) == []
    # Of one that cannot be read it is told that it is there.
    assert strange_of(PART, HOLD_ROW, child(), child(9, None)) == [
        f"committed by no intent of the journal: {OTHER} of None; 400 of 1050 in all"
    ]


def test_commits_from_before_all_that_the_journal_knows_are_nobody_s_fault():
    made = made_ms(child(9).created_at)
    since = made - 300_000
    later = [f"committed by no intent of the journal: {OTHER} of 300; 700 of 1050 in all"]
    assert strange_of(PART, HOLD_ROW, child(), child(9, 300), since_ms=since) == later
    assert strange_of(PART, HOLD_ROW, child(), child(9, 300), since_ms=since + 1) == []


def test_a_letter_of_a_part_is_not_told_by_what_may_be_another_s():
    made = made_ms(child().created_at)
    it, own = unknown(400), child()
    assert told(it, HOLD_ROW, own, since_ms=made - 300_000) == [("happened", "order_42")]
    assert told(it, HOLD_ROW, own, since_ms=made) == []
    another = replace(it, entry=replace(it.entry, id="a" * 26))
    assert told(it, HOLD_ROW, own, others=[another]) == []
    assert told(it, HOLD_ROW, own, others=[replace(another, state="discarded", dead_class="refused")]) == [
        ("happened", "order_42")
    ]
    # Nor where the hold is not known, nor where somebody has said what became of it, nor what never was sent.
    assert told(replace(it, memo={}), HOLD_ROW, own) == []
    assert told(replace(it, state="discarded"), HOLD_ROW, own) == []
    for never in (replace(it, dead_class="refused"), replace(it, state="cancelled", dead_class="")):
        assert told(never, HOLD_ROW, own) == []


def test_each_of_a_batch_is_compared_with_what_was_asked_and_recorded_of_it():
    second = child(9, 5, parent=txn(17))
    it = batch(
        Item(HOLD, "650", child=CHILD),
        Item(txn(17), "1045"),
        holds=["order_42", commit_hold("order_43", precise_amount=5)],
        parts=(Part("applied", CHILD), Part("applied", OTHER)),
    )
    shown = (HOLD_ROW, child(), SECOND_HOLD, second)
    assert told(it, *shown) == []
    # Its own id is that of the part, where it is not remembered.
    assert told(it, *shown[:3]) == [("missing", "order_43")]
    # What it is done without, and what came to nothing, is not missed; nor what is still open.
    partial = replace(it, state="dead", dead_class="partial", code="ITEMS_REFUSED")
    assert told(replace(partial, parts=(Part("applied", CHILD), Part("refused"))), *shown[:3]) == []
    half = (Part("applied", CHILD), Part("open"))
    assert told(replace(it, parts=half), *shown[:3]) == []
    assert told(replace(partial, parts=half), *shown[:2]) == []
    assert told(replace(partial, parts=half), SECOND_HOLD, second, HOLD_ROW) == [("missing", "order_42")]


def test_of_a_batch_that_nobody_can_tell_each_hold_is_told_by_its_own():
    it = batch(
        Item(HOLD), Item(txn(17), "100"),
        holds=["order_42", commit_hold("order_43", precise_amount=5)],
        state="dead", dead_class="unknown", code="ITEMS_UNKNOWN", parts=(Part("unknown"), Part("unknown")),
    )  # fmt: skip
    first, earlier, later = child(8, 1050), child(9, 100, parent=txn(17)), child(10, 5, parent=txn(17))
    assert told(it, HOLD_ROW, SECOND_HOLD, earlier) == []
    assert told(it, HOLD_ROW, first, SECOND_HOLD, earlier, later) == [
        ("happened", "order_42"),
        ("happened", "order_43"),
    ]
    assert told(it, HOLD_ROW, child(8, 1000), SECOND_HOLD, replace(later, precise_amount=6)) == []
    # Nothing was recorded of one that was never sent.
    assert told(replace(it, memo={}), HOLD_ROW, first, SECOND_HOLD, earlier, later) == []


def test_a_row_below_a_hold_is_known_as_that_of_whoever_made_it():
    single, bulk = PART.entry.id, "b" * 26
    made = batch(Item(HOLD), Item(txn(17)), parts=(Part("applied", CHILD), Part("refused", OTHER)),
                 state="dead", dead_class="partial", code="ITEMS_REFUSED")  # fmt: skip
    assert [known_of(it).owner(CHILD) for it in (PART, VOIDED, made)] == [single, single, bulk]
    assert known_of(made).owner(OTHER) == known_of(replace(PART, state="dead", dead_class="refused")).owner(CHILD) == ""
    # Nothing stands for what was not made.
    assert {one.child for one in KINDS[made.entry.kind].evidence.below(made)} == {CHILD, ""}
    assert known_of(unknown(400)).is_unsure(HOLD)
    assert known_of(replace(PART, transaction_id="")).is_unsure(HOLD)
    assert not known_of(PART, made, letter(commit_hold("order_42"), "refused", memo=OPEN)).is_unsure(HOLD)


QUEUED_HOLD = replace(HOLD_ROW, parent=txn(1))


def test_a_hold_that_expired_meanwhile_is_voided_below_its_queued_row():
    expired = child(8, 1050, "VOID", parent=txn(1))
    assert told(VOIDED, QUEUED_HOLD, expired) == []
    # But not below any other row, nor does a commit stand there.
    for shown in (
        (QUEUED_HOLD, replace(expired, parent=OTHER)),
        (QUEUED_HOLD, replace(expired, parent="")),
        (HOLD_ROW, expired),
        (HOLD_ROW, replace(expired, parent="")),
    ):
        assert told(VOIDED, *shown) == [("other", "order_42")]
    assert told(ALL, QUEUED_HOLD, replace(expired, status="APPLIED")) == [("other", "order_42")]


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
    (one,) = compared(unknown_, [PAID, replace(BACK, source=SOMEBODY)])
    assert (one.sort, f"source: asked {ALICE}, has {SOMEBODY}" in one.shows) == ("strange", True)
    # The letter that names it itself is true.
    assert told(replace(unknown_, code="REFERENCE_CONFLICT"), PAID, part) == []


def test_what_is_asked_of_the_ledger_is_both_rows_what_stands_as_the_refund_and_all_that_stands_below():
    evidence = KINDS["refund"].evidence
    names = [("reference", REFERENCE), ("reference", f"{REFERENCE}_q"), ("transaction_id", ROW)]
    every = [*names, ("transaction_id", CHILD), ("parent_transaction", ROW)]

    def asked(it: Past, found: Found | None = None) -> list[tuple[str, str]]:
        lookups = evidence.lookups(it, found or Found())
        assert {one.resource for one in lookups} <= {"transactions"}
        return [(one.field, one.value) for one in lookups]

    assert asked(given_back()) == asked(given_back(memo={})) == every
    assert asked(given_back(transaction_id="")) == [one for one in every if one[1] != CHILD]
    assert asked(given_back(), Found(asked=evidence.lookups(given_back(), Found())[1:])) == every[:1]
    # Of one that was never sent nobody knows what it would have given back.
    never = given_back(state="cancelled", outcome="cancelled", memo={}, parent_id="", transaction_id="")
    assert asked(never) == []
    assert told(never, PAID, BACK) == []
    assert evidence.below(never) == ()


@pytest.mark.parametrize(
    ("back", "shows"),
    [
        (BACK, ""),
        (replace(BACK, reference=REFERENCE), ""),
        (replace(BACK, status="REJECTED"), "status: asked APPLIED, has REJECTED"),
        (replace(BACK, status="INFLIGHT"), "status: asked APPLIED, has INFLIGHT"),
        (replace(BACK, transaction_id=OTHER), f"id: confirmed {CHILD}, has {OTHER}"),
        (replace(BACK, precise_amount=1), "precise_amount: asked 1050, has 1"),
        (replace(BACK, currency="USD"), "currency: asked EUR, has USD"),
        (replace(BACK, source=SOMEBODY), f"source: asked {ALICE}, has {SOMEBODY}"),
        (replace(BACK, destination=SOMEBODY), f"destination: asked {BANK}, has {SOMEBODY}"),
        (
            replace(BACK, status="REJECTED", precise_amount=1, currency="USD"),
            "status: asked APPLIED, has REJECTED; precise_amount: asked 1050, has 1; currency: asked EUR, has USD",
        ),
        # What the ledger does not show is not otherwise.
        (replace(BACK, precise_amount=None, currency="", source="", destination=""), ""),
    ],
)
def test_of_a_refund_it_is_told_in_what_it_is_otherwise(back, shows):
    it = given_back()
    differences = compared(it, [PAID, back])
    assert [one.shows for one in differences] == ([shows] if shows else [])
    assert {(one.sort, one.reference, one.says) for one in differences} <= {
        ("other", REFERENCE, f"done (refunded) as {CHILD}")
    }
    # One that was believed unread has no id to be compared.
    believed = replace(it, outcome="accepted", transaction_id="")
    assert told(believed, PAID, back) == ([] if not shows or shows.startswith("id") else [("other", REFERENCE)])


def test_a_refund_is_compared_with_what_was_recorded_where_its_row_is_not_shown():
    part = replace(BACK, precise_amount=1, currency="USD", source=SOMEBODY)
    for amount in ("1050", 1050):
        (one,) = compared(given_back(memo={"row": ROW, "amount": amount}), [part])
        assert one.shows == "precise_amount: asked 1050, has 1"
    for memo in ({"row": ROW}, {"row": ROW, "amount": "?"}, {}):
        assert told(given_back(memo=memo), part) == []
    # What is not shown of its row is not compared.
    assert told(given_back(), replace(PAID, precise_amount=None, currency="", source="", destination=""), part) == []


def test_a_refund_that_is_not_where_it_should_be_is_told_with_where_it_is():
    def shows(*shown: Row) -> list[tuple[str, str, str]]:
        return [(one.sort, one.reference, one.shows) for one in compared(given_back(), shown)]

    assert shows(PAID) == [("missing", REFERENCE, "no refund of it")]
    assert shows(PAID, replace(BACK, reference="by-hand")) == [
        ("missing", REFERENCE, "the confirmed row under by-hand")
    ]
    queued = replace(BACK, transaction_id=OTHER, reference=REFERENCE, status="QUEUED")
    assert shows(PAID, queued) == [("missing", REFERENCE, f"{OTHER}, still QUEUED")]


def by_hand(number: int, **changes: Any) -> Row:
    """A refund that somebody made in another way, below the row."""
    made = row(number, f"by-hand-{number}", "APPLIED", source=ALICE, destination=BANK, parent=ROW)
    return replace(made, **changes)


def test_what_was_given_back_besides_is_told_by_its_ids():
    def shows(*more: Row) -> list[str]:
        differences = compared(given_back(), [PAID, BACK, *more])
        assert {(one.sort, one.reference) for one in differences} <= {("twice", REFERENCE)}
        return [one.shows for one in differences]

    words = "given back more than once: "
    assert shows() == shows(row(1, REFERENCE, "QUEUED", source=ALICE, destination=BANK)) == []
    assert shows(by_hand(9)) == [f"{words}{OTHER} besides"]
    # Under its own reference, be it held; and known once, however often it is shown.
    assert shows(by_hand(9, reference=REFERENCE, status="INFLIGHT", parent="")) == [f"{words}{OTHER} besides"]
    assert shows(by_hand(9, reference=REFERENCE)) == [f"{words}{OTHER} besides"]
    assert shows(*(by_hand(number) for number in range(11, 15))) == [
        f"{words}{txn(11)}, {txn(12)}, {txn(13)} and 1 more besides"
    ]
    # Its own row may stand below the one that it gives back, as may what gives nothing back.
    assert told(given_back(), PAID, replace(BACK, parent=ROW)) == []
    for one in (
        by_hand(9, status="INFLIGHT"),
        by_hand(9, status="REJECTED"),
        by_hand(9, source=BANK),
        by_hand(9, destination=SOMEBODY),
        by_hand(9, parent=txn(1)),
    ):
        assert shows(one) == []
    # Where the row itself is not shown, nobody knows which way is back.
    assert told(given_back(), BACK, by_hand(9)) == []


def test_what_is_otherwise_and_what_is_too_much_are_both_told():
    both = told(given_back(), PAID, replace(BACK, precise_amount=1), by_hand(9))
    assert both == [("other", REFERENCE), ("twice", REFERENCE)]


def not_given_back(state: str = "dead", dead_class: str = "unknown", code: str = "UNDECIDED", **changes: Any) -> Past:
    """A refund that is no outcome for the journal, but may have been sent."""
    return past(refund("order_42"), state, dead_class=dead_class, code=code, **({"memo": {"row": ROW}} | changes))


def test_a_refund_that_was_not_to_happen_and_did_is_told_with_what_is_to_be_done():
    advice = {
        "unknown": "replay the letter",
        "refused": "discard the letter, saying so",
        "rejected": "discard the letter, saying so",
    }
    for dead_class, words in advice.items():
        it = not_given_back(dead_class=dead_class)
        (one,) = compared(it, [PAID, BACK])
        assert (one.sort, one.reference, one.shows) == ("happened", REFERENCE, f"{CHILD} (APPLIED)")
        assert words in one.advice
        for nothing in ((), (replace(BACK, status="REJECTED"),), (replace(BACK, status="INFLIGHT"),)):
            assert told(it, PAID, *nothing) == []
    (one,) = compared(not_given_back("cancelled", "", "", parent_id=ROW), [PAID, BACK])
    assert (one.sort, "give it back by hand" in one.advice) == ("happened", True)


@pytest.mark.parametrize("code", ["ALREADY_REFUNDED", "TXN_ALREADY_REFUNDED", "GEN_CONFLICT", "REFERENCE_CONFLICT"])
def test_a_letter_that_says_itself_that_another_refund_stands_is_true(code):
    assert told(not_given_back(dead_class="refused", code=code), PAID, BACK) == []


def test_a_refund_that_another_intent_made_is_that_one_s():
    it = not_given_back()
    another = replace(given_back(), entry=replace(given_back().entry, id="z" * 26))
    assert told(it, PAID, BACK, others=[another]) == []
    assert told(it, PAID, BACK, others=[replace(another, transaction_id=OTHER)]) == [("happened", REFERENCE)]
    # What was done in an earlier life of its own is its own.
    assert told(it, PAID, BACK, others=[replace(given_back(), entry=it.entry)]) == [("happened", REFERENCE)]
    # Whoever has closed the letter has said what became of it.
    assert told(not_given_back("discarded"), PAID, BACK) == []
