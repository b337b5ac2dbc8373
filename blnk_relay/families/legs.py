"""What became of a split's legs, and what to do about it (contract §3.6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from blnk_relay.families.atomic import Fate, Part, decide_together, fate_of, undoing_lookups
from blnk_relay.families.movement import differences
from blnk_relay.intents.decision import Again, Dead, DeadClass, Decision, Done, Note, Renew, Send, refused
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import of_generation
from blnk_relay.intents.rows import MOST_NAMED, capped, missing
from blnk_relay.schema.legs import alike, legs_of, sides

#: The only mode that is sent; recorded, so that no later release can continue a split in the other one.
MODE = "skip"


def _references(entry: Entry, progress: Progress) -> list[str]:
    """What the ledger calls the legs in skip mode, in an order of its own (contract §3.4 S5)."""
    reference = of_generation(entry.reference, progress.generation)
    return [f"{reference}-{number}" for number in range(1, len(legs_of(entry.payload)) + 1)]


def _rows(entry: Entry, progress: Progress, found: Found) -> list[Row]:
    rows = (found.reference(reference) for reference in _references(entry, progress))
    return [row for row in rows if row is not None]


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """All legs; then the balances behind ``@indicators``; then, unless all are known to stand, what was taken back."""
    if not (progress.sent or progress.looking) or _other_mode(progress):
        return ()
    legs = (Lookup("transactions", "reference", reference) for reference in _references(entry, progress))
    if asked := missing(found, *legs):
        return asked
    rows = _rows(entry, progress, found)
    if not rows:
        return ()
    payload = entry.payload
    names = (payload[sides(payload)[1]], *(leg["identifier"] for leg in legs_of(payload)))
    if asked := missing(found, *(Lookup("balances", "indicator", name) for name in names if name.startswith("@"))):
        return asked
    stand = progress.accepted and len(rows) == len(legs_of(payload))
    return () if stand else undoing_lookups(rows, found)


def _other_mode(progress: Progress) -> bool:
    return bool(progress.memo.get("mode", MODE) != MODE)


def parts_of(entry: Entry, progress: Progress, found: Found) -> list[Part] | Row:
    """Each leg with its row, told by balance and amount; or a row of the ledger that is none of them."""
    legs, rows = legs_of(entry.payload), _rows(entry, progress, found)
    several, _ = sides(entry.payload)
    side = several.removesuffix("s")
    assigned: dict[int, Row] = {}
    # Rows whose balance is known for sure are given away first.
    for certain in (True, False):
        for index, leg in enumerate(legs):
            fitting = (row for row in rows if _is(entry.payload, leg, side, row, found, certain=certain))
            if index not in assigned and (row := next(fitting, None)) is not None:
                assigned[index] = row
                rows.remove(row)
    if rows:
        return rows[0]
    return [
        Part(leg["identifier"], leg["precise_amount"], assigned.get(index), fate_of(assigned.get(index), found))
        for index, leg in enumerate(legs)
    ]


def fits(payload: Mapping[str, Any], row: Row, found: Found, *, certain: bool = False) -> bool:
    """Whether a row moved what some leg asks for, to or from its balance; as far as can be told, or for certain."""
    side = sides(payload)[0].removesuffix("s")
    return any(_is(payload, leg, side, row, found, certain=certain) for leg in legs_of(payload))


def _stranger(row: Row, payload: Mapping[str, Any]) -> str:
    """What the ledger has and what was asked for, on the side of the legs; the other side where that differs."""
    several, one = sides(payload)
    has = f"{getattr(row, several.removesuffix('s'))} {row.precise_amount} {row.currency} {row.status}"
    if getattr(row, one) not in ("", payload[one]):
        has += f", {one} {getattr(row, one)}"
    legs = ", ".join(f"{leg['identifier']} {leg['precise_amount']}" for leg in legs_of(payload)[:MOST_NAMED])
    return f"{row.reference} is not one of its legs. Has: {has}. Asked: {payload['currency']}, {legs}."


def _is(
    payload: Mapping[str, Any], leg: Mapping[str, Any], side: str, row: Row, found: Found, *, certain: bool
) -> bool:
    name = leg["identifier"]
    stored = getattr(row, side)
    if certain and stored != name and stored not in found.balance_ids(name, str(payload["currency"])):
        return False
    single = {**payload, side: name, "precise_amount": leg["precise_amount"]}
    return row.status in ("APPLIED", "INFLIGHT") and not differences(single, row, found)


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send once; then all legs stand, or the ledger has to show what became of them."""
    if not (progress.sent or progress.looking):
        if problem := alike(entry.payload):
            return refused("LEGS_ALIKE", problem)
        return Send(memo={"mode": MODE})
    if _other_mode(progress):
        return Dead(DeadClass.UNKNOWN, "OTHER_MODE", "It was first sent in another mode, and must not be sent in this.")
    parts = parts_of(entry, progress, found)
    if isinstance(parts, Row):
        return Dead(DeadClass.UNKNOWN, "REFERENCE_CONFLICT", capped(_stranger(parts, entry.payload)))
    decision: Decision | None = decide_together(parts, progress, policy)
    if decision is None:
        parents = {part.row.parent for part in parts if part.row}
        decision = Done("held" if entry.payload.get("inflight") else "applied", "", min(parents))
    if isinstance(decision, Send):
        return Send(memo={"mode": MODE})
    if isinstance(decision, Again):
        return decision
    ended = decision.otherwise if isinstance(decision, Renew) else decision
    noted = {index: part.noted() for index, part in enumerate(parts) if part.row is not None}
    if isinstance(ended, Dead):
        noted |= {index: part.noted() for index, part in enumerate(parts) if part.fate is Fate.ABSENT}
    # What it was decided from keeps its place in the memo, and a look what it has seen.
    memo = ended.note.memo if ended.note else progress.memo
    ended = replace(ended, note=Note(memo, noted)) if noted else ended
    return Renew(ended) if isinstance(decision, Renew) and isinstance(ended, Dead) else ended
