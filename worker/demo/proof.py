"""The proof: what the journal says against what the ledger's books hold, intent by intent. Pure.

Lost: an accepted intent that ended nowhere, or whose outcome is not in the books. Doubled: an effect in the books that
no intent accounts for, or a second effect of one that does (docs/guarantees.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blnk_relay import PartStatus, Status
from blnk_relay.intents.linking import resolved

if TYPE_CHECKING:
    from blnk_relay.sandbox.snapshot import Books
    from worker.demo.proof_money import BookRow

#: Outcomes that the statement counts, in its order.
OUTCOMES = (
    "applied",
    "held",
    "voided",
    "refunded",
    "created",
    "updated",
    "tokenized",
    "uploaded",
    "started",
    "deleted",
)

_CLASSES = ("refused", "rejected", "unknown", "partial")


@dataclass(frozen=True, slots=True)
class Recorded:
    """An accepted intent and what the journal says of it.

    Attributes:
        status: What it came to.
        payload: What was asked for.
        parts: What its legs or items came to, where it has any.
    """

    status: Status
    payload: Mapping[str, Any]
    parts: tuple[PartStatus, ...] = ()

    @property
    def name(self) -> str:
        """What sentences call it."""
        return f"{self.status.kind} {self.status.key}"

    @property
    def unknown(self) -> bool:
        """It may have had its effect: that is what this class of dead letters says."""
        return self.status.dead_class == "unknown"


@dataclass(slots=True)
class Proof:
    """What the comparison found; sound when both lists are empty.

    Attributes:
        lost: Sentences, one for each lost intent.
        doubled: Sentences, one for each effect too many.
        blocked: Sentences, one for each intent that waits for a human to close the dead letter before it.
        effects: Effects in the books.
        explained: Effects that intents account for.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    effects: int = 0
    explained: int = 0


def prove(recorded: Iterable[Recorded], rows: Iterable[BookRow], books: Books | None = None) -> Proof:
    """Compare the journal with the books.

    Args:
        recorded: All accepted intents, in the order in which they were accepted.
        rows: All rows of the ledger that they may have made.
        books: Everything else in the ledger; None: nothing but money was written.
    """
    from worker.demo.proof_money import MoneyProof
    from worker.demo.proof_records import RecordsProof

    proof = Proof()
    given = list(recorded)
    behind = behind_dead({item.status.id: item.status for item in given})
    ids = {item.status.key: item.status.transaction_id for item in given}
    finished = []
    for item in given:
        status = item.status
        if status.id in behind:
            proof.blocked.append(f"{item.name} waits behind {status.waits_for[0]}")
        elif not status.finished:
            proof.lost.append(f"{item.name} is still {status.state}")
        else:
            finished.append(Recorded(status, resolved(item.payload, ids), item.parts))
    money, records = MoneyProof(proof, list(rows)), RecordsProof(proof, books)
    mine = [item for item in finished if money.knows(item)]
    others = [item for item in finished if not money.knows(item)]
    money.compare(mine)
    records.compare(others)
    return proof


def behind_dead(statuses: Mapping[str, Status]) -> frozenset[str]:
    """Ids of the intents that wait for a human: behind a dead letter, or behind one that does.

    Args:
        statuses: By id; what is missing here holds nobody back.
    """
    held: dict[str, bool] = {}

    def is_held(id_: str) -> bool:
        status = statuses.get(id_)
        if status is None or status.state != "waiting":
            return status is not None and status.state == "dead"
        if id_ not in held:
            held[id_] = False
            held[id_] = any(is_held(ahead) for ahead in status.waits_for)
        return held[id_]

    return frozenset(id_ for id_, status in statuses.items() if status.state == "waiting" and is_held(id_))


def tally(recorded: Sequence[Recorded]) -> dict[str, Any]:
    """How the accepted intents ended, by outcome and by class of dead letter."""
    outcomes = Counter(item.status.outcome for item in recorded if item.status.state == "done")
    classes = Counter(item.status.dead_class for item in recorded if item.status.state == "dead")
    return {
        "accepted": len(recorded),
        **{name: outcomes[name] for name in OUTCOMES},
        "rejected": classes["rejected"],
        "dead": sum(classes.values()),
        "dead_by_class": {name: classes[name] for name in _CLASSES},
    }
