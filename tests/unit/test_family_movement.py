"""In what a row of the ledger is not the movement that was asked for, and in which words that is told."""

from __future__ import annotations

from typing import Any

import pytest
from casebook import ALICE, BANK, SOMEBODY, balance, payment, row

from blnk_relay.families.movement import altered, differences, rejection_code
from blnk_relay.intents.found import Found, Record

STANDBY = balance(SOMEBODY, "@bank", "EUR")
BANKS = (STANDBY, balance(ALICE, "@bank", "EUR"))


@pytest.mark.parametrize(
    ("asked", "status", "shown", "different"),
    [
        ({}, "APPLIED", {}, []),
        ({}, "APPLIED", {"precise_amount": 1051}, ["precise_amount: asked 1050, has 1051"]),
        ({}, "APPLIED", {"precise_amount": 0}, ["precise_amount: asked 1050, has 0"]),
        ({}, "APPLIED", {"currency": "USD"}, ["currency: asked EUR, has USD"]),
        ({}, "APPLIED", {"source": SOMEBODY}, [f"source: asked {BANK}, has {SOMEBODY}"]),
        ({}, "APPLIED", {"destination": SOMEBODY}, [f"destination: asked {ALICE}, has {SOMEBODY}"]),
        # What the ledger does not show is not otherwise; and of several things each is told.
        ({}, "APPLIED", {"precise_amount": None, "currency": "", "source": "", "destination": ""}, []),
        (
            {},
            "APPLIED",
            {"precise_amount": 1, "currency": "USD", "source": "", "destination": SOMEBODY},
            [
                "precise_amount: asked 1050, has 1",
                "currency: asked EUR, has USD",
                f"destination: asked {ALICE}, has {SOMEBODY}",
            ],
        ),
        (
            {},
            "APPLIED",
            {"source": ALICE, "destination": BANK},
            [f"source: asked {BANK}, has {ALICE}", f"destination: asked {ALICE}, has {BANK}"],
        ),
        # A hold is no payment, and a payment no hold; what was refused is neither.
        ({"inflight": True}, "INFLIGHT", {}, []),
        ({"inflight": True}, "APPLIED", {}, ["inflight: asked true, has APPLIED"]),
        ({"inflight": True}, "VOID", {}, ["inflight: asked true, has VOID"]),
        ({}, "INFLIGHT", {}, ["inflight: asked false, has INFLIGHT"]),
        ({"inflight": True}, "REJECTED", {}, []),
        ({}, "REJECTED", {"precise_amount": 1}, ["precise_amount: asked 1050, has 1"]),
    ],
)
def test_a_row_is_otherwise_in_what_it_shows_of_amount_currency_ends_and_status(asked, status, shown, different):
    assert differences(payment(**asked).payload, row(2, "order_42_q", status, **shown), Found()) == different


@pytest.mark.parametrize(
    ("balances", "stored", "different"),
    [
        ([balance(BANK, "@bank", "EUR")], BANK, []),
        ([], "@bank", []),
        ([], "", []),
        # A balance that is not shown may be the one; another indicator is another one.
        ([], BANK, []),
        ([], "@other", ["source: asked @bank, has @other"]),
        ([STANDBY], BANK, [f"source: asked @bank ({SOMEBODY}), has {BANK}"]),
        (BANKS, BANK, [f"source: asked @bank ({', '.join(sorted([SOMEBODY, ALICE]))}), has {BANK}"]),
    ],
)
def test_an_indicator_is_told_with_the_balances_that_it_stands_for(balances, stored, different):
    shown = row(2, "order_42_q", "APPLIED", source=stored)
    assert differences(payment(source="@bank").payload, shown, Found(records=balances)) == different


def test_each_end_is_compared_whatever_the_other_one_is():
    intent = payment(source="@bank", destination="@alice")
    found = Found(records=[balance(BANK, "@bank", "EUR"), balance(ALICE, "@alice", "EUR")])
    crossed: dict[str, Any] = {"source": BANK, "destination": SOMEBODY}
    only = [f"destination: asked @alice ({ALICE}), has {SOMEBODY}"]
    assert differences(intent.payload, row(2, "order_42_q", "APPLIED", **crossed), found) == only
    # A balance of another currency, or of another name, is none of those.
    others: list[Record] = [balance(SOMEBODY, "@alice", "USD"), balance(BANK, "@bank", "EUR")]
    assert differences(intent.payload, row(2, "order_42_q", "APPLIED", **crossed), Found(records=others)) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("failed to apply transaction to balances: insufficient funds in source balance", "TXN_INSUFFICIENT_FUNDS"),
        ("transaction exceeds overdraft limit", "TXN_OVERDRAFT_LIMIT"),
        ("exceeded max queued recovery attempts", "TXN_REJECTED"),
        ("", "TXN_REJECTED"),
    ],
)
def test_a_rejection_has_a_code_by_what_its_text_says(text, code):
    assert rejection_code(text) == code


@pytest.mark.parametrize(
    ("echo", "is_altered"),
    [
        (None, False),
        (1050, False),
        ("1050", False),
        ("1050.0", False),
        (1051, True),
        ("1051", True),
        (0, True),
        # What no amount can be read from is not what was sent, and never raises.
        ("", True),
        ("a lot", True),
        (1050.0, True),
        (True, True),
        ([1050], True),
        ({}, True),
        ("NaN", True),
        ("sNaN", True),
        ("1e999999999", True),
    ],
)
def test_an_echoed_amount_is_another_one_where_it_cannot_be_read_as_that(echo, is_altered):
    assert altered(echo, 1050) is is_altered
