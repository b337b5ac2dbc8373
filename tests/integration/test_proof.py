"""The proof of the demo, and an audit, are only worth something if they find what is wrong: one change each.

The proof is given books that were tampered with; the audit reads a ledger that was, over HTTP.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from blnk_relay import Relay
from blnk_relay.audit import Report
from blnk_relay.intents.references import reference_for
from blnk_relay.journal.status import moment
from blnk_relay.sandbox import Books, Faults
from blnk_relay.sandbox.books.rows import Status
from tests.support.counting import recorded_of, wait_for_all
from tests.support.falsify import Falsification, changed, copied, falsified, gone, renamed
from tests.support.waiting import wait_until
from worker.audit import opened
from worker.demo.proof.findings import Proof, Recorded
from worker.demo.proof.prove import behind_dead, prove, tally
from worker.demo.stage import Stage
from worker.demo.story import tell
from worker.telemetry import Telemetry

Tampering = Callable[[Books, "Told"], Books]


@dataclass(frozen=True)
class Told:
    """A story that was told to a ledger that behaves."""

    recorded: list[Recorded]
    books: Books
    stage: Stage
    relay: Relay

    def ids(self, kind: str, key: str = "", state: str = "done") -> list[str]:
        """What intents of a kind came to, in accept order."""
        found = (item.status for item in self.recorded if item.status.kind == kind and key in item.status.key)
        return [status.transaction_id for status in found if status.state == state]

    def part(self, kind: str, state: str = "done", status: str = "applied") -> str:
        """Id of the first leg or item of an intent that came to something."""
        items = (item for item in self.recorded if item.status.kind == kind and item.status.state == state)
        return next(part.transaction_id for item in items for part in item.parts if part.status == status)

    def proof(self, books: Books) -> Proof:
        return prove(self.recorded, books.rows, books)


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    story = tell(170, 5)
    with Stage(faults=Faults.none()) as stage, Relay(stage.settings) as relay:
        stage.start_worker()
        receipts = relay.enqueue_many(story.opening)
        wait_for_all(relay, receipts, 60)
        receipts += relay.enqueue_many(story.writes)
        wait_for_all(relay, receipts, 60)
        stage.stop_workers()
        recorded = [recorded_of(relay, receipt.id) for receipt in receipts]
        yield Told(recorded, stage.sandbox.books(), stage, relay)


def test_sound_books_are_sound_and_every_effect_is_explained(told: Told) -> None:
    proof = told.proof(told.books)
    assert (proof.lost, proof.doubled, proof.blocked) == ([], [], [])
    assert proof.explained == proof.effects > len(told.recorded) / 2
    numbers = tally(told.recorded)
    assert numbers["accepted"] == 170
    assert numbers["dead_by_class"]["partial"] > 0


def _without(name: str, id_: Callable[[Told], str]) -> Tampering:
    def tamper(books: Books, told: Told) -> Books:
        gone = id_(told)
        kept = tuple(one for one in getattr(books, name) if _id(one) != gone)
        assert len(kept) == len(getattr(books, name)) - 1
        return replace(books, **{name: kept})

    return tamper


def _twice(name: str, id_: Callable[[Told], str], **changes: Any) -> Tampering:
    def tamper(books: Books, told: Told) -> Books:
        original = next(one for one in getattr(books, name) if _id(one) == id_(told))
        another = replace(original, **{_id_field(original): f"{_id(original)[:-4]}beef", **changes})
        return replace(books, **{name: (*getattr(books, name), another)})

    return tamper


def _changed(name: str, id_: Callable[[Told], str], change: Callable[[Any], Any]) -> Tampering:
    def tamper(books: Books, told: Told) -> Books:
        wanted = id_(told)
        changed = tuple(change(one) if _id(one) == wanted else one for one in getattr(books, name))
        assert changed != getattr(books, name)
        return replace(books, **{name: changed})

    return tamper


_ID_FIELDS = {
    "Row": "transaction_id",
    "LedgerRecord": "ledger_id",
    "BookBalance": "balance_id",
    "IdentityRecord": "identity_id",
    "MatchingRule": "rule_id",
    "Upload": "upload_id",
    "Run": "reconciliation_id",
}


def _id_field(one: Any) -> str:
    return _ID_FIELDS[type(one).__name__]


def _id(one: Any) -> str:
    return str(getattr(one, _id_field(one)))


def _meta(**changes: Any) -> Callable[[Any], Any]:
    return lambda one: replace(one, meta={**(one.meta or {}), **changes})


def _meta_without(key: str) -> Callable[[Any], Any]:
    return lambda one: replace(one, meta={name: value for name, value in one.meta.items() if name != key})


def first(kind: str, key: str = "") -> Callable[[Told], str]:
    return lambda told: told.ids(kind, key)[0]


def last(kind: str, key: str = "") -> Callable[[Told], str]:
    return lambda told: told.ids(kind, key)[-1]


def _back_again(books: Books, told: Told) -> Books:
    """A rule that was deleted is there."""
    rule = replace(books.rules[0], rule_id=told.ids("matching_rule.delete")[0])
    return replace(books, rules=(*books.rules, rule))


def _not_taken_back(books: Books, told: Told) -> Books:
    """Of an atomic payout that failed, one item was never refunded."""
    undone = told.part("transaction.bulk", "dead", "undone")
    kept = tuple(row for row in books.rows if not row.reference.startswith(f"{undone}_refund"))
    assert len(kept) < len(books.rows)
    return replace(books, rows=kept)


def _batch_tag_gone(books: Books, told: Told) -> Books:
    batch = told.ids("metadata.update", "payroll")[0]
    row = next(row for row in books.rows if row.parent_transaction == batch)
    return replace(books, rows=tuple(_meta_without("payroll")(one) if one is row else one for one in books.rows))


def _fewer_records(books: Books, told: Told) -> Books:
    upload = told.ids("reconciliation.upload")[0]
    gone = next(record for record in books.external_records if record.upload_id == upload)
    return replace(books, external_records=tuple(one for one in books.external_records if one is not gone))


LOST: dict[str, Tampering] = {
    "a payment": _without("rows", first("transaction", "order")),
    "a top-up of another amount": _changed(
        "rows", first("transaction", "top-up"), lambda row: replace(row, precise_amount=1)
    ),
    "a hold": _without("rows", first("transaction", "hold")),
    "a commit": _without("rows", first("inflight.commit")),
    "a void": _without("rows", first("inflight.void")),
    "a refund": _without("rows", first("refund")),
    "a leg": _without("rows", lambda told: told.part("transaction.split")),
    "an item": _without("rows", lambda told: told.part("transaction.bulk")),
    "an item that a dead letter names": _without("rows", lambda told: told.part("transaction.bulk", "dead")),
    "a ledger": _without("ledgers", first("ledger.create")),
    "a ledger's terms": _changed("ledgers", first("metadata.update", "terms"), _meta_without("terms")),
    "our tag": _changed("ledgers", first("ledger.create"), _meta_without("blnk_relay")),
    "a wallet": _without("balances", first("balance.create")),
    "whose wallet it is": _changed(
        "balances", first("balance.link_identity"), lambda one: replace(one, identity_id="")
    ),
    "a customer": _without("identities", first("identity.create")),
    "the corrected address": _changed(
        "identities", first("identity.update"), lambda one: replace(one, texts={**one.texts, "city": "Nowhere"})
    ),
    "a date of birth": _changed("identities", first("identity.create"), lambda one: replace(one, dob="1900-01-01")),
    "a token": _changed(
        "identities", first("identity.tokenize"), lambda one: replace(one, texts={**one.texts, "street": "Plain 1"})
    ),
    "the mark of tokens": _changed("identities", first("identity.tokenize"), _meta_without("tokenized_fields")),
    "a customer's note": _changed("identities", last("metadata.update", "noted"), _meta(moved=0)),
    "a shipment": _changed("rows", first("metadata.update", "shipment"), _meta_without("shipment")),
    "a batch's tag on one row": _batch_tag_gone,
    "a rule": _without("rules", first("matching_rule.create", "rule")),
    "the stricter rule": _changed(
        "rules", first("matching_rule.update"), lambda rule: replace(rule, criteria=rule.criteria[:1])
    ),
    "an upload": _without("uploads", first("reconciliation.upload")),
    "a record of an upload": _fewer_records,
    "a reconciliation": _without("runs", first("reconciliation.start")),
    "a reconciliation's end": _changed(
        "runs", first("reconciliation.start_instant"), lambda run: replace(run, status="failed")
    ),
}

DOUBLED: dict[str, Tampering] = {
    "a payment": _twice("rows", first("transaction", "order"), reference="again"),
    "a commit": _twice("rows", first("inflight.commit"), reference="again"),
    "a void": _twice("rows", first("inflight.void"), reference="again"),
    "a refund": _twice("rows", first("refund"), reference="again"),
    "a leg": _twice("rows", lambda told: told.part("transaction.split"), reference="again"),
    "an item": _twice("rows", lambda told: told.part("transaction.bulk"), reference="again"),
    "an item that should have been taken back": _not_taken_back,
    "a ledger": _twice("ledgers", first("ledger.create")),
    "a wallet": _twice("balances", first("balance.create")),
    "a customer": _twice("identities", first("identity.create")),
    "a customer's note that nobody made": _changed("identities", first("identity.create"), _meta(surprise=1)),
    "a rule": _twice("rules", first("matching_rule.create", "rule")),
    "a rule that was deleted": _back_again,
    "an upload": _twice("uploads", first("reconciliation.upload")),
    "a reconciliation": _twice("runs", first("reconciliation.start")),
    "an instant reconciliation": _twice("runs", first("reconciliation.start_instant")),
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_missing_or_other_is_lost(told: Told, what: str) -> None:
    assert told.proof(LOST[what](told.books, told)).lost


@pytest.mark.parametrize("what", DOUBLED)
def test_what_is_there_twice_is_doubled(told: Told, what: str) -> None:
    assert told.proof(DOUBLED[what](told.books, told)).doubled


def test_an_intent_that_nobody_finished_is_lost_unless_a_dead_letter_is_ahead_of_it(told: Told) -> None:
    dead = next(item for item in told.recorded if item.status.state == "dead" and item.status.kind == "transaction")
    payment = next(item for item in told.recorded if item.status.state == "done" and item.status.kind == "transaction")
    waiting = replace(payment.status, state="waiting", outcome="", transaction_id="")
    books = replace(told.books, rows=())
    for ahead, blocked in (((dead.status.id,), 1), ((payment.status.id,), 0), ((), 0)):
        held = replace(waiting, id="held", waits_for=ahead)
        behind = replace(waiting, id="behind", waits_for=("held",))
        items = [dead, replace(payment, status=held), replace(payment, status=behind)]
        proof = prove(items, (), replace(books, ledgers=(), balances=(), identities=(), rules=(), uploads=(), runs=()))
        assert (len(proof.blocked), len(proof.lost)) == ((2, 0) if blocked else (0, 2))
        assert len(behind_dead({item.status.id: item.status for item in items})) == 2 * blocked


@pytest.mark.parametrize(
    "kinds", [{"reconciliation.start_instant"}, {"reconciliation.upload", "reconciliation.start"}], ids=["one", "two"]
)
def test_what_may_have_been_made_explains_one_record_of_its_sort(told: Told, kinds: set[str]) -> None:
    def unknown(item: Recorded) -> Recorded:
        fields = {"state": "dead", "outcome": None, "dead_class": "unknown", "transaction_id": ""}
        return replace(item, status=replace(item.status, **fields)) if item.status.kind in kinds else item

    recorded = [unknown(item) for item in told.recorded]
    assert recorded != told.recorded
    proof = prove(recorded, told.books.rows, told.books)
    assert (proof.lost, proof.doubled) == ([], [])
    run = next(
        run for run in told.books.runs if run.reconciliation_id in told.ids(max(kinds - {"reconciliation.upload"}))
    )
    again = replace(told.books, runs=(*told.books.runs, replace(run, reconciliation_id="recon_beef")))
    assert len(prove(recorded, again.rows, again).doubled) == 1


def test_a_kind_that_the_proof_does_not_know_cannot_be_proven(told: Told) -> None:
    item = told.recorded[0]
    strange = replace(item, status=replace(item.status, kind="ledger.close"))
    assert "knows nothing of" in prove([strange], (), None).lost[0]


# -- the audit -------------------------------------------------------------------------------------------------------


def _audit(told: Told, *, ours: Sequence[str] = ("*",)) -> Report:
    """An audit of the whole story, as fast as the ledger answers."""
    with opened(
        told.stage.settings,
        told.relay.journal(),
        Telemetry(told.stage.settings),
        rate=100_000,
        patience_s=5,
        pause=threading.Event().wait,
        ours=ours,
    ) as made:
        place = made.audit.begin(datetime.now(UTC) - timedelta(days=1))
        return made.audit.run(place)


@pytest.fixture(scope="module")
def audited(told: Told) -> Told:
    """The same, once all of it is old enough to be judged."""
    last = max(item.status.updated for item in told.recorded if item.status.updated)
    lag = timedelta(seconds=told.stage.settings.read_lag_s)
    journal = told.relay.journal()
    wait_until(lambda: moment(journal.now_ms()) > last + lag, 20, "reads to show all")
    return told


def test_an_audit_of_the_story_finds_nothing_and_leaves_nothing_out(audited: Told) -> None:
    before = len(audited.stage.sandbox.requests_seen())
    report = _audit(audited)
    assert report.findings == []
    assert (report.clean, report.complete, report.stopped) == (True, True, "")
    assert report.compared.total() == len(audited.recorded) == 170
    assert report.rows == len(audited.books.rows)
    assert report.others == 0
    seen = audited.stage.sandbox.requests_seen()[before:]
    assert len(seen) == report.reads
    assert all(one.method == "GET" or one.path.endswith("/filter") for one in seen)
    assert audited.stage.sandbox.books() == audited.books


def _row(told: Told, id_: str) -> Any:
    return next(row for row in told.books.rows if row.transaction_id == id_)


def _rejected(told: Told) -> Any:
    """The row of a payment that died for lack of funds."""
    letters = (item.status for item in told.recorded if item.status.dead_class == "rejected")
    reference = next(letter.reference for letter in letters if letter.kind == "transaction")
    return next(row for row in told.books.rows if row.reference.startswith(reference) and row.status == "REJECTED")


def _other_balance(told: Told, *but: str) -> str:
    return next(one.balance_id for one in told.books.balances if one.balance_id not in but)


def _payment(told: Told) -> Any:
    return _row(told, told.ids("transaction", "order")[0])


def _hold(told: Told) -> Any:
    """A hold of which a part was committed."""
    return _row(told, _row(told, told.ids("inflight.commit")[0]).parent_transaction)


def _record(told: Told, upload_id: str) -> str:
    """The last record of an upload."""
    return [one.id for one in told.books.external_records if one.upload_id == upload_id][-1]


def _meta_of(told: Told, id_: str, **values: Any) -> Falsification:
    records = (*told.books.ledgers, *told.books.identities, *told.books.balances, *told.books.rows)
    record = next(one for one in records if _id(one) == id_)
    return changed(id_, meta={**(record.meta or {}), **values})


NEW = "txn_00000000-0000-4000-8000-00000000beef"


def _there_again(told: Told, reference: str) -> Falsification:
    """A payment of the story stands under another reference as well."""
    return copied(_payment(told).transaction_id, transaction_id=NEW, reference=reference, parent_transaction="")


#: What is done to the books; the sort of difference; the kind of its intent, empty where there is none.
FALSIFIED: dict[str, tuple[Callable[[Told], Falsification], str, str]] = {
    "a payment is gone": (lambda told: gone(_payment(told).transaction_id), "missing", "transaction"),
    "a payment is there again under its next reference": (
        lambda told: _there_again(told, _payment(told).reference.removesuffix("_q") + ".r2"),
        "twice",
        "transaction",
    ),
    "a payment has another amount": (
        lambda told: changed(_payment(told).transaction_id, precise_amount=1),
        "other",
        "transaction",
    ),
    "a payment has another currency": (
        lambda told: changed(_payment(told).transaction_id, currency="USD"),
        "other",
        "transaction",
    ),
    "a payment has another source": (
        lambda told: changed(_payment(told).transaction_id, source=_other_balance(told, _payment(told).source)),
        "other",
        "transaction",
    ),
    "a payment has another destination": (
        lambda told: changed(
            _payment(told).transaction_id, destination=_other_balance(told, _payment(told).destination)
        ),
        "other",
        "transaction",
    ),
    "a payment has another id than was confirmed": (
        lambda told: renamed(_payment(told).transaction_id, NEW),
        "other",
        "transaction",
    ),
    "a payment is rejected": (
        lambda told: changed(_payment(told).transaction_id, status=Status.REJECTED),
        "other",
        "transaction",
    ),
    "a payment is void": (
        lambda told: changed(_payment(told).transaction_id, status=Status.VOID),
        "other",
        "transaction",
    ),
    "a hold is committed once more": (
        lambda told: copied(
            told.ids("inflight.commit")[0], transaction_id=NEW, reference="ref_00000000-0000-4000-8000-00000000beef"
        ),
        "twice",
        "transaction",
    ),
    "a commit is gone": (lambda told: gone(told.ids("inflight.commit")[0]), "missing", "inflight.commit"),
    "a commit has another amount": (
        lambda told: changed(told.ids("inflight.commit")[0], precise_amount=1),
        "other",
        "inflight.commit",
    ),
    "a void is gone": (lambda told: gone(told.ids("inflight.void")[0]), "missing", "inflight.void"),
    "a refund is gone": (lambda told: gone(told.ids("refund")[0]), "missing", "refund"),
    "a payment was given back by nobody": (
        lambda told: copied(
            told.ids("refund")[0],
            transaction_id=NEW,
            reference=f"{told.ids('transaction', 'top-up')[0]}_refund",
            parent_transaction=told.ids("transaction", "top-up")[0],
        ),
        "strange",
        "transaction",
    ),
    "a stranger stands under a reference that only we make": (
        lambda told: _there_again(told, reference_for("lost_q")),
        "strange",
        "",
    ),
    "a payment is there again under a reference that nobody was ever given": (
        lambda told: _there_again(told, _payment(told).reference.removesuffix("_q") + ".r7"),
        "strange",
        "transaction",
    ),
    "a rejected payment was applied": (
        lambda told: changed(_rejected(told).transaction_id, status=Status.APPLIED),
        "happened",
        "transaction",
    ),
    "another payment stands under the reference of a rejected one": (
        lambda told: changed(_rejected(told).transaction_id, status=Status.APPLIED, precise_amount=7),
        "strange",
        "transaction",
    ),
    "a leg is gone": (lambda told: gone(told.part("transaction.split")), "missing", "transaction.split"),
    "a leg has another amount": (
        lambda told: changed(told.part("transaction.split"), precise_amount=1),
        "other",
        "transaction.split",
    ),
    "an item is gone": (lambda told: gone(told.part("transaction.bulk")), "missing", "transaction.bulk"),
    "an item that a letter names is gone": (
        lambda told: gone(told.part("transaction.bulk", "dead")),
        "missing",
        "transaction.bulk",
    ),
    "a ledger is gone": (lambda told: gone(told.ids("ledger.create")[0]), "missing", "ledger.create"),
    "a wallet is gone": (lambda told: gone(told.ids("balance.create")[0]), "missing", "balance.create"),
    "a customer is gone": (lambda told: gone(told.ids("identity.create")[0]), "missing", "identity.create"),
    "whose wallet it is was taken back": (
        lambda told: changed(told.ids("balance.link_identity")[0], identity_id=""),
        "other",
        "balance.link_identity",
    ),
    "a note was changed back": (
        lambda told: _meta_of(told, told.ids("metadata.update", "noted")[-1], moved=0),
        "other",
        "metadata.update",
    ),
    "a ledger's terms were changed back": (
        lambda told: _meta_of(told, told.ids("metadata.update", "terms")[0], terms={"fee": 0}),
        "other",
        "metadata.update",
    ),
    "a corrected address was changed back": (
        lambda told: changed(
            told.ids("identity.update")[0],
            texts={
                **next(one for one in told.books.identities if one.identity_id == told.ids("identity.update")[0]).texts,
                "city": "Nowhere",
            },
        ),
        "other",
        "identity.update",
    ),
    "a rule is gone": (
        lambda told: gone(told.ids("matching_rule.update")[0]),
        "missing",
        "matching_rule.update",
    ),
    "a record of an upload is gone": (
        lambda told: gone(_record(told, told.ids("reconciliation.upload")[0])),
        "other",
        "reconciliation.upload",
    ),
    "a reconciliation is gone": (
        lambda told: gone(told.ids("reconciliation.start")[0]),
        "missing",
        "reconciliation.start",
    ),
}

#: The ten that are told of first; the others take their turn in the longer tier.
FIRST = (
    "a payment is gone",
    "a payment is there again under its next reference",
    "a payment has another amount",
    "a payment has another destination",
    "a payment has another id than was confirmed",
    "a hold is committed once more",
    "a refund is gone",
    "a stranger stands under a reference that only we make",
    "a note was changed back",
    "a rejected payment was applied",
)


@pytest.mark.parametrize(
    "what", [*FIRST, *(pytest.param(what, marks=pytest.mark.long) for what in FALSIFIED if what not in FIRST)]
)
def test_an_audit_finds_each_falsification_of_the_books_and_names_it(audited: Told, what: str) -> None:
    falsification, sort, kind = FALSIFIED[what]
    with falsified(audited.stage.sandbox, falsification(audited)):
        # Only what is known to be ours alone: the books are not all of it, for what is strange is told by its shape.
        report = _audit(audited, ours=())
    found = {(one.sort, one.kind): one for one in report.findings}
    assert (sort, kind) in found, (report.findings, report.unread)
    one = found[sort, kind]
    assert all((one.reference, one.says, one.shows, one.advice))
    assert not kind or one.key
    # What else differs follows from it: nothing is told of those who have nothing to do with it.
    assert len(report.findings) <= 3, report.findings
    assert report.whole
