"""What must hold in sound books, computed from the rows anew: the second side of every balance.

A broken invariant is a sentence for people. Nothing here knows how the rows came about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from .rows import Effect, Row

if TYPE_CHECKING:
    from .snapshot import Books

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
