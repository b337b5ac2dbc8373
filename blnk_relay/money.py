"""Exact money: decimal amounts become integers of minor units, or an error; never a float.

The ledger computes with ``precise_amount``, an integer, and ``precision``, a multiplier such as 100 (contract
§6.1). ``amount`` is a float64 on the other side and is never sent (contract §6.2).
"""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact

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

_EXACT = Context(prec=_MAX_TEXT * 2, traps=[Inexact])


def exact_decimal(value: object) -> Decimal:
    """Read an amount without ever passing through a float.

    Args:
        value: A ``Decimal``, an ``int``, or a decimal string such as ``"10.50"``.

    Returns:
        The amount, finite.

    Raises:
        ValueError: It is a float, a bool, or no finite decimal number; the message says which.

    Example:
        >>> exact_decimal("10.50")
        Decimal('10.50')
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise ValueError("Must be a Decimal, an int or a decimal string; a float cannot hold money exactly.")
    if type(value) is int and 0 <= value <= MAX_SAFE_INTEGER:
        return Decimal(value)
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise ValueError(f"Must not be longer than {_MAX_TEXT} characters.")
    try:
        number = Decimal(value)
    except DecimalException:
        raise ValueError('Must be a decimal number such as "10.50".') from None
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
        raise ValueError(f"Has more decimals than precision {precision} can hold.")
    return int(whole)
