"""Copies one journal into history, page by page: read under the lock of the database, written, and told to the journal.

Killed at any point, the next one begins with what the journal still has as not copied: a page that stands in the
database and was not told is copied once more, over itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blnk_relay.errors import HistoryUnavailable, JournalUnavailable
from blnk_relay.journal.copying import (
    Portion,
    Wanted,
    begun_flow,
    copied_flow,
    created_flow,
    over_flow,
    portion_flow,
    trouble_flow,
)
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.lag import UNFORESEEN
from blnk_relay.journal.salvaging import Salvage

if TYPE_CHECKING:
    from blnk_relay.history.database import Database, Page, Place

#: Why nothing is copied, in words.
_WHY = {
    "shape": "its shape is an older one, whose workers trim without looking: run 'blnk-relay upgrade' once no older "
    "version runs",
    "database": "a worker copies it into another database: give all workers one BLNK_RELAY_HISTORY_URL (SQLite is for "
    "those of one host)",
    "journal": "another journal with this namespace and target is copied into this database: give one of them another "
    "BLNK_RELAY_NAMESPACE, or a database of its own. Where that other one was lost as a whole, and this one has taken "
    "its place, say so: 'blnk-relay history off --adopt --reason …'",
}

#: By which part of it a page is larger than the one before, after one that did not come to its end.
_GROWS = 8


@dataclass(frozen=True, slots=True)
class Round:
    """What one round has done.

    Attributes:
        copied: Intents, replays and actions that were copied.
        more: Whether there may be more at once.
        begins: Why all that the journal keeps, or all its letters, are copied anew; empty where they are not.
        aside: What could not be read as a whole, and is copied as far as it could, each with why.
    """

    copied: int = 0
    more: bool = False
    begins: str = ""
    aside: Mapping[str, str] = field(default_factory=dict)


class Copier:
    """Copies one journal. Several may run at once: the database lets one at a time.

    Args:
        journal: The journal.
        database: Where to.
    """

    def __init__(self, journal: Journal, database: Database) -> None:
        self._journal = journal
        self._database = database
        settings = journal.settings
        self._wanted = Wanted(settings.history_payload, frozenset(settings.history_meta))
        self._most = self._room = settings.history_batch
        self._name = f"{settings.namespace}:{journal.target}"

    @property
    def target(self) -> str:
        """Whose journal it is."""
        return self._journal.target

    def round(self) -> Round:
        """Copy one page, if there is one and nobody else does.

        Raises:
            HistoryUnavailable: The database cannot be used, or not for this journal; that is noted in it.
            JournalUnavailable: Redis did not answer; what was written is copied once more.
            Exception: Nobody thought of that; it is noted in the journal as well.
        """
        journal = self._journal
        journal.drive(begun_flow(journal.prefix))
        try:
            done = self._round()
        except JournalUnavailable:
            journal.drive(over_flow(journal.prefix))
            raise
        except HistoryUnavailable as error:
            self._database.reconnect()
            self._note(error.code or "unavailable")
            raise
        except Exception:
            self._note(UNFORESEEN)
            raise
        if done is None:
            # Somebody else is at it, and says himself when it is over.
            return Round()
        journal.drive(over_flow(journal.prefix))
        return done

    def _note(self, trouble: str) -> None:
        self._journal.drive(trouble_flow(self._journal.prefix, trouble, self._journal.now_ms()))

    def _round(self) -> Round | None:
        """Copy one page; None where somebody else does."""
        database = self._database.id()
        try:
            with self._database.locked(self._name, self.target) as page:
                if page is None:
                    return None
                portion = self._portion(database, page)
                if not (portion.ids or portion.lives or portion.acted or portion.begins or portion.moved):
                    return Round()
                aside = self._write(page, portion)
        except HistoryUnavailable as error:
            if error.code not in _WHY:
                # It may be that it has not the time, or the room, for so much at once.
                self._room = max(1, self._room // 2)
            raise
        if self._database.was_replaced():
            raise HistoryUnavailable("the file of history was replaced while a page was written into it", "replaced")
        # From here on it stands there for good.
        self._journal.drive(copied_flow(database, portion))
        copied = len(portion.ids) + len(portion.lives) + len(portion.acted)
        if copied:
            # Little by little: a page that is too large again costs all the time that its statements may take.
            self._room = min(self._most, self._room + max(1, self._room // _GROWS))
        return Round(copied, bool(copied or portion.moved), portion.begins, aside)

    def _portion(self, database: str, page: Page) -> Portion:
        portion = self._asked(database, page.place, met=False)
        if portion == "nameless":
            # Set back behind its first page, or of a version that forgot its id where history was switched off.
            met = page.has_one_of(self._journal.drive(created_flow(self._journal.prefix)))
            portion = self._asked(database, page.place, met=True) if met else "journal"
        if isinstance(portion, str):
            raise HistoryUnavailable(f"the journal of target {self.target} is not copied: {_WHY[portion]}", portion)
        return portion

    def _asked(self, database: str, place: Place, *, met: bool) -> Portion | str:
        fresh = secrets.token_hex(8)
        return self._journal.drive(
            portion_flow(database, place.page, place.epoch, place.born, fresh=fresh, most=self._room, met=met)
        )

    def _write(self, page: Page, portion: Portion) -> Mapping[str, str]:
        """Write what a page is about; returns what could not be read as a whole, and why."""
        from blnk_relay.history.database import Place

        salvage = Salvage(self._journal, self._wanted)
        ended, lives = salvage.read(portion.ids)
        place = Place(portion.born, portion.page + 1, portion.epoch)
        page.write(place, portion.now_ms, ended, [*salvage.lives(portion.lives), *lives], portion.acted)
        return salvage.aside
