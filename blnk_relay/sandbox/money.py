"""Amounts: the arithmetic of contract §6 on integers of any size.

Pure functions. ``amount`` is the ledger's 64-bit float in units, ``precise_amount`` its exact integer
in minor units, ``precision`` the multiplier between them.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

#: Digits kept in between: the largest float has 309, so nothing that can be sent is rounded early.
_EXACT = Context(prec=800, rounding=ROUND_HALF_UP)

#: Decimals that a division keeps (contract §6.1: 10/3 becomes 3.3333333333333333).
_DIVISION_DECIMALS = 16

#: More significant digits than this in ``amount`` are refused (contract §6.2).
MAX_SIGNIFICANT_DIGITS = 15

#: From here on a float is written with an exponent, which no integer field accepts (contract §6.3).
_EXPONENT_FROM = 1e21

#: The largest integer that every float-based re-encoding keeps (contract §6.3).
MAX_SAFE_INTEGER = 2**53 - 1


def precise_from_amount(amount: float, precision: float) -> int:
    """Minor units of a decimal amount, rounded half away from zero (contract §6.1).

    >>> precise_from_amount(1.005, 100), precise_from_amount(1.004, 100), precise_from_amount(2.675, 100)
    (101, 100, 268)
    """
    product = _EXACT.multiply(Decimal(repr(amount)), Decimal(f"{precision:.0f}"))
    return int(_EXACT.to_integral_value(product))


def amount_text(precise_amount: int, precision: float) -> str:
    """The exact decimal text of minor units, cut at sixteen decimals (contract §6.1).

    >>> amount_text(10050, 100), amount_text(10, 3)
    ('100.5', '3.3333333333333333')
    """
    scale = 10**_DIVISION_DECIMALS
    divisor = abs(int(precision))
    scaled, rest = divmod(abs(precise_amount) * scale, divisor)
    if rest and 2 * rest >= divisor:
        scaled += 1
    whole, decimals = divmod(scaled, scale)
    text = str(whole)
    if decimals:
        text += f".{decimals:016d}".rstrip("0")
    return "-" + text if (precise_amount < 0) != (precision < 0) else text


def significant_digits(amount: float) -> int:
    """Digits of an amount as Core counts them: trailing zeros count, leading ones do not (contract §6.2).

    >>> significant_digits(999999999999999.0), significant_digits(100000000000000000.0)
    (15, 18)
    """
    return len(plain_text(amount).replace(".", "", 1).lstrip("0"))


def plain_text(number: float) -> str:
    """A float without an exponent and without a needless ``.0``, as Core hashes and counts it."""
    text = format(Decimal(repr(number)), "f")
    return text.removesuffix(".0")


def json_number(number: float) -> int | float:
    """A float as Core's JSON shows it: whole numbers without a fraction, up to the exponent form."""
    value = float(number)
    return int(value) if value.is_integer() and abs(value) < _EXPONENT_FROM else value


def overdraft_floor(limit: float, precision: float) -> int:
    """The lowest balance an overdraft limit allows, in minor units (contract §6.4).

    >>> overdraft_floor(0.29, 100)
    -29
    """
    product = _EXACT.multiply(Decimal(repr(limit)), Decimal(repr(precision)))
    return -int(_EXACT.to_integral_value(product))


def rounded_through_float(value: int) -> int | float:
    """What is left of an integer that was decoded to a float and written again (contract §6.3).

    >>> rounded_through_float(12345678901234567890)
    12345678901234567000
    """
    if abs(value) <= MAX_SAFE_INTEGER:
        return value
    number = float(value)
    return int(Decimal(repr(number))) if abs(number) < _EXPONENT_FROM else number
