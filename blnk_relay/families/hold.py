"""What settling a hold means, in full, in parts or not at all.

Both kinds act on the row whose status is INFLIGHT, never on the queued one (contract §0.1 fact 11), one at a time for
each hold, and in skip mode, so that the answer is final: a queued action that fails for good blocks its hold for 90
days (contract §3.8). A partial commit has no key of its own at the ledger, so the sum of the hold's commits is recorded
before it is sent, and compared afterwards (contract §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from blnk_relay.families.movement import altered
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Look, Send
from blnk_relay.intents.exchange import Request, Response, Verdict
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.retry import growing_s
from blnk_relay.intents.rows import MOMENT_LOST, capped, find_named, look_again, made_ms, missing, row_age_s, text_of
from blnk_relay.intents.verdict_table import Meaning
from blnk_relay.intents.verdicts import rule_for, verdict_for

COMMIT = "inflight.commit"
VOID = "inflight.void"

#: How far apart the clocks of the ledger and of the journal may be.
CLOCKS_APART_MS = 300_000

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


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """The hold, then its children; a hold that expired by itself was voided under its queued parent (S13)."""
    row, asked = find_named(found, entry.payload["hold"])
    if asked or row is None or row.status != "INFLIGHT":
        return asked
    parents = [row.transaction_id, *([row.parent] if row.parent.startswith("txn_") else [])]
    return missing(found, *(Lookup("transactions", "parent_transaction", parent) for parent in parents))


def _hold(row: Row, found: Found) -> Hold:
    children = found.children(row.transaction_id)
    expired = [child for child in found.children(row.parent) if child.status == "VOID"] if row.parent else []
    return Hold(
        row,
        tuple(child for child in children if child.status == "APPLIED"),
        (*(child for child in children if child.status == "VOID"), *expired),
    )


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send when the hold is open and nothing of ours is under way; else read what became of it."""
    row, _ = find_named(found, entry.payload["hold"])
    if row is None or row.status != "INFLIGHT":
        return _not_a_hold(row, progress, policy)
    hold = _hold(row, found)
    if not hold.readable:
        return _unreadable(progress, policy)
    settled: Done | Dead | Look | None
    if entry.kind == VOID:
        settled = _void_settled(hold, progress)
    elif "precise_amount" in entry.payload:
        settled = _part_settled(hold, entry.payload["precise_amount"], progress, policy)
    else:
        settled = _rest_settled(hold, progress)
    if settled is not None:
        return settled
    if progress.refuse:
        if progress.sent and (progress.quiet_for_s < policy.read_lag_s or progress.code in _SAYS_SETTLED):
            # Nothing that is settled opens again: a read that shows it open is older than such an answer.
            return look_again(progress, policy)
        return _refused(progress.code, progress.message)
    recorded = progress.sent and not progress.forgotten
    before, left = str(hold.committed), str(hold.amount - hold.committed)
    fresh = {"row": row.transaction_id, "before": before, "left": left}
    memo = horizons.unmarked(progress.memo) if recorded else fresh
    seen = tuple(child.transaction_id for child in (*hold.commits, *hold.voids))
    perhaps_ours = _perhaps_ours(hold, entry, progress)
    return Send(
        memo=memo,
        exclusive=row.transaction_id,
        seen=seen,
        perhaps_ours=perhaps_ours,
        otherwise=_moment_lost(perhaps_ours) if perhaps_ours else None,
    )


def _perhaps_ours(hold: Hold, entry: Entry, progress: Progress) -> tuple[str, ...]:
    """Commits that may be this very part, sent in moments that the journal has lost: of its amount, and no older."""
    part = entry.payload.get("precise_amount")
    if part is None or not progress.forgotten:
        return ()
    earliest_ms = min(progress.created_ms, progress.lost_ms) - CLOCKS_APART_MS
    return tuple(
        row.transaction_id
        for row in hold.commits
        if row.precise_amount == part and not (0 < made_ms(row.created_at) < earliest_ms)
    )


def _moment_lost(rows: Sequence[str]) -> Dead:
    return Dead(
        DeadClass.UNKNOWN,
        MOMENT_LOST,
        capped(
            "The journal lost its last moments, and this part may have been sent in them. The ledger has commits of "
            f"its amount that may be it: {', '.join(rows)}."
        ),
    )


def _void_settled(hold: Hold, progress: Progress) -> Done | Dead | None:
    if hold.voids:
        if progress.sent:
            return Done("voided", hold.voids[-1].transaction_id, hold.row.transaction_id)
        return _refused("TXN_ALREADY_VOIDED", "The hold was voided already, by its expiry or by somebody else.")
    if hold.committed >= hold.amount:
        return _refused("TXN_ALREADY_COMMITTED", "The hold was committed in full: nothing is left to void.")
    return None


def _rest_settled(hold: Hold, progress: Progress) -> Done | Dead | None:
    if hold.committed >= hold.amount:
        if progress.sent and hold.commits:
            return Done("applied", hold.commits[-1].transaction_id, hold.row.transaction_id)
        return _refused("TXN_ALREADY_COMMITTED", "The hold was committed in full already, by somebody else.")
    if hold.voids:
        return _refused("TXN_ALREADY_VOIDED", "The hold was voided: nothing is left to commit.")
    return None


def _part_settled(hold: Hold, part: int, progress: Progress, policy: Policy) -> Done | Dead | Look | None:
    """Settle a partial commit by sums: those recorded before it was sent against those the ledger shows now."""
    if progress.forgotten:
        if progress.quiet_for_s < policy.quiet_s:
            return look_again(progress, policy)
        if any(row.precise_amount == part for row in hold.commits):
            # Whether one of them is this very part is the journal's to say, and that of the ledger's refusal.
            return None
    elif progress.sent:
        before = int(progress.memo["before"])
        if hold.committed == before + part:
            newest = [row for row in hold.commits if row.precise_amount == part]
            return Done("applied", newest[-1].transaction_id if newest else "", hold.row.transaction_id)
        if hold.committed < before:
            # Commits are never taken back, so this read is older than the one that was recorded.
            return look_again(progress, policy)
        if hold.committed != before:
            return Dead(
                DeadClass.UNKNOWN,
                "HOLD_CHANGED",
                f"{before} minor units were committed before, {hold.committed} are now, and {part} were asked for: "
                "somebody else writes to this hold, so nobody can tell whether this commit happened.",
            )
        if progress.accepted or progress.quiet_for_s < policy.quiet_s:
            # What was answered with a 200 is there, seen or not; what was not may still be under way.
            return look_again(progress, policy)
    if hold.voids:
        return _refused("TXN_ALREADY_VOIDED", "The hold was voided: nothing is left to commit.")
    if part > hold.amount - hold.committed:
        return _refused(
            "TXN_COMMIT_AMOUNT_EXCEEDED",
            f"{hold.amount - hold.committed} minor units remain, {part} were asked for.",
        )
    return None


def _unreadable(progress: Progress, policy: Policy) -> Decision:
    if progress.sent:
        return look_again(progress, policy)
    if progress.age_s < policy.horizon_s:
        return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
    return _refused("AMOUNT_UNREADABLE", "The ledger shows the hold or its commits without amounts that can be read.")


def _not_a_hold(row: Row | None, progress: Progress, policy: Policy) -> Decision:
    if progress.sent and not progress.forgotten:
        # The hold was there when the request was sent, so this is read lag, never "no".
        return look_again(progress, policy)
    if row is not None and row.status in ("APPLIED", "VOID"):
        return _refused("TXN_NOT_INFLIGHT", f"The transaction is {row.status}, not a hold.")
    if row is not None and row.status == "REJECTED":
        return _refused("HOLD_REJECTED", "The ledger rejected the hold, so there is nothing to settle.")
    waited_s = progress.age_s if row is None else row_age_s(row, progress)
    if waited_s < (policy.horizon_s if row is None else policy.stuck_horizon_s):
        return Again(growing_s(progress.age_s, policy.confirm_first_s, policy.confirm_max_s), counted=False)
    if row is None:
        return _refused("HOLD_NOT_FOUND", "The ledger shows no such hold.")
    return _refused("TXN_NOT_INFLIGHT", f"The hold is still {row.status}.")


def _refused(code: str, message: str) -> Dead:
    return Dead(DeadClass.REFUSED, code, message)


def request(entry: Entry, progress: Progress, policy: Policy) -> Request:
    """``PUT /transactions/inflight/<INFLIGHT row>``, skip mode."""
    body: dict[str, Any] = {"status": "void" if entry.kind == VOID else "commit", "skip_queue": True}
    if "precise_amount" in entry.payload:
        body["precise_amount"] = entry.payload["precise_amount"]
    row = quote(str(progress.memo["row"]), safe="")
    return Request("PUT", f"/transactions/inflight/{row}", "inflight", body, sync=True)


def judge(entry: Entry, progress: Progress, request: Request, response: Response, policy: Policy) -> Verdict:
    """The table of contract §5; a skip-mode 200 carries the new child, which is the outcome."""
    rule = rule_for(request, response)
    verdict = verdict_for(rule, progress, response, policy)
    if rule.meaning is not Meaning.DONE:
        return verdict
    body = response.body or {}
    wanted = "VOID" if entry.kind == VOID else "APPLIED"
    part = entry.payload.get("precise_amount")
    # All that remains may be answered with the child of an earlier part, if the answer is that one's.
    amount = progress.memo.get("left") if part is None else part
    right = (
        body.get("status") == wanted
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
    outcome: OutcomeName = "voided" if entry.kind == VOID else "applied"
    done = Done(outcome, text_of(body, "transaction_id"), str(progress.memo["row"]))
    return Verdict(done, acted=True, accepted=True)
