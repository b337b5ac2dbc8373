"""The part of the proof that is about everything but money: records made once, values as they were last set. Pure.

The books are written anew from the intents alone, in the order in which they were accepted, and compared: what an
intent made or set must be there (else it is lost), and nothing else may be (else it is doubled).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from blnk_relay.intents.links import link_of, linked_keys
from blnk_relay.schema.identity import TOKENIZABLE

if TYPE_CHECKING:
    from blnk_relay.sandbox.books.frozen import Books
from worker.demo.proof.findings import Proof, Recorded

#: The ledger that is there from the start (contract §2.2).
_GENERAL_LEDGER = "general_ledger_id"

#: How the ledger writes tokens (contract §2.11).
_TOKEN = "FPT:"  # noqa: S105 - a mark, no secret

#: Where an identity's metadata says what is tokenized (contract §2.0).
_TOKENS = "tokenized_fields"


@dataclass(slots=True)
class _Wanted:
    """A record as the intents make it.

    Attributes:
        maker: The intent that made it.
        values: Its fields.
        meta: Its metadata, without the mark that we leave there.
        tokens: Names of its tokenized fields.
        unsure: Fields, and ``meta_data.<key>``, that an intent of unknown outcome may have set.
    """

    maker: Recorded
    values: dict[str, Any]
    meta: dict[str, Any] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Shown:
    """A record as the books have it; ``meta`` is None where it can have none."""

    what: str
    values: Mapping[str, Any]
    meta: Mapping[str, Any] | None = None


class RecordsProof:
    """Compares intents that write anything but money with the books.

    Args:
        proof: Where what is found is written.
        books: The books; None for none.
    """

    def __init__(self, proof: Proof, books: Books | None) -> None:
        self._proof = proof
        self._books = books
        self._shown = {} if books is None else _shown(books)
        self._wanted: dict[str, _Wanted] = {}
        self._tags: dict[str, dict[str, Any]] = {}
        proof.effects += len(self._shown)

    def compare(self, items: Sequence[Recorded]) -> None:
        """Write the books anew, and name every difference."""
        for item in items:
            act = _ACTS.get(item.status.kind)
            if act is None:
                self._proof.lost.append(f"{item.name} is of a kind that the proof knows nothing of")
            elif item.unknown and linked_keys(item.payload):
                # What it acts on is as unknown as itself, so nothing is wanted of it.
                continue
            elif item.status.state == "done" or item.unknown:
                act(self, item)
        for id_, wanted in self._wanted.items():
            self._check(id_, wanted)
        self._check_tags()
        # One record of each sort: a run may come with an upload.
        unknown = [(item, what) for item in items if item.unknown for what in _MADE.get(item.status.kind, ())]
        for id_, shown in self._shown.items():
            if id_ in self._wanted:
                continue
            owner = next(
                (one for one in unknown if one[1] == shown.what and _may_have_made(one[0], shown)),
                None,
            )
            if owner is None:
                self._proof.doubled.append(f"{shown.what} {id_} belongs to no finished intent")
            else:
                unknown.remove(owner)
                self._proof.explained += 1

    def _check(self, id_: str, wanted: _Wanted) -> None:
        shown = self._shown.get(id_)
        name = wanted.maker.name
        if shown is None:
            self._proof.lost.append(f"{name} is {wanted.maker.status.outcome}, but the books have no {id_}")
            return
        self._proof.explained += 1
        for field_, value in wanted.values.items():
            if field_ in wanted.tokens:
                right = str(shown.values[field_]).startswith(_TOKEN)
            else:
                right = shown.values[field_] == value
            if not right and field_ not in wanted.unsure:
                self._proof.lost.append(f"{field_} of {id_} ({name}) is not what was last set")
        if shown.meta is not None:
            self._check_meta(id_, wanted, shown.meta)

    def _check_meta(self, id_: str, wanted: _Wanted, shown: Mapping[str, Any]) -> None:
        """All keys that were sent, our tag, and none besides."""
        name, mark = wanted.maker.name, wanted.maker.status.id
        rest = {key: value for key, value in shown.items() if value != mark and key != _TOKENS}
        tokens = {TOKENIZABLE[token] for token in shown.get(_TOKENS) or {}}
        if len(rest) + (_TOKENS in shown) != len(shown) - 1:
            self._proof.lost.append(f"{id_} ({name}) does not carry its mark")
        if tokens != wanted.tokens and _TOKENS not in wanted.unsure:
            self._proof.lost.append(f"{id_} ({name}) has tokens in {sorted(tokens)}, not in {sorted(wanted.tokens)}")
        for key in rest.keys() | wanted.meta.keys():
            if f"meta_data.{key}" in wanted.unsure or (key in rest and rest[key] == wanted.meta.get(key)):
                continue
            if key in wanted.meta:
                self._proof.lost.append(f"meta_data.{key} of {id_} ({name}) is not what was last set")
            else:
                self._proof.doubled.append(f"meta_data.{key} of {id_} ({name}) was set by no finished intent")

    def _check_tags(self) -> None:
        """Metadata of transactions; of a batch, on every row that came with it (contract §2.10)."""
        rows = () if self._books is None else self._books.rows
        of_batch: dict[str, list[Any]] = {}
        for row in rows:
            of_batch.setdefault(row.transaction_id, []).append(row)
            if row.parent_transaction.startswith("bulk_"):
                of_batch.setdefault(row.parent_transaction, []).append(row)
        for id_, tags in self._tags.items():
            tagged = of_batch.get(id_, [])
            for key, value in tags.items():
                if not tagged or any(row.meta.get(key) != value for row in tagged):
                    self._proof.lost.append(f"meta_data.{key} of {id_} is not what was last set")

    # -- what each kind does to the books; an unknown outcome makes values unsure, and nothing else.

    def _make(self, item: Recorded, values: Mapping[str, Any]) -> None:
        status = item.status
        if item.unknown:
            return
        if status.transaction_id in self._wanted:
            self._proof.lost.append(f"{item.name} came to {status.transaction_id}, which is another intent's")
        self._wanted[status.transaction_id] = _Wanted(item, dict(values), dict(item.payload.get("meta_data") or {}))

    def _set(self, item: Recorded, id_: str, values: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        wanted = self._wanted.get(id_)
        if wanted is None:
            self._proof.lost.append(f"{item.name} is {item.status.outcome}, but nobody made {id_}")
        elif item.unknown:
            wanted.unsure |= {*values, *(f"meta_data.{key}" for key in meta)}
        else:
            wanted.values |= values
            wanted.meta |= meta
            wanted.unsure -= {*values, *(f"meta_data.{key}" for key in meta)}

    def _ledger(self, item: Recorded) -> None:
        self._make(item, {"name": item.payload["name"]})

    def _balance(self, item: Recorded) -> None:
        names = ("ledger_id", "currency", "identity_id", "indicator")
        self._make(item, {name: item.payload.get(name, "") for name in names})

    def _identity(self, item: Recorded) -> None:
        self._make(item, _columns(item.payload))

    def _identity_update(self, item: Recorded) -> None:
        self._set(item, item.payload["identity_id"], _columns(item.payload), {})

    def _link(self, item: Recorded) -> None:
        self._set(item, item.payload["balance_id"], {"identity_id": item.payload["identity_id"]}, {})

    def _metadata(self, item: Recorded) -> None:
        entity_id, meta = item.payload["entity_id"], item.payload["meta_data"]
        if not entity_id.startswith(("txn_", "bulk_")):
            self._set(item, entity_id, {}, meta)
        elif item.unknown:
            for key in meta:
                self._tags.get(entity_id, {}).pop(key, None)
        else:
            self._tags.setdefault(entity_id, {}).update(meta)

    def _tokenize(self, item: Recorded) -> None:
        wanted = self._wanted.get(item.payload["identity_id"])
        columns = {TOKENIZABLE[name] for name in item.payload["fields"]}
        if wanted is None:
            self._proof.lost.append(f"{item.name} is {item.status.outcome}, but nobody made the identity")
        elif item.unknown:
            wanted.unsure |= {_TOKENS, *columns}
        else:
            wanted.tokens |= columns

    def _rule(self, item: Recorded) -> None:
        self._make(item, _rule(item.payload))

    def _rule_update(self, item: Recorded) -> None:
        self._set(item, item.payload["rule_id"], _rule(item.payload), {})

    def _rule_delete(self, item: Recorded) -> None:
        rule_id = item.payload["rule_id"]
        if item.unknown:
            if rule_id not in self._shown:
                self._wanted.pop(rule_id, None)
        elif self._wanted.pop(rule_id, None) is None:
            self._proof.lost.append(f"{item.name} is deleted, but nobody made {rule_id}")

    def _upload(self, item: Recorded) -> None:
        payload = item.payload
        self._make(item, {"source": payload["source"], "records": payload["records"], "stored": payload["records"]})

    def _run(self, item: Recorded) -> None:
        dry = bool(item.payload.get("dry_run"))
        self._make(item, {"upload_id": item.payload["upload_id"], "dry_run": dry, "status": "completed"})

    def _instant_run(self, item: Recorded) -> None:
        """A run, and the upload that came with it."""
        if item.unknown:
            return
        shown = self._shown.get(item.status.transaction_id)
        upload_id = "" if shown is None else str(shown.values["upload_id"])
        dry, count = bool(item.payload.get("dry_run")), len(item.payload["external_transactions"])
        self._make(item, {"upload_id": upload_id, "dry_run": dry, "status": "completed"})
        self._wanted[upload_id] = _Wanted(item, {"records": count, "stored": count})


_ACTS: Mapping[str, Callable[[RecordsProof, Recorded], None]] = {
    "ledger.create": RecordsProof._ledger,  # noqa: SLF001 - the table of the class above, and of nothing else
    "balance.create": RecordsProof._balance,  # noqa: SLF001
    "balance.link_identity": RecordsProof._link,  # noqa: SLF001
    "identity.create": RecordsProof._identity,  # noqa: SLF001
    "identity.update": RecordsProof._identity_update,  # noqa: SLF001
    "identity.tokenize": RecordsProof._tokenize,  # noqa: SLF001
    "metadata.update": RecordsProof._metadata,  # noqa: SLF001
    "matching_rule.create": RecordsProof._rule,  # noqa: SLF001
    "matching_rule.update": RecordsProof._rule_update,  # noqa: SLF001
    "matching_rule.delete": RecordsProof._rule_delete,  # noqa: SLF001
    "reconciliation.upload": RecordsProof._upload,  # noqa: SLF001
    "reconciliation.start": RecordsProof._run,  # noqa: SLF001
    "reconciliation.start_instant": RecordsProof._instant_run,  # noqa: SLF001
}


def _columns(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an identity, without those that are told apart from them."""
    left_out = ("identity_id", "meta_data", "replace_meta_data", "dob")
    columns = {name: value for name, value in payload.items() if name not in left_out}
    return columns if "dob" not in payload else {**columns, "dob": payload["dob"][: len("1990-01-01")]}


def _rule(payload: Mapping[str, Any]) -> dict[str, Any]:
    criteria = [
        (
            one["field"],
            one["operator"],
            one.get("value", ""),
            one.get("pattern", ""),
            float(one.get("allowable_drift", 0)),
        )
        for one in payload["criteria"]
    ]
    return {"name": payload["name"], "description": payload.get("description", ""), "criteria": criteria}


def _shown(books: Books) -> dict[str, _Shown]:
    """All records by id; balances that payments brought into being are theirs (contract §3.7)."""
    stored = Counter(record.upload_id for record in books.external_records)
    shown = {
        ledger.ledger_id: _Shown("ledger", {"name": ledger.name}, ledger.meta or {})
        for ledger in books.ledgers
        if ledger.ledger_id != _GENERAL_LEDGER
    }
    for balance in books.balances:
        if balance.ledger_id != _GENERAL_LEDGER:
            names = ("ledger_id", "currency", "identity_id", "indicator")
            values = {name: getattr(balance, name) for name in names}
            shown[balance.balance_id] = _Shown("balance", values, balance.meta or {})
    for person in books.identities:
        values = {**person.texts, "dob": person.dob[: len("1990-01-01")]}
        shown[person.identity_id] = _Shown("identity", values, person.meta or {})
    for rule in books.rules:
        values = {"name": rule.name, "description": rule.description, "criteria": _criteria(rule.criteria)}
        shown[rule.rule_id] = _Shown("matching rule", values)
    for upload in books.uploads:
        values = {"source": upload.source, "records": upload.record_count, "stored": stored[upload.upload_id]}
        shown[upload.upload_id] = _Shown("upload", values)
    for run in books.runs:
        values = {"upload_id": run.upload_id, "dry_run": run.dry_run, "status": run.status}
        shown[run.reconciliation_id] = _Shown("reconciliation", values)
    return shown


def _criteria(criteria: Iterable[Any]) -> list[tuple[Any, ...]]:
    return [(one.field, one.operator, one.value, one.pattern, float(one.allowable_drift)) for one in criteria]


#: What an intent of each kind makes.
_MADE: Mapping[str, tuple[str, ...]] = {
    "ledger.create": ("ledger",),
    "balance.create": ("balance",),
    "identity.create": ("identity",),
    "matching_rule.create": ("matching rule",),
    "reconciliation.upload": ("upload",),
    "reconciliation.start": ("reconciliation",),
    "reconciliation.start_instant": ("upload", "reconciliation"),
}


def _may_have_made(item: Recorded, shown: _Shown) -> bool:
    """Whether a record of its sort can be what an intent of unknown outcome made."""
    payload, values = item.payload, shown.values
    match item.status.kind:
        case "ledger.create" | "balance.create" | "identity.create":
            return item.status.id in (shown.meta or {}).values()
        case "matching_rule.create":
            return bool(values["name"] == payload["name"])
        case "reconciliation.upload":
            return bool(values["source"] == payload["source"])
        case "reconciliation.start":
            # Where it is a link that brought nothing, nobody knows which upload it was.
            return link_of(payload["upload_id"]) is not None or bool(values["upload_id"] == payload["upload_id"])
        case "reconciliation.start_instant":
            if shown.what == "upload":
                return bool(values["records"] == len(payload["external_transactions"]))
            return bool(values["dry_run"] == bool(payload.get("dry_run")))
    return False
