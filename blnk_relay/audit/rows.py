"""The rows that the ledger made in some time: each in a place of ours has to be somebody's.

Whoever made one, the intent in whose place it stands may have ended long before that time, and so was not compared in
it: it is compared once more, or the row is told by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from blnk_relay.audit import strays
from blnk_relay.audit.knowing import Knowing
from blnk_relay.audit.ours import above, first_and_generation, is_derived, is_of_split, is_ours_alone, owned_as
from blnk_relay.audit.reading import Reading, why
from blnk_relay.audit.report import Report, finding_of
from blnk_relay.families.standing import made_since
from blnk_relay.intents.evidence import Difference, Past
from blnk_relay.intents.found import Lookup, Row
from blnk_relay.intents.states import State
from blnk_relay.journal.answers import Owner
from blnk_relay.journal.audited import GONE, Audited

#: The states of what is over, and can be compared.
OVER = frozenset({State.DONE, State.CANCELLED, State.DEAD})


class Rows:
    """Compares rows with what the journal knows.

    Args:
        journal: The journal.
        reading: The way to its ledger.
        knowing: What the journal knows of all that settled or gave back.
        ours: How references begin that nobody but users of this journal makes.
        known_since_ms: The keys of what the ledger made before then may be forgotten.
        report: What is found goes there.
        compare: Compares intents that ended before the time of the report.
    """

    def __init__(
        self,
        journal: Audited,
        reading: Reading,
        knowing: Knowing,
        *,
        ours: Sequence[str],
        known_since_ms: int,
        report: Report,
        compare: Callable[[Iterable[str]], None],
    ) -> None:
        self._journal = journal
        self._reading = reading
        self._knowing = knowing
        self._ours = ours
        self._known_since_ms = known_since_ms
        self._report = report
        self._compare = compare

    def compare(self, rows: Sequence[Row]) -> None:
        """Look whose some rows are."""
        self._asked_for([row for row in rows if row.status != "REJECTED" and not is_derived(row)])
        self._derived([row for row in rows if row.status in ("APPLIED", "VOID") and is_derived(row)])

    # -- what somebody asked for under a reference -------------------------------------------------------------------

    def _asked_for(self, rows: Sequence[Row]) -> None:
        names = dict.fromkeys(owned_as(row.reference) for row in rows)
        owners = self._owners([*names, *(first_and_generation(name)[0] for name in names)])
        before = dict[str, None]()
        beyond, legs = list[tuple[Row, str]](), list[tuple[Row, str]]()
        for row in rows:
            name = owned_as(row.reference)
            first, generation = first_and_generation(name)
            owner = owners.get(name) or owners.get(first)
            if owner is None:
                self._nobodys(row)
                continue
            # Of the generation after the intent's own its evidence tells.
            if name not in owners and generation > int(owner.gen or 0) + 1:
                beyond.append((row, owner.id))
            elif is_of_split(name):
                legs.append((row, owner.id))
            if owner.state in OVER and int(owner.updated or 0) < self._report.since_ms:
                before[owner.id] = None
        pasts = self._pasts(owner for _, owner in (*beyond, *legs))
        for row, owner_id in beyond:
            self._add(row, pasts.get(owner_id), strays.never_given(row, owner_id))
        for row, owner_id in legs:
            past = pasts.get(owner_id)
            if past is not None and past.state in OVER:
                self._add(row, past, strays.of_split(past, row))
        self._compare(before)

    def _nobodys(self, row: Row) -> None:
        if not is_ours_alone(row.reference, self._ours):
            self._report.others += 1
        elif not made_since(row, self._known_since_ms):
            self._report.unread["rows under references of ours: keys of that time may be forgotten"] += 1
        else:
            self._add(row, None, strays.of_nobody(row))

    # -- what the ledger made below another row ----------------------------------------------------------------------

    def _derived(self, rows: Sequence[Row]) -> None:
        """Commits, voids and refunds of ours that no intent of the journal asked for."""
        rows = [row for row in rows if not self._knowing.known.owner(row.transaction_id)]
        if rows:
            # After they were read, so that whatever made one of them is known.
            self._knowing.refresh()
        known = self._knowing.known
        if rows and not known.complete:
            self._report.unread[f"commits, voids and refunds of ours: {self._knowing.lacks}"] += len(rows)
            return
        rows = [row for row in rows if self._knowing.is_nobodys(row, above(row))]
        if not rows:
            return
        shown, _, failed = self._reading.look(
            [*dict.fromkeys(Lookup("transactions", "transaction_id", above(row)) for row in rows)]
        )
        for answer in failed.values():
            self._report.unread[f"transactions: {why(answer)}"] += 1
        over = {row.transaction_id: row for row in shown}
        owners = self._owners([owned_as(row.reference) for row in shown])
        whose = {id_: known.owner(id_) or _id(owners.get(owned_as(row.reference))) for id_, row in over.items()}
        pasts = self._pasts(id_ for id_ in whose.values() if id_)
        for row in rows:
            past = pasts.get(whose.get(above(row), ""))
            if past is not None and past.state in OVER:
                report = self._report
                one = strays.below(past, row, over[above(row)], report.since_ms, report.until_ms)
                self._add(row, past, one)

    # -- what both need ----------------------------------------------------------------------------------------------

    def _owners(self, references: Sequence[str]) -> dict[str, Owner]:
        """Of some references those that an intent owns, or did before it was trimmed."""
        owners = self._journal.owners([*dict.fromkeys(references)])
        from_before = self._journal.known_ids([owner.id for owner in owners.values() if not owner.state])
        return {name: owner for name, owner in owners.items() if owner.state or owner.id in from_before}

    def _pasts(self, ids: Iterable[str]) -> Mapping[str, Past]:
        """Those of some intents that are kept and can be read."""
        found = dict[str, Past]()
        for id_, past in self._journal.pasts([*dict.fromkeys(ids)]).items():
            if isinstance(past, Past):
                found[id_] = past
            elif past != GONE:
                self._report.miss(past, id_)
        return found

    def _add(self, row: Row, past: Past | None, one: Difference | None) -> None:
        if one is not None:
            self._report.add(finding_of(self._journal.target, past, one, row.transaction_id))


def _id(owner: Owner | None) -> str:
    return "" if owner is None or not owner.state else owner.id
