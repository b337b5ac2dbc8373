"""What an operator does with dead letters one by one, and with intents that were never sent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from blnk_relay.errors import NotFound, Refused
from blnk_relay.journal.actions import MAX_REASON, MAX_WHO, SOMEBODY, Together, check_reason, new_mark
from blnk_relay.journal.cancel import cancel_one_flow
from blnk_relay.journal.hands.looking import Looking
from blnk_relay.journal.jobs import life_of, life_to_close, worth_flow
from blnk_relay.journal.journal import Journal
from blnk_relay.journal.status import Status
from blnk_relay.kinds.registry import KINDS
from blnk_relay.replay import ReplayPlan, ReplayWay, after_a_loss, plan_replay

if TYPE_CHECKING:
    from blnk_relay.journal.causes import Causes


class Letters(Looking):
    """Dead letters by cause; replays, discards, and takes back."""

    def causes(
        self,
        *,
        kind: str | None = None,
        code: str | None = None,
        dead_class: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        target: str | None = None,
    ) -> Causes:
        """Dead letters by what they died of, in a few commands a cause however many letters there are.

        Args:
            kind: Only of this kind.
            code: Only with this code.
            dead_class: Only of this class.
            since: Only what died at or after this time.
            until: Only what died before this time.
            target: Only of this ledger.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: No Redis answered; where some did, ``away`` names the targets of the others.
        """
        from blnk_relay.journal.causes import Window, causes_flow, together

        window = Window(kind, dead_class, code, since, until)
        parts = self._of_each(
            lambda journal: journal.drive(causes_flow(journal.prefix, journal.seal, journal.target, window)), target
        )
        return together(parts, parts.away)

    def recount(self, target: str | None = None, *, who: str = SOMEBODY) -> int:
        """Make anew what is kept of letters by their cause; others may go on meanwhile.

        Needed where a version before has left letters that no cause accounts for, or what was kept is lost. It looks at
        each letter once. Until it has come to its end, lists of letters that are narrowed look at each as well.

        Args:
            target: Of this ledger only; of all when None.
            who: Who says so.

        Returns:
            How many letters are accounted for.

        Raises:
            NotFound: There is no such target.
            JournalUnavailable: Redis did not answer; to ask again begins anew.
        """
        from blnk_relay.journal.listing import recount

        mark = new_mark()
        return sum(
            self._carried_out(
                journal,
                "recount",
                partial(recount, journal),
                lambda counted: ("accounted for", counted),
                who=who,
                mark=mark,
            )
            for journal in self._journals(target)
        )

    def worth(self, statuses: Sequence[Status]) -> tuple[dict[str, Decimal], int]:
        """What some dead letters are worth together, by currency, and of how many of them that is known.

        Args:
            statuses: The letters.

        Raises:
            JournalUnavailable: Redis did not answer.
        """
        from blnk_relay.journal.causes import sums_of

        ids: dict[str, list[str]] = {}
        for status in statuses:
            ids.setdefault(status.target, []).append(status.id)
        minor, summed = Counter[str](), 0
        for target, some in ids.items():
            journal = self._journal(target)
            of_one, number = journal.drive(worth_flow(journal.prefix, some))
            minor.update(of_one)
            summed += number
        return sums_of({name: str(number) for name, number in minor.items()}), summed

    def plan(self, status: Status) -> ReplayPlan:
        """What a replay of a dead letter would do."""
        if status.state != "dead":
            return ReplayPlan(ReplayWay.NO, f"it is {status.state}, not dead")
        if status.unreadable and status.kind in KINDS:
            return ReplayPlan(ReplayWay.NO, "what was recorded of it is broken: settle it by hand, then discard it")
        plan = plan_replay(status.kind, status.dead_class, status.code)
        if plan.way is ReplayWay.FRESH and status.locked and KINDS[status.kind].renewed is not None:
            return ReplayPlan(
                ReplayWay.NO,
                f"its payload, in which new references would stand, is encrypted with key {status.locked[0]}, which "
                "this process does not have",
            )
        return after_a_loss(plan) if status.perhaps_replayed else plan

    def replay(self, status: Status, *, who: str, reason: str, together: Together | None = None) -> ReplayPlan:
        """Give a dead letter a new life. Nothing is sent before the ledger was asked, where it may have been sent.

        Args:
            status: The dead letter, as it was looked at: one that has changed since is left alone.
            who: Who says so.
            reason: Why; kept in its log.
            together: What it has in common with others that are one action with it in the log.

        Returns:
            What was done.

        Raises:
            Refused: It would double, or could never end otherwise, or there is no reason; the message says why.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        check_reason(reason, "replayed")
        plan = self.plan(status)
        if plan.way is ReplayWay.NO:
            raise Refused(f"intent {status.id} is not replayed: {plan.why}")
        fresh = plan.way is ReplayWay.FRESH
        journal = self._journal(status.target)
        renewal = journal.renewal(status.id, status.generation) if fresh else None
        answer, bells, *taken = journal.scripts.run(
            "replay",
            status.id,
            int(self.settings.deadline_s * 1000),
            "1" if fresh else "0",
            *(renewal.encoded().values() if renewal else ("", "", "", "")),
            _line("replayed", journal, who, reason),
            life_of(status),
            self._of_letter("replay", status, together, who=who, reason=reason),
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not replayed: it has changed since it was looked at: look again")
        if answer == "taken":
            raise Refused(f"intent {status.id} is not replayed: reference {taken[0]!r} is taken by an intent already")
        if answer != "replayed":
            raise Refused(f"intent {status.id} is not replayed: it is {answer}, not dead")
        self._bells.ring(status.target, bells)
        return plan

    def discard(self, status: Status, *, who: str, reason: str, together: Together | None = None) -> None:
        """Close a dead letter by a human's word; what waited behind it goes on.

        Args:
            status: The dead letter, as it was looked at: one that has changed since is left alone.
            who: Who says so.
            reason: Why; kept for ever.
            together: What it has in common with others that are one action with it in the log.

        Raises:
            Refused: There is no reason, or it is not dead, or has died again since, or may have been replayed in
                moments that the journal has lost and did not say so as it was looked at.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        check_reason(reason, "discarded")
        journal = self._journal(status.target)
        answer, bells = journal.scripts.run(
            "discard",
            status.id,
            _line("discarded", journal, who, reason),
            self.settings.events_max,
            life_to_close(status) if status.state == "dead" else "",
            self._of_letter("discard", status, together, who=who, reason=reason),
        )
        if answer == "":
            raise NotFound(f"no intent is known under {status.id!r}")
        if answer == "changed":
            raise Refused(f"intent {status.id} is not discarded: it has changed since it was looked at: look again")
        if answer != "closed":
            raise Refused(f"intent {status.id} is not discarded: it is {answer}, not dead")
        self._bells.ring(status.target, bells)

    def cancel(self, status: Status, *, who: str, reason: str = "") -> Status:
        """Take an intent back that was never sent; see :meth:`blnk_relay.Relay.cancel`.

        Args:
            status: The intent.
            who: Who says so.
            reason: Why; kept in its log.

        Raises:
            TooLate: It may have been sent, or is over.
            NotFound: It is gone.
            JournalUnavailable: Redis did not answer.
        """
        journal = self._journal(status.target)
        line = _line("cancelled", journal, who, reason)
        action = self._told("cancel", f"intent {status.key or status.id}", who=who, reason=reason)
        flow = cancel_one_flow(self.settings, journal.seal, status.target, status.id, line=line, action=action)
        after, bells = journal.drive(flow)
        self._bells.ring(status.target, bells)
        return after

    def _of_letter(self, what: str, status: Status, together: Together | None, *, who: str, reason: str) -> str:
        """The same of one letter."""
        of = f"letter {status.key or status.id}" if together is None else together.of
        return self._told(what, of, who=who, reason=reason, mark="" if together is None else together.mark)


def _line(what: str, journal: Journal, who: str, reason: str) -> str:
    return json.dumps(
        {"at": journal.now_ms(), "what": what, "by": who[:MAX_WHO], "note": reason[:MAX_REASON]}, ensure_ascii=False
    )
