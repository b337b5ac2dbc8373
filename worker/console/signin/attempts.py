"""How often somebody may try to sign in: a few wrong tries a minute from each address, and then a wait."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

#: Wrong tries that are let through at once, and seconds until one more is.
MOST_WRONG, EACH_S = 5, 12.0

#: Addresses that are remembered; the oldest makes room.
_MOST_ADDRESSES = 2_000


class Attempts:
    """Wrong tries by address.

    Args:
        clock: Seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, address: str) -> float:
        """How long an address has to wait before it may try; 0 when it may now."""
        with self._lock:
            ahead_s = self._free_at.get(_place(address), 0.0) - self._clock()
        return max(0.0, ahead_s - (MOST_WRONG - 1) * EACH_S)

    def wrong(self, address: str) -> None:
        """Note a wrong try."""
        place, now_s = _place(address), self._clock()
        with self._lock:
            self._free_at[place] = max(self._free_at.pop(place, 0.0), now_s) + EACH_S
            while len(self._free_at) > _MOST_ADDRESSES:
                self._free_at.popitem(last=False)

    def right(self, address: str) -> None:
        """Forget an address that was right."""
        with self._lock:
            self._free_at.pop(_place(address), None)


def _place(address: str) -> str:
    """What counts as one place: an address, or the network that one household of IPv6 has to itself."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else address  # noqa: PLR2004
