"""What movements of money share: comparing rows and echoes with what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blnk_relay.intents.decision import DeadClass
from blnk_relay.intents.found import Found, Row
from blnk_relay.intents.horizons import MAX_UNSEEN_SENDS
from blnk_relay.intents.kind import End
from blnk_relay.money import exact_decimal

#: A dead letter of kinds with references of ours, and why no replay can help it. Under another reference it would be
#: another payment, and whether this one happened, under whatever values, is just what is in question.
CONFLICT = {
    "REFERENCE_CONFLICT": "the ledger has this reference with other values, which the letter names beside those that "
    "were asked for: find out which of the two was meant, settle it by hand, then discard this letter"
}


#: How a movement ends that the ledger took, and never did.
VANISHED = End(
    DeadClass.UNKNOWN,
    "VANISHED",
    f"It was accepted {MAX_UNSEEN_SENDS} times and never left a row (contract §3.3).",
)

#: How one ends that the ledger took, and may still do.
STUCK_QUEUED = End(
    DeadClass.UNKNOWN,
    "STUCK_QUEUED",
    "It stayed `QUEUED` for `stuck_horizon_s`: the ledger may still apply it (contract §3.5).",
)


def differences(payload: Mapping[str, Any], row: Row, found: Found) -> list[str]:
    """In what a row is not what an intent asked for, with the values of both sides (contract §3.2).

    An ``@indicator`` is compared through the balance it stands for, where the ledger showed one.
    """
    different = []
    if row.precise_amount is not None and row.precise_amount != payload["precise_amount"]:
        different.append(_contrast("precise_amount", payload["precise_amount"], row.precise_amount))
    if row.currency and row.currency != payload["currency"]:
        different.append(_contrast("currency", payload["currency"], row.currency))
    for side in ("source", "destination"):
        wanted, stored = payload[side], getattr(row, side)
        if not stored or stored == wanted:
            continue
        if wanted.startswith("@"):
            balances = found.balance_ids(wanted, payload["currency"])
            if stored in balances or (not balances and stored.startswith("bln_")):
                continue
            wanted = f"{wanted} ({', '.join(sorted(balances))})" if balances else wanted
        different.append(_contrast(side, wanted, stored))
    if (row.status == "INFLIGHT") != bool(payload.get("inflight")) and row.status != "REJECTED":
        different.append(_contrast("inflight", str(bool(payload.get("inflight"))).lower(), row.status))
    return different


def _contrast(field: str, asked: object, stored: object) -> str:
    return f"{field}: asked {asked}, has {stored}"


def rejection_code(text: str) -> str:
    """A stable code for the free text of a REJECTED row (contract §3.1)."""
    if "insufficient funds" in text:
        return "TXN_INSUFFICIENT_FUNDS"
    if "overdraft limit" in text:
        return "TXN_OVERDRAFT_LIMIT"
    return "TXN_REJECTED"


def altered(echo: object, sent: int) -> bool:
    """Whether an echoed amount, as a number or as a string, is another one than was sent."""
    if echo is None:
        return False
    try:
        return exact_decimal(echo) != sent
    except (ValueError, ArithmeticError):
        return True
