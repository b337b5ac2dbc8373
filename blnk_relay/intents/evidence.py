"""What the ledger has to show of an intent that is over, and in what it differs from what the journal says. Pure.

A kind's :class:`Evidence` reads nothing by itself: it says what has to be read, and compares once it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from blnk_relay.intents.dead_class import DeadClassName
from blnk_relay.intents.found import Found, Lookup
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.outcomes import OutcomeName
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.rows import capped
from blnk_relay.intents.states import LETTERS, OPEN, StateName

#: Stands for all fields of a record that was taken away, and for all keys of metadata that was replaced.
EVERYTHING, ALL_META = "*", "meta_data.*"


class Sort(StrEnum):
    """What a difference is."""

    MISSING = "missing"  #: The journal says that it stands, and the ledger does not show it.
    OTHER = "other"  #: It stands, and not as the journal says.
    TWICE = "twice"  #: More of it stands than was asked for.
    HAPPENED = "happened"  #: It is no outcome for the journal, and the ledger shows that it happened.
    STRANGE = "strange"  #: It stands under a reference of ours, and the journal knows nothing of it.


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which the ledger is not what the journal says.

    Its texts are for operators alone, and stand in no log: they name references, ids, amounts, balances and rules, but
    no other value of a payload.

    Attributes:
        sort: What it is.
        reference: What the ledger knows it by: a reference, or an id.
        says: What the journal says.
        shows: What the ledger shows.
        advice: What to do.
    """

    sort: Sort
    reference: str
    says: str
    shows: str
    advice: str


@dataclass(frozen=True, slots=True)
class Part:
    """What a leg or an item came to; see :class:`blnk_relay.PartStatus`."""

    status: str
    transaction_id: str = ""

    @property
    def stands(self) -> bool:
        """Whether it happened, and was not taken back."""
        return self.status in ("applied", "held", "voided")


@dataclass(frozen=True, slots=True)
class Past:
    """All that the journal says of an intent; as a rule of one that is over.

    Attributes:
        entry: What never changes, its links filled in.
        state: How far it came.
        outcome: With ``done``: what it came to.
        dead_class: With ``dead``: its class.
        code: With ``dead``: its code.
        transaction_id: Id of the row or record that proves it.
        parent_id: Id of the row that it belongs to.
        generation: How often it was given new references.
        memo: What the kind recorded before sending.
        parts: What its legs or items came to.
        ended_ms: When it came to that, by the journal's time.
        accepted_ms: When it was accepted.
        sent: While it is open, whether it may have been sent before, wherever it stands now.
    """

    entry: Entry
    state: StateName
    outcome: OutcomeName = ""
    dead_class: DeadClassName = ""
    code: str = ""
    transaction_id: str = ""
    parent_id: str = ""
    generation: int = 0
    memo: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    ended_ms: int = 0
    accepted_ms: int = 0
    sent: bool = False

    @property
    def done(self) -> bool:
        """The outcome stands, for the journal."""
        return self.state == "done"

    @property
    def perhaps(self) -> bool:
        """Nobody can tell whether it happened: it is under way, or that is what the letter says."""
        if self.state in LETTERS:
            return self.dead_class == "unknown"
        return self.state in ("sending", "posted") or (self.sent and self.state in OPEN)

    @property
    def partial(self) -> bool:
        """Some of it happened."""
        return self.dead_class == "partial"

    @property
    def told(self) -> str:
        """What it came to, in words."""
        if self.done:
            return f"done ({self.outcome})" + (f" as {self.transaction_id}" if self.transaction_id else "")
        return f"{self.state} ({self.dead_class} {self.code})" if self.dead_class else str(self.state)

    def progress(self) -> Progress:
        """As far as it matters for reading the ledger: it was sent, long ago."""
        return Progress(
            self.ended_ms, self.accepted_ms, self.ended_ms, sent=True, looking=True, memo=self.memo,
            generation=self.generation, created_ms=self.accepted_ms,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Writes:
    """Values that an intent has set.

    Attributes:
        record_id: Of what.
        fields: Their names; those of metadata as ``meta_data.<key>``.
    """

    record_id: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Below:
    """What an intent has made below a row or an upload of which nothing but the journal tells whose it is.

    Attributes:
        parent: The hold's row, or the upload; empty where that is not known.
        child: What it made; empty where that is not known.
        perhaps: Whether it may have made something there that is not known, whatever became of the rest of it.
    """

    parent: str
    child: str = ""
    perhaps: bool = False


class Known:
    """What the journal knows of all its intents that a comparison of one needs: who set a value last, whose a row is.

    Filled in any order; nothing but what ended later than an intent counts as later.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, str]] = {}
        #: Rows below which something of ours stands that nobody knows the id of: it was not read back.
        self._unnamed: set[str] = set()
        self._unsure: dict[str, set[str]] = {}
        self._owners: dict[str, str] = {}
        #: Since when it knows everything, by the journal's time; what is older may have been trimmed.
        self.since_ms = 0
        #: Whether it knows everything since then; there may be more than can be held, or some that cannot be read.
        self.complete = True

    def __len__(self) -> int:
        return len(self._last) + len(self._owners) + len(self._unnamed)

    def add(self, past: Past, writes: Writes | None, below: Iterable[Below]) -> None:
        """Take an intent in; one that nobody knows the end of makes unsure what it is about, until then."""
        stands = past.done or past.partial
        for made in below:
            if made.child and stands:
                self._owners[made.child] = past.entry.id
            elif past.done:
                self._unnamed.add(made.parent)
            if past.perhaps or made.perhaps:
                self._unsure.setdefault(made.parent, set()).add(past.entry.id)
            elif made.parent in self._unsure:
                self._unsure[made.parent].discard(past.entry.id)
        # What happened in part has set some of them, and nobody can tell here which.
        if writes is None or not (stands or past.perhaps):
            return
        for name in writes.fields:
            place = (writes.record_id, name)
            self._last[place] = max(self._last.get(place, (0, "")), (past.ended_ms, past.entry.id))

    def is_overwritten(self, past: Past, record_id: str, name: str) -> bool:
        """Whether another intent set a value later, or may have."""
        names = [name, EVERYTHING, *([ALL_META] if name.startswith("meta_data.") else [])]
        return any(
            at_ms >= past.ended_ms and id_ != past.entry.id
            for at_ms, id_ in (self._last.get((record_id, one), (-1, "")) for one in names)
        )

    def still_set(self, past: Past, writes: Writes) -> frozenset[str]:
        """Those of the values that an intent has set which nobody has set since."""
        return frozenset(name for name in writes.fields if not self.is_overwritten(past, writes.record_id, name))

    def owner(self, id_: str) -> str:
        """Id of the intent that made a row below another, or a run; empty where the journal knows none."""
        return self._owners.get(id_, "")

    def is_unsure(self, parent: str, but: str = "") -> bool:
        """Whether some intent may have made something below a row, or is about to; other than the one named."""
        return not self.complete or parent in self._unnamed or bool(self._unsure.get(parent, set()) - {but})

    def may_be_older(self, past: Past) -> bool:
        """Whether something of which no time is known may be from before all that it knows of."""
        return past.accepted_ms <= self.since_ms

    def unexplained(self, children: Iterable[str]) -> tuple[str, ...]:
        """Those of the children of a row that no intent of the journal made."""
        return tuple(child for child in children if child not in self._owners)


def nothing_set(_past: Past) -> Writes | None:
    """Of kinds that set no value which another write may replace."""
    return None


def nothing_below(_past: Past) -> tuple[Below, ...]:
    """Of kinds whose rows carry a reference of ours."""
    return ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger has to show of the intents of a kind once they are over.

    Attributes:
        lookups: What still has to be read before :attr:`differences` can tell.
        differences: In what the ledger is not what the journal says; what others of ours did since counts for them.
        writes: The values that it has set.
        below: What it made below something that carries no reference of ours.
    """

    lookups: Callable[[Past, Found], tuple[Lookup, ...]]
    differences: Callable[[Past, Found, Known], tuple[Difference, ...]]
    writes: Callable[[Past], Writes | None] = nothing_set
    below: Callable[[Past], tuple[Below, ...]] = nothing_below

    @property
    def shared(self) -> bool:
        """Whether an intent can only be judged by what others of ours did."""
        return self.writes is not nothing_set or self.below is not nothing_below


#: What to do about each sort, where nothing better is known.
ADVICE: Mapping[Sort, str] = {
    Sort.MISSING: "find out who took it away; if it is to stand, enqueue it once more under a new key",
    Sort.OTHER: "find out who changed it, and put right by hand what is wrong",
    Sort.TWICE: "find out whose the second one is, and give back by hand what is too much",
    Sort.HAPPENED: "it happened: do not enqueue it again; discard the letter, saying so",
    Sort.STRANGE: "find out who made it: another program with references like ours, or a journal that lost receipts",
}

#: What to do about a letter of unknown outcome that can be told by now.
CAN_BE_TOLD = "it happened: replay the letter, which finds it, or discard it as done; do not enqueue it again"

#: What to do about a cancelled intent that happened all the same.
NOT_CANCELLED = "it happened although it was taken back: give it back by hand"

#: What to do about legs of a split that stand where another transaction took the place of the rest.
IN_PART = (
    "some of it happened, beside another transaction: do not enqueue it again; give that back, or make the rest, by "
    "hand, then discard its letter if there is one"
)


def difference(sort: Sort, past: Past, reference: str, shows: str, *, says: str = "", advice: str = "") -> Difference:
    """A difference, with the advice of its sort where there is no better one."""
    if not advice and sort is Sort.HAPPENED:
        advice = CAN_BE_TOLD if past.perhaps else NOT_CANCELLED if past.state == "cancelled" else ""
    return Difference(sort, reference, capped(says or past.told), capped(shows), advice or ADVICE[sort])
