"""One step of an intent: what must be read next, or what to do. The same for all kinds; pure."""

from __future__ import annotations

from dataclasses import replace

from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Renew, Send
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.kind import Kind
from blnk_relay.intents.links import linked_keys
from blnk_relay.intents.progress import Policy, Progress

#: What becomes of an intent whose deadline passes before it could be sent.
EXPIRED = Dead(DeadClass.REFUSED, "EXPIRED", "Its deadline passed before it could be sent.")

#: The same of one that may have been sent.
UNDECIDED = Dead(DeadClass.UNKNOWN, "EXPIRED", "Undecided at its deadline, and it may have been sent.")

#: Code of a dead letter whose kind's code failed for it, again and again.
CANNOT_BE_HANDLED = "CANNOT_BE_HANDLED"

#: Code of one whose record is encrypted, and was changed or put into another's place.
DOES_NOT_VERIFY = "DOES_NOT_VERIFY"


def does_not_verify(progress: Progress) -> Dead:
    """What becomes of an intent whose record cannot be believed."""
    return Dead(
        DeadClass.UNKNOWN if progress.maybe_sent else DeadClass.REFUSED,
        DOES_NOT_VERIFY,
        "What was recorded of it is encrypted and does not verify: it was changed, or belongs to another intent. "
        + ("It may have been sent before." if progress.maybe_sent else "It was never sent."),
    )


def next_step(
    kind: Kind, entry: Entry, progress: Progress, found: Found, policy: Policy
) -> tuple[Lookup, ...] | Decision:
    """What must be read next, or, when enough is known, what to do.

    Past its deadline nothing is sent any more, but what was sent is still looked for while the ledger may be at it.

    Args:
        kind: The intent's kind.
        entry: The part that never changes.
        progress: The part that moves.
        found: What the ledger showed so far.
        policy: The numbers.
    """
    late = progress.now_ms >= progress.deadline_ms
    if late and progress.lost_ms and not progress.sent:
        # Before it is called late it is looked for: it may have been sent in moments that the journal has lost.
        progress = replace(progress, sent=True, last_sent_ms=progress.lost_ms)
    if entry.after and (missing := linked_keys(entry.payload)):
        if late and progress.lost_ms and not progress.again:
            return UNDECIDED
        keys = ", ".join(repr(key) for key in missing)
        told = f"What it links to brought no such id: {keys}."
        if progress.lost_ms or progress.sent:
            # The id may have been another one, or there, in moments that the journal has lost.
            return Dead(DeadClass.UNKNOWN, "LINK_EMPTY", f"{told} It may have been sent before.")
        return Dead(DeadClass.REFUSED, "LINK_EMPTY", told)
    wanted = kind.lookups(entry, progress, found)
    if wanted:
        return wanted
    decision = kind.decide(entry, progress, found, policy)
    if isinstance(decision, Renew) and late and not progress.lost_ms:
        return decision.otherwise
    if isinstance(decision, Send | Again) and late:
        if not progress.sent or (progress.again and progress.forgotten):
            # What it may repeat was over long ago, and the ledger does not show it.
            return EXPIRED
        if horizons.watch(progress, policy).seconds < policy.horizon_s:
            return horizons.look_on(progress, policy)
        return UNDECIDED
    return decision
