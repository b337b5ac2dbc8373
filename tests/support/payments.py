"""Intents of tests, in few words."""

from __future__ import annotations

from typing import Any

from blnk_relay import Intent, transaction

CURRENCY = "EUR"

#: May always go below zero.
WORLD = "@world"

#: Never receives anything, so that every payment from it is rejected.
EMPTY = "@empty"

SHOP = "@shop"

AMOUNT = 1_000


def payment(reference: str | None = None, **changes: Any) -> Intent:
    """A payment from the world, which always has funds."""
    return transaction(
        **{
            "source": WORLD,
            "destination": SHOP,
            "currency": CURRENCY,
            "precise_amount": AMOUNT,
            "precision": 100,
            "allow_overdraft": True,
            "description": "Order",
            "reference": reference,
            **changes,
        }
    )


def poor(reference: str | None = None, source: str = EMPTY, **changes: Any) -> Intent:
    """A payment from a balance without funds."""
    return payment(reference, source=source, allow_overdraft=False, **changes)


def hold(reference: str | None = None, **changes: Any) -> Intent:
    """A hold on the world's money."""
    return payment(reference, inflight=True, **changes)
