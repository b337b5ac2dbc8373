"""What makes records that carry our id (``families.creation``): when it is looked for, made again, or told to a human.

Ledgers, balances and identities have no idempotency key, so each rule here is about not making a second one, and about
saying truly what was made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from kindbook import (
    BALANCE,
    IDENTITY,
    LEDGER,
    MARK,
    QUIET_S,
    SEEN_S,
    an_id,
    decided,
    entry_of,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
)

from blnk_relay import create_balance, create_identity, create_ledger
from blnk_relay.families.creation import bears_our_tag, made_twice, nothing_differs, tagged, unequal
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Response
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.intents.intent import Intent
from blnk_relay.schema.identity import TEXTS

WALLETS = create_ledger("Wallets EUR", meta_data={"team": "a"})
WALLET = create_balance(LEDGER, "EUR")
FEES = create_balance("general_ledger_id", "EUR", indicator="@fees")
MARA = create_identity(first_name="Mara")


class Case(NamedTuple):
    """An intent, where its records are read, what their id is called, and two such ids."""

    intent: Intent
    resource: str
    field: str
    id: str
    other: str


MADE = [
    Case(WALLETS, "ledgers", "ledger_id", LEDGER, an_id("ldg", 2)),
    Case(WALLET, "balances", "balance_id", BALANCE, an_id("bln", 2)),
]


def shown(intent: Intent, resource: str, **data: Any) -> Record:
    """A record of the ledger that carries the id of an intent."""
    return Record(resource, {**intent.payload, "meta_data": {MARK: entry_of(intent).id}, **data})


# -- what is sent, and what is looked for -----------------------------------------------------------------------------


def test_our_id_is_sent_beside_the_callers_metadata():
    assert requested(WALLETS).body["meta_data"] == {"team": "a", MARK: entry_of(WALLETS).id}
    assert requested(WALLET).body["meta_data"] == {MARK: entry_of(WALLET).id}
    assert tagged(entry_of(MARA)) == {MARK: entry_of(MARA).id}


@pytest.mark.parametrize("case", MADE)
def test_nothing_is_looked_for_before_the_first_send_and_our_id_afterwards_once(case):
    asked: list[Lookup] = []
    assert decided(case.intent, progress(), asked=asked) == Send()
    assert asked == []
    by_tag = Lookup(case.resource, f"meta_data.{MARK}", entry_of(case.intent).id)
    for now in (sent(1), sent(QUIET_S), progress(looking=True), sent(QUIET_S, memo={}, lost_ms=1)):
        asked = []
        decided(case.intent, now, asked=asked)
        assert asked == [by_tag]


# -- what the ledger shows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize(
    "now",
    [
        sent(1),
        sent(SEEN_S),
        sent(QUIET_S),
        sent(QUIET_S, refuse=True, code="X"),
        sent(1, refuse=True, code="X"),
        progress(looking=True),
        sent(QUIET_S, memo={}, lost_ms=1),
    ],
)
def test_what_stands_under_our_id_is_done_whatever_was_answered(case, now):
    record = shown(case.intent, case.resource, **{case.field: case.id})
    assert decided(case.intent, now, record) == Done("created", case.id)
    # Several look-ups of one batch may show the same record.
    assert decided(case.intent, now, record, record) == Done("created", case.id)
    # Another one's is no answer.
    assert not isinstance(
        decided(case.intent, now, replace(record, data={**record.data, "meta_data": {MARK: "x"}})), Done
    )
    twice = decided(case.intent, now, shown(case.intent, case.resource, **{case.field: case.other}), record)
    assert isinstance(twice, Dead)
    assert (twice.dead_class, twice.code) == (DeadClass.UNKNOWN, "MADE_TWICE")
    assert twice.message.endswith(f": {case.id}, {case.other}.")


@pytest.mark.parametrize("case", MADE)
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (sent(1), Look),
        (sent(QUIET_S - 2), Look),
        (sent(QUIET_S), Send()),
        (sent(1, refuse=True, code="X"), Look),
        (sent(QUIET_S, refuse=True, code="X", message="why"), Dead(DeadClass.REFUSED, "X", "why")),
        # It never left, or was certainly refused: nothing can be under way.
        (progress(looking=True), Send()),
        (progress(looking=True, refuse=True, code="X", message="why"), Dead(DeadClass.REFUSED, "X", "why")),
        # It may have been sent in moments that the journal has lost.
        (sent(1, memo={}, lost_ms=1), Look),
        (sent(QUIET_S, memo={}, lost_ms=1), Send()),
    ],
)
def test_what_is_not_shown_is_made_again_once_nothing_can_be_under_way(case, now, expected):
    decision = decided(case.intent, now)
    assert decision == expected if not isinstance(expected, type) else isinstance(decision, expected)


def test_a_repeat_waits_for_exactly_the_silence():
    at_last = sent(QUIET_S - 1)
    assert decided(WALLETS, at_last) == Send()
    assert isinstance(decided(WALLETS, replace(at_last, last_sent_ms=at_last.last_sent_ms + 1)), Look)


# -- what is answered -------------------------------------------------------------------------------------------------


def answer(intent: Intent, **changes: Any) -> Response:
    body = {**requested(intent).body, **changes}
    return ok(201, **{name: value for name, value in body.items() if value is not None})


@pytest.mark.parametrize("case", MADE)
def test_an_answer_is_the_outcome_where_it_names_such_a_record_and_us(case):
    verdict = judged(case.intent, answer(case.intent, **{case.field: case.id}))
    assert (verdict.decision, verdict.acted, verdict.accepted) == (Done("created", case.id), True, True)
    for of_another in (
        answer(case.intent, **{case.field: an_id("txn")}),
        answer(case.intent, **{case.field: None}),
        answer(case.intent, **{case.field: 7}),
        answer(case.intent, **{case.field: case.id, "meta_data": {MARK: "another"}}),
        answer(case.intent, **{case.field: case.id, "meta_data": None}),
        answer(case.intent, **{case.field: case.id, "meta_data": MARK}),
        Response(status=201),
    ):
        verdict = judged(case.intent, of_another)
        assert isinstance(verdict.decision, Look)
        assert not verdict.decision.refuse
        # It is looked for as what may be there, and counts for no success of ours.
        assert (verdict.acted, verdict.accepted) == (True, False)


@pytest.mark.parametrize("case", MADE)
def test_an_answer_that_is_no_success_is_none_even_where_it_names_a_record(case):
    body = dict(answer(case.intent, **{case.field: case.id}).body)
    verdict = judged(case.intent, Response(status=500, body=body))
    assert isinstance(verdict.decision, Look)
    refused = judged(case.intent, replace(refusal(400, "GEN_VALIDATION_ERROR"), body=body))
    assert isinstance(refused.decision, Dead)
    assert refused.decision.dead_class is DeadClass.REFUSED
    assert not refused.acted


def test_what_is_made_otherwise_is_told_with_what_follows_and_no_more_than_can_be_kept():
    end = judged(WALLETS, answer(WALLETS, ledger_id=LEDGER, name="Wallets USD")).decision
    assert end == Dead(
        DeadClass.PARTIAL, "MADE_OTHERWISE", f"It was made as {LEDGER}, but not as it was asked for: name."
    )
    end = judged(FEES, answer(FEES, balance_id=BALANCE, indicator=None, currency="USD")).decision
    assert isinstance(end, Dead)
    assert end.message.startswith(f"It was made as {BALANCE}, but not as it was asked for: currency, indicator. With")
    whole = create_identity(**dict.fromkeys(TEXTS, "x"))
    end = judged(whole, answer(whole, identity_id=IDENTITY, **dict.fromkeys(TEXTS, "y"))).decision
    assert isinstance(end, Dead)
    assert "first_name, last_name" in end.message
    assert len(end.message) <= 300


def test_many_of_them_are_told_within_what_can_be_kept():
    ids = [an_id("ldg", number) for number in range(1, 30)]
    end = made_twice(reversed(ids))
    assert (end.dead_class, end.code) == (DeadClass.UNKNOWN, "MADE_TWICE")
    assert f"{ids[0]}, {ids[1]}" in end.message
    assert len(end.message) <= 300


# -- what is compared -------------------------------------------------------------------------------------------------


def test_only_what_was_asked_for_and_is_shown_can_differ():
    payload = {"name": "a", "code": "b", "flag": True}
    assert unequal(payload, {"name": "a", "code": "b", "flag": True}, payload) == []
    assert unequal(payload, {"name": "x", "code": "", "flag": False}, payload) == ["name", "code", "flag"]
    assert unequal(payload, {"code": None}, payload) == []
    assert unequal(payload, {"name": "x", "other": "y"}, ("code", "other", "name")) == ["name"]
    assert nothing_differs(payload, {}) == []


def test_our_id_stands_under_our_key_alone():
    entry = entry_of(WALLETS)
    assert bears_our_tag(entry, {"meta_data": {MARK: entry.id, "team": "a"}})
    for shown_ in ({}, {"meta_data": None}, {"meta_data": {}}, {"meta_data": {MARK: "x"}}, {MARK: entry.id}):
        assert not bears_our_tag(entry, shown_)
    assert not bears_our_tag(entry, {"meta_data": {"other": entry.id}})
