"""What the books hold: transaction rows, balances, ledgers, identities; and the transaction being worked on.

Values only. A :class:`Row` never changes (contract §3.4: a trigger rejects it) except for its
metadata, and then it is replaced by a copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from blnk_relay.sandbox.money import amount_text, plain_text, precise_from_amount

#: Metadata mark of a hold; removed from the rows that settle it (contract §3.8).
INFLIGHT_MARK = "inflight"

#: The text columns, in the order in which Core writes them.
IDENTITY_TEXTS = (
    "identity_type",
    "organization_name",
    "category",
    "first_name",
    "last_name",
    "other_names",
    "gender",
    "email_address",
    "phone_number",
    "nationality",
    "street",
    "country",
    "state",
    "post_code",
    "city",
)

#: Metadata key that leads from every queue-mode row to the id in the 201 (contract §3.4).
QUEUED_PARENT = "QUEUED_PARENT_TRANSACTION"


class Status(StrEnum):
    """The status column, and ``COMMIT``, which only a transaction on its way to APPLIED carries."""

    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    INFLIGHT = "INFLIGHT"
    APPLIED = "APPLIED"
    VOID = "VOID"
    REJECTED = "REJECTED"
    COMMIT = "COMMIT"


class Effect(StrEnum):
    """What a row did to its two balances: the table of contract §6.4. Not a column of the ledger's."""

    NONE = "none"
    APPLY = "apply"
    HOLD = "hold"
    COMMIT = "commit"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the transactions table.

    Times are nanoseconds since 1970, None where the column holds the zero time. ``stored_ns`` is when
    the row was inserted, which ``created_ns`` does not tell: a child copies its parent's (contract §13).
    """

    transaction_id: str
    parent_transaction: str
    source: str
    destination: str
    reference: str
    amount_text: str
    precise_amount: int
    precision: float
    currency: str
    description: str
    status: Status
    hash: str
    created_ns: int
    effective_ns: int | None
    scheduled_ns: int | None
    meta: Mapping[str, Any]
    stored_ns: int
    effect: Effect

    @property
    def queued_parent(self) -> str | None:
        """The id that the client of a queue-mode create was given."""
        value = self.meta.get(QUEUED_PARENT)
        return value if isinstance(value, str) else None


@dataclass(slots=True)
class Txn:
    """A transaction on its way: from a request to a row, and into the answer (contract §2.0)."""

    reference: str
    currency: str
    description: str
    source: str = ""
    destination: str = ""
    amount: float = 0.0
    amount_string: str = ""
    precise_amount: int | None = None
    precision: float = 0.0
    overdraft_limit: float = 0.0
    transaction_id: str = ""
    parent_transaction: str = ""
    status: Status | None = None
    hash: str = ""
    allow_overdraft: bool = False
    inflight: bool = False
    skip_queue: bool = False
    atomic: bool = False
    sources: list[dict[str, str]] = field(default_factory=list)
    destinations: list[dict[str, str]] = field(default_factory=list)
    created_ns: int = 0
    effective_ns: int | None = None
    scheduled_ns: int | None = None
    expiry_ns: int | None = None
    commit_ns: int | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Row) -> Txn:
        """A stored row as Core loads it: the flags that have no column are off."""
        return cls(
            reference=row.reference,
            currency=row.currency,
            description=row.description,
            source=row.source,
            destination=row.destination,
            amount=float(row.amount_text),
            precise_amount=row.precise_amount,
            precision=row.precision,
            transaction_id=row.transaction_id,
            parent_transaction=row.parent_transaction,
            status=row.status,
            hash=row.hash,
            created_ns=row.created_ns,
            meta=dict(row.meta),
        )

    def clone(self) -> Txn:
        """A copy that shares no mutable metadata."""
        # Field by field: made three times per transaction, and a general copy costs four times as much.
        copied = object.__new__(Txn)
        for name in _TXN_FIELDS:
            setattr(copied, name, getattr(self, name))
        copied.meta = dict(self.meta)
        return copied

    def apply_precision(self) -> int:
        """Derive ``amount`` from ``precise_amount`` or the other way round (contract §6.1)."""
        if self.precision == 0:
            self.precision = 1
        if self.precise_amount is not None and self.precise_amount > 0:
            self.amount_string = amount_text(self.precise_amount, self.precision)
            self.amount = float(self.amount_string)
        else:
            self.precise_amount = precise_from_amount(self.amount, self.precision)
        return self.precise_amount

    def compute_hash(self) -> str:
        """The fingerprint column, from the fields as they are at this moment (contract §2.0)."""
        parts = (plain_text(self.amount), self.reference, self.currency, self.source, self.destination)
        return hashlib.sha256("".join(parts).encode()).hexdigest()


_TXN_FIELDS = tuple(spec.name for spec in fields(Txn))


@dataclass(slots=True)
class Balance:
    """One balance, in minor units."""

    balance_id: str
    ledger_id: str
    currency: str
    indicator: str = ""
    identity_id: str = ""
    credit: int = 0
    debit: int = 0
    inflight_credit: int = 0
    inflight_debit: int = 0
    version: int = 1
    created_ns: int = 0
    meta: Mapping[str, Any] | None = None
    track_fund_lineage: bool = False
    allocation_strategy: str = "FIFO"

    @property
    def balance(self) -> int:
        """Settled: credits less debits."""
        return self.credit - self.debit

    @property
    def inflight_balance(self) -> int:
        """Held: credits less debits."""
        return self.inflight_credit - self.inflight_debit


@dataclass(slots=True)
class LedgerRecord:
    """One ledger: a named set of balances; names are not unique (contract §2.1)."""

    ledger_id: str
    name: str
    created_ns: int = 0
    meta: Mapping[str, Any] | None = None


@dataclass(slots=True)
class IdentityRecord:
    """One identity, as contract §2.7 lists it; every text is free, none is unique.

    Attributes:
        identity_id: Core's, or the caller's own.
        texts: The text columns by name, ``""`` where nothing was sent.
        dob: Date of birth as the column holds it: a date-time whose offset was dropped.
        created_ns: When it was stored.
        meta: Free-form, with the marks of tokenization.
    """

    identity_id: str
    texts: dict[str, str]
    dob: str
    created_ns: int = 0
    meta: Mapping[str, Any] | None = None
