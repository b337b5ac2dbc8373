"""The books: rows, balances and ledgers in memory, their indexes, and what must exist or must not.

That is the unique index over every reference, immutable rows and the foreign keys (contract §3.2). What
a transaction means is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from blnk_relay.sandbox.books.change_log import ChangeLog
from blnk_relay.sandbox.books.constraints import (
    check_balance,
    check_ledger,
    check_meta,
    check_row,
    check_texts,
    driver_error,
    reference_exists,
)
from blnk_relay.sandbox.books.reconciliation import ReconciliationBooks
from blnk_relay.sandbox.books.rows import Balance, Effect, IdentityRecord, LedgerRecord, Row, Status, Txn
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.ids import new_id
from blnk_relay.sandbox.options import GENERAL_LEDGER_ID


class LiveBooks:
    """The mutable books; touched by one thread only.

    Args:
        max_rows: Rows it may hold before every insert fails.
        now_ns: The time, for the log of changes.
    """

    def __init__(self, *, max_rows: int, now_ns: Callable[[], int]) -> None:
        self.max_rows = max_rows
        self.changes = ChangeLog(now_ns)
        self.rows: dict[str, Row] = {}
        self.balances: dict[str, Balance] = {}
        self.ledgers: dict[str, LedgerRecord] = {}
        self.identities: dict[str, IdentityRecord] = {}
        self.reconciliation = ReconciliationBooks(max_rows)
        #: What a client called the things behind random ids; only plans of faults and the log use it.
        self.names: dict[str, str] = {}
        #: QUEUED rows without a child, in the order they were stored: what recovery looks at (contract §3.5).
        self.childless_queued: dict[str, None] = {}
        self._by_reference: dict[str, str] = {}
        self._by_parent: dict[str, list[str]] = {}
        self._by_queued_parent: dict[str, list[str]] = {}
        self._by_indicator: dict[tuple[str, str], str] = {}
        self.ledgers[GENERAL_LEDGER_ID] = LedgerRecord(GENERAL_LEDGER_ID, "General Ledger", meta={})

    # --- transactions

    def name(self, entity_id: str, *words: Any) -> None:
        """Remember what a client sent for something that got a random id."""
        if len(self.names) < self.max_rows:
            text = json.dumps(words, sort_keys=True, default=str).encode()
            prefix = entity_id.partition("_")[0]
            self.names[entity_id] = f"{prefix}~{hashlib.blake2b(text, digest_size=6).hexdigest()}"

    def with_reference(self, reference: str) -> Row | None:
        """The one row with this reference."""
        row_id = self._by_reference.get(reference)
        return None if row_id is None else self.rows[row_id]

    def children(self, parent_id: str) -> list[Row]:
        """Rows whose ``parent_transaction`` is this id, oldest first."""
        return [self.rows[row_id] for row_id in self._by_parent.get(parent_id, ())]

    def with_queued_parent(self, parent_id: str) -> list[Row]:
        """Rows whose metadata names this id as their queued parent, oldest first."""
        return [self.rows[row_id] for row_id in self._by_queued_parent.get(parent_id, ())]

    def check_insert(self, txn: Txn) -> None:
        """Refuse what the database would refuse to insert.

        Raises:
            LedgerError: ``GEN_INTERNAL``, with the driver's error as details (contract §2.0).
        """
        check_row(txn)
        for balance_id in (txn.source, txn.destination):
            if balance_id not in self.balances:
                raise driver_error("Failed to record transaction", "23503", f"there is no balance {balance_id}")
        if txn.reference in self._by_reference:
            raise reference_exists(txn.reference)
        self._check_room(len(self.rows), "Failed to record transaction")

    def insert(self, txn: Txn, status: Status, effect: Effect, stored_ns: int) -> Row:
        """Store a transaction as a row.

        Raises:
            LedgerError: See :meth:`check_insert`.
        """
        self.check_insert(txn)
        row = Row(
            transaction_id=txn.transaction_id,
            parent_transaction=txn.parent_transaction,
            source=txn.source,
            destination=txn.destination,
            reference=txn.reference,
            amount_text=txn.amount_string,
            precise_amount=txn.precise_amount or 0,
            precision=txn.precision,
            currency=txn.currency,
            description=txn.description,
            status=status,
            hash=txn.hash,
            created_ns=txn.created_ns,
            effective_ns=txn.effective_ns,
            scheduled_ns=txn.scheduled_ns,
            meta=dict(txn.meta),
            stored_ns=stored_ns,
            effect=effect,
        )
        row_id = row.transaction_id
        self.rows[row_id] = row
        self._by_reference[row.reference] = row_id
        if row.parent_transaction:
            self._by_parent.setdefault(row.parent_transaction, []).append(row_id)
            self.childless_queued.pop(row.parent_transaction, None)
        if row.queued_parent is not None:
            self._by_queued_parent.setdefault(row.queued_parent, []).append(row_id)
        if status is Status.QUEUED:
            self.childless_queued[row_id] = None
        return row

    def merge_transaction_meta(self, entity_id: str, meta: Mapping[str, Any]) -> bool:
        """Merge metadata into a row and its direct children, top level only (contract §3.11).

        Returns:
            Whether there was any such row.
        """
        found = [row for row in (self.rows.get(entity_id), *self.children(entity_id)) if row is not None]
        if found:
            check_meta("failed to update metadata", meta)
        for row in found:
            merged = replace(row, meta={**row.meta, **meta})
            self.changes.keep(row.transaction_id, row)
            self.rows[row.transaction_id] = merged
            if merged.queued_parent != row.queued_parent:
                if row.queued_parent is not None:
                    self._by_queued_parent[row.queued_parent].remove(row.transaction_id)
                if merged.queued_parent is not None:
                    self._by_queued_parent.setdefault(merged.queued_parent, []).append(row.transaction_id)
        return bool(found)

    # --- balances and ledgers

    def add_ledger(self, name: str, meta: Mapping[str, Any] | None, now_ns: int) -> LedgerRecord:
        """Store a new ledger; the same name twice makes two (contract §2.1).

        Raises:
            LedgerError: The row would be too large.
        """
        check_ledger(name, meta)
        self._check_room(len(self.ledgers), "Failed to create ledger")
        ledger = LedgerRecord(new_id("ldg"), name, now_ns, meta)
        self.ledgers[ledger.ledger_id] = ledger
        self.name(ledger.ledger_id, name, meta)
        return ledger

    def add_balance(self, balance: Balance) -> Balance:
        """Store a new balance.

        Raises:
            LedgerError: Unknown ledger or identity (one text for both, contract §2.2), an indicator
                that exists in this currency, or a row that would be too large.
        """
        unknown_identity = balance.identity_id and balance.identity_id not in self.identities
        if balance.ledger_id not in self.ledgers or unknown_identity:
            # One text for both; only the constraint tells which.
            column = "ledger" if balance.ledger_id not in self.ledgers else "identity"
            details = {"Severity": "ERROR", "Code": "23503", "Constraint": f"balances_{column}_id_fkey"}
            raise LedgerError("Invalid ledger ID", "GEN_BAD_REQUEST", details)
        named = (balance.indicator, balance.currency)
        if balance.indicator and named in self._by_indicator:
            details = {"Severity": "ERROR", "Code": "23505", "Constraint": "unique_indicator_currency"}
            text = f"Balance already exists for indicator '{balance.indicator}' and '{balance.currency}'"
            raise LedgerError(text, "GEN_CONFLICT", details)
        check_balance(balance, "Database error occurred")
        self._check_room(len(self.balances), "Failed to create balance")
        self.balances[balance.balance_id] = balance
        owners = (self.names.get(balance.ledger_id), self.names.get(balance.identity_id))
        self.name(balance.balance_id, balance.currency, balance.indicator, balance.meta, owners)
        if balance.indicator:
            self._by_indicator[named] = balance.balance_id
        return balance

    def add_identity(self, identity: IdentityRecord) -> None:
        """Store a new identity; nothing but its id is unique (contract §2.7).

        Raises:
            LedgerError: The id exists, which this one route answers with 400.
        """
        if identity.identity_id in self.identities:
            details = {"Severity": "ERROR", "Code": "23505", "Constraint": "identity_identity_id_key"}
            raise LedgerError(f"Identity already exists: {identity.identity_id}", "GEN_CONFLICT", details)
        failed = "Failed to create identity"
        check_texts(failed, *identity.texts.values())
        check_meta(failed, identity.meta)
        self._check_room(len(self.identities), failed)
        self.identities[identity.identity_id] = identity
        self.name(identity.identity_id, identity.texts, identity.dob, identity.meta)

    def rename_ledger(self, ledger: LedgerRecord, name: str) -> None:
        """Give a ledger another name.

        Raises:
            LedgerError: The row would not fit.
        """
        check_ledger(name, ledger.meta)
        self.before_change(ledger)
        ledger.name = name

    def require_identity(self, identity_id: str) -> IdentityRecord:
        """An identity by id.

        Raises:
            LedgerError: ``GEN_NOT_FOUND``, which each route replaces by its own code.
        """
        identity = self.identities.get(identity_id)
        if identity is None:
            raise LedgerError(f"Identity with ID '{identity_id}' not found", "GEN_NOT_FOUND", {})
        return identity

    def _check_room(self, held: int, failed: str) -> None:
        if held >= self.max_rows:
            raise driver_error(failed, "53100", f"the sandbox holds at most {self.max_rows} rows")

    def with_indicator(self, indicator: str, currency: str) -> Balance | None:
        """The balance an ``@indicator`` names in a currency."""
        balance_id = self._by_indicator.get((indicator, currency))
        return None if balance_id is None else self.balances[balance_id]

    def resolve(self, name: str, currency: str, now_ns: int) -> str:
        """The balance id behind a source or destination; an unknown ``@indicator`` is created (contract §3.7)."""
        if not name.startswith("@"):
            return name
        balance = self.with_indicator(name, currency)
        if balance is None:
            balance = self.add_balance(
                Balance(new_id("bln"), GENERAL_LEDGER_ID, currency, indicator=name, created_ns=now_ns)
            )
        return balance.balance_id

    def require_balance(self, balance_id: str) -> Balance:
        """A balance by id.

        Raises:
            LedgerError: ``GEN_NOT_FOUND``, which the transaction routes answer as ``TXN_NOT_FOUND``.
        """
        balance = self.balances.get(balance_id)
        if balance is None:
            raise LedgerError(f"Balance with ID '{balance_id}' not found", "GEN_NOT_FOUND", {})
        return balance

    def merge_record_meta(
        self, record: Balance | LedgerRecord | IdentityRecord, meta: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge metadata into a balance, ledger or identity, top level only; returns the merged object.

        Raises:
            LedgerError: A balance row would be too large; ledgers are only checked on insert (contract §2.0).
        """
        merged = {**(record.meta or {}), **meta}
        try:
            check_meta("", merged)
            if isinstance(record, Balance):
                check_balance(replace(record, meta=merged), "")
        except LedgerError as error:
            # Nothing of the driver's gets through this route (findings part 15).
            raise LedgerError("internal server error", error.code) from error
        self.before_change(record)
        record.meta = merged
        return merged

    def before_change(self, record: Balance | LedgerRecord | IdentityRecord) -> None:
        """Remember a record as it is, because a client is about to change it."""
        if isinstance(record, IdentityRecord):
            self.changes.keep(record.identity_id, replace(record, texts=dict(record.texts)))
        elif isinstance(record, Balance):
            self.changes.keep(record.balance_id, replace(record))
        else:
            self.changes.keep(record.ledger_id, replace(record))
