"""The proof: what the journal says against what the ledger's books hold, intent by intent. Pure.

Lost: an accepted intent that ended nowhere, or whose outcome is not in the books. Doubled: an effect in the books that
no intent accounts for, or a second effect of one that does (docs/guarantees.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blnk_relay import Status
from blnk_relay.intents.links import resolved
from worker.demo.proof.findings import CLASSES, OUTCOMES, Proof, Recorded

if TYPE_CHECKING:
    from blnk_relay.sandbox.books.frozen import Books
    from worker.demo.proof.findings import BookRow


def prove(recorded: Iterable[Recorded], rows: Iterable[BookRow], books: Books | None = None) -> Proof:
    """Compare the journal with the books.

    Args:
        recorded: All accepted intents, in the order in which they were accepted.
        rows: All rows of the ledger that they may have made.
        books: Everything else in the ledger; None: nothing but money was written.
    """
    from worker.demo.proof.money import MoneyProof
    from worker.demo.proof.records import RecordsProof

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
        "dead_by_class": {name: classes[name] for name in CLASSES},
    }
