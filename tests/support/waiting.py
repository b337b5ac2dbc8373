"""Waiting for conditions: the only way in which tests let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Between two looks at a condition.
_POLL_S = 0.02


def wait_until(condition: Callable[[], T], timeout_s: float, what: str = "it", *, poll_s: float = _POLL_S) -> T:
    """Wait until a condition holds.

    Args:
        condition: Called again and again; holds when what it returns is true.
        timeout_s: Longest wait.
        what: What is waited for, for the failure's sentence.
        poll_s: Between two calls.

    Returns:
        What the condition returned.

    Raises:
        AssertionError: It did not hold in time.
    """
    end_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end_s, f"waited {timeout_s:g} s for {what}, in vain"
        time.sleep(poll_s)
    return value
