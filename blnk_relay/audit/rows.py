"""The rows that the ledger made in some time: each under a reference of ours has to be somebody's."""

from __future__ import annotations

from collections.abc import Sequence

from blnk_relay.audit.knowing import Knowing
from blnk_relay.audit.ours import first_and_generation, is_derived, is_ours_alone, owned_as, refunded_by
from blnk_relay.audit.reading import Reading, why
from blnk_relay.audit.report import Report, finding_of
from blnk_relay.intents.evidence import ADVICE, Difference, Sort
from blnk_relay.intents.found import Lookup, Row
from blnk_relay.intents.states import State
from blnk_relay.journal.answers import Owner
from blnk_relay.journal.audited import Audited


class Rows:
    """Compares rows with what the journal knows.

    Args:
        journal: The journal.
        reading: The way to its ledger.
        knowing: What the journal knows of all that settled or gave back.
        ours: How references begin that nobody but users of this journal makes.
        report: What is found goes there.
    """

    def __init__(
        self, journal: Audited, reading: Reading, knowing: Knowing, ours: Sequence[str], report: Report
    ) -> None:
        self._journal = journal
        self._reading = reading
        self._knowing = knowing
        self._ours = ours
        self._report = report

    def compare(self, rows: Sequence[Row]) -> None:
        """Look whose some rows are."""
        effective = [row for row in rows if row.status != "REJECTED" and not is_derived(row)]
        names = dict.fromkeys(owned_as(row.reference) for row in effective)
        firsts = dict.fromkeys(first_and_generation(name)[0] for name in names)
        owners = self._owners([*dict.fromkeys([*names, *firsts])])
        for row in effective:
            name = owned_as(row.reference)
            first, generation = first_and_generation(name)
            if name in owners:
                continue
            owner = owners.get(first)
            if generation and owner is not None:
                # Of the generation after the intent's own its evidence has told.
                if generation > int(owner.gen or 0) + 1:
                    self._strange(row, f"under a reference that intent {owner.id} was never given")
            elif is_ours_alone(row.reference, self._ours):
                self._strange(row, "no intent with this reference")
            else:
                self._report.others += 1
        self._compare_refunds([row for row in rows if row.status == "APPLIED" and refunded_by(row.reference)])

    def _owners(self, references: Sequence[str]) -> dict[str, Owner]:
        """Of some references those that an intent owns, or did before it was trimmed."""
        owners = self._journal.owners(references)
        from_before = self._journal.known_ids([owner.id for owner in owners.values() if not owner.state])
        return {name: owner for name, owner in owners.items() if owner.state or owner.id in from_before}

    def _strange(self, row: Row, says: str) -> None:
        shows = f"{row.transaction_id} ({row.status} {row.precise_amount} {row.currency})"
        one = Difference(Sort.STRANGE, row.reference, says, shows, ADVICE[Sort.STRANGE])
        self._report.add(finding_of(self._journal.target, None, one))

    def _compare_refunds(self, rows: Sequence[Row]) -> None:
        """Refunds of payments of ours that no intent of the journal asked for."""
        if rows:
            self._knowing.refresh()
        known = self._knowing.known
        rows = [
            row
            for row in rows
            if not known.owner(row.transaction_id) and not known.is_unsure(refunded_by(row.reference))
        ]
        if rows and not known.complete:
            self._report.unread[f"refunds that no intent asked for: {self._knowing.lacks}"] += len(rows)
        if not rows or not known.complete:
            return
        shown, _, failed = self._reading.look(
            [Lookup("transactions", "transaction_id", refunded_by(row.reference)) for row in rows]
        )
        for answer in failed.values():
            self._report.unread[f"transactions: {why(answer)}"] += 1
        paid = {row.transaction_id: row for row in shown}
        owners = self._owners([*dict.fromkeys(owned_as(row.reference) for row in paid.values())])
        for row in rows:
            base = paid.get(refunded_by(row.reference))
            owner = None if base is None else owners.get(owned_as(base.reference))
            # What the ledger took back by itself, because all of it was to happen or none, is of no done intent.
            if base is not None and owner is not None and owner.state == State.DONE and not int(owner.gen or 0):
                self._strange(row, f"no refund of {base.reference} (intent {owner.id})")
