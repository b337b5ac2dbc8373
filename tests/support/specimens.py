"""One example of each kind, and of each mode in which a kind is sent: what the whole kind contract is tried on.

A specimen says what has to be in the ledger before it, what it asks for, how the ledger says yes, and how often what
it asked for stands in the sandbox's books. A new kind gets its line in ``SPECIMENS``; ``test_kind_contract.py`` fails
until it has one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from blnk_relay import (
    Leg,
    bulk_transactions,
    commit_hold,
    commit_holds,
    create_balance,
    create_identity,
    create_ledger,
    create_matching_rule,
    delete_matching_rule,
    link_identity,
    refund,
    split_transaction,
    start_instant_reconciliation,
    start_reconciliation,
    tokenize_identity,
    transaction,
    update_identity,
    update_matching_rule,
    update_metadata,
    upload_records,
    void_hold,
    void_holds,
)
from blnk_relay.intents.decision import Send
from blnk_relay.intents.exchange import Request
from blnk_relay.intents.found import Found, Row
from blnk_relay.intents.intent import Entry, Intent
from blnk_relay.intents.progress import Progress
from blnk_relay.intents.steps import next_step
from blnk_relay.journal.entries import new_entry
from blnk_relay.kinds.registry import KINDS
from blnk_relay.sandbox.books.frozen import Books
from blnk_relay.sandbox.books.rows import Effect
from blnk_relay.sandbox.books.rows import Row as BookRow
from blnk_relay.settings import Settings, policy_of

#: What things that a specimen needs have come to, by their names.
Ids = Mapping[str, str]
Maker = Callable[[str, Ids], Intent]
#: For each part of a write (an item, a leg; one for most kinds) the ids of all that stands in the books for it.
Parts = list[list[str]]

#: The default numbers, but for silences that come to a minute: half on the way, and half until reads show it.
POLICY = policy_of(Settings(quiet_s=30.0))
NOW_MS = 1_800_000_000_000


@dataclass(frozen=True)
class First:
    """The first request of a specimen, with what leads to it."""

    intent: Intent
    ids: Ids
    entry: Entry
    progress: Progress
    request: Request


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """One example of a kind.

    Attributes:
        kind: Name of the kind.
        mode: Tells several of a kind apart; part of their names.
        needs: What has to be in the ledger before, in order; later ones may use the ids of earlier ones.
        make: The intent, for a scene (a name that nothing else uses) and the ids of what it needs.
        parts: What stands in the books for it.
        proof: Status and body with which the ledger says that it happened.
        final: Whether that answer is the end; else the ledger is read (contract §3.1, finding R4).
        repeatable: Whether the same request again is safe at any time (contract §4).
        batch: The id that the journal keeps is that of the batch, the parent of these rows; a split keeps none.
        shows: Rows that the ledger shows before, for tests without one.
    """

    kind: str
    make: Maker
    parts: Callable[[Books, str, Ids], Parts]
    proof: Callable[[Request, Ids], tuple[int, dict[str, Any]]]
    mode: str = ""
    needs: Mapping[str, Maker] = field(default_factory=dict)
    final: bool = True
    repeatable: bool = False
    batch: bool = False
    shows: Callable[[Ids], Sequence[Row]] = lambda _: ()

    @property
    def moves(self) -> bool:
        """Whether it moves or holds money: then each of its parts is one row with an effect."""
        return any(self is specimen for specimen in _MONEY)

    @property
    def name(self) -> str:
        """The kind, and the mode where there are several."""
        return f"{self.kind}-{self.mode}" if self.mode else self.kind

    def sample(self, scene: str = "sample") -> tuple[Intent, Ids]:
        """The intent with ids as the ledger makes them, for tests without one."""
        ids: dict[str, str] = {}
        for number, (name, make) in enumerate(self.needs.items(), start=1 if scene == "sample" else 51):
            ids[name] = f"{_PREFIXES[make(scene, ids).kind]}_{uuid.UUID(int=number)}"
        return self.make(scene, ids), ids

    def first(self, key: str = "a-key", scene: str = "sample") -> First:
        """What is sent for it at first, as a worker would after it has read what it must."""
        intent, ids = self.sample(scene)
        entry = new_entry(intent, key, "a-lane", not_before="+0", deadline="+1", tag="blnk_relay").entry
        kind, found = KINDS[self.kind], Found()
        now = Progress(now_ms=NOW_MS, since_ms=NOW_MS - 1000, deadline_ms=NOW_MS + 86_400_000)
        while isinstance(step := next_step(kind, entry, now, found, POLICY), tuple):
            found = found.plus(self.shows(ids), (), step)
        assert isinstance(step, Send), step
        now = replace(now, memo=step.memo or {})
        return First(intent, ids, entry, now, kind.request(entry, now, POLICY))


#: How ids begin that these kinds come to (contract §7).
_PREFIXES = {
    "transaction": "txn",
    "ledger.create": "ldg",
    "balance.create": "bln",
    "identity.create": "idt",
    "reconciliation.upload": "upload",
    "matching_rule.create": "rule",
}


def given_of(intent: Intent) -> dict[str, Any]:
    """The fields of an intent as a line of a file has them: what its kind's schema takes, and the file of an upload."""
    names = {field.data_key or name for name, field in KINDS[intent.kind].schema.fields.items()}
    given = {name: value for name, value in intent.payload.items() if name in names}
    if intent.reference is not None and "reference" in names:
        given["reference"] = intent.reference
    if intent.file is not None:
        given["file"] = intent.file.decode()
    return given


# -- money -----------------------------------------------------------------------------------------------------------


def _payment(scene: str, _: Ids = {}, **changes: Any) -> Intent:  # noqa: B006 - never changed
    given: dict[str, Any] = {
        "source": "@world",
        "destination": "@shop",
        "currency": "EUR",
        "amount": "10.50",
        "description": "Secretary's desk",
        "allow_overdraft": True,
        "reference": f"pay.{scene}",
    }
    return transaction(**(given | changes))


def _hold(scene: str, _: Ids) -> Intent:
    return _payment(scene, reference=f"hold.{scene}", inflight=True)


def _a_hold(ids: Ids) -> list[Row]:
    return [Row(ids["hold"], "hold_q", "INFLIGHT", precise_amount=1050)]


def _other_hold(scene: str, _: Ids) -> Intent:
    return _payment(scene, reference=f"other.{scene}", inflight=True)


def _two_holds(ids: Ids) -> list[Row]:
    return [*_a_hold(ids), Row(ids["other"], "other_q", "INFLIGHT", precise_amount=1050)]


def _items(scene: str) -> list[Intent]:
    return [_payment(scene, reference=f"item{number}.{scene}") for number in range(3)]


def _split(scene: str, _: Ids) -> Intent:
    legs = [Leg("@shop", percent="66.67"), Leg("@agent", amount="1.50"), Leg("@owner", left=True)]
    return split_transaction(
        source="@world",
        destinations=legs,
        amount="10.01",
        currency="EUR",
        description="Sale",
        allow_overdraft=True,
        reference=f"split.{scene}",
    )


def _under_both(books: Books, ids: Ids, effect: Effect) -> Parts:
    return [*_under(books, ids["hold"], effect), *_under(books, ids["other"], effect)]


def _moved(books: Books, reference: str, effect: Effect = Effect.APPLY) -> list[str]:
    return [row.transaction_id for row in books.rows_by_reference(reference) if row.effect is effect]


def _under(books: Books, hold: str, effect: Effect) -> Parts:
    return [[row.transaction_id for row in books.children(hold) if row.effect is effect]]


def _given_back(books: Books, row_id: str) -> Parts:
    """Refunds of a row, and what undid one of them: the trap of contract §3.9 must never be stepped into."""
    refunds = _moved(books, f"{row_id}_refund")
    undone = [again for refund_id in refunds for again in _moved(books, f"{refund_id}_refund")]
    return [[*refunds, *undone]]


def _legs(books: Books, scene: str) -> Parts:
    """The legs of a split by their balance, in the order of the legs; the ledger shuffles them (contract §6.5)."""
    names = {balance.balance_id: balance.indicator for balance in books.balances}
    rows: list[BookRow] = [row for row in books.rows if row.reference.startswith(f"split.{scene}.split.")]
    return [
        [row.transaction_id for row in rows if row.effect is Effect.APPLY and names[row.destination] == name]
        for name in ("@shop", "@agent", "@owner")
    ]


def _queued(request: Request, _: Ids) -> tuple[int, dict[str, Any]]:
    return 201, {**request.body, "status": "QUEUED", "transaction_id": f"txn_{uuid.UUID(int=99)}"}


def _applied(request: Request, _: Ids) -> tuple[int, dict[str, Any]]:
    return 201, {**request.body, "status": "APPLIED", "transaction_id": f"txn_{uuid.UUID(int=99)}"}


def _settled(status: str) -> Callable[[Request, Ids], tuple[int, dict[str, Any]]]:
    def proof(request: Request, ids: Ids) -> tuple[int, dict[str, Any]]:
        child = {"transaction_id": f"txn_{uuid.UUID(int=99)}", "parent_transaction": ids["hold"], "status": status}
        return 200, {**child, "precise_amount": request.body.get("precise_amount", 1050)}

    return proof


def _settled_both(_: Request, ids: Ids) -> tuple[int, dict[str, Any]]:
    results = [{"transaction_id": ids[name], "status": "succeeded"} for name in ("hold", "other")]
    return 200, {"succeeded": 2, "failed": 0, "results": results}


def _refunded(_: Request, ids: Ids) -> tuple[int, dict[str, Any]]:
    row = ids["payment"]
    return 201, {"status": "QUEUED", "reference": f"{row}_refund", "parent_transaction": row}


def _batch(request: Request, _: Ids) -> tuple[int, dict[str, Any]]:
    count = len(request.body["transactions"])
    return 201, {"batch_id": f"bulk_{uuid.UUID(int=99)}", "status": "applied", "transaction_count": count}


_MONEY = (
    Specimen(
        kind="transaction",
        mode="queue",
        make=_payment,
        parts=lambda books, scene, _: [_moved(books, f"pay.{scene}")],
        proof=_queued,
        repeatable=True,
        final=False,
    ),
    Specimen(
        kind="transaction",
        mode="skip",
        make=lambda scene, _: _payment(scene, skip_queue=True),
        parts=lambda books, scene, _: [_moved(books, f"pay.{scene}")],
        proof=_applied,
        repeatable=True,
    ),
    Specimen(
        kind="transaction",
        mode="hold",
        make=_hold,
        parts=lambda books, scene, _: [_moved(books, f"hold.{scene}", Effect.HOLD)],
        proof=_queued,
        repeatable=True,
        final=False,
    ),
    Specimen(
        kind="transaction.split",
        make=_split,
        parts=lambda books, scene, _: _legs(books, scene),
        proof=_applied,
        final=False,
        batch=True,
    ),
    Specimen(
        kind="transaction.bulk",
        mode="queue",
        make=lambda scene, _: bulk_transactions(_items(scene)),
        parts=lambda books, scene, _: [_moved(books, f"item{number}.{scene}") for number in range(3)],
        proof=_batch,
        final=False,
        batch=True,
    ),
    Specimen(
        kind="transaction.bulk",
        mode="skip",
        make=lambda scene, _: bulk_transactions(_items(scene), skip_queue=True),
        parts=lambda books, scene, _: [_moved(books, f"item{number}.{scene}") for number in range(3)],
        proof=_batch,
        final=False,
        batch=True,
    ),
    Specimen(
        kind="refund",
        needs={"payment": _payment},
        make=lambda _, ids: refund(ids["payment"]),
        shows=lambda ids: [Row(ids["payment"], "pay_q", "APPLIED", precise_amount=1050)],
        parts=lambda books, _, ids: _given_back(books, ids["payment"]),
        proof=_refunded,
        final=False,
    ),
    Specimen(
        kind="inflight.commit",
        mode="full",
        needs={"hold": _hold},
        make=lambda _, ids: commit_hold(ids["hold"]),
        shows=_a_hold,
        parts=lambda books, _, ids: _under(books, ids["hold"], Effect.COMMIT),
        proof=_settled("APPLIED"),
        repeatable=True,
    ),
    Specimen(
        kind="inflight.commit",
        mode="part",
        needs={"hold": _hold},
        make=lambda _, ids: commit_hold(ids["hold"], precise_amount=400),
        shows=_a_hold,
        parts=lambda books, _, ids: _under(books, ids["hold"], Effect.COMMIT),
        proof=_settled("APPLIED"),
        final=False,
    ),
    Specimen(
        kind="inflight.void",
        needs={"hold": _hold},
        make=lambda _, ids: void_hold(ids["hold"]),
        shows=_a_hold,
        parts=lambda books, _, ids: _under(books, ids["hold"], Effect.VOID),
        proof=_settled("VOID"),
        repeatable=True,
    ),
    Specimen(
        kind="inflight.bulk_commit",
        mode="full",
        needs={"hold": _hold, "other": _other_hold},
        make=lambda _, ids: commit_holds([ids["hold"], ids["other"]]),
        shows=_two_holds,
        parts=lambda books, _, ids: _under_both(books, ids, Effect.COMMIT),
        proof=_settled_both,
        repeatable=True,
        final=False,
    ),
    Specimen(
        kind="inflight.bulk_commit",
        mode="part",
        needs={"hold": _hold, "other": _other_hold},
        make=lambda _, ids: commit_holds([commit_hold(ids[name], precise_amount=400) for name in ("hold", "other")]),
        shows=_two_holds,
        parts=lambda books, _, ids: _under_both(books, ids, Effect.COMMIT),
        proof=_settled_both,
        final=False,
    ),
    Specimen(
        kind="inflight.bulk_void",
        needs={"hold": _hold, "other": _other_hold},
        make=lambda _, ids: void_holds([ids["hold"], ids["other"]]),
        shows=_two_holds,
        parts=lambda books, _, ids: _under_both(books, ids, Effect.VOID),
        proof=_settled_both,
        repeatable=True,
        final=False,
    ),
)


# -- records and values ----------------------------------------------------------------------------------------------


def _person(scene: str, _: Ids) -> Intent:
    return create_identity(first_name=scene, last_name="Secretia", email_address="secret@example.org", dob="1990-01-01")


def _wallet(scene: str, _: Ids) -> Intent:
    return create_balance("general_ledger_id", "EUR", meta_data={"scene": scene})


def _texts(books: Books, identity_id: str) -> Mapping[str, str]:
    return next(item.texts for item in books.identities if item.identity_id == identity_id)


def _if(shown: bool, id_: str) -> Parts:
    """The parts of a value that was written: it stands once, or not at all."""
    return [[id_] if shown else []]


def _said(status: int, **body: Any) -> Callable[[Request, Ids], tuple[int, dict[str, Any]]]:
    return lambda _request, _ids: (status, body)


def _made(field: str, prefix: str) -> Callable[[Request, Ids], tuple[int, dict[str, Any]]]:
    return lambda request, _: (201, {**request.body, field: f"{prefix}_{uuid.UUID(int=99)}"})


def _tokens(books: Books, identity_id: str, *names: str) -> Parts:
    texts = _texts(books, identity_id)
    return _if(all(texts[name].startswith("FPT:") for name in names), identity_id)


_RECORDS = (
    Specimen(
        kind="ledger.create",
        make=lambda scene, _: create_ledger(scene),
        parts=lambda books, scene, _: [[item.ledger_id for item in books.ledgers if item.name == scene]],
        proof=_made("ledger_id", "ldg"),
    ),
    Specimen(
        kind="balance.create",
        needs={"ledger": lambda scene, _: create_ledger(scene)},
        make=lambda scene, ids: create_balance(ids["ledger"], "EUR", meta_data={"scene": scene}),
        parts=lambda books, scene, _: [
            [item.balance_id for item in books.balances if (item.meta or {}).get("scene") == scene]
        ],
        proof=_made("balance_id", "bln"),
    ),
    Specimen(
        kind="identity.create",
        make=_person,
        parts=lambda books, scene, _: [
            [item.identity_id for item in books.identities if item.texts["first_name"] == scene]
        ],
        proof=_made("identity_id", "idt"),
    ),
    Specimen(
        kind="identity.update",
        needs={"person": _person},
        make=lambda scene, ids: update_identity(ids["person"], city=scene, street="Secretary's Lane 4"),
        parts=lambda books, scene, ids: _if(_texts(books, ids["person"])["city"] == scene, ids["person"]),
        proof=_said(200, message="Identity updated successfully"),
    ),
    Specimen(
        kind="balance.link_identity",
        needs={"person": _person, "wallet": _wallet},
        make=lambda _, ids: link_identity(ids["wallet"], ids["person"]),
        parts=lambda books, _, ids: [
            [item.balance_id for item in books.balances if item.identity_id == ids["person"]],
        ],
        proof=_said(200, message="Balance identity updated successfully"),
    ),
    Specimen(
        kind="metadata.update",
        mode="ledger",
        needs={"ledger": lambda scene, _: create_ledger(scene)},
        make=lambda scene, ids: update_metadata(ids["ledger"], {"tag": scene, "rate": 0.1}),
        parts=lambda books, scene, _: [
            [item.ledger_id for item in books.ledgers if (item.meta or {}).get("tag") == scene]
        ],
        proof=lambda request, _: (200, {"meta_data": request.body["meta_data"]}),
    ),
    Specimen(
        kind="metadata.update",
        mode="transaction",
        needs={"payment": _payment},
        make=lambda scene, ids: update_metadata(ids["payment"], {"tag": scene}),
        parts=lambda books, scene, _: [[row.transaction_id for row in books.rows if row.meta.get("tag") == scene]],
        proof=lambda request, _: (200, {"meta_data": request.body["meta_data"]}),
    ),
    Specimen(
        kind="identity.tokenize",
        mode="several",
        needs={"person": _person},
        make=lambda _, ids: tokenize_identity(ids["person"], ["first_name", "email_address"]),
        parts=lambda books, _, ids: _tokens(books, ids["person"], "first_name", "email_address"),
        proof=_said(200, message="Fields tokenized successfully"),
    ),
    Specimen(
        kind="identity.tokenize",
        mode="one",
        needs={"person": _person},
        make=lambda _, ids: tokenize_identity(ids["person"], ["email_address"]),
        parts=lambda books, _, ids: _tokens(books, ids["person"], "email_address"),
        proof=_said(200, message="Field tokenized successfully"),
    ),
)


# -- reconciliation --------------------------------------------------------------------------------------------------

_CRITERIA = [{"field": "reference", "operator": "equals"}]


def _statement(scene: str, _: Ids) -> Intent:
    lines = "".join(f"{scene}-{number},12.50,EUR,r{number},secret,2026-11-20T09:15:31Z\n" for number in range(3))
    return upload_records(scene, ("ID,Amount,Currency,Reference,Description,Date\n" + lines).encode(), name="nov.csv")


def _rule(scene: str, _: Ids) -> Intent:
    return create_matching_rule(f"rule {scene}", _CRITERIA)


def _instant(scene: str, ids: Ids) -> Intent:
    records = [
        {"id": f"{scene}-{number}", "amount": 50.5, "date": "2026-11-20T10:00:00Z", "description": "secret"}
        for number in range(2)
    ]
    return start_instant_reconciliation(records, "one_to_one", [ids["rule"]], dry_run=True)


def _instant_runs(books: Books, scene: str) -> Parts:
    """The runs of what brought the records; a repeat leaves a failed one, which did nothing (contract §4)."""
    brought = {item.upload_id for item in books.external_records if item.id.startswith(f"{scene}-")}
    return [[run.reconciliation_id for run in books.runs if run.upload_id in brought and run.status != "failed"]]


_RECONCILIATION = (
    Specimen(
        kind="reconciliation.upload",
        make=_statement,
        parts=lambda books, scene, _: [
            [item.upload_id for item in books.uploads if item.source == scene and item.complete]
        ],
        proof=_said(200, upload_id=f"upload_{uuid.UUID(int=99)}", record_count=3, source="sample"),
    ),
    Specimen(
        kind="reconciliation.start",
        needs={"statement": _statement, "rule": _rule},
        make=lambda _, ids: start_reconciliation(ids["statement"], "one_to_one", [ids["rule"]], dry_run=True),
        parts=lambda books, _, ids: [
            [run.reconciliation_id for run in books.runs if run.upload_id == ids["statement"]]
        ],
        proof=_said(200, reconciliation_id=f"recon_{uuid.UUID(int=99)}"),
    ),
    Specimen(
        kind="reconciliation.start_instant",
        needs={"rule": _rule},
        make=_instant,
        parts=lambda books, scene, _: _instant_runs(books, scene),
        proof=_said(200, reconciliation_id=f"recon_{uuid.UUID(int=99)}"),
    ),
    Specimen(
        kind="matching_rule.create",
        make=_rule,
        parts=lambda books, scene, _: [[item.rule_id for item in books.rules if item.name == f"rule {scene}"]],
        proof=_made("rule_id", "rule"),
    ),
    Specimen(
        kind="matching_rule.update",
        needs={"rule": _rule},
        make=lambda scene, ids: update_matching_rule(ids["rule"], f"changed {scene}", _CRITERIA),
        parts=lambda books, scene, _: [[item.rule_id for item in books.rules if item.name == f"changed {scene}"]],
        proof=lambda request, ids: (200, {**request.body, "rule_id": ids["rule"]}),
    ),
    Specimen(
        kind="matching_rule.delete",
        needs={"rule": _rule},
        make=lambda _, ids: delete_matching_rule(ids["rule"]),
        parts=lambda books, _, ids: _if(ids["rule"] not in {item.rule_id for item in books.rules}, ids["rule"]),
        proof=_said(200, message="Matching rule deleted successfully"),
    ),
)

SPECIMENS: Mapping[str, Specimen] = {specimen.name: specimen for specimen in (*_MONEY, *_RECORDS, *_RECONCILIATION)}


def of_kind(kind: str) -> Iterator[Specimen]:
    """The specimens of a kind."""
    return (specimen for specimen in SPECIMENS.values() if specimen.kind == kind)


def kinds_without(kinds: Sequence[str]) -> list[str]:
    """Sentences about the kinds that have no specimen."""
    return [
        f"the kind {kind!r} has no specimen: add one to tests/support/specimens.py, and the whole kind contract is "
        "tried on it"
        for kind in kinds
        if not any(of_kind(kind))
    ]
