"""The kind ``matching_rule.update``: a full replacement (contract §2.12, §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.families.kept import one_value
from blnk_relay.families.update import Update
from blnk_relay.intents.exchange import Request, Response
from blnk_relay.intents.found import Found, Record
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, Example, Kind
from blnk_relay.intents.links import ResultOf
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.schema.loading import load
from blnk_relay.schema.matching_rule import RuleSchema, given_fields, shows_rule
from blnk_relay.schema.names import RuleId

NAME = "matching_rule.update"


class RuleUpdateSchema(RuleSchema):
    """The same, of a rule that is there: a full replacement."""

    rule_id = RuleId(required=True)


SCHEMA = RuleUpdateSchema()


def update_matching_rule(
    rule_id: str | ResultOf, name: str, criteria: Sequence[Mapping[str, Any]], *, description: str | None = None
) -> Intent:
    """Replace a matching rule as a whole (contract §2.12).

    Args:
        rule_id: ``rule_…``, or a link to a rule (``result_of``).
        name: As in :func:`create_matching_rule`, like the rest.
        criteria: All of them.
        description: Left out, it becomes empty.

    Returns:
        The validated intent. It needs a key of yours. Writes to one rule are sent in accept order.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> from blnk_relay import result_of
        >>> rule = result_of("exact", "rule_id")
        >>> update_matching_rule(rule, "exact", [{"field": "amount", "operator": "equals"}]).order_key
        'rule:exact'
    """
    given = {"rule_id": rule_id, **given_fields(name, criteria, description)}
    return intent(load(NAME, SCHEMA, given))


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=UPDATE.order(payload))


def _shows(entry: Entry, found: Found) -> bool:
    return any(shows_rule(entry.payload, record) for record in found.matching(UPDATE.lookup(entry)))


def _answers(entry: Entry, response: Response) -> bool:
    """Whether an answer is the rule, as it was sent."""
    body = response.body or {}
    return body.get("rule_id") == UPDATE.record_id(entry) and shows_rule(entry.payload, Record("matching-rules", body))


UPDATE = Update("rule_id", _shows, answers=_answers)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /reconciliation/matching-rules/<id>``."""
    body = {name: value for name, value in entry.payload.items() if name != "rule_id"}
    path = f"/reconciliation/matching-rules/{UPDATE.quoted_id(entry)}"
    return Request("PUT", path, "rule.update", body, sync=True)


ABOUT = About(
    builder=update_matching_rule,
    confirmed="The `200` shows the rule as it was sent; after an ambiguous answer, a look at it does (contract §4).",
    ends=(),
    example=Example(
        {
            "rule_id": "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4",
            "name": "amount within a cent",
            "criteria": [{"field": "amount", "operator": "equals", "allowable_drift": 0}],
            "description": "Stricter since November",
        },
        key="rule-stricter",
    ),
)

KIND = Kind(
    name=NAME,
    method="PUT",
    path="/reconciliation/matching-rules/:id",
    cloud_only="matching rules",
    summary="Replace a matching rule.",
    schema=SCHEMA,
    intent=intent,
    lookups=UPDATE.lookups,
    decide=UPDATE.decide,
    request=request,
    judge=UPDATE.judge,
    about=ABOUT,
    records=True,
    evidence=one_value(UPDATE, "rule"),
)
