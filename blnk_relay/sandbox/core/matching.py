"""Matching rules: which are valid, and when two records match (contract §2.12). Pure.

Enough of it to make a run's counts meaningful. The approximate comparison of texts is left out:
``contains`` means that one text contains the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from blnk_relay.sandbox.books.reconciliation import Criterion, ExternalRecord, MatchingRule
from blnk_relay.sandbox.books.rows import Row
from blnk_relay.sandbox.clock import SECOND_NS
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.request import Fields

FIELDS = frozenset({"amount", "date", "description", "reference", "currency"})
OPERATORS = frozenset({"equals", "greater_than", "less_than", "contains"})
STRATEGIES = frozenset({"one_to_one", "one_to_many", "many_to_one"})

#: Pairs that one run compares at most, the bound on its time; beyond, records count as unmatched.
_MAX_COMPARISONS = 2_000_000


@dataclass(frozen=True, slots=True)
class Side:
    """One record, or a group of them, as it is compared."""

    ids: tuple[str, ...]
    amount: float
    date_ns: int
    description: str
    reference: str
    currency: str


def read_criteria(items: Sequence[object]) -> tuple[Criterion, ...]:
    """The criteria of a rule's body.

    Raises:
        MalformedRequestError: A field has the wrong type.
    """
    criteria = []
    for item in items:
        fields = Fields(item if isinstance(item, dict) else {})
        texts = {name: fields.text(name) for name in ("field", "operator", "value", "pattern")}
        criteria.append(Criterion(**texts, allowable_drift=fields.number("allowable_drift")))
    return tuple(criteria)


def check_rule(rule: MatchingRule) -> None:
    """Refuse a rule that cannot be used.

    Raises:
        LedgerError: ``RECON_RULE_INVALID``.
    """
    problem = _problem(rule)
    if problem is not None:
        raise LedgerError(problem, "RECON_RULE_INVALID")


def _problem(rule: MatchingRule) -> str | None:
    if not rule.name:
        return "rule name is required"
    if not rule.criteria:
        return "at least one matching criteria is required"
    for criterion in rule.criteria:
        if not criterion.field or not criterion.operator:
            return "field and operator are required for each criteria"
        if criterion.operator not in OPERATORS:
            return "invalid operator"
        if criterion.field not in FIELDS:
            return "invalid field"
        drift = criterion.allowable_drift
        if criterion.operator == "equals" and criterion.field == "amount" and not 0 <= drift <= 1:
            return "drift for amount must be between 0 and 1 (fraction, e.g. 0.01 = 1%)"
        if criterion.operator == "equals" and criterion.field == "date" and drift < 0:
            return "drift for date must be non-negative (seconds)"
    return None


def external_side(record: ExternalRecord) -> Side:
    """An external record as it is compared."""
    date_ns = record.date_ns or 0
    return Side((record.id,), record.amount, date_ns, record.description, record.reference, record.currency)


def internal_side(row: Row) -> Side:
    """A transaction row as it is compared."""
    amount = float(row.amount_text)
    return Side((row.transaction_id,), amount, row.created_ns, row.description, row.reference, row.currency)


def grouped(sides: Iterable[tuple[str, Side]]) -> list[Side]:
    """Sides with the same key as one: amounts added, the earliest date, texts side by side."""
    groups: defaultdict[str, list[Side]] = defaultdict(list)
    for key, side in sides:
        groups[key].append(side)
    return [_joined(group) for group in groups.values()]


def _joined(group: Sequence[Side]) -> Side:
    currencies = {side.currency for side in group}
    return Side(
        ids=tuple(name for side in group for name in side.ids),
        amount=sum(side.amount for side in group),
        date_ns=min(side.date_ns for side in group),
        description=" | ".join(side.description for side in group),
        reference=" | ".join(side.reference for side in group),
        currency=currencies.pop() if len(currencies) == 1 else "MIXED",
    )


def pair(
    singles: Sequence[Side], others: Sequence[Side], rules: Sequence[MatchingRule]
) -> tuple[list[tuple[Side, Side]], int]:
    """For every single the first other that a rule accepts.

    Returns:
        The pairs, and how many singles found none.
    """
    pairs: list[tuple[Side, Side]] = []
    left = _MAX_COMPARISONS
    by_text = _index(others, rules)
    for single in singles:
        candidates = by_text(single)
        left -= len(candidates)
        found = next((other for other in candidates if left >= 0 and matches(single, other, rules)), None)
        if found is not None:
            pairs.append((single, found))
    return pairs, len(singles) - len(pairs)


def _index(others: Sequence[Side], rules: Sequence[MatchingRule]) -> Callable[[Side], Sequence[Side]]:
    """Narrows the candidates down by reference when every rule wants it equal."""
    by_reference: defaultdict[str, list[Side]] = defaultdict(list)
    wants = [any(one.field == "reference" and one.operator == "equals" for one in rule.criteria) for rule in rules]
    if not all(wants):
        return lambda _single: others
    for other in others:
        for part in other.reference.split(" | "):
            by_reference[part.casefold()].append(other)
    return lambda single: by_reference.get(single.reference.casefold(), ())


def matches(single: Side, other: Side, rules: Sequence[MatchingRule]) -> bool:
    """Whether all criteria of any rule hold."""
    return any(all(_holds(single, other, criterion) for criterion in rule.criteria) for rule in rules)


def _holds(single: Side, other: Side, criterion: Criterion) -> bool:
    if criterion.field == "amount":
        return _amounts(single.amount, other.amount, criterion)
    if criterion.field == "date":
        return _dates(single.date_ns, other.date_ns, criterion)
    if criterion.field == "currency" and other.currency == "MIXED":
        return True
    left = getattr(single, criterion.field).casefold()
    rights = [part.casefold() for part in getattr(other, criterion.field).split(" | ")]
    if criterion.operator == "equals":
        return left in rights
    return criterion.operator == "contains" and any(left in right or right in left for right in rights)


def _amounts(left: float, right: float, criterion: Criterion) -> bool:
    verdicts: Mapping[str, bool] = {
        "equals": abs(left - right) <= abs(right) * criterion.allowable_drift,
        "greater_than": left > right,
        "less_than": left < right,
    }
    return verdicts.get(criterion.operator, False)


def _dates(left_ns: int, right_ns: int, criterion: Criterion) -> bool:
    verdicts: Mapping[str, bool] = {
        "equals": abs(left_ns - right_ns) <= criterion.allowable_drift * SECOND_NS,
        "greater_than": left_ns > right_ns,
        "less_than": left_ns < right_ns,
    }
    return verdicts.get(criterion.operator, False)
