"""What the ledger has to show of holds that were settled and of payments that were given back. Pure.

Commits and voids carry nothing of ours: only the journal knows whose a row below a hold is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from blnk_relay.families.hold import HoldAction
from blnk_relay.families.hold_item import Item
from blnk_relay.families.standing import made_since, standing
from blnk_relay.intents.evidence import Below, Difference, Evidence, Known, Past, Sort, difference
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.rows import family, final_row, missing, some_of


@dataclass(frozen=True, slots=True)
class _Settling:
    """One hold that was settled, or may have been.

    Attributes:
        name: As it was named.
        row: The hold's row; empty where that is not known.
        child: What was made below it; empty where that is not known.
        amount: Minor units that were asked for; None for all that remained.
        left: Minor units that remained before, where they were recorded.
        before: Minor units that were committed before, where they were recorded.
        stands: Whether it happened, for the journal.
        perhaps: Whether nobody can tell if it did.
    """

    name: str
    row: str
    child: str
    amount: int | None
    left: int | None
    before: int | None
    stands: bool
    perhaps: bool


def _number(value: Any) -> int | None:
    return int(value) if isinstance(value, str | int) and str(value).isdigit() else None


#: From the payload of a kind that settles many holds to those of the single kind.
_Wanted = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]]]


def settling(action: HoldAction, wanted: _Wanted | None = None) -> Evidence:
    """The evidence of a kind that settles holds.

    Args:
        action: Which.
        wanted: The payloads of the single kind, of one that settles many.
    """
    kind = _Kind(action, wanted)
    return Evidence(kind.lookups, kind.differences, below=kind.below)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind that settles holds."""

    action: HoldAction
    wanted: _Wanted | None

    def lookups(self, past: Past, found: Found) -> tuple[Lookup, ...]:
        asked: list[Lookup] = []
        for one in self._settlings(past):
            if one.child:
                asked.append(Lookup("transactions", "transaction_id", one.child))
            if one.row:
                asked.append(Lookup("transactions", "transaction_id", one.row))
                asked.append(Lookup("transactions", "parent_transaction", one.row))
        return missing(found, *dict.fromkeys(asked))

    def differences(self, past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
        return tuple(each for one in self._settlings(past) for each in _judged(self.action, past, one, found, known))

    def below(self, past: Past) -> tuple[Below, ...]:
        # What was found after a loss is known by its own row alone: of the hold nothing was recorded.
        return tuple(
            Below(one.row, one.child if one.stands else "", one.perhaps)
            for one in self._settlings(past)
            if one.row or one.child
        )

    def _settlings(self, past: Past) -> list[_Settling]:
        return [_single(past)] if self.wanted is None else _several(past, self.wanted(past.entry.payload))


def _single(past: Past) -> _Settling:
    payload, memo = past.entry.payload, past.memo
    row = str(memo.get("row") or past.parent_id)
    amount, left, before = payload.get("precise_amount"), _number(memo.get("left")), _number(memo.get("before"))
    return _Settling(str(payload["hold"]), row, past.transaction_id, amount, left, before, past.done, past.perhaps)


def _several(past: Past, payloads: Sequence[Mapping[str, Any]]) -> list[_Settling]:
    packed = past.memo.get("items") or [Item().packed()] * len(payloads)
    found = []
    for payload, values, part in zip(payloads, packed, past.parts, strict=False):
        item = Item.unpacked(values)
        found.append(
            _Settling(
                name=str(payload["hold"]),
                row=item.row,
                child=item.child or part.transaction_id,
                amount=payload.get("precise_amount"),
                left=None,
                before=_number(item.before),
                # Of a batch that is done without having been read back nothing is noted of any.
                stands=past.done or part.stands,
                perhaps=past.perhaps or part.status == "unknown",
            )
        )
    return found


def _judged(action: HoldAction, past: Past, one: _Settling, found: Found, known: Known) -> list[Difference]:
    if one.stands:
        return [*_confirmed(action, past, one, found), *_too_much(past, one, found, known)]
    return _happened(action, past, one, found, known) if one.perhaps else []


def _confirmed(action: HoldAction, past: Past, one: _Settling, found: Found) -> list[Difference]:
    if not one.child:
        return []
    child, hold = found.row(one.child), found.row(one.row)
    if child is None:
        shows = f"no row {one.child} below {one.row or 'the hold'}"
        return [difference(Sort.MISSING, past, one.name, shows)]
    different = []
    if child.status != action.status:
        different.append(f"status: asked {action.status}, has {child.status}")
    # A hold that expired by itself was voided below its queued row (contract §3.8).
    expired = child.status == "VOID" and hold is not None and child.parent == hold.parent != ""
    if one.row and child.parent != one.row and not expired:
        different.append(f"hold: asked {one.row}, has {child.parent or 'none'}")
    amount = _asked(one, hold)
    if amount is not None and child.precise_amount not in (None, amount):
        different.append(f"precise_amount: asked {amount}, has {child.precise_amount}")
    if hold is not None:
        for name in ("currency", "source", "destination"):
            its, whole = getattr(child, name), getattr(hold, name)
            if its and whole and its != whole:
                different.append(f"{name}: the hold has {whole}, this {its}")
    if not different:
        return []
    return [difference(Sort.OTHER, past, one.name, f"{one.child}: {'; '.join(different)}")]


def _asked(one: _Settling, hold: Row | None) -> int | None:
    """Minor units that were asked for: a part, or what remained; a batch records what was committed alone."""
    if one.amount is not None:
        return one.amount
    if one.left is not None or one.before is None or hold is None or hold.precise_amount is None:
        return one.left
    return hold.precise_amount - one.before


def _too_much(past: Past, one: _Settling, found: Found, known: Known) -> list[Difference]:
    """Commits of the hold that no intent of the journal made, and more committed than was held."""
    hold = found.row(one.row)
    if hold is None:
        return []
    commits = {row.transaction_id: row for row in found.children(one.row) if row.status == "APPLIED"}
    unknown = () if known.is_unsure(one.row) else known.unexplained(commits)
    strange = [commits[id_] for id_ in unknown if made_since(commits[id_], known.since_ms)]
    total = sum(row.precise_amount or 0 for row in commits.values())
    if strange:
        names = some_of([f"{row.transaction_id} of {row.precise_amount}" for row in strange])
        text = f"committed by no intent of the journal: {names}; {total} of {hold.precise_amount} in all"
    elif hold.precise_amount is not None and total > hold.precise_amount:
        text = f"{total} committed of {hold.precise_amount} held"
    else:
        return []
    return [difference(Sort.TWICE, past, hold.reference, text, says="what was committed of this hold")]


def _happened(action: HoldAction, past: Past, one: _Settling, found: Found, known: Known) -> list[Difference]:
    """Whether a letter of which nobody could tell can be told by now: one row that can only be its own."""
    if not one.row or past.state == "discarded" or known.is_unsure(one.row, but=past.entry.id):
        return []
    rows = [row for row in found.children(one.row) if row.status == action.status]
    if action.status == "APPLIED":
        amount = _asked(one, found.row(one.row))
        rows = [row for row in _later(rows, one.before or 0) if amount in (None, row.precise_amount)]
    free = known.unexplained(row.transaction_id for row in rows)
    fitting = [row for row in rows if row.transaction_id in free]
    if len(fitting) != 1 or not made_since(fitting[0], known.since_ms):
        return []
    row = fitting[0]
    return [difference(Sort.HAPPENED, past, one.name, f"{row.transaction_id} ({row.status} {row.precise_amount})")]


def _later(commits: Sequence[Row], before: int) -> list[Row]:
    """Those of a hold's commits, oldest first, that came after so much was committed of it."""
    sums = accumulate((row.precise_amount or 0 for row in commits), initial=0)
    return [row for row, sum_ in zip(commits, sums, strict=False) if sum_ >= before]


# -- a refund -------------------------------------------------------------------------------------------------------

#: Codes of refunds that did not happen because another one did.
_ANOTHERS = frozenset({"ALREADY_REFUNDED", "TXN_ALREADY_REFUNDED", "GEN_CONFLICT", "REFERENCE_CONFLICT"})


def _refunded(past: Past) -> str:
    """Id of the row that was given back; empty where nothing was ever sent."""
    return str(past.memo.get("row") or past.parent_id)


def _refund_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    row = _refunded(past)
    if not row:
        return ()
    ids = [row, *([past.transaction_id] if past.transaction_id else [])]
    return missing(
        found,
        *family(row + "_refund"),
        *(Lookup("transactions", "transaction_id", id_) for id_ in ids),
        Lookup("transactions", "parent_transaction", row),
    )


def _refund_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    row = _refunded(past)
    if not row:
        return ()
    reference = row + "_refund"
    final, refunded = final_row(found, reference), found.row(row)
    if not past.done:
        if final is None or final.status != "APPLIED" or past.code in _ANOTHERS or past.state == "discarded":
            return ()
        if known.owner(final.transaction_id) not in ("", past.entry.id):
            return ()
        shows = f"{final.transaction_id} (APPLIED)"
        if different := _unlike(past, final, refunded):
            shows = f"another transaction: {shows}: {'; '.join(different)}"
            return (difference(Sort.STRANGE, past, reference, shows),)
        return (difference(Sort.HAPPENED, past, reference, shows),)
    if final is None:
        queued, elsewhere = found.reference(reference), found.row(past.transaction_id)
        shows = "no refund of it"
        if queued is not None:
            shows = f"{queued.transaction_id}, still {queued.status}"
        elif elsewhere is not None:
            shows = f"the confirmed row under {elsewhere.reference}"
        return (difference(Sort.MISSING, past, reference, shows),)
    different = []
    if final.status != "APPLIED":
        different.append(f"status: asked APPLIED, has {final.status}")
    if past.transaction_id and final.transaction_id != past.transaction_id:
        different.append(f"id: confirmed {past.transaction_id}, has {final.transaction_id}")
    different += _unlike(past, final, refunded)
    found_ = [difference(Sort.OTHER, past, reference, "; ".join(different))] if different else []
    if second := _second_refunds(reference, final, refunded, found):
        text = f"given back more than once: {some_of([one.transaction_id for one in second])} besides"
        found_.append(difference(Sort.TWICE, past, reference, text))
    return tuple(found_)


def _unlike(past: Past, final: Row, refunded: Row | None) -> list[str]:
    """In what a row is no refund of another: in full, and the other way round."""
    different = []
    amount = refunded.precise_amount if refunded is not None else _number(past.memo.get("amount"))
    if amount is not None and final.precise_amount not in (None, amount):
        different.append(f"precise_amount: asked {amount}, has {final.precise_amount}")
    if refunded is not None:
        for name, its, whole in (
            ("currency", final.currency, refunded.currency),
            ("source", final.source, refunded.destination),
            ("destination", final.destination, refunded.source),
        ):
            if its and whole and its != whole:
                different.append(f"{name}: asked {whole}, has {its}")
    return different


def _second_refunds(reference: str, final: Row, refunded: Row | None, found: Found) -> list[Row]:
    rows = [row for row in standing(found, reference) if row.transaction_id != final.transaction_id]
    if refunded is not None:
        for row in found.children(refunded.transaction_id):
            backwards = (row.source, row.destination) == (refunded.destination, refunded.source)
            if backwards and row.status == "APPLIED" and row.transaction_id != final.transaction_id:
                rows.append(row)
    return list({row.transaction_id: row for row in rows}.values())


def _refund_below(past: Past) -> tuple[Below, ...]:
    row = _refunded(past)
    return (Below(row, past.transaction_id),) if row else ()


REFUND = Evidence(_refund_lookups, _refund_differences, below=_refund_below)
