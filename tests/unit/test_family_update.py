"""Writes of values (``families.update``): their orders, what is read of which record, and what may be sent again.

The same request twice does the same, and a late one overwrites newer values: so each rule here is about when a read may
be believed, and when nothing of ours can be under way any more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import NOW_MS, POLICY
from kindbook import (
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
)

from blnk_relay import (
    delete_matching_rule,
    link_identity,
    result_of,
    tokenize_identity,
    update_identity,
    update_metadata,
)
from blnk_relay.families.update import Update, is_message, never, prefix_of
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Response
from blnk_relay.intents.found import Lookup, Record, Row

RULE = an_id("rule")
META = {"file": "A"}
NOTE = update_metadata(LEDGER, META)
HIDE = tokenize_identity(IDENTITY, ["first_name"])
DELETE = delete_matching_rule(RULE)
MAIL = update_identity(IDENTITY, email_address="new@example.org")

#: How each sort of record is named in orders, and read.
RECORDS = [
    (LEDGER, "ledger", Lookup("ledgers", "ledger_id", LEDGER)),
    (BALANCE, "balance", Lookup("balances", "balance_id", BALANCE)),
    (IDENTITY, "identity", Lookup("identities", "identity_id", IDENTITY)),
    (TRANSACTION, "transaction", Lookup("transactions", "transaction_id", TRANSACTION)),
    (BATCH, "batch", Lookup("transactions", "parent_transaction", BATCH)),
]


def books(meta: Any = META) -> Record:
    return Record("ledgers", {"ledger_id": LEDGER, "meta_data": meta})


def tokens(*names: str) -> Record:
    return Record("tokenized-fields", {"identity_id": IDENTITY, "tokenized_fields": list(names)})


def lost(ago_s: float = QUIET_S, alive_s: float = 60 * QUIET_S, **changes: Any):
    """It may have been sent in moments that the journal has lost; its present life began so long ago."""
    return sent(ago_s, memo={}, lost_ms=1, since_ms=NOW_MS - int(alive_s * 1000), **changes)


def check(decision: Any, expected: Any) -> None:
    assert isinstance(decision, expected) if isinstance(expected, type) else decision == expected


# -- which record -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id_", "name", "lookup"), RECORDS)
def test_each_record_has_an_order_and_one_writer_at_a_time_and_is_read_where_its_sort_is(id_, name, lookup):
    intent = update_metadata(id_, META)
    assert intent.order_key == f"{name}:{id_}"
    send = decided(intent, progress())
    assert isinstance(send, Send)
    assert (send.exclusive, send.memo, send.seen) == (f"{name}:{id_}", {"id": id_}, (id_,))
    asked: list[Lookup] = []
    decided(intent, sent(QUIET_S), asked=asked)
    assert asked[0] == lookup


def test_a_rule_has_an_order_of_its_own_too():
    assert DELETE.order_key == f"rule:{RULE}"
    assert decided(DELETE, progress()) == Send(memo={"id": RULE}, exclusive=f"rule:{RULE}", seen=(RULE,))
    assert delete_matching_rule(result_of("exact", "rule_id")).order_key == "rule:exact"


def test_what_a_name_leads_to_is_known_by_it_until_it_is_filled_in():
    intent = update_metadata(result_of("books", "ledger_id"), META)
    assert intent.order_key == "ledger:books"
    filled = decided(intent, progress())
    assert isinstance(filled, Send)
    assert filled.exclusive == f"ledger:{filled.memo['id']}"
    assert requested(intent).path == f"/{filled.memo['id']}/metadata"


def test_what_an_id_is_of_is_told_by_its_beginning():
    assert [prefix_of(id_) for id_ in (LEDGER, TRANSACTION, BATCH, "bln_a_b")] == ["ldg_", "txn_", "bulk_", "bln_"]


def test_an_id_stands_in_a_path_as_one_piece_of_it():
    entry = entry_of(link_identity(BALANCE, IDENTITY))
    odd = replace(entry, payload={**entry.payload, "balance_id": "bln_a/b c?d"})
    assert Update("balance_id", lambda _entry, _found: False).quoted_id(odd) == "bln_a%2Fb%20c%3Fd"


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "below"),
    [
        ((), True),
        ((Row(TRANSACTION, "order", "INFLIGHT", meta=META),), True),
        ((Row(TRANSACTION, "order", "APPLIED", meta=META),), False),
        ((Row(TRANSACTION, "order", "QUEUED", meta=META),), False),
    ],
)
@pytest.mark.parametrize("now", [progress(), sent(QUIET_S)])
def test_of_a_transaction_what_is_below_it_is_read_where_it_is_a_hold_or_has_no_row(now, shown, below):
    asked: list[Lookup] = []
    decided(update_metadata(TRANSACTION, META), now, *shown, asked=asked)
    own = Lookup("transactions", "transaction_id", TRANSACTION)
    assert asked == [own, *([Lookup("transactions", "parent_transaction", TRANSACTION)] if below else [])]


@pytest.mark.parametrize(("id_", "name", "lookup"), [one for one in RECORDS if one[0] != TRANSACTION])
def test_of_anything_else_it_is_the_record_alone(id_, name, lookup):
    asked: list[Lookup] = []
    assert name
    decided(update_metadata(id_, META), sent(QUIET_S), asked=asked)
    assert asked == [lookup]


def test_a_kind_may_have_a_read_of_its_own():
    asked: list[Lookup] = []
    decided(HIDE, sent(QUIET_S), asked=asked)
    assert asked == [Lookup("tokenized-fields", "identity_id", IDENTITY)]


def test_nothing_is_read_before_the_first_send_but_by_those_who_decide_by_it():
    for intent, is_read in ((NOTE, False), (DELETE, False), (MAIL, True), (HIDE, True)):
        asked: list[Lookup] = []
        decided(intent, progress(), asked=asked)
        assert bool(asked) is is_read
        asked = []
        decided(intent, progress(looking=True), asked=asked)
        assert asked
    assert never(entry_of(NOTE)) is False


def test_who_decides_by_values_waits_until_reads_show_those_of_the_write_before():
    assert [decided(intent, progress()).settled_s for intent in (NOTE, DELETE, MAIL, HIDE)] == [
        0.0,
        0.0,
        POLICY.read_lag_s,
        # What is tokenized is read from the ledger itself, which does not lag.
        0.0,
    ]


# -- what is decided --------------------------------------------------------------------------------------------------

SEND = Send(memo={"id": LEDGER}, exclusive=f"ledger:{LEDGER}", seen=(LEDGER,))
DONE = Done("updated", LEDGER)
NO = Dead(DeadClass.REFUSED, "X", "why")
REFUSE = {"refuse": True, "code": "X", "message": "why"}


@pytest.mark.parametrize(
    ("now", "where_shown", "where_not"),
    [
        # Never sent: what stands there already may be older than the write before ours.
        (progress(), SEND, SEND),
        (progress(looking=True), SEND, SEND),
        # Certainly refused, and never in doubt.
        (progress(looking=True, **REFUSE), DONE, NO),
        # Sent: within the silence it may still be under way, also where the value is there, perhaps from before.
        (sent(1), Look, Look),
        (sent(SEEN_S), Look, Look),
        (sent(QUIET_S - 2), Look, Look),
        (sent(QUIET_S - 1), DONE, SEND),
        (sent(QUIET_S), DONE, SEND),
        (sent(1, **REFUSE), Look, Look),
        (sent(QUIET_S, **REFUSE), DONE, NO),
        # Perhaps sent, in moments that are lost.
        (lost(1), Look, Look),
        (lost(QUIET_S), DONE, SEND),
        (lost(QUIET_S, **REFUSE), DONE, NO),
        # What was written before its turn came may not be shown yet.
        (lost(QUIET_S, alive_s=1), Look, SEND),
        (lost(QUIET_S, alive_s=POLICY.read_lag_s), DONE, SEND),
        (lost(QUIET_S, alive_s=POLICY.read_lag_s - 1), Look, SEND),
    ],
)
def test_a_write_is_done_or_sent_again_only_once_nothing_of_it_can_be_under_way(now, where_shown, where_not):
    check(decided(NOTE, now, books()), where_shown)
    for other in (books({"file": "B"}), books({}), books(None)):
        check(decided(NOTE, now, other), where_not)
    check(decided(NOTE, now), where_not)


@pytest.mark.parametrize("refuse", [False, True])
def test_a_look_says_what_follows_where_nothing_is_found(refuse):
    look = decided(NOTE, sent(1, refuse=refuse), books({}))
    assert isinstance(look, Look)
    assert look.refuse is refuse


HIDDEN = Done("tokenized", IDENTITY)


@pytest.mark.parametrize(
    ("now", "where_shown", "where_not"),
    [
        (progress(), HIDDEN, Send),
        (progress(looking=True), HIDDEN, Send),
        (progress(looking=True, **REFUSE), HIDDEN, NO),
        (sent(1), HIDDEN, Look),
        (sent(QUIET_S), HIDDEN, Send),
        (sent(1, **REFUSE), HIDDEN, Look),
        (sent(QUIET_S, **REFUSE), HIDDEN, NO),
        (lost(1), HIDDEN, Look),
        (lost(QUIET_S, alive_s=1), HIDDEN, Send),
    ],
)
def test_a_read_that_does_not_lag_is_believed_at_once_where_it_shows_what_was_asked_for(now, where_shown, where_not):
    check(decided(HIDE, now, tokens("FirstName")), where_shown)
    check(decided(HIDE, now, tokens()), where_not)


# -- what is answered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("intent", "answer", "done"),
    [
        (NOTE, ok(200, meta_data=META), DONE),
        (NOTE, ok(200, meta_data={**META, "more": 1}), DONE),
        (DELETE, ok(200, message="Matching rule deleted successfully"), Done("deleted", RULE)),
        (MAIL, ok(200, message="Identity updated successfully"), Done("updated", IDENTITY)),
        (HIDE, ok(200, message="Fields tokenized successfully"), HIDDEN),
    ],
)
def test_the_answer_of_the_route_is_the_outcome(intent, answer, done):
    verdict = judged(intent, answer)
    assert (verdict.decision, verdict.acted, verdict.accepted) == (done, True, True)


@pytest.mark.parametrize(
    ("intent", "answer"),
    [
        (NOTE, ok(200, meta_data={"file": "B"})),
        (NOTE, ok(200, message="Updated")),
        (NOTE, Response(status=200)),
        (MAIL, ok(200)),
        (MAIL, ok(200, message=7)),
        (MAIL, ok(200, message="Updated", error="No.")),
        (MAIL, Response(status=200)),
        (HIDE, ok(200, identity_id=IDENTITY)),
    ],
)
def test_a_success_that_is_none_of_the_route_proves_nothing_and_counts_for_none(intent, answer):
    verdict = judged(intent, answer)
    assert isinstance(verdict.decision, Look)
    assert not verdict.decision.refuse
    assert (verdict.acted, verdict.accepted) == (True, False)


def test_an_error_is_none_of_the_route_even_with_its_sentence():
    sentence = {"message": "Identity updated successfully"}
    refused = judged(MAIL, replace(refusal(400, "GEN_VALIDATION_ERROR"), body=sentence))
    assert isinstance(refused.decision, Dead)
    assert (refused.decision.dead_class, refused.acted, refused.accepted) == (DeadClass.REFUSED, False, False)
    unclear = judged(MAIL, Response(status=500, body=sentence))
    assert isinstance(unclear.decision, Look)
    assert (unclear.acted, unclear.accepted) == (True, False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": "Done"}, True),
        ({"message": ""}, True),
        ({"message": "Done", "identity_id": IDENTITY}, True),
        ({"message": None}, False),
        ({"message": ["Done"]}, False),
        ({"error": "No."}, False),
        ({"message": "Done", "error_detail": {}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_sentence_alone_says_that_it_was_done(body, expected):
    assert is_message(entry_of(MAIL), Response(status=200, body=body)) is expected
