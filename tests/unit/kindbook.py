"""What the tests of kinds that make records and set values share, besides the casebook."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

import casebook
from casebook import POLICY, progress

from blnk_relay.intents.decision import Decision, Send
from blnk_relay.intents.exchange import Failure, Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Record, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.links import LINKABLE, links_in, resolved
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds.registry import KINDS, intent_of
from tasks.lookups import MAX_ROUNDS

MARK = "blnk_relay"

#: The read lag, the silence after which a repeat is safe, what the ledger may take by itself: in seconds, and one more.
SEEN_S = POLICY.read_lag_s + 1
QUIET_S = POLICY.quiet_s + 1
HORIZON_S = POLICY.horizon_s + 1


def an_id(prefix: str, number: int = 1) -> str:
    """An id of the ledger."""
    return f"{prefix}_{uuid.UUID(int=number)}"


IDENTITY, BALANCE, LEDGER = an_id("idt"), an_id("bln"), an_id("ldg")
TRANSACTION, BATCH = an_id("txn"), an_id("bulk")


def entry_of(intent: Intent) -> Entry:
    """An intent as it is recorded, and as a worker reads it: through JSON, with its links filled in."""
    entry = new_entry(intent, "a-key", "a-lane", not_before="+0", deadline="+1", tag=MARK).entry
    ids = {link["$result_of"]: an_id(LINKABLE[link["field"]].removesuffix("_")) for link in links_in(entry.payload)}
    return replace(entry, payload=resolved(json.loads(json.dumps(entry.payload)), ids))


def sent(ago_s: float = 1, **changes: Any) -> Progress:
    """An intent that may have taken effect so long ago, and recorded something before."""
    return casebook.sent(int(ago_s * 1000), **({"memo": {"id": "recorded"}} | changes))


def decided(
    intent: Intent,
    now: Progress,
    *shown: Row | Record,
    policy: Policy = POLICY,
    asked: list[Lookup] | None = None,
) -> Decision:
    """What is done with an intent when the ledger shows these rows and records, read round by round."""
    entry, found = entry_of(intent), Found()
    for _ in range(MAX_ROUNDS):
        step = next_step(KINDS[entry.kind], entry, now, found, policy)
        if not isinstance(step, tuple):
            return step
        if asked is not None:
            asked += step
        found = found.plus(
            [row for row in shown if isinstance(row, Row)],
            [record for record in shown if isinstance(record, Record)],
            step,
        )
    raise AssertionError(f"undecided after {MAX_ROUNDS} rounds of reading")


def requested(intent: Intent, *shown: Row | Record, policy: Policy = POLICY) -> Request:
    """The first request of an intent."""
    step = decided(intent, progress(), *shown, policy=policy)
    assert isinstance(step, Send), step
    entry = entry_of(intent)
    return KINDS[entry.kind].request(entry, progress(memo=step.memo or {}), policy)


def judged(intent: Intent, response: Response, now: Progress | None = None, policy: Policy = POLICY) -> Verdict:
    """What an answer means for an intent."""
    entry, now = entry_of(intent), now or progress()
    if not now.memo:
        step = decided(intent, now, policy=policy)
        now = replace(now, memo=(step.memo if isinstance(step, Send) else None) or {})
    kind = KINDS[entry.kind]
    return kind.judge(entry, now, kind.request(entry, now, policy), response, policy)


def ok(status: int, **body: Any) -> Response:
    """A success."""
    return Response(status=status, body=body)


def refusal(status: int, code: str) -> Response:
    """An error of the ledger's."""
    return Response(status=status, code=code, message="in words", body={"error": "in words"})


#: Answers after which nobody knows whether it happened (contract §4, §5).
AMBIGUOUS = (
    Response(failure=Failure.BROKEN),
    Response(status=200),
    Response(status=201),
    Response(status=200, body={}),
    Response(status=500),
    Response(status=502),
    Response(status=504),
    refusal(500, "GEN_INTERNAL"),
)


def survives_the_journal(intent: Intent) -> bool:
    """Whether the canonical payload makes the same intent again, as after a trip through a file."""
    return intent_of(intent.kind, json.loads(json.dumps(intent.payload))) == intent
