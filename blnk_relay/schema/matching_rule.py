"""The fields of a matching rule, and whether a record shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate

from blnk_relay.intents.found import Record
from blnk_relay.intents.references import data_api_problem
from blnk_relay.schema.base import Identifying, Text
from blnk_relay.schema.values import same

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


def given_fields(name: str, criteria: Sequence[Mapping[str, Any]], description: str | None) -> dict[str, Any]:
    """What a builder was given, in the form in which it is validated."""
    given: dict[str, Any] = {"name": name, "criteria": [dict(one) for one in criteria]}
    return given if description is None else {**given, "description": description}


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


def _same_criterion(sent: Mapping[str, Any], stored: Any) -> bool:
    if not isinstance(stored, Mapping):
        return False
    texts = ("field", "operator", "value", "pattern")
    return all(sent.get(name, "") == (stored.get(name) or "") for name in texts) and same(
        sent.get("allowable_drift", 0), stored.get("allowable_drift") or 0
    )
