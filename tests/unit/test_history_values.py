"""What is drawn out of a payload for history: exact, and of each sort as much as a bulk has."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.history.values import plain_amount, units


def test_the_largest_amount_is_exact_to_the_last_digit():
    minor = 10**38 - 1
    assert units(minor, 100) == f"{'9' * 36}.99"
    assert units(-minor, 10**8) == f"-{'9' * 30}.{'9' * 8}"


@given(st.integers(-(10**38), 10**38), st.integers(0, 18))
def test_an_amount_in_units_is_what_somebody_asks_for_who_writes_it_in_full(minor, places):
    digits = str(abs(minor)).rjust(places + 1, "0")
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :]
    asked = Decimal(f"{'-' if minor < 0 else ''}{whole}.{part}0")
    assert units(minor, 10**places) == plain_amount(asked)
