"""matching_rule.create, .update, .delete: names are ours to keep unique (contract §2.12, §4)."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from casebook import NOW_MS, POLICY
from kindbook import (  # fmt: skip
    AMBIGUOUS,
    QUIET_S,
    SEEN_S,
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

from blnk_relay import InvalidIntent, create_matching_rule, delete_matching_rule, result_of, update_matching_rule
from blnk_relay.intents.decision import Dead, DeadClass, Done, Look, Send
from blnk_relay.intents.found import Lookup, Record
from blnk_relay.intents.references import digest

RULE = an_id("rule")
CRITERIA = [
    {"field": "amount", "operator": "equals", "allowable_drift": 0.01},
    {"field": "reference", "operator": "contains", "value": "x"},
]
CREATE = create_matching_rule("exact", CRITERIA)
UPDATE = update_matching_rule(RULE, "exact", CRITERIA, description="new")
DELETE = delete_matching_rule(RULE)
SEND = Send(memo={"id": RULE}, exclusive=f"rule:{RULE}", seen=(RULE,))
SEND_NEW = Send(
    memo={"name": "exact"}, exclusive=f"rule-name:{digest('exact')}", seen=None, settled_s=POLICY.read_lag_s
)
STORED = [
    {"field": "amount", "operator": "equals", "value": "", "pattern": "", "allowable_drift": Decimal("0.01")},
    {"field": "reference", "operator": "contains", "value": "x", "pattern": "", "allowable_drift": 0},
]


def rule(number=1, **changes: Any):
    data = {"rule_id": an_id("rule", number), "name": "exact", "description": "", "criteria": STORED, **changes}
    return Record("matching-rules", data)


def dead(decision):
    assert isinstance(decision, Dead), decision
    return decision.dead_class, decision.code


def test_the_routes_and_their_bodies():
    create, update, delete = requested(CREATE), requested(UPDATE), requested(DELETE)
    path = "/reconciliation/matching-rules"
    assert (create.method, create.path, create.body) == ("POST", path, {"name": "exact", "criteria": CRITERIA})
    assert (update.method, update.path) == ("PUT", f"{path}/{RULE}")
    assert update.body == {"name": "exact", "description": "new", "criteria": CRITERIA}
    assert (delete.method, delete.path, delete.body) == ("DELETE", f"{path}/{RULE}", {})


def test_the_canonical_payload_makes_the_same_intent_again():
    assert all(survives_the_journal(intent) for intent in (CREATE, UPDATE, DELETE))
    assert survives_the_journal(delete_matching_rule(result_of("exact", "rule_id")))


def test_writes_to_one_rule_stand_in_one_order():
    assert UPDATE.order_key == DELETE.order_key == f"rule:{RULE}"


@pytest.mark.parametrize(
    ("name", "criteria"),
    [
        ("", CRITERIA),
        ("a,b", CRITERIA),
        ("1st", CRITERIA),
        (" exact", CRITERIA),
        ("a" * 256, CRITERIA),
        ("exact", []),
        ("exact", [{}]),
        ("exact", [{"field": "colour", "operator": "equals"}]),
        ("exact", [{"field": "amount", "operator": "near"}]),
        ("exact", [{"field": "amount", "operator": "equals", "allowable_drift": 1.5}]),
        ("exact", [{"field": "date", "operator": "equals", "allowable_drift": -1}]),
        ("exact", [{"field": "date", "operator": "equals", "allowable_drift": True}]),
        ("exact", [CRITERIA[1]] * 51),
    ],
)
def test_what_the_ledger_would_refuse_or_we_could_not_find_is_refused(name, criteria):
    with pytest.raises(InvalidIntent):
        create_matching_rule(name, criteria)
    with pytest.raises(InvalidIntent):
        update_matching_rule(RULE, name, criteria)


# -- create ----------------------------------------------------------------------------------------------------------


def test_the_name_is_looked_for_before_the_first_send():
    asked: list[Lookup] = []
    assert decided(CREATE, progress(), asked=asked) == SEND_NEW
    assert asked == [Lookup("matching-rules", "name", "exact")]
    assert dead(decided(CREATE, progress(), rule())) == (DeadClass.REFUSED, "NAME_TAKEN")


def test_after_an_ambiguous_answer_the_rule_of_that_name_is_ours():
    assert decided(CREATE, sent(), rule()) == Done("created", RULE)
    assert isinstance(decided(CREATE, sent(1)), Look)
    assert decided(CREATE, sent(QUIET_S)) == SEND_NEW
    assert dead(decided(CREATE, sent(), rule(), rule(2))) == (DeadClass.UNKNOWN, "NAME_TAKEN")
    assert dead(decided(CREATE, sent(), rule(criteria=STORED[:1]))) == (DeadClass.UNKNOWN, "NAME_TAKEN")


def test_the_answer_with_an_id_is_the_outcome():
    assert judged(CREATE, ok(201, **rule().data)).decision == Done("created", RULE)
    for of_another in (ok(201, rule_id=RULE), ok(201, **rule(name="another").data)):
        assert isinstance(judged(CREATE, of_another).decision, Look)


# -- update ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "ago_s", "expected"),
    [
        (rule(description="new"), QUIET_S, Done("updated", RULE)),
        (rule(description="new"), 1, Look),
        (rule(), SEEN_S, Look),
        (rule(description="new"), SEEN_S, Look),
        (rule(), QUIET_S, SEND),
        (rule(description="new", name="other"), QUIET_S, SEND),
        (rule(description="new", criteria=None), QUIET_S, SEND),
    ],
)
def test_after_an_ambiguous_answer_the_rule_is_compared(shown, ago_s, expected):
    decision = decided(UPDATE, sent(ago_s), shown)
    assert decision == expected if not isinstance(expected, type) else isinstance(decision, expected)


def test_an_update_of_an_unknown_rule_is_refused():
    verdict = judged(UPDATE, refusal(404, "RECON_RULE_NOT_FOUND"))
    assert isinstance(verdict.decision, Look)
    assert not verdict.acted
    now = progress(looking=True, refuse=True, code="RECON_RULE_NOT_FOUND")
    assert dead(decided(UPDATE, now)) == (DeadClass.REFUSED, "RECON_RULE_NOT_FOUND")


def test_the_answer_with_the_rule_is_the_outcome():
    changed = rule(description="new").data
    assert judged(UPDATE, ok(200, **changed)).decision == Done("updated", RULE)
    for of_another in (
        ok(200, rule_id=RULE),
        ok(200, **{**changed, "rule_id": an_id("rule", 7)}),
        ok(200, **rule().data),
    ):
        assert isinstance(judged(UPDATE, of_another).decision, Look)


# -- delete ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "ago_s", "expected"),
    [
        ((), QUIET_S, Done("deleted", RULE)),
        # A rule that was made a moment ago may not be shown yet.
        ((), 1, Look),
        ((rule(),), SEEN_S, Look),
        ((), SEEN_S, Look),
        ((rule(),), QUIET_S, SEND),
    ],
)
def test_after_an_ambiguous_answer_a_rule_that_is_gone_is_deleted(shown, ago_s, expected):
    decision = decided(DELETE, sent(ago_s), *shown)
    assert decision == expected if not isinstance(expected, type) else isinstance(decision, expected)


def test_what_is_only_looked_for_after_a_loss_is_believed_when_reads_show_what_was_there_before():
    # A rule that was made a moment ago, long after the loss, is not shown yet: nobody has deleted it.
    new = sent(60 * QUIET_S, memo={}, lost_ms=1, since_ms=NOW_MS - 1)
    assert isinstance(decided(DELETE, new), Look)
    assert isinstance(decided(UPDATE, new, rule(description="new")), Look)
    older = replace(new, since_ms=NOW_MS - int(POLICY.read_lag_s * 1000))
    assert decided(DELETE, older) == Done("deleted", RULE)


def test_an_unknown_rule_is_a_deleted_one_only_after_a_request_of_ours():
    response = refusal(404, "RECON_RULE_NOT_FOUND")
    assert judged(DELETE, response, sent(QUIET_S)).decision == Done("deleted", RULE)
    assert isinstance(judged(DELETE, response).decision, Look)
    now = progress(looking=True, refuse=True, code="RECON_RULE_NOT_FOUND")
    assert dead(decided(DELETE, now)) == (DeadClass.REFUSED, "RECON_RULE_NOT_FOUND")


def test_the_answer_of_the_route_is_the_outcome():
    assert judged(DELETE, ok(200, message="Matching rule deleted successfully")).decision == Done("deleted", RULE)


@pytest.mark.parametrize("response", AMBIGUOUS)
@pytest.mark.parametrize("intent", [CREATE, UPDATE, DELETE])
def test_an_answer_that_proves_nothing_is_looked_up(intent, response):
    verdict = judged(intent, response)
    assert isinstance(verdict.decision, Look)
    assert verdict.acted


def test_a_rule_that_the_ledger_refuses_is_refused():
    for intent in (CREATE, UPDATE):
        assert dead(judged(intent, refusal(400, "RECON_RULE_INVALID")).decision)[0] is DeadClass.REFUSED
