"""Several movements in one skip-mode request that are all to happen or none: what may be left of them. Pure.

The ledger applies one after the other and, when one fails, undoes those before it by queued refunds or by voids; no
database transaction is behind it, and every reference stays used (contract §3.6, §3.10). Two requests under the same
references never both get past the first movement, so a repeat in the same mode cannot double anything. Where all was
taken back for a reason that may pass, it is sent again, under references of a new generation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Renew, Send, refused
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import capped, family, final_row, look_again, missing, some_of

#: Seconds that the ledger is given for each movement of a request that it works on inside the request, over and above
#: the time of any request: cut off by us it stops where it is, its rollback included (contract §14.4). Alone it makes
#: some 280 movements a second on one pair of balances (measured); this allows for fourteen times as many writers.
PART_S = 0.05

#: A dead letter of several movements, and why no replay can help it.
ROLLBACK = {"ROLLBACK_INCOMPLETE": "some of it stands and the rest does not: settle it by hand, then discard it"}


class Fate(StrEnum):
    """What became of one movement."""

    STANDS = "stands"  #: It happened.
    UNDONE = "undone"  #: It happened and was taken back.
    UNDOING = "undoing"  #: It happened, and its refund is on its way.
    ABSENT = "absent"  #: The ledger does not show it.


@dataclass(frozen=True, slots=True)
class Part:
    """One movement and its row.

    Attributes:
        name: For people: an identifier, or a reference.
        amount: Minor units.
        row: Its row, where the ledger shows one.
        fate: What became of it.
    """

    name: str
    amount: int
    row: Row | None
    fate: Fate

    def noted(self) -> str:
        """How it is kept with the intent."""
        if self.row is None:
            return "missing"
        done = "held" if self.row.status == "INFLIGHT" else "applied"
        return f"{done if self.fate is Fate.STANDS else self.fate} {self.row.transaction_id}"

    def in_words(self) -> str:
        """For a message."""
        row = f" as {self.row.transaction_id}" if self.row else ""
        return f"{self.name} {self.amount}{row}"


def undoing_lookups(rows: Iterable[Row], found: Found) -> tuple[Lookup, ...]:
    """What has to be read to know which rows were taken back."""
    wanted: list[Lookup] = []
    for row in rows:
        if row.status == "INFLIGHT":
            wanted.append(Lookup("transactions", "parent_transaction", row.transaction_id))
        else:
            wanted += family(row.transaction_id + "_refund")
    return missing(found, *wanted)


def fate_of(row: Row | None, found: Found) -> Fate:
    """What became of a movement, as far as was read."""
    if row is None:
        return Fate.ABSENT
    if row.status == "INFLIGHT":
        voided = any(child.status == "VOID" for child in found.children(row.transaction_id))
        return Fate.UNDONE if voided else Fate.STANDS
    refund = row.transaction_id + "_refund"
    final = final_row(found, refund)
    if final is not None:
        return Fate.UNDONE if final.status == "APPLIED" else Fate.STANDS
    return Fate.STANDS if found.reference(refund) is None else Fate.UNDOING


def decide_together(parts: Sequence[Part], progress: Progress, policy: Policy) -> Decision | None:
    """What to do after a request that may have taken effect.

    Args:
        parts: All movements of the request.
        progress: The intent so far.
        policy: The numbers.

    Returns:
        The decision; None when every movement stands, and the kind can say what that came to.
    """
    if all(part.row is not None for part in parts):
        # A rollback follows a failure, and a failed movement has no row: whatever took one back came later.
        return None
    happened = [part for part in parts if part.row is not None]
    again = look_again(progress, policy)
    if not happened:
        return _nothing(progress, policy) or again
    if all(part.fate is Fate.UNDONE for part in happened):
        if progress.quiet_for_s < policy.read_lag_s:
            # One that was not taken back may be there unseen, and "all undone" lets a human send it all again.
            return again
        rolled_back = Dead(
            DeadClass.REJECTED,
            "ROLLED_BACK",
            capped(f"One failed, and the ledger took the others back. {_because(progress)}"),
        )
        if progress.refuse:
            return rolled_back
        # What was refused may pass. Under the old references nothing can, for those of the first are used up: so it is
        # tried under others, once no request is under way that could still do something under these.
        return Renew(rolled_back) if progress.quiet_for_s >= policy.quiet_s else again
    under_way = any(part.fate is Fate.UNDOING for part in happened)
    if horizons.watch(progress, policy).seconds < (policy.stuck_horizon_s if under_way else policy.horizon_s):
        # The ledger may still be at it: refunds are queued, and tried unseen for a quarter of an hour (contract §3.5).
        return again
    stands = [part for part in happened if part.fate is not Fate.UNDONE]
    absent = [part for part in parts if part.row is None]
    return Dead(
        DeadClass.PARTIAL,
        "ROLLBACK_INCOMPLETE",
        capped(f"Happened: {_named(stands)}. Did not: {_named(absent)}. {_because(progress)}"),
    )


def _nothing(progress: Progress, policy: Policy) -> Decision | None:
    """The ledger shows none of it; None to look again."""
    # Until then a request may be under way unseen. A repeat could not double it, only run into it; but a refusal is
    # only true once no try before it can come any more.
    if progress.quiet_for_s < (policy.read_lag_s if progress.accepted and not progress.refuse else policy.quiet_s):
        return None
    if progress.refuse:
        return refused(progress.code, progress.message)
    vanished = horizons.has_vanished(progress, policy)
    if vanished is None:
        return None
    if vanished:
        return Dead(DeadClass.UNKNOWN, "VANISHED", f"Sent {progress.sends} times, and the ledger shows no row for it.")
    return Send()


def _named(parts: Sequence[Part]) -> str:
    return some_of([part.in_words() for part in parts])


def _because(progress: Progress) -> str:
    return f"{progress.code}: {progress.message}" if progress.code else ""
