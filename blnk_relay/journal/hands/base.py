"""What all hands of an operator share: journals, bells, and the notes of what was done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from blnk_relay.bell import Bells
from blnk_relay.errors import JournalUnavailable, NotFound
from blnk_relay.journal.actions import MAX_RESULT, Via, told
from blnk_relay.journal.gathered import Gathered
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.journals import Journals, reached
from blnk_relay.settings import Settings

T = TypeVar("T")


class Hands:
    """Journals and bells, and how what is done is noted. See :class:`blnk_relay.Operator`."""

    def __init__(self, journals: Journals, bells: Bells | None = None, via: Via = "library") -> None:
        self.journals = journals
        self.settings = journals.settings
        self.via = via
        self._bells = bells or Bells(journals.settings)
        self._closing: list[Callable[[], None]] = [] if bells else [self._bells.close]

    @classmethod
    def from_env(cls, via: Via = "library") -> Self:
        """An operator with journals by the settings of the environment, which are closed with it.

        Args:
            via: From where it acts, for the log of actions.

        Raises:
            InvalidSettings: A variable is malformed or contradicts another.
        """
        made = cls(Journals(Settings.from_env()), via=via)
        made._closing.append(made.journals.close)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections that are its own."""
        for close in self._closing:
            close()

    def _told(self, what: str, of: str, *, who: str, reason: str = "", mark: str = "") -> str:
        """An action as the scripts take it."""
        return told(what, of, who=who, via=self.via, reason=reason, mark=mark)

    def _note(
        self,
        journal: Journal,
        what: str,
        of: str,
        *,
        who: str,
        reason: str = "",
        result: str = "done",
        count: int = 0,
        mark: str = "",
    ) -> None:
        """Note an action that no script does as a whole."""
        told_ = self._told(what, of, who=who, reason=reason, mark=mark)
        journal.scripts.run("note", told_, result[:MAX_RESULT], count)

    def _carried_out(
        self,
        journal: Journal,
        what: str,
        run: Callable[[], T],
        came_to: Callable[[T], tuple[str, int]],
        *,
        who: str,
        begun: str = "begun",
        mark: str = "",
    ) -> T:
        """Do what takes a while to a journal as a whole, with a line before it and one for what came of it.

        Args:
            journal: Which.
            what: What is done.
            run: Does it.
            came_to: What to note of what came of it: in words, and of how many.
            who: Who says so.
            begun: What to note before.
            mark: What makes the two lines, and those of other journals, one; empty for two.
        """
        of = f"target {journal.target}"
        self._note(journal, what, of, who=who, result=begun, mark=mark)
        try:
            came = run()
        except BaseException:
            # With the journal away it stays begun, which is what is known of it.
            with suppress(JournalUnavailable):
                self._note(journal, what, of, who=who, result="broken off", mark=mark)
            raise
        result, count = came_to(came)
        self._note(journal, what, of, who=who, result=result, count=count, mark=mark)
        return came

    def _known(self, lane: str) -> None:
        if lane not in self.settings.lanes:
            raise NotFound(f"no lane {lane!r}; the settings list {', '.join(self.settings.lanes)}")

    def _journal(self, target: str | None) -> Journal:
        return self.journals.any_of(target or next(iter(self.settings.ledgers)))

    def _of_each(self, read: Callable[[Journal], T], target: str | None = None) -> Gathered[T]:
        """What is read from each journal that can be reached, and the targets of the others.

        Raises:
            JournalUnavailable: None can be.
        """
        journals = self._journals(target)
        parts = reached(journals, read)
        answered = {journal.target for journal, _ in parts}
        return Gathered((part for _, part in parts), (one.target for one in journals if one.target not in answered))

    def _journals(self, target: str | None) -> list[Journal]:
        return self.journals.everywhere() if target is None else [self.journals.any_of(target)]
