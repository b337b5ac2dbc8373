"""Identifiers, as contract §7 lists them."""

from __future__ import annotations

import uuid

#: Characters of ``txn_`` and a UUID: what derived references start with (contract §3.4).
TRANSACTION_ID_LENGTH = 40


def new_id(prefix: str) -> str:
    """A fresh identifier: the prefix, an underscore and a random version 4 UUID.

    >>> len(new_id("txn")) == TRANSACTION_ID_LENGTH
    True
    """
    return f"{prefix}_{uuid.uuid4()}"
