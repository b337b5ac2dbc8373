"""Splits: one transaction of several sources or destinations becomes several legs (contract §3.6).

Which leg gets which number is chance, as the real ledger iterates over an unordered map; and the two
modes number them in two spaces of references, ``R_1`` and ``R-1``, so that no index stops a split that
is sent again in the other mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.constraints import reference_exists
from blnk_relay.sandbox.books.rows import Txn
from blnk_relay.sandbox.core.distributions import divide
from blnk_relay.sandbox.core.execution import execute, is_duplicate_reference
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import lock_held
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.money import amount_text

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects


def legs_of(core: Core, txn: Txn) -> list[Txn]:
    """The legs of a prepared transaction, numbered for skip mode; empty for one that is no split.

    Their ids are written into the request's own list by position, whomever they belong to.

    Raises:
        LedgerError: The distribution cannot be made.
    """
    parts = txn.sources or txn.destinations
    if not parts and (txn.precise_amount or 0) < 0:
        # Everything is divided, if only among nobody; no later Core lets a negative amount come so far (measured).
        raise LedgerError("failed to split transaction: total distributions exceed 100% or total amount")
    if not parts:
        return []
    try:
        amounts = list(divide(txn.precise_amount or 0, parts, txn.precision).items())
    except LedgerError as error:
        raise error.within("failed to split transaction") from error
    core.random.shuffle(amounts)
    # No row will have the split's own id.
    core.books.name(txn.transaction_id, txn.reference)
    legs: list[Txn] = []
    for number, (identifier, precise_amount) in enumerate(amounts, start=1):
        leg = txn.clone()
        leg.transaction_id = new_id("txn")
        leg.parent_transaction = txn.transaction_id
        leg.reference = f"{txn.reference}-{number}"
        leg.precise_amount = precise_amount
        leg.amount_string = amount_text(precise_amount, txn.precision)
        leg.amount = float(leg.amount_string)
        leg.sources, leg.destinations = [], []
        if txn.sources:
            leg.source = identifier
        else:
            leg.destination = identifier
        leg.hash = leg.compute_hash()
        parts[number - 1]["transaction_id"] = leg.transaction_id
        legs.append(leg)
    return legs


def number_for_queue(txn: Txn, legs: list[Txn]) -> None:
    """Give legs the references of queue mode, and the metadata that was added after they were made."""
    for number, leg in enumerate(legs, start=1):
        leg.reference = f"{txn.reference}_{number}"
        leg.meta = dict(txn.meta)


def post_now(core: Core, txn: Txn, legs: list[Txn], effects: Effects) -> None:
    """Skip mode: post one leg after another, or the transaction itself when it has none.

    Raises:
        LedgerError: One failed. Earlier legs stay, or are refunded or voided when the split is atomic;
            either way their references are used up.
    """
    for number, part in enumerate(legs or [txn]):
        try:
            if effects.lock_batch and txn.atomic and legs and number == len(legs) - 1:
                raise lock_held()
            execute(core, part)
        except LedgerError as error:
            if legs and txn.atomic:
                core.roll_back(core, txn.transaction_id, inflight=txn.inflight)
            if effects.race and is_duplicate_reference(error):
                raise reference_exists(part.reference) from error
            raise error.within(f"failed to record split transaction {number}") if legs else error from error
