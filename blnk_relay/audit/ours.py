"""Whose a row of the ledger is, by its reference alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from blnk_relay.intents.found import Row

#: References of which each holds a digest that only we make: of a key that the ledger could not take, and of a split.
_OURS_ALONE = re.compile(r"^key-[a-z2-7]{26}(\.r\d+)?$|\.split\.[a-z2-7]{26}(\.r\d+)?$")

#: Stands for all references, in the place of how some begin.
ALL = "*"

#: Of a split, and what the ledger numbers its legs by: ``-1`` where they were made at once, as we ask, and ``_1`` in
#: queue mode (contract §3.4).
_SPLIT = re.compile(r"(\.split\.[a-z2-7]{26}(?:\.r\d+)?)([-_]\d+)?$")

#: What the ledger calls a row that it makes below another, besides what begins with the id of that one.
_SETTLED = re.compile(r"^ref_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

_LATER = re.compile(r"\.r([2-9]|[1-9]\d+)$")
_REFUND = re.compile(r"^(txn_.+)_refund(_q)?$")


def owned_as(reference: str) -> str:
    """The reference that an intent would own of which this one is.

    Example:
        >>> owned_as("order-42_q"), owned_as("sale.split." + "a" * 26 + "-3") == "sale.split." + "a" * 26
        ('order-42', True)
    """
    return _SPLIT.sub(r"\1", reference.removesuffix("_q"))


def is_of_split(reference: str) -> bool:
    """Whether a row is of a split, by the shape of its reference."""
    return _SPLIT.search(reference.removesuffix("_q")) is not None


def leg_number(reference: str) -> int:
    """Which leg of a split a row is, in the mode that is sent; 0 for another row.

    Example:
        >>> reference = "sale.split." + "a" * 26
        >>> leg_number(reference + "-3"), leg_number(reference + "_3"), leg_number(reference + "_3_q")
        (3, 0, 0)
    """
    match = _SPLIT.search(reference)
    return int(match[2][1:]) if match and match[2] and match[2].startswith("-") else 0


def first_and_generation(reference: str) -> tuple[str, int]:
    """The reference of generation 0 that one is of, and its generation, by its looks.

    Example:
        >>> first_and_generation("order-42.r3"), first_and_generation("order-42")
        (('order-42', 2), ('order-42', 0))
    """
    match = _LATER.search(reference)
    return (reference[: match.start()], int(match[1]) - 1) if match else (reference, 0)


def is_ours_alone(reference: str, prefixes: Sequence[str]) -> bool:
    """Whether nobody else makes such references: by their shape, or because that was said of how they begin."""
    owned = owned_as(reference)
    return _OURS_ALONE.search(owned) is not None or any(
        prefix == ALL or owned.startswith(prefix) for prefix in prefixes
    )


def refunded_by(reference: str) -> str:
    """Id of the row that a refund gives back; empty for another reference."""
    match = _REFUND.match(reference)
    return match[1] if match else ""


def is_derived(row: Row) -> bool:
    """Whether the ledger made a row below another and chose its reference: a refund, a commit, a void."""
    return row.reference.startswith("txn_") or bool(row.parent and _SETTLED.match(row.reference))


def above(row: Row) -> str:
    """Id of the row below which the ledger made a derived one: what was refunded, or the hold."""
    return refunded_by(row.reference) or row.parent
