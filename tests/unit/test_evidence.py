"""What an audit compares: of each kind and each sort of difference what is told, and what is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from casebook import ALICE, BANK, SOMEBODY, balance, payment, row, txn
from kindbook import BALANCE, IDENTITY, LEDGER, MARK, an_id, entry_of

from blnk_relay import (
    Leg,
    bulk_transactions,
    commit_hold,
    commit_holds,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    link_identity,
    refund,
    split_transaction,
    start_instant_reconciliation,
    start_reconciliation,
    tokenize_identity,
    update_identity,
    update_matching_rule,
    update_metadata,
    upload_records,
    void_hold,
)
from blnk_relay.families.hold_item import Item
from blnk_relay.intents.evidence import Difference, Known, Part, Past, Sort
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.intent import Intent
from blnk_relay.kinds.registry import KINDS
from tests.support.specimens import NOW_MS

RULE, UPLOAD, RUN = an_id("rule"), an_id("upload"), an_id("recon")
CRITERIA = [{"field": "amount", "operator": "equals"}]
HOLD, CHILD, OTHER = txn(7), txn(8), txn(9)


def past(intent: Intent, state: str = "done", *, of: str = "", **changes: Any) -> Past:
    """What the journal says of an intent; ``of`` tells several of one kind apart."""
    entry = entry_of(intent)
    given: dict[str, Any] = {"ended_ms": NOW_MS, "accepted_ms": NOW_MS - 1000}
    if state == "done":
        given["outcome"] = "applied"
    return Past(replace(entry, id=(of or "i") * 26), state, **(given | changes))  # type: ignore[arg-type]


def letter(intent: Intent, dead_class: str, code: str = "SOME_CODE", **changes: Any) -> Past:
    return past(intent, "dead", dead_class=dead_class, code=code, **changes)


def known_of(*pasts: Past) -> Known:
    """What a journal knows that has these and nothing else."""
    known = Known()
    for one in pasts:
        evidence = KINDS[one.entry.kind].evidence
        assert evidence is not None
        known.add(one, evidence.writes(one), evidence.below(one))
    return known


def answers(lookup: Lookup, shown: Iterable[Row | Record]) -> list[Row | Record]:
    """What of a ledger answers a question."""
    if lookup.resource == "transactions":
        name = "parent" if lookup.field == "parent_transaction" else lookup.field
        return [one for one in shown if isinstance(one, Row) and getattr(one, name) == lookup.value]
    records = [one for one in shown if isinstance(one, Record) and one.resource == lookup.resource]
    return [one for one in records if one.value(lookup.field) == lookup.value]


def told(it: Past, *shown: Row | Record, others: Iterable[Past] = (), since_ms: int = 0) -> list[tuple[str, str]]:
    """Sort and reference of each difference, when the ledger shows this and nothing else."""
    return [(str(one.sort), one.reference) for one in compared(it, shown, others, since_ms)]


def compared(
    it: Past, shown: Iterable[Row | Record], others: Iterable[Past] = (), since_ms: int = 0
) -> tuple[Difference, ...]:
    """The differences themselves."""
    evidence = KINDS[it.entry.kind].evidence
    assert evidence is not None
    found = Found()
    for _ in range(8):
        asked = evidence.lookups(it, found)
        if not asked:
            break
        some = [one for lookup in asked for one in answers(lookup, shown)]
        found = found.plus(
            [one for one in some if isinstance(one, Row)], [one for one in some if isinstance(one, Record)], asked
        )
    else:
        raise AssertionError("it never has enough")
    known = known_of(it, *others)
    known.since_ms = since_ms
    differences = evidence.differences(it, found, known)
    assert all(one.says and one.shows and one.advice for one in differences)
    return differences


# -- one payment ------------------------------------------------------------------------------------------------------

PAID = past(payment(), transaction_id=txn(2), parent_id=txn(1))
STANDS = (row(1, "order_42", "QUEUED"), row(2, "order_42_q", "APPLIED", parent=txn(1)))


def test_a_payment_that_stands_once_as_asked_for_is_no_difference():
    assert told(PAID, *STANDS) == []
    assert told(past(payment(), transaction_id=txn(1)), row(1, "order_42", "APPLIED")) == []
    assert told(past(payment(), outcome="accepted"), *STANDS) == []


@pytest.mark.parametrize(
    ("shown", "sort"),
    [
        ((), "missing"),
        (STANDS[:1], "missing"),
        ((row(2, "elsewhere", "APPLIED"),), "missing"),
        ((STANDS[0], replace(STANDS[1], precise_amount=1)), "other"),
        ((STANDS[0], replace(STANDS[1], currency="USD")), "other"),
        ((STANDS[0], replace(STANDS[1], source=SOMEBODY)), "other"),
        ((STANDS[0], replace(STANDS[1], destination=SOMEBODY)), "other"),
        ((STANDS[0], replace(STANDS[1], transaction_id=OTHER)), "other"),
        ((STANDS[0], replace(STANDS[1], status="REJECTED")), "other"),
        ((STANDS[0], replace(STANDS[1], status="VOID")), "other"),
        ((STANDS[0], replace(STANDS[1], status="INFLIGHT")), "other"),
        ((*STANDS, row(3, "order_42_q", "APPLIED")), "twice"),
        ((row(1, "order_42", "APPLIED"), STANDS[1]), "twice"),
        ((*STANDS, row(3, "order_42.r2", "APPLIED")), "twice"),
        ((*STANDS, row(3, "order_42.r2_q", "APPLIED")), "twice"),
    ],
)
def test_each_way_in_which_a_payment_can_be_otherwise_is_told(shown, sort):
    assert told(PAID, *shown) == [(sort, "order_42")]


def test_an_indicator_is_compared_by_the_balance_that_it_stands_for():
    it = past(payment(source="@bank"), transaction_id=txn(2))
    assert told(it, *STANDS, balance(BANK, "@bank", "EUR")) == []
    assert told(it, *STANDS, balance(SOMEBODY, "@bank", "EUR")) == [("other", "order_42")]


def test_what_was_rejected_under_earlier_references_is_no_second_payment():
    it = past(payment(), transaction_id=txn(4), generation=1)
    rejected, now = row(3, "order_42_q", "REJECTED"), row(4, "order_42.r2_q", "APPLIED")
    assert told(it, rejected, now) == []
    assert told(it, replace(rejected, status="APPLIED"), now) == [("twice", "order_42.r2")]


@pytest.mark.parametrize("dead_class", ["refused", "rejected", "unknown"])
def test_a_letter_of_which_the_ledger_shows_that_it_happened_is_told(dead_class):
    it = letter(payment(), dead_class)
    assert told(it) == []
    assert told(it, row(2, "order_42_q", "REJECTED")) == []
    assert told(it, *STANDS) == [("happened", "order_42")]
    assert told(it, STANDS[0], replace(STANDS[1], precise_amount=1)) == [("strange", "order_42")]


def test_a_letter_that_names_the_conflict_itself_is_true():
    it = letter(payment(), "unknown", "REFERENCE_CONFLICT")
    assert told(it, STANDS[0], replace(STANDS[1], precise_amount=1)) == []


def test_what_was_cancelled_and_happened_is_told_with_an_advice_of_its_own():
    it = past(payment(), "cancelled", outcome="cancelled")
    evidence = KINDS["transaction"].evidence
    assert evidence is not None
    found = Found(STANDS)
    (one,) = evidence.differences(it, found, Known())
    assert (one.sort, "taken back" in one.advice) == (Sort.HAPPENED, True)
    assert told(it) == []


# -- holds ------------------------------------------------------------------------------------------------------------

HELD = past(payment(inflight=True), outcome="held", transaction_id=HOLD)
HOLD_ROW = row(7, "order_42", "INFLIGHT")


def child(number: int, status: str = "APPLIED", amount: int = 400, **changes: Any) -> Row:
    return row(number, f"ref_{number}", status, parent=HOLD, precise_amount=amount, **changes)


def commit(amount: int | None = 400, of: str = "c", **changes: Any) -> Past:
    intent = commit_hold("order_42", precise_amount=amount) if amount else commit_hold("order_42")
    memo = {"row": HOLD, "before": "0", "left": "1050"}
    return past(intent, of=of, **({"transaction_id": CHILD, "parent_id": HOLD, "memo": memo} | changes))


def test_what_is_committed_of_a_hold_is_what_the_journal_knows_to_be_committed():
    assert told(HELD, HOLD_ROW) == []
    assert told(HELD, HOLD_ROW, child(8), others=[commit()]) == []
    assert told(HELD, HOLD_ROW, child(8), child(9), others=[commit()]) == [("twice", "order_42")]
    (voided,) = compared(HELD, [HOLD_ROW, child(9, "VOID")])
    assert (voided.sort, voided.says) == ("twice", "what was settled of this hold")
    assert told(commit(), HOLD_ROW, child(8)) == []
    assert told(commit(), HOLD_ROW, child(8), child(9)) == [("twice", "order_42")]


def test_nobody_is_accused_of_what_may_be_older_than_the_journal_or_is_under_way():
    later = NOW_MS * 2
    assert told(HELD, HOLD_ROW, child(9), since_ms=later) == []
    under_way = past(commit_hold("order_42", precise_amount=1), "sending", of="u", memo={"row": HOLD})
    assert told(HELD, HOLD_ROW, child(9), others=[under_way]) == []
    known = known_of(under_way)
    ended = replace(under_way, state="dead", dead_class="refused")
    known.add(ended, None, KINDS["inflight.commit"].evidence.below(ended))
    assert not known.is_unsure(HOLD)
    assert told(past(payment(inflight=True, skip_queue=True, inflight_expiry_date="2027-01-01T00:00:00Z"),
                     outcome="held", transaction_id=HOLD), HOLD_ROW, child(9, "VOID")) == []  # fmt: skip


def test_a_hold_whose_dates_are_not_known_is_there():
    intent = payment(inflight=True, skip_queue=True, inflight_expiry_date="2027-01-01T00:00:00Z")
    letter = past(intent, "dead", dead_class="partial", code="DATES_NOT_KNOWN")
    assert told(letter, HOLD_ROW) == []
    assert told(letter) == [("missing", "order_42")]


@pytest.mark.parametrize(
    ("shown", "sort"),
    [
        ((HOLD_ROW,), "missing"),
        ((HOLD_ROW, child(8, "VOID")), "other"),
        ((HOLD_ROW, child(8, amount=399)), "other"),
        ((HOLD_ROW, child(8, currency="USD")), "other"),
        ((HOLD_ROW, child(8, destination=SOMEBODY)), "other"),
        ((HOLD_ROW, replace(child(8), parent=OTHER)), "other"),
    ],
)
def test_each_way_in_which_a_commit_can_be_otherwise_is_told(shown, sort):
    assert told(commit(), *shown) == [(sort, "order_42")]


def test_more_committed_than_was_held_is_told():
    both = [commit(800), commit(800, of="d", transaction_id=OTHER)]
    shown = (HOLD_ROW, child(8, amount=800), child(9, amount=800))
    assert told(both[0], *shown, others=both[1:]) == [("twice", "order_42")]
    # That needs no answer to who committed it.
    under_way = past(commit_hold("order_42", precise_amount=1), "sending", of="u", memo={"row": HOLD})
    assert told(both[0], *shown, others=[*both[1:], under_way]) == [("twice", "order_42")]


def test_all_that_remained_is_compared_with_what_was_recorded_before():
    memo = {"row": HOLD, "before": "0", "left": "1050"}
    assert told(commit(None, memo=memo), HOLD_ROW, child(8, amount=1050)) == []
    assert told(commit(None, memo=memo), HOLD_ROW, child(8, amount=650)) == [("other", "order_42")]


def test_a_void_has_its_child_and_a_letter_of_unknown_outcome_can_be_told_by_one():
    void = past(void_hold("order_42"), outcome="voided", transaction_id=CHILD, memo={"row": HOLD}, parent_id=HOLD)
    assert told(void, HOLD_ROW, child(8, "VOID")) == []
    assert told(void, HOLD_ROW) == [("missing", "order_42")]
    unknown = letter(void_hold("order_42"), "unknown", memo={"row": HOLD})
    assert told(unknown, HOLD_ROW, child(8, "VOID")) == [("happened", "order_42")]
    assert told(unknown, HOLD_ROW) == []
    part = letter(commit_hold("order_42", precise_amount=400), "unknown", memo={"row": HOLD, "before": "0"})
    assert told(part, HOLD_ROW, child(8)) == [("happened", "order_42")]
    # Another intent of ours made it; or two may be it.
    assert told(part, HOLD_ROW, child(8), others=[commit()]) == []
    assert told(part, HOLD_ROW, child(8), child(9)) == []


def test_each_hold_of_a_batch_is_compared_for_itself():
    second = txn(17)
    intent = commit_holds(["order_42", commit_hold("order_43", precise_amount=5)])
    memo = {"items": [Item(HOLD, "0", child=CHILD).packed(), Item(second, "0", child=OTHER).packed()]}
    it = past(intent, memo=memo, parts=(Part("applied", CHILD), Part("applied", OTHER)))
    other_hold = row(17, "order_43", "INFLIGHT")
    its = replace(child(9, amount=5), parent=second)
    whole = child(8, amount=1050)
    assert told(it, HOLD_ROW, whole, other_hold, its) == []
    assert told(it, HOLD_ROW, whole, other_hold) == [("missing", "order_43")]
    assert told(it, HOLD_ROW, whole, other_hold, replace(its, precise_amount=6)) == [("other", "order_43")]
    # What remained of one is what had not been committed until then.
    assert told(it, HOLD_ROW, child(8, amount=99), other_hold, its) == [("other", "order_42")]
    memo = {"items": [Item(HOLD, "1000", child=CHILD).packed(), memo["items"][1]]}
    assert told(replace(it, memo=memo), HOLD_ROW, child(8, amount=50), other_hold, its) == []
    made, unmade = Item(HOLD, "0", child=CHILD).packed(), Item(second, "0").packed()
    half = letter(intent, "partial", memo={"items": [made, unmade]},
                  parts=(Part("applied", CHILD), Part("refused")))  # fmt: skip
    assert told(half, other_hold, HOLD_ROW) == [("missing", "order_42")]


def test_nobody_is_accused_where_there_is_more_than_can_be_held_in_memory():
    known = known_of(HELD, commit())
    assert known.unexplained([CHILD, OTHER]) == (OTHER,)
    assert not known.is_unsure(HOLD)
    known.complete = False
    assert known.is_unsure(HOLD)


# -- refunds ----------------------------------------------------------------------------------------------------------

GIVEN_BACK = past(refund("order_42"), outcome="refunded", transaction_id=CHILD, parent_id=txn(2), memo={"row": txn(2)})
REFUND_ROW = row(8, f"{txn(2)}_refund_q", "APPLIED", source=ALICE, destination=BANK)


@pytest.mark.parametrize(
    ("shown", "sort"),
    [
        ((REFUND_ROW,), ""),
        ((), "missing"),
        ((replace(REFUND_ROW, status="REJECTED"),), "other"),
        ((replace(REFUND_ROW, precise_amount=1),), "other"),
        ((replace(REFUND_ROW, currency="USD"),), "other"),
        ((replace(REFUND_ROW, source=BANK),), "other"),
        ((replace(REFUND_ROW, transaction_id=OTHER),), "other"),
        ((REFUND_ROW, replace(REFUND_ROW, transaction_id=OTHER, reference=f"{txn(2)}_refund")), "twice"),
        ((REFUND_ROW, replace(REFUND_ROW, transaction_id=OTHER, reference="by-hand", parent=txn(2))), "twice"),
    ],
)
def test_a_refund_is_there_once_and_takes_back_what_was_paid(shown, sort):
    assert told(GIVEN_BACK, *STANDS, *shown) == ([(sort, f"{txn(2)}_refund")] if sort else [])


def test_a_refund_that_was_not_to_happen_and_did_is_told_unless_another_one_did_it():
    refused = letter(refund("order_42"), "unknown", memo={"row": txn(2)})
    assert told(refused, *STANDS, REFUND_ROW) == [("happened", f"{txn(2)}_refund")]
    assert (
        told(refused, *STANDS, REFUND_ROW, others=[replace(GIVEN_BACK, entry=replace(GIVEN_BACK.entry, id="z" * 26))])
        == []
    )
    assert (
        told(letter(refund("order_42"), "refused", "ALREADY_REFUNDED", memo={"row": txn(2)}), *STANDS, REFUND_ROW) == []
    )
    assert told(letter(refund("order_42"), "refused"), *STANDS, REFUND_ROW) == []


def test_a_refund_that_is_rejected_or_not_there_did_not_happen_and_a_closed_letter_is_believed():
    unknown = letter(refund("order_42"), "unknown", memo={"row": txn(2)})
    assert told(unknown, *STANDS) == []
    assert told(unknown, *STANDS, replace(REFUND_ROW, status="REJECTED")) == []
    closed = past(refund("order_42"), "discarded", dead_class="unknown", code="SOME_CODE", memo={"row": txn(2)})
    assert told(closed, *STANDS, REFUND_ROW) == []


def test_what_is_below_a_refunded_row_and_gives_nothing_back_is_no_second_refund():
    below = replace(REFUND_ROW, transaction_id=OTHER, reference="by-hand", parent=txn(2))
    for one in (replace(below, source=BANK, destination=ALICE), replace(below, status="REJECTED")):
        assert told(GIVEN_BACK, *STANDS, REFUND_ROW, one) == []


def test_of_a_refund_that_is_otherwise_it_is_told_in_what():
    def shows(*shown: Row, it: Past = GIVEN_BACK) -> str:
        (one,) = compared(it, shown)
        return one.shows

    assert shows(*STANDS) == "no refund of it"
    assert shows(*STANDS, replace(REFUND_ROW, reference="by-hand")) == "the confirmed row under by-hand"
    assert shows(*STANDS, replace(REFUND_ROW, currency="USD")) == "currency: asked EUR, has USD"
    assert shows(*STANDS, replace(REFUND_ROW, source=SOMEBODY)) == f"source: asked {ALICE}, has {SOMEBODY}"
    assert shows(*STANDS, replace(REFUND_ROW, destination=SOMEBODY)) == f"destination: asked {BANK}, has {SOMEBODY}"
    # Where the row that was given back is not shown any more, it is what was recorded before.
    recorded = replace(GIVEN_BACK, memo={"row": txn(2), "amount": "1050"})
    assert shows(replace(REFUND_ROW, precise_amount=1), it=recorded) == "precise_amount: asked 1050, has 1"
    assert compared(recorded, [replace(REFUND_ROW, precise_amount=1050)]) == ()


def test_a_refund_is_below_the_row_that_it_gives_back():
    evidence = KINDS["refund"].evidence
    assert known_of(GIVEN_BACK).owner(CHILD) == GIVEN_BACK.entry.id
    assert known_of(GIVEN_BACK).unexplained([CHILD, OTHER]) == (OTHER,)
    assert known_of(letter(refund("order_42"), "unknown", memo={"row": txn(2)})).is_unsure(txn(2))
    # Of one that was never sent nobody knows a row, and nothing is asked.
    assert evidence.below(letter(refund("order_42"), "unknown")) == ()
    assert all(
        lookup.value
        for lookup in evidence.lookups(letter(refund("order_42"), "unknown", memo={"row": txn(2)}), Found())
    )


# -- several at once --------------------------------------------------------------------------------------------------

SPLIT = split_transaction(
    source=BANK,
    destinations=[Leg(ALICE, precise_amount=1000), Leg(SOMEBODY, left=True)],
    currency="EUR",
    amount="10.50",
    description="Sale",
    reference="sale",
)


def legs(intent: Intent = SPLIT) -> tuple[Row, Row]:
    reference = entry_of(intent).reference
    return (
        row(11, f"{reference}-1", "APPLIED", precise_amount=1000, parent=OTHER),
        row(12, f"{reference}-2", "APPLIED", precise_amount=50, destination=SOMEBODY, parent=OTHER),
    )


def split(**changes: Any) -> Past:
    return past(SPLIT, parts=(Part("applied", txn(11)), Part("applied", txn(12))), **changes)


def test_the_legs_of_a_split_are_there_and_no_others():
    first, second = legs()
    reference = entry_of(SPLIT).reference
    assert told(split(), first, second) == []
    assert told(split(), first) == [("missing", f"leg 2 of {reference}")]
    assert told(split(), first, replace(second, precise_amount=51)) == [("other", reference)]
    assert told(split(), first, replace(second, status="REJECTED")) == [("other", reference)]
    assert told(split(), first, replace(second, transaction_id=OTHER)) == [("other", f"leg 2 of {reference}")]
    third = replace(second, transaction_id=txn(13), reference=f"{reference}-3")
    assert told(split(), first, second, third) == [("twice", reference)]
    again = replace(second, transaction_id=txn(13), reference=f"{reference}.r2-1")
    assert told(split(), first, second, again) == [("twice", reference)]


def test_a_split_that_did_not_happen_has_no_leg_but_those_that_were_taken_back():
    first, _ = legs()
    reference = entry_of(SPLIT).reference
    rejected = letter(SPLIT, "rejected", "ROLLED_BACK", parts=(Part("undone", txn(11)), Part("missing")))
    back = row(14, f"{first.transaction_id}_refund_q", "APPLIED")
    assert told(rejected, first, back) == []
    assert told(rejected, first) == [("happened", reference)]


def bulk(state: str = "done", *parts: Part, **changes: Any) -> Past:
    items = [payment(reference="fee-1"), payment(reference="fee-2")]
    return past(bulk_transactions(items), state, parts=parts, **changes)


def test_each_item_of_a_bulk_is_compared_for_itself():
    first, second = row(11, "fee-1_q", "APPLIED"), row(12, "fee-2_q", "APPLIED")
    it = bulk("done", Part("applied", txn(11)), Part("applied", txn(12)))
    assert told(it, first, second) == []
    assert told(it, first) == [("missing", "fee-2")]
    assert told(it, first, replace(second, precise_amount=1)) == [("other", "fee-2")]
    assert told(it, first, second, row(13, "fee-1.r2_q", "APPLIED")) == [("twice", "fee-1")]


def test_of_a_partial_bulk_what_the_letter_says_is_compared():
    first, second = row(11, "fee-1_q", "APPLIED"), row(12, "fee-2_q", "REJECTED")
    it = bulk("dead", Part("applied", txn(11)), Part("rejected", txn(12)), dead_class="partial", code="ITEMS_REJECTED")
    assert told(it, first, second) == []
    assert told(it, second) == [("missing", "fee-1")]
    assert told(it, first, replace(second, status="APPLIED")) == [("happened", "fee-2")]


# -- records ----------------------------------------------------------------------------------------------------------


def tagged(resource: str, id_: str, tag: str = "i" * 26, **values: Any) -> Record:
    names = {"ledgers": "ledger_id", "balances": "balance_id", "identities": "identity_id"}
    meta = {MARK: tag, **values.pop("meta", {})} if tag else values.pop("meta", {})
    return Record(resource, {names[resource]: id_, "meta_data": meta, **values})


MADE_LEDGER = past(create_ledger("Books", meta_data={"team": "a"}), outcome="created", transaction_id=LEDGER)
LEDGER_SHOWN = tagged("ledgers", LEDGER, name="Books", meta={"team": "a"})


@pytest.mark.parametrize(
    ("shown", "sorts"),
    [
        ((LEDGER_SHOWN,), []),
        ((), ["missing"]),
        ((tagged("ledgers", LEDGER, name="Other", meta={"team": "a"}),), ["other"]),
        ((tagged("ledgers", LEDGER, name="Books", meta={"team": "b"}),), ["other"]),
        ((tagged("ledgers", LEDGER, tag="", name="Books", meta={"team": "a"}),), ["other"]),
        ((LEDGER_SHOWN, tagged("ledgers", an_id("ldg", 2), name="Books", meta={"team": "a"})), ["twice"]),
    ],
)
def test_a_record_is_there_once_with_its_values_and_our_id(shown, sorts):
    assert [sort for sort, _ in told(MADE_LEDGER, *shown)] == sorts


def test_a_value_that_was_set_since_is_the_later_intents_to_show():
    later = past(update_metadata(LEDGER, {"team": "b"}), of="l", outcome="updated", ended_ms=NOW_MS + 5)
    shown = tagged("ledgers", LEDGER, name="Books", meta={"team": "b"})
    assert told(MADE_LEDGER, shown, others=[later]) == []
    assert told(later, shown, others=[MADE_LEDGER]) == []
    assert told(later, LEDGER_SHOWN, others=[MADE_LEDGER]) == [("other", LEDGER)]
    # While another one may be writing, or nobody knows whether it did, nothing is told.
    for unsure in (
        past(update_metadata(LEDGER, {"team": "c"}), "sending", of="u", ended_ms=NOW_MS + 9),
        letter(update_metadata(LEDGER, {"team": "c"}), "unknown", of="u", ended_ms=NOW_MS + 9),
    ):
        assert told(later, LEDGER_SHOWN, others=[MADE_LEDGER, unsure]) == []


def test_a_record_that_a_letter_says_was_not_made_and_was_is_told():
    for dead_class in ("refused", "unknown"):
        it = letter(create_ledger("Books"), dead_class)
        assert told(it) == []
        assert told(it, tagged("ledgers", LEDGER, name="Books")) == [("happened", "i" * 26)]
    assert told(letter(create_ledger("Books"), "unknown", "MADE_TWICE"), tagged("ledgers", LEDGER)) == []


def test_a_balance_and_an_identity_are_compared_by_what_was_asked_for():
    its = past(create_balance(LEDGER, "EUR"), outcome="created", transaction_id=BALANCE)
    assert told(its, tagged("balances", BALANCE, ledger_id=LEDGER, currency="EUR")) == []
    assert told(its, tagged("balances", BALANCE, ledger_id=LEDGER, currency="USD")) == [("other", BALANCE)]
    who = past(create_identity(first_name="Mara", dob="1990-01-01"), outcome="created", transaction_id=IDENTITY)
    shown = tagged("identities", IDENTITY, first_name="Mara", dob="1990-01-01T00:00:00Z")
    assert told(who, shown) == []
    assert told(who, tagged("identities", IDENTITY, first_name="Mara", dob="1991-01-01T00:00:00Z")) == [
        ("other", IDENTITY)
    ]
    moved = past(update_identity(IDENTITY, first_name="Maya"), of="l", ended_ms=NOW_MS + 5)
    assert told(moved, shown, others=[who]) == [("other", IDENTITY)]
    hidden = past(tokenize_identity(IDENTITY, ["first_name"]), of="t", ended_ms=NOW_MS + 9)
    assert told(moved, shown, others=[who, hidden]) == []


def test_metadata_that_was_replaced_as_a_whole_is_no_earlier_intents_to_show():
    noted = past(update_metadata(IDENTITY, {"a": 1}), of="a")
    replaced = past(update_identity(IDENTITY, replace_meta_data={"b": 2}), of="b", ended_ms=NOW_MS + 5)
    merged = past(update_metadata(IDENTITY, {"c": 3}), of="c", ended_ms=NOW_MS + 9)
    shown = tagged("identities", IDENTITY, tag="", meta={"b": 2, "c": 3})
    for it in (noted, replaced, merged):
        assert told(it, shown, others=[noted, replaced, merged]) == []
    assert told(replaced, tagged("identities", IDENTITY, tag="", meta={"b": 1, "c": 3})) == [("other", IDENTITY)]


def test_a_link_a_token_and_a_row_s_metadata_are_compared():
    link = past(link_identity(BALANCE, IDENTITY))
    assert told(link, tagged("balances", BALANCE, identity_id=IDENTITY)) == []
    assert told(link, tagged("balances", BALANCE, identity_id=None)) == [("other", BALANCE)]
    assert told(link) == [("missing", BALANCE)]
    hidden = past(tokenize_identity(IDENTITY, ["street", "first_name"]), outcome="tokenized")
    names = ["FirstName", "Street"]
    assert told(hidden, Record("tokenized-fields", {"identity_id": IDENTITY, "tokenized_fields": names})) == []
    half = Record("tokenized-fields", {"identity_id": IDENTITY, "tokenized_fields": names[:1]})
    assert told(hidden, half) == [("other", IDENTITY)]
    noted = past(update_metadata(txn(2), {"file": "A"}))
    assert told(noted, replace(STANDS[1], meta={"file": "A"})) == []
    assert told(noted, replace(STANDS[1], meta={"file": "B"})) == [("other", txn(2))]
    assert told(noted) == [("missing", txn(2))]


def rule_shown(id_: str = RULE, name: str = "exact", field: str = "amount") -> Record:
    criteria = [{"field": field, "operator": "equals"}]
    return Record("matching-rules", {"rule_id": id_, "name": name, "description": "", "criteria": criteria})


def test_a_rule_is_there_as_it_was_last_written_until_it_is_deleted():
    made = past(create_matching_rule("exact", CRITERIA), outcome="created", transaction_id=RULE)
    assert told(made, rule_shown()) == []
    assert told(made) == [("missing", RULE)]
    assert told(made, rule_shown(field="date")) == [("other", RULE)]
    assert told(made, rule_shown(), rule_shown(an_id("rule", 2))) == [("twice", RULE)]
    stricter = past(
        update_matching_rule(RULE, "exact", [{"field": "date", "operator": "equals"}]), of="s", ended_ms=NOW_MS + 5
    )
    assert told(made, rule_shown(field="date"), others=[stricter]) == []
    assert told(stricter, rule_shown(), others=[made]) == [("other", RULE)]
    deleted = past(delete_matching_rule(RULE), of="d", outcome="deleted", ended_ms=NOW_MS + 9)
    for it in (made, stricter, deleted):
        assert told(it, others=[made, stricter, deleted]) == []
    assert told(deleted, rule_shown(), others=[made]) == [("other", RULE)]


STATEMENT = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
FIRST_RECORD = Record("external-transactions", {"id": "s-1", "upload_id": UPLOAD})


def size(count: int) -> Record:
    return Record("upload-sizes", {"upload_id": UPLOAD, "count": count})


def test_an_upload_has_all_of_its_records():
    it = past(upload_records("bank", STATEMENT, name="s.csv"), outcome="uploaded", transaction_id=UPLOAD)
    assert told(it, FIRST_RECORD, size(1)) == []
    assert told(it) == [("missing", UPLOAD)]
    assert told(it, FIRST_RECORD, size(0)) == [("other", UPLOAD)]
    assert told(replace(it, transaction_id=an_id("upload", 2)), FIRST_RECORD, size(1)) == [
        ("other", an_id("upload", 2))
    ]
    assert told(letter(upload_records("bank", STATEMENT, name="s.csv"), "unknown"), FIRST_RECORD, size(1)) == [
        ("happened", UPLOAD)
    ]


def test_a_reconciliation_is_among_the_runs_of_its_upload_and_no_other_is_there_that_nobody_started():
    it = past(start_reconciliation(UPLOAD, "one_to_one", [RULE]), outcome="started", transaction_id=RUN)

    def runs(*ids: str) -> Record:
        return Record("upload-runs", {"upload_id": UPLOAD, "runs": list(ids)})

    assert told(it, runs(RUN)) == []
    assert told(it, runs()) == [("missing", RUN)]
    assert told(it, runs(RUN, an_id("recon", 2))) == [("twice", UPLOAD)]
    assert told(it, runs(RUN, an_id("recon", 2)), since_ms=NOW_MS) == []
    assert told(it, Record("upload-runs", {"upload_id": UPLOAD, "runs": None})) == []


def test_an_instant_run_has_its_records():
    record = {"id": "s-1", "amount": 50.0, "currency": "EUR", "date": "2026-11-20T10:00:00Z"}
    intent = start_instant_reconciliation([record], "one_to_one", [RULE])
    it = past(intent, outcome="started", transaction_id=RUN)
    run = Record("reconciliations", {"reconciliation_id": RUN, "upload_id": UPLOAD})
    assert told(it, FIRST_RECORD, size(1), run) == []
    assert told(it) == [("missing", RUN)]
    assert told(it, FIRST_RECORD, size(0), run) == [("other", RUN)]
    second = Record("reconciliations", {"reconciliation_id": an_id("recon", 2), "upload_id": UPLOAD})
    assert told(it, FIRST_RECORD, size(1), run, second) == [("twice", RUN)]


# -- all kinds --------------------------------------------------------------------------------------------------------


def test_every_kind_says_what_the_ledger_has_to_show():
    assert [name for name, kind in KINDS.items() if kind.evidence is None] == []


def test_a_letter_that_a_human_closed_is_no_difference_where_it_says_that_nobody_can_tell():
    closed = past(void_hold("order_42"), "discarded", dead_class="unknown", memo={"row": HOLD})
    assert told(closed, HOLD_ROW, child(8, "VOID")) == []
