"""What a process has in hand, and the thread that prolongs its leases for as long as the process lives.

A lease ends soon after its holder has died, and not before: how long a look or a queue for a connection may take is
nobody's guess. A hand is open while a loop works on what is in it; its end is the end of the prolonging.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from blnk_relay.errors import JournalUnavailable
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.clock import steady_s
from blnk_relay.journal.journal import Journal
from blnk_relay.log import LEASES, tell

#: Leases of looks, in silences after which a worker is dead: whoever finds that one has lapsed can tell whether its
#: holder is dead, however long before its death it was last prolonged.
LOOK_SILENCES = 2.0

#: Prolongings in one silence after which a worker is dead; each is also a sign of life.
_BEATS = 4

#: What is left of a lease when it is prolonged, at most: most intents are settled before, and cost nothing here.
_LEFT = 2 / 3

_log = logging.getLogger(__name__)


class Hand:
    """What one loop has in hand.

    Args:
        lease_s: How far leases are prolonged each time.
    """

    def __init__(self, lease_s: float) -> None:
        self.lease_s = lease_s
        self._held: dict[tuple[str, str], Claimed] = {}

    def hold(self, items: Iterable[Claimed]) -> None:
        """Take into the hand what was claimed."""
        self._held.update({(item.entry.id, item.token): item for item in items})

    def drop(self, claimed: Claimed) -> None:
        """It is settled, or somebody else's by now."""
        self._held.pop((claimed.entry.id, claimed.token), None)

    def held(self) -> list[Claimed]:
        """All that is in it."""
        return list(self._held.values())

    def prolonged(self, items: Iterable[Claimed]) -> None:
        """Note the new ends of leases; of what was dropped meanwhile there is nothing to note."""
        for item in items:
            key = (item.entry.id, item.token)
            if key in self._held:
                self._held[key] = item

    def current(self, claimed: Claimed) -> Claimed:
        """The same with the end of its lease as it is now."""
        known = self._held.get((claimed.entry.id, claimed.token))
        if known is None or known.lease_end_s == claimed.lease_end_s:
            return claimed
        return replace(claimed, lease_end_s=known.lease_end_s)


class Keeper:
    """Prolongs the leases of all hands that one process has for a target.

    Args:
        journal: Where the leases are.
        worker: Whose they are.
        dead_worker_s: Silence after which a worker is taken for dead.
    """

    def __init__(self, journal: Journal, worker: str, dead_worker_s: float) -> None:
        self._journal = journal
        self._worker = worker
        self._beat_s = dead_worker_s / _BEATS
        self._hands: list[Hand] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hand(self, lease_s: float) -> Iterator[Hand]:
        """An empty hand; what is put into it keeps its lease until the end of the block."""
        hand = Hand(lease_s)
        with self._lock:
            self._hands.append(hand)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
                self._thread.start()
        try:
            yield hand
        finally:
            with self._lock:
                self._hands.remove(hand)

    def need(self, hand: Hand, claimed: Claimed, seconds: float) -> Claimed | None:
        """Make sure that so much is left of a lease, by a trip to the journal only where it is not.

        Args:
            hand: That it is in.
            claimed: The intent.
            seconds: How much must be left.

        Returns:
            The same with the end of its lease; None when it is no longer ours.

        Raises:
            JournalUnavailable: It had to be prolonged, and Redis did not answer.
        """
        claimed = hand.current(claimed)
        if claimed.lease_end_s - steady_s() >= seconds:
            return claimed
        lease_s = max(hand.lease_s, seconds + self._journal.settings.redis_timeout_s)
        extended = self._journal.extend(self._worker, [claimed], lease_s)
        hand.prolonged(extended)
        if not extended:
            hand.drop(claimed)
            return None
        return extended[0] if extended[0].lease_end_s - steady_s() >= seconds else None

    def _run(self) -> None:
        while True:
            time.sleep(self._beat_s)
            with self._lock:
                hands = list(self._hands)
                if not hands:
                    # The next hand has a thread of its own.
                    self._thread = None
                    return
            for hand in hands:
                try:
                    self._prolong(hand)
                except JournalUnavailable as error:
                    tell(_log, LEASES, error=type(error).__name__, why=error)
                except Exception as error:  # noqa: BLE001 - it must not end the thread that all leases hang on
                    tell(_log, LEASES, why="a bug of ours", failed=error)

    def _prolong(self, hand: Hand) -> None:
        """Prolong what needs it; to say that nothing does is a sign of life, too."""
        held = hand.held()
        if not held:
            return
        now_s = steady_s()
        late = [item for item in held if item.lease_end_s - now_s < hand.lease_s * _LEFT]
        extended = self._journal.extend(self._worker, late, hand.lease_s)
        hand.prolonged(extended)
        still = {(item.entry.id, item.token) for item in extended}
        for item in late:
            if (item.entry.id, item.token) not in still:
                hand.drop(item)
