"""The part of the proof that is about money: rows of the books, each taken by the one intent that it belongs to. Pure.

A transaction is known by its reference, and so is each item of a bulk; a leg of a split by the split's reference and
its amount, because the ledger numbers legs as it likes (contract §3.6); a refund by the reference that the ledger
derives from the refunded row; commits and voids by their hold, amount and row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blnk_relay.intents.references import first_of, of_generation
from blnk_relay.intents.rows import is_row_id
from worker.demo.proof.findings import BookRow

if TYPE_CHECKING:
    from worker.demo.proof.findings import Proof, Recorded


@dataclass(frozen=True, slots=True)
class _Claim:
    """A row that an intent asked for: one of its references, with its amount and effect."""

    references: tuple[str, ...]
    amount: int
    effect: str

    def fits(self, row: BookRow) -> bool:
        return row.reference in self.references and (row.precise_amount, row.effect) == (self.amount, self.effect)


#: Effects of the kinds that act on a row of somebody else's, and the outcome that says so.
_ACTING = {
    "refund": ("refunded", "apply"),
    "inflight.commit": ("applied", "commit"),
    "inflight.void": ("voided", "void"),
}

_MAKING = frozenset({"transaction", "transaction.split", "transaction.bulk"})

_HAPPENED = frozenset({"applied", "held"})


class MoneyProof:
    """Compares intents that move money with the rows of the books.

    Args:
        proof: Where what is found is written.
        rows: All rows.
    """

    def __init__(self, proof: Proof, rows: Sequence[BookRow]) -> None:
        self._proof = proof
        self._free = {row.transaction_id: row for row in rows if row.effect != "none"}
        self._by_reference = {row.reference: row for row in rows}
        self._by_id = {row.transaction_id: row for row in rows}
        proof.effects += len(self._free)

    @staticmethod
    def knows(item: Recorded) -> bool:
        """Whether an intent is about money."""
        return item.status.kind in _MAKING or item.status.kind in _ACTING

    def compare(self, items: Sequence[Recorded]) -> None:
        """Give every effect to its intent, and name what is left over on either side."""
        for item in items:
            if item.status.kind in _MAKING:
                self._made(item)
        for item in items:
            if item.status.kind in _ACTING and item.status.state == "done":
                self._acted(item)
        for item in items:
            # What was done under references of earlier generations was taken back as well.
            for generation in range(item.status.generation):
                self._taken_back(_claims(item, generation))
            if item.status.state == "dead":
                self._taken_back(_claims(item))
        for item in items:
            if item.unknown:
                self._perhaps(item)
        for row in self._free.values():
            self._proof.doubled.append(
                f"{row.effect} {row.reference} of {row.precise_amount} belongs to no finished intent"
            )

    def _take(self, row: BookRow) -> None:
        del self._free[row.transaction_id]
        self._proof.explained += 1

    def _made(self, item: Recorded) -> None:
        """Rows under references of its own: all of them when it is done, those that it names when it is partial."""
        status, claims = item.status, list(_claims(item))
        if status.state == "done":
            names = [part.transaction_id for part in item.parts] or [status.transaction_id]
            right = status.outcome == ("held" if claims[0].effect == "hold" else "applied")
        elif status.dead_class == "partial":
            claims = [claim for claim, part in zip(claims, item.parts, strict=True) if part.status in _HAPPENED]
            names = [part.transaction_id for part in item.parts if part.status in _HAPPENED]
            right = True
        else:
            return
        missing = [claim for claim in claims if not right or not self._found(claim, names)]
        if missing:
            what = f"{missing[0].effect} of {missing[0].amount} under {missing[0].references[-1]}"
            ended = status.outcome or status.dead_class
            self._proof.lost.append(f"{item.name} is {ended}, but the books show no such {what}")

    def _found(self, claim: _Claim, names: Iterable[str]) -> bool:
        """Take the row of a claim that the journal told the id of."""
        told = (self._free.get(name) for name in names)
        row = next((row for row in told if row is not None and claim.fits(row)), None)
        if row is not None:
            self._take(row)
        return row is not None

    def _acted(self, item: Recorded) -> None:
        status = item.status
        outcome, effect = _ACTING[status.kind]
        row = self._free.get(status.transaction_id)
        if status.outcome != outcome or row is None or row.effect != effect or not self._may_own(item, row):
            self._proof.lost.append(f"{item.name} is {status.outcome}, but the books show no such {effect}")
        else:
            self._take(row)

    def _taken_back(self, claims: Iterable[_Claim]) -> None:
        """What the ledger did and took back by itself, because all of it was to happen or none (contract §3.10)."""
        for claim in claims:
            for row in [row for row in self._rows(claim) if row.transaction_id in self._free]:
                undoing = self._undoing(row)
                if undoing is not None:
                    self._take(row)
                    self._take(undoing)

    def _undoing(self, row: BookRow) -> BookRow | None:
        refunds = (self._by_reference.get(f"{row.transaction_id}_refund{end}") for end in ("", "_q"))
        voids = (other for other in self._free.values() if other.parent_transaction == row.transaction_id)
        undoing = (*refunds, *(other for other in voids if other.effect == "void"))
        return next((other for other in undoing if other is not None and other.transaction_id in self._free), None)

    def _perhaps(self, item: Recorded) -> None:
        """One effect of each claim may be there: that is what "unknown outcome" says."""
        if item.status.kind in _ACTING:
            row = next((row for row in self._free.values() if self._may_own(item, row)), None)
            if row is not None:
                self._take(row)
            return
        for claim in _claims(item):
            row = next((row for row in self._rows(claim) if row.transaction_id in self._free), None)
            if row is not None:
                self._take(row)

    def _rows(self, claim: _Claim) -> list[BookRow]:
        rows = (self._by_reference.get(reference) for reference in claim.references)
        return [row for row in rows if row is not None and claim.fits(row)]

    def _may_own(self, item: Recorded, row: BookRow) -> bool:
        """Whether a row can be what an intent that acts on another row asked for."""
        status, payload = item.status, item.payload
        match status.kind:
            case "refund":
                named = self._ids(payload["transaction"])
                # What is refunded is the row itself, or the one that the commit of a hold made below it.
                refunded = self._by_id.get(row.reference.removesuffix("_q").removesuffix("_refund"))
                return refunded is not None and bool({refunded.transaction_id, refunded.parent_transaction} & named)
            case "inflight.commit":
                part = payload.get("precise_amount")
                held = row.parent_transaction in self._ids(payload["hold"])
                return held and row.effect == "commit" and part in (None, row.precise_amount)
            case _:
                return row.effect == "void" and row.parent_transaction in self._ids(payload["hold"])

    def _ids(self, name: str) -> set[str]:
        """Ids of the rows that a payload names, by id or by reference."""
        if is_row_id(name):
            return {name}
        family = (self._by_reference.get(name), self._by_reference.get(name + "_q"))
        return {row.transaction_id for row in family if row is not None}


def _claims(item: Recorded, generation: int | None = None) -> Iterator[_Claim]:
    """The rows that an intent asked for, in the order of its parts; none for one that acts on a row.

    Args:
        item: The intent.
        generation: Under the references of this generation; None for the present one.
    """
    status, payload = item.status, item.payload
    effect = "hold" if payload.get("inflight") else "apply"

    def then(reference: str) -> str:
        if generation is None:
            return reference
        return of_generation(first_of(reference, status.generation), generation)

    match status.kind:
        case "transaction":
            yield _Claim(_family(then(status.reference)), payload["precise_amount"], effect)
        case "transaction.bulk":
            for one in payload["items"]:
                yield _Claim(_family(then(one["reference"])), one["precise_amount"], effect)
        case "transaction.split":
            legs: Sequence[Mapping[str, Any]] = payload.get("sources") or payload["destinations"]
            references = tuple(f"{then(status.reference)}-{number}" for number in range(1, len(legs) + 1))
            for leg in legs:
                yield _Claim(references, leg["precise_amount"], effect)


def _family(reference: str) -> tuple[str, str]:
    """A reference and that of the row that queue mode makes below it (contract §3.4)."""
    return reference, f"{reference}_q"
