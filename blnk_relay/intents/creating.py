"""What ledgers, balances and identities have in common: the ledger has no idempotency key for them (contract §4).

Each repeat makes another record, so ours carries our id in ``meta_data`` under one top-level key, and is looked up by
it before any repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from blnk_relay.intents.about import End
from blnk_relay.intents.model import (
    Dead,
    DeadClass,
    Decision,
    Done,
    Entry,
    Found,
    Lookup,
    Policy,
    Progress,
    Request,
    Response,
    Send,
    Verdict,
)
from blnk_relay.intents.rows import look_again, missing
from blnk_relay.intents.verdicts import Meaning, rule_for, verdict_for

#: How such a record can end without anybody knowing which one is ours.
MADE_TWICE = End(
    DeadClass.UNKNOWN,
    "MADE_TWICE",
    "The ledger shows it more than once. It has no key that would forbid a repeat, so a gateway that repeats a request "
    "makes two (contract §4).",
)


def marked(entry: Entry) -> dict[str, Any]:
    """The ``meta_data`` that is sent: the caller's, and our id."""
    return {**(entry.payload.get("meta_data") or {}), entry.mark: entry.id}


def mark_lookup(resource: str, entry: Entry) -> Lookup:
    """How the ledger is asked for what we made."""
    return Lookup(resource, f"meta_data.{entry.mark}", entry.id)


def lookups_of(resource: str) -> Callable[[Entry, Progress, Found], tuple[Lookup, ...]]:
    """The look-ups of a kind that makes records of a resource: none before the first send, then by our mark."""

    def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
        if not progress.sent and not progress.looking:
            return ()
        return missing(found, mark_lookup(resource, entry))

    return lookups


def decide_by_mark(resource: str, id_field: str) -> Callable[[Entry, Progress, Found, Policy], Decision]:
    """The decision of such a kind.

    Args:
        resource: Where the records are read.
        id_field: What the ledger calls their id.
    """

    def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        if not progress.sent and not progress.looking:
            return Send()
        # Other look-ups of the same batch may have shown the same record.
        ids = sorted({str(record.value(id_field)) for record in found.matching(mark_lookup(resource, entry))})
        if len(ids) == 1:
            return Done("created", ids[0])
        if ids:
            return Dead(DeadClass.UNKNOWN, "MADE_TWICE", f"The ledger shows it more than once: {', '.join(ids)}.")
        if progress.sent and progress.quiet_for_s < policy.quiet_s:
            # A request that is still under way, or a read that lags: a repeat now could make a second one.
            return look_again(progress, policy)
        if progress.refuse:
            return Dead(DeadClass.REFUSED, progress.code, progress.message)
        return Send()

    return decide


def judge_creation(id_field: str, prefix: str) -> Callable[[Entry, Progress, Request, Response, Policy], Verdict]:
    """The judgement of such a kind: done when the answer names the new id; else the ledger is read.

    Args:
        id_field: What the ledger calls the id.
        prefix: How such ids begin (contract §7).
    """

    def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        made = (response.body or {}).get(id_field)
        if rule.meaning is Meaning.DONE and isinstance(made, str) and made.startswith(prefix):
            return Verdict(Done("created", made), acted=True, accepted=True)
        return verdict

    return judge


def without(payload: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A payload without some of its fields."""
    return {name: value for name, value in payload.items() if name not in names}
