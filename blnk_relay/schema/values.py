"""Whether the ledger shows a value as it was sent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any


def same(sent: Any, stored: Any) -> bool:
    """Whether the ledger shows a JSON value as it was sent; numbers by value, however they are written.

    Example:
        >>> same({"rate": 0.1, "tags": ["a"]}, {"rate": Decimal("0.10"), "tags": ["a"]})
        True
        >>> same(1, True)
        False
    """
    if isinstance(sent, Mapping):
        return isinstance(stored, Mapping) and sent.keys() == stored.keys() and shows(sent, stored)
    if isinstance(sent, str) or sent is None or isinstance(sent, bool):
        return type(sent) is type(stored) and bool(sent == stored)
    if isinstance(sent, Sequence):
        return (
            isinstance(stored, list)
            and len(sent) == len(stored)
            and all(same(one, other) for one, other in zip(sent, stored, strict=True))
        )
    if isinstance(stored, bool) or not isinstance(stored, int | float | Decimal):
        return False
    return Decimal(repr(sent)) == Decimal(str(stored)) or math.isclose(sent, float(stored), rel_tol=1e-15)


def shows(sent: Mapping[str, Any], stored: Any) -> bool:
    """Whether an object shows every key that was sent, with its value; what else it has does not matter."""
    return isinstance(stored, Mapping) and all(
        key in stored and same(value, stored[key]) for key, value in sent.items()
    )


def json_bytes(value: Mapping[str, Any]) -> int:
    """UTF-8 bytes of an object as JSON."""
    return len(json.dumps(value, ensure_ascii=False, default=str).encode())
