"""What an operator does to a journal as a whole: its shape, its ledger, its keys, its history, its audits.

What changes something, or costs the ledger requests, has its line in the log of actions; a look has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from blnk_relay.errors import JournalUnavailable, Refused
from blnk_relay.journal.actions import SOMEBODY, check_who, new_mark
from blnk_relay.journal.gathered import Gathered
from blnk_relay.journal.hands.base import Hands
from blnk_relay.journal.upgrade import Upgraded, shape_flow, upgrade_flow

if TYPE_CHECKING:  # as in looking.py
    from blnk_relay.journal.lag import HistoryLag
    from blnk_relay.journal.resealing import KeyUse, Resealed


class Compared(Protocol):
    """What an audit came to; :class:`blnk_relay.audit.Report` is one."""

    @property
    def compared(self) -> Counter[str]:
        """How many intents were compared."""

    @property
    def found(self) -> Counter[str]:
        """How many differences there are."""

    @property
    def unread(self) -> Counter[str]:
        """What was not looked at."""

    @property
    def stopped(self) -> str:
        """Why it did not come to its end."""


Came = TypeVar("Came", bound=Compared)


class Care(Hands):
    """Upgrades, binds anew, puts under other keys, audits, and switches history off."""

    def upgrade(self, target: str | None = None, *, who: str = SOMEBODY) -> tuple[Upgraded, ...]:
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

        check_who(who)
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
        who: str = SOMEBODY,
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

        journal = self._journal(target)
        renew = partial(reseal, journal, stopped=stopped, step=step)
        if journal.seal.keys().first is None:
            # It is refused, so that there is nothing to note.
            return renew()
        return self._carried_out(
            journal,
            "renew keys",
            renew,
            lambda done: ("done" if done.finished else "broken off", done.done),
            who=who,
        )

    def audit(self, target: str, run: Callable[[], Came], *, who: str = SOMEBODY, resumed: bool = False) -> Came:
        """Have the journal of a target compared with its ledger, and note that it begins and what it came to.

        Args:
            target: Whose.
            run: Compares; :mod:`blnk_relay.audit` makes one.
            who: Who says so.
            resumed: Whether it goes on where another one had to end.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        begun = "gone on with" if resumed else "begun"
        return self._carried_out(self._journal(target), "audit", run, _audited, who=who, begun=begun)

    def upgrade_history(self, run: Callable[[], tuple[str, str]], *, who: str = SOMEBODY) -> tuple[str, str, bool]:
        """Have the tables of a database of history upgraded, and note it if that changed anything.

        It is noted in every journal that can be reached, for it is there for all of them.

        Args:
            run: Upgrades; :func:`blnk_relay.history.upgrading.upgrade` does.
            who: Who says so.

        Returns:
            The revision that they had (empty for none), the one that they have, and whether nothing is left to note.

        Raises:
            HistoryUnavailable: The database cannot be reached, or is of a newer version.
        """
        check_who(who)
        before, after = run()
        if before == after:
            return before, after, True
        result, mark = f"revision {after}, was {before or 'none'}", new_mark()
        try:
            self._of_each(
                lambda journal: self._note(
                    journal, "history upgrade", "the database of history", who=who, result=result, mark=mark
                )
            )
        except JournalUnavailable:
            return before, after, False
        return before, after, True

    def note_stopped(self, of: str, target: str, *, who: str) -> None:
        """Note that somebody has had something end early that goes on in a console.

        Args:
            of: What, in words.
            target: Whose journal it is about.
            who: Who says so.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        self._note(self._journal(target), "stop errand", of, who=who, result="told to stop")

    def history_lag(self, target: str | None = None) -> Gathered[HistoryLag]:
        """How far each journal that can be reached is copied into history.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        return self._of_each(lambda journal: journal.history_lag(), target)

    def history_off(
        self, target: str | None = None, *, who: str, reason: str, forced: bool = False, adopt: bool = False
    ) -> dict[str, int]:
        """Let nothing wait for history any more before it is trimmed; what was copied stays.

        Args:
            target: Of this one only; of all when None.
            who: Who says so.
            reason: Why.
            forced: Also where a worker has looked a moment ago, which switches it on again if it goes on.
            adopt: Whoever switches it on again goes on with what stands in the database under the name of this journal,
                although another one has copied that: it was lost as a whole, and this one has taken its place.

        Returns:
            For each target how many intents were not copied.

        Raises:
            Refused: A worker still copies.
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.copying import off_flow

        check_who(who)
        left = {}
        for journal in self._journals(target):
            is_off, number = journal.drive(off_flow(forced=forced, adopt=adopt))
            if not is_off:
                raise Refused(
                    f"history of target {journal.target!r} is not switched off: a worker copied a moment ago, and "
                    "would switch it on again. Take BLNK_RELAY_HISTORY_URL out of the settings of all workers first"
                )
            result = f"off, {number:,} not copied" + (", to go on with what was copied" if adopt else "")
            self._note(journal, "history off", f"target {journal.target}", who=who, reason=reason, result=result)
            left[journal.target] = number
        return left


def _audited(report: Compared) -> tuple[str, int]:
    """What an audit came to, in words without a value of any intent."""
    number = report.found.total()
    told = f"{report.compared.total():,} compared, {number:,} difference{'' if number == 1 else 's'}"
    if unread := report.unread.total():
        told += f", {unread:,} not looked at"
    return (f"stopped, {told}: {report.stopped}" if report.stopped else f"ended, {told}"), 0
