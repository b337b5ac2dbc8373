"""What the ledger has to show of movements of money that are over: each once, with the same amount and ends. Pure.

Everything that a reference of an intent's, of any of its generations, could have brought about is looked at: what
stands under an earlier one was to be taken back, and what stands under the next one was made by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from blnk_relay.families.atomic import Fate, fate_of, undoing_lookups
from blnk_relay.families.legs import fits, parts_of
from blnk_relay.families.movement import differences
from blnk_relay.intents.evidence import IN_PART, Difference, Evidence, Known, Part, Past, Sort, difference
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.references import first_of, of_generation
from blnk_relay.intents.rows import CLOCKS_APART_MS, family, final_row, made_ms, missing, some_of
from blnk_relay.schema.legs import legs_of, sides

#: Statuses of rows that moved money or reserved it.
EFFECTIVE = frozenset({"APPLIED", "INFLIGHT"})

#: Codes of letters that say themselves that another transaction stands under their reference.
_KNOWN_CONFLICT = frozenset({"REFERENCE_CONFLICT", "TXN_DUPLICATE_REFERENCE"})


def _generations(past: Past) -> range:
    """Those that were sent, and the next one, which nobody sent."""
    return range(past.generation + 2)


def standing(found: Found, reference: str) -> list[Row]:
    """Rows with an effect under a reference, or below it in queue mode; one, where all is well."""
    return [row for lookup in family(reference) for row in found.all_under(lookup.value) if row.status in EFFECTIVE]


def _in_words(row: Row) -> str:
    """A row, without what may be personal."""
    return f"{row.transaction_id} ({row.status} {row.precise_amount} {row.currency} under {row.reference})"


def _several(rows: Sequence[Row]) -> str:
    return some_of([_in_words(row) for row in rows])


def _indicators(payloads: Iterable[Mapping[str, Any]], found: Found) -> tuple[Lookup, ...]:
    names = dict.fromkeys(payload[side] for payload in payloads for side in ("source", "destination"))
    return missing(found, *(Lookup("balances", "indicator", name) for name in names if name.startswith("@")))


def _named(references: Iterable[tuple[str, str]], found: Found) -> tuple[Lookup, ...]:
    """The rows of confirmed ids that do not stand under their references."""
    ids = (id_ for reference, id_ in references if id_.startswith("txn_") and not _is_at(found, reference, id_))
    return missing(found, *(Lookup("transactions", "transaction_id", id_) for id_ in ids))


def _is_at(found: Found, reference: str, id_: str) -> bool:
    return any(row.transaction_id == id_ for lookup in family(reference) for row in found.all_under(lookup.value))


def _lookups(past: Past, items: Sequence[tuple[str, Mapping[str, Any], str]], found: Found) -> tuple[Lookup, ...]:
    """All references of some movements; then what tells whether that is what was asked for, and whether it was undone.

    Args:
        past: The intent.
        items: Reference of the present generation, payload and confirmed id of each.
        found: What was read so far.
    """
    firsts = [first_of(reference, past.generation) for reference, _, _ in items]
    every = [of_generation(first, generation) for first in firsts for generation in _generations(past)]
    if asked := missing(found, *(lookup for reference in every for lookup in family(reference))):
        return asked
    stood = {reference: standing(found, reference) for reference in every}
    ids = _named(((reference, id_) for reference, _, id_ in items), found)
    # Of what was confirmed at the present references nothing was taken back by the ledger itself.
    own = {reference for reference, _, _ in items} if past.done else set()
    undone = [row for reference, rows in stood.items() if reference not in own for row in rows]
    indicators = _indicators((payload for _, payload, _ in items), found) if any(stood.values()) else ()
    return (*ids, *indicators, *undoing_lookups(undone, found))


def _is_undone(row: Row, found: Found) -> bool:
    return fate_of(row, found) in (Fate.UNDONE, Fate.UNDOING)


def _judged(past: Past, reference: str, payload: Mapping[str, Any], part: Part, found: Found) -> list[Difference]:
    """One movement, under all of its references."""
    found_ = _confirmed(past, reference, payload, part, found) if part.stands else []
    if not part.stands and part.status != "conflict":
        found_ = _unconfirmed(past, reference, payload, found)
    return [*found_, *_others(past, reference, payload, part, found)]


def _confirmed(past: Past, reference: str, payload: Mapping[str, Any], part: Part, found: Found) -> list[Difference]:
    rows, final = standing(found, reference), final_row(found, reference)
    says = f"{part.status} as {part.transaction_id}" if part.transaction_id else part.status
    if final is None:
        queued, elsewhere = found.reference(reference), found.row(part.transaction_id)
        shows = "nothing under this reference"
        if queued is not None:
            shows = f"{queued.transaction_id}, still {queued.status}"
        elif elsewhere is not None:
            shows = f"the confirmed row under another reference: {elsewhere.reference}"
        elif part.transaction_id:
            shows += ", and no row with the confirmed id"
        return [difference(Sort.MISSING, past, reference, shows, says=says)]
    if len(rows) > 1:
        text = f"{len(rows)} rows: {_several(rows)}"
        return [difference(Sort.TWICE, past, reference, text, says=says)]
    wanted = "INFLIGHT" if payload.get("inflight") else "APPLIED"
    different = differences(payload, final, found)
    if final.status != wanted:
        different = [
            f"status: asked {wanted}, has {final.status}",
            *(one for one in different if not one.startswith("inflight: ")),
        ]
    if part.transaction_id and final.transaction_id != part.transaction_id:
        gone = "" if found.row(part.transaction_id) else ", and the confirmed row is not there"
        different = [f"id: confirmed {part.transaction_id}, has {final.transaction_id}{gone}", *different]
    if not different:
        return []
    return [difference(Sort.OTHER, past, reference, "; ".join(different), says=says)]


def _unconfirmed(past: Past, reference: str, payload: Mapping[str, Any], found: Found) -> list[Difference]:
    """What is no outcome for the journal: nothing of it may stand, but another one of which the letter says so."""
    rows = [row for row in standing(found, reference) if not _is_undone(row, found)]
    if any(not differences(payload, row, found) for row in rows):
        return [difference(Sort.HAPPENED, past, reference, _several(rows))]
    if not rows or past.code in _KNOWN_CONFLICT:
        return []
    return [difference(Sort.STRANGE, past, reference, f"another transaction: {_several(rows)}")]


def _others(past: Past, reference: str, payload: Mapping[str, Any], part: Part, found: Found) -> list[Difference]:
    """What stands under references of other generations."""
    first = first_of(reference, past.generation)
    others = [of_generation(first, number) for number in _generations(past) if number != past.generation]
    rows = [row for other in others for row in standing(found, other) if not _is_undone(row, found)]
    if not rows:
        return []
    as_asked = any(not differences(payload, row, found) for row in rows)
    # Also where nobody had seen it yet when the letter was written.
    own = [row for row in standing(found, reference) if not _is_undone(row, found)]
    stands = part.stands or any(not differences(payload, row, found) for row in own)
    sort = Sort.TWICE if stands else Sort.HAPPENED if as_asked else Sort.STRANGE
    return [difference(sort, past, reference, f"under other references of it: {_several(rows)}")]


def _noted(past: Past) -> list[Part]:
    """What the legs or the items came to, for the journal; all of them stand where nobody waited to see each."""
    whole = Part("held" if past.entry.payload.get("inflight") else "applied")
    return [whole if past.done and not part.stands else part for part in past.parts]


# -- one transaction ------------------------------------------------------------------------------------------------


def _reference(past: Past) -> str:
    return of_generation(past.entry.reference, past.generation)


def _single(past: Past) -> Part:
    # A letter in part is of a hold that was made, and may not be settled by itself.
    there = past.done or past.partial
    status = ("held" if past.entry.payload.get("inflight") else "applied") if there else past.state
    return Part(status, past.transaction_id)


def _single_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    items = [(_reference(past), past.entry.payload, past.transaction_id)]
    return _lookups(past, items, found) or _holds_lookups(past, found)


def _single_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    payload, part = past.entry.payload, _single(past)
    return (*_judged(past, _reference(past), payload, part, found), *_holds_differences(past, found, known))


# -- a split --------------------------------------------------------------------------------------------------------


def _leg_references(past: Past, generation: int) -> list[str]:
    """Those of all legs, in the mode that is sent, and one more, which nobody sent."""
    reference = of_generation(past.entry.reference, generation)
    return [f"{reference}-{number}" for number in range(1, len(legs_of(past.entry.payload)) + 2)]


def _legs_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    every = [one for generation in _generations(past) for one in _leg_references(past, generation)]
    if asked := missing(found, *(Lookup("transactions", "reference", one) for one in every)):
        return asked
    payload = past.entry.payload
    stood = [row for one in every for row in found.all_under(one)]
    if not stood:
        return ()
    names = (payload[sides(payload)[1]], *(leg["identifier"] for leg in legs_of(payload)))
    balances = missing(found, *(Lookup("balances", "indicator", name) for name in names if name.startswith("@")))
    own = set(_leg_references(past, past.generation)[:-1]) if past.done else set()
    undone = undoing_lookups([row for row in stood if row.reference not in own], found)
    return tuple(dict.fromkeys((*balances, *undone, *_holds_lookups(past, found))))


def _legs_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    reference = _reference(past)
    own = _leg_references(past, past.generation)
    others = [generation for generation in _generations(past) if generation != past.generation]
    other = [one for generation in others for one in _leg_references(past, generation)]
    found_: list[Difference] = []
    surplus = [row for one in (own[-1], *other) for row in found.all_under(one) if row.status in EFFECTIVE]
    surplus = [row for row in surplus if not _is_undone(row, found)]
    if surplus:
        as_asked = any(fits(past.entry.payload, row, found) for row in surplus)
        sort = Sort.TWICE if past.done or past.partial else Sort.HAPPENED if as_asked else Sort.STRANGE
        found_.append(difference(sort, past, reference, f"more than its legs: {_several(surplus)}"))
    rows = [row for one in own[:-1] for row in found.all_under(one)]
    if len(rows) > len({row.reference for row in rows}):
        found_.append(difference(Sort.TWICE, past, reference, f"a leg more than once: {_several(rows)}"))
    if not (past.done or past.partial):
        return (*found_, *_legs_unconfirmed(past, reference, rows, found))
    parts = parts_of(past.entry, past.progress(), found)
    if isinstance(parts, Row):
        return (
            *found_,
            difference(Sort.OTHER, past, reference, f"a leg that is not one of its own: {_in_words(parts)}"),
        )
    # Which of two alike is which, the ledger does not say.
    ids = {"", *(row.transaction_id for row in rows)}
    for number, (part, then) in enumerate(zip(parts, _noted(past), strict=True), start=1):
        name, says = f"leg {number} of {reference}", f"{then.status} {then.transaction_id}".strip()
        if then.stands and part.row is None:
            found_.append(difference(Sort.MISSING, past, name, "no such leg", says=says))
        elif then.stands and part.row is not None and then.transaction_id not in ids:
            text = f"id: confirmed {then.transaction_id}, has {part.row.transaction_id}"
            found_.append(difference(Sort.OTHER, past, name, text, says=says))
        elif not then.stands and part.row is not None and part.fate is Fate.STANDS:
            found_.append(difference(Sort.HAPPENED, past, name, _in_words(part.row), says=says))
    return (*found_, *_holds_differences(past, found, known))


def _legs_unconfirmed(past: Past, reference: str, rows: Sequence[Row], found: Found) -> list[Difference]:
    """What is no outcome for the journal: no leg of it may stand, but another one of which the letter says so."""
    stands = [row for row in rows if row.status in EFFECTIVE and not _is_undone(row, found)]
    others = [row for row in stands if not fits(past.entry.payload, row, found)]
    # Beside another transaction a row whose balance nobody has seen may be of that one.
    ours = [row for row in stands if fits(past.entry.payload, row, found, certain=bool(others))]
    found_ = []
    if ours:
        found_.append(difference(Sort.HAPPENED, past, reference, _several(ours), advice=IN_PART if others else ""))
    # The letter says no more than that there is one, and not that a leg moved money beside it.
    if others and past.code not in _KNOWN_CONFLICT:
        found_.append(difference(Sort.STRANGE, past, reference, f"another transaction: {_several(others)}"))
    return found_


# -- the items of a bulk --------------------------------------------------------------------------------------------


def _items(past: Past) -> list[tuple[str, Mapping[str, Any], Part]]:
    """Reference, payload and what is known of each item; the payload has the references of its generation."""
    payload = past.entry.payload
    flags = {"inflight": payload.get("inflight")}
    return [
        (str(item["reference"]), {**item, **flags}, part)
        for item, part in zip(payload["items"], _noted(past), strict=True)
    ]


def _bulk_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    items = [(reference, payload, part.transaction_id) for reference, payload, part in _items(past)]
    return _lookups(past, items, found) or _holds_lookups(past, found)


def _bulk_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    found_: list[Difference] = []
    for reference, payload, part in _items(past):
        found_ += _judged(past, reference, payload, part, found)
    return (*found_, *_holds_differences(past, found, known))


# -- what was settled of holds ---------------------------------------------------------------------------------------


def _holds(past: Past, found: Found) -> list[Row]:
    """The rows of the holds that an intent made; none where the ledger was asked to settle them by itself."""
    payload = past.entry.payload
    if not (payload.get("inflight") and (past.done or past.partial)):
        return []
    if any(name in payload for name in ("inflight_expiry_date", "inflight_commit_date")):
        return []
    # What the ledger took back by itself was voided by none of ours.
    ids = [past.transaction_id, *(part.transaction_id for part in past.parts if part.stands)]
    return [row for id_ in ids if (row := found.row(id_)) is not None and row.status == "INFLIGHT"]


def _holds_lookups(past: Past, found: Found) -> tuple[Lookup, ...]:
    return missing(
        found, *(Lookup("transactions", "parent_transaction", row.transaction_id) for row in _holds(past, found))
    )


def _holds_differences(past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
    return tuple(one for row in _holds(past, found) for one in settled_by_nobody(past, row, found, known))


def settled_by_nobody(past: Past, hold: Row, found: Found, known: Known) -> list[Difference]:
    """What was committed or voided of a hold that no intent of the journal settled.

    Only where the journal still knows everything from the time at which it was settled, and nobody is at it.
    """
    if known.is_unsure(hold.transaction_id):
        return []
    children = {
        row.transaction_id: row for row in found.children(hold.transaction_id) if row.status in ("APPLIED", "VOID")
    }
    strange = [children[id_] for id_ in known.unexplained(children)]
    strange = [row for row in strange if made_since(row, known.since_ms)]
    if not strange:
        return []
    text = f"settled by no intent of the journal: {_several(strange)}"
    return [difference(Sort.TWICE, past, hold.reference, text, says="what was settled of this hold")]


def made_since(row: Row, since_ms: int) -> bool:
    """Whether a row was made at or after a time, as far as that can be read."""
    made = made_ms(row.created_at)
    return not made or made >= since_ms + CLOCKS_APART_MS


#: For one transaction, the legs of a split, the items of a bulk.
ONE = Evidence(_single_lookups, _single_differences)
LEGS = Evidence(_legs_lookups, _legs_differences)
ITEMS = Evidence(_bulk_lookups, _bulk_differences)
