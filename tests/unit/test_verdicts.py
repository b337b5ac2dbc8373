"""What answers mean for payments, refunds and holds beyond the rows of contract §5.

The rows themselves are tried on every kind in ``test_kind_contract.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from casebook import (
    AGAIN,
    DAY,
    DONE,
    LOOK,
    LOOK_REFUSE,
    OPEN,
    POLICY,
    REFUSED,
    SECOND,
    SLOW,
    STRAIN,
    action,
    entry_of,
    payment,
    progress,
    sent,
    txn,
)
from hypothesis import given
from hypothesis import strategies as st

from blnk_relay import commit_hold, refund, void_hold
from blnk_relay.intents.decision import Again, Dead, DeadClass, Done, Look
from blnk_relay.intents.exchange import LEASE_OVER, Failure, GateAction, GateChange, Request, Response, Verdict
from blnk_relay.intents.retry import RETRY_AFTER_MAX_S, Backoff
from blnk_relay.intents.verdict_table import (
    ALL,
    HELD_BACK,
    NOT_HERE,
    NOT_SENT,
    REDIRECT,
    STRANGE_2XX,
    STRANGE_4XX,
    STRANGE_5XX,
    TABLE,
    Meaning,
    Rule,
)
from blnk_relay.intents.verdicts import code_of, rule_for, verdict_for
from blnk_relay.kinds.registry import KINDS

# Routes, each in the mode in which it is used: queue mode is what the contract calls the ledger's own queue.
QUEUED = entry_of(payment()), {}
SKIPPED = entry_of(payment(skip_queue=True)), {}
COMMIT = entry_of(commit_hold("hold-1")), {"row": txn(2), "before": "0"}
PART = entry_of(commit_hold("hold-1", precise_amount=400), "a-part"), {"row": txn(2), "before": "0"}
VOID = entry_of(void_hold("hold-1")), {"row": txn(2), "before": "0"}
REFUND = entry_of(refund("order_42")), {"row": txn(2)}

PAYMENTS = (QUEUED, SKIPPED)
HOLDS = (COMMIT, PART, VOID)
EVERYTHING = (*PAYMENTS, *HOLDS, REFUND)

CHILD = {"transaction_id": txn(9), "parent_transaction": txn(2), "precise_amount": 400}
ERRORS = {"errors": "amount: either amount or precise_amount is required."}


def wrong(text):
    return {"error": text}


# Successes, and what only looks like one: status, code, body, for whom -> action, may have acted, counted, gate.
ROWS = [
    # Success.
    (201, "", {"status": "QUEUED", "precise_amount": 1050}, [QUEUED], LOOK, True, True, OPEN),
    (201, "", {"status": "SCHEDULED"}, [QUEUED], LOOK, True, True, OPEN),
    (
        201,
        "",
        {"status": "APPLIED", "reference": "order_42", "transaction_id": txn(9)},
        [SKIPPED],
        DONE,
        True,
        True,
        OPEN,
    ),
    (201, "", {"status": "QUEUED"}, [REFUND], LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "APPLIED"}, [COMMIT], DONE, True, True, OPEN),
    # One child in the answer is no proof of only one: a gateway may have repeated the PUT (finding R4).
    (200, "", CHILD | {"status": "APPLIED"}, [PART], LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "VOID"}, [VOID], DONE, True, True, OPEN),
    (202, "", {}, EVERYTHING, LOOK, True, True, OPEN),
    # A success that says something else than it should: read.
    (200, "", {}, PAYMENTS, LOOK, True, True, OPEN),
    (204, "", None, EVERYTHING, LOOK, True, True, OPEN),
    (201, "", None, EVERYTHING, LOOK, True, True, OPEN),
    (200, "", None, EVERYTHING, LOOK, True, True, OPEN),
    (201, "", {"status": "INFLIGHT", "reference": "order_42"}, [SKIPPED], LOOK, True, True, OPEN),
    (201, "", {"status": "APPLIED", "reference": "other"}, [SKIPPED], LOOK, True, True, OPEN),
    (201, "", {"status": "REJECTED", "reference": "order_42"}, [SKIPPED], LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "INFLIGHT", "queued": True}, HOLDS, LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "APPLIED", "parent_transaction": txn(1)}, HOLDS, LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "APPLIED", "precise_amount": 401}, [PART], LOOK, True, True, OPEN),
    (200, "", CHILD | {"status": "VOID"}, [COMMIT, PART], LOOK, True, True, OPEN),
]


def answer(status, code="", body=None, **changes: Any):
    message = (body or {}).get("error") or (body or {}).get("errors") or ""
    return Response(
        status=status, code=code, message=message, body=body, has_errors="errors" in (body or {}), **changes
    )


def judged(whom, response, now=None) -> Verdict:
    entry, memo = whom
    kind = KINDS[entry.kind]
    now = replace(now or progress(), memo=memo)
    return kind.judge(entry, now, kind.request(entry, now, POLICY), response, POLICY)


@pytest.mark.parametrize(
    ("whom", "response", "expected"),
    [
        pytest.param(
            whom,
            answer(status, code, body),
            expected,
            id=f"{status}-{code}-{whom[0].kind}-{'skip' if whom[0].payload.get('skip_queue') else ''}-{number}",
        )
        for number, (status, code, body, all_, *expected) in enumerate(ROWS)
        for whom in all_
    ],
)
def test_an_answer_means_what_the_contract_says(whom, response, expected):
    verdict = judged(whom, response)
    gate = verdict.gate.action if verdict.gate else None
    assert [action(verdict), verdict.acted, verdict.counted, gate] == expected
    shown = expected[0] == DONE or (whom == PART and response.body == CHILD | {"status": "APPLIED"})
    of_another = (response.body or {}).get("reference") == "other"
    assert verdict.accepted == ((response.status in (201, 202) and not of_another) or (whom in HOLDS and shown))


# -- after other attempts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whom", "response", "tries", "in_the_end"),
    [
        (QUEUED, answer(400, "TXN_VALIDATION_ERROR", wrong("anything")), 3, LOOK_REFUSE),
        (COMMIT, answer(400, "GEN_BAD_REQUEST", wrong("x")), 5, LOOK_REFUSE),
        (REFUND, answer(400, "GEN_BAD_REQUEST", wrong("x")), 5, LOOK_REFUSE),
        (COMMIT, answer(400, "TXN_NOT_INFLIGHT", wrong("x")), 5, LOOK_REFUSE),
        (REFUND, answer(404, "TXN_NOT_FOUND", wrong("x")), 8, LOOK_REFUSE),
        (SKIPPED, answer(409, "GEN_CONFLICT", wrong("x")), 10, REFUSED),
        # What the contract does not know may be passing.
        (QUEUED, answer(409, "GEN_CONFLICT", wrong("x")), 5, LOOK_REFUSE),
        (QUEUED, answer(409, "SOMETHING_NEW", wrong("x")), 5, LOOK_REFUSE),
        (REFUND, answer(418), 5, LOOK_REFUSE),
        (COMMIT, answer(400), 5, LOOK_REFUSE),
        (QUEUED, answer(422), 5, REFUSED),
        (QUEUED, answer(500), 25, LOOK_REFUSE),
        (QUEUED, answer(504), 25, LOOK_REFUSE),
        (QUEUED, answer(423, "GEN_RESOURCE_LOCKED"), 25, REFUSED),
        (QUEUED, Response(failure=Failure.BROKEN), 25, LOOK_REFUSE),
    ],
)
def test_tries_are_limited(whom, response, tries, in_the_end):
    before = judged(whom, response, progress(attempts=tries - 2))
    last = judged(whom, response, progress(attempts=tries - 1))
    assert action(before) in (LOOK, AGAIN)
    assert action(last) == in_the_end
    assert action(judged(whom, response, progress(attempts=tries + 5))) == in_the_end


@pytest.mark.parametrize(
    "response",
    [answer(status) for status in (401, 403, 429, 301, 404, 502, 503)],
    ids=lambda answer: str(answer.status),
)
def test_what_is_not_counted_never_ends_in_a_dead_letter(response):
    verdict = judged(QUEUED, response, sent(attempts=24))
    assert action(verdict) in (AGAIN, LOOK)


def test_a_lock_is_waited_out_for_the_five_minutes_that_it_can_stand():
    waited_s = attempts = 0
    while (verdict := judged(SKIPPED, answer(423), progress(attempts=attempts))) and action(verdict) == AGAIN:
        waited_s += verdict.decision.in_s
        attempts += 1
    assert waited_s > 300
    assert judged(SKIPPED, answer(423)).decision.in_s <= 0.5, "the first pause is short"


def test_an_optimistic_lock_is_tried_again_within_seconds():
    for attempts in range(4):
        assert 0 < judged(SKIPPED, answer(409, "GEN_CONFLICT"), progress(attempts=attempts)).decision.in_s <= 2


@pytest.mark.parametrize("status", [502, 503])
def test_the_pauses_of_a_long_outage_grow(status):
    first = judged(QUEUED, answer(status)).decision.in_s
    later = judged(QUEUED, answer(status), sent(600_000, attempts=0)).decision.in_s
    assert first < 1
    assert later == POLICY.retry.cap_s


# -- Retry-After ---------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(EVERYTHING),
    st.sampled_from((408, 409, 423, 429, 500, 502, 503, 504)),
    st.floats(0, RETRY_AFTER_MAX_S),
    st.integers(0, 30),
    st.sampled_from([replace(now, draw=draw) for now in (progress(), sent()) for draw in (0.0, 0.5, 0.999)]),
)
def test_nothing_is_repeated_sooner_than_the_ledger_asked(whom, status, asked_s, attempts, now):
    now = replace(now, attempts=attempts)
    verdict = judged(whom, answer(status, "GEN_CONFLICT" if status == 409 else "", retry_after_s=asked_s), now)
    if isinstance(verdict.decision, Again | Look):
        assert verdict.decision.in_s >= asked_s
    if verdict.gate is not None:
        assert verdict.gate.wait_s >= asked_s
        assert verdict.gate.action is GateAction.SLOW


@pytest.mark.parametrize("asked_s", [10.0**9, float("inf")])
def test_no_header_shuts_a_target_for_days(asked_s):
    for status in (429, 503):
        verdict = judged(QUEUED, answer(status, retry_after_s=asked_s))
        assert verdict.gate.wait_s == verdict.decision.in_s == RETRY_AFTER_MAX_S


def test_backpressure_slows_the_lane_for_half_a_minute_and_no_other():
    gate = judged(QUEUED, answer(503, "QUEUE_BACKPRESSURE")).gate
    assert gate == GateChange(SLOW, "QUEUE_BACKPRESSURE", 30.0, lane=True)
    assert not judged(QUEUED, answer(429)).gate.lane, "a limiter is about everybody"


def test_a_target_that_cannot_be_reached_is_told_from_a_request_that_we_did_not_make():
    lost = judged(QUEUED, Response(failure=Failure.NOT_SENT, code="ConnectTimeout")).gate
    assert lost == GateChange(GateAction.LOST, "UNREACHABLE", 0.0, note="ConnectTimeout")
    named = judged(QUEUED, Response(failure=Failure.NOT_SENT, code="ConnectError", message="no such host")).gate
    assert named == GateChange(GateAction.LOST, "UNREACHABLE", 0.0, note="ConnectError: no such host")
    ours = judged(QUEUED, Response(failure=Failure.NOT_SENT, code="NO_ACCESS_TOKEN")).gate
    assert ours == GateChange(STRAIN, "NO_ACCESS_TOKEN", 0.0)
    assert judged(QUEUED, Response(failure=Failure.NOT_SENT, code="KEY_CHANGED")).gate is None, "it simply goes again"


@pytest.mark.parametrize("code", ["GEN_CONFLICT", "TXN_ALREADY_REFUNDED"])
def test_a_refund_that_was_made_already_is_looked_up_and_never_sent_again(code):
    verdict = judged(REFUND, answer(409, code, wrong("already been refunded")))
    assert (action(verdict), verdict.acted) == (LOOK_REFUSE, True)


# -- every answer --------------------------------------------------------------------------------------------------

codes = st.sampled_from(sorted({rule.code for rule in TABLE})) | st.text(max_size=20)
bodies = st.none() | st.dictionaries(
    st.sampled_from(
        ("status", "reference", "precise_amount", "parent_transaction", "transaction_id", "errors", "error")
    ),
    st.none() | st.integers() | st.text(max_size=5) | st.booleans() | st.lists(st.integers(), max_size=2),
)


@given(
    st.sampled_from(EVERYTHING),
    st.integers(100, 599),
    codes,
    bodies,
    st.sampled_from((progress(), sent(), sent(attempts=40), progress(attempts=10**6))),
)
def test_every_answer_has_a_meaning(whom, status, code, body, now):
    response = Response(status=status, code=code, body=body, has_errors=bool(body and "errors" in body))
    verdict = judged(whom, response, now)
    if isinstance(verdict.decision, Dead):
        # A dead letter straight from an answer says: it has not happened, and never did.
        assert verdict.decision.dead_class is DeadClass.REFUSED
        assert not verdict.acted
        assert not now.sent
        assert verdict.decision.code
        assert verdict.decision.message
    if isinstance(verdict.decision, Again):
        assert not verdict.acted, "what may have happened is looked up, never simply sent again"
        assert verdict.decision.in_s > 0
    if status >= 500 or status < 300:
        assert verdict.acted


@given(st.sampled_from(("transaction", "inflight", "refund")), st.booleans(), st.integers(0, 999), codes)
def test_there_is_a_row_for_everything(route, sync, status, code):
    request = Request("POST", "/x", route, {}, sync=sync)
    rule = rule_for(request, Response(status=status, code=code))
    assert rule.why
    assert verdict_for(rule, progress(), Response(status=status, code=code), POLICY).decision


def test_a_hold_queued_at_the_ledger_is_waited_for():
    request = Request("PUT", "/x", "inflight", {}, sync=False)
    verdict = verdict_for(rule_for(request, answer(200)), progress(), answer(200), POLICY)
    assert (action(verdict), verdict.accepted) == (LOOK, True)


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (answer(400, "TXN_X"), "TXN_X"),
        (answer(502), "HTTP_502"),
        (Response(failure=Failure.BROKEN, code="ReadTimeout"), "ReadTimeout"),
        (Response(failure=Failure.BROKEN), "NO_ANSWER"),
    ],
)
def test_every_answer_has_a_code(response, code):
    assert code_of(response) == code


# -- what a success proves -----------------------------------------------------------------------------------------


def test_a_skip_mode_success_is_the_outcome_with_the_real_id():
    verdict = judged(SKIPPED, answer(201, "", {"status": "APPLIED", "reference": "order_42", "transaction_id": txn(9)}))
    assert verdict.decision == Done("applied", txn(9))


def test_a_skip_mode_hold_is_held():
    whom = entry_of(payment(skip_queue=True, inflight=True)), {}
    body = {"status": "INFLIGHT", "reference": "order_42", "transaction_id": txn(9)}
    assert judged(whom, answer(201, "", body)).decision == Done("held", txn(9))
    assert action(judged(whom, answer(201, "", body | {"status": "APPLIED"}))) == LOOK


def test_a_settled_hold_names_its_child_and_itself():
    assert judged(COMMIT, answer(200, "", CHILD | {"status": "APPLIED"})).decision == Done("applied", txn(9), txn(2))
    assert judged(VOID, answer(200, "", CHILD | {"status": "VOID"})).decision == Done("voided", txn(9), txn(2))


@pytest.mark.parametrize("whom", PAYMENTS)
@pytest.mark.parametrize("echo", [1051, 0, "1051", "", 10.5, "1e99", True])
def test_an_echo_of_another_amount_stops_the_target(whom, echo):
    body = {"status": "APPLIED", "reference": "order_42", "transaction_id": txn(9), "precise_amount": echo}
    verdict = judged(whom, answer(201, "", body))
    assert verdict.gate == GateChange(GateAction.PAUSE, "ECHO_MISMATCH", 0.0)
    assert action(verdict) == LOOK
    assert verdict.acted


@pytest.mark.parametrize("whom", PAYMENTS)
@pytest.mark.parametrize("echo", [{}, {"precise_amount": 1050}, {"precise_amount": "1050"}, {"precise_amount": None}])
def test_an_echo_of_the_same_amount_stops_nothing(whom, echo):
    body = {"status": "APPLIED", "reference": "order_42", "transaction_id": txn(9)} | echo
    assert judged(whom, answer(201, "", body)).gate is None


@pytest.mark.parametrize("whom", [QUEUED, REFUND])
def test_with_confirm_accepted_a_success_with_a_body_is_enough(whom):
    entry, memo = whom
    kind, now = KINDS[entry.kind], progress(memo=memo)
    policy = replace(POLICY, confirm=False)
    request = kind.request(entry, now, POLICY)
    reference = request.body.get("reference", f"{memo.get('row')}_refund")
    body = {"status": "QUEUED", "transaction_id": txn(9), "reference": reference}
    # The id of a queued answer may be a phantom's (contract §0.1 fact 2), so it is not kept.
    assert kind.judge(entry, now, request, answer(201, "", body), policy).decision == Done("accepted")
    for proves_nothing in (answer(201), answer(201, "", {}), answer(201, "", {**body, "reference": "another"})):
        assert isinstance(kind.judge(entry, now, request, proves_nothing, policy).decision, Look)


def test_what_was_held_back_at_the_last_moment_is_tried_again_and_no_complaint_about_the_target():
    held_back = Response(failure=Failure.NOT_SENT, code=LEASE_OVER)
    for whom in (QUEUED, PART, REFUND):
        verdict = judged(whom, held_back)
        assert (action(verdict), verdict.acted, verdict.counted, verdict.gate) == (AGAIN, False, False, None)


def test_the_first_look_comes_soon_and_later_ones_as_late_as_a_repeat_would():
    assert judged(QUEUED, answer(500)).decision.in_s == POLICY.confirm_first_s
    assert judged(QUEUED, answer(500), sent(attempts=9, draw=0.9)).decision.in_s > 200


@pytest.mark.parametrize(("ago_ms", "in_s"), [(500, 0.3), (10 * SECOND, 6.0), (DAY, POLICY.retry.cap_s)])
def test_where_no_attempt_is_counted_pauses_grow_with_the_time_since_the_first(ago_ms, in_s):
    policy = replace(POLICY, confirm_first_s=0.1)
    now = sent(ago_ms, draw=0.0)
    for uncounted in (answer(502), answer(503)):
        assert verdict_of(uncounted, now, policy).decision.in_s == pytest.approx(in_s)
    # Attempts that are counted say enough, and those that were never sent have no such time.
    assert verdict_of(answer(500), now, policy).decision.in_s == 0.1
    assert verdict_of(answer(500), progress(attempts=1, draw=0.0), policy).decision.in_s == 0.1
    assert verdict_of(answer(502), progress(attempts=1, draw=0.0), policy).decision.in_s == 0.1
    assert verdict_of(answer(423), now, policy).decision.in_s == 0.05, "no pause is none"


def verdict_of(response, now, policy):
    request = Request("POST", "/x", "transaction", {}, sync=True)
    return verdict_for(rule_for(request, response), now, response, policy)


@pytest.mark.parametrize(
    ("response", "action"),
    [
        (answer(503), STRAIN),
        (answer(503, retry_after_s=7.0), SLOW),
        (answer(429, retry_after_s=7.0), SLOW),
        (answer(401, retry_after_s=7.0), GateAction.PAUSE),
    ],
)
def test_a_time_that_is_asked_for_slows_who_is_strained_and_opens_nothing_that_is_shut(response, action):
    gate = judged(QUEUED, response).gate
    assert (gate.action, gate.wait_s) == (action, response.retry_after_s or 0.0)


@pytest.mark.parametrize("no", [answer(400, "GEN_VALIDATION_ERROR"), answer(413), answer(400, "TXN_INVALID_AMOUNT")])
def test_a_clear_no_is_only_final_where_nothing_was_sent_before(no):
    """An earlier try may have happened: the ledger has the last word, and nothing is sent again."""
    later = verdict_of(no, sent(attempts=1, draw=0.0), POLICY).decision
    assert later == Look(POLICY.confirm_first_s, refuse=True)
    # And so may one in moments that the journal has lost, also where a repeat would do no harm.
    lost = verdict_of(no, progress(attempts=1, draw=0.0, lost_ms=1), POLICY).decision
    assert lost == Look(POLICY.confirm_first_s, refuse=True)
    told = replace(no, message="in its words")
    first = verdict_of(told, progress(attempts=1), POLICY).decision
    assert first == Dead(DeadClass.REFUSED, no.code or "HTTP_413", "in its words")
    silent = verdict_of(replace(no, message=""), progress(attempts=1), POLICY).decision
    assert silent.message.startswith("Refused without a message: ")


def test_the_very_first_look_waits_for_no_pause_and_every_later_one_does():
    policy = replace(POLICY, confirm_first_s=0.0, retry=Backoff(10, 60))
    assert verdict_of(answer(500), progress(draw=0.9), policy).decision.in_s == 0.0
    assert verdict_of(answer(500), progress(draw=0.9, attempts=1), policy).decision.in_s == 18.0
    assert verdict_of(answer(500), progress(draw=0.9, first_sent_ms=1), policy).decision.in_s == 9.0
    for accepted in (answer(201), answer(202)):
        assert verdict_of(accepted, progress(draw=0.9, attempts=1), POLICY).decision == Look(POLICY.confirm_first_s)


@pytest.mark.parametrize(
    ("gate", "draw", "asked_s", "in_s"),
    [(None, 0.9, None, 2.0), (None, 0.9, 7.0, 7.0), (None, 0.0, None, 0.05), (SLOW, 0.9, None, 54.0)],
)
def test_what_may_go_again_soon_goes_within_seconds_unless_the_whole_target_waits(gate, draw, asked_s, in_s):
    rule, policy = (
        Rule(429, "", ALL, Meaning.SOON, "why", gate=gate, counted=False),
        replace(POLICY, retry=Backoff(1, 60)),
    )
    now = progress(attempts=9, draw=draw)
    assert verdict_for(rule, now, answer(429, retry_after_s=asked_s), policy).decision.in_s == pytest.approx(in_s)


def test_what_no_row_is_about_has_one_by_its_sort():
    request = Request("POST", "/x", "transaction", {}, sync=True)
    sorts = {
        199: STRANGE_2XX,
        299: STRANGE_2XX,
        307: NOT_HERE,
        308: NOT_HERE,
        309: REDIRECT,
        399: REDIRECT,
        499: STRANGE_4XX,
        599: STRANGE_5XX,
        700: STRANGE_5XX,
    }
    assert {status: rule_for(request, answer(status)) for status in sorts} == sorts
    held_back = Response(failure=Failure.NOT_SENT, code=LEASE_OVER)
    assert rule_for(request, held_back) is HELD_BACK
    assert rule_for(request, Response(failure=Failure.NOT_SENT, code="ConnectTimeout")) is NOT_SENT


def test_what_no_repeat_may_follow_is_looked_for_as_late_as_a_repeat_would_come():
    rule, policy = Rule(400, "", ALL, Meaning.VERIFY_NEVER, "why"), replace(POLICY, retry=Backoff(10, 60))
    later = verdict_for(rule, progress(attempts=1, draw=0.9), answer(400), policy).decision
    assert later == Look(18.0, refuse=True)
