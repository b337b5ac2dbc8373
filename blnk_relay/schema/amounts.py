"""Fields of money: currencies, amounts, precisions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from blnk_relay.money import exact_decimal, minor_units
from blnk_relay.schema.base import Identifying, Plain

#: A larger precision does not fit the ledger's database: in queue mode it is answered with 201 and never recorded
#: (measured, findings part 8).
MAX_PRECISION = 10**18


#: The ledger reads a limit as a float and applies it as a 64-bit integer of minor units.
_MAX_LIMIT_DIGITS, _MAX_LIMIT = 15, 2**63 - 1


def overdraft_problem(limit: Decimal, precision: int | None) -> str | None:
    """Why the ledger would apply another overdraft limit than this one, or None.

    Args:
        limit: In units of the currency.
        precision: Minor units in one unit; None where that is not known, and told elsewhere.

    Example:
        >>> overdraft_problem(Decimal("10.50"), 100), overdraft_problem(Decimal("1e20"), 100)
        (None, 'Must not be above 9223372036854775807 minor units, which the ledger could not hold.')
    """
    if len(limit.as_tuple().digits) > _MAX_LIMIT_DIGITS:
        return "Must not have more than 15 digits; the ledger reads it as a float."
    if precision is None:
        return None
    try:
        units = minor_units(limit, precision)
    except ValueError as error:
        return str(error)
    return (
        f"Must not be above {_MAX_LIMIT} minor units, which the ledger could not hold." if units > _MAX_LIMIT else None
    )


class Currency(Identifying):
    """A currency; one space more would make another ``@indicator`` balance, and move the money there."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(most=32, **kwargs)


class Amount(Plain[Decimal]):
    """A positive amount, exact."""

    takes, limits = "decimal text or a whole number, in units; never a float", "above 0"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        try:
            number = exact_decimal(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if number <= 0:
            raise ValidationError(
                "Must be above 0: the ledger never records a zero amount, and money the other way is a transaction "
                "with source and destination exchanged."
                if number < 0
                else "Must be above 0; the ledger never records a zero amount."
            )
        return number


class WholeNumber(Plain[int]):
    """A positive integer, as an int or as its digits; never a float or a bool."""

    takes, limits = "whole number, in minor units, or its digits", "above 0"
    #: What it counts, for people.
    counts = "minor units, such as 1050 for 10.50 EUR"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        try:
            number = exact_decimal(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        if number <= 0 or number != number.to_integral_value():
            raise ValidationError(f"Must be a whole number above 0: {self.counts}.")
        return int(number)


class Precision(WholeNumber):
    """Minor units in one unit."""

    takes, limits = "whole number, or its digits", "above 0, at most 10^18"
    counts = "how many minor units make one unit, such as 100 for EUR"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        number: int = super()._deserialize(value, attr, data, **kwargs)
        if number > MAX_PRECISION:
            raise ValidationError("Must not be above 10^18, which the ledger could not store.")
        return number
