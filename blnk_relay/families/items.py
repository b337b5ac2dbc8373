"""What the items of a bulk have come to: read window by window, remembered as one letter each. Pure.

A bulk of ten thousand items is twenty thousand references to read. One look reads a window of them, notes what is
decided, and goes on behind it; when a pass is over, all items are weighed together. An item that is decided is never
read again: the ledger's final rows do not change (contract §3.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from blnk_relay.families.atomic import Fate, Part, decide_together, fate_of, undoing_lookups
from blnk_relay.families.movement import differences
from blnk_relay.intents import horizons
from blnk_relay.intents.decision import Dead, DeadClass, Decision, Done, Look, Note, Renew, Send, refused
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.progress import Policy, Progress
from blnk_relay.intents.references import renewed
from blnk_relay.intents.rows import MOST_NAMED, capped, family, final_row, missing

#: Items read in one look: two references each, in questions of a hundred values (contract §4). That is as much as a
#: full batch of single transactions asks for, so a look stays within its lease.
WINDOW = 200

#: What an item has come to, as one letter of the memo: not seen, stored and undecided, applied, held, rejected, or
#: another transaction under its reference.
_UNSEEN, _QUEUED, _APPLIED, _HELD, _REJECTED, _OTHER = ".qahrx"
_OPEN = _UNSEEN + _QUEUED
_WORDS = {_APPLIED: "applied", _HELD: "held", _REJECTED: "rejected", _OTHER: "conflict", _QUEUED: "queued"}


def named(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """The references of the items, in order."""
    return tuple(str(item["reference"]) for item in payload["items"])


def renewed_items(payload: Mapping[str, Any], generation: int) -> Mapping[str, Any]:
    """The payload of the next generation: each item under a reference that follows from its own."""
    items = [{**item, "reference": renewed(item["reference"], generation)} for item in payload["items"]]
    return {**payload, "items": items}


def signs_of(entry: Entry, progress: Progress) -> str:
    """One letter for each item, as far as was remembered."""
    signs: str = progress.memo.get("marks") or _UNSEEN * len(entry.payload["items"])
    return signs


def _window(entry: Entry, progress: Progress) -> list[int]:
    """Items that this look is about; of an atomic batch all, because what happened may be taken back."""
    if entry.payload.get("atomic"):
        return list(range(len(entry.payload["items"])))
    signs, start = signs_of(entry, progress), progress.memo.get("at", 0)
    # What looked like another transaction is read again in each pass: a difference is judged by a fresh read alone.
    return [index for index in range(start, len(signs)) if signs[index] in _OPEN + _OTHER][:WINDOW]


def lookups(entry: Entry, progress: Progress, found: Found) -> tuple[Lookup, ...]:
    """``r`` and ``r_q`` of each item in the window; the balances behind ``@indicators``; what was taken back."""
    if not progress.looking:
        return ()
    items, window = entry.payload["items"], _window(entry, progress)
    if asked := missing(found, *(name for index in window for name in family(items[index]["reference"]))):
        return asked
    decided = [items[index] for index in window if final_row(found, items[index]["reference"]) is not None]
    sides = dict.fromkeys(item[side] for item in decided for side in ("source", "destination"))
    if asked := missing(found, *(Lookup("balances", "indicator", side) for side in sides if side.startswith("@"))):
        return asked
    if not entry.payload.get("atomic") or (progress.accepted and len(decided) == len(items)):
        return ()
    rows = (final_row(found, item["reference"]) for item in decided)
    return undoing_lookups([row for row in rows if row is not None], found)


def decide(entry: Entry, progress: Progress, found: Found, policy: Policy) -> Decision:
    """Send all; look at all, window by window; send what is not there; until each is decided."""
    memo = progress.memo
    if not progress.looking:
        kept = {"marks": signs_of(entry, progress), "batch": memo.get("batch", "")}
        if not progress.sent or memo.get("go"):
            return Send(memo=kept)
        # It may have taken effect, and looking at all items takes several looks: they are made elsewhere.
        return Look(0.0, progress.refuse)
    window = _window(entry, progress)
    seen = horizons.watch(progress, policy)
    began = _began(progress, seen)
    signs, parts, batch = list(signs_of(entry, progress)), {}, memo.get("batch", "")
    # Of an earlier window of the same pass.
    contrast: str | None = memo.get("such")
    for index in window:
        item = entry.payload["items"][index]
        signs[index], row = _sign(entry.payload, item, found)
        first = found.reference(item["reference"])
        if not batch and first is not None and first.parent.startswith("bulk_"):
            batch = first.parent
        if row is None:
            continue
        parts[index] = f"{_WORDS[signs[index]]} {row.transaction_id}"
        if signs[index] == _OTHER and not contrast:
            contrast = capped(f"{item['reference']} {'; '.join(_different(entry.payload, item, row, found))}")
    letters = "".join(signs)
    if window and any(sign in _OPEN + _OTHER for sign in signs[window[-1] + 1 :]):
        such = {"such": contrast} if contrast else {}
        kept = {"marks": letters, "batch": batch, "at": window[-1] + 1, "began": began, **such, **seen.memo}
        return Look(0.0, progress.refuse, Note(kept, parts))
    decision: Send | Done | Dead | Look | Renew | None
    decision, fates = _together(entry, progress, found, policy, letters)
    if decision is None and letters.strip(_APPLIED + _HELD):
        decision = _weigh(entry, horizons.back_at(progress, *began), policy, letters)
    elif decision is None:
        decision = Done("held" if entry.payload.get("inflight") else "applied", batch)
    ended = decision.otherwise if isinstance(decision, Renew) else decision
    parts |= fates
    if isinstance(ended, Dead):
        parts = {index: _WORDS.get(sign, "missing") for index, sign in enumerate(signs) if sign in _OPEN} | parts
    noted = {"marks": letters, "batch": batch, **({"go": True} if isinstance(decision, Send) else seen.memo)}
    if isinstance(decision, Renew):
        return Renew(replace(decision.otherwise, note=Note(noted, parts)))
    if isinstance(decision, Dead) and decision.code == "REFERENCE_CONFLICT" and contrast:
        decision = replace(decision, message=capped(f"{decision.message} Such as {contrast}."))
    return replace(decision, note=Note(noted, parts))


def _began(progress: Progress, seen: horizons.Watch) -> tuple[int, int]:
    """When the pass began that this look is part of, and milliseconds that the ledger was seen by then."""
    if not progress.memo.get("at"):
        return progress.now_ms, round(seen.seconds * 1000)
    # Where a worker of before did not note it, nobody knows: no silence is taken for over, and another pass will tell.
    at_ms, seen_ms = progress.memo.get("began") or (progress.last_sent_ms, 0)
    return at_ms, seen_ms


def _sign(payload: Mapping[str, Any], item: Mapping[str, Any], found: Found) -> tuple[str, Row | None]:
    row = final_row(found, item["reference"])
    if row is None:
        return (_UNSEEN if found.reference(item["reference"]) is None else _QUEUED), None
    if _different(payload, item, row, found):
        return _OTHER, row
    if row.status == "REJECTED":
        return _REJECTED, row
    return (_HELD if row.status == "INFLIGHT" else _APPLIED), row


def _different(payload: Mapping[str, Any], item: Mapping[str, Any], row: Row, found: Found) -> list[str]:
    return differences({**item, "inflight": payload.get("inflight")}, row, found)


def _together(
    entry: Entry, progress: Progress, found: Found, policy: Policy, signs: str
) -> tuple[Send | Dead | Look | Renew | None, dict[int, str]]:
    """What the items of an atomic batch come to as a whole, and each; None where each is for itself, or all stand."""
    if not entry.payload.get("atomic"):
        return None, {}
    parts = _parts(entry, found, signs)
    decision = decide_together(parts, progress, policy)
    if decision is None:
        return None, {}
    if not isinstance(decision, Look) and any(sign in signs for sign in (_OTHER, _QUEUED, _REJECTED)):
        decision = _taken(
            entry, progress, policy, signs, stands=any(part.fate in (Fate.STANDS, Fate.UNDOING) for part in parts)
        )
    return decision, {index: part.noted() for index, part in enumerate(parts) if part.row is not None}


def _taken(entry: Entry, progress: Progress, policy: Policy, signs: str, *, stands: bool) -> Look | Dead:
    """Some references of an atomic batch are another's: its own items are never QUEUED or REJECTED (contract §3.4 S12).

    Without those it must not be sent, for it is all or none; and under other references that which may be applied
    under these would happen twice.
    """
    if _OTHER in signs:
        return _conflict(entry, signs, happened=stands)
    if _QUEUED not in signs:
        return _rejected(entry, signs, happened=stands)
    if horizons.watch(progress, policy).seconds < policy.stuck_horizon_s:
        return horizons.look_on(progress, policy)
    return _stuck(entry, signs)


def _weigh(entry: Entry, progress: Progress, policy: Policy, signs: str) -> Send | Look | Dead:
    """All items together, at the end of a pass in which not all had happened."""
    again = horizons.look_on(progress, policy)
    if _UNSEEN in signs:
        if horizons.is_unseen(progress, policy, queued=not entry.payload.get("skip_queue")):
            return again
        vanished = horizons.has_vanished(progress, policy)
        if not progress.refuse and not vanished:
            return Send() if vanished is False else again
    if _QUEUED in signs:
        return again if horizons.watch(progress, policy).seconds < policy.stuck_horizon_s else _stuck(entry, signs)
    return _ended(entry, progress, signs)


def _parts(entry: Entry, found: Found, signs: str) -> list[Part]:
    parts = []
    for index, item in enumerate(entry.payload["items"]):
        row = final_row(found, item["reference"]) if signs[index] in _APPLIED + _HELD else None
        parts.append(Part(item["reference"], item["precise_amount"], row, fate_of(row, found)))
    return parts


def _ended(entry: Entry, progress: Progress, signs: str) -> Dead:
    """Nothing more will come of it, and not all of it happened."""
    happened = _APPLIED in signs or _HELD in signs
    if _OTHER in signs:
        return _conflict(entry, signs, happened=happened)
    if _UNSEEN in signs:
        if progress.refuse and signs == _UNSEEN * len(signs):
            return refused(progress.code, progress.message)
        why = f"{progress.code}: {progress.message}" if progress.refuse else f"sent {progress.sends} times"
        some = DeadClass.PARTIAL if happened or _REJECTED in signs else DeadClass.UNKNOWN
        text = f"are not at the ledger ({why})"
        return Dead(
            some, "ITEMS_MISSING" if some is DeadClass.PARTIAL else "VANISHED", _sentence(entry, signs, ".", text)
        )
    return _rejected(entry, signs, happened=happened)


def _conflict(entry: Entry, signs: str, *, happened: bool) -> Dead:
    text = "have a reference that the ledger knows as another transaction's"
    some = DeadClass.PARTIAL if happened else DeadClass.UNKNOWN
    return Dead(some, "REFERENCE_CONFLICT", _sentence(entry, signs, _OTHER, text))


def _rejected(entry: Entry, signs: str, *, happened: bool) -> Dead:
    text = "were rejected by the ledger; their references are used up"
    some = DeadClass.PARTIAL if happened else DeadClass.REJECTED
    return Dead(some, "ITEMS_REJECTED", _sentence(entry, signs, _REJECTED, text))


def _stuck(entry: Entry, signs: str) -> Dead:
    text = "are QUEUED at the ledger, which may still apply them"
    return Dead(DeadClass.UNKNOWN, "STUCK_QUEUED", _sentence(entry, signs, _QUEUED, text))


def _sentence(entry: Entry, signs: str, sign: str, what: str) -> str:
    references = [name for index, name in enumerate(named(entry.payload)) if signs[index] == sign]
    first = ", ".join(references[:MOST_NAMED]) + (", …" if len(references) > MOST_NAMED else "")
    return capped(f"{len(references)} of {len(signs)} items {what}: {first}.")
