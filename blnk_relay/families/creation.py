"""What ledgers, balances and identities have in common: the ledger has no idempotency key for them (contract §4).

Each repeat makes another record, so ours carries our id in ``meta_data`` under one top-level key, and is looked up by
it before any repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.kind import End
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import capped, look_again, missing, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: How such a record can end without anybody knowing which one is ours.
MADE_TWICE = End(
    DeadClass.UNKNOWN,
    "MADE_TWICE",
    "The ledger shows it more than once. It has no key that would forbid a repeat, so a gateway that repeats a request "
    "makes two (contract §4).",
)

#: How such a record can end that is there, and not as it was asked for.
OTHERWISE = End(
    DeadClass.PARTIAL,
    "MADE_OTHERWISE",
    "The ledger made it, and shows it with other values than were asked for; the letter names them, and its id.",
)

#: Why no replay can help that: it would make another one.
OTHERWISE_ADVICE = {
    "MADE_OTHERWISE": "it was made, but not as it was asked for, and a repeat would make another: use it by the id "
    "in the letter, or put right by hand what differs; then discard this letter"
}

#: From what was asked for and a record of the ledger to the names of what differs, as far as the record tells.
Differs = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]


def nothing_differs(payload: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """Of kinds whose records may be changed by others as soon as they are made."""
    return []


def made(record_id: str, different: list[str], more: str = "") -> Done | Dead:
    """What a record that was made came to.

    Args:
        record_id: Its id.
        different: In what it is not as it was asked for.
        more: What follows from that, as a sentence.
    """
    if not different:
        return Done("created", record_id)
    text = f"It was made as {record_id}, but not as it was asked for: {', '.join(different)}. {more}"
    return Dead(DeadClass.PARTIAL, "MADE_OTHERWISE", capped(text.strip()))


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


def decide_by_mark(
    resource: str, id_field: str, *, differs: Differs = nothing_differs, more: str = ""
) -> Callable[[Entry, Progress, Found, Policy], Decision]:
    """The decision of such a kind.

    Args:
        resource: Where the records are read.
        id_field: What the ledger calls their id.
        differs: Compares what nobody can have changed since.
        more: What follows where something differs.
    """

    def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        if not progress.sent and not progress.looking:
            return Send()
        # Other look-ups of the same batch may have shown the same record.
        shown = {str(record.value(id_field)): record for record in found.matching(mark_lookup(resource, entry))}
        if len(shown) == 1:
            ((record_id, record),) = shown.items()
            return made(record_id, differs(entry.payload, record.data), more)
        if shown:
            ids = ", ".join(sorted(shown))
            return Dead(DeadClass.UNKNOWN, "MADE_TWICE", capped(f"The ledger shows it more than once: {ids}."))
        if progress.sent and progress.quiet_for_s < policy.quiet_s:
            # A request that is still under way, or a read that lags: a repeat now could make a second one.
            return look_again(progress, policy)
        if progress.refuse:
            return Dead(DeadClass.REFUSED, progress.code, progress.message)
        return Send()

    return decide


def judge_creation(
    id_field: str,
    prefix: str,
    *,
    is_ours: Callable[[Entry, Mapping[str, Any]], bool],
    differs: Differs = nothing_differs,
    more: str = "",
) -> Callable[[Entry, Progress, Request, Response, Policy], Verdict]:
    """The judgement of such a kind: made when the answer names the new id, and us; else the ledger is read.

    Args:
        id_field: What the ledger calls the id.
        prefix: How such ids begin (contract §7).
        is_ours: Whether an answer is about this intent, and not about another one.
        differs: Compares all that an answer tells.
        more: What follows where something differs.
    """

    def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        if rule.meaning is not Meaning.DONE:
            return verdict
        body = response.body or {}
        record_id = text_of(body, id_field)
        if not record_id.startswith(prefix) or not is_ours(entry, body):
            # The answer to another request, or a page of somebody in between: it proves nothing.
            return replace(verdict, accepted=False)
        decision = made(record_id, differs(entry.payload, body), more)
        return Verdict(decision, acted=True, accepted=True)

    return judge


def bears_our_mark(entry: Entry, shown: Mapping[str, Any]) -> bool:
    """Whether a record carries our id in its ``meta_data``."""
    meta = shown.get("meta_data")
    return isinstance(meta, Mapping) and meta.get(entry.mark) == entry.id


def unequal(payload: Mapping[str, Any], shown: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Names of fields that a record shows with another value than was asked for; one it does not show is none."""
    return [name for name in names if name in payload and shown.get(name) is not None and shown[name] != payload[name]]
