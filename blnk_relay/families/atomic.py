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
from blnk_relay.intents.decision import Dead, DeadClass, Look, Renew, Send, refused
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.rows import CLOCKS_APART_MS, capped, family, final_row, look_again, made_ms, missing, some_of

#: Seconds that the ledger is given for each movement of a request that it works on inside the request, over and above
#: the time of any request: cut off by us it stops where it is, its rollback included (contract §14.4). Alone it makes
#: some 280 movements a second on one pair of balances (measured); this allows for fourteen times as many writers.
PART_S = 0.05

#: Code of the dead letter of what happened as a whole and was taken back as a whole.
TAKEN_BACK = "TAKEN_BACK"

#: Dead letters of several movements, and why no replay can help them.
ROLLBACK = {
    "ROLLBACK_INCOMPLETE": "some of it stands and the rest does not: settle it by hand, then discard it",
    TAKEN_BACK: "all of it was made and taken back: enqueue it again under another key and other references if it is "
    "still wanted, then discard this one",
}


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
        settled = {child.status for child in found.children(row.transaction_id)}
        # The ledger voids the whole of it; what was committed in part first was settled by somebody else.
        return Fate.UNDONE if "VOID" in settled and "APPLIED" not in settled else Fate.STANDS
    refund = row.transaction_id + "_refund"
    final = final_row(found, refund)
    if final is not None:
        return Fate.UNDONE if final.status == "APPLIED" else Fate.STANDS
    return Fate.STANDS if found.reference(refund) is None else Fate.UNDOING


def decide_together(parts: Sequence[Part], progress: Progress, policy: Policy) -> Send | Dead | Look | Renew | None:
    """What to do after a request that may have taken effect.

    Args:
        parts: All movements of the request.
        progress: The intent so far.
        policy: The numbers.

    Returns:
        The decision; None when every movement stands, and the kind can say what that came to.
    """
    happened = [part for part in parts if part.row is not None]
    again = look_again(progress, policy)
    if len(happened) == len(parts):
        if progress.accepted or _is_repeat(happened, progress):
            # Whatever took one back came after the answer that all had happened, or long after all had.
            return None
        if progress.quiet_for_s < policy.read_lag_s:
            # The last may have failed after its row was there (contract §3.10), and what took all back be there unseen.
            return again
        if all(part.fate is Fate.STANDS for part in parts):
            return None
        if all(part.fate is Fate.UNDONE for part in parts):
            # A failure may have had it taken back, or somebody who no longer wanted what had happened: only who knows
            # which may have it made again.
            text = f"All of it happened, and all was taken back, by the ledger or since: {_named(parts)}."
            return Dead(DeadClass.UNKNOWN, TAKEN_BACK, _because(text, progress))
    elif not happened:
        return _nothing(progress, policy) or again
    elif all(part.fate is Fate.UNDONE for part in happened):
        if progress.quiet_for_s < policy.read_lag_s:
            # One that was not taken back may be there unseen, and "all undone" lets a human send it all again.
            return again
        text = _because("One failed, and the ledger took the others back.", progress)
        rolled_back = Dead(DeadClass.REJECTED, "ROLLED_BACK", text)
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
    undone = [part for part in happened if part.fate is Fate.UNDONE]
    told = {"Happened": stands, "Did not": absent, "Was taken back": undone}
    sentences = [f"{what}: {_named(which)}." for what, which in told.items() if which]
    return Dead(DeadClass.PARTIAL, "ROLLBACK_INCOMPLETE", _because(" ".join(sentences), progress))


def _is_repeat(happened: Sequence[Part], progress: Progress) -> bool:
    """Whether what happened is the work of an intent that was over before its key was forgotten."""
    latest_ms = max(made_ms(part.row.created_at) for part in happened if part.row is not None)
    return progress.again and latest_ms <= progress.lost_ms + CLOCKS_APART_MS


def _nothing(progress: Progress, policy: Policy) -> Send | Dead | None:
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


def _because(text: str, progress: Progress) -> str:
    """A message, with the last answer where there was one."""
    return capped(f"{text} {progress.code}: {progress.message}" if progress.code else text)
