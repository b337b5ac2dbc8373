from __future__ import annotations

from typing import Any

import pytest

from blnk_relay.sandbox import Faults, Rule, Status
from blnk_relay.sandbox.core.distributions import divide
from blnk_relay.sandbox.errors import LedgerError


def part(identifier, distribution="", precise=""):
    return {"identifier": identifier, "distribution": distribution, "precise_distribution": precise}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["10%", "20", "left"], [1000, 2000, 7000]),
        (["40%", "40%"], [6000, 4000]),
        (["10", "20"], [1000, 9000]),
        (["60", "50%", "left"], [6000, 5000, -1000]),
        (["left", "left"], [10000]),
        (["-10%", "110%"], [-1000, 11000]),
        (["-10", "left"], [-1000, 11000]),
        (["100%", "left"], [10000, 0]),
        (["0.001%", "left"], [0, 10000]),
        (["60%", "50%"], "total distributions exceed 100% or total amount"),
        (["60", "50"], "fixed amount exceeds remaining transaction amount"),
        (["abc", "left"], "invalid fixed amount format"),
        (["x%", "left"], "invalid percentage format"),
        (["33.33%", "33.33%", "33.34%"], [3333, 3333, 3334]),
    ],
)
def test_amounts_are_divided_as_the_ledger_divides_them(parts, expected):
    named = [part(f"@{number}", text) for number, text in enumerate(parts)]
    if isinstance(expected, str):
        with pytest.raises(LedgerError, match=expected):
            divide(10000, named, 100)
    else:
        amounts = divide(10000, named, 100)
        assert [amounts[f"@{number}"] for number in range(len(amounts))] == expected


def test_minor_units_of_a_part_are_integers():
    assert divide(10000, [part("@a", "", "6000"), part("@b", "left")], 100) == {"@a": 6000, "@b": 4000}
    assert divide(10000, [part("@a", "50%", "6000"), part("@b", "left")], 100) == {"@a": 5000, "@b": 5000}
    for text in ("60.5", str(2**63)):
        with pytest.raises(LedgerError, match="invalid precise_distribution"):
            divide(10000, [part("@a", "", text)], 100)


def test_one_name_twice_is_one_leg_and_one_minor_unit_goes_to_the_first():
    assert divide(10000, [part("@a", "50%"), part("@a", "20%")], 100) == {"@a": 10000}
    with pytest.raises(LedgerError, match="multiple identifiers"):
        divide(10000, [part("@a", "50%"), part("@a", "left")], 100)
    assert divide(1, [part("@a", "10%"), part("@b", "90%")], 100) == {"@a": 1, "@b": 0}
    assert divide(0, [part("@a", "10%"), part("@b", "90%")], 100) == {"@a": 0, "@b": 0}


THREE = [
    {"identifier": "@A", "distribution": "60%"},
    {"identifier": "@B", "precise_distribution": "1000"},
    {"identifier": "@C", "distribution": "left"},
]
AMOUNTS = {"@A": 6000, "@B": 1000, "@C": 3000}


def split(desk, reference="split-1", **changes: Any):
    changes = {"destination": ..., "destinations": THREE} | changes
    return desk.pay(reference, **changes)


def paid(desk):
    return {name: desk.balance(name) for name in AMOUNTS}


def test_a_queued_split_has_rows_for_its_legs_and_none_for_itself(desk):
    answer = split(desk)
    body = answer.document()
    assert (answer.status, body["status"]) == (201, "QUEUED")
    desk.step()
    assert paid(desk) == AMOUNTS
    books = desk.books
    assert books.row("split-1") is None
    for number in (1, 2, 3):
        leg, child = books.rows_by_reference(f"split-1_{number}")
        assert (leg.status, leg.parent_transaction) == (Status.QUEUED, body["transaction_id"])
        assert (child.status, child.parent_transaction) == (Status.APPLIED, leg.transaction_id)
        assert leg.queued_parent == child.queued_parent == body["transaction_id"]
    assert [row.precise_amount for row in books.legs("split-1")].count(6000) == 1
    assert len(books.legs("split-1")) == 3


def test_a_split_of_skip_mode_numbers_its_legs_in_another_way(desk):
    body = split(desk, skip_queue=True).document()
    assert body["status"] == "APPLIED"
    assert sorted(row.reference for row in desk.books.rows) == ["split-1-1", "split-1-2", "split-1-3"]
    for row in desk.books.rows:
        assert (row.status, row.parent_transaction) == (Status.APPLIED, body["transaction_id"])
        assert row.queued_parent is None
    assert paid(desk) == AMOUNTS
    assert [list(shown) for shown in body["destinations"]] == [
        ["identifier", "distribution", "transaction_id"],
        ["identifier", "distribution", "precise_distribution", "transaction_id"],
        ["identifier", "distribution", "transaction_id"],
    ]


def test_many_sources_pay_one_destination(desk):
    split(desk, destination="@Wallet", destinations=..., source=..., sources=THREE, skip_queue=True)
    assert desk.balance("@Wallet") == 10000
    assert paid(desk) == {name: -amount for name, amount in AMOUNTS.items()}


def test_the_number_of_a_leg_and_the_id_shown_beside_it_are_chance(desk):
    in_order, ids_right = set(), set()
    for attempt in range(20):
        body = split(desk, f"split-{attempt}", skip_queue=True).document()
        rows = {row.transaction_id: row for row in desk.books.legs(f"split-{attempt}")}
        names = {desk.books.balance_of(name, "EUR").balance_id: name for name in AMOUNTS}
        legs = sorted(rows.values(), key=lambda row: row.reference)
        in_order.add([names[row.destination] for row in legs] == list(AMOUNTS))
        shown = body["destinations"]
        ids_right.add(all(names[rows[one["transaction_id"]].destination] == one["identifier"] for one in shown))
    assert in_order == ids_right == {True, False}


@pytest.mark.parametrize("modes", [(False, True), (True, False)])
def test_a_split_sent_again_in_the_other_mode_is_applied_twice(make_desk, modes):
    desk = make_desk()
    for skip_queue in modes:
        assert split(desk, skip_queue=skip_queue).status == 201
        desk.step()
    assert paid(desk) == {name: 2 * amount for name, amount in AMOUNTS.items()}
    assert desk.books.violations() == ["the split split-1 moved money 2 times"]


def test_a_split_sent_again_in_the_same_mode_is_not(desk, error_code):
    for _ in range(2):
        assert split(desk).status == 201
        desk.step()
    assert split(desk, "split-2", skip_queue=True).status == 201
    assert error_code(split(desk, "split-2", skip_queue=True)) == "TXN_DUPLICATE_REFERENCE"
    assert paid(desk) == {name: 2 * amount for name, amount in AMOUNTS.items()}


@pytest.mark.parametrize(("atomic", "left"), [(False, 1), (True, 0)])
def test_the_first_failing_leg_stops_a_split_and_earlier_ones_stay_or_are_refunded(desk, error_code, atomic, left):
    desk.instance.create_balance("EUR", "@Payer")
    desk.instance.fund("@Payer", "EUR", 6000)
    half = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]
    plain = {"source": "@Payer", "allow_overdraft": False, "skip_queue": True, "destinations": half}
    answer = split(desk, atomic=atomic, **plain)
    assert (answer.status, error_code(answer)) == (400, "TXN_INSUFFICIENT_FUNDS")
    assert answer.document()["error"].startswith("failed to record split transaction 1: ")
    desk.step()
    assert sum(paid(desk).values()) == 5000 * left
    assert [row.reference for row in desk.books.legs("split-1")] == ["split-1-1"]
    # The leg's reference is used up, so a repeat never reaches the rest.
    assert error_code(split(desk, atomic=atomic, **plain)) == "TXN_DUPLICATE_REFERENCE"


def test_a_held_split_that_fails_is_voided_when_it_is_atomic(desk):
    desk.instance.create_balance("EUR", "@Payer")
    desk.instance.fund("@Payer", "EUR", 6000)
    half = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]
    plain = {"source": "@Payer", "allow_overdraft": False, "skip_queue": True, "destinations": half}
    assert split(desk, atomic=True, inflight=True, **plain).status == 400
    assert [row.status for row in desk.books.rows if row.source != row.destination][-1] is Status.VOID
    assert desk.inflight("@Payer") == 0


def test_a_rejected_leg_of_a_queued_atomic_split_takes_the_applied_ones_along(desk):
    desk.instance.create_balance("EUR", "@Payer")
    desk.instance.fund("@Payer", "EUR", 6000)
    half = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]
    plain = {"source": "@Payer", "allow_overdraft": False, "destinations": half}
    assert split(desk, "loose", **plain).status == 201
    desk.step()
    assert sorted(row.status for row in desk.books.legs("loose")) == [Status.APPLIED, Status.REJECTED]
    desk.instance.fund("@Payer", "EUR", 4500)
    assert split(desk, "atomic", **plain, atomic=True).status == 201
    desk.step()
    assert desk.balance("@Payer") == 5500
    assert sum(paid(desk).values()) == 5000


def test_a_leg_that_cannot_be_stored_leaves_the_earlier_ones_without_a_task(desk):
    two = [{"identifier": "@A", "distribution": "50%"}, {"identifier": "@B", "distribution": "50%"}]
    desk.pay("split-1_2", skip_queue=True)
    assert split(desk, destinations=two).status == 201
    desk.step(60)
    assert desk.books.outcome("split-1_1") is Status.QUEUED
    desk.step(3 * 3600)
    # Recovery finds it hours later, and applies it alone.
    assert desk.books.outcome("split-1_1") is Status.APPLIED


def test_a_zero_leg_is_refused_at_once_or_rejected_in_the_end(desk, error_code):
    zero = [{"identifier": "@A", "distribution": "100%"}, {"identifier": "@B", "distribution": "left"}]
    answer = split(desk, destinations=zero, skip_queue=True)
    assert (answer.status, error_code(answer)) == (400, "TXN_VALIDATION_ERROR")
    assert split(desk, "split-2", destinations=zero).status == 201
    desk.step(20 * 60)
    assert sorted(row.status for row in desk.books.legs("split-2")) == [Status.APPLIED, Status.REJECTED]


def test_a_negative_leg_is_an_invalid_amount(desk, error_code):
    parts = [{"identifier": "@A", "distribution": "-10"}]
    answer = split(desk, destinations=parts + THREE[2:], skip_queue=True)
    assert error_code(answer) == "TXN_INVALID_AMOUNT"


def test_bad_distributions_are_refused_in_both_modes(desk, error_code):
    bad = [{"identifier": "@A", "distribution": "60%"}, {"identifier": "@B", "distribution": "50%"}]
    for skip_queue in (False, True):
        answer = split(desk, destinations=bad, skip_queue=skip_queue)
        assert (answer.status, error_code(answer)) == (400, "TXN_VALIDATION_ERROR")
        assert answer.document()["error"].startswith("failed to split transaction: ")


def test_sources_and_destinations_together_pass_and_are_never_applied(desk, error_code):
    both = {"source": ..., "sources": [{"identifier": "@D", "distribution": "100%"}]}
    assert error_code(split(desk, **both, skip_queue=True)) == "TXN_NOT_FOUND"
    assert split(desk, **both).status == 201
    desk.step(20 * 60)
    assert desk.books.rows == ()


def test_a_held_split_is_committed_voided_and_refunded_by_its_own_id(desk):
    split_id = split(desk, inflight=True).document()["transaction_id"]
    desk.step()
    assert sum(desk.inflight(name) for name in AMOUNTS) == 10000
    # A partial amount is taken from every leg.
    assert desk.settle(split_id, "commit", precise_amount=1000).document()["queued"] is True
    desk.step()
    assert paid(desk) == dict.fromkeys(AMOUNTS, 1000)
    assert desk.settle(split_id, "void", skip_queue=True).status == 409
    assert sum(desk.inflight(name) for name in AMOUNTS) == 0


@pytest.mark.parametrize("skip_queue", [False, True])
def test_a_split_is_refunded_in_one_call(desk, skip_queue):
    split_id = split(desk, skip_queue=skip_queue).document()["transaction_id"]
    desk.step()
    assert desk.refund(split_id).status == 201
    desk.step()
    assert paid(desk) == dict.fromkeys(AMOUNTS, 0)
    assert desk.refund(split_id).status == 409


def test_faults_strike_splits_too(make_desk):
    desk = make_desk(Faults.script([Rule("vanish"), Rule("task_lost")]))
    assert split(desk, "gone").status == split(desk, "stuck").status == 201
    desk.step(60)
    assert {row.reference for row in desk.books.rows} == {"stuck_1", "stuck_2", "stuck_3"}
    desk.step(3 * 3600)
    assert paid(desk) == AMOUNTS
    assert desk.books.violations() == []
