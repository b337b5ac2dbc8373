"""Whatever an answer holds: it proves what it names, and nothing breaks the one who reads it (contract §1.4, §1.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blnk_relay.intents.decision import Look
from blnk_relay.intents.exchange import Response
from blnk_relay.intents.found import Found, Record, Row
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.claimed import Claimed
from blnk_relay.kinds.registry import KINDS
from tasks.lookups import MAX_ROUNDS
from tasks.settlements import Sent, after_attempt, after_look
from tests.support.specimens import NOW_MS, POLICY, SPECIMENS, Specimen
from worker.ledger.readback import _row

each = pytest.mark.parametrize("specimen", SPECIMENS.values(), ids=lambda specimen: specimen.name)

#: How often each of the specimens, which are many, is tried.
often = pytest.mark.parametrize("examples", [15, pytest.param(60, marks=pytest.mark.long)])


def tried(examples: int, act: Callable[[st.DataObject], None]) -> None:
    """Try something with drawn data so many times."""
    settings(max_examples=examples)(given(data=st.data())(act))()


#: JSON as the wire gives it: exact numbers, and NaN for what Python cannot hold.
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from((Decimal("NaN"), Decimal("1e999999"), Decimal("0.1"), 10**4000, -1))
    | st.sampled_from(
        ("", "txn_1", "APPLIED", "INFLIGHT", "QUEUED", "REJECTED", "VOID", "succeeded", "@shop", "\x00", "é")
    )
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

#: What is read of rows and records.
FIELDS_READ = (
    *("transaction_id", "reference", "status", "parent_transaction", "precise_amount", "amount", "precision"),
    *("currency", "source", "destination", "created_at", "description", "meta_data", "balance_id", "ledger_id"),
    *("identity_id", "rule_id", "indicator", "name", "criteria", "upload_id", "count", "reconciliation_id"),
    *("tokenized_fields", "first_name", "dob"),
)


@each
def test_the_ledgers_yes_to_another_of_its_kind_proves_nothing(specimen: Specimen) -> None:
    first, other = specimen.first(), specimen.first("other-key", "other")
    status, body = specimen.proof(other.request, other.ids)
    for policy in (POLICY, replace(POLICY, confirm=False)):
        verdict = KINDS[specimen.kind].judge(
            first.entry, first.progress, first.request, Response(status=status, body=body), policy
        )
        # What names nothing is only believed on a connection where nothing else can come.
        assert first.request.alone or isinstance(verdict.decision, Look), verdict
        assert first.request.alone or not verdict.accepted


@each
@often
def test_whatever_an_answer_holds_it_is_judged(specimen: Specimen, examples: int) -> None:
    tried(examples, lambda data: judge_anything(specimen, data))


def judge_anything(specimen: Specimen, data: st.DataObject) -> None:
    first = specimen.first()
    status, proof = specimen.proof(first.request, first.ids)
    changed = data.draw(st.dictionaries(st.sampled_from(sorted(proof)), ANYTHING, max_size=len(proof)))
    body = data.draw(st.sampled_from((proof | changed, changed)))
    for policy in (POLICY, replace(POLICY, confirm=False)):
        response = Response(status=data.draw(st.sampled_from((status, 200, 400, 409, 500))), body=body)
        verdict = KINDS[specimen.kind].judge(first.entry, first.progress, first.request, response, policy)
        # What follows can be recorded.
        assert after_attempt(
            Claimed(first.entry, first.progress, "1"), Sent(NOW_MS, NOW_MS, response, verdict, "req-1", "worker-1")
        )


@each
@often
def test_whatever_a_look_shows_it_is_decided_upon(specimen: Specimen, examples: int) -> None:
    tried(examples, lambda data: decide_upon_anything(specimen, data))


def decide_upon_anything(specimen: Specimen, data: st.DataObject) -> None:
    first = specimen.first()
    kind, found = KINDS[specimen.kind], Found()
    now = replace(first.progress, sent=True, looking=True, last_sent_ms=NOW_MS - 1, attempts=1)
    for _ in range(MAX_ROUNDS):
        step = next_step(kind, first.entry, now, found, POLICY)
        if not isinstance(step, tuple):
            assert after_look(Claimed(first.entry, now, "1"), "posted", step, NOW_MS, "worker-1")
            return
        rows: list[Row] = []
        records: list[Record] = []
        for lookup in step:
            shown = data.draw(st.none() | st.dictionaries(st.sampled_from(FIELDS_READ), ANYTHING, max_size=6))
            if shown is None:
                continue
            outer, _, inner = lookup.field.partition(".")
            asked: dict[str, Any] = {outer: {inner: lookup.value} if inner else lookup.value}
            if lookup.resource == "transactions":
                rows.append(_row({"transaction_id": "txn_1", **shown, **asked}))
            else:
                records.append(Record(lookup.resource, {**shown, **asked}))
        found = found.plus(rows, records, step)
