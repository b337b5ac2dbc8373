"""What reconciliation keeps: external records, uploads, matching rules and runs (contract §2.12).

The id of an external record is a primary key over all uploads, which is why the same file cannot be
uploaded twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from blnk_relay.sandbox.books.constraints import check_texts, driver_error
from blnk_relay.sandbox.errors import LedgerError


@dataclass(frozen=True, slots=True)
class ExternalRecord:
    """One line of somebody else's statement, in decimal units."""

    id: str
    amount: float
    reference: str
    currency: str
    description: str
    date_ns: int | None
    source: str
    upload_id: str
    stored_ns: int


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, or the records of one instant run.

    Attributes:
        upload_id: ``upload_…`` or ``instant_…``.
        source: Whose records they are.
        record_count: How many were stored.
        complete: Whether all were, so that the client got a 200.
    """

    upload_id: str
    source: str
    record_count: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of a rule."""

    field: str
    operator: str
    value: str
    pattern: str
    allowable_drift: float


@dataclass(frozen=True, slots=True)
class MatchingRule:
    """A rule: all its criteria must hold."""

    rule_id: str
    name: str
    description: str
    criteria: tuple[Criterion, ...]
    created_ns: int
    updated_ns: int


@dataclass(slots=True)
class Run:
    """One reconciliation.

    Attributes:
        status: ``started``, ``in_progress``, ``completed`` or ``failed``.
        dry_run: Nothing but the counts is kept; the flag itself is not stored by the real ledger.
        matched: Pairs of external and internal ids.
    """

    reconciliation_id: str
    upload_id: str
    status: str
    dry_run: bool
    started_ns: int
    completed_ns: int | None = None
    matched_count: int = 0
    unmatched_count: int = 0
    matched: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class ReconciliationBooks:
    """All of it.

    Attributes:
        max_records: External records it may hold, the bound on memory.
    """

    max_records: int
    records: dict[str, ExternalRecord] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    rules: dict[str, MatchingRule] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)

    def store(self, record: ExternalRecord) -> None:
        """Store a record.

        Raises:
            LedgerError: Its id exists, in whichever upload; or the books are full.
        """
        failed = "Failed to record external transaction"
        if record.id in self.records:
            raise driver_error(failed, "23505", "duplicate key value", "external_transactions_pkey")
        check_texts(failed, record.id, record.currency, record.description)
        check_texts(failed, record.reference, record.source, short=True)
        if len(self.records) >= self.max_records:
            raise driver_error(failed, "53100", f"the sandbox holds at most {self.max_records} records")
        self.records[record.id] = record

    def require_rule(self, rule_id: str) -> MatchingRule:
        """A rule by id.

        Raises:
            LedgerError: ``GEN_NOT_FOUND``.
        """
        rule = self.rules.get(rule_id)
        if rule is None:
            raise LedgerError(f"Matching rule with ID '{rule_id}' not found", "GEN_NOT_FOUND", {})
        return rule

    def add(self, kind: dict[str, Any], entity_id: str, value: Any) -> None:
        """Store an upload, rule or run.

        Raises:
            LedgerError: The books are full.
        """
        if len(kind) >= self.max_records:
            raise driver_error("Failed to record", "53100", f"the sandbox holds at most {self.max_records} records")
        kind[entity_id] = value
