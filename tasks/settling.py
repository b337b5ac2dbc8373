"""From decisions to settlements: what is written into the journal for each of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blnk_relay.intents.model import Again, Dead, Decision, Done, Look, Response, Send, Verdict
from blnk_relay.intents.rows import capped
from blnk_relay.intents.verdicts import code_of
from blnk_relay.journal.records import Claimed, Settlement


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt that was made.

    Attributes:
        at_ms: When the request left, by the clock of Redis as far as this process can tell.
    """

    at_ms: int
    response: Response
    verdict: Verdict
    request_id: str
    worker: str


def after_attempt(claimed: Claimed, sent: Sent) -> Settlement:
    """What an attempt leaves in the journal."""
    progress, response, verdict = claimed.progress, sent.response, sent.verdict
    decision = verdict.decision
    fields = {"attempts": str(progress.attempts + verdict.counted), "worker": sent.worker}
    if verdict.acted:
        end_ms = sent.at_ms + response.latency_ms
        fields |= {
            "sent": "1",
            "sends": str(progress.sends + verdict.accepted),
            "sent_first": str(progress.first_sent_ms or sent.at_ms),
            "sent_last": str(end_ms),
            "accepted": "1" if verdict.accepted else "0",
        }
    if not verdict.accepted:
        fields |= {"code": code_of(response), "message": capped(response.message)}
    tally = [f"attempt|{response.status or response.failure}"]
    if progress.attempts or progress.sent:
        tally.append("retried")
    return _settlement(claimed, "sending", decision, fields=fields, line=_line(sent, decision), tally=tally)


def after_look(claimed: Claimed, origin: str, decision: Decision, at_ms: int, worker: str) -> Settlement:
    """What a look at the ledger, or a decision that needed none, leaves in the journal.

    Args:
        claimed: The intent.
        origin: The state it was taken from: ``sending`` or ``posted``.
        decision: What follows. Send means, for a posted one, that it goes back to its lane.
        at_ms: When.
        worker: Who looked.
    """
    progress = claimed.progress
    line, tally = "", []
    if not isinstance(decision, Look | Again):
        line = json.dumps({"at": at_ms, "what": "looked", "by": worker, "note": in_words(decision)})
    if progress.sent and not progress.accepted and not isinstance(decision, Look):
        tally.append("looked_up")
    fields = {}
    if isinstance(decision, Send):
        fields["refuse"] = "0"
        tally.append("sent_again")
    return _settlement(claimed, origin, decision, fields=fields, line=line, tally=tally)


def unsent(claimed: Claimed, in_s: float = 0.0) -> Settlement:
    """An intent that is given back untouched: too little was left of its lease, or its target's gate was shut.

    Args:
        claimed: The intent.
        in_s: Seconds until it may be claimed again.
    """
    return Settlement(claimed, "sending", "ready", int(in_s * 1000))


def _settlement(
    claimed: Claimed, origin: str, decision: Decision, *, fields: dict[str, str], line: str, tally: Sequence[str]
) -> Settlement:
    parts: Mapping[int, str] = {}
    made: Mapping[str, str] = {}
    if not isinstance(decision, Again) and decision.note is not None:
        fields["memo"] = json.dumps(decision.note.memo, separators=(",", ":"))
        parts, made = decision.note.parts, decision.note.made
    match decision:
        case Done(outcome, transaction_id, parent_id):
            fields |= {"outcome": outcome, "txn": transaction_id, "parent": parent_id}
            fields = {name: value for name, value in fields.items() if value or name == "outcome"}
            return Settlement(claimed, origin, "done", 0, fields, line, tuple(tally), parts, made)
        case Dead(dead_class, code, message):
            fields |= {"class": dead_class, "code": code, "message": capped(message)}
            return Settlement(claimed, origin, "dead", 0, fields, line, tuple(tally), parts, made)
        case Look(in_s, refuse):
            fields["refuse"] = "1" if refuse else "0"
            return Settlement(claimed, origin, "posted", int(in_s * 1000), fields, line, tuple(tally), parts, made)
        case Again(in_s, _):
            return Settlement(claimed, origin, "ready", int(in_s * 1000), fields, line, tuple(tally))
        case Send():
            return Settlement(claimed, origin, "ready", 0, fields, line, tuple(tally), parts, made)


def _line(sent: Sent, decision: Decision) -> str:
    response = sent.response
    return json.dumps(
        {
            "at": sent.at_ms,
            "what": "sent" if sent.verdict.acted or response.status else "not_sent",
            "status": response.status,
            "code": response.code or (response.failure or ""),
            "ms": response.latency_ms,
            "by": sent.worker,
            "note": in_words(decision),
            "request": sent.request_id,
        }
    )


def in_words(decision: Decision) -> str:
    """A decision for people."""
    match decision:
        case Done(outcome):
            return outcome
        case Dead(dead_class, code):
            return f"dead: {dead_class} {code}"
        case Look(in_s):
            return f"look in {in_s:.1f} s"
        case Again(in_s):
            return f"again in {in_s:.1f} s"
        case Send():
            return "send again"
