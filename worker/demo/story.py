"""What the demo enqueues: a shop's month that uses every kind of write, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from blnk_relay import Write
from worker.demo.cast import CURRENCY, Cast
from worker.demo.chapters import CHAPTERS, MONTH_END

#: Kinds that have no part in the story, and why. Any other kind without one fails a test.
NOT_TOLD: Mapping[str, str] = {
    "inflight.bulk_commit": "its route is not in the documented list (contract §1.6): off unless a setting turns it on",
    "inflight.bulk_void": "its route is not in the documented list (contract §1.6): off unless a setting turns it on",
}

#: Most customers who are there from the start.
_MOST_CUSTOMERS = 60

#: Intents of the whole story for each of them.
_INTENTS_PER_CUSTOMER = 25


@dataclass(frozen=True, slots=True)
class Story:
    """What is enqueued, in order.

    Attributes:
        opening: The ledger, the first customers, and money for their wallets; awaited before the rest.
        writes: Everything else that is valid.
        repeated: Some of the writes once more, as an application does that lost its answer.
        invalid: Kind and fields that must be refused at the door.
    """

    opening: tuple[Write, ...]
    writes: tuple[Write, ...]
    repeated: tuple[Write, ...]
    invalid: tuple[tuple[str, dict[str, Any]], ...] = field(default=())


def tell(intents: int, seed: int) -> Story:
    """Make a story.

    From some 150 intents on every kind has its part, and the month ends with a reconciliation.

    Args:
        intents: How many intents are to be accepted, the opening included; at least 10.
        seed: Any integer.

    Returns:
        The story: exactly ``intents`` valid writes, and a twentieth as many repeats and refusals on top.
    """
    rng = random.Random(seed)
    cast = Cast(rng, max(1, min(_MOST_CUSTOMERS, intents // _INTENTS_PER_CUSTOMER)))
    opening = cast.opening()[:intents]
    writes = _month(cast, intents - len(opening))
    extra = max(1, intents // 20)
    repeated = tuple(rng.choice(writes or opening) for _ in range(extra))
    return Story(tuple(opening), tuple(writes), repeated, tuple(_invalid(rng, number) for number in range(extra)))


def key_of(write: Write) -> str:
    """The key that a write is accepted under."""
    return str(write.key or write.intent.natural_key)


def _month(cast: Cast, size: int) -> list[Write]:
    """Chapters, each of them once before any comes again, and the end of the month."""
    chapters = list(CHAPTERS)
    cast.rng.shuffle(chapters)
    weights = [chapter.weight for chapter in chapters]
    drawn = (cast.rng.choices(chapters, weights)[0] for _ in iter(int, 1))
    end = MONTH_END.tell(cast, cast.next())
    told = chain.from_iterable(chapter.tell(cast, cast.next()) for chapter in chain(chapters, drawn))
    if size < len(end):
        return list(islice(told, size))
    return [*islice(told, size - len(end)), *end]


def _invalid(rng: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    """Fields that would lose or misplace money or overwrite what was not meant, each for another reason."""
    fields: dict[str, Any] = {
        "source": "@customer-1",
        "destination": "@merchant-1",
        "currency": CURRENCY,
        "amount": "10.00",
        "description": "Order",
        "reference": f"invalid-{number}",
    }
    identity_id = "idt_98fcd9f5-5708-4197-a44e-faae002e049f"
    return rng.choice(
        [
            ("transaction", {**fields, "amount": 10.1}),
            ("transaction", {**fields, "amount": "10.001"}),
            ("transaction", {**fields, "amount": "-5"}),
            ("transaction", {**fields, "destination": "@customer-1"}),
            ("transaction", {**fields, "reference": f"invalid-{number}_q"}),
            ("transaction", {**fields, "meta_data": {"allow_overdraft": True}}),
            ("transaction", {**fields, "meta_data": {"note": "x" * 7_000}}),
            ("transaction.bulk", {"items": [fields, fields]}),
            ("identity.update", {"identity_id": identity_id, "meta_data": {"vip": True}}),
            ("identity.tokenize", {"identity_id": identity_id, "fields": ["city"]}),
        ]
    )
