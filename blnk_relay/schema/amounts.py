"""Fields of money: currencies, amounts, precisions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from marshmallow import ValidationError

from blnk_relay.money import exact_decimal
from blnk_relay.schema.base import Identifying, Plain

#: A larger precision does not fit the ledger's database: in queue mode it is answered with 201 and never recorded
#: (measured, findings part 8).
MAX_PRECISION = 10**18


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
