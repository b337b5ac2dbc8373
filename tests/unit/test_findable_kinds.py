"""Kinds whose keys may be forgotten: what comes again is found, before anything is sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import DAY, NOW_MS, POLICY, decided, progress, queued_and, row, txn

from blnk_relay import refund, void_hold
from blnk_relay.intents.decision import Dead, DeadClass, Done, Send
from blnk_relay.intents.found import Found
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.rows import CLOCKS_APART_MS, made_ms
from blnk_relay.intents.steps import EXPIRED, next_step
from blnk_relay.journal.claimed import progress_of
from blnk_relay.kinds.registry import KINDS
from tests.support.specimens import SPECIMENS

FINDABLE = {
    "transaction",
    "transaction.split",
    "transaction.bulk",
    "ledger.create",
    "balance.create",
    "identity.create",
    "refund",
    "inflight.void",
    "inflight.bulk_void",
}

#: Rows of the casebook are made on 20 November 2026.
MADE_MS = made_ms("2026-11-20T09:00:00Z")
LONG_BEFORE, SINCE = MADE_MS + DAY, MADE_MS - DAY


def again(over_ms: int = LONG_BEFORE, **changes: Any) -> Progress:
    """One that may repeat what was over by then."""
    given = {"sent": True, "lost_ms": over_ms, "last_sent_ms": over_ms, "again": True}
    return progress(**(given | changes))


def test_a_kind_is_findable_when_nothing_done_later_hides_what_it_did() -> None:
    """All others are not: a part leaves no trace of ours, and a value, a name or a run may be gone or another's."""
    assert {name for name, kind in KINDS.items() if kind.findable} == FINDABLE
    assert all(kind.findable for kind in KINDS.values() if kind.keyed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_may_be_a_repeat_counts_as_sent_only_where_the_ledger_does_not_recognise_it_and_its_key_is_not_kept(
    kind: str,
) -> None:
    fields = {"created": "9", "again": "5"}
    now = progress_of(kind, fields, 10)
    looked_for = KINDS[kind].findable and not KINDS[kind].keyed
    assert (now.again, now.sent, now.forgotten, now.lost_ms) == (looked_for, looked_for, looked_for, 5 * looked_for)
    recorded = progress_of(kind, {**fields, "memo": '{"recorded": true}'}, 10)
    assert (recorded.again, recorded.sent, recorded.forgotten) == (False, False, False)
    lost = progress_of(kind, {**fields, "lost": "7"}, 10)
    assert (lost.again, lost.lost_ms) == (False, 7), "a lost tail says more"


@pytest.mark.parametrize("name", [name for name, one in SPECIMENS.items() if KINDS[one.kind].findable])
def test_it_is_looked_up_before_it_is_sent_unless_the_ledger_recognises_it(name: str) -> None:
    specimen = SPECIMENS[name]
    first, kind = specimen.first(), KINDS[specimen.kind]
    if not kind.keyed:
        assert isinstance(next_step(kind, first.entry, again(), Found(), POLICY), tuple)


@pytest.mark.parametrize(
    ("intent", "rows", "done", "code"),
    [
        (
            refund("order_42"),
            (*queued_and("APPLIED"), row(3, txn(2) + "_refund", "APPLIED", parent=txn(2))),
            Done("refunded", txn(3), txn(2)),
            "ALREADY_REFUNDED",
        ),
        (
            void_hold("order_42"),
            (*queued_and("INFLIGHT"), row(3, "ref_3", "VOID", parent=txn(2))),
            Done("voided", txn(3), txn(2)),
            "TXN_ALREADY_VOIDED",
        ),
    ],
)
def test_what_is_found_is_its_own_work_unless_it_is_younger_than_all_that_is_forgotten(intent, rows, done, code):
    assert decided(intent, again(LONG_BEFORE), *rows) == done
    younger = decided(intent, again(SINCE - CLOCKS_APART_MS), *rows)
    assert (younger.dead_class, younger.code) == (DeadClass.REFUSED, code)


def test_what_is_not_found_is_sent():
    assert isinstance(decided(refund("order_42"), again(), *queued_and("APPLIED")), Send)
    assert isinstance(decided(void_hold("order_42"), again(), *queued_and("INFLIGHT")), Send)


def test_a_refund_of_a_hold_that_was_committed_in_parts_since_says_why_nobody_can_tell():
    held = queued_and("INFLIGHT", precise_amount=1000)
    parts = [row(number, f"ref_{number}", "APPLIED", parent=txn(2), precise_amount=400) for number in (5, 6)]
    letter = decided(refund("order_42"), again(), *held, *parts)
    assert isinstance(letter, Dead)
    assert (letter.dead_class, letter.code) == (DeadClass.UNKNOWN, "KEY_FORGOTTEN")
    assert "long ago" in letter.message
    assert "last moments" not in letter.message


def test_past_its_deadline_it_was_not_sent_for_what_it_may_repeat_is_not_there():
    late = again(deadline_ms=NOW_MS - 1)
    assert decided(refund("order_42"), late, *queued_and("APPLIED")) == EXPIRED
    lost = replace(late, again=False, lost_ms=NOW_MS - DAY, last_sent_ms=NOW_MS - DAY)
    assert decided(refund("order_42"), lost, *queued_and("APPLIED")).dead_class is DeadClass.UNKNOWN
