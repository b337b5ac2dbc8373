"""What an answer means: the table of contract §5, as data, and the one function that reads it.

Rows are tried from the top and the first that fits wins, so special rows stand above general ones.
"""

from __future__ import annotations

from blnk_relay.intents.decision import Again, Dead, DeadClass, Look
from blnk_relay.intents.exchange import LEASE_OVER, Failure, GateAction, GateChange, Request, Response, Verdict
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.retry import RETRY_AFTER_MAX_S, growing_s
from blnk_relay.intents.verdict_table import (
    BROKEN,
    HELD_BACK,
    KEYLESS,
    NOT_HERE,
    NOT_SENT,
    REDIRECT,
    STRANGE_2XX,
    STRANGE_4XX,
    STRANGE_5XX,
    TABLE,
    UNREACHABLE,
    Meaning,
    Rule,
)


def rule_for(request: Request, response: Response) -> Rule:
    """The row of the table that an answer falls under; there is always one."""
    if response.failure is Failure.NOT_SENT:
        return HELD_BACK if response.code == LEASE_OVER else NOT_SENT
    if response.failure is Failure.BROKEN:
        return BROKEN
    for rule in TABLE:
        if rule.fits(request, response):
            return rule
    match response.status // 100:
        case 1 | 2:
            return STRANGE_2XX
        case 3:
            return NOT_HERE if response.status in (307, 308) else REDIRECT
        case 4:
            return STRANGE_4XX
    return STRANGE_5XX


def code_of(response: Response) -> str:
    """A stable code for an answer: the ledger's own, or one made of the status."""
    if response.code:
        return response.code
    return f"HTTP_{response.status}" if response.status else "NO_ANSWER"


def _gate(rule: Rule, response: Response) -> GateChange | None:
    """What an answer means for the whole target; one that names a time is always obeyed."""
    if rule.gate is None:
        return None
    if rule.gate is GateAction.LOST:
        return unsent_gate(response)
    asked = rule.gate is GateAction.STRAIN and response.retry_after_s is not None
    action = GateAction.SLOW if asked else rule.gate
    return GateChange(action, code_of(response), asked_s(response) or rule.wait_s, lane=rule.lane)


def unsent_gate(response: Response) -> GateChange | None:
    """What a request that never left means for its target.

    Why we did not send it ourselves is in capitals, and says nothing of the target; but for want of a token others
    would not leave either.
    """
    if response.code == KEYLESS:
        return GateChange(GateAction.STRAIN, KEYLESS, 0.0)
    if response.code.isupper():
        return None
    note = f"{response.code}: {response.message}" if response.message else response.code
    return GateChange(GateAction.LOST, UNREACHABLE, 0.0, note=note)


def asked_s(response: Response) -> float:
    """Seconds that an answer asks for, within reason: one header must not shut a target for days."""
    return min(max(response.retry_after_s or 0.0, 0.0), RETRY_AFTER_MAX_S)


def verdict_for(rule: Rule, progress: Progress, response: Response, policy: Policy) -> Verdict:
    """Carry a row of the table over to one intent.

    DONE is the kind's to fill in from the body; here it means, like POSTED, that the ledger has to be read.

    Args:
        rule: The row.
        progress: The intent so far, this attempt not included.
        response: The answer.
        policy: The numbers.
    """
    code = code_of(response)
    least_s = asked_s(response)
    wait_s = policy.retry.wait_s(progress.attempts, progress.draw)
    if rule.meaning is Meaning.VERIFY and not rule.counted and progress.first_sent_ms:
        # Where nothing is counted that a pause could grow with, it grows with the time since the first try.
        wait_s = max(wait_s, growing_s((progress.now_ms - progress.first_sent_ms) / 1000, 0.0, policy.retry.cap_s))
    attempts = progress.attempts + rule.counted
    spent = rule.counted and attempts >= min(rule.tries or policy.max_attempts, policy.max_attempts)
    # The first look comes soon, later ones wait as long as a repeat would: a repeat follows an empty look at once.
    first = progress.attempts == 0 and progress.first_sent_ms == 0
    look_s = max(policy.confirm_first_s, least_s, 0.0 if first else wait_s)

    decision: Dead | Look | Again
    match rule.meaning:
        case Meaning.DONE | Meaning.POSTED:
            decision = Look(policy.confirm_first_s)
        case Meaning.VERIFY:
            decision = Look(look_s, refuse=spent)
        case Meaning.VERIFY_NEVER:
            decision = Look(look_s, refuse=True)
        case Meaning.SOON | Meaning.BACKOFF if not spent:
            soon = rule.meaning is Meaning.SOON and rule.gate is None
            decision = Again(max(min(wait_s, 2.0) if soon else wait_s, least_s, 0.05), counted=rule.counted)
        case _ if progress.sent or progress.lost_ms:
            # This answer is a clear no, but an earlier one was not, or may not have been: the ledger has the last word.
            decision = Look(look_s, refuse=True)
        case _:
            decision = Dead(DeadClass.REFUSED, code, response.message or f"Refused without a message: {rule.why}.")
    return Verdict(
        decision,
        acted=rule.may_have_acted,
        accepted=rule.meaning in (Meaning.DONE, Meaning.POSTED),
        counted=rule.counted,
        gate=_gate(rule, response),
    )
