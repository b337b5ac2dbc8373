"""How often somebody may try to sign in: a few wrong tries a minute from each address, and then a wait."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from worker.console import arriving

#: Wrong tries that are let through at once, and seconds until one more is.
MOST_WRONG, EACH_S = 5, 12.0

#: Addresses that are remembered; the oldest makes room.
_MOST_ADDRESSES = 2_000


class Attempts:
    """Tries by address. Each counts from its beginning, so that many at once are no more than many in a row.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, address: str) -> float:
        """Count a try as a wrong one and let it through: 0; or how long to wait, and then nothing is counted."""
        place, now_s = _place(address), self._clock()
        with self._lock:
            ahead_s = max(0.0, self._free_at.get(place, 0.0) - now_s)
            if ahead_s > (MOST_WRONG - 1) * EACH_S:
                return ahead_s - (MOST_WRONG - 1) * EACH_S
            self._free_at[place] = now_s + ahead_s + EACH_S
            self._free_at.move_to_end(place)
            while len(self._free_at) > _MOST_ADDRESSES:
                self._free_at.popitem(last=False)
        return 0.0

    def undo(self, address: str) -> None:
        """It was right; those before it stay counted."""
        place = _place(address)
        with self._lock:
            if place in self._free_at:
                self._free_at[place] -= EACH_S


def _place(address: str) -> str:
    """What counts as one place: an address, or the network that one household of IPv6 has to itself."""
    known = arriving.ip(address)
    if isinstance(known, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((known, 64), strict=False))
    return address if known is None else str(known)
