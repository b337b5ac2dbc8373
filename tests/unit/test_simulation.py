"""Whole lives of intents, simulated: the real decisions against a ledger that misleads in every way it can.

The journal's transitions are imitated in a few lines (they have tests of their own); everything decided is decided by
the real code. A failure prints its seed and its story; ``simulate("refund", 7)`` plays one again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from casebook import DAY, HOUR, MINUTE, NOW_MS, POLICY, SECOND, entry_of, payment
from tiny_ledger import TinyLedger, World

from blnk_relay import Intent, commit_hold, refund, void_hold
from blnk_relay.intents.decision import Again, Decision, Look, Send
from blnk_relay.intents.found import Found
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.claimed import Claimed, progress_of
from blnk_relay.journal.settlement import Settlement
from blnk_relay.kinds.registry import KINDS
from tasks.lookups import MAX_ROUNDS
from tasks.settlements import Sent, after_attempt, after_look

SEEDS = 400
LEASE_MS = 30 * SECOND

#: A worker only sends with a request's longest time and a margin left on its lease, so a paused one does it by then.
LATEST_SEND_MS = 8 * SECOND

MOST_STEPS = 3_000


@dataclass
class Life:
    """One intent from its acceptance to its end, as journal and workers lead it.

    Attributes:
        rows_made: Rows that earlier intents of the same hold made, as the journal remembers them.
        deaths: How many workers will be killed while they hold it.
        fields: Its hash in the journal.
    """

    entry: Entry
    ledger: TinyLedger
    rng: random.Random
    rows_made: set[str]
    deaths: int
    fields: dict[str, str] = field(default_factory=dict)
    due_ms: int = 0

    def lead(self) -> None:
        now_ms = self.ledger.now_ms
        self.fields = {"state": "ready", "since": str(now_ms), "deadline": str(now_ms + DAY)}
        self.due_ms = now_ms
        for _ in range(MOST_STEPS):
            if self.fields["state"] in ("done", "dead"):
                return
            self.ledger.advance(self.due_ms)
            if self.fields["state"] == "posted":
                claimed = self.claimed(self.fields)
                self.settle(after_look(claimed, "posted", self.decide(claimed), self.ledger.now_ms, "w"))
            else:
                self.deliver()
        raise AssertionError(f"it never ended: {self.fields}")

    def claimed(self, fields: Mapping[str, str]) -> Claimed:
        return Claimed(self.entry, progress_of(self.entry.kind, fields, self.ledger.now_ms), "1")

    def deliver(self) -> None:
        claimed = self.claimed(self.fields)
        self.fields["state"] = "sending"
        if self.dies():
            return
        decision = self.decide(claimed)
        if isinstance(decision, Send) and not self.rows_made <= set(decision.seen):
            # What the journal calls lagging: the read is older than what earlier intents made.
            decision = Again(0.5, counted=False)
        if not isinstance(decision, Send):
            self.settle(after_look(claimed, "sending", decision, self.ledger.now_ms, "w"))
            return
        fields = self.fields if decision.memo is None else self.fields | {"memo": json.dumps(decision.memo)}
        if KINDS[self.entry.kind].records:
            self.fields = dict(fields)
        self.attempt(self.claimed(fields | {"state": "ready"}))

    def attempt(self, claimed: Claimed) -> None:
        kind, at_ms = KINDS[self.entry.kind], self.ledger.now_ms
        request = kind.request(self.entry, claimed.progress, POLICY)
        if self.dies():
            if self.rng.random() < 0.5:
                self.ledger.later(self.rng.randint(0, LATEST_SEND_MS), lambda: self.ledger.act(request, self.entry.key))
            return
        response = self.ledger.send(request, self.entry.key)
        self.ledger.advance(at_ms + self.rng.randint(1, 200))
        if self.dies():
            return
        verdict = kind.judge(self.entry, claimed.progress, request, response, POLICY)
        self.settle(after_attempt(claimed, Sent(at_ms, self.ledger.now_ms, response, verdict, "r", "w")))

    def decide(self, claimed: Claimed) -> Decision:
        found, progress = Found(), claimed.progress
        for _ in range(MAX_ROUNDS):
            step = next_step(KINDS[self.entry.kind], self.entry, progress, found, POLICY)
            if not isinstance(step, tuple):
                return step
            looked = self.ledger.look(step)
            if looked is None:
                in_s = growing_s(progress.quiet_for_s if progress.sent else progress.age_s, 0.3, 60.0)
                return Look(in_s, progress.refuse) if progress.looking else Again(in_s, counted=False)
            found = found.plus(*looked, step)
        raise AssertionError(f"undecided after {MAX_ROUNDS} rounds of reading")

    def settle(self, settlement: Settlement) -> None:
        self.fields |= {"state": settlement.to} | settlement.fields
        self.due_ms = self.ledger.now_ms + settlement.in_ms
        self.ledger.log.append(f"{self.entry.key}: {settlement.to} in {settlement.in_ms} ms")
        if settlement.to == "done" and settlement.fields.get("txn"):
            self.rows_made.add(settlement.fields["txn"])

    def dies(self) -> bool:
        """Whether its worker is killed here: the lease lapses, which is noticed early or at its end."""
        if not self.deaths or self.rng.random() < 0.7:
            return False
        self.deaths -= 1
        lapse = {"state": "posted", "lapsed": "1", "accepted": "0", "sent_last": str(self.ledger.now_ms + LEASE_MS)}
        self.fields |= lapse
        self.due_ms = self.ledger.now_ms + self.rng.randint(6 * SECOND, LEASE_MS)
        self.ledger.log.append(f"{self.entry.key}: its worker died")
        return True

    @property
    def end(self) -> str:
        return self.fields.get("outcome") or f"dead: {self.fields['class']} {self.fields['code']}"


def lived(intent: Intent, ledger: TinyLedger, rng: random.Random, key: str, made: set[str] | None = None) -> Life:
    life = Life(entry_of(intent, key), ledger, rng, set() if made is None else made, deaths=rng.choice((0, 0, 1, 2)))
    life.lead()
    return life


def a_world(rng: random.Random, **changes: Any) -> World:
    given: dict[str, Any] = {
        "lag_ms": rng.choice((0, 0, 2, 15)) * SECOND,
        "store_ms": rng.choice((10, 1_000)),
        "apply_ms": rng.choice((0, 1_500, 5_000, 14 * MINUTE)),
        "faults": rng.choice((0, 1, 3, 6)),
    }
    return World(**(given | changes))


# -- stories: what is enqueued, in which world ---------------------------------------------------------------------


def a_payment(rng: random.Random) -> tuple[TinyLedger, list[Life]]:
    """A payment or a hold, in queue mode or in skip mode, of which the ledger may store nothing for a long while."""
    world = a_world(rng, fallback=rng.choice((0.0, 0.5)), fallback_ms=14 * MINUTE)
    ledger = TinyLedger(world, rng, NOW_MS)
    intent = payment(inflight=rng.random() < 0.3, skip_queue=rng.random() < 0.3)
    return ledger, [lived(intent, ledger, rng, "order_42")]


def a_poor_payment(rng: random.Random) -> tuple[TinyLedger, list[Life]]:
    """A payment whose source is empty."""
    ledger = TinyLedger(a_world(rng, funded=False), rng, NOW_MS)
    return ledger, [lived(payment(skip_queue=rng.random() < 0.5), ledger, rng, "order_42")]


def a_payment_to_nobody(rng: random.Random) -> tuple[TinyLedger, list[Life]]:
    """A payment to a balance that is not there, or only comes into being while the ledger retries by itself."""
    ledger = TinyLedger(a_world(rng, known_from_ms=rng.choice((-1, 2, 5, 12)) * MINUTE), rng, NOW_MS)
    return ledger, [lived(payment(skip_queue=rng.random() < 0.2), ledger, rng, "order_42")]


def a_refund(rng: random.Random) -> tuple[TinyLedger, list[Life]]:
    """A refund, which the ledger may record in the shape that the next refund call would reverse."""
    ledger = TinyLedger(a_world(rng, fallback=rng.choice((0.0, 0.5))), rng, NOW_MS)
    applied = ledger.applied(1050)
    name = rng.choice((applied.transaction_id, "paid-1"))
    return ledger, [lived(refund(name), ledger, rng, "refund")]


def a_hold(rng: random.Random) -> tuple[TinyLedger, list[Life]]:
    """Equal parts of one hold, one after the other, then the rest or none of it, then too much."""
    ledger = TinyLedger(a_world(rng), rng, NOW_MS)
    held = ledger.hold(10_000)
    name = rng.choice((held.transaction_id, "hold-1", held.parent))
    parts = [commit_hold(name, precise_amount=3_000)] * rng.randint(0, 4)
    ends = [rng.choice((commit_hold(name), void_hold(name))) for _ in range(rng.randint(0, 2))]
    made: set[str] = set()
    return ledger, [
        lived(intent, ledger, rng, f"{number}:{intent.kind}", made) for number, intent in enumerate([*parts, *ends])
    ]


STORIES: dict[str, Callable[[random.Random], tuple[TinyLedger, list[Life]]]] = {
    "payment": a_payment,
    "poor payment": a_poor_payment,
    "payment to nobody": a_payment_to_nobody,
    "refund": a_refund,
    "hold": a_hold,
}


# -- what must be true in the end ----------------------------------------------------------------------------------


def is_true(life: Life, ledger: TinyLedger) -> None:
    """An ending says what really happened."""
    made = ledger.made_by(life.entry.key)
    assert len(made) <= 1, f"{life.end}, and it happened {len(made)} times"
    if life.fields["state"] == "done":
        assert made, f"{life.end}, and it never happened"
        assert life.fields["txn"] == made[0].transaction_id, "the id kept is not that of the real row"
    elif life.fields["class"] in ("refused", "rejected"):
        assert not made, f"{life.end}, and it happened"


def is_good(life: Life, ledger: TinyLedger) -> None:
    """What the ledger would take ends well, whatever went wrong on the way, unless somebody clearly said no."""
    world = ledger.world
    willing = world.funded and world.known_from_ms == 0 and not any("cloud_says_no" in line for line in ledger.log)
    if willing and life.entry.kind in ("transaction", "refund"):
        assert life.fields["state"] == "done", life.end


def holds_add_up(ledger: TinyLedger, lives: list[Life]) -> None:
    """What was committed of a hold is what its intents say, and never more than was held."""
    made = [row for life in lives for row in ledger.made_by(life.entry.key)]
    assert sum(row.precise_amount or 0 for row in made) <= 10_000
    assert len({row.transaction_id for row in made}) == len(made)


def simulate(story: str, seed: int) -> list[Life]:
    rng = random.Random(f"{story} {seed}")
    ledger, lives = STORIES[story](rng)
    try:
        # Long afterwards, when nothing can be under way any more.
        ledger.advance(ledger.now_ms + HOUR)
        for life in lives:
            is_true(life, ledger)
            is_good(life, ledger)
        holds_add_up(ledger, lives)
    except AssertionError as error:
        told = "\n".join([*ledger.log, *(f"{life.entry.key}: {life.fields}" for life in lives)])
        raise AssertionError(f"{error}\nplay it again: simulate({story!r}, {seed})\n{ledger.world}\n{told}") from None
    return lives


@pytest.mark.parametrize("story", STORIES)
def test_every_ending_says_what_really_happened(story):
    endings = {life.end for seed in range(SEEDS) for life in simulate(story, seed)}
    assert len(endings) > 1 or story == "refund", "the simulation meets too little"
