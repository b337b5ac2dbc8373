"""What an operator does to a journal as a whole: its shape, its ledger, its keys, its history."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from blnk_relay.errors import Refused
from blnk_relay.journal.hands.base import Hands
from blnk_relay.journal.upgrade import Upgraded, shape_flow, upgrade_flow

if TYPE_CHECKING:  # as in looking.py
    from blnk_relay.journal.lag import HistoryLag
    from blnk_relay.journal.resealing import KeyUse, Resealed


class Care(Hands):
    """Upgrades, binds anew, puts under other keys, and switches history off."""

    def upgrade(self, target: str | None = None, *, who: str = "") -> tuple[Upgraded, ...]:
        """Bring journals to the newest shape that this version knows, one after the other; others wait meanwhile.

        Say so once nobody is left who does not know it: workers that are alive are looked at, and older producers are
        refused from then on. To ask again goes on with what was stopped half way, and changes nothing else. What is
        kept of letters by their cause is made anew, for older versions keep nothing of it.

        Args:
            target: That of this one only; of all when None, also of those that the settings no longer name.
            who: Who says so.

        Raises:
            Refused: A worker program is alive that does not know that shape.
            OtherShape: A journal has a shape that this version does not know.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.listing import recount

        made = []
        for journal in self._journals(target):
            done = journal.drive(upgrade_flow(self.settings, journal.target))
            made.append(done)
            if done.changed:
                result = f"shape {done.after}, was {done.before}"
                self._note(journal, "upgrade", f"target {journal.target}", who=who, result=result)
                # As many as older versions have left uncounted they may have left counted that are gone: nobody would
                # notice, and lists that are narrowed would pass over letters.
                recount(journal)
        return tuple(made)

    def shape(self, target: str) -> str:
        """The shape that is noted in a journal; empty while it is not used.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        journal = self._journal(target)
        return journal.drive(shape_flow(journal.prefix))

    def rebind(self, target: str, *, who: str, reason: str) -> None:
        """Say that the ledger of a target has moved to the address that the settings name now.

        Args:
            target: Which.
            who: Who says so.
            reason: Why; kept beside it until the next time.

        Raises:
            Refused: There is no reason.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        if not reason.strip():
            raise Refused("a target is only bound to another address with a reason")
        journal = self.journals.of(target)
        action = self._told("rebind", f"target {target} to {journal.ledger}", who=who, reason=reason)
        journal.rebind(journal.ledger, who=who, reason=reason, action=action)

    def key_use(
        self, target: str | None = None, *, whole: bool = True, step: Callable[[int], None] = lambda _: None
    ) -> tuple[KeyUse, ...]:
        """What each journal needs which encryption key for; looks at each intent that is kept.

        Args:
            target: Of this one only; of all when None.
            whole: False to look at some of the intents only, where somebody waits; :attr:`KeyUse.left` says how many
                were left.
            step: Told how many intents more were looked at.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.listing import MOST_MISSED
        from blnk_relay.journal.resealing import key_use

        most = None if whole else MOST_MISSED
        return tuple(key_use(journal, most, step) for journal in self._journals(target))

    def reseal(
        self,
        target: str,
        *,
        who: str = "",
        stopped: Callable[[], bool] = lambda: False,
        step: Callable[[int], None] = lambda _: None,
    ) -> Resealed:
        """Put all that a journal hides, and all that it should, under the encryption key that is written with.

        To be done after keys were set, and after another key has become the first; workers may go on meanwhile. It may
        be broken off, and begun again, at any time.

        Args:
            target: Whose journal.
            who: Who says so.
            stopped: Whether to end early.
            step: Told how many intents more were looked at.

        Raises:
            Refused: There is no key to write with.
            EncryptionKeyMissing: The secret of its fingerprints is under a key that is not at hand.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer; what was done stays done.
        """
        from blnk_relay.journal.resealing import reseal

        journal, of = self._journal(target), f"target {target}"
        if journal.seal.keys().first is not None:
            self._note(journal, "renew keys", of, who=who, result="begun")
        done = reseal(journal, stopped=stopped, step=step)
        result = "done" if done.finished else "broken off"
        self._note(journal, "renew keys", of, who=who, result=result, count=done.done)
        return done

    def history_lag(self, target: str | None = None) -> tuple[HistoryLag, ...]:
        """How far each journal that can be reached is copied into history.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered.
        """
        return tuple(lag for _, lag in self._of_each(lambda journal: journal.history_lag(), target))

    def history_off(self, target: str | None = None, *, who: str, reason: str, forced: bool = False) -> dict[str, int]:
        """Let nothing wait for history any more before it is trimmed; what was copied stays.

        Args:
            target: Of this one only; of all when None.
            who: Who says so.
            reason: Why.
            forced: Also where a worker has looked a moment ago, which switches it on again if it goes on.

        Returns:
            For each target how many intents were not copied.

        Raises:
            Refused: A worker still copies.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.copying import off_flow

        left = {}
        for journal in self._journals(target):
            is_off, number = journal.drive(off_flow(forced=forced))
            if not is_off:
                raise Refused(
                    f"history of target {journal.target!r} is not switched off: a worker copied a moment ago, and "
                    "would switch it on again. Take BLNK_RELAY_HISTORY_URL out of the settings of all workers first"
                )
            self._note(journal, "history off", f"target {journal.target}", who=who, reason=reason, count=number)
            left[journal.target] = number
        return left
