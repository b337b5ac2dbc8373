"""Whose journal this is: the ledger that each target stands for is recorded at first use, and compared ever after.

A payment that was begun in one ledger and goes on in another is made twice. So nobody who means another ledger by a
name takes, looks, sends or enqueues; that a ledger has moved is said by a human (``blnk-relay target rebind``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from blnk_relay.errors import OtherLedger
from blnk_relay.journal.flows import Ask, Flow
from blnk_relay.settings import Settings

#: How long a comparison holds: one that found the same ledger, and one that found none recorded yet.
_SAME_S = 60.0
_NONE_S = 5.0


class Belonging:
    """Compares the targets of a producer's settings with those of the journal, now and then.

    Args:
        settings: A target about which they say nothing is never compared: a producer needs to know its name only.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._until_s: dict[str, float] = {}

    def due(self, targets: Iterable[str]) -> tuple[str, ...]:
        """Those of the targets that have to be compared now."""
        now_s = time.monotonic()
        return tuple(
            name
            for name in dict.fromkeys(targets)
            if self._until_s.get(name, 0.0) <= now_s and self._settings.ledgers[name].ledger
        )

    def flow(self, targets: Iterable[str]) -> Flow[None]:
        """Compare them.

        Raises:
            OtherLedger: The settings mean another ledger by one of them.
        """
        for name in targets:
            [recorded] = yield Ask((("HGET", f"{self._settings.prefix}ledgers", name),))
            ours = self._settings.ledgers[name].ledger
            if recorded and recorded != ours:
                raise OtherLedger(name, str(recorded), ours)
            self._until_s[name] = time.monotonic() + (_SAME_S if recorded else _NONE_S)
