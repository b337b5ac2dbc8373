"""What writes of values have in common: the same request twice does the same, but a late one overwrites newer values.

So they are sent one at a time for each record of the ledger, whatever name it was given, and after an ambiguous answer
the record is read and compared (contract §3.11, §4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.links import name_of
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import look_again
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: What is written to, by how its ids begin (contract §7).
WHAT = {
    "ldg_": "ledger",
    "bln_": "balance",
    "idt_": "identity",
    "txn_": "transaction",
    "bulk_": "batch",
    "rule_": "rule",
}


def order_of(what: str, value: str | Mapping[str, Any]) -> str:
    """The order that all writes to one record stand in, such as ``identity:idt_…``.

    A link is known by the key that it links to; what is named in two ways stands in two orders, and only
    :func:`send_to` keeps it to one writer at a time.
    """
    return f"{what}:{name_of(value)}"


def send_to(entity_id: str, **memo: Any) -> Send:
    """Send it as the only writer of a record.

    Args:
        entity_id: Id of the record.
        **memo: What to record besides.
    """
    prefix = entity_id.partition("_")[0] + "_"
    # Earlier writes made nothing but the record itself, so there is nothing below it that a read could miss.
    return Send(
        memo={"id": entity_id, **memo}, exclusive=f"{WHAT.get(prefix, 'record')}:{entity_id}", seen=(entity_id,)
    )


def untouched(progress: Progress) -> bool:
    """Whether nothing was sent yet, and nothing is to be looked for."""
    return not progress.sent and not progress.looking


def settled(
    *, shown: bool, done: Done, again: Decision, progress: Progress, policy: Policy, lags: bool = True
) -> Decision:
    """What follows from a look at the record.

    Args:
        shown: The ledger shows what was sent.
        done: What it then came to.
        again: What to do when it was not applied: send it again, as a rule.
        progress: The intent so far.
        policy: The numbers.
        lags: The read may be older than the write before ours, and then equal values prove nothing yet.
    """
    if shown and not (lags and progress.sent and progress.quiet_for_s < policy.read_lag_s):
        return done
    if progress.sent and progress.quiet_for_s < policy.quiet_s:
        # A request that is still under way would overwrite what comes after a repeat.
        return look_again(progress, policy)
    if shown:
        return done
    if progress.refuse:
        return Dead(DeadClass.REFUSED, progress.code, progress.message)
    return again


def judge_update(
    done: Done, *, named: bool, progress: Progress, request: Request, response: Response, policy: Policy
) -> Verdict:
    """The judgement of such a write: done when the answer is that of the route, to this request; else it is read.

    Args:
        done: What it came to.
        named: Whether the body of a success is the answer to this request. Most answers name no record, so these
            requests go over connections of their own (:attr:`Request.alone`).
        progress: The intent so far.
        request: What was sent.
        response: What came back.
        policy: The numbers.
    """
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning is not Meaning.DONE:
        return verdict
    if not named:
        # The answer to another request, or a page of somebody in between: it proves nothing.
        return replace(verdict, accepted=False)
    return Verdict(done, acted=True, accepted=True)


def is_message(response: Response) -> bool:
    """Whether an answer is the sentence that routes of this family say when they have done it, and nothing else."""
    body = response.body or {}
    return isinstance(body.get("message"), str) and not body.keys() & {"error", "errors", "error_detail"}


def target_id(entry: Entry, field: str) -> str:
    """An id in a payload whose links are filled in."""
    return str(entry.payload[field])
