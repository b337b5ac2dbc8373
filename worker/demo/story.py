"""What the demo enqueues: a believable mix, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from blnk_relay import Write, commit, refund, transaction, void

CURRENCY = "EUR"

#: Balance that pays the top-ups: the outside world, which may always go below zero.
WORLD = "@world"

#: Balance that never receives anything, so that every payment from it is rejected by the ledger.
EMPTY = "@empty-wallet"

#: Minor units of a top-up: far more than all payments of one customer together.
_TOP_UP = 100_000_00


@dataclass(frozen=True, slots=True)
class Story:
    """What is enqueued, in order.

    Attributes:
        top_ups: Money for the wallets; awaited before the rest.
        writes: Everything else that is valid.
        repeated: Some of the writes once more, as an application does that lost its answer.
        invalid: Kind and fields that must be refused at the door.
    """

    top_ups: tuple[Write, ...]
    writes: tuple[Write, ...]
    repeated: tuple[Write, ...]
    invalid: tuple[tuple[str, dict[str, Any]], ...] = field(default=())


def tell(intents: int, seed: int) -> Story:
    """Make a story.

    Args:
        intents: How many intents are to be accepted, top-ups included; at least 1.
        seed: Any integer.

    Returns:
        The story: exactly ``intents`` valid writes, and a twentieth as many repeats and refusals on top.
    """
    rng = random.Random(seed)
    customers = [f"@customer-{number}" for number in range(1, max(2, min(60, intents // 20)) + 1)]
    top_ups = tuple(_top_up(customer) for customer in customers[: max(1, min(len(customers), intents))])
    writes: list[Write] = []
    chapters = _chapters(rng, [str(write.intent.payload["destination"]) for write in top_ups])
    while len(writes) < intents - len(top_ups):
        writes += next(chapters)
    writes = writes[: intents - len(top_ups)]
    extra = max(1, intents // 20)
    repeated = tuple(rng.choice(writes) for _ in range(extra)) if writes else top_ups[:1]
    return Story(top_ups, tuple(writes), repeated, tuple(_invalid(rng, number) for number in range(extra)))


def _top_up(customer: str) -> Write:
    name = customer.removeprefix("@")
    return Write(
        intent=transaction(
            source=WORLD,
            destination=customer,
            currency=CURRENCY,
            precise_amount=_TOP_UP,
            precision=100,
            allow_overdraft=True,
            description="Top-up",
            reference=f"top-up-{name}",
        )
    )


def _chapters(rng: random.Random, customers: list[str]) -> Iterator[list[Write]]:
    """Payments and holds without end, each with what follows from it."""
    number = 0
    while True:
        number += 1
        customer, merchant = rng.choice(customers), f"@merchant-{rng.randint(1, 8)}"
        amount = rng.randint(100, 20_000)
        match rng.choices(("payment", "refunded", "hold", "poor", "poor hold"), (62, 10, 22, 5, 1))[0]:
            case "payment":
                yield [_payment(f"order-{number}", customer, merchant, amount)]
            case "refunded":
                yield [
                    _payment(f"order-{number}", customer, merchant, amount),
                    Write(intent=refund(f"order-{number}")),
                ]
            case "hold":
                yield _hold(rng, f"hold-{number}", customer, merchant, amount)
            case "poor":
                yield [_payment(f"poor-{number}", EMPTY, merchant, amount)]
            case _:
                # The ledger rejects the hold, so its commit must end as a dead letter, never as money.
                yield [
                    _payment(f"poor-hold-{number}", EMPTY, merchant, amount, inflight=True),
                    Write(intent=commit(f"poor-hold-{number}")),
                ]


def _payment(reference: str, source: str, destination: str, amount: int, *, inflight: bool = False) -> Write:
    return Write(
        intent=transaction(
            source=source,
            destination=destination,
            currency=CURRENCY,
            precise_amount=amount,
            precision=100,
            description="Order" if not inflight else "Reservation",
            reference=reference,
            inflight=inflight,
            meta_data={"shop": {"order": reference}},
        )
    )


def _hold(rng: random.Random, name: str, customer: str, merchant: str, amount: int) -> list[Write]:
    writes = [_payment(name, customer, merchant, amount, inflight=True)]
    part = max(1, amount // 3)
    match rng.choice(("commit", "parts", "part and void", "void", "keep")):
        case "commit":
            writes.append(Write(intent=commit(name)))
        case "parts":
            writes += [
                Write(intent=commit(name, precise_amount=part), key=f"{name}-part-1"),
                Write(intent=commit(name, precise_amount=part), key=f"{name}-part-2"),
                Write(intent=commit(name)),
            ]
        case "part and void":
            writes += [
                Write(intent=commit(name, precise_amount=part), key=f"{name}-part-1"),
                Write(intent=void(name)),
            ]
        case "void":
            writes.append(Write(intent=void(name)))
    return writes


def _invalid(rng: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    """Fields that would lose or misplace money, each for another reason."""
    fields: dict[str, Any] = {
        "source": "@customer-1",
        "destination": "@merchant-1",
        "currency": CURRENCY,
        "amount": "10.00",
        "description": "Order",
        "reference": f"invalid-{number}",
    }
    spoiled: list[dict[str, Any]] = [
        {"amount": 10.1},
        {"amount": "10.001"},
        {"amount": "-5"},
        {"destination": "@customer-1"},
        {"reference": f"invalid-{number}_q"},
        {"meta_data": {"allow_overdraft": True}},
        {"meta_data": {"note": "x" * 7_000}},
    ]
    return "transaction", {**fields, **rng.choice(spoiled)}
