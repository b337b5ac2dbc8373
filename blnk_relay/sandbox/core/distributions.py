"""How a split divides an amount between its parts (contract §6.5). Pure, exact.

Fixed parts first, then percentages of the total, then the first ``left``; what is missing or too much
then goes to the largest part, without a word.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_DOWN, Context, Decimal

from blnk_relay.sandbox.errors import LedgerError

#: Digits kept in between; amounts have any size, percentages at most 17 digits.
_EXACT = Context(prec=400, rounding=ROUND_DOWN)

_LEFT = "left"
_FULL = Decimal(100)
_INTEGER = re.compile(r"[+-]?\d+")

#: ``precise_distribution`` is a 64-bit integer.
_INT64 = 2**63


def divide(total: int, parts: Sequence[Mapping[str, str]], precision: float) -> dict[str, int]:
    """Minor units of each identifier; one named twice is one part.

    Args:
        total: Minor units to divide.
        parts: ``identifier`` with ``distribution`` or ``precise_distribution``, as sent.
        precision: The multiplier of fixed amounts.

    Raises:
        LedgerError: The parts cannot be read, or exceed the total.
    """
    if total == 0:
        return {part["identifier"]: 0 for part in parts}
    if total == 1:
        return dict.fromkeys((part["identifier"] for part in parts), 0) | {parts[0]["identifier"]: 1}
    fixed, left = _fixed(total, parts, Decimal(int(precision)))
    shares, percentage = _percentages(total, parts)
    if percentage > _FULL or sum(fixed.values()) > total:
        raise LedgerError("total distributions exceed 100% or total amount")
    _fill_up(shares, Decimal(total) * percentage / _FULL)
    amounts = {name: int(amount) for name, amount in (fixed | shares).items()}
    left -= sum(shares.values())
    for part in parts:
        if _is_left(part):
            if part["identifier"] in amounts:
                raise LedgerError("multiple identifiers with 'left' distribution")
            amounts[part["identifier"]] = int(left)
            break
    missing = total - sum(amounts.values())
    if missing and amounts and max(amounts.values()) > 0:
        amounts[max(amounts, key=lambda name: amounts[name])] += missing
    return amounts


def _is_left(part: Mapping[str, str]) -> bool:
    return _LEFT in {part["distribution"], part["precise_distribution"]}


def _fixed(total: int, parts: Sequence[Mapping[str, str]], precision: Decimal) -> tuple[dict[str, Decimal], Decimal]:
    """Fixed parts, and what they leave; one named twice counts twice against the total."""
    fixed: dict[str, Decimal] = {}
    left = Decimal(total)
    for part in parts:
        if _is_left(part) or part["distribution"].endswith("%"):
            continue
        amount = _fixed_amount(part, precision)
        if amount > left:
            raise LedgerError("fixed amount exceeds remaining transaction amount")
        if amount:
            fixed[part["identifier"]] = amount
            left -= amount
    return fixed, left


def _fixed_amount(part: Mapping[str, str], precision: Decimal) -> Decimal:
    precise = part["precise_distribution"]
    if precise:
        if _INTEGER.fullmatch(precise) is None or not -_INT64 <= int(precise) < _INT64:
            raise LedgerError("invalid precise_distribution format: must be an integer value in minor units")
        return Decimal(int(precise))
    if not part["distribution"]:
        return Decimal(0)
    return _EXACT.multiply(_number(part["distribution"], "invalid fixed amount format"), precision)


def _percentages(total: int, parts: Sequence[Mapping[str, str]]) -> tuple[dict[str, Decimal], Decimal]:
    """Shares of the total, those below one minor unit as 0, and the sum of the percentages."""
    shares: dict[str, Decimal] = {}
    sum_of_all = Decimal(0)
    for part in parts:
        if _is_left(part) or not part["distribution"].endswith("%"):
            continue
        percentage = _number(part["distribution"][:-1], "invalid percentage format")
        sum_of_all += percentage
        share = _EXACT.divide(_EXACT.multiply(Decimal(total), percentage), _FULL)
        shares[part["identifier"]] = Decimal(0) if 0 < share < 1 else share
    return shares, sum_of_all


def _fill_up(shares: dict[str, Decimal], wanted: Decimal) -> None:
    """Give what rounding took from the small shares to the largest."""
    largest = max(shares, key=lambda name: shares[name], default=None)
    if largest is not None and shares[largest] > 0:
        shares[largest] += wanted - sum(shares.values())


def _number(text: str, problem: str) -> Decimal:
    try:
        number = float(text) if text == text.strip() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise LedgerError(problem)
    return Decimal(repr(number))
