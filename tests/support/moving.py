"""What befalls a journal between two trips of whoever reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blnk_relay.journal.journal import Journal


def carrying(monkeypatch: pytest.MonkeyPatch, befalls: dict[int, Callable[[], Any]]) -> Callable[[], int]:
    """Something befalls before a trip of one flow; what is returned says how many trips there were."""
    carry, trips, busy = Journal._carry, [0], [False]

    def carried(self: Journal, trip: Any) -> Any:
        if not busy[0]:
            busy[0] = True
            try:
                befalls.get(trips[0], lambda: None)()
            finally:
                busy[0] = False
            trips[0] += 1
        return carry(self, trip)

    monkeypatch.setattr(Journal, "_carry", carried)
    return lambda: trips[0]
