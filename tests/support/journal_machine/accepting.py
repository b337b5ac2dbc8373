"""Enqueueing, as the machine plays it."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from blnk_relay import InvalidIntent, KeyConflict
from blnk_relay.journal.entries import NewEntry
from tests.support.journal_machine.machine import Machine
from tests.support.journal_machine.model import OFFERS, Item, Offer


class Accepting(Machine):
    """What is accepted, and what is refused at the door."""

    @rule(offers=st.lists(OFFERS, min_size=1, max_size=3))
    def accept(self, offers: list[Offer]) -> None:
        entries, seen = [], set[str]()
        for offer in offers:
            if offer.key in offer.after:
                continue  # enqueue refuses what waits for itself
            entry = offer.entry()
            names = {entry.entry.id, *entry.references}
            if not names & seen:  # enqueue_many refuses what stands twice in one batch
                seen |= names
                entries.append((offer, entry))
        conflicts = [position for position, (_, entry) in enumerate(entries) if self._conflicts(entry)]
        forlorn = [
            position
            for position, (_, entry) in enumerate(entries)
            if position not in conflicts
            and self._waits_in_vain(entry, {known.entry.id for _, known in entries[:position]})
        ]
        news = [entry for _, entry in entries]
        assert [conflict.index for conflict in self.journal.conflicts(news)] == conflicts
        if conflicts or forlorn:
            first = min(conflicts + forlorn)
            with pytest.raises(KeyConflict if first in conflicts else InvalidIntent) as refused:
                self.journal.accept(news)
            assert refused.value.index == first
            return
        accepted, rung, durability = self.journal.accept(news)
        assert durability == "memory"
        for (offer, entry), answer in zip(entries, accepted, strict=True):
            assert answer.id == entry.entry.id
            assert answer.created == (answer.id not in self.items)
            if answer.created:
                self._take_in(offer, entry)
            else:
                self.counts["duplicate"] += 1
        fresh = {answer.id for answer in accepted if answer.created}
        for lane in {entry.entry.lane for _, entry in entries if entry.entry.id in fresh and self._due(entry.entry.id)}:
            assert lane in rung or self.client.exists(self.journal.key(f"bell:{lane}"))

    def _conflicts(self, entry: NewEntry) -> bool:
        known = self.items.get(entry.entry.id)
        if known is not None:
            return known.fingerprint != entry.fingerprint
        return any(reference in self.named for reference in entry.references) or any(
            namesake in self.items for namesake in entry.namesakes if namesake
        )

    def _waits_in_vain(self, entry: NewEntry, before: set[str]) -> bool:
        """It would wait for what was never accepted, was cancelled, or was discarded; a repeat is not asked."""
        if entry.entry.id in self.items:
            return False
        return any(
            self.items[id_].state in ("cancelled", "discarded") if id_ in self.items else id_ not in before
            for id_ in entry.after_ids
        )

    def _take_in(self, offer: Offer, entry: NewEntry) -> None:
        id_ = entry.entry.id
        self.seq += 1
        self.items[id_] = Item(
            key=offer.key,
            fingerprint=entry.fingerprint,
            kind=entry.entry.kind,
            lane=entry.entry.lane,
            orders=entry.entry.orders,
            after=entry.after_ids,
            expires=offer.expires,
            reference=entry.entry.reference,
            seq=self.seq,
            state="waiting",
            due=not offer.later,
        )
        self._let_go()
        for reference, namesake in zip(entry.references, entry.namesakes, strict=True):
            if namesake:
                self.named[reference] = id_
        self.counts[f"accepted|{entry.entry.kind}"] += 1
