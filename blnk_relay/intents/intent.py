"""Intents: writes that were asked for, and what of one never changes once it is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The target of those who name none.
DEFAULT_TARGET = "default"


@dataclass(frozen=True, slots=True)
class Intent:
    """A validated write that has not been recorded yet; what the builders return.

    Attributes:
        kind: Name of the kind, such as ``transaction``.
        payload: Canonical, JSON-safe fields.
        natural_key: The idempotency key that follows from the payload, where one exists.
        reference: The ledger reference that the caller asked for, else None.
        order_key: Intents that share it are sent one at a time, in accept order.
        orders: Further such keys, where it writes to several things.
        file: A file to upload, kept beside the payload, which holds its digest.
    """

    kind: str
    payload: Mapping[str, Any] = field(repr=False)
    natural_key: str | None = None
    reference: str | None = None
    order_key: str | None = None
    orders: tuple[str, ...] = ()
    file: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A recorded intent: the part that never changes.

    Attributes:
        id: 26 characters, derived from target and key.
        key: The caller's idempotency key.
        reference: The reference of generation 0; see :func:`blnk_relay.intents.references.of_generation`.
        tag: Top-level key of ``meta_data`` under which the ledger is given our id, for kinds that it knows by nothing
            else.
        payload: The canonical payload; in a worker's hands with its links filled in.
        orders: Keys of the orders that it stands in: one at a time, in accept order.
        after: Keys of the intents that it waits for.
    """

    id: str
    kind: str
    target: str
    lane: str
    key: str
    reference: str
    payload: Mapping[str, Any] = field(repr=False)
    tag: str = ""
    orders: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
