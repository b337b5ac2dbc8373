"""How a split is divided into legs: the ledger's rule of contract §6.5, in exact integers, and what we refuse. Pure.

The ledger takes much without a word that moves other sums than were asked for: 40 % and 40 % becomes 60 and 40, a
missing remainder goes to the largest part. Here every leg is computed before anything is recorded, and each is sent as
a fixed number of minor units, so that nothing is left for the ledger to round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from marshmallow import Schema, ValidationError, post_load

from blnk_relay.intents.links import ResultOf
from blnk_relay.schema.amounts import Amount, WholeNumber
from blnk_relay.schema.base import Flag
from blnk_relay.schema.names import Balance

#: Most legs of one split: all of them are read back in one question (contract §4).
MOST_LEGS = 100

#: The ledger reads ``precise_distribution`` as a 64-bit integer (contract §6.5).
MAX_LEG = 2**63 - 1

_FULL = 100


@dataclass(frozen=True, slots=True)
class Leg:
    """One of several sources or destinations; exactly one of the four shares is given.

    Attributes:
        identifier: ``bln_…``, ``@name``, or a link to a balance (``result_of``).
        amount: In units of the currency, exact: ``Decimal("10.50")``, ``"10.50"`` or ``10``; never a float. A whole
            number counts units too: ``1050`` is one thousand and fifty euros, not 10.50.
        precise_amount: In minor units: ``1050`` is 10.50 euros.
        percent: Of the whole amount, exact: ``25`` or ``"12.5"``.
        left: All that the other legs leave.

    Example:
        >>> Leg("@fees", percent="2.5")
        Leg('@fees', percent='2.5')
    """

    identifier: str | ResultOf
    amount: Decimal | int | str | None = field(default=None, kw_only=True)
    precise_amount: int | None = field(default=None, kw_only=True)
    percent: Decimal | int | str | None = field(default=None, kw_only=True)
    left: bool = field(default=False, kw_only=True)

    def __repr__(self) -> str:
        """As it was written: without the shares that were not given."""
        shares = "".join(f", {name}={value!r}" for name, value in self.given().items() if name != "identifier")
        return f"Leg({self.identifier!r}{shares})"

    def given(self) -> dict[str, Any]:
        """The fields that were given."""
        values = {name: getattr(self, name) for name in ("amount", "precise_amount", "percent")}
        shares = {name: value for name, value in values.items() if value is not None}
        return {"identifier": self.identifier, **shares, **({"left": True} if self.left else {})}


class Percent(Amount):
    """A share of the whole, above 0 and at most 100."""

    takes, limits = "decimal text or a whole number; never a float", "above 0, at most 100"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Decimal:
        number: Decimal = super()._deserialize(value, attr, data, **kwargs)
        if number > _FULL:
            raise ValidationError("Must not be above 100.")
        return number


class LegSchema(Schema):
    """One leg, with one share."""

    identifier = Balance(required=True, metadata={"doc": "The balance of this leg."})
    amount = Amount(metadata={"doc": "Its share, in units of the currency; or one of the next three."})
    precise_amount = WholeNumber(metadata={"doc": "Its share in minor units."})
    percent = Percent(metadata={"doc": "Its share of the whole, in percent."})
    left = Flag(metadata={"doc": "All that the other legs leave."})

    @post_load
    def _one_share(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        leg = {name: value for name, value in data.items() if value is not False}
        if len(leg) != len(("identifier", "its share")):
            raise ValidationError(
                "Must have exactly one of amount (in units), precise_amount (in minor units), percent and left.",
                "amount",
            )
        return leg


def divide(total: int, legs: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Minor units of each leg, by the ledger's own rule.

    Fixed parts first, then percentages of the total, then what is left; each is cut to whole minor units, and what is
    missing to the total goes to the largest leg (contract §6.5, measured on the ledger's own code).

    Args:
        total: Minor units to divide.
        legs: Each with exactly one of ``precise_amount``, ``percent`` (a Decimal) and ``left``.

    Returns:
        Minor units in the order of the legs, all above 0; they add up to the total.

    Raises:
        ValueError: The legs do not add up, or one would get nothing; the sentence says which.

    Example:
        >>> divide(10_000, [{"percent": Decimal(10)}, {"precise_amount": 2_000}, {"left": True}])
        (1000, 2000, 7000)
    """
    fixed = sum(leg.get("precise_amount", 0) for leg in legs)
    percent = sum((Fraction(leg["percent"]) for leg in legs if "percent" in leg), Fraction(0))
    remainders = sum("left" in leg for leg in legs)
    if remainders > 1:
        raise ValueError("Only one leg can have left, all that the others leave.")
    left = total - fixed - Fraction(total) * percent / _FULL
    if remainders and left <= 0:
        raise ValueError("The other legs take the whole amount, so that the leg with left would get nothing.")
    if not remainders:
        _check_sum(total, fixed, percent)
    exact = [
        Fraction(total) * Fraction(leg["percent"]) / _FULL
        if "percent" in leg
        else Fraction(leg.get("precise_amount", left))
        for leg in legs
    ]
    amounts = [int(share) for share in exact]
    # Where two are equally large the ledger's order counts: fixed parts, percentages, the rest.
    order = sorted(range(len(legs)), key=lambda index: ("left" in legs[index], "percent" in legs[index]))
    largest = max(order, key=lambda index: amounts[index])
    amounts[largest] += total - sum(amounts)
    if empty := [index for index, share in enumerate(exact) if share < 1]:
        raise ValueError(
            f"The leg at position {empty[0]} would get less than one minor unit, which the ledger cannot move."
        )
    if max(amounts) > MAX_LEG:
        raise ValueError("A leg is larger than the ledger can read (64 bits).")
    return tuple(amounts)


def _check_sum(total: int, fixed: int, percent: Fraction) -> None:
    """What has no remainder must add up by itself; the ledger would silently give the difference to the largest."""
    if fixed and percent:
        raise ValueError(
            "Fixed amounts and percentages can only be mixed when one more leg has left, all that the others leave."
        )
    if percent and percent != _FULL:
        raise ValueError(
            f"The percentages add up to {float(percent):g}, not to 100; or give one leg left, all that "
            "the others leave."
        )
    if not percent and fixed != total:
        raise ValueError(
            f"The legs add up to {fixed} minor units, not to {total}; or give one leg left, all that the others leave."
        )


def sides(data: Mapping[str, Any]) -> tuple[str, str]:
    """Which side is several, and which is one."""
    if ("sources" in data) == ("destinations" in data):
        raise ValidationError("Send exactly one of sources and destinations.", "destinations")
    several, one = ("sources", "destination") if "sources" in data else ("destinations", "source")
    other = "source" if several == "sources" else "destination"
    if one not in data:
        raise ValidationError(f"Is needed with {several}.", one)
    if other in data:
        raise ValidationError(f"Cannot go with {several}.", other)
    return several, one


def alike(payload: Mapping[str, Any]) -> str | None:
    """Why legs cannot be told apart, or None: the ledger merges legs with one identifier (contract §6.5)."""
    several, one = sides(payload)
    names = [json.dumps(leg["identifier"], sort_keys=True) for leg in payload[several]]
    if len(set(names)) != len(names):
        return "Must name each balance once; the ledger would make one leg of two with the same identifier."
    if json.dumps(payload[one], sort_keys=True) in names:
        return f"Must not name the {one} itself as a leg."
    return None


def legs_of(payload: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The legs of a payload, as they were computed when it was made."""
    legs: Sequence[Mapping[str, Any]] = payload[sides(payload)[0]]
    return legs
