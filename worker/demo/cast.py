"""Who plays in the story, and what they do again and again: customers, wallets, payments. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from blnk_relay import (
    Intent,
    ResultOf,
    Write,
    create_balance,
    create_identity,
    create_ledger,
    link_identity,
    result_of,
    transaction,
)

CURRENCY = "EUR"

#: Balance that pays top-ups, salaries and payouts: the outside world, which may always go below zero.
WORLD = "@world"

#: Balance that never receives anything, so that every payment from it is rejected by the ledger.
EMPTY = "@empty-wallet"

#: Minor units of a top-up: far more than all payments of one customer together.
TOP_UP = 100_000_00

_WALLETS = "wallets"
_MERCHANTS = 8
_FIRST_NAMES = ("Mara", "Ilse", "Joao", "Anouk", "Peer", "Zofia", "Tarek", "Lin")
_LAST_NAMES = ("Lindqvist", "Okafor", "Moreau", "Horvath", "Santos", "Vogel")
_CITIES = ("Lund", "Malmo", "Porto", "Graz", "Ghent", "Turku")


class Cast:
    """The players, and the numbers that keep their names apart.

    Args:
        rng: Decides everything that varies.
        customers: How many customers are there from the start.
    """

    def __init__(self, rng: random.Random, customers: int) -> None:
        self.rng = rng
        self.customers = range(1, customers + 1)
        self._number = customers

    def next(self) -> int:
        """A number that nothing was named after yet."""
        self._number += 1
        return self._number

    def opening(self) -> list[Write]:
        """The ledger, and all customers who are there from the start."""
        writes = [Write(intent=create_ledger("Wallets EUR", meta_data={"shop": {"region": "eu"}}), key=_WALLETS)]
        for number in self.customers:
            writes += self.joined(number)
        return writes

    def joined(self, number: int) -> list[Write]:
        """A customer, a wallet that is theirs, and money in it: a chain that is enqueued before any of it exists."""
        rng, person, wallet = self.rng, f"customer-{number}", f"wallet-{number}"
        first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
        return [
            Write(
                intent=create_identity(
                    first_name=first,
                    last_name=last,
                    email_address=f"{first}.{last}.{number}@example.org".lower(),
                    phone_number=f"+4670{number:07}",
                    dob=f"{rng.randint(1950, 2005)}-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}",
                    street=f"Storgatan {number}",
                    city=rng.choice(_CITIES),
                    country="SE",
                    category="individual",
                    identity_type="customer",
                    meta_data={"shop": {"customer": number}},
                ),
                key=person,
            ),
            Write(intent=create_balance(result_of(_WALLETS, "ledger_id"), CURRENCY), key=wallet),
            Write(intent=link_identity(self.wallet(number), self.person(number)), key=f"{wallet}-owner"),
            Write(
                intent=transaction(
                    source=WORLD,
                    destination=self.wallet(number),
                    currency=CURRENCY,
                    precise_amount=TOP_UP,
                    precision=100,
                    allow_overdraft=True,
                    description="Top-up",
                    reference=f"top-up-{number}",
                )
            ),
        ]

    def wallet(self, number: int) -> ResultOf:
        """The wallet of a customer."""
        return result_of(f"wallet-{number}", "balance_id")

    def person(self, number: int) -> ResultOf:
        """The identity of a customer."""
        return result_of(f"customer-{number}", "identity_id")

    def somebody(self) -> int:
        """A customer who was there from the start."""
        return self.rng.choice(self.customers)

    def payer(self) -> ResultOf:
        """Some customer's wallet."""
        return self.wallet(self.somebody())

    def merchant(self) -> str:
        """Some merchant's balance; it comes into being with its first payment (contract §3.7)."""
        return f"@merchant-{self.rng.randint(1, _MERCHANTS)}"

    def city(self) -> str:
        """Where somebody lives."""
        return self.rng.choice(_CITIES)

    def amount(self) -> int:
        """What something costs, in minor units."""
        return self.rng.randint(100, 20_000)


def payment(
    reference: str,
    source: str | ResultOf,
    destination: str | ResultOf,
    amount: int,
    *,
    inflight: bool = False,
    meta_data: Mapping[str, Any] | None = None,
) -> Intent:
    """An order that is paid, or reserved; from the world without limit, from all others as far as they have funds."""
    return transaction(
        source=source,
        destination=destination,
        currency=CURRENCY,
        precise_amount=amount,
        precision=100,
        allow_overdraft=source == WORLD,
        description="Reservation" if inflight else "Order",
        reference=reference,
        inflight=inflight,
        meta_data={"shop": {"order": reference}} if meta_data is None else meta_data,
    )
