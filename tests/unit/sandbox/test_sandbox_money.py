from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.sandbox import money


@pytest.mark.parametrize(
    ("amount", "precision", "minor"),
    [
        (1.005, 100, 101),
        (1.004, 100, 100),
        (2.675, 100, 268),
        (-1.005, 100, -101),
        (100.5, 1, 101),
        (0.004, 100, 0),
        (1250.34, 100, 125034),
        (10.0, 3, 30),
        (1e300, 100, 10**302),
    ],
)
def test_an_amount_is_rounded_half_away_from_zero(amount, precision, minor):
    assert money.precise_from_amount(amount, precision) == minor


@pytest.mark.parametrize(
    ("minor", "precision", "text"),
    [
        (10050, 100, "100.5"),
        (10000, 100, "100"),
        (10, 3, "3.3333333333333333"),
        (20, 3, "6.6666666666666667"),
        (5, 1, "5"),
        (12345678901234567890123, 100, "123456789012345678901.23"),
        (-50, 100, "-0.5"),
    ],
)
def test_minor_units_become_an_exact_text(minor, precision, text):
    assert money.amount_text(minor, precision) == text


@given(st.integers(min_value=1, max_value=10**40), st.sampled_from([1, 10, 100, 1000, 10**8]))
def test_the_text_of_a_decimal_precision_loses_nothing(minor, precision):
    whole, _, decimals = money.amount_text(minor, precision).partition(".")
    digits = len(str(precision)) - 1
    assert int(whole + decimals.ljust(digits, "0")) == minor


@pytest.mark.parametrize(
    ("amount", "digits"),
    [
        (999999999999999.0, 15),
        (1234567890123456.0, 16),
        (100000000000000000.0, 18),
        (0.1234567890123456, 16),
        (0.5, 1),
    ],
)
def test_trailing_zeros_count_as_significant_digits(amount, digits):
    assert money.significant_digits(amount) == digits


def test_an_overdraft_limit_is_rounded_to_minor_units():
    assert money.overdraft_floor(0.29, 100) == -29
    assert money.overdraft_floor(9.995, 100) == -1000
    assert money.overdraft_floor(9.99499, 100) == -999


def test_a_float_on_the_way_damages_only_large_integers():
    assert money.rounded_through_float(2**53 - 1) == 2**53 - 1
    assert money.rounded_through_float(12345678901234567890) == 12345678901234567000
    assert isinstance(money.rounded_through_float(10**21), float)
