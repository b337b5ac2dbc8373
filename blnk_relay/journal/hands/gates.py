"""How an operator pauses lanes and targets, and lets them go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from blnk_relay.errors import JournalUnavailable, Refused
from blnk_relay.journal.actions import SOMEBODY, new_mark
from blnk_relay.journal.hands.base import Hands
from blnk_relay.settings import CONFIRM_LANE

if TYPE_CHECKING:  # as in looking.py
    from blnk_relay.journal.journal import Journal
    from blnk_relay.journal.pauses import Change


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
        made: dict[str, Change | Refused] = {}

        def pause(journal: Journal) -> None:
            try:
                made[journal.target] = journal.drive(pause_flow("lane", lane, word))
            except Refused as error:
                made[journal.target] = error

        self._in_each(pause, lane, "paused")
        changes = [one for one in made.values() if not isinstance(one, Refused)]
        refused = next((one for one in made.values() if isinstance(one, Refused)), None)
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
        ended: list[Change] = []
        word = Word(who, reason, self.via, mark=new_mark())

        def resume(journal: Journal) -> None:
            ended.append(journal.drive(resume_flow(self.settings, "lane", lane, word)))
            self._bells.ring(journal.target, [lane])

        self._in_each(resume, lane, "resumed")
        return _together(ended)

    def _in_each(self, act: Callable[[Journal], None], lane: str, done: str) -> None:
        """Do something to a lane in each journal that can be reached.

        Args:
            act: Does it in one.
            lane: The lane.
            done: What it is then.

        Raises:
            JournalUnavailable: One cannot be; the sentence says where it is done and where it is not.
        """
        there, away = list[str](), dict[str, JournalUnavailable]()
        for journal in self._journals(None):
            try:
                act(journal)
            except JournalUnavailable as error:
                away[journal.target] = error
            else:
                there.append(journal.target)
        if not away:
            return
        first = next(iter(away.values()))
        if not there:
            raise first
        raise JournalUnavailable(
            f"lane {lane} is {done} in {', '.join(there)}; {', '.join(away)} was not reached: do it once more when it "
            f"can be ({first})"
        )

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
