"""What every contestant sends: a payment of 400 bytes, as an application would make it."""

from __future__ import annotations

from typing import Any

#: Bytes of its JSON, written without spaces and without the reference.
BYTES = 400

#: Wallets that the money goes to; their balances are looked up once each when outcomes are confirmed.
WALLETS = 500

_META_DATA = {
    "order": "ord-2026-11-20-000417",
    "customer": "cus-8f14e45fceea167a5a36dedd4bea2543",
    "channel": "web",
    "invoice": "inv-2026-11-000417",
    "note": "Top-up by card, collected by the payment provider on behalf of the customer; thanks a lot",
    "operator": "terminal-7",
}


def reference_of(number: int) -> str:
    """Reference, and so key, of one payment."""
    return f"bench-{number:08d}"


def payment(number: int) -> dict[str, Any]:
    """The fields of one payment, without its reference: those of ``transaction()``, and of the ledger's own API."""
    return {
        "source": "@bank",
        "destination": f"@wallet-{number % WALLETS:03d}",
        "currency": "EUR",
        "precise_amount": 1050,
        "precision": 100,
        "description": "Top-up of wallet",
        "meta_data": _META_DATA,
    }
