"""What starts a reconciliation, and what brings external records (``families.run``)."""

from __future__ import annotations

from typing import Any

import pytest
from casebook import POLICY
from kindbook import QUIET_S, an_id, decided, judged, ok, progress, refusal, sent

from blnk_relay import InvalidIntent, start_instant_reconciliation, start_reconciliation, upload_records
from blnk_relay.families.run import (
    GROUPINGS,
    MAX_RULES,
    NOTHING_CAN_TELL,
    STRATEGIES,
    refused_unseen,
    send_by_turn,
    started,
    stored_of,
    turn_of,
    turns_of,
)
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Request, Response
from blnk_relay.intents.found import Found, Record
from blnk_relay.intents.intent import Intent

UPLOAD, RULE, RUN = an_id("upload"), an_id("rule"), an_id("recon")
START = start_reconciliation(UPLOAD, "one_to_one", [RULE])


def instant(*ids: str) -> Intent:
    records = [{"id": id_, "amount": 1.5, "currency": "EUR", "date": "2026-11-20T10:00:00Z"} for id_ in ids]
    return start_instant_reconciliation(records, "one_to_one", [RULE])


def upload(*ids: str) -> Intent:
    lines = [f"{id_},1.50,EUR,r,d,2026-11-20T10:00:00Z" for id_ in ids]
    return upload_records(
        "bank", "\n".join(["ID,Amount,Currency,Reference,Description,Date", *lines]).encode(), name="a.csv"
    )


# -- what may be asked for --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("grouping", [None, *GROUPINGS])
def test_each_strategy_and_grouping_of_the_contract_is_taken(strategy, grouping):
    payload = start_reconciliation(
        UPLOAD, strategy, [RULE] * MAX_RULES, grouping_criteria=grouping, dry_run=True
    ).payload
    assert (payload["strategy"], payload.get("grouping_criteria"), payload["dry_run"]) == (strategy, grouping, True)
    assert len(payload["matching_rule_ids"]) == MAX_RULES


@pytest.mark.parametrize("rules", [[], [RULE] * (MAX_RULES + 1)])
def test_no_rules_or_too_many_are_refused(rules):
    with pytest.raises(InvalidIntent) as caught:
        start_reconciliation(UPLOAD, "one_to_one", rules)
    assert list(caught.value.errors) == ["matching_rule_ids"]


# -- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "is_started"),
    [
        (ok(200, reconciliation_id=RUN), True),
        (ok(200, reconciliation_id=an_id("upload")), False),
        (ok(200, reconciliation_id=7), False),
        (ok(200, reconciliation_id=""), False),
        (ok(200, id=RUN), False),
        (Response(status=200), False),
        (Response(status=500, body={"reconciliation_id": RUN}), False),
        (Response(status=400, body={"reconciliation_id": RUN}, code="GEN_VALIDATION_ERROR"), False),
    ],
)
def test_a_success_that_names_the_run_has_started_it_and_nothing_else_has(response, is_started):
    verdict = started(Request("POST", "/reconciliation/start", "start", {}, sync=True), response)
    if not is_started:
        assert verdict is None
        return
    assert verdict is not None
    assert (verdict.decision, verdict.acted, verdict.accepted) == (Done("started", RUN), True, True)
    for intent in (START, instant("s-1")):
        assert judged(intent, response) == verdict


# -- how many there are -----------------------------------------------------------------------------------------------


def size(count: Any, upload_id: str = UPLOAD) -> Record:
    return Record("upload-sizes", {"upload_id": upload_id, "count": count})


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ((), 0),
        ((size(3),), 3),
        # Of several answers the latest has the most: records are never taken away.
        ((size(2), size(3)), 3),
        ((size(3), size(2)), 3),
        ((size(5, an_id("upload", 2)),), 0),
        ((size(None),), 0),
        ((size("7"), size(2)), 2),
        ((Record("external-transactions", {"upload_id": UPLOAD, "count": 9}),), 0),
    ],
)
def test_the_records_of_an_upload_are_counted_as_the_ledger_does(shown, expected):
    assert stored_of(UPLOAD, Found(records=shown)) == expected


# -- turns ------------------------------------------------------------------------------------------------------------


def test_whatever_brings_one_record_has_one_turn_which_does_not_show_its_id():
    assert turn_of("stmt-1") == turn_of("stmt-1") != turn_of("stmt-2")
    assert turn_of("stmt-1").startswith("turn:external:")
    assert "stmt" not in turn_of("stmt-1")
    assert turns_of("stmt-1", "stmt-1") == (turn_of("stmt-1"),)
    both = turns_of("0042", "stmt-1")
    assert both == turns_of("stmt-1", "0042")
    assert set(both) == {turn_of("0042"), turn_of("stmt-1")}


def test_it_is_sent_as_the_only_one_that_brings_these_records_once_a_read_shows_the_one_before():
    one = Send(memo={"first": "s-1"}, exclusive=turn_of("s-1"), seen=None, settled_s=POLICY.read_lag_s)
    assert send_by_turn("s-1", "s-1", POLICY) == one
    for intent in (upload("s-1", "s-2"), instant("s-1", "s-2")):
        assert decided(intent, progress()) == one
        assert intent.orders == (turn_of("s-1"),)
    two = send_by_turn("0042", "s-2", POLICY)
    assert (two.memo, two.exclusive) == ({"first": "0042"}, turns_of("0042", "s-2"))
    for intent in (upload("0042", "s-2"), instant("0042", "s-2")):
        assert decided(intent, progress()) == two
        assert set(intent.orders) == set(two.exclusive)


# -- a refusal of what is not shown -----------------------------------------------------------------------------------


@pytest.mark.parametrize("brings", [upload, instant])
@pytest.mark.parametrize(
    ("first_id", "message", "code", "says"),
    [
        ("s-1", "why", "X", "why"),
        ("s-1", "", "X", "The ledger could not process the records."),
        ("0042", "why", NOTHING_CAN_TELL, "It was refused (X: why), and"),
        ("0042", "", NOTHING_CAN_TELL, "It was refused (X), and"),
        ("0042", "why: ", NOTHING_CAN_TELL, "It was refused (X: why), and"),
    ],
)
def test_what_was_refused_is_refused_only_where_its_first_record_can_be_looked_for(
    brings, first_id, message, code, says
):
    now = sent(QUIET_S, refuse=True, code="X", message=message)
    end = decided(brings(first_id), now)
    assert isinstance(end, Dead)
    dead_class = DeadClass.UNKNOWN if code == NOTHING_CAN_TELL else DeadClass.REFUSED
    assert (end.dead_class, end.code) == (dead_class, code)
    assert end.message.startswith(says)
    assert refused_unseen(first_id, now) == end
    assert isinstance(decided(brings(first_id), sent(1, refuse=True, code="X", message=message)), Look)


def test_a_refusal_before_anything_can_be_under_way_is_one():
    verdict = judged(upload("0042"), refusal(400, "GEN_VALIDATION_ERROR"))
    assert isinstance(verdict.decision, Dead)
    assert verdict.decision.dead_class is DeadClass.REFUSED
