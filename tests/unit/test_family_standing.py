"""What an audit tells of movements of money: of one, of the legs of a split, of the items of a bulk, and of holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import ALICE, BANK, SOMEBODY, balance, payment, row, txn
from kindbook import entry_of
from test_evidence import SPLIT, answers, bulk, compared, legs, letter, past, split, told

from blnk_relay import Leg, bulk_transactions, split_transaction
from blnk_relay.intents.evidence import ADVICE, Part, Past, Sort
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.rows import CLOCKS_APART_MS, capped, made_ms
from blnk_relay.kinds.registry import KINDS

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
    # Of two reasons a letter has the one for which it may still change.
    assert told(replace(it, code="STUCK_QUEUED"), other) == []
    refused = letter(payment(), "unknown", "TXN_DUPLICATE_REFERENCE")
    assert told(refused, row(2, "order_42_q", "APPLIED", precise_amount=1)) == []
    assert told(refused, row(2, "order_42_q", "APPLIED")) == [("happened", "order_42")]


def test_a_split_that_was_refused_because_its_reference_exists_may_have_made_just_that():
    refused = letter(SPLIT, "refused", "TXN_DUPLICATE_REFERENCE")
    first, second = legs()
    assert told(refused, first, second) == [("happened", SALE)]
    # Or another's, of which the letter is believed, also where one row of it has the amount or the balance of a leg.
    others = (replace(first, precise_amount=50), replace(second, precise_amount=51))
    assert told(refused, *others) == []
    assert told(refused, others[1]) == []


@pytest.mark.parametrize(
    ("it", "strange"),
    [
        (letter(SPLIT, "unknown", "REFERENCE_CONFLICT"), False),
        (letter(SPLIT, "refused", "TXN_DUPLICATE_REFERENCE"), False),
        (letter(SPLIT, "refused"), True),
        (past(SPLIT, "cancelled", outcome="cancelled"), True),
    ],
)
def test_a_leg_that_stands_beside_another_transaction_moved_money_whatever_the_letter_says_of_that(it, strange):
    first, second = legs()
    other, back = replace(second, precise_amount=51), row(14, f"{txn(11)}_refund_q", "APPLIED")
    happened, *rest = compared(it, [first, other])
    assert (happened.sort, happened.reference, happened.says) == ("happened", SALE, it.told)
    assert happened.shows == leg_in_words(first)
    # No replay finds all of it, and it is not done.
    assert happened.advice.startswith("some of it happened, beside another transaction")
    assert [str(one.sort) for one in rest] == ["strange"] * strange
    # Once it was taken back there is only the other one, or nothing.
    assert told(it, first, other, back) == [("strange", SALE)] * strange
    assert told(it, first, replace(other, status="REJECTED")) == [("happened", SALE)]


def test_beside_another_transaction_a_row_whose_balance_nobody_has_seen_may_be_of_that_one():
    destinations = [Leg("@shop", precise_amount=1000), Leg(SOMEBODY, left=True)]
    intent = split_transaction(
        source=BANK, destinations=destinations, currency="EUR", amount="10.50", description="Sale", reference="sale"
    )
    first, second = legs(intent)
    other, it = replace(second, precise_amount=51), letter(intent, "unknown", "REFERENCE_CONFLICT")
    assert told(it, first, other) == []
    assert [sort for sort, _ in told(it, first, other, balance(ALICE, "@shop", "EUR"))] == ["happened"]
    # With nothing beside it, it can be nobody's but ours.
    assert [sort for sort, _ in told(it, first, second)] == ["happened"]


def test_what_stands_in_the_places_of_legs_and_is_none_of_them_is_strange():
    refused = letter(SPLIT, "refused")
    first, second = legs()
    another = replace(first, precise_amount=1)
    (one,) = compared(refused, [another])
    assert (one.sort, one.reference, one.advice) == ("strange", SALE, ADVICE[Sort.STRANGE])
    assert (one.says, one.shows) == ("dead (refused SOME_CODE)", f"another transaction: {leg_in_words(another)}")
    assert told(refused, replace(first, destination=SOMEBODY)) == [("strange", SALE)]
    # Each leg has its own amount, and each row is told for itself.
    assert told(refused, replace(first, precise_amount=50)) == [("strange", SALE)]
    assert words(refused, another, second) == [
        ("happened", one.says, leg_in_words(second)),
        ("strange", one.says, one.shows),
    ]
    assert told(refused, another, row(14, f"{txn(11)}_refund_q", "APPLIED")) == []
    # Whether it is one of them is told by the balance that a name stands for.
    named = split_transaction(
        source=BANK,
        destinations=[Leg("@shop", precise_amount=1000), Leg(SOMEBODY, left=True)],
        currency="EUR",
        amount="10.50",
        description="Sale",
        reference="sale",
    )
    (own, _), it = legs(named), letter(named, "refused")
    assert [sort for sort, _ in told(it, own, balance(ALICE, "@shop", "EUR"))] == ["happened"]
    assert [sort for sort, _ in told(it, own, balance(BANK, "@shop", "EUR"))] == ["strange"]


@pytest.mark.parametrize("end", ["-3", ".r2-1"])
def test_what_stands_beyond_the_legs_of_a_letter_happened_only_where_it_is_one_of_them(end):
    refused = letter(SPLIT, "refused")
    leg = replace(legs()[0], transaction_id=txn(13), reference=f"{SALE}{end}")
    another = replace(leg, precise_amount=1)
    assert told(refused, leg) == [("happened", SALE)]
    assert told(refused, another) == [("strange", SALE)]
    assert told(refused, another, replace(leg, transaction_id=txn(14), reference=f"{SALE}.r2-2")) == [
        ("happened", SALE)
    ]
    # Where it stands as well, it is too much, whatever it is.
    assert told(split(), *legs(), another) == [("twice", SALE)]


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


# -- what is read -----------------------------------------------------------------------------------------------------


def asked(it: Past, *shown: Row | Record) -> list[tuple[str, str]]:
    """Field and value of each question, in turn."""
    evidence = KINDS[it.entry.kind].evidence
    assert evidence is not None
    found, every = Found(), list[Lookup]()
    while lookups := evidence.lookups(it, found):
        every += lookups
        assert len(every) == len(set(every)), "it asks twice"
        some = [one for lookup in lookups for one in answers(lookup, shown)]
        found = found.plus(
            [one for one in some if isinstance(one, Row)], [one for one in some if isinstance(one, Record)], lookups
        )
    return [(one.field, one.value) for one in every]


def references(*names: str) -> list[tuple[str, str]]:
    return [("reference", name) for name in names]


OWN = references("order_42", "order_42_q", "order_42.r2", "order_42.r2_q")
PAID = past(payment(), transaction_id=txn(2))
ROW = row(2, "order_42_q", "APPLIED")
LATER = row(3, "order_42.r2_q", "APPLIED")
HELD = past(payment(inflight=True), outcome="held", transaction_id=txn(7))
HOLD = row(7, "order_42_q", "INFLIGHT")
BACK = references(f"{txn(2)}_refund", f"{txn(2)}_refund_q")
DATED = payment(inflight=True, skip_queue=True, inflight_expiry_date="2027-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("it", "shown", "more"),
    [
        # What stands as it was confirmed takes one round.
        (PAID, [ROW], []),
        (replace(PAID, transaction_id=""), [ROW], []),
        # What was confirmed and stands elsewhere, or nowhere, is looked for by its id.
        (PAID, [], [("transaction_id", txn(2))]),
        (PAID, [row(9, "order_42", "APPLIED")], [("transaction_id", txn(2))]),
        (replace(PAID, transaction_id="bulk_1"), [], []),
        # Of what stands under other references, and of all that is no outcome, whether it was taken back.
        (PAID, [ROW, LATER], references(f"{txn(3)}_refund", f"{txn(3)}_refund_q")),
        (PAID, [ROW, replace(LATER, status="INFLIGHT")], [("parent_transaction", txn(3))]),
        (letter(payment(), "unknown"), [ROW], BACK),
        (letter(payment(), "unknown"), [replace(ROW, status="INFLIGHT")], [("parent_transaction", txn(2))]),
        (letter(payment(), "unknown"), [replace(ROW, status="REJECTED")], []),
        # Of a hold that was made, what was settled of it.
        (HELD, [HOLD], [("parent_transaction", txn(7))]),
        (HELD, [replace(HOLD, status="APPLIED")], []),
        (replace(HELD, entry=entry_of(payment())), [HOLD], []),
        # The ledger settles it by itself.
        (past(DATED, outcome="held", transaction_id=txn(7)), [HOLD], []),
        (replace(PAID, generation=1, transaction_id=""), [], references("order_42.r3", "order_42.r3_q")),
    ],
)
def test_of_a_payment_all_of_its_references_are_read_and_no_more_than_is_needed(it, shown, more):
    assert asked(it, *shown) == [*OWN, *more]


def test_balances_are_read_where_something_stands_that_names_them():
    it = past(payment(source="@bank", destination="@alice"), transaction_id=txn(2))
    assert asked(it, ROW) == [*OWN, ("indicator", "@bank"), ("indicator", "@alice")]
    assert asked(replace(it, transaction_id="")) == OWN
    assert asked(letter(payment(destination="@alice"), "refused"), ROW) == [*OWN, ("indicator", "@alice"), *BACK]


def test_of_a_bulk_the_references_of_all_items_are_read_and_each_balance_once():
    items = [payment(reference=name, source="@bank") for name in ("fee-1", "fee-2")]
    it = past(bulk_transactions(items), parts=(Part("applied", txn(11)), Part("applied", txn(12))))
    every = [f"{name}{later}{child}" for name in ("fee-1", "fee-2") for later in ("", ".r2") for child in ("", "_q")]
    assert asked(it, FIRST, SECOND) == [*references(*every), ("indicator", "@bank")]
    assert asked(it, FIRST) == [*references(*every), ("transaction_id", txn(12)), ("indicator", "@bank")]
    # The payload has the references of the generation that it came to.
    renewed = [replace(one, reference=f"{one.reference.removesuffix('_q')}.r2") for one in (FIRST, SECOND)]
    items = [{**item, "reference": f"{item['reference']}.r2"} for item in it.entry.payload["items"]]
    now = replace(it, generation=1, entry=replace(it.entry, payload={"items": items}))
    every = [
        f"{name}{later}{child}" for name in ("fee-1", "fee-2") for later in ("", ".r2", ".r3") for child in ("", "_q")
    ]
    assert asked(now, *renewed) == [*references(*every), ("indicator", "@bank")]
    assert told(now, *renewed) == []
    assert told(now, *renewed, replace(FIRST, transaction_id=txn(13))) == [("twice", "fee-1.r2")]


LEG_NAMES = [f"{SALE}{later}-{number}" for later in ("", ".r2") for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("it", "shown", "more"),
    [
        (split(), legs(), []),
        (split(), [], []),
        (letter(SPLIT, "unknown"), legs()[:1], references(f"{txn(11)}_refund", f"{txn(11)}_refund_q")),
        (split(), [*legs(), replace(legs()[0], transaction_id=txn(13), reference=f"{SALE}.r2-1")],
         references(f"{txn(13)}_refund", f"{txn(13)}_refund_q")),
        (replace(split(), generation=1), [], references(*(f"{SALE}.r3-{number}" for number in (1, 2, 3)))),
    ],
)  # fmt: skip
def test_of_a_split_all_legs_are_read_and_one_more(it, shown, more):
    assert asked(it, *shown) == [*references(*LEG_NAMES), *more]


def test_of_a_split_the_balances_of_both_sides_are_read():
    intent = split_transaction(
        sources=[Leg("@a", precise_amount=1000), Leg(SOMEBODY, left=True)],
        destination="@b",
        currency="EUR",
        amount="10.50",
        description="Sale",
        reference="sale",
    )
    (first, second) = (replace(one, source=one.destination, destination=BANK) for one in legs(intent))
    shown = (balance(BANK, "@b", "EUR"), balance(ALICE, "@a", "EUR"))
    it = past(intent, parts=(Part("applied", txn(11)), Part("applied", txn(12))))
    assert asked(it, first, second) == [*references(*LEG_NAMES), ("indicator", "@b"), ("indicator", "@a")]
    assert told(it, first, second, *shown) == []
    assert told(it, first, replace(second, destination=ALICE), *shown) == [("other", SALE)]


def test_of_a_split_of_holds_what_was_settled_of_each_leg_is_read():
    intent = replace(SPLIT, payload={**SPLIT.payload, "inflight": True})
    held = [replace(one, status="INFLIGHT") for one in legs(intent)]
    parts = (Part("held", txn(11)), Part("held", txn(12)))
    below = [("parent_transaction", txn(11)), ("parent_transaction", txn(12))]
    assert asked(past(intent, parts=parts, outcome="held"), *held) == [*references(*LEG_NAMES), *below]
    # Of a letter whether they were taken back, by the same question.
    half = letter(intent, "partial", "ROLLBACK_INCOMPLETE", parts=parts)
    assert asked(half, *held) == [*references(*LEG_NAMES), *below]


# -- what is told -----------------------------------------------------------------------------------------------------


def words(it: Past, *shown: Row | Record, **more: Any) -> list[tuple[str, str, str]]:
    """Sort, and what both say, of each difference."""
    return [(str(one.sort), one.says, one.shows) for one in compared(it, shown, **more)]


AS_2, PAID_IN_WORDS = f"applied as {txn(2)}", f"{txn(2)} (APPLIED 1050 EUR under order_42_q)"


@pytest.mark.parametrize(
    ("it", "shown", "expected"),
    [
        (PAID, [], ("missing", AS_2, "nothing under this reference, and no row with the confirmed id")),
        (replace(PAID, transaction_id=""), [], ("missing", "applied", "nothing under this reference")),
        (HELD, [], ("missing", f"held as {txn(7)}", "nothing under this reference, and no row with the confirmed id")),
        (PAID, [row(1, "order_42", "QUEUED")], ("missing", AS_2, f"{txn(1)}, still QUEUED")),
        (PAID, [row(2, "by-hand", "APPLIED")],
         ("missing", AS_2, "the confirmed row under another reference: by-hand")),
        (PAID, [ROW, row(9, "order_42", "INFLIGHT")],
         ("twice", AS_2, f"2 rows: {txn(9)} (INFLIGHT 1050 EUR under order_42), {PAID_IN_WORDS}")),
        (PAID, [replace(ROW, transaction_id=txn(9))],
         ("other", AS_2, f"id: confirmed {txn(2)}, has {txn(9)}, and the confirmed row is not there")),
        (PAID, [replace(ROW, transaction_id=txn(9)), row(2, "by-hand", "APPLIED")],
         ("other", AS_2, f"id: confirmed {txn(2)}, has {txn(9)}")),
        (PAID, [replace(ROW, precise_amount=7, currency="USD")],
         ("other", AS_2, "precise_amount: asked 1050, has 7; currency: asked EUR, has USD")),
        (PAID, [replace(ROW, transaction_id=txn(9), status="INFLIGHT", precise_amount=7)],
         ("other", AS_2, f"id: confirmed {txn(2)}, has {txn(9)}, and the confirmed row is not there; "
          "status: asked APPLIED, has INFLIGHT; precise_amount: asked 1050, has 7")),
        (HELD, [replace(HOLD, status="APPLIED")],
         ("other", f"held as {txn(7)}", "status: asked INFLIGHT, has APPLIED")),
        (PAID, [ROW, LATER], ("twice", f"done (applied) as {txn(2)}",
         f"under other references of it: {txn(3)} (APPLIED 1050 EUR under order_42.r2_q)")),
        (letter(payment(), "refused"), [LATER], ("happened", "dead (refused SOME_CODE)",
         f"under other references of it: {txn(3)} (APPLIED 1050 EUR under order_42.r2_q)")),
        (letter(payment(), "refused"), [ROW], ("happened", "dead (refused SOME_CODE)", PAID_IN_WORDS)),
        (letter(payment(), "refused"), [replace(ROW, source=SOMEBODY)],
         ("strange", "dead (refused SOME_CODE)", f"another transaction: {PAID_IN_WORDS}")),
    ],
)  # fmt: skip
def test_of_a_payment_both_sides_are_told(it, shown, expected):
    assert words(it, *shown) == [expected]
    assert told(it, *shown) == [(expected[0], "order_42")]


def test_another_transaction_under_another_reference_of_a_letter_is_strange():
    other = replace(LATER, precise_amount=1)
    assert told(letter(payment(), "refused"), other) == [("strange", "order_42")]
    assert told(letter(payment(), "refused"), other, row(4, "order_42.r2", "APPLIED")) == [("happened", "order_42")]
    assert told(PAID, ROW, other) == [("twice", "order_42")]


def test_whether_a_letter_happened_is_told_by_the_balances_behind_its_indicators():
    it = letter(payment(source="@bank"), "refused")
    for owner, sort in ((BANK, "happened"), (SOMEBODY, "strange")):
        assert told(it, ROW, balance(owner, "@bank", "EUR")) == [(sort, "order_42")]
        assert told(it, LATER, balance(owner, "@bank", "EUR")) == [(sort, "order_42")]


def test_of_many_rows_some_are_named():
    it = replace(PAID, generation=2, transaction_id="")
    rows = [
        row(20 + number, f"order_42{later}", "APPLIED")
        for number, later in enumerate(["", "_q", ".r2", ".r2_q", ".r4"])
    ]
    ((_, _, shows),) = words(it, row(2, "order_42.r3_q", "APPLIED"), *rows)
    assert shows.endswith(f"{txn(22)} (APPLIED 1050 EUR under order_42.r2) and 2 more")


@pytest.mark.parametrize("it", [PAID, letter(payment(), "rejected")])
@pytest.mark.parametrize(
    ("below", "counts"),
    [
        ([], True),
        ([row(8, f"{txn(3)}_refund", "QUEUED")], False),
        ([row(8, f"{txn(3)}_refund_q", "APPLIED")], False),
        ([row(8, f"{txn(3)}_refund_q", "REJECTED")], True),
    ],
)
def test_what_was_taken_back_or_is_about_to_be_stands_no_more(it, below, counts):
    own = [ROW] if it.done else []
    assert bool(told(it, *own, LATER, *below)) is counts
    if not it.done:
        assert bool(told(it, replace(LATER, reference="order_42_q"), *below)) is counts


def test_of_a_hold_that_was_no_outcome_it_counts_whether_it_was_voided():
    it, void = letter(payment(inflight=True), "rejected"), row(8, "ref_8", "VOID", parent=txn(7))
    assert told(it, HOLD) == [("happened", "order_42")]
    assert told(it, HOLD, void) == []


MORE_LEGS = [replace(legs()[1], transaction_id=txn(13), reference=f"{SALE}{end}") for end in ("-3", ".r2-3", ".r2-1")]
HALF = letter(
    SPLIT, "partial", "ROLLBACK_INCOMPLETE", parts=(Part("applied", txn(11)), Part("undone", txn(12)))
)  # fmt: skip
TAKEN = row(14, f"{txn(12)}_refund_q", "APPLIED")


def leg_in_words(one: Row) -> str:
    return f"{one.transaction_id} ({one.status} {one.precise_amount} EUR under {one.reference})"


LEG_1, LEG_2 = (leg_in_words(one) for one in legs())


@pytest.mark.parametrize(
    ("it", "shown", "expected"),
    [
        *((split(), [*legs(), one], ("twice", SALE, "done (applied)", f"more than its legs: {leg_in_words(one)}"))
          for one in MORE_LEGS),
        *((HALF, [*legs(), TAKEN, one],
           ("twice", SALE, "dead (partial ROLLBACK_INCOMPLETE)", f"more than its legs: {leg_in_words(one)}"))
          for one in MORE_LEGS),
        *((letter(SPLIT, "rejected"), [one],
           ("happened", SALE, "dead (rejected SOME_CODE)", f"more than its legs: {leg_in_words(one)}"))
          for one in MORE_LEGS),
        (letter(SPLIT, "rejected"), legs(),
         ("happened", SALE, "dead (rejected SOME_CODE)", f"{LEG_1}, {LEG_2}")),
        (split(), [*legs(), replace(legs()[1], transaction_id=txn(13))],
         ("twice", SALE, "done (applied)",
          capped(f"a leg more than once: {LEG_1}, {LEG_2}, {LEG_2.replace(txn(12), txn(13))}"))),
        (split(), legs()[:1], ("missing", f"leg 2 of {SALE}", f"applied {txn(12)}", "no such leg")),
        (split(), legs()[1:], ("missing", f"leg 1 of {SALE}", f"applied {txn(11)}", "no such leg")),
        (split(), [legs()[0], replace(legs()[1], transaction_id=txn(13))],
         ("other", f"leg 2 of {SALE}", f"applied {txn(12)}", f"id: confirmed {txn(12)}, has {txn(13)}")),
        (split(), [legs()[0], replace(legs()[1], precise_amount=51)],
         ("other", SALE, "done (applied)",
          f"a leg that is not one of its own: {LEG_2.replace('50', '51')}")),
        # Of a letter in part what it says of each leg.
        (HALF, [legs()[1], TAKEN], ("missing", f"leg 1 of {SALE}", f"applied {txn(11)}", "no such leg")),
        (HALF, legs(), ("happened", f"leg 2 of {SALE}", f"undone {txn(12)}", LEG_2)),
        (replace(HALF, parts=(HALF.parts[0], Part("missing"))), legs(),
         ("happened", f"leg 2 of {SALE}", "missing", LEG_2)),
    ],
)  # fmt: skip
def test_of_a_split_both_sides_are_told(it, shown, expected):
    (one,) = compared(it, shown)
    assert (str(one.sort), one.reference, one.says, one.shows) == expected


@pytest.mark.parametrize(
    ("it", "shown"),
    [
        (HALF, [*legs(), TAKEN]),
        (HALF, [legs()[0]]),
        (replace(HALF, parts=(HALF.parts[0], Part("missing"))), [legs()[0]]),
        (letter(SPLIT, "rejected"), []),
        (letter(SPLIT, "rejected"), [legs()[1], TAKEN]),
        (letter(SPLIT, "rejected"), [replace(legs()[0], status="REJECTED")]),
        (split(), [*legs(), replace(MORE_LEGS[0], status="REJECTED")]),
        (split(), [*legs(), MORE_LEGS[2], row(14, f"{txn(13)}_refund_q", "APPLIED")]),
        (letter(SPLIT, "unknown", "REFERENCE_CONFLICT"), [replace(legs()[1], precise_amount=51)]),
        # Two legs whose balances nobody can tell apart: which of them has which id is chance.
        (replace(split(), parts=(Part("applied", txn(12)), Part("applied", txn(11)))), legs()),
    ],
)  # fmt: skip
def test_of_a_split_nothing_is_told_that_its_journal_says_as_well(it, shown):
    assert told(it, *shown) == []


@pytest.mark.parametrize("it", [past(SPLIT, parts=(Part("applied", txn(11)),)), bulk("done", Part("applied", txn(11)))])
def test_what_is_known_of_some_legs_or_items_alone_is_not_compared_in_part(it):
    with pytest.raises(ValueError, match="shorter"):
        compared(it, [*legs(), FIRST, SECOND])


def test_a_split_under_new_references_is_compared_by_those():
    first, second = (replace(one, reference=one.reference.replace(SALE, f"{SALE}.r2")) for one in legs())
    it = split(generation=1)
    assert told(it, first, second) == []
    assert told(it, first) == [("missing", f"leg 2 of {SALE}.r2")]
    before = replace(legs()[0], transaction_id=txn(13))
    assert told(it, first, second, before) == [("twice", f"{SALE}.r2")]
    assert told(it, first, second, before, row(14, f"{txn(13)}_refund_q", "APPLIED")) == []


# -- what was settled of holds ---------------------------------------------------------------------------------------

VOID = row(8, "ref_8", "VOID", parent=txn(7))


@pytest.mark.parametrize(
    ("below", "shows"),
    [
        ([VOID], f"{txn(8)} (VOID 1050 EUR under ref_8)"),
        ([replace(VOID, status="APPLIED", precise_amount=3)], f"{txn(8)} (APPLIED 3 EUR under ref_8)"),
        ([replace(VOID, created_at="")], f"{txn(8)} (VOID 1050 EUR under ref_8)"),
        ([replace(VOID, status="REJECTED")], ""),
        ([replace(VOID, status="QUEUED")], ""),
    ],
)
def test_what_nobody_settled_of_a_hold_is_named(below, shows):
    text = f"settled by no intent of the journal: {shows}"
    assert words(HELD, HOLD, *below) == ([("twice", "what was settled of this hold", text)] if shows else [])
    assert told(HELD, HOLD, *below) == ([("twice", "order_42_q")] if shows else [])


def test_what_may_have_been_settled_before_all_that_is_kept_accuses_nobody():
    made = made_ms(VOID.created_at)
    assert told(HELD, HOLD, VOID, since_ms=made - CLOCKS_APART_MS) == [("twice", "order_42_q")]
    assert told(HELD, HOLD, VOID, since_ms=made - CLOCKS_APART_MS + 1) == []


HOLDS = bulk_transactions([payment(reference="fee-1"), payment(reference="fee-2")], inflight=True)
BOTH = (Part("held", txn(11)), Part("held", txn(12)))


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        (past(HOLDS, outcome="held", parts=BOTH), [("twice", "fee-2_q")]),
        (letter(HOLDS, "partial", "ITEMS_MISSING", parts=BOTH), [("twice", "fee-2_q")]),
        # Of an outcome that is not known the letter may be settled by hand at any time.
        (letter(HOLDS, "unknown", "STUCK_QUEUED", parts=BOTH), []),
    ],
)
def test_of_each_hold_of_a_bulk_it_is_told_what_nobody_settled(it, expected):
    first, second = (replace(one, status="INFLIGHT") for one in (FIRST, SECOND))
    assert told(it, first, second) == []
    assert told(it, first, second, replace(VOID, parent=txn(12))) == expected


@pytest.mark.parametrize("date", ["inflight_expiry_date", "inflight_commit_date"])
def test_a_hold_that_the_ledger_was_asked_to_settle_is_settled_by_nobody_else(date):
    intent = payment(inflight=True, skip_queue=True, **{date: "2027-01-01T00:00:00Z"})
    it = past(intent, outcome="held", transaction_id=txn(7))
    assert told(it, HOLD, VOID) == []


def test_what_stands_twice_though_the_letter_has_it_missing_is_told_as_twice():
    under_both = (row(11, "fee-1_q", "APPLIED"), row(13, "fee-1.r2_q", "APPLIED"))
    partial = bulk("dead", Part("missing"), Part("applied", txn(12)), dead_class="partial", code="ITEMS_MISSING")
    assert ("twice", "fee-1") in told(partial, *under_both, row(12, "fee-2_q", "APPLIED"))
    queued = bulk("dead", Part("queued"), Part("queued"), dead_class="unknown", code="STUCK_QUEUED")
    assert ("twice", "fee-1") in told(queued, *under_both)
    single = letter(payment(), "unknown", "VANISHED", generation=1)
    shown = (row(2, "order_42_q", "APPLIED"), row(3, "order_42.r2_q", "APPLIED"))
    assert "twice" in {sort for sort, *_ in told(single, *shown)}


def test_it_is_not_told_as_twice_where_what_stood_under_its_own_reference_was_taken_back():
    it, back = letter(payment(), "refused"), row(4, f"{txn(2)}_refund_q", "APPLIED")
    assert told(it, ROW, LATER) == [("happened", "order_42"), ("twice", "order_42")]
    assert told(it, ROW, back, LATER) == [("happened", "order_42")]


def test_it_is_told_as_twice_where_the_balances_behind_its_indicators_say_so():
    it = letter(payment(source="@bank"), "refused")
    assert told(it, ROW, LATER, balance(BANK, "@bank", "EUR")) == [("happened", "order_42"), ("twice", "order_42")]
    assert told(it, ROW, LATER, balance(SOMEBODY, "@bank", "EUR")) == [("strange", "order_42")] * 2


def test_a_leg_too_many_is_known_by_the_balance_behind_its_name_or_where_nobody_has_seen_one():
    destinations = [Leg("@shop", precise_amount=1000), Leg(SOMEBODY, left=True)]
    intent = split_transaction(
        source=BANK, destinations=destinations, currency="EUR", amount="10.50", description="Sale", reference="sale"
    )
    name = entry_of(intent).reference
    it, beyond = letter(intent, "refused"), replace(legs(intent)[0], reference=f"{name}-3")
    assert told(it, beyond) == [("happened", name)]
    assert told(it, beyond, balance(ALICE, "@shop", "EUR")) == [("happened", name)]
    assert told(it, beyond, balance(BANK, "@shop", "EUR")) == [("strange", name)]


def test_where_no_other_transaction_stands_beside_the_legs_of_a_letter_it_can_be_discarded_as_done():
    (one,) = compared(letter(SPLIT, "refused"), legs())
    assert (one.sort, one.advice) == ("happened", ADVICE[Sort.HAPPENED])
