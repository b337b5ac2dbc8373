"""A producer that keeps what it has enqueued, and enqueues all of it once more whenever Redis may have lost some."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from blnk_relay import InvalidIntent, JournalUnavailable, Receipt, Relay, Write
from tests.support.stages import insist
from worker.demo.proof.findings import Recorded
from worker.demo.story import key_of

#: Longest that the producer tries one batch.
_PATIENCE_S = 60.0

#: Between two tries of what was refused.
_AGAIN_S = 0.05

#: Of the story told at once, and again after a loss.
_BATCH, _REPEATED = 4, 50


class Teller:
    """Tells the story as applications do: again under the same keys where there was no answer.

    Attributes:
        receipts: The latest of each key.
        broken: Sentences, one for each receipt that did not hold what it said.
        forgotten: How many receipts were lost with the last moments of Redis, by the durability that they had.
        overtaken: Keys of lost ones, whose order may be another one now.
        refused: How often Redis gave no answer, by what the error says first.

    Args:
        relay: To enqueue with.
        losses: How often Redis has lost its last moments so far.
    """

    def __init__(self, relay: Relay, losses: Callable[[], int]) -> None:
        self._relay, self._losses = relay, losses
        self._told: dict[str, Write] = {}
        self._seen = 0
        self._last: Sequence[Write] = ()
        self.overtaken: set[str] = set()
        self.receipts: dict[str, Receipt] = {}
        self.broken: list[str] = []
        self.forgotten: Counter[str] = Counter()
        self.refused = 0

    @property
    def told(self) -> list[Write]:
        """All that has a receipt, in its order."""
        return list(self._told.values())

    def tell(self, writes: Sequence[Write]) -> None:
        """Enqueue a batch, and what was lost before it."""
        end_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                if self._seen != self._losses():
                    self.tell_again()
                receipts = self._relay.enqueue_many(writes)
            except InvalidIntent:
                # It is to wait for what was lost a moment ago.
                if time.monotonic() > end_s or not self._losses():
                    raise
                self._seen = -1
            except JournalUnavailable:
                self.refused += 1
                if time.monotonic() > end_s:
                    raise
                time.sleep(_AGAIN_S)
            else:
                break
        self._last = writes
        self._told.update((key_of(write), write) for write in writes)
        self.receipts.update((receipt.key, receipt) for receipt in receipts)

    def tell_again(self) -> None:
        """Enqueue all of it under the same keys, in the same order; those that are new now were lost.

        What was enqueued since has overtaken them.
        """
        orders = {write.intent.order_key for write in self._last} - {None}
        self._seen = self._losses()
        told = self.told
        for at in range(0, len(told), _REPEATED):
            for receipt in insist(self._relay, told[at : at + _REPEATED], _PATIENCE_S):
                before = self.receipts[receipt.key]
                if receipt.created:
                    self.forgotten[before.durability] += 1
                    if self._told[receipt.key].intent.order_key in orders:
                        self.overtaken.add(receipt.key)
                    if before.durability.startswith("replicated"):
                        self.broken.append(f"lost: {receipt.key} had a receipt that said {before.durability}")
                self.receipts[receipt.key] = receipt

    def judged(self, recorded: Sequence[Recorded]) -> list[Recorded]:
        """Those whose letters have to be true by the order in which they were told first."""
        return [
            item
            for item in recorded
            if not (item.status.key in self.overtaken and item.status.dead_class in ("refused", "rejected"))
        ]


class Telling:
    """Tells a story from a thread of its own, in step with the blows.

    Attributes:
        share: How much of it is to be told by now; the rest follows once this is 1.

    Args:
        teller: Who tells.
        writes: The story.
    """

    def __init__(self, teller: Teller, writes: Sequence[Write]) -> None:
        self._teller, self._writes = teller, writes
        self._changed = threading.Condition()
        self.share = 0.0
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._thread.start()

    def go_on(self, share: float) -> None:
        """Tell as much as this by now."""
        with self._changed:
            self.share = share
            self._changed.notify_all()

    def finish(self) -> list[str]:
        """Tell the rest; returns sentences about what failed."""
        self.go_on(1.0)
        self._thread.join(2 * _PATIENCE_S)
        if self._thread.is_alive():
            return ["stuck: the producer never came back"]
        return [f"producer: {error!r}" for error in self._failures]

    def _run(self) -> None:
        try:
            for at in range(0, len(self._writes), _BATCH):
                with self._changed:
                    self._changed.wait_for(lambda at=at: self.share >= at / len(self._writes))  # type: ignore[misc]
                self._teller.tell(self._writes[at : at + _BATCH])
        except BaseException as error:  # noqa: BLE001 - handed to the drill
            self._failures.append(error)
