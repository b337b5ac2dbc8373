"""The way to a target for somebody who reads beside the work: at a pace of its own, and by the gate of its reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from blnk_relay.intents.exchange import Response
from blnk_relay.intents.found import Lookup, Row
from blnk_relay.journal.clock import steady_s
from tasks.runtime import Looked
from worker.ledger.proxy import Proxy
from worker.ledger.readback import LedgerOverHttp


class PacedProxy(Proxy):
    """A proxy each of whose requests waits for its turn.

    Args:
        wait: Waits for the turn of one request; may raise to end it all.
        *args: Of the proxy.
        **kwargs: Of the proxy.
    """

    def __init__(self, wait: Callable[[], None], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wait = wait
        #: Requests made so far.
        self.made = 0

    def call(self, *args: Any, **kwargs: Any) -> Response:
        """Make one HTTP request, when it is its turn; see :meth:`Proxy.call`."""
        self._wait()
        self.made += 1
        return super().call(*args, **kwargs)


class PacedReader:
    """Reads a ledger as an audit needs it.

    Args:
        proxy: The way there.
        route: How outcomes are read there; see :class:`LedgerOverHttp`.
        stopping: Whether nothing more is to be asked.
    """

    def __init__(self, proxy: PacedProxy, route: str, stopping: Callable[[], bool]) -> None:
        self._proxy = proxy
        self._ledger = LedgerOverHttp(proxy, route, stopping)

    @property
    def reads(self) -> int:
        """Requests made so far."""
        return self._proxy.made

    def look(self, lookups: Sequence[Lookup]) -> Looked:
        """See :meth:`LedgerOverHttp.look`."""
        return self._ledger.look(lookups)

    def made_between(self, since: str, until: str) -> Sequence[Row] | Response:
        """See :meth:`LedgerOverHttp.made_between`."""
        return self._ledger.made_between(since, until)

    def close(self) -> None:
        """Close all connections."""
        self._ledger.close()


class Turns:
    """Spaces requests evenly. Not for several threads.

    Args:
        rate: Requests a second.
        pause: Waits so many seconds.
        clock: Seconds of a steady clock.

    Example:
        >>> slept = []
        >>> turns = Turns(2.0, slept.append, lambda: sum(slept))
        >>> turns.take(), turns.take(), turns.take()
        (None, None, None)
        >>> slept
        [0.5, 0.5]
    """

    def __init__(self, rate: float, pause: Callable[[float], object], clock: Callable[[], float] = steady_s) -> None:
        self._each_s = 1.0 / rate
        self._pause = pause
        self._clock = clock
        self._next_s = float("-inf")

    def take(self, at_most: float | None = None) -> None:
        """Wait for the next turn.

        Args:
            at_most: A lower rate than its own, for this turn.
        """
        each_s = self._each_s if not at_most else max(self._each_s, 1.0 / at_most)
        left_s = self._next_s - self._clock()
        if left_s > 0:
            self._pause(left_s)
        self._next_s = self._clock() + each_s
