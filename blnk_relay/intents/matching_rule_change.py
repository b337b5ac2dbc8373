"""The kinds ``matching_rule.update`` and ``matching_rule.delete`` (contract §2.12, §4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from marshmallow import Schema

from blnk_relay.intents.about import About, Example
from blnk_relay.intents.fields import RuleId, load
from blnk_relay.intents.linking import ResultOf
from blnk_relay.intents.matching_rule import RuleSchema, given_fields, shows_rule
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
    Response,
    Verdict,
)
from blnk_relay.intents.rows import missing
from blnk_relay.intents.updating import is_message, judge_update, order_of, send_to, settled, target_id, untouched

UPDATE = "matching_rule.update"
DELETE = "matching_rule.delete"

UNKNOWN_RULE = "RECON_RULE_NOT_FOUND"


class RuleUpdateSchema(RuleSchema):
    """The same, of a rule that is there: a full replacement."""

    rule_id = RuleId(required=True)


class RuleDeleteSchema(Schema):
    """Which rule."""

    rule_id = RuleId(required=True)


UPDATE_SCHEMA = RuleUpdateSchema()
DELETE_SCHEMA = RuleDeleteSchema()


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
    return update_intent(load(UPDATE, UPDATE_SCHEMA, given))


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
    return delete_intent(load(DELETE, DELETE_SCHEMA, {"rule_id": rule_id}))


def update_intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(UPDATE, payload, order_key=order_of("rule", payload["rule_id"]))


def delete_intent(payload: Mapping[str, Any]) -> Intent:
    """From the canonical payload to the intent."""
    return Intent(DELETE, payload, order_key=order_of("rule", payload["rule_id"]))


def _by_id(entry: Entry) -> Lookup:
    return Lookup("matching-rules", "rule_id", target_id(entry, "rule_id"))


def id_lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """None before the first send; then the rule."""
    return () if untouched(progress) else missing(found, _by_id(entry))


def update_decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it; after an ambiguous answer compare the rule."""
    again = send_to(target_id(entry, "rule_id"))
    if untouched(progress):
        return again
    shown = any(shows_rule(entry.payload, record) for record in found.matching(_by_id(entry)))
    return settled(
        shown=shown, done=Done("updated", target_id(entry, "rule_id")), again=again, progress=progress, policy=policy
    )


def delete_decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send it; after an ambiguous answer see whether the rule is gone."""
    again = send_to(target_id(entry, "rule_id"))
    if untouched(progress):
        return again
    if not progress.sent and progress.refuse:
        # Nothing of ours can have deleted it: there is no such rule.
        return Dead(DeadClass.REFUSED, progress.code, progress.message)
    gone = not found.matching(_by_id(entry))
    return settled(
        shown=gone, done=Done("deleted", target_id(entry, "rule_id")), again=again, progress=progress, policy=policy
    )


def _path(entry: Entry) -> str:
    return f"/reconciliation/matching-rules/{quote(target_id(entry, 'rule_id'), safe='')}"


def update_request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /reconciliation/matching-rules/<id>``."""
    body = {name: value for name, value in entry.payload.items() if name != "rule_id"}
    return Request("PUT", _path(entry), "rule.update", body, sync=True)


def delete_request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``DELETE /reconciliation/matching-rules/<id>``."""
    return Request("DELETE", _path(entry), "rule.delete", {}, sync=True, alone=True)


def update_judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; the answer is the rule."""
    done, body = Done("updated", target_id(entry, "rule_id")), response.body or {}
    named = body.get("rule_id") == done.transaction_id and shows_rule(entry.payload, Record("matching-rules", body))
    return judge_update(done, named=named, progress=progress, request=request, response=response, policy=policy)


def delete_judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; an unknown rule is a deleted one where an earlier request may have done it."""
    done = Done("deleted", target_id(entry, "rule_id"))
    if response.code == UNKNOWN_RULE and progress.sent:
        return Verdict(done, acted=True)
    named = is_message(response)
    return judge_update(done, named=named, progress=progress, request=request, response=response, policy=policy)


UPDATE_ABOUT = About(
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

DELETE_ABOUT = About(
    builder=delete_matching_rule,
    confirmed="The `200` has the message of this route. After an ambiguous answer the rule is gone (contract §4).",
    ends=(),
    example=Example({"rule_id": "rule_0ec8fbff-deb3-4d81-8f89-3fb437ab98f4"}, key="rule-retired"),
)

UPDATE_KIND = Kind(
    name=UPDATE,
    method="PUT",
    path="/reconciliation/matching-rules/:id",
    cloud_only="matching rules",
    summary="Replace a matching rule.",
    schema=UPDATE_SCHEMA,
    intent=update_intent,
    lookups=id_lookups,
    decide=update_decide,
    request=update_request,
    judge=update_judge,
    about=UPDATE_ABOUT,
    records=True,
)

DELETE_KIND = Kind(
    name=DELETE,
    method="DELETE",
    path="/reconciliation/matching-rules/:id",
    cloud_only="matching rules",
    summary="Delete a matching rule.",
    schema=DELETE_SCHEMA,
    intent=delete_intent,
    lookups=id_lookups,
    decide=delete_decide,
    request=delete_request,
    judge=delete_judge,
    about=DELETE_ABOUT,
    records=True,
)
