"""reconciliation.start and start_instant: another start is another run (contract §2.12, §4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from casebook import POLICY
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
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.exchange import Failure, Response
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.intents.rows import capped
from blnk_relay.kinds.reconciliation_start import MOST_RUNS
from blnk_relay.replay import ReplayWay, plan_replay

UPLOAD, RULE, RUN, BROUGHT_BY = an_id("upload"), an_id("rule"), an_id("recon"), an_id("instant")
START = start_reconciliation(UPLOAD, "one_to_one", [RULE])
RECORD = {"id": "s-1", "amount": 50.5, "date": "2026-11-20T10:00:00Z", "currency": "EUR", "reference": "r"}
INSTANT = start_instant_reconciliation([RECORD, {**RECORD, "id": "s-2"}], "one_to_one", [RULE], dry_run=True)
SEND_INSTANT = Send(memo={"first": "s-1"}, exclusive=INSTANT.orders[0], seen=None, settled_s=POLICY.read_lag_s)
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

FIRST_RUN, OUR_RUN, THIRD_RUN = (an_id("recon", number) for number in (11, 12, 13))
BEFORE = {"upload": UPLOAD, "runs": [FIRST_RUN]}
UNCOUNTED = {"upload": UPLOAD}


def runs(*ids: str) -> Record:
    return Record("upload-runs", {"upload_id": UPLOAD, "runs": list(ids)})


#: What a bare Core shows of the runs of an upload.
UNREADABLE = Record("upload-runs", {"upload_id": UPLOAD, "runs": None})


def test_the_runs_of_its_upload_are_recorded_before_it_is_sent_as_the_only_start_of_it():
    asked: list[Lookup] = []
    decision = decided(START, progress(), runs(FIRST_RUN), asked=asked)
    assert decision == Send(memo=BEFORE, exclusive=f"upload:{UPLOAD}", seen=(FIRST_RUN,))
    assert asked == [Lookup("upload-runs", "upload_id", UPLOAD)]


def test_a_start_that_never_left_is_sent_again():
    assert isinstance(judged(START, Response(failure=Failure.NOT_SENT)).decision, Again)
    assert isinstance(judged(START, refusal(429, "GEN_RATE_LIMITED")).decision, Again)


@pytest.mark.parametrize("response", [*AMBIGUOUS, refusal(500, "RECON_START_FAILED"), refusal(503, "")])
def test_a_start_that_may_have_happened_is_looked_up(response):
    verdict = judged(START, response, progress(memo=BEFORE))
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


@pytest.mark.parametrize(
    ("shown", "ago_s", "expected"),
    [
        ((FIRST_RUN, OUR_RUN), QUIET_S, Done("started", OUR_RUN)),
        # A second run may join it as long as anything of ours can be under way.
        ((FIRST_RUN, OUR_RUN), 1, Look),
        ((FIRST_RUN,), 1, Look),
        # What was there before is missing: the read is older than that, and says nothing.
        ((OUR_RUN,), QUIET_S, Look),
        ((), QUIET_S, Look),
    ],
)
def test_exactly_one_run_more_than_before_is_ours(shown, ago_s, expected):
    decision = decided(START, sent(ago_s, memo=BEFORE), runs(*shown))
    assert isinstance(decision, expected) if isinstance(expected, type) else decision == expected


def test_after_the_silence_no_run_more_means_that_it_did_not_happen_and_the_first_measure_stays():
    decision = decided(START, sent(QUIET_S, memo=BEFORE), runs(FIRST_RUN))
    assert decision == Send(memo=BEFORE, exclusive=f"upload:{UPLOAD}", seen=(FIRST_RUN,))
    refused = decided(START, sent(QUIET_S, memo=BEFORE, refuse=True, code="HTTP_400"), runs(FIRST_RUN))
    assert refused == Dead(DeadClass.REFUSED, "HTTP_400", "")


def test_several_runs_more_are_for_a_human_who_is_told_their_ids():
    decision = decided(START, sent(QUIET_S, memo=BEFORE), runs(FIRST_RUN, OUR_RUN, THIRD_RUN))
    assert isinstance(decision, Dead)
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "SEVERAL_RUNS")
    assert OUR_RUN in decision.message
    assert THIRD_RUN in decision.message
    assert FIRST_RUN not in decision.message
    assert plan_replay("reconciliation.start", decision.dead_class, decision.code).way is ReplayWay.NO
    many = decided(START, sent(QUIET_S, memo=BEFORE), runs(FIRST_RUN, *(an_id("recon", 20 + n) for n in range(50))))
    assert isinstance(many, Dead)
    assert capped(many.message) == many.message


@pytest.mark.parametrize("shown", [UNREADABLE, runs(*(an_id("recon", number) for number in range(MOST_RUNS + 1)))])
def test_where_the_runs_cannot_be_counted_nothing_tells_and_no_machine_sends_it_again(shown):
    assert decided(START, progress(), shown) == Send(memo=UNCOUNTED)
    for response in (*AMBIGUOUS, refusal(500, "RECON_START_FAILED"), refusal(503, "")):
        verdict = judged(START, response, progress(memo=UNCOUNTED))
        assert isinstance(verdict.decision, Dead)
        assert (verdict.decision.dead_class, verdict.decision.code) == (DeadClass.UNKNOWN, "NOTHING_CAN_TELL")
        assert verdict.acted
    for ago_s in (1, QUIET_S, 1_000_000):
        decision = decided(START, sent(ago_s, memo=UNCOUNTED), runs(OUR_RUN))
        assert isinstance(decision, Dead)
        assert decision.dead_class is DeadClass.UNKNOWN
        assert plan_replay("reconciliation.start", decision.dead_class, decision.code).way is ReplayWay.NO


def forgotten(ago_s):
    """It may have been sent in moments that the journal has lost, so long ago."""
    return sent(ago_s, memo={}, lost_ms=1)


def test_what_the_journal_may_have_forgotten_is_counted_before_it_is_sent():
    assert isinstance(decided(START, forgotten(1), runs()), Look)
    fresh = Send(memo={"upload": UPLOAD, "runs": []}, exclusive=f"upload:{UPLOAD}")
    assert decided(START, forgotten(QUIET_S), runs()) == fresh
    # Each run that stands there may be ours, and only the journal knows of those that others made.
    decision = decided(START, forgotten(QUIET_S), runs(FIRST_RUN, OUR_RUN))
    assert isinstance(decision, Send)
    assert decision.perhaps_ours == decision.seen == (FIRST_RUN, OUR_RUN)
    assert decision.otherwise is not None
    assert (decision.otherwise.dead_class, decision.otherwise.code) == (DeadClass.UNKNOWN, "MOMENT_LOST")
    assert OUR_RUN in decision.otherwise.message
    assert capped(decision.otherwise.message) == decision.otherwise.message
    assert plan_replay("reconciliation.start", DeadClass.UNKNOWN, "MOMENT_LOST").way is ReplayWay.NO
    unreadable = decided(START, forgotten(QUIET_S), UNREADABLE)
    assert isinstance(unreadable, Dead)
    assert unreadable.code == "NOTHING_CAN_TELL"


def test_a_refusal_after_a_loss_is_believed_only_where_no_run_may_be_ours():
    now = replace(forgotten(QUIET_S), refuse=True, code="GEN_VALIDATION_ERROR", message="why")
    decision = decided(START, now, runs(OUR_RUN))
    assert isinstance(decision, Send)
    assert (decision.perhaps_ours, decision.otherwise.code) == ((OUR_RUN,), "MOMENT_LOST")
    refused = decided(START, now, runs())
    assert (refused.dead_class, refused.code) == (DeadClass.REFUSED, "GEN_VALIDATION_ERROR")


def test_a_read_that_is_gone_for_a_while_decides_nothing_about_a_start_that_was_counted():
    assert isinstance(decided(START, sent(QUIET_S, memo=BEFORE), UNREADABLE), Look)


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
    assert decided(INSTANT, progress(), asked=asked) == SEND_INSTANT
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
        ((), QUIET_S, SEND_INSTANT),
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


def test_an_instant_run_is_looked_for_by_the_first_id_that_the_ledger_reads_back_as_itself():
    records = [{**RECORD, "id": id_} for id_ in ("0042", "s-2")]
    intent = start_instant_reconciliation(records, "one_to_one", [RULE])
    asked: list[Lookup] = []
    assert len(decided(intent, progress(), asked=asked).exclusive) == len(intent.orders) == 2
    assert asked == [Lookup("external-transactions", "id", "s-2")]
    # The first may be there all the same, which nobody can look for.
    decision = decided(intent, sent(QUIET_S, refuse=True, code="RECON_START_FAILED"))
    assert (decision.dead_class, decision.code) == (DeadClass.UNKNOWN, "NOTHING_CAN_TELL")
    decision = decided(INSTANT, sent(QUIET_S, refuse=True, code="RECON_START_FAILED"))
    assert decision.dead_class is DeadClass.REFUSED
