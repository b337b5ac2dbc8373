"""How an operator pauses lanes and targets, and lets them go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from blnk_relay.errors import JournalUnavailable, Refused
from blnk_relay.journal.actions import SOMEBODY, new_mark
from blnk_relay.journal.hands.base import Hands
from blnk_relay.settings import CONFIRM_LANE

if TYPE_CHECKING:  # as in looking.py
    from blnk_relay.journal.journal import Journal
    from blnk_relay.journal.pauses import Change

T = TypeVar("T")


class Gates(Hands):
    """Pauses and resumes."""

    def pause_lane(self, lane: str, *, who: str, reason: str = "") -> Change:
        """Let workers claim nothing more from a lane, for whatever target; what is being sent is finished.

        Args:
            lane: The lane.
            who: Who says so.
            reason: Why.

        Returns:
            Whose pause stands: this one or, unchanged, an earlier one by the same person.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer; it is paused in the other targets, which the sentence names.
        """
        from blnk_relay.journal.pauses import Word, pause_flow

        self._known(lane)
        word = Word(who, reason, self.via, mark=new_mark())

        def pause(journal: Journal) -> Change | Refused:
            try:
                return journal.drive(pause_flow("lane", lane, word))
            except Refused as error:
                return error

        made = self._in_each(pause, lane, "paused")
        changes = [one for one in made if not isinstance(one, Refused)]
        refused = next((one for one in made if isinstance(one, Refused)), None)
        if refused is not None and not any(changes):
            raise refused
        return _together(changes)

    def resume_lane(self, lane: str, *, who: str = SOMEBODY, reason: str = "") -> Change:
        """Let workers claim from a lane again.

        Returns:
            Whose pause has ended.

        Raises:
            NotFound: The settings list no such lane.
            JournalUnavailable: Redis did not answer; it is resumed in the other targets, which the sentence names.
        """
        from blnk_relay.journal.pauses import Word, resume_flow

        self._known(lane)
        word = Word(who, reason, self.via, mark=new_mark())

        def resume(journal: Journal) -> Change:
            ended = journal.drive(resume_flow(self.settings, "lane", lane, word))
            self._bells.ring(journal.target, [lane])
            return ended

        return _together(self._in_each(resume, lane, "resumed"))

    def _in_each(self, act: Callable[[Journal], T], lane: str, done: str) -> list[T]:
        """Do something to a lane in each journal that can be reached.

        Args:
            act: Does it in one.
            lane: The lane.
            done: What it is then.

        Raises:
            JournalUnavailable: One cannot be; the sentence says where it is done and where it is not.
        """
        parts = self._of_each(lambda journal: (journal.target, act(journal)))
        if parts.away:
            there, away = ", ".join(target for target, _ in parts), ", ".join(parts.away)
            raise JournalUnavailable(
                f"lane {lane} is {done} in {there}; {away} was not reached: do it once more when it can be"
            )
        return [part for _, part in parts]

    def pause_target(self, target: str, *, who: str, reason: str = "") -> Change:
        """Stop all requests to a target until it is resumed; nobody probes it meanwhile. See :meth:`pause_lane`.

        Raises:
            Refused: Somebody else has paused it already; that pause stays as it is.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.pauses import Word, pause_flow

        return self.journals.of(target).drive(pause_flow("target", target, Word(who, reason, self.via)))

    def resume_target(self, target: str, *, who: str = SOMEBODY, reason: str = "") -> Change:
        """Open all gates of a target, those that workers have shut or slowed as well.

        Returns:
            Whether one was shut or slowed, and whose pause has ended.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.pauses import Word, resume_flow

        word = Word(who, reason, self.via)
        ended = self.journals.of(target).drive(resume_flow(self.settings, "target", target, word))
        self._bells.ring(target, (*self.settings.lanes, CONFIRM_LANE))
        return ended


def _together(changes: Sequence[Change]) -> Change:
    """What was done in several journals, as one: whether anything, and the first pause that stood or stands."""
    from blnk_relay.journal.pauses import Change

    return Change(any(changes), next((change.pause for change in changes if change.pause is not None), None))
