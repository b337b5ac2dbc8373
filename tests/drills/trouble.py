"""What goes wrong at the ledger of a drill: a seeded plan, which a drill can make worse and call off."""

from __future__ import annotations

from collections import Counter

from blnk_relay.sandbox import DEFAULT_KINDS, Faults
from blnk_relay.sandbox.faults.kinds import Fault, Subject
from tests.support.stages import Tardy
from worker.demo.command import LEFT_OUT


class Trouble(Faults):
    """A plan of faults that can be made worse, and called off.

    Attributes:
        read_s: How late reads are answered now; 0: at once.
        every: What strikes each request now, of whatever sort.
        over: Whether nothing goes wrong any more.
        fell: How often what a drill has ordered struck a request.

    Args:
        seed: Of the plan.
        rate: Share of the requests that it spoils.
        slow_s: How late the other writes are answered, each half before and half after it acts.
    """

    def __init__(self, seed: int, rate: float, slow_s: float) -> None:
        kinds = [kind for kind in DEFAULT_KINDS if kind not in LEFT_OUT]
        self._plan = Tardy(Faults.seeded(seed, rate, kinds=kinds), slow_s)
        self.read_s = 0.0
        self.every: Fault | None = None
        self.over = False
        self.fell: Counter[str] = Counter()

    def decide(self, subject: Subject) -> Fault | None:
        """What is ordered, a fault of the plan, or a slow read."""
        if self.over:
            return None
        if (ordered := self.every) is not None:
            self.fell[ordered.kind.name] += 1
            return ordered
        fault = self._plan.decide(subject)
        if fault is None and subject.read and self.read_s:
            self.fell["slow_read"] += 1
            return Fault.of("delay_after", self.read_s)
        return fault
