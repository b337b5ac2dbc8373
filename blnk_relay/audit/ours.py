"""Whose a row of the ledger is, by its reference alone. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from blnk_relay.intents.found import Row

#: References of which each holds a digest that only we make: of a key that the ledger could not take, and of a split.
_OURS_ALONE = re.compile(r"^key-[a-z2-7]{26}(\.r\d+)?$|\.split\.[a-z2-7]{26}(\.r\d+)?(-\d+)?$")

#: Stands for all references, in the place of how some begin.
ALL = "*"

_SPLIT_LEG = re.compile(r"(\.split\.[a-z2-7]{26}(?:\.r\d+)?)-\d+$")
_LATER = re.compile(r"\.r([2-9]|[1-9]\d+)$")
_REFUND = re.compile(r"^(txn_.+)_refund(_q)?$")


def owned_as(reference: str) -> str:
    """The reference that an intent would own of which this one is.

    Example:
        >>> owned_as("order-42_q"), owned_as("sale.split." + "a" * 26 + "-3") == "sale.split." + "a" * 26
        ('order-42', True)
    """
    return _SPLIT_LEG.sub(r"\1", reference.removesuffix("_q"))


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
    below = row.parent.startswith("txn_") and not row.reference.endswith("_q")
    return below or row.reference.startswith("txn_")
