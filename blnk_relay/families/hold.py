"""What settling a hold means, in full, in parts or not at all.

Both kinds act on the row whose status is INFLIGHT, never on the queued one (contract §0.1 fact 11), one at a time for
each hold, and in skip mode, so that the answer is final: a queued action that fails for good blocks its hold for 90
days (contract §3.8). A partial commit has no key of its own at the ledger, so the sum of the hold's commits is recorded
before it is sent, and compared afterwards (contract §4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from blnk_relay.families.movement import altered
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Look, Send, refused
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.rows import (
    CLOCKS_APART_MS,
    MOMENT_LOST,
    capped,
    find_named,
    is_row_id,
    look_again,
    made_ms,
    missing,
    row_age_s,
    text_of,
)
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

#: Answers that contradict a read which shows the hold as open.
_SAYS_SETTLED = frozenset({"TXN_ALREADY_COMMITTED", "TXN_ALREADY_VOIDED", "TXN_COMMIT_AMOUNT_EXCEEDED"})


@dataclass(frozen=True, slots=True)
class Hold:
    """What the ledger shows of a hold."""

    row: Row
    commits: tuple[Row, ...]
    voids: tuple[Row, ...]

    @property
    def committed(self) -> int:
        """Minor units committed so far."""
        return sum(row.precise_amount or 0 for row in self.commits)

    @property
    def amount(self) -> int:
        """Minor units held at first."""
        return self.row.precise_amount or 0

    @property
    def readable(self) -> bool:
        """Whether every amount could be read; one that could not must never count as nothing."""
        return all(row.precise_amount is not None for row in (self.row, *self.commits))


@dataclass(frozen=True, slots=True)
class HoldAction:
    """A kind that acts on a hold.

    Attributes:
        verb: What the ledger calls it.
        status: Of the child that it makes below the hold.
        outcome: What it comes to.
        ended: What follows from what the ledger shows of the hold by itself; None where it is still to be sent.
    """

    verb: str
    status: str
    outcome: OutcomeName
    ended: Callable[[Entry, Hold, Progress, Policy], Done | Dead | Look | None]

    # -- the functions of a kind -------------------------------------------------------------------------------------

    def lookups(self, entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
        """The hold, then its children; a hold that expired by itself was voided under its queued parent (S13)."""
        row, asked = find_named(found, entry.payload["hold"])
        if asked or row is None or row.status != "INFLIGHT":
            return asked
        parents = [row.transaction_id, *([row.parent] if row.parent.startswith("txn_") else [])]
        return missing(found, *(Lookup("transactions", "parent_transaction", parent) for parent in parents))

    def decide(self, entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
        """Send when the hold is open and nothing of ours is under way; else read what became of it."""
        row, _ = find_named(found, entry.payload["hold"])
        if row is None or row.status != "INFLIGHT":
            return _not_a_hold(row, progress, policy)
        hold = _hold(row, found)
        if not hold.readable:
            return _unreadable(progress, policy)
        ended = self.ended(entry, hold, progress, policy)
        if ended is not None:
            return ended
        perhaps_ours = _perhaps_ours(hold, entry, progress)
        if progress.refuse and not perhaps_ours:
            if progress.sent and (progress.quiet_for_s < policy.quiet_s or progress.code in _SAYS_SETTLED):
                # A try before the one that was refused may be under way still; and nothing that is settled opens again:
                # a read that shows it open is older than such an answer.
                return look_again(progress, policy)
            return refused(progress.code, progress.message)
        recorded = progress.sent and not progress.forgotten
        before, left = str(hold.committed), str(hold.amount - hold.committed)
        fresh = {"row": row.transaction_id, "before": before, "left": left}
        memo = horizons.unwatched(progress.memo) if recorded else fresh
        seen = tuple(child.transaction_id for child in (*hold.commits, *hold.voids))
        return Send(
            memo=memo,
            exclusive=row.transaction_id,
            seen=seen,
            perhaps_ours=perhaps_ours,
            otherwise=moment_lost(perhaps_ours) if perhaps_ours else None,
        )

    def request(self, entry: Entry, progress: Progress, policy: Policy) -> Request:
        """``PUT /transactions/inflight/<INFLIGHT row>``, skip mode."""
        body: dict[str, Any] = {"status": self.verb, "skip_queue": True}
        if "precise_amount" in entry.payload:
            body["precise_amount"] = entry.payload["precise_amount"]
        row = quote(str(progress.memo["row"]), safe="")
        return Request("PUT", f"/transactions/inflight/{row}", "inflight", body, sync=True)

    def judge(self, entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
        """The table of contract §5; a skip-mode 200 carries the new child, which is the outcome."""
        rule = rule_for(request, response)
        verdict = verdict_for(rule, progress, response, policy)
        if rule.meaning is not Meaning.DONE:
            return verdict
        body = response.body or {}
        part = entry.payload.get("precise_amount")
        # All that remains may be answered with the child of an earlier part, if the answer is that one's.
        amount = progress.memo.get("left") if part is None else part
        child = text_of(body, "transaction_id")
        right = (
            is_row_id(child)
            and body.get("status") == self.status
            and body.get("parent_transaction") == progress.memo["row"]
            and (amount is None or not altered(body.get("precise_amount"), int(amount)))
            and (part is None or body.get("precise_amount") is not None)
        )
        if not right:
            # A page of somebody in between, perhaps: it proves nothing, not even that it was handed over.
            return replace(verdict, accepted=False)
        if part is not None and policy.confirm:
            # The child in the answer proves one commit, not only one: a gateway that repeats a PUT makes two, and shows
            # one of them (measured, finding R4). The sum of the hold's commits tells.
            return verdict
        done = Done(self.outcome, child, str(progress.memo["row"]))
        return Verdict(done, acted=True, accepted=True)


def _hold(row: Row, found: Found) -> Hold:
    children = found.children(row.transaction_id)
    expired = [child for child in found.children(row.parent) if child.status == "VOID"] if row.parent else []
    return Hold(
        row,
        tuple(child for child in children if child.status == "APPLIED"),
        (*(child for child in children if child.status == "VOID"), *expired),
    )


def _perhaps_ours(hold: Hold, entry: Entry, progress: Progress) -> tuple[str, ...]:
    """Commits that may be this very part, sent in moments that the journal has lost: of its amount, and no older.

    It is no older than its acceptance, where that survived the loss. What was accepted about then, or afterwards, may
    have been accepted before as well, any time in the moments that are lost; they may be as many as a backup is old.
    """
    part = entry.payload.get("precise_amount")
    if part is None or not progress.forgotten:
        return ()
    survived = progress.created_ms < progress.lost_ms - CLOCKS_APART_MS
    earliest_ms = (progress.created_ms if survived else progress.tail_ms) - CLOCKS_APART_MS
    return tuple(
        row.transaction_id
        for row in hold.commits
        if row.precise_amount == part and not (0 < made_ms(row.created_at) < earliest_ms)
    )


def moment_lost(rows: Sequence[str]) -> Dead:
    """A part of which nobody can tell whether it was sent in moments that the journal has lost.

    Args:
        rows: Commits of the hold that may be it.
    """
    return Dead(
        DeadClass.UNKNOWN,
        MOMENT_LOST,
        capped(
            "The journal lost its last moments, and this part may have been sent in them. The ledger has commits that "
            f"may be it: {', '.join(rows)}."
        ),
    )


def _unreadable(progress: Progress, policy: Policy) -> Decision:
    if progress.sent:
        return look_again(progress, policy)
    if progress.age_s < policy.horizon_s:
        return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
    return refused("AMOUNT_UNREADABLE", "The ledger shows the hold or its commits without amounts that can be read.")


def _not_a_hold(row: Row | None, progress: Progress, policy: Policy) -> Decision:
    if progress.sent and (not progress.forgotten or progress.quiet_for_s < policy.read_lag_s):
        # The hold was there when the request was sent, so this is read lag, never "no".
        return look_again(progress, policy)
    if row is not None and row.status in ("APPLIED", "VOID"):
        return refused("TXN_NOT_INFLIGHT", f"The transaction is {row.status}, not a hold.")
    if row is not None and row.status == "REJECTED":
        return refused("HOLD_REJECTED", "The ledger rejected the hold, so there is nothing to settle.")
    waited_s = progress.age_s if row is None else row_age_s(row, progress)
    if waited_s < (policy.horizon_s if row is None else policy.stuck_horizon_s):
        return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
    if row is None:
        return refused("HOLD_NOT_FOUND", "The ledger shows no such hold.")
    return refused("TXN_NOT_INFLIGHT", f"The hold is still {row.status}.")
