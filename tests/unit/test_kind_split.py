"""Splits: what legs come to (contract §6.5), and what is done with what the ledger shows of them (contract §3.6)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from blnk_relay import InvalidIntent, Leg, intent_of, result_of, split_transaction
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Look, Renew, Send
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.references import reference_problem, split_reference
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds import transaction_split as kind
from blnk_relay.replay import ReplayWay, plan_replay
from blnk_relay.sandbox.core.distributions import divide as ledger_divides
from blnk_relay.schema.legs import divide
from blnk_relay.settings import Settings, policy_of

NOW_MS = 1_800_000_000_000
POLICY = policy_of(Settings(quiet_s=30.0))
SHOP, FEES, SALES = (f"bln_{uuid.UUID(int=number)}" for number in (1, 2, 3))
REFERENCE = split_reference("order_42")
SENT = {"mode": "skip"}


def sale(**changes: Any):
    given: dict[str, Any] = {
        "source": SALES,
        "destinations": [Leg(SHOP, percent=90), Leg(FEES, left=True)],
        "currency": "EUR",
        "amount": "10.00",
        "description": "Sale",
        "reference": "order_42",
    }
    return split_transaction(**{name: value for name, value in (given | changes).items() if value is not None})


def progress(ago_s: float = 1.0, **changes: Any) -> Progress:
    at_ms = NOW_MS - int(ago_s * 1000)
    given = {"sent": True, "looking": True, "since_ms": at_ms, "first_sent_ms": at_ms, "last_sent_ms": at_ms}
    memo = {**SENT, "watched": [NOW_MS, NOW_MS - at_ms]}
    return Progress(**{"now_ms": NOW_MS, "deadline_ms": NOW_MS * 2, "memo": memo, **given, **changes})


def leg(number: int, to: str, amount: int, status: str = "APPLIED", **changes: Any) -> Row:
    values = {"parent": "txn_t", "precise_amount": amount, "currency": "EUR", "source": SALES, "destination": to}
    return Row(f"txn_{number}", f"{REFERENCE}-{number}", status, **{**values, **changes})


def refund(number: int, status: str) -> Row:
    suffix = "_refund" if status == "QUEUED" else "_refund_q"
    return Row(f"txn_r{number}", f"txn_{number}{suffix}", status, parent=f"txn_{number}")


def decided(now: Progress, *rows: Row, intent=None, records: tuple[Record, ...] = ()) -> Decision:
    intent = intent or sale()
    entry = new_entry(intent, "order_42", "a-lane", not_before="+0", deadline="+1000").entry
    found = Found()
    for _ in range(5):
        step = next_step(kind.KIND, entry, now, found, POLICY)
        if not isinstance(step, tuple):
            return step
        fields = {"parent_transaction": "parent"}
        shown = [
            row for row in rows for ask in step if getattr(row, fields.get(ask.field, ask.field), None) == ask.value
        ]
        found = found.plus(shown, records, step)
    raise AssertionError("undecided")


BOTH = (leg(1, FEES, 100), leg(2, SHOP, 900))

# -- the arithmetic (contract §6.5) ------------------------------------------------------------------------------------


def percent(value):
    return {"percent": Decimal(value)}


def fixed(value):
    return {"precise_amount": value}


LEFT = {"left": True}


@pytest.mark.parametrize(
    ("total", "legs", "amounts"),
    [
        (10_000, [percent(10), fixed(2_000), LEFT], (1_000, 2_000, 7_000)),
        (1_001, [percent(90), LEFT], (901, 100)),
        (100, [percent("33.3"), percent("33.3"), percent("33.4")], (34, 33, 33)),
        (10_000, [fixed(6_000), fixed(4_000)], (6_000, 4_000)),
        (10_000, [fixed(6_000), LEFT], (6_000, 4_000)),
    ],
)
def test_legs_are_what_the_ledger_would_make_of_them(total, legs, amounts):
    assert divide(total, legs) == amounts


@pytest.mark.parametrize(
    ("total", "legs"),
    [
        (10_000, [percent(40), percent(40)]),
        (10_000, [fixed(1_000), fixed(2_000)]),
        (10_000, [percent(60), percent(50)]),
        (10_000, [fixed(6_000), fixed(5_000)]),
        (10_000, [fixed(6_000), percent(50), LEFT]),
        (10_000, [fixed(6_000), percent(40)]),
        (10_000, [LEFT, LEFT]),
        (10_000, [percent(100), LEFT]),
        (10_000, [fixed(10_000), LEFT]),
        (10, [percent(5), LEFT]),
        (1, [percent(50), percent(50)]),
        (2**64, [fixed(2**63), LEFT]),
    ],
)
def test_what_the_ledger_takes_without_a_word_is_refused(total, legs):
    with pytest.raises(ValueError, match=r"\w"):
        divide(total, legs)


@st.composite
def mixtures(draw):
    """A total, and up to five fixed parts and percentages that leave at least a quarter of it."""
    total = draw(st.integers(100_000, 10**15))
    part = st.one_of(
        st.integers(1, total // 7).map(fixed),
        st.integers(10, 1_500).map(lambda hundredths: percent(f"{hundredths / 100:.2f}")),
    )
    return total, [*draw(st.lists(part, min_size=1, max_size=5)), LEFT]


@given(mixtures())
def test_whatever_is_taken_adds_up_and_agrees_with_the_ledger(mixture):
    total, legs = mixture
    amounts = divide(total, legs)
    assert sum(amounts) == total
    assert min(amounts) > 0
    parts = [
        {
            "identifier": str(number),
            "distribution": "left" if "left" in one else f"{one['percent']}%" if "percent" in one else "",
            "precise_distribution": str(one.get("precise_amount", "")),
        }
        for number, one in enumerate(legs)
    ]
    by_ledger = ledger_divides(total, parts, 100)
    assert tuple(by_ledger[str(number)] for number in range(len(legs))) == amounts


@given(st.integers(2, 10**9), st.integers(2, 7))
def test_percentages_that_make_a_hundred_are_taken_and_agree_with_the_ledger(total, count):
    cut = [Decimal(100 // count)] * (count - 1)
    legs = [percent(share) for share in (*cut, 100 - sum(cut))]
    assume(total >= 100)
    parts = [
        {"identifier": str(number), "distribution": f"{one['percent']}%", "precise_distribution": ""}
        for number, one in enumerate(legs)
    ]
    assert tuple(ledger_divides(total, parts, 100).values()) == divide(total, legs)


# -- the payload -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"destinations": [Leg(SHOP, left=True)]}, "destinations"),
        ({"destinations": [Leg(SHOP, percent=50), Leg(SHOP, percent=50)]}, "destinations"),
        ({"destinations": [Leg(SHOP, percent=50), Leg(SALES, left=True)]}, "destinations"),
        ({"destinations": [Leg(SHOP, percent=50, left=True), Leg(FEES, left=True)]}, "destinations.0.amount"),
        ({"destinations": [Leg(SHOP), Leg(FEES, left=True)]}, "destinations.0.amount"),
        ({"destinations": [Leg(SHOP, percent=0.5), Leg(FEES, left=True)]}, "destinations.0.percent"),
        ({"destinations": [Leg(SHOP, amount="-1"), Leg(FEES, left=True)]}, "destinations.0.amount"),
        ({"sources": [Leg(SHOP, percent=50), Leg(FEES, left=True)]}, "destinations"),
        ({"source": None}, "source"),
        ({"destination": FEES}, "destination"),
        ({"amount": None}, "amount"),
        ({"overdraft_limit": "0.006"}, "overdraft_limit"),
        ({"overdraft_limit": "93e15"}, "overdraft_limit"),
        ({"destinations": [Leg(f"@x{n}", percent=Decimal(100) / 128) for n in range(128)]}, "destinations"),
    ],
)
def test_what_would_move_other_money_is_refused_with_its_field(changes, field):
    with pytest.raises(InvalidIntent) as refused:
        sale(**changes)
    assert field in refused.value.errors


def test_the_payload_is_canonical_and_survives_the_way_through_data():
    first = sale()
    assert first.payload["destinations"] == [
        {"identifier": SHOP, "precise_amount": 900},
        {"identifier": FEES, "precise_amount": 100},
    ]
    assert intent_of(kind.NAME, {**first.payload, "reference": "order_42"}) == first


def test_the_reference_has_a_shape_that_nobody_else_can_have():
    entry = new_entry(sale(), "order_42", "a-lane", not_before="+0", deadline="+1")
    assert entry.entry.reference == REFERENCE
    assert reference_problem(REFERENCE)
    assert reference_problem(f"{REFERENCE}-1")
    assert reference_problem("order.split.now") is None
    assert entry.references == (f"{REFERENCE}",)


def test_every_leg_is_sent_as_a_fixed_amount_in_skip_mode_and_atomic():
    entry = new_entry(sale(), "order_42", "a-lane", not_before="+0", deadline="+1").entry
    body = kind.request(entry, progress(), POLICY).body
    assert body["destinations"] == [
        {"identifier": SHOP, "precise_distribution": "900"},
        {"identifier": FEES, "precise_distribution": "100"},
    ]
    assert (body["skip_queue"], body["atomic"], body["reference"]) == (True, True, REFERENCE)


# -- decisions ---------------------------------------------------------------------------------------------------------


def test_the_mode_is_recorded_before_the_first_send():
    assert decided(progress(sent=False, looking=False, memo={})) == Send(memo=SENT)


def test_links_that_came_to_one_balance_are_never_sent():
    legs = [Leg(result_of("a", "balance_id"), percent=50), Leg(result_of("b", "balance_id"), left=True)]
    intent = sale(destinations=legs)
    same = {**intent.payload, "destinations": [{**one, "identifier": SHOP} for one in intent.payload["destinations"]]}
    now = progress(sent=False, looking=False, memo={})
    assert decided(now, intent=replace(intent, payload=same)).code == "LEGS_ALIKE"


def test_what_was_sent_in_another_mode_is_left_to_a_human():
    assert decided(progress(memo={"mode": "queue"})).code == "OTHER_MODE"


def test_legs_are_told_by_balance_and_not_by_number():
    decision = decided(progress(accepted=True), *BOTH)
    assert isinstance(decision, Done)
    assert (decision.outcome, decision.transaction_id, decision.parent_id) == ("applied", "", "txn_t")
    assert decision.note.parts == {0: "applied txn_2", 1: "applied txn_1"}


def test_holds_of_all_legs_are_held():
    rows = [leg(1, FEES, 100, "INFLIGHT"), leg(2, SHOP, 900, "INFLIGHT")]
    assert decided(progress(accepted=True), *rows, intent=sale(inflight=True)).outcome == "held"


def test_an_indicator_is_told_by_the_balance_behind_it():
    intent = sale(destinations=[Leg("@shop", percent=90), Leg("@fees", left=True)])
    records = tuple(
        Record("balances", {"indicator": name, "balance_id": id_, "currency": "EUR"})
        for name, id_ in (("@shop", SHOP), ("@fees", FEES))
    )
    assert decided(progress(), *BOTH, intent=intent, records=records).note.parts[0] == "applied txn_2"
    swapped = (leg(1, FEES, 900), leg(2, SHOP, 100))
    assert decided(progress(), *swapped, intent=intent, records=records).code == "REFERENCE_CONFLICT"


@pytest.mark.parametrize(
    "strange",
    [leg(1, FEES, 101), leg(1, SHOP, 100), leg(1, FEES, 100, currency="USD"), leg(1, FEES, 100, "REJECTED")],
)
def test_a_row_that_is_none_of_the_legs_is_a_conflict(strange):
    decision = decided(progress(), strange, leg(2, SHOP, 900))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "REFERENCE_CONFLICT")
    # Both sides are named: what the ledger has, and what was asked for.
    assert (
        f"Has: {strange.destination} {strange.precise_amount} {strange.currency} {strange.status}" in decision.message
    )
    assert f"Asked: EUR, {SHOP} 900, {FEES} 100" in decision.message
    assert "source" not in decision.message


def test_of_a_strange_row_the_other_side_is_named_where_it_is_not_what_was_asked_for():
    def told(source: str) -> str:
        return decided(progress(), leg(1, FEES, 101, source=source), leg(2, SHOP, 900)).message

    assert f"Has: {FEES} 101 EUR APPLIED, source bln_other. Asked" in told("bln_other")
    # A read that leaves it out says nothing of it.
    assert f"Has: {FEES} 101 EUR APPLIED. Asked" in told("")


NO_MONEY = {"refuse": True, "code": "TXN_INSUFFICIENT_FUNDS", "message": "insufficient funds"}
HALF = leg(2, SHOP, 900)


@pytest.mark.parametrize(
    ("now", "rows", "expected"),
    [
        # Nothing there: it may be under way unseen, then it is sent again, in the same mode.
        (progress(), (), Look),
        (progress(59), (), Look),
        (progress(61), (), Send),
        (progress(29, accepted=True, sends=1), (), Look),
        (progress(31, accepted=True, sends=1), (), Send),
        (progress(31, accepted=True, sends=8), (), Look),
        (progress(901, accepted=True, sends=8), (), (DeadClass.UNKNOWN, "VANISHED")),
        (progress(59, **NO_MONEY), (), Look),
        (progress(61, **NO_MONEY), (), (DeadClass.REFUSED, "TXN_INSUFFICIENT_FUNDS")),
        # Some there: never sent again.
        (progress(61), (HALF,), Look),
        (progress(899, **NO_MONEY), (HALF,), Look),
        (progress(901, **NO_MONEY), (HALF,), (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
        (progress(901), (HALF, refund(2, "QUEUED")), Look),
        (progress(18_001), (HALF, refund(2, "QUEUED")), (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
        (progress(29), (HALF, refund(2, "APPLIED")), Look),
        (progress(31, **NO_MONEY), (HALF, refund(2, "APPLIED")), (DeadClass.REJECTED, "ROLLED_BACK")),
        # Taken back for a reason that may pass: again, but not while a request may be under way.
        (progress(59), (HALF, refund(2, "APPLIED")), Look),
        (progress(61), (HALF, refund(2, "APPLIED")), Renew),
        (progress(901), (HALF, refund(2, "REJECTED")), (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")),
    ],
)
def test_what_is_there_decides_and_nothing_is_doubled(now, rows, expected):
    decision = decided(now, *rows)
    if isinstance(expected, tuple):
        assert isinstance(decision, Dead)
        assert (decision.dead_class, decision.code) == expected
    else:
        assert isinstance(decision, expected)


def test_a_hold_that_was_voided_counts_as_taken_back():
    held = leg(2, SHOP, 900, "INFLIGHT")
    voided = Row("txn_v", "ref_v", "VOID", parent="txn_2")
    assert decided(progress(31, **NO_MONEY), held, voided, intent=sale(inflight=True)).code == "ROLLED_BACK"


def test_a_partial_end_names_what_happened_and_what_did_not():
    decision = decided(progress(901), HALF)
    assert isinstance(decision, Dead)
    assert f"Happened: {SHOP} 900 as txn_2. Did not: {FEES} 100." in decision.message
    assert decision.note.parts == {0: "applied txn_2", 1: "missing"}


def test_all_legs_there_is_done_even_if_the_answer_was_an_error():
    assert isinstance(decided(progress(31, **NO_MONEY), *BOTH), Done)
    # Until then it may have been taken back, unseen.
    assert isinstance(decided(progress(29, **NO_MONEY), *BOTH), Look)


def test_legs_that_were_all_taken_back_are_not_done_unless_the_answer_was_that_they_are():
    undone = [refund(number, status) for number in (1, 2) for status in ("QUEUED", "APPLIED")]
    decision = decided(progress(31, code="GEN_INTERNAL", message="driver: bad connection"), *BOTH, *undone)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "TAKEN_BACK")
    assert decision.message.endswith("GEN_INTERNAL: driver: bad connection")
    assert decision.note.parts == {0: "undone txn_2", 1: "undone txn_1"}
    # What was accepted as a whole was taken back by somebody, later.
    assert isinstance(decided(progress(31, accepted=True), *BOTH, *undone), Done)


def test_legs_of_which_some_were_taken_back_end_in_part():
    decision = decided(progress(901, **NO_MONEY), *BOTH, refund(1, "QUEUED"), refund(1, "APPLIED"))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE")
    assert f"Happened: {SHOP} 900 as txn_2. Was taken back: {FEES} 100 as txn_1." in decision.message


@pytest.mark.parametrize(
    ("response", "acted", "refuse"),
    [
        (Response(201, body={"status": "APPLIED", "precise_amount": 1000}), True, False),
        (Response(400, "TXN_INSUFFICIENT_FUNDS"), True, True),
        (Response(400, "TXN_INVALID_AMOUNT"), True, True),
        (Response(404, "TXN_NOT_FOUND"), True, True),
        (Response(409, "TXN_DUPLICATE_REFERENCE"), True, False),
        (Response(409, "GEN_CONFLICT"), True, False),
        (Response(423, "GEN_RESOURCE_LOCKED"), True, False),
        (Response(500, "GEN_INTERNAL"), True, False),
        (Response(failure=Failure.BROKEN), True, False),
    ],
)
def test_answers_after_which_some_legs_may_stand_are_always_looked_at(response, acted, refuse):
    entry = new_entry(sale(), "order_42", "a-lane", not_before="+0", deadline="+1").entry
    now = progress(sent=False, looking=False)
    verdict = kind.judge(entry, now, kind.request(entry, now, POLICY), response, POLICY)
    assert isinstance(verdict.decision, Look)
    assert (verdict.acted, verdict.decision.refuse) == (acted, refuse)


def test_our_own_mistake_is_refused_at_once():
    entry = new_entry(sale(), "order_42", "a-lane", not_before="+0", deadline="+1").entry
    now = progress(sent=False, looking=False)
    answer = Response(400, "TXN_VALIDATION_ERROR", has_errors=True)
    verdict = kind.judge(entry, now, kind.request(entry, now, POLICY), answer, POLICY)
    assert isinstance(verdict.decision, Dead)
    assert not verdict.acted


def test_a_rolled_back_split_is_replayed_under_a_new_reference_and_a_partial_one_never():
    assert plan_replay(kind.NAME, "rejected", "ROLLED_BACK").way is ReplayWay.FRESH
    assert plan_replay(kind.NAME, "partial", "ROLLBACK_INCOMPLETE").way is ReplayWay.NO
    assert plan_replay(kind.NAME, "unknown", "TAKEN_BACK").way is ReplayWay.NO
    assert plan_replay(kind.NAME, "unknown", "UNDECIDED").way is ReplayWay.SAME


def test_look_ups_come_in_rounds_and_the_first_is_all_legs():
    entry = new_entry(sale(), "order_42", "a-lane", not_before="+0", deadline="+1").entry
    asked = kind.lookups(entry, progress(), Found())
    assert asked == tuple(Lookup("transactions", "reference", f"{REFERENCE}-{number}") for number in (1, 2))
