"""Counting: the journal's word against the ledger's books, after every trouble."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from blnk_relay import Receipt, Relay
from blnk_relay.intents.states import OPEN
from blnk_relay.sandbox import Books, Sandbox
from tests.support.waiting import wait_until
from worker.demo.proof.findings import BookRow, Proof, Recorded
from worker.demo.proof.prove import prove

#: Ids asked for in one trip.
_CHUNK = 1_000

#: What the books hold, and the id of each.
_IDS = {
    "rows": "transaction_id",
    "balances": "balance_id",
    "ledgers": "ledger_id",
    "identities": "identity_id",
    "rules": "rule_id",
    "uploads": "upload_id",
    "external_records": "upload_id",
    "runs": "reconciliation_id",
}


def all_ids(books: Books) -> frozenset[str]:
    """The ids of all that the books hold."""
    return frozenset(getattr(item, id_) for name, id_ in _IDS.items() for item in getattr(books, name))


def states(relay: Relay, receipts: Sequence[Receipt]) -> list[str]:
    """The state of each intent, in few trips, whichever target it is for."""
    found: list[str] = []
    for at in range(0, len(receipts), _CHUNK):
        chunk, answers = receipts[at : at + _CHUNK], []
        for journal in relay.journals:
            pipeline = journal.client.pipeline(transaction=False)
            for receipt in chunk:
                pipeline.hget(journal.key(f"intent:{receipt.id}"), "state")
            answers.append(pipeline.execute())
        found += [next(filter(None, each), None) for each in zip(*answers, strict=True)]
    return found


def still_open(relay: Relay, receipts: Sequence[Receipt]) -> int:
    """How many of the intents are not finished."""
    return sum(state in OPEN for state in states(relay, receipts))


def wait_for_all(relay: Relay, receipts: Sequence[Receipt], timeout_s: float) -> None:
    """Wait until every intent is finished."""
    left = list(receipts)

    def ended() -> bool:
        left[:] = [receipt for receipt, state in zip(left, states(relay, left), strict=True) if state in OPEN]
        return not left

    wait_until(ended, timeout_s, f"all of {len(receipts)} intents to finish")


def recorded_of(relay: Relay, id_: str) -> Recorded:
    """What the journal says of an intent, for the proof."""
    status = relay.get(id_)
    return Recorded(status, relay.journal(status.target).payload(id_), relay.parts(id_))


def proof_of(relay: Relay, receipts: Iterable[Receipt], rows: Iterable[BookRow], books: Books | None = None) -> Proof:
    """The proof over some intents, which must be all that made these rows, and all else that is in the books."""
    recorded = [recorded_of(relay, id_) for id_ in dict.fromkeys(receipt.id for receipt in receipts)]
    return prove(recorded, rows, books)


def assert_exactly_once(
    relay: Relay, receipts: Iterable[Receipt], sandbox: Sandbox, *, foreign: frozenset[str] = frozenset()
) -> None:
    """Nothing lost, nothing doubled, and books that add up.

    Args:
        relay: Whose journal.
        receipts: Every receipt that was given.
        sandbox: Whose books.
        foreign: Ids of rows and records that somebody else made.
    """
    books = sandbox.books()
    ours = {
        name: tuple(item for item in getattr(books, name) if getattr(item, id_) not in foreign)
        for name, id_ in _IDS.items()
    }
    proof = proof_of(relay, receipts, ours["rows"], replace(books, **ours))
    for name, sentences in (("lost", proof.lost), ("doubled", proof.doubled), ("broken", books.violations())):
        assert not sentences, "\n".join([name, *sentences])
