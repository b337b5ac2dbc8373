"""A frozen copy of the books, for tests and proofs: what is in them, and whether it adds up."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from blnk_relay.sandbox.books.live import LiveBooks
from blnk_relay.sandbox.books.reconciliation import ExternalRecord, MatchingRule, Run, Upload
from blnk_relay.sandbox.books.rows import Balance, Effect, IdentityRecord, LedgerRecord, Row, Status

#: Statuses that settle what became of a reference (contract §3.4).
_DECIDED = (Status.APPLIED, Status.INFLIGHT, Status.REJECTED)

#: References of legs: the split's own, and a number after ``_`` (queue mode) or ``-`` (skip mode).
_LEG = re.compile(r"(.+)[_-]\d+")


@dataclass(frozen=True, slots=True)
class BookBalance:
    """One balance as it was, in minor units."""

    balance_id: str
    ledger_id: str
    currency: str
    indicator: str
    balance: int
    credit: int
    debit: int
    inflight_balance: int
    inflight_credit: int
    inflight_debit: int
    version: int
    meta: Mapping[str, Any] | None = None
    identity_id: str = ""


@dataclass(frozen=True)
class Books:
    """The books as they were at one moment.

    Attributes:
        rows: All transaction rows, in the order they were stored.
        balances: All balances, in the order they were created.
        ledgers: All ledgers.
        identities: All identities, in the order they were created.
        rules: All matching rules that exist.
        uploads: All uploads of external records, failed ones and those of instant runs included.
        external_records: All external records that were stored.
        runs: All reconciliations.
        sums: Σ ``balance`` per currency; every one is 0 in sound books.
    """

    rows: tuple[Row, ...]
    balances: tuple[BookBalance, ...]
    ledgers: tuple[LedgerRecord, ...]
    identities: tuple[IdentityRecord, ...]
    rules: tuple[MatchingRule, ...]
    uploads: tuple[Upload, ...]
    external_records: tuple[ExternalRecord, ...]
    runs: tuple[Run, ...]
    sums: Mapping[str, int]
    _by_reference: Mapping[str, Row] = field(repr=False)
    _by_parent: Mapping[str, list[Row]] = field(repr=False)
    _ids: frozenset[str] = field(repr=False)

    def row(self, reference: str) -> Row | None:
        """The row with this reference."""
        return self._by_reference.get(reference)

    def rows_by_reference(self, reference: str) -> tuple[Row, ...]:
        """The family of a client's reference: its own row and the ``_q`` child (contract §3.4)."""
        found = (self.row(reference), self.row(f"{reference}_q"))
        return tuple(row for row in found if row is not None)

    def children(self, parent_id: str) -> tuple[Row, ...]:
        """Rows under a parent, in the order they were stored."""
        return tuple(self._by_parent.get(parent_id, ()))

    def outcome(self, reference: str) -> Status | None:
        """What became of a reference: APPLIED, INFLIGHT, REJECTED; QUEUED while undecided; or None."""
        family = self.rows_by_reference(reference)
        decided = [row.status for row in family if row.status in _DECIDED]
        if decided:
            return decided[-1]
        return family[0].status if family else None

    def applied(self, reference: str) -> int:
        """How often a reference moved or held money; more than 1 is a double payment."""
        moved = {Effect.APPLY, Effect.HOLD}
        return sum(row.effect in moved for row in self.rows_by_reference(reference))

    def legs(self, reference: str) -> tuple[Row, ...]:
        """The final rows of a split's legs, of both modes: ``R_1_q …`` and ``R-1 …`` (contract §3.6)."""
        return tuple(row for row in self.rows if row.status in _DECIDED and self.split_of(row)[0] == reference)

    def split_of(self, row: Row) -> tuple[str, str]:
        """The reference and the id of the split that a row is a leg of; empty for any other row."""
        leg = self._by_reference.get(row.reference.removesuffix("_q"), row)
        found = _LEG.fullmatch(leg.reference)
        # A split's own id never becomes a row, which tells its legs from refunds and commits.
        if found is None or not leg.parent_transaction.startswith("txn_") or leg.parent_transaction in self._ids:
            return "", ""
        return found[1], leg.parent_transaction

    def hold(self, reference: str) -> Row | None:
        """The INFLIGHT row of a reference."""
        family = self.rows_by_reference(reference)
        return next((row for row in family if row.status is Status.INFLIGHT), None)

    def committed(self, hold_id: str) -> int:
        """Σ of what was committed of a hold, in minor units."""
        return sum(row.precise_amount for row in self.children(hold_id) if row.effect is Effect.COMMIT)

    def voided(self, hold_id: str) -> bool:
        """Whether a hold was voided."""
        return any(row.effect is Effect.VOID for row in self.children(hold_id))

    def refunds(self, row_id: str) -> int:
        """How many refunds of a row were applied: directly, or through their QUEUED row."""
        direct = self.rows_by_reference(f"{row_id}_refund")
        return sum(row.effect is not Effect.NONE for row in direct)

    def balance_of(self, name: str, currency: str | None = None) -> BookBalance | None:
        """A balance by id, or by ``@indicator`` and currency."""
        for balance in self.balances:
            if name == balance.balance_id:
                return balance
            if name == balance.indicator and currency in {None, balance.currency}:
                return balance
        return None

    def violations(self) -> list[str]:
        """Broken invariants, each as a sentence; empty for sound books.

        Sums per currency are 0, every balance is what its rows make it, no hold is settled beyond its
        amount, no reference was used twice, no split was applied in both modes, and no transaction moved
        another currency than its balances have.
        """
        return problems_of(self)


def take_snapshot(books: LiveBooks) -> Books:
    """Freeze the books; rows are shared, since they never change, all else is copied."""
    sums: Counter[str] = Counter()
    for balance in books.balances.values():
        sums[balance.currency] += balance.balance
    rows = tuple(books.rows.values())
    by_parent: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.parent_transaction:
            by_parent[row.parent_transaction].append(row)
    return Books(
        rows=rows,
        balances=tuple(_frozen(balance) for balance in books.balances.values()),
        ledgers=tuple(replace(ledger) for ledger in books.ledgers.values()),
        identities=tuple(replace(record, texts=dict(record.texts)) for record in books.identities.values()),
        rules=tuple(books.reconciliation.rules.values()),
        uploads=tuple(books.reconciliation.uploads.values()),
        external_records=tuple(books.reconciliation.records.values()),
        runs=tuple(replace(run) for run in books.reconciliation.runs.values()),
        sums=dict(sums),
        _by_reference={row.reference: row for row in rows},
        _by_parent=by_parent,
        _ids=frozenset(books.rows),
    )


def _frozen(balance: Balance) -> BookBalance:
    return BookBalance(
        balance_id=balance.balance_id,
        ledger_id=balance.ledger_id,
        currency=balance.currency,
        indicator=balance.indicator,
        balance=balance.balance,
        credit=balance.credit,
        debit=balance.debit,
        inflight_balance=balance.inflight_balance,
        inflight_credit=balance.inflight_credit,
        inflight_debit=balance.inflight_debit,
        version=balance.version,
        meta=balance.meta,
        identity_id=balance.identity_id,
    )


#: Problems that are listed before it stops.
_MAX_PROBLEMS = 100


def problems_of(books: Books) -> list[str]:
    """Every broken invariant, at most a hundred."""
    problems = [f"Σ balance of {currency} is {total}" for currency, total in books.sums.items() if total]
    problems += _unsound_balances(books)
    problems += _oversettled_holds(books)
    problems += _doubled_references(books)
    problems += _foreign_currencies(books)
    return problems[:_MAX_PROBLEMS]


def _unsound_balances(books: Books) -> list[str]:
    expected: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in books.rows:
        source, destination = expected[row.source], expected[row.destination]
        amount = row.precise_amount
        if row.effect in {Effect.APPLY, Effect.COMMIT}:
            source["debit"] += amount
            destination["credit"] += amount
        if row.effect is Effect.HOLD:
            source["inflight_debit"] += amount
            destination["inflight_credit"] += amount
        if row.effect in {Effect.COMMIT, Effect.VOID}:
            source["inflight_debit"] -= amount
            destination["inflight_credit"] -= amount
    problems = []
    for balance in books.balances:
        for side in ("credit", "debit", "inflight_credit", "inflight_debit"):
            held, computed = getattr(balance, side), expected[balance.balance_id][side]
            if held != computed:
                problems.append(f"{side} of {balance.balance_id} is {held}, its rows make {computed}")
            if held < 0:
                problems.append(f"{side} of {balance.balance_id} is negative: {held}")
    return problems


def _oversettled_holds(books: Books) -> list[str]:
    problems = []
    for row in books.rows:
        settled = [child for child in books.children(row.transaction_id) if _settles(child)]
        total = sum(child.precise_amount for child in settled)
        if total > row.precise_amount:
            problems.append(f"{row.reference} of {row.precise_amount} was settled with {total}")
        if settled and row.effect is not Effect.HOLD:
            problems.append(f"{row.reference} was settled, but it is {row.status} and no hold")
    return problems


def _doubled_references(books: Books) -> list[str]:
    counts = Counter(row.reference for row in books.rows)
    problems = [f"reference {reference} has {n} rows" for reference, n in counts.items() if n > 1]
    families = {row.reference.removesuffix("_q") for row in books.rows}
    problems += [f"{name} moved money twice" for name in families if books.applied(name) > 1]
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in books.rows:
        reference, split_id = books.split_of(row)
        if row.effect in {Effect.APPLY, Effect.HOLD} and reference:
            splits[reference].add(split_id)
    problems += [f"the split {name} moved money {len(ids)} times" for name, ids in splits.items() if len(ids) > 1]
    return problems


def _foreign_currencies(books: Books) -> list[str]:
    currency_of = {balance.balance_id: balance.currency for balance in books.balances}
    return [
        f"{row.reference} moved {row.currency} between balances of other currencies"
        for row in books.rows
        if row.effect is not Effect.NONE and {currency_of[row.source], currency_of[row.destination]} != {row.currency}
    ]


def _settles(row: Row) -> bool:
    return row.effect in {Effect.COMMIT, Effect.VOID}
