"""The kind ``matching_rule.create``: how reconciliation compares (contract §2.12).

The ledger does not keep the names of rules unique; we do, because a rule is known by nothing else of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from blnk_relay.families.creation import Creation
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send, refused
from blnk_relay.intents.evidence import Below, Difference, Evidence, Known, Past, Sort, Writes, difference
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.found import Found, Lookup, Record
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.kind import About, End, Example, Kind
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import digest
from blnk_relay.intents.rows import look_again, missing, some_of
from blnk_relay.schema.loading import load
from blnk_relay.schema.matching_rule import RuleSchema, given_fields, shows_rule

NAME = "matching_rule.create"

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
            return refused("NAME_TAKEN", f"There is a rule of that name already: {', '.join(ids)}.")
        if progress.refuse and not progress.untouched:
            return refused(progress.code, progress.message)
        return _send_named(entry, policy)
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
        return refused(progress.code, progress.message)
    return _send_named(entry, policy)


def _send_named(entry: Entry, policy: Policy) -> Send:
    # Whom it follows in its order made a rule of that name just now, perhaps, which the read does not show yet. It may
    # as well have been deleted since.
    name = entry.payload["name"]
    row = f"rule-name:{digest(name)}"
    return Send(memo={"name": name}, exclusive=row, seen=None, settled_s=policy.read_lag_s)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``POST /reconciliation/matching-rules``."""
    return Request("POST", "/reconciliation/matching-rules", "rule", entry.payload, sync=True)


def _is_ours(entry: Entry, shown: Mapping[str, Any]) -> bool:
    return shows_rule(entry.payload, Record("matching-rules", shown))


CREATION = Creation(resource="matching-rules", id_field="rule_id", prefix="rule_", is_ours=_is_ours)


def _by_id(past: Past) -> Lookup:
    return Lookup("matching-rules", "rule_id", past.transaction_id)


def _made(past: Past) -> Writes | None:
    return Writes(past.transaction_id, ("rule",)) if past.done and past.transaction_id else None


def _audit_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    return missing(found, _by_name(past.entry), *([_by_id(past)] if past.done and past.transaction_id else []))


def _audit_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    payload, set_ = past.entry.payload, _made(past)
    alike = sorted(
        {str(one.value("rule_id")) for one in found.matching(_by_name(past.entry)) if shows_rule(payload, one)}
    )
    if set_ is None:
        if past.perhaps and past.state != "discarded" and len(alike) == 1 and not known.owner(alike[0]):
            return (difference(Sort.HAPPENED, past, payload["name"], f"made as {alike[0]}"),)
        return ()
    if known.is_overwritten(past, set_.record_id, "rule"):
        return ()
    record = next(iter(found.matching(_by_id(past))), None)
    if record is None:
        return (difference(Sort.MISSING, past, set_.record_id, "no such rule"),)
    if not shows_rule(payload, record):
        return (difference(Sort.OTHER, past, set_.record_id, "another name, description or criteria"),)
    if more := [id_ for id_ in alike if id_ != set_.record_id and not known.owner(id_)]:
        return (difference(Sort.TWICE, past, set_.record_id, f"the same rule once more: {some_of(more)}"),)
    return ()


def _owned(past: Past) -> tuple[Below, ...]:
    return (Below(past.entry.payload["name"], past.transaction_id),) if past.done and past.transaction_id else ()


#: What an audit looks for.
EVIDENCE = Evidence(_audit_lookups, _audit_differences, writes=_made, below=_owned)

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
    judge=CREATION.judge,
    about=ABOUT,
    records=True,
    evidence=EVIDENCE,
)
