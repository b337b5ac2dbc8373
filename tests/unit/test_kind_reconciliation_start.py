"""reconciliation.start and start_instant: another start is another run (contract §2.12, §4)."""

from __future__ import annotations

import pytest
from kindbook import (  # fmt: skip
    AMBIGUOUS,
    QUIET_S,
    an_id,
    decided,
    judged,
    ok,
    progress,
    refusal,
    requested,
    sent,
    survives_the_journal,
)

from blnk_relay import InvalidIntent, result_of, start_instant_reconciliation, start_reconciliation
from blnk_relay.intents.model import Again, Dead, DeadClass, Done, Failure, Look, Lookup, Record, Response, Send
from blnk_relay.intents.replaying import ReplayWay, plan_replay

UPLOAD, RULE, RUN, BROUGHT_BY = an_id("upload"), an_id("rule"), an_id("recon"), an_id("instant")
START = start_reconciliation(UPLOAD, "one_to_one", [RULE])
RECORD = {"id": "s-1", "amount": 50.5, "date": "2026-11-20T10:00:00Z", "currency": "EUR", "reference": "r"}
INSTANT = start_instant_reconciliation([RECORD, {**RECORD, "id": "s-2"}], "one_to_one", [RULE], dry_run=True)
FIRST = Record("external-transactions", {"id": "s-1", "upload_id": BROUGHT_BY})
RUNNING = Record("reconciliations", {"reconciliation_id": RUN, "upload_id": BROUGHT_BY, "status": "started"})


def counted(number):
    return Record("upload-sizes", {"upload_id": BROUGHT_BY, "count": number})


def test_the_routes_and_their_bodies():
    request = requested(START)
    assert (request.method, request.path) == ("POST", "/reconciliation/start")
    assert request.body == {"upload_id": UPLOAD, "strategy": "one_to_one", "matching_rule_ids": [RULE]}
    instant = requested(INSTANT)
    assert (instant.method, instant.path) == ("POST", "/reconciliation/start-instant")
    assert instant.body["dry_run"] is True
    assert [record["id"] for record in instant.body["external_transactions"]] == ["s-1", "s-2"]


def test_ids_may_be_links_in_lists_too():
    intent = start_reconciliation(result_of("nov", "upload_id"), "one_to_one", [result_of("exact", "rule_id"), RULE])
    assert survives_the_journal(intent)
    assert survives_the_journal(INSTANT)
    assert requested(intent).body["matching_rule_ids"] == [RULE, RULE]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"strategy": "best"}, "strategy"),
        ({"matching_rule_ids": []}, "matching_rule_ids"),
        ({"matching_rule_ids": ["exact"]}, "matching_rule_ids.0"),
        ({"matching_rule_ids": [RULE] * 101}, "matching_rule_ids"),
        ({"grouping_criteria": "amount"}, "grouping_criteria"),
        ({"dry_run": 1}, "dry_run"),
        ({"upload_id": BROUGHT_BY}, "upload_id"),
    ],
)
def test_what_the_ledger_would_only_notice_later_is_refused_here(changes, field):
    given = {"upload_id": UPLOAD, "strategy": "one_to_one", "matching_rule_ids": [RULE], **changes}
    with pytest.raises(InvalidIntent) as caught:
        start_reconciliation(**given)
    assert list(caught.value.errors) == [field]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [RECORD, RECORD],
        [{**RECORD, "id": ""}],
        [{**RECORD, "amount": "50"}],
        [{**RECORD, "amount": True}],
        [{**RECORD, "amount": float("inf")}],
        [{**RECORD, "date": "2026-11-20"}],
        [{**RECORD, "source": "x" * 256}],
        [{**RECORD, "colour": "red"}],
        [{**RECORD, "id": f"s-{number}"} for number in range(10_001)],
    ],
)
def test_records_of_an_instant_run_are_read_here_first(records):
    with pytest.raises(InvalidIntent) as caught:
        start_instant_reconciliation(records, "one_to_one", [RULE])
    assert list(caught.value.errors) == ["external_transactions"]


# -- start -----------------------------------------------------------------------------------------------------------


def test_a_start_that_never_left_is_sent_again():
    assert decided(START, progress()) == Send(memo={"upload": UPLOAD})
    assert isinstance(judged(START, Response(failure=Failure.NOT_SENT)).decision, Again)
    assert isinstance(judged(START, refusal(429, "GEN_RATE_LIMITED")).decision, Again)


@pytest.mark.parametrize("response", [*AMBIGUOUS, refusal(500, "RECON_START_FAILED"), refusal(503, "")])
def test_a_start_that_may_have_happened_is_unknown_at_once(response):
    verdict = judged(START, response)
    assert isinstance(verdict.decision, Dead)
    assert (verdict.decision.dead_class, verdict.decision.code) == (DeadClass.UNKNOWN, "NOTHING_CAN_TELL")
    assert verdict.acted


@pytest.mark.parametrize("ago_s", [1, QUIET_S, 1_000_000])
def test_no_machine_ever_sends_it_again(ago_s):
    decision = decided(START, sent(ago_s))
    assert isinstance(decision, Dead)
    assert decision.dead_class is DeadClass.UNKNOWN
    assert plan_replay("reconciliation.start", decision.dead_class, decision.code).way is ReplayWay.NO


def test_the_answer_that_names_the_run_is_the_outcome():
    assert judged(START, ok(200, reconciliation_id=RUN)).decision == Done("started", RUN)
    assert judged(INSTANT, ok(200, reconciliation_id=RUN)).decision == Done("started", RUN)


@pytest.mark.parametrize(
    "code", ["RECON_MATCHING_RULES_REQUIRED", "RECON_EXTERNAL_TXNS_REQUIRED", "GEN_VALIDATION_ERROR"]
)
def test_a_payload_that_the_ledger_refuses_is_refused(code):
    for intent in (START, INSTANT):
        decision = judged(intent, refusal(400, code)).decision
        assert isinstance(decision, Dead)
        assert decision.dead_class is DeadClass.REFUSED


# -- start instant ---------------------------------------------------------------------------------------------------


def test_an_instant_run_is_not_sent_when_its_first_record_exists():
    asked: list[Lookup] = []
    assert decided(INSTANT, progress(), asked=asked) == Send(memo={"first": "s-1"})
    assert asked == [Lookup("external-transactions", "id", "s-1")]
    decision = decided(INSTANT, progress(), FIRST)
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.REFUSED, "RECORDS_EXIST")


@pytest.mark.parametrize(
    ("shown", "ago_s", "expected"),
    [
        ((FIRST, RUNNING, counted(2)), 1, Done("started", RUN)),
        ((FIRST, RUNNING, counted(1)), 1, Look),
        ((FIRST, counted(2)), 1, Look),
        ((FIRST, RUNNING, counted(1)), QUIET_S, DeadClass.PARTIAL),
        ((FIRST, counted(2)), QUIET_S, DeadClass.PARTIAL),
        ((), 1, Look),
        ((), QUIET_S, Send(memo={"first": "s-1"})),
    ],
)
def test_after_an_ambiguous_answer_the_run_is_found_by_its_first_record(shown, ago_s, expected):
    decision = decided(INSTANT, sent(ago_s), *shown)
    if isinstance(expected, DeadClass):
        assert isinstance(decision, Dead)
        assert decision.dead_class is expected
    elif isinstance(expected, type):
        assert isinstance(decision, expected)
    else:
        assert decision == expected


@pytest.mark.parametrize("response", [*AMBIGUOUS, refusal(500, "RECON_START_FAILED")])
def test_an_answer_that_proves_nothing_about_an_instant_run_is_looked_up(response):
    assert isinstance(judged(INSTANT, response).decision, Look)
