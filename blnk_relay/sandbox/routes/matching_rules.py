"""The routes of matching rules (contract §2.12)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blnk_relay.sandbox.books.bodies import rule_body
from blnk_relay.sandbox.books.constraints import check_texts
from blnk_relay.sandbox.books.reconciliation import MatchingRule
from blnk_relay.sandbox.core.matching import check_rule, read_criteria
from blnk_relay.sandbox.errors import LedgerError
from blnk_relay.sandbox.http.answers import Answer, json_answer, refusal
from blnk_relay.sandbox.ids import new_id

if TYPE_CHECKING:
    from blnk_relay.sandbox.core.state import Core
    from blnk_relay.sandbox.faults.effects import Effects
    from blnk_relay.sandbox.http.request import WireRequest

_RULE_CODES = {"GEN_NOT_FOUND": "RECON_RULE_NOT_FOUND"}


def create_rule(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """POST /reconciliation/matching-rules; the same rule twice is two rules."""
    books = core.books.reconciliation
    try:
        rule = _read_rule(core, request, new_id("rule"), "Failed to record matching rule")
        books.add(books.rules, rule.rule_id, rule)
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL")
    core.books.name(rule.rule_id, rule.name, rule_body(rule)["criteria"])
    return json_answer(201, rule_body(rule))


def update_rule(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """PUT /reconciliation/matching-rules/:id, a full replacement."""
    books = core.books.reconciliation
    try:
        # The body is decoded first, then the rule is looked up, then the rule in the body is judged.
        request.fields()
        existing = books.require_rule(request.params["id"])
        rule = replace(
            _read_rule(core, request, existing.rule_id, "Failed to update matching rule"),
            created_ns=existing.created_ns,
        )
    except LedgerError as error:
        return refusal(error, default="GEN_INTERNAL", upgrade=_RULE_CODES)
    books.rules[rule.rule_id] = rule
    return json_answer(200, rule_body(rule))


def delete_rule(core: Core, request: WireRequest, _effects: Effects) -> Answer:
    """DELETE /reconciliation/matching-rules/:id; the second time it is 404."""
    try:
        rule = core.books.reconciliation.require_rule(request.params["id"])
    except LedgerError as error:
        return refusal(error.bare(), default="GEN_INTERNAL", upgrade=_RULE_CODES)
    del core.books.reconciliation.rules[rule.rule_id]
    return json_answer(200, {"message": "Matching rule deleted successfully"})


def _read_rule(core: Core, request: WireRequest, rule_id: str, failed: str) -> MatchingRule:
    fields = request.fields()
    criteria = read_criteria(fields.items("criteria"))
    now_ns = core.clock.now_ns()
    rule = MatchingRule(rule_id, fields.text("name"), fields.text("description"), criteria, now_ns, now_ns)
    check_rule(rule)
    check_texts(failed, rule.name, short=True)
    check_texts(failed, rule.description)
    return rule
