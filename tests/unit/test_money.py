"""Money is exact or refused; nothing is ever rounded."""

from __future__ import annotations

import re
from decimal import ROUND_UP, Context, Decimal, FloatOperation, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay.money import PRECISIONS, exact_decimal, minor_units

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)
precisions = st.one_of(st.sampled_from((1, 3, 10, 100, 1000, 10_000, 10**18)), st.integers(1, 10**18))


@given(decimals, precisions)
def test_minor_units_are_exactly_amount_times_precision_or_refused(amount, precision):
    exact = Fraction(amount) * precision
    if exact.denominator == 1:
        assert minor_units(amount, precision) == exact
    else:
        with pytest.raises(ValueError, match="more decimals than precision"):
            minor_units(amount, precision)


@given(st.integers(-(10**40), 10**40), st.integers(0, 18))
def test_what_minor_units_gave_can_be_turned_back(units, decimals_):
    assert minor_units(Decimal(units).scaleb(-decimals_, Context(prec=60)), 10**decimals_) == units


@given(decimals)
def test_a_decimal_string_an_integer_and_a_decimal_of_the_same_worth_are_the_same_amount(number):
    assert exact_decimal(str(number)) == exact_decimal(number) == number
    assert exact_decimal(int(number)) == int(number)


@given(st.floats())
def test_no_float_is_ever_money(number):
    with pytest.raises(ValueError, match="a float cannot hold money"):
        exact_decimal(number)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (True, "float cannot hold"),
        (False, "float cannot hold"),
        (None, "float cannot hold"),
        (b"1", "float cannot hold"),
        ([1], "float cannot hold"),
        (Fraction(1, 2), "float cannot hold"),
        ("", "decimal number"),
        (" ", "decimal number"),
        ("ten", "decimal number"),
        ("1,50", "point before its decimals, not a comma"),
        ("1.2.3", "no thousands separators"),
        ("0x10", "decimal number"),
        ("--1", "decimal number"),
        ("NaN", "finite"),
        ("sNaN", "finite"),
        ("Infinity", "finite"),
        ("-inf", "finite"),
        (Decimal("NaN"), "finite"),
        (Decimal("-Infinity"), "finite"),
        ("1e65", "64 digits"),
        ("1e999999", "64 digits"),
        ("1e-65", "64 digits"),
        (Decimal("1e-999999"), "64 digits"),
        (Decimal("0e-999999"), "64 digits"),
        (10**65, "64 digits"),
        ("1" * 65, "64 characters"),
    ],
)
def test_what_is_no_finite_decimal_number_is_refused(value, message):
    with pytest.raises(ValueError, match=message):
        exact_decimal(value)


@pytest.mark.parametrize(
    ("amount", "precision", "units"),
    [
        ("10.50", 100, 1050),
        ("0.01", 100, 1),
        ("1e3", 100, 100_000),
        ("7", 3, 21),
        ("0.5", 2, 1),
        ("12345678901234567890.12", 100, 1234567890123456789012),
        ("1." + "0" * 60, 1, 1),
    ],
)
def test_amounts_that_fit_their_precision(amount, precision, units):
    assert minor_units(exact_decimal(amount), precision) == units


@pytest.mark.parametrize(("amount", "precision"), [("10.505", 100), ("0.5", 3), ("0.001", 100), ("1e-60", 10**18)])
def test_more_decimals_than_the_precision_are_refused(amount, precision):
    with pytest.raises(ValueError, match="more decimals"):
        minor_units(exact_decimal(amount), precision)


def test_more_digits_than_can_be_kept_are_refused_rather_than_rounded():
    with pytest.raises(ValueError, match="kept exactly"):
        minor_units(Decimal("9" * 64 + "." + "9" * 64), 10**17 + 3)


def test_the_decimal_context_of_the_application_changes_nothing():
    with localcontext(Context(prec=3, rounding=ROUND_UP, traps=[Inexact, FloatOperation])):
        assert minor_units(exact_decimal("123456.78"), 100) == 12345678


def test_the_precision_of_a_currency_is_a_power_of_ten_and_the_code_has_three_letters():
    assert set(PRECISIONS.values()) == {1, 100, 1000, 10_000}
    assert all(len(code) == 3 and code.isupper() for code in PRECISIONS)
    assert (PRECISIONS["EUR"], PRECISIONS["JPY"], PRECISIONS["KWD"], PRECISIONS["CLF"]) == (100, 1, 1000, 10_000)


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("1,000.50", 'Must have no thousands separators, and a point before its decimals: such as "1000.50".'),
        ("1 000,50", "no thousands separators"),
        ("1\u202f000,50", "no thousands separators"),
        ("1\u00a0000", "no thousands separators"),
        ("1.000,50", "no thousands separators"),
        ("1'000", "no thousands separators"),
        ("1_000", "no thousands separators"),
        ("10_50", "no thousands separators"),
        ("10,50", 'Must have a point before its decimals, not a comma: such as "10.50".'),
        ("€10", 'Must be the number alone, such as "10.50"; the currency is a field of its own.'),
        ("10 €", "the number alone"),
        ("$1,000", "the number alone"),
        ("10.50 EUR", "the number alone"),
        ("EUR 10", "the number alone"),
        ("1O", "digits, and a point before the decimals"),
        ("10-", "digits, and a point before the decimals"),
        ("\u0663", "it has U+0663 ARABIC-INDIC DIGIT THREE"),
        ("\uff11\uff10", "it has U+FF11 FULLWIDTH DIGIT ONE"),
        ("10\u200b", "it has U+200B ZERO WIDTH SPACE"),
        ("\u22125", "it has U+2212 MINUS SIGN"),
        (10.5, "not a float; a float cannot hold money exactly"),
        (True, "not a bool"),
        (None, "not None"),
    ],
)
def test_whatever_people_type_is_told_how_to_write_it(typed, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        exact_decimal(typed)


@pytest.mark.parametrize(
    ("precision", "says"), [(100, "round it to 2 decimals"), (10, "1 decimal."), (1, "whole minor units"), (3, "whole")]
)
def test_what_does_not_fit_is_told_how_far_it_has_to_be_rounded(precision, says):
    with pytest.raises(ValueError, match=f"nothing is rounded here: .*{says}"):
        minor_units(Decimal("10.5051"), precision)


def test_a_whole_number_counts_units():
    assert minor_units(exact_decimal(1050), 100) == 105_000
    assert minor_units(exact_decimal("10.50"), 100) == 1050
