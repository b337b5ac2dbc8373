"""What is done with a split: which leg is which row, what is read to tell, and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_kind_split import BOTH, FEES, HALF, REFERENCE, SALES, SENT, SHOP, decided, leg, progress, refund, sale

from blnk_relay import Leg
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Renew, Send
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.intent import Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds import transaction_split as kind

ELSEWHERE, UNKNOWN = "bln_elsewhere", "bln_unknown"


def behind(name: str, balance_id: str, currency: str = "EUR") -> Record:
    return Record("balances", {"indicator": name, "balance_id": balance_id, "currency": currency})


def asked(now: Progress, *rows: Row, intent: Intent | None = None) -> list[tuple[str, str, str]]:
    """Resource, field and value of each question, in turn."""
    entry = new_entry(intent or sale(), "order_42", "a-lane", not_before="+0", deadline="+1000").entry
    found, every = Found(), list[Lookup]()
    while lookups := kind.lookups(entry, now, found):
        every += lookups
        shown = [row for row in rows for one in lookups if (one.field, one.value) == ("reference", row.reference)]
        found = found.plus(shown, (), lookups)
    return [(one.resource, one.field, one.value) for one in every]


def references(*names: str) -> list[tuple[str, str, str]]:
    return [("transactions", "reference", name) for name in names]


LEGS = references(f"{REFERENCE}-1", f"{REFERENCE}-2")
REFUNDS = {number: references(f"txn_{number}_refund", f"txn_{number}_refund_q") for number in (1, 2)}
UNSENT = progress(sent=False, looking=False, memo={})


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        (UNSENT, (), []),
        # What is looked for before it is sent, and what was sent before any look.
        (progress(sent=False), (), LEGS),
        (progress(looking=False), (), LEGS),
        (progress(memo={}), (), LEGS),
        (progress(memo={"mode": "queue"}), BOTH, []),
        # Whether they were taken back, unless all were accepted and are there.
        (progress(), BOTH, [*LEGS, *REFUNDS[1], *REFUNDS[2]]),
        (progress(accepted=True), BOTH, LEGS),
        (progress(accepted=True), (HALF,), [*LEGS, *REFUNDS[2]]),
    ],
)
def test_what_is_read_of_a_split(now, rows, expected):
    assert asked(now, *rows) == expected


def test_of_a_split_of_holds_it_is_read_what_became_of_each():
    held = [leg(1, FEES, 100, "INFLIGHT"), leg(2, SHOP, 900, "INFLIGHT")]
    below = [("transactions", "parent_transaction", f"txn_{number}") for number in (1, 2)]
    assert asked(progress(), *held, intent=sale(inflight=True)) == [*LEGS, *below]


def test_the_balances_behind_indicators_of_both_sides_are_read_once_a_leg_is_there():
    intent = sale(source="@sales", destinations=[Leg("@shop", percent=90), Leg(FEES, left=True)])
    assert asked(progress(accepted=True), intent=intent) == LEGS
    names = [("balances", "indicator", name) for name in ("@sales", "@shop")]
    assert asked(progress(accepted=True), *BOTH, intent=intent) == [*LEGS, *names]


# -- which leg is which row -------------------------------------------------------------------------------------------


def noted(*legs: Leg, rows: tuple[Row, ...], records: tuple[Record, ...] = (), **changes: Any) -> dict[int, str] | str:
    """What is noted of each leg; or the code of the letter."""
    decision = decided(progress(accepted=True), *rows, intent=sale(destinations=legs, **changes), records=records)
    if isinstance(decision, Dead):
        return decision.code
    assert isinstance(decision, Done)
    return decision.note.parts


def halves(first: str, second: str) -> tuple[Row, Row]:
    return leg(1, first, 500), leg(2, second, 500)


STRAIGHT = {0: "applied txn_1", 1: "applied txn_2"}
CROSSED = {0: "applied txn_2", 1: "applied txn_1"}


@pytest.mark.parametrize(
    ("first", "second", "rows", "records", "expected"),
    [
        # A balance that nobody has seen may be any, but none that another leg names.
        ("@shop", FEES, halves(FEES, UNKNOWN), (), CROSSED),
        ("@shop", FEES, halves(UNKNOWN, FEES), (), STRAIGHT),
        (FEES, "@shop", halves(UNKNOWN, FEES), (), CROSSED),
        # Nor one that stands for another name in this currency.
        ("@shop", "@fees", halves(FEES, UNKNOWN), (behind("@fees", FEES),), CROSSED),
        ("@shop", "@fees", halves(UNKNOWN, FEES), (behind("@fees", FEES),), STRAIGHT),
        ("@shop", "@fees", halves(FEES, UNKNOWN), (behind("@fees", FEES, "USD"),), STRAIGHT),
        ("@shop", "@fees", halves(SHOP, FEES), (behind("@fees", FEES), behind("@shop", SHOP)), STRAIGHT),
        ("@shop", "@fees", halves(FEES, SHOP), (behind("@fees", FEES), behind("@shop", SHOP)), CROSSED),
        ("@shop", "@fees", halves("@fees", "@shop"), (), CROSSED),
        # Where nothing tells them, both stand, and it is all the same.
        ("@shop", "@fees", halves(UNKNOWN, ELSEWHERE), (), STRAIGHT),
        ("@shop", "@fees", halves(UNKNOWN, FEES), (behind("@fees", FEES), behind("@shop", SHOP)), "REFERENCE_CONFLICT"),
        (SHOP, FEES, halves(UNKNOWN, FEES), (), "REFERENCE_CONFLICT"),
    ],
)  # fmt: skip
def test_equal_legs_are_told_by_the_balances_that_are_known(first, second, rows, records, expected):
    legs = (Leg(first, percent=50), Leg(second, left=True))
    assert noted(*legs, rows=rows, records=records) == expected


def test_legs_of_several_sources_are_told_by_the_source():
    intent = sale(
        source=None, destinations=None, destination=SALES, sources=[Leg(SHOP, percent=90), Leg(FEES, left=True)]
    )
    rows = (leg(1, SALES, 100, source=FEES), leg(2, SALES, 900, source=SHOP))
    decision = decided(progress(accepted=True), *rows, intent=intent)
    assert isinstance(decision, Done)
    assert decision.note.parts == CROSSED
    swapped = (leg(1, SALES, 900, source=FEES), leg(2, SALES, 100, source=SHOP))
    letter = decided(progress(accepted=True), *swapped, intent=intent)
    assert f"Has: {FEES} 900 EUR APPLIED. Asked: EUR, {SHOP} 900, {FEES} 100" in letter.message


# -- what is done, and what is kept -----------------------------------------------------------------------------------


def test_what_was_looked_for_or_sent_is_not_sent_before_it_is_known_to_be_missing():
    assert decided(UNSENT) == Send(memo=SENT)
    # Replays look first; and a send after which nobody looked may have come.
    for now in (progress(sent=False, accepted=True), progress(looking=False, accepted=True)):
        assert isinstance(decided(now, *BOTH), Done)
        assert isinstance(decided(now, HALF), Look)


def test_what_is_sent_again_is_sent_in_the_mode_of_the_first_time():
    assert decided(progress(61)) == Send(memo=SENT)
    # From a journal that forgot how: there is no other mode that was ever sent.
    assert isinstance(decided(progress(accepted=True, memo={}), *BOTH), Done)


def test_legs_that_came_to_one_balance_by_their_links_are_refused_in_words():
    intent = sale()
    alike = [{**one, "identifier": SHOP} for one in intent.payload["destinations"]]
    decision = decided(UNSENT, intent=replace(intent, payload={**intent.payload, "destinations": alike}))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "LEGS_ALIKE")
    assert "name each balance once" in decision.message


def test_the_letter_of_another_mode_says_that_nobody_can_tell():
    decision = decided(progress(memo={"mode": "queue"}), *BOTH)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "OTHER_MODE")
    assert decision.message.startswith("It was first sent in another mode")


def test_what_was_seen_of_each_leg_is_kept_beside_what_a_look_has_to_remember():
    now = progress(61)
    look = decided(now, HALF)
    assert isinstance(look, Look)
    assert look.note.parts == {0: "applied txn_2"}
    assert look.note.memo == now.memo
    # The next look goes on with the silence that this one has seen.
    first = progress(61, memo=SENT)
    assert decided(first, HALF).note.memo == {**SENT, "watched": [first.now_ms, 0]}
    # Of a request that only a lost journal could tell of nothing is kept, or it would seem to be recorded.
    lost = decided(progress(memo={}, lost_ms=first.now_ms))
    assert isinstance(lost, Look)
    assert lost.note is None


def test_what_an_end_was_decided_from_is_kept_with_it():
    now = progress(901)
    for decision in (decided(now, HALF), decided(progress(901, accepted=True), *BOTH)):
        assert isinstance(decision, Dead | Done)
        assert decision.note.memo == now.memo


def test_what_was_taken_back_is_renewed_or_ends_as_a_letter_that_names_each_leg():
    now = progress(61, code="GEN_RESOURCE_LOCKED", message="locked")
    decision = decided(now, HALF, refund(2, "APPLIED"))
    assert isinstance(decision, Renew)
    letter = decision.otherwise
    assert (letter.dead_class, letter.code) == (DeadClass.REJECTED, "ROLLED_BACK")
    assert letter.message.endswith("GEN_RESOURCE_LOCKED: locked")
    assert letter.note.parts == {0: "undone txn_2", 1: "missing"}
    assert letter.note.memo == now.memo
