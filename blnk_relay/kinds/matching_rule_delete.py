"""The kind ``matching_rule.delete`` (contract §2.12, §4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema

from blnk_relay.families.kept import one_value
from blnk_relay.families.update import Update
from blnk_relay.intents.decision import Decision, refused
from blnk_relay.intents.evidence import EVERYTHING
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.loading import load
from blnk_relay.schema.names import RuleId

NAME = "matching_rule.delete"

_UNKNOWN_RULE = "RECON_RULE_NOT_FOUND"


class RuleDeleteSchema(Schema):
    """Which rule."""

    rule_id = RuleId(required=True)


SCHEMA = RuleDeleteSchema()


def delete_matching_rule(rule_id: str | ResultOf) -> Intent:
    """Delete a matching rule (contract §2.12).

    Args:
        rule_id: ``rule_…``, or a link to a rule (``result_of``).

    Returns:
        The validated intent. It needs a key of yours.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> delete_matching_rule("rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4").order_key
        'rule:rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4'
    """
    return intent(load(NAME, SCHEMA, {"rule_id": rule_id}))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _is_gone(entry: Entry, found: Found) -> bool:
    return not found.matching(UPDATE.lookup(entry))


UPDATE = Update("rule_id", _is_gone, outcome="deleted")


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it; after an ambiguous answer see whether the rule is gone."""
    if progress.looking and progress.refuse and not progress.sent:
        # Nothing of ours can have deleted it: there is no such rule.
        return refused(progress.code, progress.message)
    return UPDATE.decide(entry, progress, found, policy)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``DELETE /reconciliation/matching-rules/<id>``."""
    path = f"/reconciliation/matching-rules/{UPDATE.quoted_id(entry)}"
    return Request("DELETE", path, "rule.delete", {}, sync=True, alone=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; an unknown rule is a deleted one where an earlier request may have done it."""
    if response.code == _UNKNOWN_RULE and progress.sent:
        return Verdict(UPDATE.done(entry), acted=True)
    return UPDATE.judge(entry, progress, request, response, policy)


ABOUT = About(
    builder=delete_matching_rule,
    confirmed="The `200` has the message of this route. After an ambiguous answer the rule is gone (contract §4).",
    ends=(),
    example=Example({"rule_id": "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"}, key="rule-retired"),
)

KIND = Kind(
    name=NAME,
    method="DELETE",
    path="/reconciliation/matching-rules/:id",
    cloud_only="matching rules",
    summary="Delete a matching rule.",
    schema=SCHEMA,
    intent=intent,
    lookups=UPDATE.lookups,
    decide=decide,
    request=request,
    judge=judge,
    about=ABOUT,
    records=True,
    evidence=one_value(UPDATE, EVERYTHING),
)
