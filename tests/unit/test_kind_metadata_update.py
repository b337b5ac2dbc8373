"""metadata.update: merged, shallow, bounded, one at a time (contract §2.0, §2.10, §3.11, §4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from kindbook import (
    AMBIGUOUS,
    BALANCE,
    BATCH,
    IDENTITY,
    LEDGER,
    QUIET_S,
    SEEN_S,
    TRANSACTION,
    an_id,
    decided,
    entry_of,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, result_of, update_metadata
from blnk_relay.families.update import is_message
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record, Row
from blnk_relay.schema.values import same

META = {"file": "A", "rate": 0.1, "tags": ["x", None], "deep": {"a": 1}}
STORED = {"file": "A", "rate": Decimal("0.10"), "tags": ["x", None], "deep": {"a": 1}, "other": True}
OLDER = {**STORED, "deep": {"a": 1, "b": 2}}
BIG = {"note": "a" * 5_990}

EVERYTHING = (LEDGER, BALANCE, IDENTITY, TRANSACTION, BATCH)
RESOURCES = {LEDGER: "ledgers", BALANCE: "balances", IDENTITY: "identities"}
FIELDS = {LEDGER: "ledger_id", BALANCE: "balance_id", IDENTITY: "identity_id"}


def shown(entity_id, *metas: Any):
    """What the ledger shows of an entity; of a batch a row for each."""
    if entity_id in RESOURCES:
        return [Record(RESOURCES[entity_id], {FIELDS[entity_id]: entity_id, "meta_data": meta}) for meta in metas]
    if entity_id == TRANSACTION:
        return [Row(TRANSACTION, "order_42", "APPLIED", meta=meta) for meta in metas]
    return [
        Row(an_id("txn", 50 + number), f"r{number}", "QUEUED", parent=BATCH, meta=meta)
        for number, meta in enumerate(metas)
    ]


def is_send(decision, entity_id):
    return isinstance(decision, Send) and decision.memo == {"id": entity_id} and decision.exclusive.endswith(entity_id)


@pytest.mark.parametrize("entity_id", EVERYTHING)
def test_the_route_and_its_body(entity_id):
    request = requested(update_metadata(entity_id, META))
    assert (request.method, request.path) == ("POST", f"/{entity_id}/metadata")
    assert request.body == {"meta_data": META}


@pytest.mark.parametrize(
    ("field", "order"),
    [
        ("ledger_id", "ledger:k"),
        ("balance_id", "balance:k"),
        ("identity_id", "identity:k"),
        ("transaction_id", "transaction:k"),
        ("batch_id", "batch:k"),
    ],
)
def test_any_of_them_may_be_a_link_and_has_an_order_of_its_own(field, order):
    intent = update_metadata(result_of("k", field), META)
    assert intent.order_key == order
    assert survives_the_journal(intent)


@pytest.mark.parametrize(
    ("entity_id", "meta"),
    [
        ("order_42", META),
        ("rule_" + LEDGER[4:], META),
        ("txn_1", META),
        (result_of("k", "rule_id"), META),
        (LEDGER, {}),
        (LEDGER, {"allow_overdraft": True}),
        (LEDGER, {"QUEUED_PARENT_TRANSACTION": "x"}),
        (LEDGER, {"_shadow_for": "x"}),
        (IDENTITY, {"tokenized_fields": {}}),
        (LEDGER, {"note": "a" * 6_000}),
        (LEDGER, {"big": 2**60}),
        (LEDGER, "text"),
    ],
)
def test_what_would_be_lost_or_obeyed_is_refused(entity_id, meta):
    with pytest.raises(InvalidIntent):
        update_metadata(entity_id, meta)


@pytest.mark.parametrize("entity_id", [LEDGER, IDENTITY])
def test_where_there_is_room_for_anything_nothing_is_read_first(entity_id):
    asked: list[Lookup] = []
    assert is_send(decided(update_metadata(entity_id, META), progress(), asked=asked), entity_id)
    assert asked == []


@pytest.mark.parametrize("entity_id", [BALANCE, TRANSACTION, BATCH])
def test_a_row_that_would_break_when_it_grows_is_left_alone(entity_id):
    intent = update_metadata(entity_id, {"more": "b" * 100})
    decision = decided(intent, progress(), *shown(entity_id, {"a": 1}, BIG))
    if entity_id == TRANSACTION:
        decision = decided(intent, progress(), *shown(entity_id, BIG))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "METADATA_TOO_LARGE")
    assert is_send(decided(intent, progress(), *shown(entity_id, {"a": 1})), entity_id)
    assert is_send(decided(intent, progress()), entity_id)


def test_a_key_that_is_replaced_counts_once():
    intent = update_metadata(BALANCE, {"note": "b" * 5_000})
    assert is_send(decided(intent, progress(), *shown(BALANCE, BIG)), BALANCE)


@pytest.mark.parametrize("entity_id", EVERYTHING)
def test_after_an_ambiguous_answer_the_keys_that_were_sent_are_compared(entity_id):
    intent, done = update_metadata(entity_id, META), Done("updated", entity_id)
    assert decided(intent, sent(QUIET_S), *shown(entity_id, STORED)) == done
    assert isinstance(decided(intent, sent(1), *shown(entity_id, STORED)), Look)
    for stored in (OLDER, {}, {key: META[key] for key in ("file", "rate")}):
        assert isinstance(decided(intent, sent(SEEN_S), *shown(entity_id, stored)), Look)
        assert is_send(decided(intent, sent(QUIET_S), *shown(entity_id, stored)), entity_id)
    assert is_send(decided(intent, sent(QUIET_S)), entity_id)


def test_a_batch_is_done_when_all_its_rows_are():
    intent = update_metadata(BATCH, META)
    assert decided(intent, sent(QUIET_S), *shown(BATCH, STORED, STORED)) == Done("updated", BATCH)
    assert is_send(decided(intent, sent(QUIET_S), *shown(BATCH, STORED, {})), BATCH)


def test_a_null_that_was_sent_is_not_a_key_that_is_missing():
    intent = update_metadata(LEDGER, {"gone": None})
    assert isinstance(decided(intent, sent(SEEN_S), *shown(LEDGER, {})), Look)
    assert decided(intent, sent(QUIET_S), *shown(LEDGER, {"gone": None})) == Done("updated", LEDGER)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1, True),
        (1, Decimal("1.0"), True),
        (0.1, Decimal("0.1"), True),
        (1e22, Decimal("1e22"), True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        ("1", 1, False),
        (None, "", False),
        ([1], [1, 2], False),
        ({"a": [0.5]}, {"a": [Decimal("0.50")]}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({}, [], False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json(one, other, expected):
    assert same(one, other) is expected


def test_the_answer_of_the_route_is_the_outcome():
    assert judged(update_metadata(LEDGER, META), ok(200, meta_data=META)).decision == Done("updated", LEDGER)


@pytest.mark.parametrize("response", AMBIGUOUS)
def test_an_answer_that_proves_nothing_is_looked_up(response):
    verdict = judged(update_metadata(LEDGER, META), response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


def test_wrong_ids_are_refused_and_unknown_ones_tried_five_times():
    intent = update_metadata(LEDGER, META)
    assert isinstance(judged(intent, refusal(400, "META_INVALID_ENTITY_ID")).decision, Dead)
    assert not isinstance(judged(intent, refusal(404, "META_ENTITY_NOT_FOUND")).decision, Dead)
    assert isinstance(judged(intent, refusal(404, "META_ENTITY_NOT_FOUND"), progress(attempts=4)).decision, Dead)


def test_a_key_that_may_never_write_metadata_stops_this_intent_and_nobody_else():
    verdict = judged(update_metadata(LEDGER, META), refusal(403, "AUTH_UNKNOWN_RESOURCE"))
    assert isinstance(verdict.decision, Dead)
    assert verdict.gate is None
    missing = judged(update_metadata(LEDGER, META), refusal(403, "AUTH_INSUFFICIENT_PERMISSIONS"))
    assert missing.gate is not None


@pytest.mark.parametrize("name", ["error", "errors", "error_detail"])
def test_a_sentence_beside_an_error_is_none_that_says_that_it_was_done(name):
    entry, sentence = entry_of(update_metadata(TRANSACTION, {"a": "b"})), {"message": "Metadata updated"}
    assert is_message(entry, ok(200, **sentence))
    assert not is_message(entry, ok(200, **sentence, **{name: "No."}))


LEGS = [Row(an_id("txn", 60 + number), f"sale.split.x-{number}", "APPLIED", parent=TRANSACTION) for number in (1, 2)]


def test_a_split_is_known_by_its_legs_because_no_row_has_its_id():
    """The ledger writes to the row with an id, and to those that name it as their parent."""
    asked: list[Lookup] = []
    intent = update_metadata(TRANSACTION, META)
    there = [replace(leg, meta=STORED) for leg in LEGS]
    assert decided(intent, sent(QUIET_S), *there, asked=asked) == Done("updated", TRANSACTION)
    assert {(lookup.field, lookup.value) for lookup in asked} == {
        ("transaction_id", TRANSACTION),
        ("parent_transaction", TRANSACTION),
    }
    assert decided(intent, sent(QUIET_S, refuse=True, code="HTTP_504"), *there) == Done("updated", TRANSACTION)
    assert is_send(decided(intent, sent(QUIET_S), there[0], LEGS[1]), TRANSACTION)


def test_rows_below_a_transaction_count_for_its_size_and_not_for_what_was_written():
    """They may be younger than the write; but those that are there grow with it."""
    row = Row(TRANSACTION, "order_42", "INFLIGHT", meta=STORED)
    assert decided(update_metadata(TRANSACTION, META), sent(QUIET_S), row, *LEGS) == Done("updated", TRANSACTION)
    large = replace(LEGS[0], meta={"x": "y" * 5_800})
    for rows in ((row, large), (large,)):
        decision = decided(update_metadata(TRANSACTION, {"z": "w" * 5_800}), progress(), *rows)
        assert isinstance(decision, Dead)
        assert decision.code == "METADATA_TOO_LARGE"
