"""Exact money: decimal amounts become integers of minor units, or an error; never a float.

The ledger computes with ``precise_amount``, an integer, and ``precision``, a multiplier such as 100 (contract
§6.1). ``amount`` is a float64 on the other side and is never sent (contract §6.2).
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Context, Decimal, DecimalException, Inexact

from blnk_relay.text import character, foreign

#: ISO 4217 codes in use, by the number of decimals of their minor unit.
_BY_DECIMALS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF "
        "CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ "
        "GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD "
        "MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON "
        "RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS "
        "UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

#: Multiplier of each known currency: ``{"EUR": 100, "JPY": 1, "KWD": 1000, …}``.
PRECISIONS = {code: 10**decimals for decimals, codes in _BY_DECIMALS.items() for code in codes.split()}

#: Integers above this may be damaged on the way to the ledger (contract §6.3), so they need a setting.
MAX_SAFE_INTEGER = 2**53 - 1

#: Longest decimal text read; more digits than any amount of money has, few enough to be cheap.
_MAX_TEXT = 64

#: A number as people write it with separators: a comma for the decimals, or marks between the thousands.
_SEPARATED = re.compile(r"[+-]?[0-9]+([.,'_ ][0-9]+)+")

_EXACT = Context(prec=_MAX_TEXT * 2, traps=[Inexact])


def exact_decimal(value: object) -> Decimal:
    """Read an amount without ever passing through a float.

    Args:
        value: A ``Decimal``, an ``int``, or a decimal string such as ``"10.50"``; all of them count units, so ``1050``
            is one thousand and fifty.

    Returns:
        The amount, finite.

    Raises:
        ValueError: It is a float, a bool, or no finite decimal number; the message says which.

    Example:
        >>> exact_decimal("10.50")
        Decimal('10.50')
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise ValueError(
            f'Must be a Decimal, an int or a decimal string such as "10.50", not {_article(value)}; '
            "a float cannot hold money exactly."
        )
    if type(value) is int and 0 <= value <= MAX_SAFE_INTEGER:
        return Decimal(value)
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise ValueError(f"Must not be longer than {_MAX_TEXT} characters.")
    if isinstance(value, str) and (not value.isascii() or "_" in value):
        # Decimal would take digits of other scripts, and underscores anywhere: "10_50" may have meant "10.50".
        raise ValueError(_unread(value))
    try:
        number = Decimal(value)
    except DecimalException:
        raise ValueError(_unread(str(value))) from None
    if not number.is_finite():
        raise ValueError("Must be a finite number.")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and (abs(exponent) > _MAX_TEXT or number.adjusted() > _MAX_TEXT):
        raise ValueError(f"Must not have more than {_MAX_TEXT} digits.")
    return number


def minor_units(amount: Decimal, precision: int) -> int:
    """Turn a decimal amount into the ledger's ``precise_amount``, exactly.

    Args:
        amount: In units of the currency, for example ``Decimal("10.50")``.
        precision: Minor units in one unit, for example 100; any positive integer is legal (contract §6.1).

    Returns:
        The integer number of minor units.

    Raises:
        ValueError: The amount has more decimals than the precision can hold; nothing is ever rounded.

    Example:
        >>> minor_units(Decimal("10.50"), 100)
        1050
    """
    try:
        units = _EXACT.multiply(amount, Decimal(precision))
    except DecimalException:
        raise ValueError("Has more digits than can be kept exactly.") from None
    whole = units.to_integral_value()
    if whole != units:
        raise ValueError(
            f"Has more decimals than precision {precision} can hold, and nothing is rounded here: round it to "
            f"{_decimals(precision)}."
        )
    return int(whole)


def currency_problem(currency: str) -> str:
    """Why a currency needs a precision to be given, and which known one may have been meant.

    Example:
        >>> currency_problem("eur")[:57]
        "'eur' is not a known currency; did you mean 'EUR'? The le"
    """
    meant = unicodedata.normalize("NFKC", currency).strip().upper()
    if meant in PRECISIONS:
        return (
            f"{currency!r} is not a known currency; did you mean {meant!r}? The ledger takes them for "
            "two. Should it be "
            f"{currency!r}, send its minor units per unit as precision, such as 100."
        )
    strange = "" if currency.isascii() else f" (it has {foreign(currency)})"
    return f"{currency!r} is not a known currency{strange}: send its minor units per unit as precision, such as 100."


def _article(value: object) -> str:
    """The type of a value with its article."""
    name = "None" if value is None else type(value).__name__
    return name if value is None else f"{'an' if name[:1] in 'aeiou' else 'a'} {name}"


def _decimals(precision: int) -> str:
    """Where an amount may be cut, in words."""
    places = len(str(precision)) - 1
    return (
        f"{places} decimal{'' if places == 1 else 's'}" if precision == 10**places and places else "whole minor units"
    )


def _is_currency_sign(char: str) -> bool:
    return unicodedata.category(char) == "Sc"


def _unread(text: str) -> str:
    """Why a text is not an amount, and what to write instead."""
    # Narrow and other spaces stand between thousands as well.
    plain = re.sub(r"[\u00a0\u2009\u202f\u2019]", " ", text).strip()
    if strange := next((char for char in plain if not char.isascii() and not _is_currency_sign(char)), ""):
        return (
            f'Must be a decimal number such as "10.50", of the digits 0 to 9 and a point; it has {character(strange)}.'
        )
    if _SEPARATED.fullmatch(plain):
        if re.fullmatch(r"[+-]?[0-9]+,[0-9]{1,2}", plain):
            return 'Must have a point before its decimals, not a comma: such as "10.50".'
        return 'Must have no thousands separators, and a point before its decimals: such as "1000.50".'
    rest = re.sub(r"[-+0-9.,' ]", "", plain)
    if rest != plain and rest and ((len(rest) > 1 and rest.isalpha()) or all(map(_is_currency_sign, rest))):
        return 'Must be the number alone, such as "10.50"; the currency is a field of its own.'
    return 'Must be a decimal number such as "10.50": digits, and a point before the decimals.'
