"""What the tests of the pure core share: intents in their recorded form, rows, and a ledger that shows given rows."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from blnk_relay.intents.decision import Again, Dead, Decision, Done, Look
from blnk_relay.intents.exchange import GateAction, Verdict
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds.registry import KINDS
from blnk_relay.kinds.transaction import transaction
from tasks.lookups import MAX_ROUNDS
from tests.support.specimens import NOW_MS, POLICY

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

ALICE = f"bln_{uuid.UUID(int=0xA11CE)}"
BANK = f"bln_{uuid.UUID(int=0xBA2C)}"
SOMEBODY = f"bln_{uuid.UUID(int=0x50)}"


def balance(balance_id: str, indicator: str, currency: str) -> Record:
    """A balance as the ledger shows it."""
    return Record("balances", {"balance_id": balance_id, "indicator": indicator, "currency": currency})


def txn(number: int) -> str:
    """The id of a row."""
    return f"txn_{uuid.UUID(int=number)}"


def payment(**changes: Any) -> Intent:
    """10.50 EUR from the bank to Alice."""
    given: dict[str, Any] = {
        "source": BANK,
        "destination": ALICE,
        "currency": "EUR",
        "amount": "10.50",
        "description": "Top-up",
        "reference": "order_42",
    }
    return transaction(**{name: value for name, value in (given | changes).items() if value is not None})


def entry_of(intent: Intent, key: str | None = None) -> Entry:
    """An intent as it is recorded."""
    return new_entry(intent, key or intent.natural_key or "a-key", "a-lane", not_before="+0", deadline=f"+{DAY}").entry


def progress(**changes: Any) -> Progress:
    """An intent that was accepted a second ago and never sent."""
    given: dict[str, Any] = {"now_ms": NOW_MS, "since_ms": NOW_MS - SECOND, "deadline_ms": NOW_MS + DAY}
    return Progress(**(given | changes))


def sent(ago_ms: int = SECOND, **changes: Any) -> Progress:
    """An intent that may have taken effect so long ago, and was looked for ever since."""
    at_ms = NOW_MS - ago_ms
    recorded = changes.pop("memo", None)
    memo = {} if recorded == {} else {"watched": [NOW_MS, ago_ms]} | (recorded or {})
    given: dict[str, Any] = {
        "sent": True,
        "looking": True,
        "since_ms": at_ms - SECOND,
        "first_sent_ms": at_ms,
        "last_sent_ms": at_ms,
        "attempts": 1,
        "memo": memo,
    }
    return progress(**(given | changes))


def row(number: int, reference: str, status: str, **changes: Any) -> Row:
    """A row of the ledger: by default of the payment above."""
    given: dict[str, Any] = {
        "precise_amount": 1050,
        "currency": "EUR",
        "source": BANK,
        "destination": ALICE,
        "created_at": f"2026-11-20T09:00:{number % 60:02d}Z",
    }
    return Row(transaction_id=txn(number), reference=reference, status=status, **(given | changes))


def queued_and(status: str, reference: str = "order_42", **changes: Any) -> tuple[Row, Row]:
    """Scenario S1 of contract §3.4: the queued parent (1) and its child (2)."""
    return (
        row(1, reference, "QUEUED", **changes),
        row(2, reference + "_q", status, parent=txn(1), **changes),
    )


#: What is done after an answer; with ``LOOK`` it is read, and sent again if it is not there.
DONE, LOOK, LOOK_REFUSE, AGAIN, REFUSED = "done", "look", "look, else refuse", "again", "refused"

#: What becomes of a gate.
OPEN, PAUSE, SLOW, STRAIN = None, GateAction.PAUSE, GateAction.SLOW, GateAction.STRAIN


def action(verdict: Verdict) -> str:
    """What is done after an answer, in a word: one of those above, or the class of the letter."""
    match verdict.decision:
        case Done():
            return DONE
        case Look(refuse=refuse):
            return LOOK_REFUSE if refuse else LOOK
        case Again(counted=counted):
            assert counted == verdict.counted
            return AGAIN
        case Dead(dead_class=dead_class):
            return str(dead_class)
        case other:
            raise AssertionError(f"no answer means {other}")


class Showing:
    """A ledger that answers look-ups from given rows, and keeps what it was asked."""

    def __init__(self, rows: Iterable[Row] = (), balances: Iterable[Record] = ()) -> None:
        self.rows = tuple(rows)
        self.balances = tuple(balances)
        self.asked: list[Lookup] = []

    def look(self, lookups: Iterable[Lookup]) -> tuple[list[Row], list[Record]]:
        """The rows and balances that fit."""
        rows: list[Row] = []
        balances: list[Record] = []
        for lookup in lookups:
            self.asked.append(lookup)
            if lookup.resource == "balances":
                balances += [item for item in self.balances if item.value("indicator") == lookup.value]
                continue
            name = "parent" if lookup.field == "parent_transaction" else lookup.field
            rows += [item for item in self.rows if getattr(item, name) == lookup.value]
        return rows, balances


def decided(intent: Intent, now: Progress, *rows: Row, balances: Iterable[Record] = ()) -> Decision:
    """What is done with an intent when the ledger shows these rows."""
    return settled_by(intent, now, Showing(rows, balances))


def settled_by(intent: Intent, now: Progress, ledger: Showing) -> Decision:
    """What is done with an intent, read round by round as the workers do."""
    entry, found = entry_of(intent), Found()
    for _ in range(MAX_ROUNDS):
        step = next_step(KINDS[entry.kind], entry, now, found, POLICY)
        if not isinstance(step, tuple):
            return step
        rows, balances = ledger.look(step)
        found = found.plus(rows, balances, step)
    raise AssertionError(f"undecided after {MAX_ROUNDS} rounds of reading")
