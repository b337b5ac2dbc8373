"""From decisions to settlements: what is written into the journal for each of them. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Look, Renew, Send
from blnk_relay.intents.exchange import Response, Verdict
from blnk_relay.intents.progress import Policy
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.rows import capped
from blnk_relay.intents.states import State
from blnk_relay.intents.steps import CANNOT_BE_HANDLED
from blnk_relay.intents.verdicts import code_of
from blnk_relay.journal.claimed import Claimed
from blnk_relay.journal.entries import Renewal
from blnk_relay.journal.settlement import Settlement

#: What follows when the ledger took back what it did, for people.
_TAKEN_BACK = "all of it was taken back; send again under new references"

#: Decisions that need nothing but themselves to be written down.
Settleable = Send | Done | Dead | Look | Again


@dataclass(frozen=True, slots=True)
class Sent:
    """One attempt that was made.

    Attributes:
        at_ms: When it was about to leave, by the clock of Redis as far as this process can tell.
        until_ms: When its answer was there, or it was given up. It may have left any time before: a credential, a
            connection, or a process that stood still come between.
    """

    at_ms: int
    until_ms: int
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
        # A request under a lease that lapsed may leave until that would have ended, which may lie ahead: to send
        # another item meanwhile must not begin its silence earlier.
        end_ms = max(sent.until_ms, progress.last_sent_ms)
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
    return _settlement(claimed, State.SENDING, decision, fields=fields, line=_line(sent, decision), tally=tally)


@dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read, where a decision would have needed it.

    Attributes:
        resource: Such as ``matching-rules``.
        answer: That was no success.
    """

    resource: str
    answer: Response


@dataclass(frozen=True, slots=True)
class Fault:
    """The code that handles an intent failed. Its words are kept out: they may quote what the intent holds.

    Attributes:
        error: Name of the exception.
        where: File and line that raised it.
    """

    error: str
    where: str = ""

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """What an exception says of itself."""
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        return cls(type(error).__name__, where)

    def __str__(self) -> str:
        return f"{self.error} at {self.where}" if self.where else self.error


def after_look(
    claimed: Claimed, origin: State, decision: Settleable, at_ms: int, worker: str, *, unread: Unread | None = None
) -> Settlement:
    """What a look at the ledger, or a decision that needed none, leaves in the journal.

    Args:
        claimed: The intent.
        origin: The state it was taken from: ``sending`` or ``posted``.
        decision: What follows. Send means, for a posted one, that it goes back to its lane.
        at_ms: When.
        worker: Who looked.
        unread: What could not be read, so that nothing could be decided.
    """
    progress = claimed.progress
    line, tally = "", []
    if unread is not None:
        line = _unread_line(unread, decision, at_ms, worker)
        tally.append(f"unread|{unread.resource}")
    elif not isinstance(decision, Look | Again):
        line = json.dumps({"at": at_ms, "what": "looked", "by": worker, "note": in_words(decision)})
    if progress.sent and not progress.accepted and not isinstance(decision, Look):
        tally.append("looked_up")
    fields = {}
    if isinstance(decision, Send):
        fields["refuse"] = "0"
        tally.append("sent_again")
    return _settlement(claimed, origin, decision, fields=fields, line=line, tally=tally)


def after_rollback(claimed: Claimed, origin: State, renewal: Renewal, at_ms: int, worker: str) -> Settlement:
    """What it leaves in the journal that the ledger took all back for a reason that may pass: it is sent again at once.

    Its attempts go on counting, so that it ends like any other that a passing reason keeps away for too long.

    Args:
        claimed: The intent.
        origin: The state it was taken from.
        renewal: What it is sent under next.
        at_ms: When.
        worker: Who looked.
    """
    line = json.dumps({"at": at_ms, "what": "looked", "by": worker, "note": _TAKEN_BACK})
    fields = {"refuse": "0", "accepted": "0", "sends": "0"}
    return Settlement(claimed, origin, State.READY, 0, fields, line, ("renewed",), renewal=renewal)


def unsent(claimed: Claimed, in_s: float = 0.0) -> Settlement:
    """An intent that is given back untouched: too little was left of its lease, or its target's gate was shut.

    Args:
        claimed: The intent.
        in_s: Seconds until it may be claimed again.
    """
    return Settlement(claimed, State.SENDING, State.READY, int(in_s * 1000))


def given_back(claimed: Claimed, why: str, policy: Policy, at_ms: int, worker: str) -> Settlement:
    """An intent that was claimed and not sent: it waits, longer each time, and its history says so.

    Args:
        claimed: The intent.
        why: For people.
        policy: The shortest and the longest pause.
        at_ms: When.
        worker: Who had it.
    """
    in_s = growing_s(claimed.progress.age_s, policy.confirm_first_s, policy.confirm_max_s)
    note = f"{why}; {in_words(Again(in_s))}"
    line = json.dumps({"at": at_ms, "what": "given_back", "by": worker, "note": note})
    return Settlement(claimed, State.SENDING, State.READY, int(in_s * 1000), {}, line, ("given_back",))


def after_fault(claimed: Claimed, fault: Fault, policy: Policy, at_ms: int, worker: str, *, most: int) -> Settlement:
    """What it leaves in the journal that the code of an intent's kind failed, before anything was sent for it.

    Args:
        claimed: The intent.
        fault: How.
        policy: The shortest and the longest pause.
        at_ms: When.
        worker: Whose code.
        most: How often in a row before a human has to look.
    """
    progress, tries = claimed.progress, claimed.faults + 1
    origin = State.POSTED if progress.looking else State.SENDING
    waited_s = progress.quiet_for_s if progress.sent else progress.age_s
    in_s = growing_s(waited_s, policy.confirm_first_s, policy.confirm_max_s)
    if tries >= most:
        decision: Settleable = Dead(
            DeadClass.UNKNOWN if progress.maybe_sent else DeadClass.REFUSED,
            CANNOT_BE_HANDLED,
            f"The worker's own code failed {tries} times ({fault}). "
            + ("It may have been sent before." if progress.maybe_sent else "It was never sent."),
        )
    else:
        decision = Look(in_s, progress.refuse) if progress.looking else Again(in_s, counted=False)
    line = json.dumps(
        {"at": at_ms, "what": "failed", "code": fault.error, "by": worker, "note": f"{fault}; {in_words(decision)}"}
    )
    return _settlement(claimed, origin, decision, fields={"faults": str(tries)}, line=line, tally=["fault"])


def _unread_line(unread: Unread, decision: Decision, at_ms: int, worker: str) -> str:
    answer = unread.answer
    return json.dumps(
        {
            "at": at_ms,
            "what": "looked",
            "status": answer.status,
            "code": answer.code or (answer.failure or ""),
            "by": worker,
            "note": f"{unread.resource} could not be read; {in_words(decision)}",
        }
    )


def _settlement(
    claimed: Claimed, origin: State, decision: Settleable, *, fields: dict[str, str], line: str, tally: Sequence[str]
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
            return Settlement(claimed, origin, State.DONE, 0, fields, line, tuple(tally), parts, made)
        case Dead(dead_class, code, message):
            fields |= {"class": dead_class, "code": code, "message": capped(message)}
            return Settlement(claimed, origin, State.DEAD, 0, fields, line, tuple(tally), parts, made)
        case Look(in_s, refuse):
            fields["refuse"] = "1" if refuse else "0"
            return Settlement(claimed, origin, State.POSTED, int(in_s * 1000), fields, line, tuple(tally), parts, made)
        case Again(in_s, _):
            return Settlement(claimed, origin, State.READY, int(in_s * 1000), fields, line, tuple(tally))
        case Send():
            return Settlement(claimed, origin, State.READY, 0, fields, line, tuple(tally), parts, made)


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
        case Renew():
            return _TAKEN_BACK
