"""What the ledger has to show of records that were made and values that were set: as the last write of ours has them.

Pure. Values are compared and never told: they may be personal. A value that another write of ours has replaced since,
or may have, is nobody's to show any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from blnk_relay.families.creation import Creation, tagged
from blnk_relay.families.update import Update
from blnk_relay.intents.evidence import (
    ALL_META,
    EVERYTHING,
    Difference,
    Evidence,
    Known,
    Past,
    Sort,
    Writes,
    difference,
)
from blnk_relay.intents.found import Found, Lookup, Row
from blnk_relay.intents.intent import Entry
from blnk_relay.intents.rows import missing, some_of
from blnk_relay.schema.values import same

_META = "meta_data."

#: From a payload and names of fields to the payload with these alone.
Only = Callable[[Mapping[str, Any], frozenset[str]], Mapping[str, Any]]

#: Names of values that are still to be shown, and where.
Left = list[tuple[frozenset[str], Found]]


def meta_fields(meta: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the values that metadata sets."""
    return tuple(_META + key for key in meta or {})


def only_meta(meta: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Those keys of metadata whose fields are named."""
    return {key: value for key, value in meta.items() if _META + key in names}


# -- what was made --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Made:
    """Records that a kind makes, and that carry our id.

    Attributes:
        creation: The family's spec of the kind.
    """

    creation: Creation

    def evidence(self) -> Evidence:
        """The evidence of the kind."""
        return Evidence(self._lookups, self._differences, writes=self._writes)

    def _by_id(self, id_: str) -> Lookup:
        return Lookup(self.creation.resource, self.creation.id_field, id_)

    def _writes(self, past: Past) -> Writes | None:
        return self._values(past) if past.done and past.transaction_id else None

    def _values(self, past: Past) -> Writes:
        payload = past.entry.payload
        names = tuple(name for name in payload if name not in ("meta_data", self.creation.id_field))
        return Writes(past.transaction_id, (*names, *meta_fields(_sent_meta(past.entry))))

    def _lookups(self, past: Past, found: Found) -> tuple[Lookup, ...]:
        asked = [self._by_id(past.transaction_id)] if past.done and past.transaction_id else []
        return missing(found, *asked, *([self.creation.by_tag(past.entry)] if past.entry.tag else []))

    def _differences(self, past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
        ours = {str(one.value(self.creation.id_field)) for one in found.matching(self.creation.by_tag(past.entry))}
        return self._of_done(past, ours, found, known) if past.done else _of_undone(past, ours)

    def _of_done(self, past: Past, ours: set[str], found: Found, known: Known) -> tuple[Difference, ...]:
        id_, told = past.transaction_id, list[Difference]()
        if more := sorted(ours - {id_}):
            told.append(difference(Sort.TWICE, past, id_, f"our id on others as well: {some_of(more)}"))
        record = next(iter(found.matching(self._by_id(id_))), None)
        if record is None:
            return (*told, difference(Sort.MISSING, past, id_, f"no such record among its {self.creation.resource}"))
        still = known.still_set(past, self._values(past))
        wrong = [name for name in self.creation.differs(past.entry.payload, record.data) if name in still]
        stored = record.value("meta_data")
        shown = stored if isinstance(stored, Mapping) else {}
        asked = only_meta(_sent_meta(past.entry), still)
        wrong += [_META + key for key in asked if key not in shown or not same(asked[key], shown[key])]
        if wrong:
            told.append(difference(Sort.OTHER, past, id_, f"other values than were asked for: {some_of(wrong)}"))
        return tuple(told)


def _of_undone(past: Past, ours: set[str]) -> tuple[Difference, ...]:
    # A letter that says itself that it was made, or made twice, is true.
    is_told = past.code == "MADE_TWICE" or (past.partial and len(ours) == 1)
    if not ours or is_told or past.state == "discarded":
        return ()
    sort = Sort.TWICE if past.partial else Sort.HAPPENED
    return (difference(sort, past, past.entry.id, f"made as {some_of(sorted(ours))}"),)


def _sent_meta(entry: Entry) -> dict[str, Any]:
    """The metadata that it was made with; of what was accepted before there were tags, the caller's alone."""
    return tagged(entry) if entry.tag else dict(entry.payload.get("meta_data") or {})


def made(creation: Creation) -> Evidence:
    """The evidence of a kind that makes records which carry our id."""
    return Made(creation).evidence()


# -- what was set ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Values:
    """The values that a kind sets.

    Attributes:
        update: The family's spec of the kind.
        fields: Their names, of a payload.
        only: A payload with some of them alone.
        shows: Whether the ledger shows them; as after a request, when None.
        covers: Names of values of others that nobody can see behind them.
    """

    update: Update
    fields: Callable[[Mapping[str, Any]], tuple[str, ...]]
    only: Only
    shows: Callable[[Entry, Found], bool] | None = None
    covers: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda _: ()

    def evidence(self) -> Evidence:
        """The evidence of the kind."""
        return Evidence(self._lookups, self._differences, writes=self._writes)

    def _writes(self, past: Past) -> Writes | None:
        payload = past.entry.payload
        record_id = payload.get(self.update.id_field)
        # A link that was never filled in leads nowhere.
        if not isinstance(record_id, str):
            return None
        return Writes(record_id, (*self.fields(payload), *self.covers(payload)))

    def _lookups(self, past: Past, found: Found) -> tuple[Lookup, ...]:
        if self._writes(past) is None or not (past.done or past.perhaps):
            return ()
        return self.update.reads(past.entry, found)

    def _differences(self, past: Past, found: Found, known: Known) -> tuple[Difference, ...]:
        if self._writes(past) is None or past.state == "discarded" or not (past.done or past.perhaps):
            return ()
        left = self._left(past, found, known)
        if not left:
            return ()
        shown = all(self._shows(past.entry, names, where) for names, where in left)
        if past.done and not shown:
            return (self._wrong(past, left, found),)
        if past.perhaps and shown:
            still = sorted({name for names, _ in left for name in names})
            text = "it is gone" if EVERYTHING in still else f"the values that were asked for: {some_of(still)}"
            return (difference(Sort.HAPPENED, past, self.update.record_id(past.entry), text),)
        return ()

    def _left(self, past: Past, found: Found, known: Known) -> Left:
        """Those of the values that nobody has set since, with what shows them: of several rows each for itself.

        A write to a row, or to a batch, reaches the rows directly below it as well (contract §3.11): so whoever wrote
        to what is above has replaced the value too, and whoever wrote to a row below has in that row alone.
        """
        rows, fields = self._rows(past.entry, found), self.fields(past.entry.payload)
        places = {self.update.record_id(past.entry), *(row.parent for row in rows)}
        still = frozenset.intersection(*(known.still_set(past, Writes(place, fields)) for place in places))
        left = [(known.still_set(past, Writes(row.transaction_id, tuple(still))), Found((row,))) for row in rows]
        return [(names, where) for names, where in left or [(still, found)] if names]

    def _wrong(self, past: Past, left: Left, found: Found) -> Difference:
        entry, record_id = past.entry, self.update.record_id(past.entry)
        if any(EVERYTHING in names for names, _ in left):
            return difference(Sort.OTHER, past, record_id, "it is still there")
        if not (found.matching(self.update.lookup(entry)) or self._rows(entry, found)):
            return difference(Sort.MISSING, past, record_id, "no such record")
        every = ((name, where) for names, where in left for name in names)
        wrong = {name for name, where in every if not self._shows(entry, frozenset({name}), where)}
        return difference(Sort.OTHER, past, record_id, f"other values than were set: {some_of(sorted(wrong))}")

    def _shows(self, entry: Entry, names: frozenset[str], found: Found) -> bool:
        rest = replace(entry, payload=self.only(entry.payload, names))
        return (self.shows or self.update.shows)(rest, found)

    def _rows(self, entry: Entry, found: Found) -> tuple[Row, ...]:
        """The rows of the ledger that show the values; none of what is no transaction."""
        record_id = self.update.record_id(entry)
        row = found.row(record_id)
        # A batch and a split are known by the rows below them alone.
        return found.children(record_id) if row is None else (row,)


def one_value(update: Update, name: str) -> Evidence:
    """The evidence of a kind that sets one thing: it is set, or it is not."""
    return Values(update, lambda _: (name,), lambda payload, _: payload).evidence()


def keeps_metadata(payload: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the values that ``meta_data`` of a payload sets, and of all where it takes the place of the rest."""
    replaced = payload.get("replace_meta_data")
    fields = meta_fields(payload.get("meta_data")) + meta_fields(replaced)
    return fields if replaced is None else (*fields, ALL_META)
