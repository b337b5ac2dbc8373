"""The kind ``matching_rule.create``: how reconciliation compares (contract §2.12).

The ledger does not keep the names of rules unique; we do, because a rule is known by nothing else of ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from blnk_relay.intents.about import About, End, Example
from blnk_relay.intents.creating import judge_creation
from blnk_relay.intents.fields import Identifying, Text, load
from blnk_relay.intents.model import (
    Dead,
    DeadClass,
    Decision,
    Done,
    Entry,
    Found,
    Intent,
    Kind,
    Lookup,
    Policy,
    Progress,
    Record,
    Request,
    Send,
)
from blnk_relay.intents.references import data_api_problem
from blnk_relay.intents.rows import look_again, missing
from blnk_relay.intents.updating import same, untouched

NAME = "matching_rule.create"

MAX_CRITERIA = 50
MAX_TEXT = 255


class Drift(fields.Field[float]):
    """How far two values may lie apart."""

    takes, limits = "number", "at least 0"

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValidationError("Must be a number, 0 or more.")
        return value


class CriterionSchema(Schema):
    """One condition of a rule."""

    field = Text(
        required=True,
        validate=validate.OneOf(("amount", "date", "description", "reference", "currency")),
        metadata={"doc": "What is compared."},
    )
    operator = Text(
        required=True,
        validate=validate.OneOf(("equals", "greater_than", "less_than", "contains")),
        metadata={"doc": "How it is compared."},
    )
    value = Text(most=MAX_TEXT, metadata={"doc": "Compared with instead of the other side's value."})
    pattern = Text(most=MAX_TEXT, metadata={"doc": "Text to find."})
    allowable_drift = Drift(
        metadata={"doc": "How far equals may lie apart: a fraction of an amount, at most 1, or seconds of a date."}
    )

    @post_load
    def _fraction(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        if data["field"] == "amount" and data["operator"] == "equals" and data.get("allowable_drift", 0) > 1:
            raise ValidationError(
                "Must not be above 1 where amounts are compared: it is a fraction of the amount, such as 0.01 for 1 %.",
                "allowable_drift",
            )
        return data


class RuleName(Identifying):
    """A name that rules can be looked up by."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if problem := data_api_problem(text):
            raise ValidationError(problem)
        return text


class RuleSchema(Schema):
    """Fields of contract §2.12."""

    name = RuleName(required=True, most=MAX_TEXT)
    description = Text(most=1_000)
    criteria = fields.List(fields.Nested(CriterionSchema), required=True, validate=validate.Length(1, MAX_CRITERIA))


SCHEMA = RuleSchema()


def create_matching_rule(name: str, criteria: Sequence[Mapping[str, Any]], *, description: str | None = None) -> Intent:
    """Make a matching rule (contract §2.12). A name that is taken is refused: a rule is known by nothing else.

    Args:
        name: Begins with a letter and holds no comma or pipe; at most 255 characters.
        criteria: 1 to 50 objects of ``field`` (``amount``, ``date``, ``description``, ``reference``, ``currency``),
            ``operator`` (``equals``, ``greater_than``, ``less_than``, ``contains``), and ``value``, ``pattern``,
            ``allowable_drift`` (with ``equals``: a fraction of an amount, or seconds of a date).
        description: For people.

    Returns:
        The validated intent. It needs a key of yours.

    Raises:
        InvalidIntent: With the messages by field.

    Example:
        >>> create_matching_rule("exact", [{"field": "reference", "operator": "equals"}]).order_key
        'matching_rule:exact'
    """
    return intent(load(NAME, SCHEMA, given_fields(name, criteria, description)))


def given_fields(name: str, criteria: Sequence[Mapping[str, Any]], description: str | None) -> dict[str, Any]:
    """What a builder was given, in the form in which it is validated."""
    given: dict[str, Any] = {"name": name, "criteria": [dict(one) for one in criteria]}
    return given if description is None else {**given, "description": description}


def intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(NAME, payload, order_key=f"matching_rule:{payload['name']}")


def _by_name(entry: Entry) -> Lookup:
    return Lookup("matching-rules", "name", entry.payload["name"])


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """Rules of that name, before every send."""
    return missing(found, _by_name(entry))


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it if the name is free; afterwards what has the name is ours."""
    named = found.matching(_by_name(entry))
    ids = sorted({str(record.value("rule_id")) for record in named})
    if not progress.sent:
        if named:
            return Dead(DeadClass.REFUSED, "NAME_TAKEN", f"There is a rule of that name already: {', '.join(ids)}.")
        if progress.refuse and not untouched(progress):
            return Dead(DeadClass.REFUSED, progress.code, progress.message)
        return _send_named(entry)
    if len(ids) == 1 and shows_rule(entry.payload, named[0]):
        return Done("created", ids[0])
    if named:
        return Dead(
            DeadClass.UNKNOWN, "NAME_TAKEN", f"Other rules have that name, or ours was changed: {', '.join(ids)}."
        )
    if progress.quiet_for_s < policy.quiet_s:
        # A request that is still under way, or a read that lags: a repeat now could make a second one.
        return look_again(progress, policy)
    if progress.refuse:
        return Dead(DeadClass.REFUSED, progress.code, progress.message)
    return _send_named(entry)


def _send_named(entry: Entry) -> Send:
    return Send(memo={"name": entry.payload["name"]})


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/matching-rules``."""
    return Request("POST", "/reconciliation/matching-rules", "rule", entry.payload, sync=True)


def shows_rule(payload: Mapping[str, Any], rule: Record) -> bool:
    """Whether a rule is as it was sent; what was left out is empty, or 0."""
    if rule.value("name") != payload["name"] or (rule.value("description") or "") != payload.get("description", ""):
        return False
    stored = rule.value("criteria")
    return (
        isinstance(stored, list)
        and len(stored) == len(payload["criteria"])
        and all(_same_criterion(sent, one) for sent, one in zip(payload["criteria"], stored, strict=True))
    )


def _is_ours(entry: Entry, shown: Mapping[str, Any]) -> bool:
    return shows_rule(entry.payload, Record("matching-rules", shown))


def _same_criterion(sent: Mapping[str, Any], stored: Any) -> bool:
    if not isinstance(stored, Mapping):
        return False
    texts = ("field", "operator", "value", "pattern")
    return all(sent.get(name, "") == (stored.get(name) or "") for name in texts) and same(
        sent.get("allowable_drift", 0), stored.get("allowable_drift") or 0
    )


ABOUT = About(
    builder=create_matching_rule,
    confirmed="The `201` names the new `rule_id` and shows the rule. After an ambiguous answer exactly one rule has "
    "the name, and is as it was sent; that no rule had the name was read before sending (contract §4).",
    ends=(
        End(
            DeadClass.UNKNOWN,
            "NAME_TAKEN",
            "After an ambiguous answer other rules have the name, or ours was changed: the ledger does not keep names "
            "unique, and knows a rule by nothing else of ours (contract §4).",
        ),
    ),
    example=Example(
        {
            "name": "amount and reference",
            "criteria": [
                {"field": "amount", "operator": "equals", "allowable_drift": 0},
                {"field": "reference", "operator": "equals"},
            ],
        },
        key="rule-amount-reference",
    ),
)

KIND = Kind(
    name=NAME,
    method="POST",
    path="/reconciliation/matching-rules",
    cloud_only="matching rules",
    summary="Make a matching rule.",
    schema=SCHEMA,
    intent=intent,
    lookups=lookups,
    decide=decide,
    request=request,
    judge=judge_creation("rule_id", "rule_", is_ours=_is_ours),
    about=ABOUT,
    records=True,
)
